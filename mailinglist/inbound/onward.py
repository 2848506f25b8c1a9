"""What is for a person, on its way to the list's owner: how far each mail is. With spool.py and unseen.py the only
writer of spool.

    pending → handing → accepted | uncertain
       ↑          ├→ pending (a server put it off) | failed
       │          └→ withheld: the owner has had enough for a day; it stands in the console all the same
       └─ what was withheld or has failed, where a person has the mail tried again

The mail's own row says how far it is, and when it went: so the owner's limits for a day count what went within that
day, however long it had waited before.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, case, func, select, update
from sqlalchemy.orm import Session

from .. import moments
from ..db import NO_OBJECTS, changed
from .tables import IS_UNSEEN, Spooled, from_the_same, of_list

PENDING, HANDING, ACCEPTED = "pending", "handing", "accepted"
UNCERTAIN, FAILED, WITHHELD = "uncertain", "failed", "withheld"
DEFERRED = "deferred"
"""A server put it off: it is pending again, or has failed."""

_AGAIN = (timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2), timedelta(hours=12))
_FORGOTTEN = timedelta(minutes=15)
"""Handing over one mail takes no longer: whoever began it is dead."""


def send_on(row: Spooled, now: datetime) -> None:
    """This mail is for the owner; once, also if it was tried again from the console."""
    if row.forwarded in (None, WITHHELD, FAILED):
        row.forwarded, row.forward_at, row.forward_tries = PENDING, now, 0


def any_due(session: Session, now: datetime) -> bool:
    """Whether there is anything to send on, or left of a worker that died. Reads only."""
    due = Spooled.forwarded.in_([PENDING, HANDING]) & (Spooled.forward_at <= now)
    return session.scalar(select(Spooled.id).where(IS_UNSEEN, due).limit(1)) is not None


def begin_next(session: Session, now: datetime) -> int | None:
    """Claim the oldest mail that is to be sent on: it is `handing` once this transaction is committed, which is before
    anybody reads it. None: nothing is due."""
    row = session.scalar(
        select(Spooled)
        .where(IS_UNSEEN, Spooled.forwarded == PENDING, Spooled.forward_at <= now)
        .order_by(Spooled.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if row is None:
        return None
    row.forwarded, row.forward_at = HANDING, now
    return row.id


def went(session: Session, list_id: int | None, since: datetime, until: datetime, *whose: ColumnElement[bool]) -> int:
    """How many of a list's mails (None: of no list's) were sent on between these moments, or are just being; of those
    that are `of_writer` or `of_domain`. A look at an index."""
    wanted = select(func.count()).where(
        of_list(list_id),
        Spooled.forwarded.is_not(None),  # as the partial index says it
        Spooled.forward_at > since,
        Spooled.forward_at <= until,
        Spooled.forwarded.in_([HANDING, ACCEPTED, UNCERTAIN]),
        *whose,
    )
    return session.scalar(wanted.select_from(Spooled)) or 0


def of_writer(row: Spooled) -> ColumnElement[bool]:
    """SQL: it is from whom this mail is from (`crowding.Writer`); those that name nobody count together here."""
    return from_the_same(row) & (func.coalesce(Spooled.client, "") == (row.client or ""))


def of_domain(row: Spooled) -> ColumnElement[bool] | None:
    """SQL: its return path, else its From, is at the same domain as this mail's; None: this mail names none."""
    at, domain = (row.sender or row.writer or "").rpartition("@")[1:]
    if not domain:
        return None
    named = case((Spooled.sender == "", func.coalesce(Spooled.writer, "")), else_=Spooled.sender)
    return named.iendswith(at + domain, autoescape=True)


def withhold(session: Session, number: int) -> None:
    """It is not sent on: the owner has had enough for a day, of all or of its writer, or there is none."""
    theirs = update(Spooled).where(Spooled.id == number, Spooled.forwarded == HANDING)
    session.execute(theirs.values(forwarded=WITHHELD), execution_options=NO_OBJECTS)


def settle(session: Session, number: int, *, state: str, now: datetime) -> None:
    """What came of sending a mail on: ACCEPTED, UNCERTAIN, FAILED, or DEFERRED, which is tried again or fails."""
    row = session.get(Spooled, number, with_for_update=True)
    if row is None or row.forwarded != HANDING:
        return
    row.forward_at = now
    if state != DEFERRED:
        row.forwarded = state
        return
    row.forward_tries += 1
    if row.forward_tries > len(_AGAIN):
        row.forwarded = FAILED
        return
    row.forwarded, row.forward_at = PENDING, now + _AGAIN[row.forward_tries - 1]


def left_behind(session: Session, now: datetime) -> int:
    """What was being sent on when a worker died: nobody knows whether it arrived, and it is not sent again."""
    left = update(Spooled).where(IS_UNSEEN, Spooled.forwarded == HANDING, Spooled.forward_at < now - _FORGOTTEN)
    return changed(session.execute(left.values(forwarded=UNCERTAIN), execution_options=NO_OBJECTS))


def put_right(session: Session, *, now: datetime) -> int:
    """The same for what is sent on (`spool.put_right`)."""
    never = (Spooled.forwarded.in_([PENDING, HANDING]), Spooled.forward_at > moments.latest(now) + _AGAIN[-1])
    late = update(Spooled).where(IS_UNSEEN, *never)
    return changed(session.execute(late.values(forward_at=now), execution_options=NO_OBJECTS))


def come_back(session: Session) -> None:
    """After a restore: what was to be sent on may have been since, and is not sent again; it stands in the console."""
    may_have_gone = update(Spooled).where(IS_UNSEEN, Spooled.forwarded.in_([PENDING, HANDING]))
    session.execute(may_have_gone.values(forwarded=UNCERTAIN), execution_options=NO_OBJECTS)
