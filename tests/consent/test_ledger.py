"""The ledger notices whatever is done behind the program's back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from conftest import NOW
from mailinglist import db
from mailinglist.consent import address, bans, verification
from mailinglist.consent.states import Channel, State
from making import person


@pytest.fixture
def filled(app: Flask) -> Flask:
    with db.transaction() as session:
        for n, state in enumerate([State.ACTIVE, State.LEFT, State.PENDING, State.UNDELIVERABLE]):
            made = person(session, f"p{n}@example.fi", now=NOW + timedelta(minutes=n), state=state)
        bans.add(session, made.digest, [Channel.EMAIL], source="phone", now=NOW)
        bans.add(session, made.digest, [Channel.POST], source="phone", now=NOW)
        bans.lift(session, address.parse("P3@example.fi"), [Channel.POST], evidence="letter", who="x", now=NOW)
    return app


def problems() -> list[verification.Problem]:
    with db.reading() as session:
        return list(verification.verify(session))


FORBIDDEN: dict[str, str] = {
    "update": "UPDATE ledger SET seq = 5 WHERE id = 1",
    "delete": "DELETE FROM ledger WHERE id = 1",
    "text": "UPDATE texts SET body = 'x' WHERE id = 1",
    "text deleted": "DELETE FROM texts WHERE id = 1",
    "head back": "UPDATE chain_heads SET count = count - 1",
    "head deleted": "DELETE FROM chain_heads",
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_the_triggers_refuse(filled: Flask, name: str):
    with pytest.raises(DBAPIError), db.transaction() as session:
        session.execute(text(FORBIDDEN[name]))
    assert problems() == []


def test_truncate_and_replace_are_refused(filled: Flask):
    with db.reading() as session:
        sqlite = session.get_bind().dialect.name == "sqlite"
    statements = (
        [f"INSERT OR REPLACE INTO {t} SELECT * FROM {t} LIMIT 1" for t in ("ledger", "texts", "chain_heads")]
        if sqlite
        else [f"TRUNCATE {t} CASCADE" for t in ("ledger", "texts", "chain_heads")]
    )
    for statement in statements:
        with pytest.raises(DBAPIError), db.transaction() as session:
            session.execute(text(statement))


def _drop(name: str) -> Callable[[Session], None]:
    def drop(session: Session) -> None:
        dialect = session.get_bind().dialect.name
        table = name.rpartition("_no_")[0] or "chain_heads"
        session.execute(text(f"DROP TRIGGER {name}" + ("" if dialect == "sqlite" else f" ON {table}")))

    return drop


@pytest.mark.parametrize("name", ["ledger_no_delete", "texts_no_update", "chain_heads_forward"])
def test_a_missing_trigger_is_a_problem(filled: Flask, name: str):
    with db.transaction() as session:
        _drop(name)(session)
    [found] = problems()
    assert name in found.what


def test_a_trigger_that_was_switched_off_or_emptied_is_a_problem(filled: Flask):
    with db.transaction() as session:
        if session.get_bind().dialect.name == "sqlite":
            session.execute(text("DROP TRIGGER ledger_no_delete"))
            session.execute(text("CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger BEGIN SELECT 1; END"))
        else:
            session.execute(text("ALTER TABLE ledger DISABLE TRIGGER ledger_no_delete"))
    [found] = problems()
    assert "ledger_no_delete" in found.what


def test_a_function_that_no_longer_refuses_is_a_problem(filled: Flask):
    with db.transaction() as session:
        if session.get_bind().dialect.name == "sqlite":
            pytest.skip("SQLite's triggers have no functions")
        body = "LANGUAGE plpgsql AS $$ BEGIN RETURN OLD; END $$"
        session.execute(text(f"CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger {body}"))
    assert ["refuse_change" in problem.what for problem in problems()] == [True]


def test_the_ledger_holds_no_personal_data(filled: Flask):
    import hashlib

    with db.reading() as session:
        held = b"\n".join(
            bytes(value) if not isinstance(value, (int, str)) else str(value).encode()
            for table in ("ledger", "chain_heads")
            for row in session.execute(text(f"SELECT * FROM {table}"))
            for value in row
        )
    for n in range(4):
        mailbox = f"p{n}@example.fi".encode()
        for trace in (mailbox, *(hashlib.new(name, mailbox).digest() for name in ("md5", "sha1", "sha256"))):
            assert trace not in held
            assert trace.hex().encode() not in held
    assert b"192.0.2.7" not in held
