"""Mails in the spool, for tests."""

from __future__ import annotations

from sqlalchemy import select

from mailinglist import db
from mailinglist.consent import lists
from mailinglist.inbound import spool
from mailinglist.inbound.tables import Spooled
from making import the_list
from reporting import DOMAIN

OWNER = f"tector-tiedottaa-owner@{DOMAIN}"


def keep(raw: bytes, to: str = OWNER, sender: str = "matti@example.fi") -> None:
    """A mail comes in, and waits."""
    with db.transaction() as session:
        spool.keep(session, recipient=to, sender=sender, via="lmtp", raw=raw, now=db.utcnow())


def rows() -> list[Spooled]:
    """All that is in the spool, as it is now, without content."""
    with db.reading() as session:
        found = list(session.scalars(select(Spooled).order_by(Spooled.id)))
        session.expunge_all()
    return found


def owned(address: str = "omistaja@example.org", **more: str) -> None:
    """The list has an owner, to whom mails are sent on."""
    with db.transaction() as session:
        lists.change(session, the_list(session), {"owner": address, **more}, now=db.utcnow())
