"""What a person at the catcher writes, and what a mail server would report, as raw mails. Pure.

They are made as mail programs and relays make them, so that what comes in here at home is what comes in elsewhere: an
answer names what it answers (RFC 5322 §3.6.4) and quotes it below; a report is a DSN (RFC 3464) without return path.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid, parseaddr

from . import message
from .store import Caught

NAME = "catcher.localhost"
"""What the catcher calls itself, as a mail server does."""
LONGEST_TEXT = 100_000
"""Characters that a form may bring."""
LONGEST_SUBJECT = 200
_LONGEST_ADDRESS = 254  # RFC 5321 §4.5.3.1.3, less the brackets
_MOST_QUOTED = 400  # lines
_REPLY = re.compile(r"re:\s", re.IGNORECASE)
_ADDRESS = re.compile(r"[^\s<>@]+@[^\s<>@]+")


@dataclass(frozen=True, slots=True)
class Draft:
    """A mail that is being written: what stands in the form."""

    sender: str = ""
    to: str = ""
    subject: str = ""
    text: str = ""


class NoAddress(ValueError):
    """What stands in the form is no address; the field's name is its argument: `sender` or `to`."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A mail and its envelope."""

    sender: str
    """Empty: the null return path."""
    recipient: str
    raw: bytes

    @property
    def ascii_only(self) -> bool:
        """Whether a server without SMTPUTF8 (RFC 6531) could take it."""
        return self.sender.isascii() and self.recipient.isascii()


# ── what a person writes ──────────────────────────────────────────────────────────────────────────────────────────────


def answer_to(caught: Caught, raw: bytes) -> Draft:
    """The answer that a mail program would begin, from whom the mail went to."""
    to = next(iter([*message.addresses(raw, "Reply-To"), *message.addresses(raw, "From")]), caught.envelope_from)
    subject = caught.subject if _REPLY.match(caught.subject) else f"Re: {caught.subject}"
    return Draft(
        sender=next(iter([*caught.envelope_to, *caught.to]), ""),
        to=to,
        subject=_one_line(subject),
        text=f"\n\n{_quoted(caught, message.content(raw).text or '')}",
    )


def compose(draft: Draft, *, answers: bytes | None = None, now: datetime) -> Outgoing:
    """The mail as it is handed in; `answers` is the raw mail that it answers. Raises NoAddress."""
    sender, to = _address(draft.sender, "sender"), _address(draft.to, "to")
    plain = sender.addr_spec.isascii() and to.addr_spec.isascii()
    # Long lines, since the package turns a folded Message-ID into an encoded word.
    made = EmailMessage((policy.SMTP if plain else policy.SMTPUTF8).clone(max_line_length=900))
    made["Received"] = f"from {NAME} (localhost [127.0.0.1]) by {NAME}; {format_datetime(now)}"
    made["From"], made["To"] = sender, to
    made["Subject"] = _one_line(draft.subject)
    made["Date"] = now
    made["Message-ID"] = make_msgid(domain=NAME)
    if answers is not None and (answered := message.identifiers(answers, "Message-ID")[:1]):
        made["In-Reply-To"] = answered[0]
        made["References"] = " ".join([*message.identifiers(answers, "References")[-8:], *answered])
    made["User-Agent"] = "Mail catcher"
    text = "".join(c for c in draft.text[:LONGEST_TEXT] if c in "\n\t" or (c >= " " and not "\ud800" <= c <= "\udfff"))
    made.set_content(f"{text}\n")
    return Outgoing(sender.addr_spec, to.addr_spec, made.as_bytes())


def _address(text: str, field: str) -> Address:
    name, address = parseaddr(text.strip())
    if len(address) > _LONGEST_ADDRESS or not text.strip().isprintable() or not _ADDRESS.fullmatch(address):
        raise NoAddress(field)
    local, _, domain = address.partition("@")
    return Address(_one_line(name), local, domain)  # parsed as a whole, none beyond ASCII would be taken


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text).strip()[:LONGEST_SUBJECT]


def _quoted(caught: Caught, text: str) -> str:
    at = caught.at.astimezone()
    lines = text.rstrip().split("\n")
    quotation = "\n".join(f"> {line}".rstrip() for line in lines[:_MOST_QUOTED])
    return f"On {at.day} {at:%b %Y} at {at:%H:%M}, {_one_line(caught.sender)} wrote:\n{quotation}\n"


# ── what a mail server reports ────────────────────────────────────────────────────────────────────────────────────────


def returned(caught: Caught, raw: bytes, *, now: datetime) -> Outgoing:
    """The report that the mail's recipient does not exist (RFC 3463: 5.1.1), to its return path."""
    whom = next(iter([*caught.envelope_to, *caught.to]), "")
    whom = "".join(c for c in whom if c.isprintable() and c not in "<> ")
    edge = secrets.token_hex(16)
    header = re.sub(rb"\r\n|\r|\n", b"\r\n", re.split(rb"\r?\n\r?\n", raw, maxsplit=1)[0])
    opening = f"""\
Received: from {NAME} (localhost [127.0.0.1]) by {NAME}; {format_datetime(now)}
From: Mail Delivery System <MAILER-DAEMON@{NAME}>
To: <{caught.envelope_from}>
Subject: Undelivered Mail Returned to Sender
Date: {format_datetime(now)}
Message-ID: {make_msgid(domain=NAME)}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="{edge}"

--{edge}
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

This is the mail catcher at {NAME}.

Your message could not be delivered to one recipient.

<{whom}>: 550 5.1.1 <{whom}>: Recipient address rejected: User unknown

--{edge}
Content-Type: message/delivery-status

Reporting-MTA: dns; {NAME}
Arrival-Date: {format_datetime(caught.at)}

Final-Recipient: rfc822; {whom}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 <{whom}>: Recipient address rejected: User
    unknown

--{edge}
Content-Type: text/rfc822-headers

"""
    body = opening.replace("\n", "\r\n").encode() + header + f"\r\n\r\n--{edge}--\r\n".encode()
    return Outgoing("", caught.envelope_from, body)
