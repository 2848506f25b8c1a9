"""A database that was migrated is the one that the code describes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from flask import Flask
from sqlalchemy import CheckConstraint, MetaData, Table, create_engine, inspect, text
from sqlalchemy.orm import Session

import servers
from conftest import NOW, SECRETS
from mailinglist import db, migrate
from mailinglist.app import create_app
from mailinglist.bulletins import drafts
from mailinglist.consent import keys, ledger, lists
from mailinglist.delivery import dispatch
from mailinglist.delivery.tables import STATES, Dispatch, Handoff
from mailinglist.errors import Fault
from mailinglist.schema import metadata
from mailinglist.settings import Settings
from making import person, the_list


def test_the_migrated_database_is_the_schema(app: Flask) -> None:
    with db.reading() as session:
        context = MigrationContext.configure(
            session.connection(), opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []


def _facts(session: Session) -> dict[str, Any]:
    """What `compare_metadata` does not look at: checks, the conditions of partial indexes, and how ids grow."""
    look = inspect(session.connection())
    names = sorted(set(look.get_table_names()) - {"alembic_version"})
    facts: dict[str, Any] = {
        name: (
            sorted(
                (check["name"] or "", "".join(check["sqltext"].split())) for check in look.get_check_constraints(name)
            ),
            sorted((i["name"] or "", tuple(i["column_names"]), _where(i)) for i in look.get_indexes(name)),
        )
        for name in names
    }
    if session.get_bind().dialect.name == "sqlite":
        made = session.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'table'")).all()
        facts["autoincrement"] = sorted(name for name, sql in made if "AUTOINCREMENT" in (sql or ""))
    return facts


def _where(index: Any) -> str:
    options = index.get("dialect_options", {})
    return str(options.get("sqlite_where", options.get("postgresql_where", "")))


@pytest.fixture
def made_by_the_schema(app: Flask, settings: Settings, tmp_path: Path) -> Iterator[Session]:
    """A session on a database that was made from the tables' descriptions, without migrations."""
    if db.db.engine.dialect.name == "sqlite":
        engine = create_engine("sqlite://")
    else:
        engine = create_engine(settings.sqlalchemy_url, connect_args={"options": "-c search_path=described"})
        with engine.begin() as connection:
            connection.execute(text("CREATE SCHEMA described"))
    metadata.create_all(engine)
    with Session(engine) as session:
        yield session
    engine.dispose()


def test_so_are_its_checks_and_partial_indexes(app: Flask, made_by_the_schema: Session) -> None:
    with db.reading() as session:
        migrated = _facts(session)
    described = _facts(made_by_the_schema)
    assert migrated.keys() == described.keys()
    for name, facts in described.items():
        assert migrated[name] == facts, name


def test_a_difference_would_be_seen(app: Flask) -> None:
    other = MetaData()
    for table in metadata.sorted_tables:
        table.to_metadata(other)
    persons: Table = other.tables["persons"]
    persons.append_constraint(CheckConstraint("1 = 1"))
    other.remove(other.tables["paces"])
    with db.reading() as session:
        context = MigrationContext.configure(session.connection())
        assert [change[0] for change in compare_metadata(context, other)] == ["remove_table"]


def test_upgrading_again_changes_nothing(app: Flask) -> None:
    with db.transaction() as session:
        lists.add(session, "toinen", "Toinen", now=NOW)
        before = _everything(session)
    migrate.upgrade(app)
    with db.reading() as session:
        assert _everything(session) == before
        assert migrate.revision(session) == migrate.head()
        migrate.assert_current(session)


def _everything(session: Session) -> dict[str, list[Any]]:
    return {
        table.name: sorted(map(repr, session.execute(table.select()).all())) for table in metadata.sorted_tables
    } | {"facts": [_facts(session)]}


@pytest.fixture
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    """The application on a database in which there is nothing."""
    values: dict[str, Any] = {"data_dir": tmp_path, **SECRETS}
    made = None
    if request.param == "postgresql":
        server: servers.Postgres = request.getfixturevalue("postgres_server")
        made = server.create(f"e{uuid.uuid4().hex}")
        values["database_url"] = server.url(made)
    app = create_app(Settings.of(**values))
    with app.app_context():
        yield app
        db.db.engine.dispose()
    if made:
        request.getfixturevalue("postgres_server").drop(made)


@pytest.mark.parametrize("empty", ["sqlite", "postgresql"], indirect=True)
def test_an_empty_or_newer_database_is_not_worked_on(empty: Flask) -> None:
    with db.transaction() as session:
        assert migrate.revision(session) is None
        with pytest.raises(Fault, match="Run: mailinglist db upgrade"):
            migrate.assert_current(session)
    migrate.upgrade(empty)
    with db.transaction() as session:
        migrate.assert_current(session)
        session.execute(text("UPDATE alembic_version SET version_num = 'from the future'"))
        with pytest.raises(Fault):
            migrate.assert_current(session)


def _at_first_revision(app: Flask) -> None:
    """A database of revision 0001 with a past: persons with their ledger, and a bulletin half gone."""
    made = migrate.config()
    with db.db.engine.connect() as connection:
        made.attributes["connection"] = connection
        command.upgrade(made, "0001")
    with db.transaction() as session:
        keys.remember(session)
        lists.ensure_default(session, now=NOW)
        persons = [person(session, f"p{number}@example.fi", now=NOW).id for number in range(len(STATES))]
        bulletin = drafts.add(session, the_list(session), subject="Hei", source="Moi", form="markdown", now=NOW)
        dispatch.send(session, bulletin.id, sender="T <t@lists.example.fi>", by="test", at=None, now=NOW)
        sending = session.get_one(Dispatch, bulletin.id)
        sending.state, sending.began_at, sending.audience = "sending", NOW, len(STATES)
        for kind, about in (("bulletin", bulletin.id), ("confirm", 1)):
            session.add_all(
                Handoff(
                    kind=kind, about=about, list_id=1, person_id=who, state=state, not_before=NOW, attempts=1,
                    settled_at=NOW if state == "accepted" else None, shift_id=1 if state == "handing" else None,
                    reply="250 ok",
                )
                for who, state in zip(persons, STATES, strict=True)
            )  # fmt: skip


def _rows_of_first_revision(session: Session) -> dict[str, list[Any]]:
    later = {"audience_parts"}
    tables = [table for table in metadata.sorted_tables if table.name not in later]
    return {table.name: sorted(map(repr, session.execute(table.select()).all())) for table in tables}


def _triggers(session: Session) -> list[str]:
    sqlite = session.get_bind().dialect.name == "sqlite"
    names = (
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        if sqlite
        else "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
    )
    return sorted(session.scalars(text(names)))


@pytest.mark.parametrize("empty", ["sqlite", "postgresql"], indirect=True)
def test_an_older_database_comes_along_whole(empty: Flask) -> None:
    _at_first_revision(empty)
    with db.reading() as session:
        before, triggers = _rows_of_first_revision(session), _triggers(session)
        assert migrate.revision(session) == "0001"
    assert len(before["handoffs"]) == 2 * len(STATES)
    assert triggers
    migrate.upgrade(empty)
    with db.reading() as session:
        assert _rows_of_first_revision(session) == before
        assert _triggers(session) == triggers
        assert list(ledger.verify(session)) == []
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        [number] = session.scalars(text("SELECT bulletin_id FROM dispatches"))
        found = dispatch.status(session, number)
    # pending and handing are both shown as pending
    assert (found.audience, found.pending, found.first_at) == (len(STATES), 2, NOW)
    assert {getattr(found, state) for state in STATES if state not in ("pending", "handing")} == {1}
