"""What a raw message says. Pure; any bytes will do, and none raise.

Python's modern `email` policy would read well-formed mails more conveniently, but raises on some broken ones; the old
parser takes everything, so the decoding is done here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesParser
from email.utils import getaddresses

_IDENTIFIER = re.compile(r"<[!-;=?-~]{1,400}>")
_FOLD = re.compile(r"\r?\n[ \t]?|\r")


@dataclass(frozen=True, slots=True)
class Summary:
    """What a list of mails shows of one."""

    sender: str
    """From, decoded: name and address."""
    to: list[str]
    """The addresses in To, bare."""
    subject: str


@dataclass(frozen=True, slots=True)
class Content:
    """A whole message, decoded for showing."""

    headers: list[tuple[str, str]]
    text: str | None
    html: str | None
    attachments: list[str]
    """Names (or types) of the parts that are neither."""


def summary(raw: bytes) -> Summary:
    """From, To and Subject of a raw message; only its header is read."""
    values: dict[str, list[str]] = {"from": [], "to": [], "subject": []}
    for name, value in BytesParser().parsebytes(raw, headersonly=True).raw_items():
        if name.lower() in values:
            values[name.lower()].append(_unfolded(value))
    return Summary(
        sender=", ".join(map(_text, values["from"])),
        # Before the encoded words are decoded: a name may hold a comma.
        to=[address for _name, address in getaddresses(values["to"]) if address],
        subject=" ".join(map(_text, values["subject"][:1])),
    )


def addresses(raw: bytes, name: str) -> list[str]:
    """The bare addresses in a field of the header."""
    values = BytesParser().parsebytes(raw, headersonly=True).get_all(name, [])
    return [address for _name, address in getaddresses([_unfolded(value) for value in values]) if "@" in address]


def identifiers(raw: bytes, name: str) -> list[str]:
    """The message identifiers in a field of the header, with their brackets (RFC 5322 §3.6.4)."""
    values = BytesParser().parsebytes(raw, headersonly=True).get_all(name, [])
    return [found for value in values for found in _IDENTIFIER.findall(_unfolded(value))]


def content(raw: bytes) -> Content:
    """Headers, text and HTML of a raw message: the first part of each kind that is no attachment."""
    message = BytesParser().parsebytes(raw)
    bodies: dict[str, str] = {}
    attachments: list[str] = []
    for part in message.walk():
        if part.is_multipart():
            continue
        kind = part.get_content_type()
        if (
            kind in ("text/plain", "text/html")
            and kind not in bodies
            and part.get_content_disposition() != "attachment"
        ):
            bodies[kind] = _body(part)
        else:
            attachments.append(_text(part.get_filename() or "") or kind)
    return Content(
        headers=[(_text(name), _text(value)) for name, value in message.raw_items()],
        text=bodies.get("text/plain"),
        html=bodies.get("text/html"),
        attachments=attachments,
    )


def _text(value: object) -> str:
    """A header's value as a person reads it: unfolded, encoded words (RFC 2047) and raw UTF-8 (RFC 6532) decoded."""
    if isinstance(value, tuple):  # RFC 2231: charset, language, value
        value = value[2]
    raw = _unfolded(value)
    try:
        return _printable(str(make_header(decode_header(raw))))
    except (HeaderParseError, LookupError, ValueError):
        return raw


def _unfolded(value: object) -> str:
    return _printable(_FOLD.sub(" ", str(value)))


def _printable(text: str) -> str:
    """`text` without the parser's escapes for raw bytes: they are taken for UTF-8, or marked."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _body(part: Message) -> str:
    payload = part.get_payload(decode=True)
    octets = payload if isinstance(payload, bytes) else str(payload).encode("utf-8", "surrogateescape")
    try:
        text = octets.decode(part.get_content_charset("utf-8"), "replace")
    except (LookupError, ValueError):
        text = octets.decode("utf-8", "replace")
    return text.replace("\r\n", "\n")
