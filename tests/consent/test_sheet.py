from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailinglist.consent import sheet
from mailinglist.errors import BadInput


def refused(data: bytes | str, **options: Any) -> dict[int, str]:
    data = data if isinstance(data, bytes) else data.encode()
    return {refusal.line: refusal.reason for refusal in sheet.read(data, **options).refused}


def test_all_columns_are_read_in_any_order_and_any_dress():
    found = sheet.read(
        b"\xef\xbb\xbf Language ; Sale Reference;E-MAIL; name \r\nsv;A 7;Maija@Example.fi; Maija M\xc3\xa4ki \r\n"
    )
    (entry,) = found.entries
    assert (entry.line, entry.address.mailbox) == (2, "Maija@example.fi")
    assert (entry.name, entry.language, entry.sale_reference) == ("Maija Mäki", "sv", "A 7")
    assert found.refused == ()


def test_only_the_address_is_needed():
    (entry,) = sheet.read(b"email\na@example.fi\n").entries
    assert (entry.name, entry.language, entry.sale_reference) == (None, None, None)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends(delimiter: str, end: str):
    text = end.join([f"email{delimiter}name", f"a@example.fi{delimiter}A", "", f"b@example.fi{delimiter}B"])
    assert [(entry.name, entry.address.folded) for entry in sheet.read(text.encode()).entries] == [
        ("A", "a@example.fi"),
        ("B", "b@example.fi"),
    ]


def test_quoted_cells_and_the_numbers_of_their_lines():
    data = 'email,name\n"a@example.fi","Meikäläinen, Matti"\n"b@example.fi","two\nlines"\nbad,x\n'
    found = sheet.read(data.encode())
    assert [entry.name for entry in found.entries] == ["Meikäläinen, Matti"]
    assert refused(data) == {3: "the name holds a line break or control characters", 5: found.refused[1].reason}
    assert found.refused[1].reason.startswith("bad address: ")


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("a@@example.fi,,,", "bad address"),
        (",Matti,,", "bad address"),
        ("x" * 300 + "@example.fi,,,", "bad address: The address is too long."),
        ("a@example.fi\u202e,,,", "bad address"),
        (f"a@example.fi,{'x' * 201},,", "the name is longer"),
        ("a@example.fi,Ma\0tti,,", "control characters"),
        ("a@example.fi,\u202eittaM,,", "control characters"),
        ("a@example.fi,\ue000name\ue001,,", "control characters"),
        (f"a@example.fi,,,{'x' * 201}", "the sale reference is longer"),
        ("a@example.fi,,,,more", "more cells"),
    ],
)
def test_a_line_with_a_fault_is_refused_and_the_others_stand(cell: str, reason: str):
    found = sheet.read(f"email,name,language,sale_reference\n{cell}\nok@example.fi\n".encode())
    assert [entry.address.folded for entry in found.entries] == ["ok@example.fi"]
    assert found.refused[0].line == 2
    assert reason in found.refused[0].reason


def test_the_second_of_two_lines_for_one_person_is_a_duplicate():
    data = "email\na@example.fi\nb@example.fi\nA@EXAMPLE.FI\n"
    assert refused(data) == {4: "a duplicate: the same address is on line 2"}


def test_a_refused_line_does_not_make_a_later_one_a_duplicate():
    data = f"email,name\na@example.fi,{'x' * 201}\na@example.fi,Matti\n"
    assert [entry.line for entry in sheet.read(data.encode()).entries] == [3]


def test_a_customer_needs_a_sale_reference():
    data = "email,sale_reference\na@example.fi,\nb@example.fi,4711\n"
    assert refused(data, sale_needed=True) == {2: "a customer without a sale reference"}
    assert refused(data) == {}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b" \n\n", "empty"),
        ("email\na@example.fi".encode("utf-16"), "UTF-16"),
        (b"PK\x03\x04\x14\0\x06\0\x08\0" + bytes(200), "a workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(200), "a workbook"),
        ("email,name\na@example.fi,Matti\n".encode("utf-16-le"), "UTF-16"),
        ("email,name\na@example.fi,M\n\nb@example.fi,Mäki".encode("latin-1"), "UTF-8 (first seen on line 4)"),
        (b"name\nMatti", "no column"),
        (b"a@example.fi\nb@example.fi", "must name the columns"),
        (b"email,email\na@example.fi,b@example.fi", "twice"),
        (b"email,shoe size\na@example.fi,45", "Unknown columns: “shoe size”"),
        (b'email,name\na@example.fi,"Matti\nb@example.fi,x\n', "From line 2 on"),
    ],
)
def test_a_file_that_can_not_be_taken_as_a_whole(data: bytes, words: str):
    with pytest.raises(BadInput) as caught:
        sheet.read(data)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("password", "passwords"),
        ("Salasana", "passwords"),
        ("Lösenord", "passwords"),
        ("credit", "billing"),
        ("Credit Card", "billing"),
        ("luottokortti", "billing"),
        ("IBAN", "billing"),
        ("hetu", "identifies persons"),
        ("Henkilötunnus", "identifies persons"),
        ("personnummer", "identifies persons"),
        ("birth date", "identifies persons"),
    ],
)
def test_columns_of_other_registers_are_refused_by_name(column: str, words: str):
    with pytest.raises(BadInput) as caught:
        sheet.read(f"email,{column}\na@example.fi,secret-value\n".encode())
    assert words in str(caught.value)
    assert f"“{column}”" in str(caught.value)
    assert "secret-value" not in str(caught.value)


def test_limits_of_size_and_lines(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sheet, "MAX_LINES", 3)
    assert len(sheet.read(b"email\na@example.fi\nb@example.fi").entries) == 2
    with pytest.raises(BadInput, match="more than 3 lines"):
        sheet.read(b"email\na@example.fi\nb@example.fi\nc@example.fi")
    monkeypatch.setattr(sheet, "MAX_BYTES", 10)
    with pytest.raises(BadInput, match="larger than"):
        sheet.read(b"email\na@example.fi")


@given(st.binary(max_size=300))
def test_no_bytes_make_it_fall(data: bytes):
    try:
        found = sheet.read(b"email,name\n" + data)
    except BadInput:
        return
    lines = [entry.line for entry in found.entries] + [refusal.line for refusal in found.refused]
    assert len(set(lines)) == len(lines)


@pytest.mark.parametrize(
    ("written", "language"),
    [
        ("", None), (" FI ", "fi"), ("suomi", "fi"), ("Ruotsi", "sv"), ("ENGLANTI", "en"), ("svenska", "sv"),
        ("Finska", "fi"), ("engelska", "en"), ("Swedish", "sv"), ("Finnish", "fi"), ("fi-FI", "fi"),
        ("sv_FI.UTF-8", "sv"), ("en-GB", "en"),
    ],
)  # fmt: skip
def test_a_language_may_be_a_code_a_word_or_a_locale(written: str, language: str | None):
    [entry] = sheet.read(f"email,language\na@example.fi,{written}\n".encode()).entries
    assert (entry.language, entry.language_unknown) == (language, False)


@pytest.mark.parametrize("written", ["fr", "se", "de-DE", "suomi/ruotsi", "fi-", "?", "matti@example.fi"])
def test_a_language_that_is_none_of_ours_refuses_nobody(written: str):
    [entry] = sheet.read(f"email,language\na@example.fi,{written}\n".encode()).entries
    assert (entry.language, entry.language_unknown) == (None, True)
