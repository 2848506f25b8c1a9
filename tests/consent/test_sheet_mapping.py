from __future__ import annotations

import pytest

from mailinglist.consent import sheet
from mailinglist.errors import BadInput


def test_a_file_whose_columns_staff_say():
    data = b"Etunimi,Postia,,Tilaus\nMatti,Matti@example.fi,x,A1\nMaija,,y,\n"
    found = sheet.read(data, meanings=("name", "email", "ignore", "sale_reference"))
    (entry,) = found.entries
    assert (entry.address.mailbox, entry.name, entry.sale_reference) == ("Matti@example.fi", "Matti", "A1")
    assert [refusal.line for refusal in found.refused] == [3]


def test_what_columns_seem_to_mean():
    found = sheet.outline("E-mail;Email;Namn;Språk;Kenkäkoko\na@example.fi;;A;sv;45\n;\n;;B;;\n".encode())
    assert [(column.heading, column.meaning) for column in found.columns] == [
        ("E-mail", "email"), ("Email", "ignore"), ("Namn", "name"), ("Språk", "language"), ("Kenkäkoko", "ignore"),
    ]  # fmt: skip
    assert found.lines == 2
    assert found.columns[2].samples == ("A", "B")


@pytest.mark.parametrize("heading", ["Salasana", "credit card", "IBAN", "henkilötunnus"])
def test_columns_of_other_registers_are_refused_even_where_they_would_be_ignored(heading: str):
    data = f"email,{heading}\na@example.fi,secret-value\n".encode()
    for attempt in (lambda: sheet.outline(data), lambda: sheet.read(data, meanings=("email", "ignore"))):
        with pytest.raises(BadInput, match=heading) as caught:
            attempt()
        assert "secret-value" not in str(caught.value)


@pytest.mark.parametrize("meanings", [(), ("email",), ("email", "email"), ("name", "ignore"), ("email", "shoe")])
def test_a_mapping_that_can_not_be(meanings: tuple[str, ...]):
    with pytest.raises(BadInput):
        sheet.read(b"a,b\nx@example.fi,y\n", meanings=meanings)
