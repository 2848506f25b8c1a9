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
from mailinglist.consent import address, bans, ledger
from mailinglist.consent.states import Channel, State
from mailinglist.consent.triggers import TRIGGERS
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


def problems() -> list[ledger.Problem]:
    with db.reading() as session:
        return list(ledger.verify(session))


def behind_the_back(session: Session, *statements: str) -> None:
    """As somebody with the database's password would: the triggers are dropped, and made again afterwards."""
    dialect = session.get_bind().dialect.name
    if dialect == "sqlite":
        for name in TRIGGERS[dialect]:
            session.execute(text(f"DROP TRIGGER {name}"))
    else:
        session.execute(text("SET session_replication_role = replica"))
    for statement in statements:
        session.execute(text(statement))
    if dialect == "sqlite":
        for statement in TRIGGERS[dialect].values():
            session.execute(text(statement))
    else:
        session.execute(text("SET session_replication_role = DEFAULT"))


CHAIN = "chain = (SELECT chain FROM persons WHERE folded = 'p1@example.fi')"
TAMPERINGS: dict[str, list[str]] = {
    "a body is altered": ["UPDATE ledger SET body = {altered} WHERE id = 1"],
    "the last entry of someone is deleted": [f"DELETE FROM ledger WHERE {CHAIN} AND seq = 3"],
    "the first entry of someone is deleted": [f"DELETE FROM ledger WHERE {CHAIN} AND seq = 1"],
    "an entry in between is deleted": [f"DELETE FROM ledger WHERE {CHAIN} AND seq = 2"],
    "all entries of someone are deleted": [f"DELETE FROM ledger WHERE {CHAIN}"],
    "all entries and the head are deleted": [
        f"DELETE FROM ledger WHERE {CHAIN}",
        f"DELETE FROM chain_heads WHERE {CHAIN}",
    ],
    "only the head is deleted": [f"DELETE FROM chain_heads WHERE {CHAIN}"],
    "the tail is cut and the head moved back": [
        f"DELETE FROM ledger WHERE {CHAIN} AND seq = 3",
        f"UPDATE chain_heads SET count = 2 WHERE {CHAIN}",
        f"UPDATE chain_heads SET last_hash = (SELECT hash FROM ledger WHERE {CHAIN} AND seq = 2) WHERE {CHAIN}",
    ],
    "a state is altered in the register": ["UPDATE subscriptions SET state = 'active' WHERE state = 'left'"],
    "a subscription is deleted": ["DELETE FROM subscriptions WHERE state = 'left'"],
    "a ban is deleted": ["DELETE FROM bans"],
    "a ban is lifted behind the back": ["UPDATE bans SET lifted_at = given_at"],
    "a ban is turned into another": ["UPDATE bans SET channel = 'phone' WHERE channel = 'email'"],
    "a ban is made up": ["UPDATE bans SET digest = (SELECT digest FROM persons WHERE folded = 'p0@example.fi')"],
    "an address is exchanged": [
        "UPDATE persons SET mailbox = 'evil@example.fi', folded = 'evil@example.fi' WHERE id = 1"
    ],
    "the digest by which a ban is found is altered": ["UPDATE persons SET exact_digest = {altered} WHERE id = 1"],
    "a consent text is altered": ["UPDATE texts SET body = 'I agree to everything' WHERE id = 1"],
    "evidence is altered": ["UPDATE evidence SET content = {altered} WHERE id = 1"],
    "two entries change places": [
        f"UPDATE ledger SET seq = 99 WHERE {CHAIN} AND seq = 1",
        f"UPDATE ledger SET seq = 1 WHERE {CHAIN} AND seq = 2",
        f"UPDATE ledger SET seq = 2 WHERE {CHAIN} AND seq = 99",
    ],
}
ALTERED = {"sqlite": "CAST('{}' AS BLOB)", "postgresql": "CAST('{}' AS bytea)"}


def test_a_whole_ledger_has_no_problems(filled: Flask):
    assert problems() == []


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_found(filled: Flask, name: str):
    with db.transaction() as session:
        altered = ALTERED[session.get_bind().dialect.name]
        behind_the_back(session, *(statement.replace("{altered}", altered) for statement in TAMPERINGS[name]))
    found = problems()
    assert found
    if name == "a body is altered":
        assert any(problem.entry == 1 for problem in found)


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
