"""Transactions, bells, types; and that the queries of every second find their indexes on SQLite."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest
from flask import Flask
from sqlalchemy import event, insert, select, text
from sqlalchemy.exc import DBAPIError, OperationalError, StatementError
from sqlalchemy.orm import Session

from conftest import NOW
from mailinglist import db
from mailinglist.consent import gate, requests
from mailinglist.consent.tables import Person
from mailinglist.delivery import account, dispatch, handoffs
from mailinglist.delivery.tables import Handoff, Line, Shift
from making import person

on_sqlite = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)


# ── moments ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_moments_come_back_in_utc_to_the_microsecond(app: Flask) -> None:
    moment = datetime(2026, 7, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=3)))
    with db.transaction() as session:
        session.add(Line(name="x", free_at=moment))
    with db.reading() as session:
        found = session.get_one(Line, "x").free_at
        assert (found, found.utcoffset()) == (moment, timedelta())
        assert session.scalar(select(Line.name).where(Line.free_at <= moment)) == "x"
        assert session.scalar(select(Line.name).where(Line.free_at < moment)) is None


def test_a_moment_without_its_offset_is_refused(app: Flask) -> None:
    naive = datetime(2026, 7, 1)
    with pytest.raises(StatementError, match="offset"), db.transaction() as session:
        session.add(Line(name="x", free_at=naive))
    with db.reading() as session, pytest.raises(StatementError, match="offset"):
        session.scalar(select(Line.name).where(Line.free_at < naive))


def test_an_error_tells_nothing_of_what_was_to_be_written(app: Flask) -> None:
    with db.reading() as session, pytest.raises(DBAPIError) as failure:
        session.execute(text("SELECT no_such_column FROM lists WHERE slug = :subject"), {"subject": "Yksityistä"})
    assert "no_such_column" in str(failure.value)
    assert "Yksityistä" not in str(failure.value)


# ── transactions and bells ──────────────────────────────────────────────────────────────────────────────────────────


def test_bells_ring_once_each_and_after_the_commit(app: Flask, bells: list[frozenset[str]]) -> None:
    seen: list[str | None] = []

    def look(rung: frozenset[str]) -> None:
        with db.reading() as session:
            seen.append(session.scalar(select(Line.name)))
        bells.append(rung)

    db.install(app, ringer=look)
    with db.transaction() as session:
        session.add(Line(name="x", free_at=NOW))
        db.ring(session, db.LETTERS)
        db.ring(session, db.REQUESTS)
        db.ring(session, db.LETTERS)
        assert bells == []
    assert bells == [frozenset({db.LETTERS, db.REQUESTS})]
    assert seen == ["x"]


def test_no_bell_rings_when_nothing_was_committed(app: Flask, bells: list[frozenset[str]]) -> None:
    with pytest.raises(ZeroDivisionError), db.transaction() as session:
        session.add(Line(name="x", free_at=NOW))
        session.flush()
        db.ring(session, db.LETTERS)
        1 / 0  # noqa: B018
    with pytest.raises(StatementError), db.transaction() as session:
        db.ring(session, db.LETTERS)
        session.add(Line(name="x", free_at=NOW.replace(tzinfo=None)))  # the commit itself fails
    with db.transaction():
        pass  # nobody asked
    assert bells == []
    with db.reading() as session:
        assert session.scalars(select(Line)).all() == []


def test_a_look_never_writes(app: Flask) -> None:
    with db.reading() as session:
        session.add(Line(name="x", free_at=NOW))
        session.flush()
    with db.reading() as session:
        assert session.scalars(select(Line)).all() == []


@on_sqlite
def test_a_writer_holds_up_no_reader_and_a_reader_no_writer(app: Flask) -> None:
    with db.reading() as reader:
        assert reader.scalars(select(Line)).all() == []
        with db.transaction() as writer:
            writer.add(Line(name="x", free_at=NOW))
            writer.flush()
            with db.reading() as another:
                assert another.scalars(select(Line)).all() == []
        assert reader.scalars(select(Line)).all() == [], "a look is of one moment"


@on_sqlite
def test_a_second_writer_waits_at_its_beginning(app: Flask) -> None:
    """BEGIN IMMEDIATE: a transaction that has begun can't fail at its first write."""
    with db.transaction() as first, db.db.engine.connect() as second:
        first.connection()
        second.connection.driver_connection.execute("PRAGMA busy_timeout=0")
        with pytest.raises(OperationalError, match="locked"):
            second.begin()


# ── among ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("wanted", [[], [3], [1, 3, 3, 99], range(1, 70_001)], ids=["0", "1", "some", "70000"])
def test_among_finds_whom_it_should(app: Flask, wanted: list[int]) -> None:
    with db.transaction() as session:
        for number in range(5):
            person(session, f"p{number}@example.fi", now=NOW)
        ids = list(session.scalars(select(Person.id).order_by(Person.id)))
        found = session.scalars(select(Person.id).where(db.among(Person.id, wanted)).order_by(Person.id)).all()
        assert found == [number for number in ids if number in wanted]
        others = session.scalars(select(Person.id).where(~db.among(Person.id, wanted)).order_by(Person.id)).all()
        assert others == [number for number in ids if number not in wanted]


def test_among_is_one_statement_however_many_numbers(app: Flask) -> None:
    statements = _statements(
        lambda session: [
            session.scalars(select(Person.id).where(db.among(Person.id, range(n)))).all() for n in (0, 1, 9)
        ]
    )
    looks = [statement for statement, _ in statements if statement.startswith("SELECT")]
    assert len(looks) == 3
    assert len(set(looks)) == 1


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_the_gate_reads_only_whom_it_asks_about_after_an_import(app: Flask) -> None:
    """The tables have no statistics yet, and a group is a large part of what PostgreSQL takes them for."""
    digest = "sha256(convert_to('%s' || n, 'UTF8'))"
    with db.transaction() as session:
        session.execute(
            text(
                "INSERT INTO persons (mailbox, folded, exact_digest, digest, chain, language, created_at) "
                f"SELECT 'p' || n, 'p' || n, {digest % 'd'}, {digest % 'd'}, {digest % 'c'}, 'fi', now() "
                "FROM generate_series(1, 10000) AS n"
            )
        )
        session.execute(
            text(
                "INSERT INTO subscriptions (person_id, list_id, state, basis, since, epoch, source) "
                "SELECT id, (SELECT min(id) FROM lists), 'active', 'consent', now(), 0, 'test' "
                "FROM persons ORDER BY id LIMIT 2000"
            )
        )
    asked = range(1, 501)
    told = _statements(lambda session: gate.read(session, gate.Mail.BULLETIN, list_id=1, persons=asked, now=NOW))
    statement, parameters = told[-1]
    with db.reading() as session:
        rows = session.connection().exec_driver_sql(f"EXPLAIN {statement}", parameters)  # type: ignore[arg-type]
        plan = "\n".join(row[0] for row in rows)
    assert "pk_persons" in plan
    assert "Seq Scan on persons" not in plan
    assert "pk_subscriptions" in plan
    assert "ix_subscriptions" not in plan, "all of the list would be read for each"


# ── plans ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _statements(act: Callable[[Session], object]) -> list[tuple[str, object]]:
    """What `act` tells the database."""
    told: list[tuple[str, object]] = []

    def listen(_c: object, _u: object, statement: str, parameters: object, _x: object, _m: object) -> None:
        told.append((statement, parameters))

    event.listen(db.db.engine, "before_cursor_execute", listen)
    try:
        with db.transaction() as session:
            act(session)
    finally:
        event.remove(db.db.engine, "before_cursor_execute", listen)
    return told


def _plan(act: Callable[[Session], object]) -> str:
    """SQLite's plan for all that `act` tells it."""
    steps: list[str] = []
    told = _statements(act)
    assert told
    with db.reading() as session:
        for statement, parameters in told:
            rows = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)  # type: ignore[arg-type]
            steps += [row.detail for row in rows]
    return "\n".join(steps)


def _fill(session: Session) -> None:
    """A register with a past, and statistics of it: the planner chooses by these."""
    for number in range(3):
        person(session, f"p{number}@example.fi", now=NOW)
    session.execute(
        insert(Handoff),
        [
            {
                "kind": "bulletin", "about": 1 + n % 3, "list_id": 1, "person_id": n, "not_before": NOW, "attempts": 1,
                "state": "pending" if n % 100 == 0 else "accepted",
            }
            for n in range(3000)
        ],
    )  # fmt: skip
    session.execute(text("ANALYZE"))


@on_sqlite
def test_among_reads_only_the_rows_it_names(app: Flask) -> None:
    plan = _plan(lambda session: session.scalars(select(Person.id).where(db.among(Person.id, [1, 2]))).all())
    assert "SEARCH persons USING INTEGER PRIMARY KEY" in plan
    assert "SCAN persons" not in plan


@on_sqlite
@pytest.mark.parametrize(
    ("act", "index"),
    [
        (lambda s: handoffs.claim(s, 1, kinds=("bulletin",), about=1, limit=9, now=NOW), "ix_handoffs_open"),
        (lambda s: handoffs.claim(s, 1, kinds=("confirm", "leave"), limit=9, now=NOW), "ix_handoffs_open"),
        (lambda s: handoffs.any_due(s, kinds=("bulletin",), about=1, now=NOW), "ix_handoffs_open"),
        (lambda s: account.unfinished(s, 4), "ix_handoffs_open"),
        (lambda s: handoffs.end_shift(s, 1, now=NOW), "ix_handoffs_held"),
        (dispatch.moving, "ix_handoffs_open"),
        (lambda s: requests.letters_due(s, limit=9), "ix_requests_letter"),
        (lambda s: requests.take(s, now=NOW + timedelta(hours=1)), "ix_requests_waiting"),
    ],
    ids=["claim", "claim letters", "any_due", "unfinished", "end_shift", "moving", "letters_due", "take"],
)
def test_what_is_asked_every_second_uses_its_partial_index(
    app: Flask, act: Callable[[Session], object], index: str
) -> None:
    with db.transaction() as session:
        _fill(session)
        session.add(Shift(id=1, began_at=NOW, beat_at=NOW))
    plan = _plan(act)
    assert index in plan
    for table in ("handoffs", "requests", "persons"):
        # `SCAN requests USING INDEX ix_requests_letter` reads the few that are due, and nothing else.
        scans = [step for step in plan.splitlines() if step.startswith(f"SCAN {table}") and index not in step]
        assert scans == []
