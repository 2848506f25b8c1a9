"""A confirmation letter's link, and what comes of it: it is opened or pressed, or the letter is answered; yes, no, or
"I did not ask for this". A part of the register.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from .. import db
from ..errors import Banned, TokenSpent
from ..tokens import Purpose
from . import bans, journal, journal_file, ledger, lists, notices, register
from .states import Basis, Channel, Event, State, move
from .tables import Confirmation, ConsentText, MailingList, Person, Subscription

_TOKEN_BYTES = 16  # 128 bits from the operating system (ASVS 5.0 §7.2.3)


class Door(Enum):
    """How a confirmation link stands."""

    OPEN = "open"
    DONE = "done"
    """Confirmed already."""
    EXPIRED = "expired"
    OVERTAKEN = "overtaken"
    """The person left, or said that they did not ask, after the letter was written."""


@dataclass(frozen=True, slots=True)
class Knock:
    """What a confirmation link leads to."""

    door: Door
    list: MailingList
    text: ConsentText
    person: Person
    confirmation: Confirmation


def issue(
    session: Session,
    *,
    request_id: int,
    person_id: int,
    list_id: int,
    text_id: int,
    epoch: int,
    days: int,
    now: datetime,
) -> tuple[str, str, datetime] | None:
    """A fresh confirmation token for one letter: (confirm token, not-me token, good until). Only its digest is kept.

    None when the request is no longer open: the person left, disowned it or was erased since.
    """
    person = session.get(Person, person_id)
    standing = register.subscription(session, person_id, list_id)
    if person is None or standing is None or standing.epoch != epoch:
        return None
    secret = secrets.token_bytes(_TOKEN_BYTES)
    until = now + timedelta(days=days)
    session.add(
        Confirmation(
            digest=_hidden(secret), request_id=request_id, person_id=person_id, list_id=list_id, text_id=text_id,
            address=person.digest, epoch=epoch, issued_at=now, expires_at=until,
        )
    )  # fmt: skip
    session.flush()
    tokens = register.tokens_of(session)
    return tokens.issue(Purpose.CONFIRM, secret), tokens.issue(Purpose.NOT_ME, secret), until


def _hidden(secret: bytes) -> bytes:
    """What is kept of a confirmation link's secret."""
    return hashlib.sha256(secret).digest()


def knock(session: Session, token: str, *, now: datetime, purpose: Purpose = Purpose.CONFIRM) -> Knock:
    """What this confirmation (or not-me) link leads to; changes nothing. Raises TokenForged, TokenSpent."""
    return knock_by_answer(session, register.tokens_of(session).read(purpose, token), now=now)


def knock_by_answer(session: Session, secret: bytes, *, now: datetime) -> Knock:
    """The same for an answer to the letter: its address held the link's secret, signed. Raises TokenSpent."""
    found = session.scalar(select(Confirmation).where(Confirmation.digest == _hidden(secret)))
    person = session.get(Person, found.person_id) if found else None
    standing = register.subscription(session, found.person_id, found.list_id) if found else None
    if found is None or person is None or standing is None:
        raise TokenSpent("This link belongs to a request that is no longer kept.")
    text = session.get_one(ConsentText, found.text_id)
    row = session.get_one(MailingList, found.list_id)
    return Knock(_door(found, person, standing, now), row, text, person, found)


def _door(found: Confirmation, person: Person, standing: Subscription, now: datetime) -> Door:
    if found.epoch != standing.epoch or found.address != person.digest:
        return Door.OVERTAKEN
    if standing.standing is State.ACTIVE:
        return Door.DONE
    # Used, yet not active: something ended the subscription without the person's act; that takes a fresh letter.
    if found.used_at is not None:
        return Door.OVERTAKEN
    return Door.EXPIRED if now >= found.expires_at else Door.OPEN


def banned(session: Session, found: Knock) -> bool:
    """Whether a ban keeps the address that the letter went to from being mailed by the list.

    Whoever holds the link reads that mailbox, so they may be told. After a correction it says nothing: the letter went
    to another address, and the ban may be the business of somebody else. Raises RegisterUnsound.
    """
    person = found.person
    if found.confirmation.address != person.digest:
        return False
    return bans.forbids_mail(session, [person.digest, person.exact_digest], found.list)


def confirm(session: Session, token: str, *, origin: register.Origin, now: datetime) -> Knock:
    """Put the person on the list. Returns how the door stood before: OPEN (it was this that confirmed) or DONE.

    Raises TokenForged; TokenSpent (expired, or overtaken by a leave); Banned.
    """
    return _confirm(session, knock(session, token, now=now), origin=origin, now=now)


def confirm_by_answer(session: Session, secret: bytes, *, origin: register.Origin, now: datetime) -> Knock:
    """`confirm`, by an answer to the letter (T6). Whoever can read the letter can answer it as well as press its link:
    the secret counts, not who the answer says that it is from. Raises TokenSpent, Banned."""
    return _confirm(session, knock_by_answer(session, secret, now=now), origin=origin, now=now)


def _confirm(session: Session, found: Knock, *, origin: register.Origin, now: datetime) -> Knock:
    person = register.locked(session, found.person.id)
    if person is None:
        raise TokenSpent("This link belongs to a request that is no longer kept.")
    # Once more, under the lock: a leave may have come in between, or the end of a request that was never answered.
    session.refresh(found.confirmation)
    standing = register.subscription(session, person.id, found.list.id)
    if standing is None:
        raise TokenSpent("This link belongs to a request that is no longer kept.")
    door = _door(found.confirmation, person, standing, now)
    if door is Door.DONE:
        return Knock(door, found.list, found.text, person, found.confirmation)
    if door is not Door.OPEN:
        raise TokenSpent("This link has expired." if door is Door.EXPIRED else "This link was overtaken by a leave.")
    if bans.forbids_mail(session, [person.digest, person.exact_digest], found.list):
        raise Banned("Marketing to this address is forbidden. The ban has to be lifted first.")
    before = standing.standing
    after = move(before, Event.CONFIRM)
    standing.state, standing.basis, standing.text_id = after.value, Basis.CONSENT.value, found.text.id
    standing.since = standing.acted_at = now
    standing.source = "confirmed"
    found.confirmation.used_at = now
    found.confirmation.welcome_due = lists.settings_of(found.list).welcome
    filed = ledger.file_evidence(session, origin, person_id=person.id, now=now)
    fact = ledger.Fact(
        Event.CONFIRM, list=found.list.slug, state=after.value, before=before.value, basis=standing.basis,
        text=found.text, notice=notices.digest_with(session, found.text, at=now), source=origin.get("how"),
        evidence=filed,
    )  # fmt: skip
    ledger.append(session, person.chain, person.digest, fact, now=now)
    journal.note(session, journal_file.CONFIRMED, person.digest, list_slug=found.list.slug, now=now)
    db.ring(session, db.LETTERS)
    return Knock(Door.OPEN, found.list, found.text, person, found.confirmation)


def disown(session: Session, token: str, *, origin: register.Origin, now: datetime) -> MailingList:
    """ "I did not ask for this": ends the request, and no confirmation letter goes to the address for a year.

    From an address that was corrected since it changes nothing: no letter goes there any more. Raises TokenForged,
    TokenSpent (the request is no longer kept).
    """
    found = knock(session, token, now=now, purpose=Purpose.NOT_ME)
    person = register.locked(session, found.person.id)
    if person is not None and person.digest == found.confirmation.address:
        register.disowned(session, person, found.list, source="letter", origin=origin, now=now)
    return found.list


def decline(
    session: Session,
    secret: bytes,
    *,
    disowns: bool = False,
    ban: Collection[Channel] = (),
    origin: register.Origin,
    now: datetime,
) -> MailingList:
    """A no in answer to the confirmation letter: it ends the request, or the subscription if there is one by now.

    `disowns`: they say that they did not ask, which counts as the letter's link for that does. With `ban`, marketing is
    forbidden on those channels, too. From an address that was corrected since it changes nothing, as `disown`. Raises
    TokenSpent (the request is no longer kept), RegisterUnsound.
    """
    found = knock_by_answer(session, secret, now=now)
    person = register.locked(session, found.person.id)
    if person is None or person.digest != found.confirmation.address:
        return found.list
    source = str(origin.get("how", "answer"))
    if disowns:
        register.disowned(session, person, found.list, source=source, origin=origin, now=now)
    else:
        register.end(session, person, found.list, Event.LEAVE, source=source, origin=origin, now=now)
    if ban:
        bans.add(session, person.digest, ban, source=source, origin=origin, person_id=person.id, now=now)
    return found.list


def welcomes_due(session: Session, *, limit: int) -> list[Confirmation]:
    """Confirmations whose welcome letter is due, oldest first."""
    return list(
        session.scalars(
            select(Confirmation)
            .where(Confirmation.welcome_due)
            .order_by(Confirmation.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
    )


def welcomes_enqueued(session: Session, confirmations: Collection[int]) -> None:
    """The desk has these welcome letters in hand."""
    session.execute(update(Confirmation).where(Confirmation.id.in_(list(confirmations))).values(welcome_due=False))
