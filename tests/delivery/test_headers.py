"""Header fields: every name and subject arrives as it was written, and nothing breaks out of its field."""

from __future__ import annotations

import email
import email.header
import email.policy
import re
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from mails import KINDS, VALUES, fill, filled, message, parsed, phrases

from mailinglist.delivery.slots import mark
from mailinglist.delivery.template import compile_message
from mailinglist.errors import BadInput


@settings(max_examples=300, deadline=None)
@given(before=phrases, name=phrases, after=phrases)
@example(before="=?utf-8?q?x?=", name="ab", after="")
@example(before="a", name=" ", after=" ")
@example(before="x" * 70, name="x", after="x")
@example(before="a ", name="x" * 90, after="")
@example(before="a  b", name="c", after="")
@example(before="x" * 80, name="å" * 80, after="y " * 60)
@example(before="Hei", name="🎉" * 40, after="sanoja " * 30)
def test_any_subject_arrives(before: str, name: str, after: str) -> None:
    template = compile_message(message(subject=f"{before}{mark('name', 'x')}{after}"), slots=KINDS)
    content = fill(template, values={"name": name})
    check_form_of_words(content)
    assert str(parsed(content)["Subject"]) == before + (name if name.strip() else "x") + after


def check_form_of_words(content: bytes) -> None:
    """Lines of at most 78, encoded words of at most 75, each decodable by itself (RFC 5322 §2.1.1, RFC 2047 §2, §5)."""
    header = content.partition(b"\r\n\r\n")[0]
    for line in header.split(b"\r\n"):
        assert len(line) <= 78
        for word in re.findall(rb"=\?utf-8\?[qb]\?[^?]*\?=", line):
            assert len(word) <= 75
            decoded(word.decode())


@pytest.mark.parametrize("shift", range(9))
@pytest.mark.parametrize("character", ["ä", "€", "🎉"])
def test_encoded_words_hold_whole_characters(shift: int, character: str) -> None:
    text = "a" * shift + f"enimmäkseen tavallisia kirjaimia {character}" * 12
    content = fill(compile_message(message(subject=text), slots={}))
    assert content.count(b"=?utf-8?q?") > 3
    check_form_of_words(content)
    assert str(parsed(content)["Subject"]) == text


@settings(max_examples=300, deadline=None)
@given(name=phrases)
@example(name='Matti "Masa" \\ Meikäläinen')
@example(name="Meikäläinen, Matti")
@example(name="a@b.fi")
@example(name="J. R. Smith (sales)")
@example(name="å" * 200)
@example(name="n" * 53)
@example(name="n " * 60)
@example(name="n" * 100)
@example(name='"' * 50)
def test_any_name_arrives_in_to(name: str) -> None:
    content = fill(compile_message(message(), slots={}), to_name=name, values={})
    check_form_of_words(content)
    to = parsed(content)["To"]
    assert [address.addr_spec for address in to.addresses] == ["matti@example.fi"]
    if content.count(b"=?utf-8") < 2:
        assert to.addresses[0].display_name == " ".join(name.split())
    else:  # the newer parser keeps the white space between two encoded words of a name, against RFC 2047 §6.2
        older = email.message_from_bytes(content, policy=email.policy.compat32)["To"]
        assert decoded(older.removesuffix("<matti@example.fi>").strip()) == " ".join(name.split())


def decoded(value: str) -> str:
    return str(email.header.make_header(email.header.decode_header(value)))


@pytest.mark.parametrize("name", [None, "", "   "])
def test_no_name_gives_the_bare_address(name: str | None) -> None:
    content = fill(compile_message(message(), slots={}), to_name=name)
    assert b"\r\nTo: matti@example.fi\r\n" in content


def test_a_long_address_gets_a_line_of_its_own() -> None:
    address = "m" * 60 + "@" + "sub." * 20 + "fi"
    content = fill(compile_message(message(), slots={}), to_address=address, to_name="Matti")
    assert f"\r\nTo: Matti\r\n <{address}>\r\n".encode() in content
    assert parsed(content)["To"].addresses[0].addr_spec == address


def test_an_internationalised_local_part_stands_in_utf8() -> None:
    """RFC 6532: only then is the message not ASCII, and needs SMTPUTF8."""
    template = compile_message(message(), slots={})
    content = fill(template, to_address="pörriäinen@xn--hm-via.example", to_name="Åsa")
    assert "\r\nTo: =?utf-8?q?=C3=85sa?= <pörriäinen@xn--hm-via.example>\r\n".encode() in content
    assert not content.isascii()
    assert fill(template).isascii()


@pytest.mark.parametrize("bad", ["a\rb", "a\nb", "a\0b", "a\r\nBcc: x@y.fi"])
def test_line_breaks_cannot_enter_the_header(bad: str) -> None:
    template = compile_message(message(subject=f"x {mark('name')}"), slots=KINDS)
    for given_values in (
        {"to_name": bad},
        {"to_address": f"{bad}@example.fi"},
        {"to_address": f"a@example.fi{bad}"},
        {"message_id": f"<{bad}@lista.example>"},
        {"values": {"name": bad}},
    ):
        with pytest.raises(BadInput):
            fill(template, **given_values)
    for parts in (
        {"subject": bad},
        {"subject": bad + mark("name")},
        {"sender": f"{bad} <a@b.fi>"},
        {"headers": (("X-Note", bad),)},
        {"headers": ((f"X-{bad}", "x"),)},
    ):
        with pytest.raises(BadInput):
            compile_message(message(**parts), slots=KINDS)


@pytest.mark.parametrize(
    "address",
    ["", "matti", "a b@c.fi", "<a@b.fi>", "a@b.fi, c@d.fi", '"a b"@c.fi', "a@[192.0.2.1]", "a@hämö.fi", "a@b@c.fi"],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    template = compile_message(message(), slots={})
    for name in (None, "Matti"):
        with pytest.raises(BadInput):
            fill(template, to_address=address, to_name=name)


@pytest.mark.parametrize(
    ("sender", "name", "address"),
    [
        ("Tector tiedottaa <tiedote@lista.example>", "Tector tiedottaa", "tiedote@lista.example"),
        ("Tekninen Toimisto Tektor, Oy <a@b.fi>", "Tekninen Toimisto Tektor, Oy", "a@b.fi"),
        ('"Öljy \\"& Vesi\\"" <a@b.fi>', 'Öljy "& Vesi"', "a@b.fi"),
        ("a@b.fi", "", "a@b.fi"),
    ],
)
def test_the_sender_is_written_as_given(sender: str, name: str, address: str) -> None:
    mail = filled(sender=sender)
    assert mail["From"].addresses[0].display_name == name
    assert mail["From"].addresses[0].addr_spec == address


@pytest.mark.parametrize(
    "sender", ["", "Tector", "Tector <tiedote@hämö.fi>", "Tector <öö@b.fi>", "A <a@b.fi>, B <c@d.fi>"]
)
def test_a_sender_that_cannot_send_is_refused(sender: str) -> None:
    with pytest.raises(BadInput):
        compile_message(message(sender=sender), slots={})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("List-Id", "Pörinää ja pärinää <porina.lista.example>"),
        ("X-Note", "sanoja " * 60 + "loppu"),
        ("X-Note", "pörinää " * 60 + "loppu"),
        ("In-Reply-To", "<" + "x" * 40 + "@lista.example> <" + "y" * 40 + "@lista.example>"),
    ],
)
def test_further_fields_arrive_folded(name: str, value: str) -> None:
    content = fill(compile_message(message(headers=((name, value),)), slots={}))
    check_form_of_words(content)
    assert str(parsed(content)[name]) == value


@pytest.mark.parametrize(
    "name", ["Tektor, Oy", "A. (B)", 'Lista "X" <uutiset>', "Öljy, Oy <x>", "a" * 90, "=?utf-8?q?x?="]
)
def test_the_name_of_a_list_may_hold_anything(name: str) -> None:
    """RFC 2919 §3: a phrase, then the identifier; only the phrase is quoted or encoded."""
    content = fill(compile_message(message(headers=(("List-Id", f"{name} <uutiset.lista.example>"),)), slots={}))
    written = str(email.message_from_bytes(content, policy=email.policy.compat32)["List-Id"]).replace("\r\n", "")
    phrase, _, identifier = written.rpartition(" ")
    assert identifier == "<uutiset.lista.example>"
    assert "<" not in re.sub('"[^"]*"', "", phrase.replace('\\"', ""))
    assert re.sub(r"\\(.)", r"\1", decoded(phrase).strip('"')) == name


def test_a_name_with_a_comma_is_one_mailbox() -> None:
    mail = filled(headers=(("Reply-To", "Meikäläinen, Matti <a@b.fi>"), ("Sender", "Tektor, Oy <c@d.fi>")))
    assert [str(address) for address in mail["Reply-To"].addresses] == ['"Meikäläinen, Matti" <a@b.fi>']
    assert [str(address) for address in mail["Sender"].addresses] == ['"Tektor, Oy" <c@d.fi>']


def test_a_name_beyond_ascii_stands_before_a_slot() -> None:
    mail = filled(headers=(("Reply-To", f'"Pörinää, Oy" <{mark("reply")}>'),))
    assert mail["Reply-To"].addresses[0].display_name == "Pörinää, Oy"
    assert mail["Reply-To"].addresses[0].addr_spec == VALUES["reply"]


@pytest.mark.parametrize(
    "extra",
    [
        (("From", "x@y.fi"),),
        (("Bcc", "x@y.fi"),),
        (("content-type", "text/plain"),),
        (("X-A", "1"), ("x-a", "2")),
        (("X A", "1"),),
        (("X-A", ""),),
        (("X-A", "\x07"),),
        (("X-A", "x" * 999),),
        (("X-A", f"<{'x' * 300}{mark('unsubscribe_url')}>"),),
        (("X-A", f"Hei {mark('name')}"),),
        (("X-A", f"ä {mark('reply')}"),),
        (("Reply-To", f"{mark('name')} <a@b.fi>"),),
        (("Reply-To", f"{mark('reply')} <a@b.fi>"),),
        (("Reply-To", "öö@b.fi"),),
        (("Reply-To", "A <a@b.fi>, Ö <c@d.fi>"),),
    ],
)
def test_fields_that_cannot_be_written_are_refused(extra: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(BadInput):
        compile_message(message(headers=extra), slots=KINDS)


def test_links_do_not_stand_in_the_subject() -> None:
    with pytest.raises(BadInput, match="subject"):
        compile_message(message(subject=mark("archive_url")), slots=KINDS)


def test_a_date_without_time_zone_is_refused() -> None:
    template = compile_message(message(), slots={})
    assert b"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n" in fill(template, date=datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(BadInput):
        fill(template, date=datetime(2026, 1, 1))


@pytest.mark.parametrize("bad", ["17@x", "<17>", "<a b@x>", "<a@x>x", "<å@x>", ""])
def test_a_malformed_message_id_is_refused(bad: str) -> None:
    with pytest.raises(BadInput):
        fill(compile_message(message(), slots={}), message_id=bad)
