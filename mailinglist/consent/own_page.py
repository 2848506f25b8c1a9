"""One's own page: the mailed key that opens it, and what whoever holds it may change by themselves.

The key is a signed token that names a person by the keyed digests of their address, and is good for an hour; whoever
can read mails to the address holds it, which is what proves that they may (GDPR 11, 12(6); REQUIREMENTS 2.1). It opens
what is held under that address now: after a correction of the address it no longer opens the person, and after an
erasure only the bans that are kept. It writes by the verbs of `register` and `bans`.

Staff may have corrected an address to a wrong one. So until a confirmation letter was answered from a corrected
address, the key opens only what is held under it, leaving and forbidding (`proof.confirmed`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..errors import BadInput, NotAllowed, TokenSpent, Unknown
from ..tokens import Purpose, Tokens
from . import bans, intake, ledger, lists, pins, proof, register, requests, sheet
from .address import parse
from .bans import Forbidden
from .register import Origin
from .states import Channel, Event, State
from .tables import MailingList, Person

GOOD_FOR = timedelta(hours=1)
SOURCE = "own page"
"""What the register says of where an act came from."""
_VERSION = 1
_A_SECOND = timedelta(seconds=1)
"""A key names whole seconds."""


@dataclass(frozen=True, slots=True)
class Key:
    """What a key names: an address by its keyed digests, and when the letter with it was written."""

    digest: bytes
    """Of the case-folded address …"""
    exact_digest: bytes
    """… and as it was written: bans may name either."""
    issued_at: datetime

    @property
    def until(self) -> datetime:
        """Until when it opens the page."""
        return self.issued_at + GOOD_FOR

    @property
    def digests(self) -> tuple[bytes, ...]:
        """What bans on the address may be known by."""
        return tuple(dict.fromkeys((self.digest, self.exact_digest)))

    def token(self, tokens: Tokens) -> str:
        """The key as it stands in a link: opaque, and equally long for everybody."""
        at = int(self.issued_at.timestamp()).to_bytes(5, "big")
        return tokens.issue(Purpose.KEY, bytes((_VERSION,)) + at + self.digest + self.exact_digest)


class KeyExpired(TokenSpent):
    """A key of ours whose hour is over."""


def read(session: Session, token: str, *, now: datetime) -> Key:
    """The key of a link. Raises TokenForged; KeyExpired."""
    key = named(session, token)
    if not key.issued_at - GOOD_FOR < now < key.until:
        raise KeyExpired("This link has expired.")
    return key


def named(session: Session, token: str) -> Key:
    """The same, also of one that has expired: it opens nothing, and a fresh one may be asked for in its place. Raises
    TokenForged, TokenSpent (of a kind that this version does not know)."""
    raw = register.tokens_of(session).read(Purpose.KEY, token)
    if len(raw) != 70 or raw[0] != _VERSION:
        raise TokenSpent("This link is of a kind that this version does not know.")
    return Key(raw[6:38], raw[38:], datetime.fromtimestamp(int.from_bytes(raw[1:6], "big"), UTC))


def holder(session: Session, key: Key) -> Person | None:
    """The person whose page the key opens; None: nobody with the address is in the register (any more)."""
    return session.scalar(select(Person).where(Person.digest == key.digest))


def held(session: Session, key: Key, *, confirmed: bool = True) -> Person:
    """The same, locked, for a change. Raises Unknown; with `confirmed` NotAllowed, where the address has to be
    confirmed first."""
    person = _locked(session, key)
    if person is None:
        raise Unknown("Nobody with this address is in the register.")
    if confirmed and not proof.confirmed(session, person):
        raise NotAllowed("The address has to be confirmed first.")
    return person


def held_to_erase(session: Session, key: Key) -> Person:
    """`held`, for an erasure: with what the person asked for and no worker has taken yet. Raises Unknown,
    NotAllowed."""
    person = holder(session, key)
    if person is not None:
        requests.hold_waiting(session, person.folded)
    return held(session, key)


def used(session: Session, key: Key) -> None:
    """Somebody pressed something on the page of this key, also of one that has expired: it came to its mailbox. Whoever
    that is, is locked from here on."""
    _locked(session, key)  # first, as an erasure locks: the requests come after the person
    requests.key_used(session, key.digest, until=key.issued_at + _A_SECOND)


def _locked(session: Session, key: Key) -> Person | None:
    """`holder`, locked: an erasure that is under way is waited for, and they are gone then."""
    return pins.held(session, Person.digest == key.digest)


def bans_in_force(session: Session, key: Key) -> dict[Forbidden, datetime]:
    """The bans on the address of the key, each with when it was first given. Raises RegisterUnsound when they can't be
    read."""
    return bans.given(session, key.digests)


# ── what the holder of a key changes ──────────────────────────────────────────────────────────────────────────────────


def ask_for_fresh(
    session: Session, key: Key, row: MailingList, *, language: str, origin: Origin, now: datetime
) -> None:
    """A fresh key in place of one that has expired, by mail to the same address, where it is still known: `row` is the
    list whose look the letter has for somebody who is on none."""
    used(session, key)
    person = holder(session, key)
    address = parse(person.mailbox) if person is not None else requests.kept_for_key(session, key.digest)
    if address is not None:
        intake.write_down(
            session, row, address, kind=requests.KEY, entrance="web", language=language, origin=origin, now=now
        )


def leave(session: Session, key: Key, row: MailingList, *, origin: Origin, now: datetime) -> bool:
    """Leave a list at once. Returns whether they were on it. Raises Unknown, RegisterUnsound."""
    person = held(session, key, confirmed=False)
    return register.end(session, person, row, Event.LEAVE, source=SOURCE, origin=origin, now=now)


def ask_to_join(session: Session, key: Key, row: MailingList, *, language: str, origin: Origin, now: datetime) -> None:
    """Ask to be on a list again: a confirmation letter, and on the list only once it is answered (REQUIREMENTS 2.1).

    Raises Unknown; NotAllowed (a ban on e-mail, or a restriction, is in force: it has to be lifted first, or no letter
    could go; or on the list already).
    """
    person = held(session, key, confirmed=False)
    if bans.forbids_mail(session, key.digests, row):
        raise NotAllowed("You have forbidden marketing by e-mail. Lift the ban first.")
    if person.restricted_at is not None:
        raise NotAllowed("You have restricted the use of your data. End the restriction first.")
    standing = register.subscription(session, person.id, row.id)
    if standing is not None and standing.standing is State.ACTIVE:
        raise NotAllowed("You are on this list already.")
    text = lists.current_text(session, row, language)
    intake.write_down(
        session, row, parse(person.mailbox), entrance="web", language=text.language, text=text, origin=origin, now=now
    )


def forbid(
    session: Session, key: Key, channels: Collection[Channel], *, origin: Origin, now: datetime
) -> tuple[Channel, ...]:
    """Forbid marketing on these channels (GDPR 21(2)). Returns those that are new. Raises RegisterUnsound."""
    return bans.forbid(session, key.digests, channels, source=SOURCE, origin=origin, now=now).added


def lift(
    session: Session, key: Key, which: Collection[Forbidden], *, origin: Origin, now: datetime
) -> tuple[Forbidden, ...]:
    """Lift bans: that the key was mailed to the address is the evidence. Returns what was lifted. Nothing to lift is no
    error: it may have been pressed twice. Raises NotAllowed (the address has to be confirmed first: bans went along
    with it), RegisterUnsound."""
    person = _locked(session, key)
    if person is not None and not proof.confirmed(session, person):
        raise NotAllowed("The address has to be confirmed first.")
    mailed_at = ledger.moment(key.issued_at)
    shown = {**origin, "evidence": "a key that was mailed to the address", "key_mailed_at": mailed_at}
    return bans.lift_by_key(session, key.digests, which, person_id=person.id if person else None, origin=shown, now=now)


def correct(
    session: Session, key: Key, *, name: str | None, language: str, origin: Origin, now: datetime
) -> tuple[str, ...]:
    """Correct name and language (GDPR 16). Returns what changed. Raises BadInput, Unknown, RegisterUnsound."""
    try:
        name = sheet.text_of(name or "", "the name")
    except BadInput:
        raise BadInput("A name has at most 200 characters, and no control characters.") from None
    person = held(session, key)
    return register.correct_details(
        session, person, name=name, language=language, source=SOURCE, origin=origin, now=now
    )
