"""What waits for a person, as the console shows it. With spool.py and onward.py the only writer of spool.

It has bounds (crowding.py), and an end: what goes unread, to make room or because nobody looked for so long, is
counted, and the owner is told.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from ..consent.address import fold
from ..db import NO_OBJECTS, among, changed
from ..observe import count
from . import crowding
from .tables import (
    CROWDED_OUT,
    HANDLED,
    IS_UNSEEN,
    NOBODYS,
    OUTLIVED,
    SEEN,
    WENT_UNREAD,
    Spooled,
    from_the_same,
    of_list,
)


def page(session: Session, *, before: int | None = None, limit: int = 50) -> list[Spooled]:
    """A page of what waits for a person, of all lists, newest first. Without the content: ask `spool.content`."""
    earlier = [Spooled.id < before] if before is not None else []
    return list(session.scalars(select(Spooled).where(IS_UNSEEN, *earlier).order_by(Spooled.id.desc()).limit(limit)))


def how_many(session: Session, list_id: int | None) -> int:
    """How many wait for a person, of a list; None: of no list. A look at an index, however much came in."""
    return session.scalar(select(func.count()).select_from(Spooled).where(of_list(list_id), IS_UNSEEN)) or 0


def make_room(session: Session, row: Spooled, *, now: datetime) -> int:
    """Keep what waits for a person of the list of `row`, which has just joined it, within its bounds: how many mails
    had to go. Each is counted, and told (`went_unread`)."""
    session.flush()
    kept = [
        crowding.Kept(number, (fold(sender), writer or "", client or ""), octets or 0, known=person is not None)
        for number, sender, writer, client, octets, person in session.execute(
            select(
                Spooled.id, Spooled.sender, Spooled.writer, Spooled.client, func.length(Spooled.raw), Spooled.person_id
            )
            .where(of_list(row.list_id), IS_UNSEEN)
            .order_by(Spooled.id)
        )
    ]
    return _unread(session, crowding.too_many(kept, row.id), CROWDED_OUT, now)


def outlive(session: Session, before: datetime, *, limit: int, now: datetime) -> int:
    """Delete the content of mails that have waited for a person since before then; how many."""
    old = select(Spooled.id).where(*_outlived(before)).order_by(Spooled.handled_at).limit(limit)
    return _unread(session, session.scalars(old).all(), OUTLIVED, now)


def outliving(session: Session, before: datetime) -> int:
    """How many mails `outlive` would empty in all."""
    return session.scalar(select(func.count()).select_from(Spooled).where(*_outlived(before))) or 0


def ending(session: Session, list_id: int | None, *, before: datetime) -> int:
    """How many mails of a list (None: of no list) have waited for a person since before then."""
    ending = select(func.count()).select_from(Spooled).where(*_outlived(before), of_list(list_id))
    return session.scalar(ending) or 0


def _outlived(before: datetime) -> tuple[ColumnElement[bool], ...]:
    """Counted from when it came to wait for a person: it may have waited long for the program."""
    return IS_UNSEEN, func.coalesce(Spooled.handled_at, Spooled.received_at) < before


def _unread(session: Session, numbers: Collection[int], outcome: str, now: datetime) -> int:
    """These mails go, and nobody has read them in the console."""
    if not numbers:
        return 0
    theirs = update(Spooled).where(among(Spooled.id, sorted(numbers)), IS_UNSEEN)
    gone = {"state": HANDLED, "outcome": outcome, "handled_at": now, "raw": None, **NOBODYS}
    number = changed(session.execute(theirs.values(**gone), execution_options=NO_OBJECTS))
    count(f"mails_{outcome.replace('-', '_')}", number)
    return number


def went_unread(session: Session, list_id: int | None, *, since: datetime) -> int:
    """How many mails of a list (None: of no list) went since then before a person had dealt with them. A look at an
    index."""
    gone = select(func.count()).select_from(Spooled).where(WENT_UNREAD, Spooled.handled_at > since, of_list(list_id))
    return session.scalar(gone) or 0


def seen(session: Session, number: int, *, now: datetime) -> bool:
    """A person has dealt with it. False: there is no such mail that waits for a person."""
    changes = update(Spooled).where(Spooled.id == number, IS_UNSEEN)
    return changed(session.execute(changes.values(state=SEEN, handled_at=now))) == 1


def seen_alike(session: Session, row: Spooled, numbers: Collection[int], *, now: datetime) -> int:
    """A person has dealt with those of these mails that have the return path and the From of this one; how many."""
    theirs = update(Spooled).where(IS_UNSEEN, among(Spooled.id, sorted(numbers)), from_the_same(row))
    done_with = theirs.values(state=SEEN, handled_at=now)
    return changed(session.execute(done_with, execution_options=NO_OBJECTS))
