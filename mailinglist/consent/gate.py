"""The gate: one rule, one SQL expression. May this person be mailed this, now, and if not, why?

Two kinds of mail. *Marketing*: bulletins, and the confirmation, welcome and "already on the list" letters; an e-mail
ban of all lists or of this one, or a restriction (GDPR 18), stops these. *Service*: what a person asked for about their
own data, such as a link to leave by; neither stops these. The same expression serves a million and one. It fails
closed: every reading first makes sure that the bans can be read, and marketing waits while an opt-out that was answered
is not in the register yet (`intake.keep_exit`).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    String,
    and_,
    bindparam,
    case,
    exists,
    false,
    func,
    literal,
    null,
    select,
    type_coerce,
)
from sqlalchemy.orm import Session

from ..db import UtcDateTime, among
from ..errors import OptOutsWait
from ..stationery.sentences import noted as _
from . import keys
from .address import Address
from .states import Channel, State
from .tables import ALL_LISTS, FOREMOST, Ban, Person, Request, Subscription


class Mail(Enum):
    """What is to be mailed: the states in which it may go, and whether a ban stops it."""

    BULLETIN = "bulletin"
    CONFIRM = "confirm"
    WELCOME = "welcome"
    ALREADY = "already"
    SERVICE = "service"

    @property
    def states(self) -> tuple[State, ...]:
        """The states in which it may go; none: in any, or without a subscription."""
        return _STATES[self]

    @property
    def marketing(self) -> bool:
        """Whether a ban stops it."""
        return self is not Mail.SERVICE


_WAIT = _("People who have just left are still being entered. Try again in a moment.")
_STATES: dict[Mail, tuple[State, ...]] = {
    Mail.BULLETIN: (State.ACTIVE,),
    Mail.CONFIRM: (State.PENDING, State.LEFT, State.UNDELIVERABLE),
    Mail.WELCOME: (State.ACTIVE,),
    Mail.ALREADY: (State.ACTIVE,),
    Mail.SERVICE: (),
}


def reaches(list_id: int) -> ColumnElement[bool]:
    """SQL: the row's Ban counts for this list: it is about all lists, or about this one alone. The one place that knows
    how far a ban reaches."""
    return Ban.list_id.in_((ALL_LISTS, list_id))


def against_mail(list_id: int) -> ColumnElement[bool]:
    """SQL: the row's Ban is in force and forbids mail of this list. Whoever asks about bans on mail asks by it."""
    return and_(Ban.channel == Channel.EMAIL.value, reaches(list_id), Ban.lifted_at.is_(None))


def banned(list_id: int) -> ColumnElement[bool]:
    """SQL: mail of this list is forbidden for the row's Person, by its address as written or case-folded."""
    return exists().where(Ban.digest.in_([Person.digest, Person.exact_digest]), against_mail(list_id))


def opt_outs_wait() -> ColumnElement[bool]:
    """SQL: somebody was told that they have left, and it is not entered yet. Whom it is about only a token says, so it
    holds up everybody; that is the time that a worker takes to enter it."""
    # The moment stands in the statement's text: with a parameter PostgreSQL plans for whatever moment, and reads all
    # requests where many came at one (33 ms for each group, with 400,000 of them, instead of nothing).
    foremost = bindparam("foremost", FOREMOST, UtcDateTime(), literal_execute=True)
    return exists().where(Request.taken_at.is_(None), Request.not_before == foremost)


def assert_entered(session: Session) -> None:
    """Who asks whether somebody is free asks this first: nobody may be told of as free whom we have answered that
    marketing is forbidden. Raises RegisterUnsound; OptOutsWait."""
    keys.assert_sound(session)
    if session.scalar(select(opt_outs_wait())):
        raise OptOutsWait(_WAIT)


def reason(mail: Mail, *, list_id: int, now: datetime) -> ColumnElement[str | None]:
    """SQL: why `mail` of this list may not go to the row's Person; NULL: it may."""
    standing: ColumnElement[Any] = null()
    if mail.states:
        # A look-up by key for each person, not a join: while PostgreSQL has no statistics of a list that has just been
        # imported, it would join by reading the whole list for each person (0.3 ms a mail at 10,000). The list in an
        # expression, so that the index of lists can't serve: without statistics it looks as good as the key.
        state = select(Subscription.state).where(
            Subscription.person_id == Person.id, Subscription.list_id + 0 == list_id
        )
        standing = func.coalesce(type_coerce(state.scalar_subquery(), String), literal("not on the list"))
        for allowed in mail.states:
            standing = func.nullif(standing, literal(allowed.value))
    whens: list[tuple[ColumnElement[bool], ColumnElement[Any]]] = []
    if mail.marketing:
        whens.append((banned(list_id), literal("banned")))
        whens.append((Person.restricted_at.is_not(None), literal("restricted")))  # GDPR 18
    if mail is Mail.CONFIRM:
        whens.append((func.coalesce(Person.muted_until > now, False), literal("muted")))
    return case(*whens, else_=standing) if whens else standing


class Reading(NamedTuple):
    """One person as the gate sees them now. `why`: why the mail may not go; None: it may."""

    mailbox: str
    name: str | None
    digest: bytes
    why: str | None


def read(session: Session, mail: Mail, *, list_id: int, persons: Collection[int], now: datetime) -> dict[int, Reading]:
    """What the gate says of `persons` (by id), and what a mail to them needs. Who is missing was erased.

    Raises RegisterUnsound when the bans can't be read; OptOutsWait, of marketing.
    """
    keys.assert_sound(session)
    # In one statement: asked before it or after it, an opt-out could be kept, or entered, in between.
    waits = opt_outs_wait() if mail.marketing else false()
    why = reason(mail, list_id=list_id, now=now)
    rows = session.execute(
        select(Person.id, Person.mailbox, Person.name, Person.digest, why, waits).where(among(Person.id, persons))
    ).all()
    if rows and rows[0][5]:
        raise OptOutsWait(_WAIT)
    return {number: Reading(mailbox, name, digest, why) for number, mailbox, name, digest, why, _waits in rows}


def refusals(session: Session, mail: Mail, *, list_id: int, persons: Collection[int], now: datetime) -> dict[int, str]:
    """Those of `persons` to whom `mail` of this list may not go now, each with the reason. Raises RegisterUnsound."""
    found = read(session, mail, list_id=list_id, persons=persons, now=now)
    answers = {person: found[person].why if person in found else "erased" for person in persons}
    return {person: why for person, why in answers.items() if why is not None}


def not_even_a_test(session: Session, address: Address, *, list_id: int, now: datetime) -> str | None:
    """Why not even a test mail of this list may go to the address: its owner has left, did not ask, or has restricted
    the use of their data (GDPR 18). None: it may, if no ban forbids it. Raises RegisterUnsound, OptOutsWait."""
    assert_entered(session)
    found = session.execute(
        select(Subscription.state, Person.muted_until, Person.restricted_at)
        .select_from(Person)
        .outerjoin(Subscription, (Subscription.person_id == Person.id) & (Subscription.list_id == list_id))
        .where(Person.folded == address.folded)
    ).one_or_none()
    if found is None:
        return None
    state, muted_until, restricted_at = found
    if restricted_at is not None:
        return "restricted"
    if muted_until is not None and muted_until > now:
        return "muted"
    return State.LEFT.value if state == State.LEFT.value else None
