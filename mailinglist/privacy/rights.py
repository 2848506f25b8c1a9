"""Erasure (GDPR 17): each room forgets, through one registry; and the answer says what is kept, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ..consent import bans, keys, register, requests
from ..consent.address import Address
from ..consent.tables import LedgerEntry, Person
from ..delivery import handoffs
from ..errors import Unknown


@dataclass(frozen=True, slots=True)
class Kept:
    """Something that stays after an erasure."""

    what: str
    count: int
    why: str


@dataclass(frozen=True, slots=True)
class Erasure:
    """What an erasure did: rows deleted, by what they are, and what is kept."""

    deleted: Mapping[str, int] = field(default_factory=dict)
    kept: tuple[Kept, ...] = ()


Forget = Callable[[Session, Person, datetime], Erasure]
"""A room's share in an erasure. The person is locked, and detached: it is still known once its row is gone."""


def _by_consent(session: Session, person: Person, now: datetime) -> Erasure:
    deleted = Counter(register.forget(session, person, now=now))
    deleted["requests"] += requests.forget(session, person)  # after the confirmations, which point to them
    return Erasure(deleted, (*_bans(session, person), _ledger(session, person)))


def _bans(session: Session, person: Person) -> tuple[Kept, ...]:
    channels = bans.in_force(session, bans.digests(session, Address(person.mailbox, person.folded)))
    if not channels:
        return ()
    why = "as a keyed hash of the address, so that no later import or sign-up is mailed (GDPR 21(3))"
    return (Kept(f"marketing bans ({', '.join(channels)})", len(channels), why),)


def _ledger(session: Session, person: Person) -> Kept:
    subject = keys.keys_of(session).digest(person.folded)
    entries = session.scalar(select(func.count()).where(LedgerEntry.subject == subject)) or 0
    why = (
        "with keyed digests for the address: they show that what was sent was allowed (GDPR 17(3)(e)), and keep an "
        "import from bringing back somebody who left"
    )
    return Kept("ledger entries", entries, why)


def _by_delivery(session: Session, person: Person, _now: datetime) -> Erasure:
    rows = handoffs.forget(session, person.id)
    why = "under a number that is never used again, without what mail servers said: the count of each mailing adds up"
    return Erasure(kept=(Kept("mails handed over", rows, why),) if rows else ())


ROOMS: Mapping[str, Forget] = {"consent": _by_consent, "delivery": _by_delivery}
"""Every room that holds something about a person."""

_NOBODY = "says nothing about a person"
_STAFF = "is about staff, not subscribers: kept as long as the account, and its history for two years"

RULES: Mapping[str, str] = {
    "persons": "deleted",
    "subscriptions": "deleted",
    "confirmations": "deleted",
    "requests": "deleted",
    "evidence": "deleted; that of an import names nobody, and stays",
    "bans": "kept: keyed digests",
    "ledger": "kept: keyed digests",
    "chain_heads": "kept: counts and hashes of the ledger",
    "handoffs": "kept without the answers of mail servers, which may quote the address",
    "notes": "deleted",
    "imports": "kept: the file is gone once it was taken in, and reasons name no address",
    "audit": "kept for two years: it names the person by a number that is never used again",
    "accounts": _STAFF,
    "passkeys": _STAFF,
    "recovery_codes": _STAFF,
    "enrolments": _STAFF,
    "sign_ins": _STAFF,
    "daily_counts": _NOBODY,
    "bookmarks": _NOBODY,
    "revisions": _NOBODY,
    "approvals": _NOBODY,
    "images": _NOBODY,
    "audience_parts": "kept until the rows of handoffs are made: numbers that are never used again, and no name",
    "lists": _NOBODY,
    "texts": _NOBODY,
    "key_checks": _NOBODY,
    "bulletins": _NOBODY,
    "issues": _NOBODY,
    "dispatches": _NOBODY,
    "shifts": _NOBODY,
    "paces": _NOBODY,
    "owner_mails": _NOBODY,
}
"""What an erasure does to each table. A test holds this against the tables that there are."""


def erase(session: Session, address: Address, now: datetime) -> Erasure:
    """Erase the person with this address from every room, in the entrance's one transaction.

    Raises Unknown when nobody with this address is in the register, RegisterUnsound.
    """
    person = session.scalar(select(Person).where(Person.folded == address.folded).with_for_update())
    if person is None:
        raise Unknown("Nobody with this address is in the register.")
    register.withdraw(session, person, source="erasure", now=now)
    session.flush()
    return forget(session, person, now)


def forget(session: Session, person: Person, now: datetime) -> Erasure:
    """Erase this person (locked) from every room."""
    session.expunge(person)
    deleted: Counter[str] = Counter()
    kept: list[Kept] = []
    for by_room in ROOMS.values():
        erasure = by_room(session, person, now)
        deleted.update(erasure.deleted)
        kept.extend(erasure.kept)
    return Erasure(dict(deleted), tuple(kept))
