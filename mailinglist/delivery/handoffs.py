"""One row per (kind, about, person): enqueue, claim, settle, take back. The only writer of handoffs and shifts.

    pending ─claim→ handing ─answer→ accepted | rejected | deferred ─(in time)→ handing
                       ├─gate─→ excluded
                       └─no answer to the final dot, or a crash→ uncertain

A row is claimed by a *shift*: one worker at work, which beats every two seconds. When the beat stops, `take_back` makes
its rows, whose fate nobody knows, uncertain: never silently sent again (decision 5). Every statement names the shift,
so that a worker that slept through its end changes nothing any more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.orm import InstrumentedAttribute, Session

from ..consent.states import State
from ..consent.tables import Person, Subscription
from ..db import BUSY_SECONDS, among, changed, insert_new
from ..observe import redact
from .tables import OPEN_STATES, Handoff, Shift

BEAT_SECONDS = 2.0
_DEAD_AFTER = timedelta(seconds=10)
# A beat has to wait for whoever holds SQLite's one write lock.
_DEAD_AFTER_ON_SQLITE = timedelta(seconds=BUSY_SECONDS + 5 * BEAT_SECONDS)

BULLETIN = "bulletin"

# Spelt out, not as parameters: SQLite uses a partial index only where it can see that the query is within it.
OPEN = Handoff.state.in_([literal_column(f"'{state}'") for state in OPEN_STATES])
"""SQL: the row may go, now or later."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A row in hand."""

    id: int
    kind: str
    about: int
    list_id: int
    person_id: int
    attempts: int
    """With this one."""
    first_tried_at: datetime


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a row that was handed over (or, for `pending`, was not)."""

    id: int
    state: str
    at: datetime
    code: int | None = None
    reply: str | None = None
    not_before: datetime | None = None


# ── enqueue ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def enqueue(session: Session, *, kind: str, about: int, list_id: int, person_id: int, now: datetime) -> None:
    """One letter. Enqueued twice, it is still one."""
    session.execute(
        insert_new(session, Handoff)
        .values(
            kind=kind, about=about, list_id=list_id, person_id=person_id, state="pending", not_before=now, attempts=0
        )
        .on_conflict_do_nothing()
    )


def fan_out(session: Session, *, bulletin_id: int, list_id: int, now: datetime) -> int:
    """One row for each person who is active on the list now; the audience. One statement: a million take seconds."""
    source = select(
        literal(BULLETIN), literal(bulletin_id), literal(list_id), Subscription.person_id, literal("pending"),
        literal(now, Handoff.not_before.type), literal(0),
    ).where(Subscription.list_id == list_id, Subscription.state == State.ACTIVE.value)  # fmt: skip
    columns = ["kind", "about", "list_id", "person_id", "state", "not_before", "attempts"]
    made = session.execute(insert(Handoff).from_select(columns, source), execution_options={"preserve_rowcount": True})
    return changed(made)


# ── shifts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def begin_shift(session: Session, *, now: datetime) -> int:
    """A new shift's number."""
    shift = Shift(began_at=now, beat_at=now)
    session.add(shift)
    session.flush()
    return shift.id


def beat(session: Session, shift_id: int, *, now: datetime) -> bool:
    """The shift is alive. False: it was taken for dead meanwhile, and has to stop."""
    return changed(session.execute(update(Shift).where(Shift.id == shift_id).values(beat_at=now))) == 1


def end_shift(session: Session, shift_id: int, *, now: datetime) -> None:
    """The shift is over: what it still holds is taken back at once."""
    _take_back_from(session, [shift_id], now)


def take_back(session: Session, *, now: datetime) -> int:
    """Take back what dead shifts hold. Returns how many shifts were dead."""
    sqlite = session.get_bind().dialect.name == "sqlite"
    after = _DEAD_AFTER_ON_SQLITE if sqlite else _DEAD_AFTER
    dead = session.scalars(select(Shift.id).where(Shift.beat_at < now - after).with_for_update(skip_locked=True)).all()
    _take_back_from(session, dead, now)
    return len(dead)


def _take_back_from(session: Session, shifts: Sequence[int], now: datetime) -> None:
    if not shifts:
        return
    held = Handoff.shift_id.in_(shifts)
    session.execute(
        update(Handoff)
        .where(held, Handoff.state == "handing")
        .values(
            state="uncertain",
            shift_id=None,
            settled_at=now,
            reply="the worker stopped before the server's answer was written down",
        )
    )
    session.execute(delete(Shift).where(Shift.id.in_(shifts)))


# ── claim, settle ─────────────────────────────────────────────────────────────────────────────────────────────────────


def claim(
    session: Session, shift_id: int, *, kinds: Collection[str], about: int | None = None, limit: int, now: datetime
) -> list[Claimed]:
    """Up to `limit` rows that may go now, oldest first, marked `handing`. Several workers share them: locked rows are
    skipped. Until the transaction is committed nothing has happened: a crash before that leaves them pending."""
    wanted = (
        select(Handoff.id)
        .where(Handoff.kind.in_(list(kinds)), OPEN, Handoff.not_before <= now)
        .order_by(Handoff.not_before, Handoff.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    if about is not None:
        wanted = wanted.where(Handoff.about == about)
    first_tried = func.coalesce(Handoff.first_tried_at, literal(now, Handoff.first_tried_at.type))
    rows = session.execute(
        update(Handoff)
        # A shift that was taken for dead claims nothing more: nobody would take its rows back.
        .where(Handoff.id.in_(wanted.scalar_subquery()), exists().where(Shift.id == shift_id))
        .values(state="handing", shift_id=shift_id, attempts=Handoff.attempts + 1, first_tried_at=first_tried)
        .returning(
            Handoff.id, Handoff.kind, Handoff.about, Handoff.list_id, Handoff.person_id, Handoff.attempts,
            Handoff.first_tried_at,
        ),
        execution_options={"synchronize_session": False},
    )  # fmt: skip
    return sorted((Claimed(*row[:6], row[6] or now) for row in rows), key=lambda row: row.id)


def exclude(session: Session, shift_id: int, reasons: Mapping[int, str], *, now: datetime) -> None:
    """The gate said no to these claimed rows: they were not tried."""
    by_reason: dict[str, list[int]] = {}
    for number, reason in reasons.items():
        by_reason.setdefault(reason, []).append(number)
    for reason, numbers in by_reason.items():
        session.execute(
            update(Handoff)
            .where(among(Handoff.id, numbers), Handoff.shift_id == shift_id, Handoff.state == "handing")
            .values(state="excluded", shift_id=None, settled_at=now, reply=reason),
            execution_options={"synchronize_session": False},
        )


def settle(session: Session, shift_id: int, settled: Sequence[Settled]) -> int:
    """Write down what became of rows that this shift was handing over. Returns how many it still held.

    A row that was taken back meanwhile stays uncertain: somebody may have decided about it already. Servers quote the
    address that they refuse: only the rest of their words is kept, since the row outlives the person.
    """
    if not settled:
        return 0
    parameters = [
        {
            "row": item.id,
            "shift": shift_id,
            "to_state": item.state,
            "at": item.at,
            "said_code": item.code,
            "said": redact(item.reply)[:500] if item.reply else None,
            "again": item.not_before or item.at,
        }
        for item in settled
    ]
    if session.get_bind().dialect.name == "postgresql":
        columns = {name: [row[name] for row in parameters] for name in parameters[0]}
        return changed(session.execute(_SETTLE_POSTGRESQL, {**columns, "shift": shift_id}))
    return changed(session.connection().execute(_SETTLE, parameters))


_SETTLE = (
    update(Handoff.__table__)  # type: ignore[arg-type]
    .where(
        Handoff.id == bindparam("row", type_=Handoff.id.type),
        Handoff.shift_id == bindparam("shift", type_=Handoff.shift_id.type),
        Handoff.state == "handing",
    )
    .values(
        state=bindparam("to_state"),
        shift_id=None,
        settled_at=bindparam("at"),
        code=bindparam("said_code"),
        reply=bindparam("said"),
        not_before=bindparam("again"),
    )
)
# The same, in one statement for all: row by row costs PostgreSQL ten times as much.
_SETTLE_POSTGRESQL = text(
    "UPDATE handoffs AS h SET state = v.state, shift_id = NULL, settled_at = v.at, code = v.code, reply = v.reply, "
    "not_before = v.again FROM unnest(CAST(:row AS bigint[]), CAST(:to_state AS text[]), CAST(:at AS timestamptz[]), "
    "CAST(:said_code AS int[]), CAST(:said AS text[]), CAST(:again AS timestamptz[])) "
    "AS v (id, state, at, code, reply, again) WHERE h.id = v.id AND h.shift_id = :shift AND h.state = 'handing'"
)


# ── the account ───────────────────────────────────────────────────────────────────────────────────────────────────────


def counts(session: Session, bulletin_id: int) -> dict[str, int]:
    """Rows of one bulletin by state."""
    rows = session.execute(
        select(Handoff.state, func.count())
        .where(Handoff.kind == BULLETIN, Handoff.about == bulletin_id)
        .group_by(Handoff.state)
    )
    return dict(rows.all())


def acceptances(session: Session, bulletin_id: int) -> tuple[datetime | None, datetime | None]:
    """First and last acceptance of one bulletin."""
    first, last = session.execute(
        select(func.min(Handoff.settled_at), func.max(Handoff.settled_at)).where(
            Handoff.kind == BULLETIN, Handoff.about == bulletin_id, Handoff.state == "accepted"
        )
    ).one()
    return first, last


def unfinished(session: Session, bulletin_id: int) -> bool:
    """Whether anything is pending or being handed over. Two look-ups in the indexes, not a count."""
    ours = (Handoff.kind == BULLETIN, Handoff.about == bulletin_id)
    for wanted in ((OPEN, Handoff.state == "pending"), (Handoff.shift_id.is_not(None),)):
        if session.scalar(select(Handoff.id).where(*ours, *wanted).limit(1)) is not None:
            return True
    return False


def waits(session: Session, bulletin_id: int) -> bool:
    """Whether anything may still go."""
    wanted = select(Handoff.id).where(Handoff.kind == BULLETIN, Handoff.about == bulletin_id, OPEN)
    return session.scalar(wanted.limit(1)) is not None


def uncertain(session: Session, bulletin_id: int) -> list[tuple[str | None, datetime | None]]:
    """Who may or may not have got the bulletin: the address (None: erased), and since when nobody knows."""
    rows = session.execute(
        select(Person.mailbox, Handoff.settled_at)
        .select_from(Handoff)
        .outerjoin(Person, Person.id == Handoff.person_id)
        .where(Handoff.kind == BULLETIN, Handoff.about == bulletin_id, Handoff.state == "uncertain")
        .order_by(Handoff.id)
    )
    return [(mailbox, at) for mailbox, at in rows]


def resolve(session: Session, bulletin_id: int, *, resend: bool, by: str, now: datetime) -> int:
    """A person has decided about the uncertain rows: they count as accepted, or go once more. Returns how many."""
    values: dict[str, object] = (
        {"state": "pending", "not_before": now, "reply": f"sent again: {by} decided"}
        if resend
        else {"state": "accepted", "reply": f"counted as accepted: {by} decided"}
    )
    made = session.execute(
        update(Handoff)
        .where(Handoff.kind == BULLETIN, Handoff.about == bulletin_id, Handoff.state == "uncertain")
        .values(**values),
        execution_options={"synchronize_session": False},
    )
    return changed(made)


def open_rows(bulletin_id: ColumnElement[int] | InstrumentedAttribute[int]) -> ColumnElement[bool]:
    """SQL: the bulletin has rows that may go, now or later."""
    return exists().where(Handoff.kind == BULLETIN, Handoff.about == bulletin_id, OPEN)


def call_off(session: Session, bulletin_id: int, *, now: datetime) -> None:
    """A cancelled bulletin: what hasn't gone doesn't go."""
    session.execute(
        update(Handoff)
        .where(
            Handoff.kind == BULLETIN,
            Handoff.about == bulletin_id,
            OPEN,
        )
        .values(state="excluded", shift_id=None, settled_at=now, reply="cancelled")
    )


def any_due(session: Session, *, kinds: Collection[str], about: int | None, now: datetime) -> bool:
    """Whether a row of these kinds may go now."""
    wanted = select(Handoff.id).where(Handoff.kind.in_(list(kinds)), OPEN, Handoff.not_before <= now)
    if about is not None:
        wanted = wanted.where(Handoff.about == about)
    return session.scalar(wanted.limit(1)) is not None


def forget(session: Session, person_id: int) -> int:
    """Delete what servers said about this person. The rows stay, for the account: numbers and states, and no name.

    Returns how many rows are kept.
    """
    made = session.execute(
        update(Handoff).where(Handoff.person_id == person_id).values(reply=None),
        execution_options={"synchronize_session": False},
    )
    return changed(made)
