"""One row per (kind, about, person): enqueue, claim, settle, take back. The only writer of the parts of an audience and
of shifts; of handoffs with `account`, where a person decides, and `server_words`, where servers' answers are deleted.

    pending ─claim→ handing ─answer→ accepted | rejected | deferred ─(in time)→ handing
                       ├─gate─→ excluded
                       └─no answer to the final dot, or a crash→ uncertain

A row is claimed by a *shift*: one worker at work, which beats every two seconds. When the beat stops, `take_back` makes
its rows, whose fate nobody knows, uncertain: never silently sent again. Every statement names the shift,
so that a worker that slept through its end changes nothing any more.

A bulletin's audience is written down when it begins, as parts of a hundred ids each (`fan_out`); a claim makes the rows
of a part, in hand from the first. So a million cost less than a second before the first mail, and each mail one insert
and one change.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    Executable,
    Integer,
    Row,
    Select,
    Text,
    Update,
    bindparam,
    cast,
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

from .. import moments
from ..consent import pins
from ..db import NO_OBJECTS, among, changed, dead_after, insert_new
from ..observe import redact
from . import failures
from .tables import KINDS, OPEN_STATES, RARE_STATES, AudiencePart, Dispatch, Handoff, Shift

BULLETIN = "bulletin"
PART = 100
"""Persons in one part of an audience: no more than a group, so that few are taken and left waiting."""

# Spelt out, not as parameters: SQLite uses a partial index only where it can see that the query is within it.
OPEN = Handoff.state.in_([literal_column(f"'{state}'") for state in OPEN_STATES])
"""SQL: the row may go, now or later."""
RARE = Handoff.state.in_([literal_column(f"'{state}'") for state in RARE_STATES])
"""SQL: it is out of the ordinary: the account counts these."""
_LETTERS = [kind for kind in KINDS if kind != BULLETIN]


class Claimed(NamedTuple):
    """A row in hand."""

    id: int
    kind: str
    about: int
    list_id: int
    person_id: int
    attempts: int
    """With this one."""
    first_tried_at: datetime | None
    """When a server first put it off; None: none has."""


class Settled(NamedTuple):
    """What became of a row that was handed over (or, for `pending`, was not)."""

    id: int
    state: str
    at: datetime
    code: int | None = None
    reply: str | None = None
    not_before: datetime | None = None
    put_off: bool = False
    """A server was asked, and did not take it yet: from the first such time the days count for which it is tried."""


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


def fan_out(session: Session, *, bulletin_id: int, list_id: int, members: Select[int]) -> int:
    """Write down the `members` (a SELECT of person ids) as they are now, in parts; how many they are. One statement,
    one look at the register: who leaves later is in the audience, and excluded by the gate; who joins later is not in
    it."""
    sqlite = session.get_bind().dialect.name == "sqlite"
    person = members.subquery().c[0]
    place = func.row_number().over(order_by=person)
    active = select(person.label("person_id"), ((place - 1) // PART).label("part")).subquery()
    together = func.json_group_array if sqlite else func.json_agg
    source = (
        select(literal(bulletin_id), literal(list_id), func.count(), together(active.c.person_id))
        .group_by(active.c.part)
        .order_by(active.c.part)
    )
    session.execute(insert(AudiencePart).from_select(["bulletin_id", "list_id", "size", "persons"], source))
    return session.scalar(in_parts(bulletin_id)) or 0


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
    session.execute(select(Shift.id).where(Shift.id == shift_id).with_for_update())  # in the order of `take_back`
    _take_back_from(session, [shift_id], now)


def take_back(session: Session, *, now: datetime) -> int:
    """Take back what dead shifts hold. Returns how many shifts were dead."""
    silent = Shift.beat_at < now - dead_after(session)
    dead = session.scalars(select(Shift.id).where(silent).with_for_update(skip_locked=True)).all()
    _take_back_from(session, dead, now)
    # A net: no claim outlives its shift, but a row in nobody's hands would wait for ever.
    _make_uncertain(session, Handoff.shift_id.is_not(None) & Handoff.shift_id.not_in(select(Shift.id)), now)
    return len(dead)


def put_right(session: Session, *, now: datetime) -> int:
    """Have mails that wait for a moment that none can wait for go now: they were enqueued by a clock that was ahead.
    And a beat of then counts as one of now: whose worker is dead is found so from here on. Returns how many mails."""
    session.execute(update(Shift).where(Shift.beat_at > moments.latest(now)).values(beat_at=now))
    never = (OPEN, Handoff.not_before > moments.latest(now) + failures.LONGEST_WAIT)
    sending = select(Dispatch.bulletin_id).where(Dispatch.state == "sending")
    theirs = ((Handoff.kind == BULLETIN, Handoff.about.in_(sending)), (Handoff.kind.in_(_LETTERS),))
    return sum(
        changed(
            session.execute(
                update(Handoff).where(*rows, *never).values(not_before=now),
                execution_options=NO_OBJECTS,
            )
        )
        for rows in theirs
    )


def _take_back_from(session: Session, shifts: Sequence[int], now: datetime) -> None:
    if shifts:
        _make_uncertain(session, Handoff.shift_id.in_(shifts), now)
        session.execute(delete(Shift).where(Shift.id.in_(shifts)))


def _make_uncertain(session: Session, held: ColumnElement[bool], now: datetime) -> None:
    session.execute(
        update(Handoff)
        .where(held, Handoff.state == "handing")
        .values(
            state="uncertain",
            shift_id=None,
            settled_at=now,
            reply="the worker stopped before the server's answer was written down",
        ),
        execution_options=NO_OBJECTS,
    )


_PARTS_AT_ONCE = 50
_RESTORED = "open when the backup was made: it may have gone out since"


def come_back(session: Session, cancelled: Collection[int], *, now: datetime) -> int:
    """After a restore: what was open when the backup was made may have gone out since, so nobody knows: uncertain. The
    shifts of then are over. Bulletins that were `cancelled` stay so, but for what was in hand. Returns how many rows.

    Who of an audience had no row yet gets one. Costs a row each: a restore may take its time.
    """
    session.execute(delete(Shift))
    fate = {"state": "uncertain", "shift_id": None, "settled_at": now, "reply": _RESTORED}
    called_off = (Handoff.kind == BULLETIN) & among(Handoff.about, cancelled)
    total = 0
    for rows in (Handoff.state == "handing", OPEN & ~called_off):
        total += changed(session.execute(update(Handoff).where(rows).values(**fate), execution_options=NO_OBJECTS))
    waiting = select(AudiencePart.bulletin_id).where(~among(AudiencePart.bulletin_id, cancelled)).distinct()
    for about in session.scalars(waiting).all():
        while True:
            list_id, persons = _taken_parts(session, about, _PARTS_AT_ONCE)
            if not persons:
                break
            alike = {**fate, "about": about, "list_id": list_id, "not_before": now, "attempts": 0}
            total += len(_make_rows(session, persons, alike))
    return total


# ── claim, settle ─────────────────────────────────────────────────────────────────────────────────────────────────────


def claim(
    session: Session, shift_id: int, *, kinds: Collection[str], about: int | None = None, limit: int, now: datetime
) -> list[Claimed]:
    """Up to `limit` rows that may go now, oldest first, marked `handing`. Several workers share them: locked rows are
    skipped. Until the transaction is committed nothing has happened: a crash before that leaves them pending."""
    # Locked, so that nobody takes it for dead before this is committed: its rows would be nobody's.
    held = select(Shift.id).where(Shift.id == shift_id).with_for_update(read=True, key_share=True)
    if session.scalar(held) is None:
        return []
    look_up_by_key(session)
    values = {"kinds": list(kinds), "bulletin": about, "now": now, "most": limit, "shift": shift_id}
    claim_them = _CLAIM if about is None else _CLAIM_OF_ONE
    rows = session.execute(claim_them, values, execution_options=NO_OBJECTS)
    found = sorted((Claimed(*row[:]) for row in rows), key=lambda row: row.id)
    if about is not None and len(found) < limit:
        found += _claim_parts(session, shift_id, about=about, limit=limit - len(found), now=now)
    return found


def _claim(*, of_one: bool) -> Update:
    wanted = (
        select(Handoff.id)
        .where(Handoff.kind.in_(bindparam("kinds", expanding=True)), OPEN, Handoff.not_before <= bindparam("now"))
        .order_by(Handoff.not_before, Handoff.id)
        .limit(bindparam("most", type_=Integer))
        .with_for_update(skip_locked=True)
    )
    if of_one:
        wanted = wanted.where(Handoff.about == bindparam("bulletin"))
    return (
        update(Handoff)
        .where(Handoff.id.in_(wanted.scalar_subquery()))
        .values(
            state="handing",
            shift_id=bindparam("shift"),
            attempts=Handoff.attempts + 1,
        )
        .returning(
            Handoff.id, Handoff.kind, Handoff.about, Handoff.list_id, Handoff.person_id, Handoff.attempts,
            Handoff.first_tried_at,
        )
    )  # fmt: skip


# Built once: building costs as much as running.
_CLAIM, _CLAIM_OF_ONE = _claim(of_one=False), _claim(of_one=True)


def _claim_parts(session: Session, shift_id: int, *, about: int, limit: int, now: datetime) -> list[Claimed]:
    """Claim those of an audience that have no rows yet. Of a part that is too big for it, the rest get pending rows."""
    list_id, persons = _taken_parts(session, about, max(1, limit // PART))
    alike = {"about": about, "list_id": list_id, "not_before": now}
    handing = {**alike, "state": "handing", "shift_id": shift_id, "attempts": 1}
    made = _make_rows(session, persons[:limit], handing)
    _make_rows(session, persons[limit:], {**alike, "state": "pending", "attempts": 0})
    return sorted(
        (Claimed(row, BULLETIN, about, list_id, person, 1, None) for row, person in made), key=lambda row: row.id
    )


def _taken_parts(session: Session, about: int, number: int) -> tuple[int, list[int]]:
    """The list, and the persons of up to `number` parts of a bulletin's audience, oldest first, who are this
    transaction's to make rows of. Others' parts are skipped."""
    wanted = select(AudiencePart.id).where(AudiencePart.bulletin_id == about).order_by(AudiencePart.id).limit(number)
    gone = (
        delete(AudiencePart)
        .where(AudiencePart.id.in_(wanted.with_for_update(skip_locked=True).scalar_subquery()))
        .returning(AudiencePart.id, AudiencePart.list_id, AudiencePart.persons)
    )
    taken = sorted(session.execute(gone, execution_options=NO_OBJECTS))
    return (taken[0].list_id if taken else 0), [person for part in taken for person in part.persons]


_MADE: dict[str, object] = {
    "state": "", "not_before": None, "shift_id": None, "attempts": 0, "settled_at": None,
    "reply": None,
}  # fmt: skip
"""What rows that are made together have alike, besides their bulletin and list."""


def _make_rows(session: Session, persons: Sequence[int], alike: Mapping[str, object]) -> Sequence[Row[int, int]]:
    """A bulletin's row for each of `persons`; row and person."""
    if not persons:
        return ()
    values = {f"new_{name}": value for name, value in {**_MADE, **alike}.items()}
    values["persons"] = json.dumps(persons)
    return session.connection().execute(_MAKE[session.get_bind().dialect.name], values).all()


def _make(dialect: str) -> Executable:
    person: ColumnElement[int]
    if dialect == "sqlite":
        person = func.json_each(bindparam("persons", type_=Text)).table_valued("value").c.value
    else:  # JSON here, too: psycopg makes arrays element by element in Python
        words = func.json_array_elements_text(cast(bindparam("persons", type_=Text), JSON)).column_valued("person")
        person = cast(words, BigInteger)
    columns = Handoff.__table__.c
    names = ("about", "list_id", *_MADE)
    alike = (bindparam(f"new_{name}", type_=columns[name].type) for name in names)
    source = select(person, literal(BULLETIN, columns.kind.type), *alike)
    made = insert(Handoff.__table__).from_select(["person_id", "kind", *names], source)  # type: ignore[arg-type]
    return made.returning(Handoff.id, Handoff.person_id)


_MAKE = {dialect: _make(dialect) for dialect in ("sqlite", "postgresql")}


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
            execution_options=NO_OBJECTS,
        )


def held(session: Session, shift_id: int, rows: Sequence[int]) -> set[int]:
    """Those of `rows` that this shift still has in hand: it may have been taken for dead while it slept."""
    ours = (among(Handoff.id, rows), Handoff.shift_id == shift_id, Handoff.state == "handing")
    return set(session.scalars(select(Handoff.id).where(*ours)))


def put_back(session: Session, shift_id: int, rows: Sequence[int], *, now: datetime) -> None:
    """Rows that this shift claimed and that were not tried after all wait again, as if they had not been claimed."""
    session.execute(
        update(Handoff)
        .where(among(Handoff.id, rows), Handoff.shift_id == shift_id, Handoff.state == "handing")
        .values(
            state="pending",
            shift_id=None,
            not_before=now,
            attempts=Handoff.attempts - 1,
        ),
        execution_options=NO_OBJECTS,
    )


def settle(session: Session, shift_id: int, settled: Sequence[Settled]) -> int:
    """Write down what became of rows that this shift was handing over. Returns how many it still held.

    A row that was taken back meanwhile stays uncertain: somebody may have decided about it already. Servers quote the
    address that they refuse: only the rest of their words is kept; nothing of an erased person, whom the row outlives.
    """
    if not settled:
        return 0
    if session.get_bind().dialect.name == "postgresql":
        rows = [_settled_row(item) for item in settled]
        look_up_by_key(session)
        _hold_persons(session, [item.id for item in settled if item.state != "accepted"])
        return changed(session.execute(_SETTLE_POSTGRESQL, {"rows": json.dumps(rows), "shift": shift_id}))
    parameters = [
        (
            item.state,
            (at := _stored(item.at)),
            item.code,
            _words(item.reply),
            _stored(item.not_before) if item.not_before else at,
            at if item.put_off else None,
            item.id,
            shift_id,
        )
        for item in settled
    ]
    return changed(session.connection().exec_driver_sql(_SETTLE_SQLITE, parameters))


def _settled_row(item: Settled) -> dict[str, object]:
    """One of the rows that _SETTLE_POSTGRESQL reads; what is left out is NULL."""
    row = {
        "id": item.id, "state": item.state, "at": item.at.isoformat(), "code": item.code, "reply": _words(item.reply),
    }  # fmt: skip
    if item.not_before:
        row["again"] = item.not_before.isoformat()
    if item.put_off:
        row["put_off"] = True
    return row


def _hold_persons(session: Session, rows: Sequence[int]) -> None:
    """Nobody is erased until this is committed, or is erased before it begins: else their words would come after."""
    if rows:
        pins.pin_many(session, select(Handoff.person_id).where(among(Handoff.id, rows)))


def _stored(at: datetime) -> str:
    """A moment as UtcDateTime stores it in SQLite."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def _words(reply: str | None) -> str | None:
    """What a server said, as it is kept."""
    return redact(reply)[:500] if reply else None


# Straight to the driver: SQLAlchemy's way with each value of each row costs as much as the change itself.
_SETTLE_SQLITE = (
    "UPDATE handoffs SET state = ?, shift_id = NULL, settled_at = ?, code = ?, "
    "reply = CASE WHEN EXISTS (SELECT 1 FROM persons WHERE id = handoffs.person_id) THEN ? END, not_before = ?, "
    "first_tried_at = coalesce(first_tried_at, ?) WHERE id = ? AND shift_id = ? AND state = 'handing'"
)
# The same, in one statement for all: row by row costs PostgreSQL ten times as much. CASE hides from the planner how few
# rows a shift holds: it would begin with those, and look through all that is to be settled for each (0.2 ms a mail).
# JSON, since psycopg makes arrays element by element in Python (1 µs each).
_SETTLE_POSTGRESQL = text(
    "UPDATE handoffs AS h SET state = v.state, shift_id = NULL, settled_at = v.at, code = v.code, "
    "reply = CASE WHEN EXISTS (SELECT FROM persons WHERE id = h.person_id) THEN v.reply END, "
    "first_tried_at = coalesce(h.first_tried_at, CASE WHEN v.put_off THEN v.at END), "
    "not_before = coalesce(v.again, v.at) FROM json_to_recordset(CAST(:rows AS json)) "
    "AS v (id bigint, state text, at timestamptz, code int, reply text, again timestamptz, put_off boolean) "
    "WHERE h.id = v.id AND CASE WHEN h.shift_id = :shift THEN h.state = 'handing' ELSE FALSE END"
)
_BY_KEY = text("SELECT set_config('enable_hashjoin', 'off', TRUE), set_config('enable_mergejoin', 'off', TRUE)")


def look_up_by_key(session: Session) -> None:
    """For the rest of the transaction, PostgreSQL finds rows by their keys, one by one. The table changes too fast for
    its statistics: with old ones, or none, it would read all of it for each group."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(_BY_KEY)


# ── what has no row yet, and what is called off ───────────────────────────────────────────────────────────────────────


def parts_of(bulletin_id: ColumnElement[int] | InstrumentedAttribute[int] | int) -> ColumnElement[bool]:
    """SQL: some of the bulletin's audience have no row yet."""
    return exists().where(AudiencePart.bulletin_id == bulletin_id)


def in_parts(bulletin_id: int) -> Select[int]:
    """SQL: how many they are."""
    return select(func.coalesce(func.sum(AudiencePart.size), 0)).where(AudiencePart.bulletin_id == bulletin_id)


_CANCELLED = {"state": "excluded", "shift_id": None, "reply": "cancelled"}


def call_off(session: Session, bulletin_id: int, *, now: datetime) -> None:
    """A cancelled bulletin: what hasn't gone doesn't go."""
    session.execute(
        update(Handoff)
        .where(
            Handoff.kind == BULLETIN,
            Handoff.about == bulletin_id,
            OPEN,
        )
        .values(**_CANCELLED, settled_at=now)
    )


def call_off_parts(session: Session, bulletin_id: int, *, most: int, now: datetime) -> None:
    """A cancelled bulletin: up to about `most` of those who had no row yet get one, excluded."""
    list_id, persons = _taken_parts(session, bulletin_id, max(1, most // PART))
    alike = {"about": bulletin_id, "list_id": list_id, "not_before": now, "settled_at": now, "attempts": 0}
    _make_rows(session, persons, alike | _CANCELLED)


def any_due(session: Session, *, kinds: Collection[str], about: int | None, now: datetime) -> bool:
    """Whether a row of these kinds may go now."""
    wanted = select(Handoff.id).where(Handoff.kind.in_(list(kinds)), OPEN, Handoff.not_before <= now)
    if about is not None:
        wanted = wanted.where(Handoff.about == about)
    if session.scalar(wanted.limit(1)) is not None:
        return True
    return about is not None and bool(session.scalar(select(parts_of(about))))
