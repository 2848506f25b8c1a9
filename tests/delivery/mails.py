"""Makes mails from templates, and reads them as a mail server and a mail program would."""

from __future__ import annotations

import email
import email.policy
import quopri
import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from email.message import EmailMessage

from hypothesis import strategies as st

from mailinglist.delivery.slots import SlotKind
from mailinglist.delivery.template import Message, Template, compile_message

KINDS = {
    "name": SlotKind.TEXT,
    "until": SlotKind.TEXT,
    "unsubscribe_url": SlotKind.URL,
    "archive_url": SlotKind.URL,
    "reply": SlotKind.ADDRESS,
}
WHEN = datetime(2026, 11, 22, 7, 5, 9, tzinfo=timezone(timedelta(hours=2)))
LINK = "https://lista.example/unsubscribe/" + "aB3_-" * 9
VALUES = {
    "name": "Matti",
    "until": "29.11.",
    "unsubscribe_url": LINK,
    "archive_url": "https://lista.example/archive/?a=1&b=2",
    "reply": "tector-confirm+x2b4@lista.example",
}

characters = st.characters(exclude_categories=["Cs"], exclude_characters="\ue000\ue001")
prose = st.text(st.one_of(characters, st.sampled_from(".\r\n \t=åäö🎉F<&>\"'")), max_size=200)
phrases = st.text(
    st.one_of(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Co"]), st.sampled_from(". =åäö🎉<&>\"'"))
)


def message(**parts: object) -> Message:
    base: dict[str, object] = {
        "subject": "Uutisia",
        "html": "<p>Hei</p>\n",
        "text": "Hei\n",
        "sender": "Tector tiedottaa <tiedote@lista.example>",
    }
    return Message(**(base | parts))  # type: ignore[arg-type]


def fill(template: Template, **given_values: object) -> bytes:
    base: dict[str, object] = {
        "to_address": "matti@example.fi",
        "to_name": "Matti Meikäläinen",
        "message_id": "<17.4711.k3@lista.example>",
        "date": WHEN,
        "values": VALUES,
    }
    return bytes(template.fill(**(base | given_values)))  # type: ignore[arg-type]


def filled(values: Mapping[str, str] | None = None, **parts: object) -> EmailMessage:
    """One message, made, checked for form, and parsed."""
    return parsed(fill(compile_message(message(**parts), slots=KINDS), values=VALUES | dict(values or {})))


def parsed(content: bytes) -> EmailMessage:
    check_form(content)
    mail = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    assert [type(part).__name__ for part in mail.walk()] == ["EmailMessage"] * 3
    for part in mail.walk():
        assert part.defects == []
        for value in part.values():
            assert value.defects == (), value
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    for name in ("Date", "From", "To", "Subject", "Message-ID", "MIME-Version", "Content-Type"):
        assert len(mail.get_all(name)) == 1
    return mail


def check_form(content: bytes) -> None:
    """What SMTP and quoted-printable ask of the bytes (RFC 5321 §2.3.8, §4.5.2, RFC 5322 §2.1.1, RFC 2045 §6.7)."""
    assert content.endswith(b"\r\n")
    assert re.search(rb"\r(?!\n)|(?<!\r)\n", content) is None
    header, _, body = content.partition(b"\r\n\r\n")
    lines = body.split(b"\r\n")
    assert max(map(len, header.split(b"\r\n"))) <= 998
    assert max(map(len, lines)) <= 76
    assert body.isascii()
    for line in lines:
        quopri.decodestring(line.removesuffix(b"=")).decode()  # whole characters only
    for line in (*header.split(b"\r\n"), *lines):
        assert not line.startswith((b".", b"From "))
        assert not line.endswith((b" ", b"\t"))


def content_of(mail: EmailMessage, kind: str) -> str:
    """A part's text, with LF for line ends."""
    part = mail.get_body((kind,))
    assert part is not None
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.count(b"\r\n") == payload.count(b"\n")
    return payload.decode().replace("\r\n", "\n")


def arrives(text: str) -> str:
    """What a part's text is expected to be on arrival."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.endswith("\n") else text + "\n"
