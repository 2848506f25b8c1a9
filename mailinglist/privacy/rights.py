"""Erasure (GDPR 17): each room forgets, through one registry; and the answer says what is kept, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from ..consent import pins, register, requests
from ..consent.address import Address
from ..consent.tables import Person
from ..errors import Unknown
from . import leftovers, registry
from .rooms import ROOMS, Asked
from .rooms import Erasure as Erasure
from .rooms import Kept as Kept

RULES: Mapping[str, str] = registry.tables()
"""What an erasure does to each table; a new table gets its line in `registry.HOLDINGS`. A test holds this against the
tables that there are."""


def erase(session: Session, address: Address, now: datetime, *, source: str = "") -> Erasure:
    """Erase the person with this address from every room, in the entrance's one transaction; and, once that is
    committed, from what lies outside the tables (`leftovers`).

    `source`: how they asked, for ledger and journal, as `own_page.SOURCE`; empty: it is not said.

    Raises Unknown when nobody with this address is in the register, RegisterUnsound.
    """
    requests.hold_waiting(session, address.folded)
    person = pins.held(session, Person.folded == address.folded)
    if person is None:
        raise Unknown("Nobody with this address is in the register.")
    return erase_held(session, person, now, source=source)


def erase_held(session: Session, person: Person, now: datetime, *, source: str = "") -> Erasure:
    """`erase`, for a person who is locked, after `requests.hold_waiting`. Raises RegisterUnsound."""
    register.withdraw(session, person, source=source or "erasure", now=now)
    session.flush()
    return forget(session, person, now, source=source)


def forget(session: Session, person: Person, now: datetime, *, source: str = "") -> Erasure:
    """Erase this person (locked) from every room. `source` as in `erase`."""
    leftovers.gone_with(session, person)
    session.expunge(person)
    deleted: Counter[str] = Counter()
    kept: list[Kept] = []
    recipients: list[str] = []
    for room in ROOMS:
        erasure = room.forget(session, person, Asked(now, source))
        deleted.update(erasure.deleted)
        kept.extend(erasure.kept)
        recipients.extend(erasure.recipients)
    kept_for: timedelta | None = session.info.get("backups_kept")
    until = now + kept_for if kept_for is not None else None
    return Erasure(dict(deleted), tuple(kept), tuple(dict.fromkeys(recipients)), until)
