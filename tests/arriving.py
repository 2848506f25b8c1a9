"""Mail that comes to our addresses, for tests: handled in the process, without a server."""

from __future__ import annotations

from datetime import datetime

from flask import Flask

from mailinglist import db
from mailinglist.consent import address, register
from mailinglist.delivery import post
from mailinglist.inbound import act
from mailinglist.inbound.tables import Spooled
from mailinglist.settings import SETTINGS
from making import the_list

DOMAIN = "lists.example.fi"
JOIN = f"tector-tiedottaa-join@{DOMAIN}"
LEAVE = f"tector-tiedottaa-leave@{DOMAIN}"
TAKES_MAIL = {
    "base_url": f"https://{DOMAIN}", "bounce_domain": DOMAIN, "inbound_pipe": "true",
    "mail_from": f"Tector tiedottaa <tiedote@{DOMAIN}>",
}  # fmt: skip
REQUEST = (
    "From: Matti =?utf-8?q?Meik=C3=A4l=C3=A4inen?= <matti@example.fi>\r\nTo: {to}\r\nSubject: {subject}\r\n"
    "Date: Mon, 2 Nov 2026 11:29:00 +0200\r\nMessage-ID: <request-1@mail.example.fi>\r\n{more}\r\n{body}\r\n"
)


def request(to: str = JOIN, subject: str = "liity", more: str = "", body: str = "Haluan listalle.") -> bytes:
    """A mail by hand to one of our addresses."""
    return REQUEST.format(to=to, subject=subject, more=more, body=body).encode()


def comes(
    app: Flask, raw: bytes, to: str, *, sender: str = "matti@example.fi", now: datetime | None = None
) -> act.Outcome:
    """A mail that has come is handled."""
    row = Spooled(recipient=to, sender=sender, via="lmtp", raw=raw)
    with db.transaction() as session:
        return act.act(session, row, settings=app.config[SETTINGS], now=now or db.utcnow())


def letters() -> None:
    """The worker hands over what is due."""
    post.letters(stop=lambda: False)


def state(mailbox: str = "matti@example.fi") -> str | None:
    """Where somebody stands on the default list."""
    with db.reading() as session:
        found = register.find(session, address.parse(mailbox))
        standing = register.subscription(session, found.id, the_list(session).id) if found else None
        return standing.state if standing else None
