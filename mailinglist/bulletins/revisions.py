"""Revisions: what a bulletin was at earlier times, and texts that were set aside. The only writer of them.

One is kept for an author in ten minutes, and one for each approval. A text that somebody gave up for another's is kept,
too, under a number below zero: it never was what the bulletin was, so nothing that asks who wrote a bulletin counts it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session, defer

from ..errors import Unknown
from ..stationery.sentences import noted as _
from .comparison import State
from .tables import Approval, Bulletin, Revision

KEPT_EVERY = timedelta(minutes=10)
"""At most one revision of an author in this time; what they save within it is written over."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who does something: a member of staff, or (without an account) a command."""

    account_id: int | None
    who: str


def revisions(session: Session, bulletin_id: int, *, limit: int = 100) -> list[Revision]:
    """What was kept, newest first, and what was set aside after it; without the sources."""
    wanted = select(Revision).where(Revision.bulletin_id == bulletin_id)
    order = (Revision.number > 0).desc(), func.abs(Revision.number).desc()
    return list(session.scalars(wanted.order_by(*order).limit(limit).options(defer(Revision.source))))


def revision(session: Session, bulletin_id: int, number: int) -> Revision:
    """One that was kept or set aside. Raises Unknown."""
    found = session.scalar(
        select(Revision).where(Revision.bulletin_id == bulletin_id, Revision.number == number)
    )  # fmt: skip
    if found is None:
        raise Unknown(_("This version of the bulletin is not kept."))
    return found


def state_of(bulletin: Bulletin) -> State:
    """The bulletin as it stands."""
    return State(bulletin.form, bulletin.subject, bulletin.source, bulletin.audience)


def state_at(kept: Revision) -> State:
    """The bulletin as it was then."""
    return State(kept.form, kept.subject, kept.source, kept.audience)


def latest(session: Session, bulletin_id: int) -> Revision | None:
    """The newest that the bulletin was."""
    return session.scalar(
        select(Revision)
        .where(Revision.bulletin_id == bulletin_id, Revision.number > 0)
        .order_by(Revision.number.desc())
        .limit(1)
    )


def keep(session: Session, bulletin: Bulletin, *, by: Author, now: datetime, apart: bool = False) -> None:
    """Keep the bulletin as it stands: in place of what the author kept in these ten minutes, unless that was
    approved or this is to be kept `apart`."""
    began = datetime.fromtimestamp(
        now.timestamp() // KEPT_EVERY.total_seconds() * KEPT_EVERY.total_seconds(), now.tzinfo
    )
    pinned = select(Approval.revision).where(Approval.bulletin_id == bulletin.id)
    kept = None if apart else session.scalar(
        select(Revision)
        .where(
            Revision.bulletin_id == bulletin.id, Revision.account_id.is_not_distinct_from(by.account_id),
            Revision.who == by.who[:200], Revision.at >= began, Revision.number.not_in(pinned), Revision.number > 0,
        )
        .order_by(Revision.number.desc())
        .limit(1)
    )  # fmt: skip
    if kept is None:
        kept = Revision(bulletin_id=bulletin.id, account_id=by.account_id, who=by.who[:200], form=bulletin.form)
        session.add(kept)
    kept.number, kept.at = bulletin.revision, now
    kept.subject, kept.source, kept.audience = bulletin.subject, bulletin.source, bulletin.audience
    session.flush()


def inherit(session: Session, bulletin: Bulletin, authors: list[Author], *, now: datetime) -> None:
    """Keep a new copy once for each of those who have a hand in its origin: the first revisions of it."""
    for number, author in enumerate(authors, start=1):
        _add(session, bulletin.id, number, state_of(bulletin), by=author, now=now)


def set_aside(session: Session, bulletin: Bulletin, state: State, *, by: Author, now: datetime) -> int:
    """Keep a text that somebody gives up for what stands. Returns its number. The bulletin has to be locked."""
    lowest = session.scalar(
        select(func.min(Revision.number)).where(Revision.bulletin_id == bulletin.id, Revision.number < 0)
    )
    number = (lowest or 0) - 1
    _add(session, bulletin.id, number, state, by=by, now=now)
    session.flush()
    return number


def hands(session: Session, bulletin_id: int) -> list[Author]:
    """The accounts that changed the bulletin, in the order of their latest changes."""
    wanted = select(Revision.account_id, Revision.who).where(
        Revision.bulletin_id == bulletin_id, Revision.account_id.is_not(None), Revision.number > 0
    )
    found: dict[int, str] = {}
    for account_id, who in session.execute(wanted.order_by(Revision.number)):
        assert account_id is not None
        found.pop(account_id, None)
        found[account_id] = who
    return [Author(account_id, who) for account_id, who in found.items()]


def _add(session: Session, bulletin_id: int, number: int, state: State, *, by: Author, now: datetime) -> None:
    session.add(
        Revision(
            bulletin_id=bulletin_id, number=number, subject=state.subject, form=state.form, source=state.source,
            audience=state.audience, at=now, account_id=by.account_id, who=by.who[:200],
        )
    )  # fmt: skip
