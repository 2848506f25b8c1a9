"""How the lists grow: joins, leaves and bans by day, counted once from the ledger. The only writer of both tables.

`take` goes on from a bookmark, so a plot costs as many rows as it has days, however many persons there are. Days are
UTC: one ledger is read for all lists, and a list's time zone may change. Nothing here is about a person, nor a
breakdown of persons, so small numbers are shown (N).
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from .. import db
from . import ledger
from .register_many import CORRECTION
from .states import Channel, Event, State
from .tables import Bookmark, DailyCount, LedgerEntry, MailingList, Subscription

EVERYWHERE = 0
"""Instead of a list's id: bans of all lists."""

CONFIRMED, IMPORTED, LEFT, BANNED, ASKED = "confirmed", "imported", "left", "banned", "asked"
UNDELIVERABLE, RESTORED = "undeliverable", "restored"
MAX_DAYS = 3700

# Taken so far; how far may be taken; and which transactions must have ended before (PostgreSQL).
_TAKEN, _AHEAD, _FENCE = "growth", "growth ahead", "growth fence"

_ACTIVE = State.ACTIVE.value
_JOINS = {Event.CONFIRM.value: CONFIRMED, Event.IMPORT.value: IMPORTED, Event.RESTORE.value: RESTORED}
_ENDS = {Event.LEAVE.value: LEFT, Event.DISOWN.value: LEFT, Event.GIVE_UP.value: UNDELIVERABLE}


@dataclass(frozen=True, slots=True)
class Day:
    """What happened on one day. Joins are confirmed, imported and restored; the rest made the list smaller."""

    day: date
    confirmed: int = 0
    imported: int = 0
    restored: int = 0
    """Were undeliverable, and are mailed again."""
    left: int = 0
    undeliverable: int = 0
    banned: int = 0
    """Addresses that an e-mail ban was recorded for, of all lists or of this one, whether or not they were on it."""


@dataclass(frozen=True, slots=True)
class Confirming:
    """How many asked to join, and how many answered the letter."""

    asked: int
    confirmed: int


def take(session: Session, *, limit: int = 5000) -> int:
    """Count up to `limit` entries of the ledger that are new. Returns how many; 0: none, or another worker is at it.

    The counts and the bookmark move in one transaction, under a lock: nothing is counted twice. The first thing in its
    transaction. On PostgreSQL the first call only marks how far may be read, so call it again after a 0.
    """
    for name in (_TAKEN, _AHEAD, _FENCE):
        session.execute(db.insert_new(session, Bookmark).values(name=name, position=0).on_conflict_do_nothing())
    marks = {
        mark.name: mark
        for mark in session.scalars(
            select(Bookmark)
            .where(Bookmark.name.in_((_TAKEN, _AHEAD, _FENCE)))
            .order_by(Bookmark.name)
            .with_for_update(skip_locked=True),
            execution_options={"populate_existing": True},
        )
    }
    if len(marks) < 3:
        return 0
    taken, ahead, fence = marks[_TAKEN], marks[_AHEAD], marks[_FENCE]
    if session.get_bind().dialect.name == "sqlite":
        ahead.position = _last(session)  # one writer at a time: ids come in the order of the commits
    elif taken.position == ahead.position:
        ahead.position, fence.position = _last(session), 0
        return 0
    elif not _passed(session, fence):
        return 0
    rows = session.execute(
        select(LedgerEntry.id, LedgerEntry.body)
        .where(LedgerEntry.id > taken.position, LedgerEntry.id <= ahead.position)
        .order_by(LedgerEntry.id)
        .limit(limit)
    ).all()
    _add(session, Counter(counted for row in rows if (counted := _counted(json.loads(row.body)))))
    taken.position = rows[-1].id if len(rows) == limit else ahead.position
    session.flush()
    return len(rows)


def catch_up(*, stop: Callable[[], bool], seconds: float = 1.0) -> int:
    """Count what is new, in transactions of their own, for about this long. Returns how many entries."""
    end, counted, idle = time.monotonic() + seconds, 0, 0
    with db.reading() as session:
        if not behind(session):
            return 0
    # Two in a row: the first 0 may only have marked how far to read, the second says that others are still writing.
    while idle < 2 and not stop() and time.monotonic() < end:
        with db.transaction() as session:
            number = take(session)
        counted += number
        idle = 0 if number else idle + 1
    return counted


def behind(session: Session) -> bool:
    """Whether the ledger has entries that are not counted yet. Reads only."""
    taken = session.scalar(select(Bookmark.position).where(Bookmark.name == _TAKEN)) or 0
    return _last(session) > taken


def by_day(session: Session, list_id: int, *, since: date, until: date) -> tuple[Day, ...]:
    """Every day from `since` to `until`, both included, oldest first; MAX_DAYS at most, the latest ones."""
    since = max(since, until - timedelta(days=MAX_DAYS - 1))
    found: dict[date, dict[str, int]] = {}
    rows = session.execute(
        select(DailyCount.day, DailyCount.what, DailyCount.number).where(
            DailyCount.day >= since,
            DailyCount.day <= until,
            (DailyCount.list_id == list_id) | (DailyCount.list_id == EVERYWHERE),
            DailyCount.what != ASKED,
        )
    )
    for day, what, number in rows:
        counts = found.setdefault(day, {})
        counts[what] = counts.get(what, 0) + number
    return tuple(Day(day, **found.get(day, {})) for day in _days(since, until))


def confirming(session: Session, list_id: int, *, since: date, until: date | None = None) -> Confirming:
    """Of those who asked from `since` (to `until`) on; an answer counts on its own day, which may be a later one.

    Who asks again while a letter is open is counted once.
    """
    wanted = (
        select(DailyCount.what, func.sum(DailyCount.number))
        .where(
            DailyCount.list_id == list_id, DailyCount.what.in_((ASKED, CONFIRMED)), DailyCount.day >= since
        )
        .group_by(DailyCount.what)
    )  # fmt: skip
    if until is not None:
        wanted = wanted.where(DailyCount.day <= until)
    sums = dict(session.execute(wanted).all())
    return Confirming(int(sums.get(ASKED, 0)), int(sums.get(CONFIRMED, 0)))


def standing(session: Session, list_id: int) -> dict[str, int]:
    """How many stand where on a list now: by state."""
    rows = session.execute(
        select(Subscription.state, func.count()).where(Subscription.list_id == list_id).group_by(Subscription.state)
    )
    found = dict(rows.all())
    return {state.value: found.get(state.value, 0) for state in State if state is not State.NONE}


def _days(since: date, until: date) -> Iterator[date]:
    while since <= until:
        yield since
        since += timedelta(days=1)


# ── counting ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _counted(body: dict[str, Any]) -> tuple[str | None, date, str] | None:
    """List (by slug; None: no list), day and what; None: an entry that counts nowhere.

    Entries of the first versions don't say which state they ended; each of them is taken for a change.
    """
    day, event, slug = date.fromisoformat(body["at"][:10]), body["event"], body.get("list")
    if event == ledger.BANNED:
        # A ban of one list alone is counted there, one of all lists under none.
        return (slug, day, BANNED) if Channel.EMAIL.value in body["channels"] else None
    before = body.get("before")
    if event in _JOINS and before != _ACTIVE and body.get("source") != CORRECTION:
        return slug, day, _JOINS[event]
    if event in _ENDS and before in (_ACTIVE, None) and (before or event != Event.DISOWN.value):
        return slug, day, _ENDS[event]
    if event == Event.ASK.value and before != State.PENDING.value:
        return slug, day, ASKED
    return None


def _add(session: Session, counts: Counter[tuple[str | None, date, str]]) -> None:
    if not counts:
        return
    lists = dict(session.execute(select(MailingList.slug, MailingList.id)).all())
    rows = [
        {"list_id": lists[slug] if slug else EVERYWHERE, "day": day, "what": what, "number": number}
        for (slug, day, what), number in counts.items()
        if slug is None or slug in lists
    ]
    statement = db.insert_new(session, DailyCount)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["list_id", "day", "what"],
            set_={"number": DailyCount.number + statement.excluded.number},
        ),
        rows,
    )


# ── how far may be read ───────────────────────────────────────────────────────────────────────────────────────────────
# PostgreSQL gives ids out before the commit: behind a visible entry there may be one with a lower id that is not
# visible yet, and a bookmark that has passed it would lose it. Whoever writes an entry has a transaction number by then
# (each verb locks or writes something else first). So: note the highest id and commit; take a number in a later
# transaction, the fence; once every transaction below the fence has ended, nothing can appear below that id any more.


def _last(session: Session) -> int:
    return session.scalar(select(func.max(LedgerEntry.id))) or 0


def _passed(session: Session, fence: Bookmark) -> bool:
    own, lowest = session.execute(
        text(
            "SELECT pg_current_xact_id()::text::bigint, pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
        )
    ).one()  # fmt: skip
    if not 0 < fence.position <= own:  # none yet; or another server's, from before a restore
        fence.position = own
        session.flush()
    return bool(lowest >= fence.position)
