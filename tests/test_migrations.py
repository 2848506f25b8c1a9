"""A database that was migrated is the one that the code describes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from flask import Flask
from sqlalchemy import CheckConstraint, MetaData, Table, create_engine, inspect, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

import servers
from conftest import NOW, SECRETS
from mailinglist import db, migrate
from mailinglist.app import create_app
from mailinglist.bulletins import approvals
from mailinglist.consent import bans, gate, lists
from mailinglist.consent.keys import keys_of, remember
from mailinglist.consent.states import Channel
from mailinglist.consent.tables import FOREMOST
from mailinglist.delivery import dispatch
from mailinglist.delivery.tables import STATES
from mailinglist.errors import Fault
from mailinglist.privacy import notice
from mailinglist.schema import metadata
from mailinglist.settings import SETTINGS, Settings


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
        notice.refresh_all(session, app.config[SETTINGS], now=NOW)
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


def made_at(revision: str) -> None:
    """The schema as a database had it that was made at this revision."""
    with db.db.engine.connect() as connection:
        made = migrate.config()
        made.attributes["connection"] = connection
        command.upgrade(made, revision)


@pytest.mark.parametrize("empty", ["sqlite", "postgresql"], indirect=True)
def test_a_database_of_the_first_revision_keeps_all_it_has(empty: Flask) -> None:
    """Rows of 0001, written with the columns that it had, are all there afterwards, and what points to them holds."""
    made_at("0001")
    with db.transaction() as session:
        old = MetaData()
        old.reflect(session.connection())
        for name, rows in _OF_THE_FIRST_REVISION.items():
            session.execute(old.tables[name].insert(), rows)
        before = {name: _rows(session, table) for name, table in old.tables.items() if name != "alembic_version"}
    migrate.upgrade(empty)
    with db.transaction() as session:
        new = MetaData()
        new.reflect(session.connection())
        for name, rows in before.items():
            after = _rows(session, new.tables[name])
            columns = [column.name for column in old.tables[name].columns]
            kept = [{column: row[column] for column in columns} for row in after]
            assert [row for row in kept if row in rows] == rows, name
        by_id = {row["id"]: row for row in _rows(session, metadata.tables["bulletins"])}
        assert by_id[7]["given_at"] == NOW
        assert by_id[9]["given_at"] is None
        assert (by_id[9]["audience"], by_id[9]["revision"], by_id[9]["template"]) == ("{}", 1, False)
        assert [row["domain"] for row in _rows(session, metadata.tables["persons"])] == ["example.fi"]
        found = dispatch.status(session, 7)
        # pending and handing are both shown as pending
        assert (found.audience, found.pending, found.first_at) == (len(STATES), 2, NOW)
        assert {getattr(found, state) for state in STATES if state not in ("pending", "handing")} == {1}
        bulletins = metadata.tables["bulletins"]
        values = {"list_id": 1, "subject": "", "source": "{}", "created_at": NOW}
        made_now = session.execute(bulletins.insert().values(form="blocks", **values).returning(bulletins.c.id))
        if session.get_bind().dialect.name == "sqlite":
            assert made_now.scalar_one() == 10, "ids go on where they were"
            assert session.execute(text("PRAGMA foreign_key_check")).all() == []
            assert session.execute(text("PRAGMA integrity_check")).all() == [("ok",)]
    with pytest.raises(DBAPIError), db.transaction() as session:
        session.execute(bulletins.insert().values(form="odt", **values))
    with pytest.raises(DBAPIError), db.transaction() as session:
        session.execute(text("DELETE FROM bulletins WHERE id = 7"))


@pytest.mark.parametrize("empty", ["sqlite", "postgresql"], indirect=True)
def test_what_was_approved_under_0003_is_still_approved(empty: Flask) -> None:
    """Its digest does not know of the columns that came with 0004, and holds."""
    made_at("0003")
    with db.transaction() as session:
        old = MetaData()
        old.reflect(session.connection())
        frozen = [1, "a@example.fi", "Hei", "<p>", "a", "{}", "fi", None]
        digest = keys_of(session).seal(json.dumps(frozen, ensure_ascii=False).encode())
        bulletin = {"id": 7, "list_id": 1, "subject": "Hei", "form": "blocks", "source": "{}", "created_at": NOW}
        issue = {
            "bulletin_id": 7, "sender": "a@example.fi", "subject": "Hei", "html": "<p>", "text": "a", "language": "fi",
            "audience": "{}", "digest": digest, "approved_at": NOW, "approved_by": "Pekka",
        }  # fmt: skip
        approval = {"bulletin_id": 7, "revision": 1, "digest": digest, "who": "Pekka", "at": NOW, "acknowledged": "[]"}
        for name, row in (
            ("lists", _OF_THE_FIRST_REVISION["lists"][0]), ("bulletins", bulletin), ("issues", issue),
            ("approvals", approval),
        ):  # fmt: skip
            session.execute(old.tables[name].insert(), [row])
    migrate.upgrade(empty)
    with db.transaction() as session:
        assert approvals.issue_of(session, 7)
        assert approvals.approval_of(session, 7)
        assert approvals.give_out(session, 7, now=NOW).imprint is None


@pytest.mark.parametrize("empty", ["sqlite", "postgresql"], indirect=True)
def test_bans_of_0009_are_about_all_lists(empty: Flask) -> None:
    """Each keeps its number and words, counts on every list, and one for a single list may stand beside it."""
    made_at("0009")
    with db.transaction() as session:
        old = MetaData()
        old.reflect(session.connection())
        remember(session)
        digest = keys_of(session).digest("matti@example.fi")
        values = {"digest": digest, "source": "letter", "given_at": NOW}
        before = [
            {**values, "channel": "email", "lifted_at": NOW, "lifted_by": "Matti rang"},
            {**values, "channel": "email", "lifted_at": None, "lifted_by": None},
            {**values, "channel": "post", "lifted_at": None, "lifted_by": None},
        ]
        for name, rows in (("lists", [_OF_THE_FIRST_REVISION["lists"][0]]), ("bans", before)):
            session.execute(old.tables[name].insert(), rows)
    migrate.upgrade(empty)
    with db.transaction() as session:
        assert _rows(session, metadata.tables["bans"]) == [
            {**row, "id": number, "list_id": 0, "name_digest": None} for number, row in enumerate(before, 1)
        ]
        row = lists.find(session, "one")
        assert bans.forbids_mail(session, [digest], row)
        assert bans.add(session, digest, [Channel.EMAIL, Channel.POST], source="again", now=NOW) == ()
        assert len(bans.add(session, digest, [Channel.EMAIL], only=row, source="again", now=NOW)) == 1
        assert len(_rows(session, metadata.tables["bans"])) == 4
    with pytest.raises(DBAPIError), db.transaction() as session:
        session.execute(metadata.tables["bans"].insert().values(channel="post", **values))


@pytest.mark.parametrize("empty", ["sqlite", "postgresql"], indirect=True)
def test_mails_of_0011_keep_what_they_have(empty: Flask) -> None:
    """Nobody reads now what the From of those that wait says; of what is sent on it was said before when, and how often
    it was put off."""
    made_at("0011")
    values = {
        "recipient": "a@example.fi", "via": "lmtp", "size": 3, "raw": b"Moi", "received_at": NOW, "not_before": NOW,
        "tries": 1,
    }  # fmt: skip
    with db.transaction() as session:
        old = MetaData()
        old.reflect(session.connection())
        mails = [("Matti@Example.fi", "owner", "pending"), ("", "failed", "accepted"), ("a@b.fi", "waiting", None)]
        before = [
            {
                **values,
                "id": number,
                "digest": bytes([number]) * 32,
                "sender": sender,
                "state": state,
                "forwarded": forwarded,
            }
            for number, (sender, state, forwarded) in enumerate(mails, 1)
        ]
        session.execute(old.tables["spool"].insert(), before)
    migrate.upgrade(empty)
    with db.reading() as session:
        after = _rows(session, metadata.tables["spool"])
    assert [{name: row[name] for name in before[0]} for row in after] == before
    assert {(row["writer"], row["deaths"], row["client"]) for row in after} == {(None, 0, None)}
    assert [(row["forward_at"], row["forward_tries"]) for row in after] == [(NOW, 1), (NOW, 1), (None, 0)]


@pytest.mark.parametrize("empty", ["sqlite", "postgresql"], indirect=True)
def test_leaves_that_0012_kept_hold_marketing_back(empty: Flask) -> None:
    """They were answered with yes, and no gate before looked at them."""
    made_at("0012")
    the_list = {"id": 1, "slug": "one", "name": "One", "settings": {}, "created_at": NOW}
    alike = {
        "list_id": 1, "entrance": "web", "domain": "", "language": "fi", "origin": {}, "received_at": NOW,
        "not_before": NOW, "letter_due": False,
    }  # fmt: skip
    asked = [("exit", None), ("exit", NOW), ("join", None)]
    with db.transaction() as session:
        old = MetaData()
        old.reflect(session.connection())
        session.execute(old.tables["lists"].insert(), [the_list])
        rows = [{**alike, "id": n, "kind": kind, "taken_at": taken} for n, (kind, taken) in enumerate(asked, 1)]
        session.execute(old.tables["requests"].insert(), rows)
    migrate.upgrade(empty)
    with db.reading() as session:
        after = _rows(session, metadata.tables["requests"])
        assert [row["not_before"] for row in after] == [FOREMOST, NOW, NOW]
        assert session.scalar(select(gate.opt_outs_wait())) is True


def _rows(session: Session, table: Table) -> list[dict[str, Any]]:
    return [dict(row) for row in session.execute(table.select().order_by(*table.primary_key.columns)).mappings()]


_OF_THE_FIRST_REVISION: dict[str, list[dict[str, Any]]] = {
    "lists": [{"id": 1, "slug": "one", "name": "One", "settings": {"colour": "#112233"}, "created_at": NOW}],
    "persons": [
        {
            "id": 5, "mailbox": "Matti@Example.fi", "folded": "matti@example.fi", "exact_digest": b"a", "digest": b"b",
            "chain": b"c", "name": "Matti", "language": "fi", "created_at": NOW,
        }
    ],
    "subscriptions": [
        {
            "person_id": 5, "list_id": 1, "state": "active", "basis": "consent", "since": NOW, "epoch": 0,
            "source": "web",
        }
    ],
    "bulletins": [
        {"id": 7, "list_id": 1, "subject": "Sent", "form": "markdown", "source": "x", "created_at": NOW},
        {"id": 9, "list_id": 1, "subject": "Draft", "form": "html", "source": "<p>x", "created_at": NOW},
    ],
    "issues": [
        {
            "bulletin_id": 7, "sender": "a@example.fi", "subject": "Sent", "html": "<p>x", "text": "x",
            "audience": "list 1, active", "digest": b"d", "approved_at": NOW, "approved_by": "root",
        }
    ],
    "dispatches": [
        {
            "bulletin_id": 7, "list_id": 1, "state": "sending", "due_at": NOW, "began_at": NOW,
            "audience": len(STATES),
        }
    ],
    "handoffs": [
        {
            "kind": kind, "about": 7, "list_id": 1, "person_id": number, "state": state, "not_before": NOW,
            "attempts": 1, "settled_at": NOW if state == "accepted" else None,
            "shift_id": 1 if state == "handing" else None,
        }
        for kind in ("bulletin", "confirm")
        for number, state in enumerate(STATES)
    ],
}  # fmt: skip
