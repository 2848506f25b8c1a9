"""The audit: searchable, and append-only on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from conftest import NOW
from mailinglist import db
from mailinglist.consent.triggers import missing_triggers
from mailinglist.staff import audit, triggers
from mailinglist.staff.audit import Actor

MAIJA, MATTI, ROOT = (
    Actor(1, "Maija Mainio", "192.0.2.7"),
    Actor(2, "Matti 100 %", "2001:db8::1"),
    Actor(None, "root", ""),
)
HOUR = timedelta(hours=1)


def fill(session) -> None:
    audit.note(session, "person_seen", by=MAIJA, about="person 1", now=NOW)
    audit.note(session, "person_seen", by=MATTI, about="person 2", now=NOW + HOUR, reason="asked")
    audit.note(session, "person_exported", by=MAIJA, about="person 2", now=NOW + 2 * HOUR)
    audit.note(session, "bulletin_sent", by=ROOT, about="bulletin 1", now=NOW + 3 * HOUR)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [4, 3, 2, 1]), ({"limit": 2}, [4, 3]), ({"before_id": 3}, [2, 1]), ({"who": 1}, [3, 1]),
        ({"who": "mai"}, [3, 1]), ({"who": "%"}, [2]), ({"who": "_"}, []), ({"who": "root"}, [4]),
        ({"act": "person_seen"}, [2, 1]), ({"act": "person"}, []), ({"about": "person 2"}, [3, 2]),
        ({"since": NOW + HOUR}, [4, 3, 2]), ({"until": NOW + HOUR}, [1]),
        ({"who": "maija", "about": "person 2", "since": NOW, "until": NOW + 9 * HOUR}, [3]),
    ],
)  # fmt: skip
def test_search(app: Flask, wanted: dict[str, object], found: list[int]) -> None:
    with db.transaction() as session:
        fill(session)
        assert [line.id for line in audit.search(session, **wanted)] == found  # type: ignore[arg-type]


def test_a_line_has_who_when_what_and_from_where(app: Flask) -> None:
    with db.transaction() as session:
        fill(session)
        line = audit.search(session, who=2)[0]
        assert (line.account_id, line.who, line.client, line.at) == (2, "Matti 100 %", "2001:db8::1", NOW + HOUR)
        assert (line.act, line.about, line.detail) == ("person_seen", "person 2", {"reason": "asked"})
        assert audit.acts(session) == ["bulletin_sent", "person_exported", "person_seen"]


def test_what_is_too_long_is_cut_and_not_refused(app: Flask) -> None:
    """A browser's wish must not be able to keep a line out of the audit."""
    with db.transaction() as session:
        audit.note(session, "x", by=Actor(None, "w" * 500, "c" * 500), about="a" * 500, now=NOW)
        line = audit.search(session)[0]
        assert (len(line.who), len(line.client), len(line.about)) == (200, 64, 200)


class TestAppendOnly:
    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE audit SET who = 'nobody'", "UPDATE audit SET at = '2001-01-01'", "DELETE FROM audit",
            "DELETE FROM audit WHERE id = 1", "TRUNCATE audit", "INSERT OR REPLACE INTO audit SELECT * FROM audit",
            "INSERT INTO audit SELECT * FROM audit WHERE true ON CONFLICT (id) DO UPDATE SET who = 'nobody'",
        ],
    )  # fmt: skip
    def test_the_database_refuses(self, app: Flask, statement: str) -> None:
        sqlite = db.db.engine.dialect.name == "sqlite"
        if (statement.startswith("TRUNCATE") and sqlite) or ("OR REPLACE" in statement and not sqlite):
            pytest.skip("the other database's own")
        with db.transaction() as session:
            audit.note(session, "person_seen", by=MAIJA, now=db.utcnow())
        with pytest.raises(DBAPIError, match=r"append-only|kept for a year"), db.transaction() as session:
            session.execute(text(statement))
        with db.reading() as session:
            assert [line.who for line in audit.search(session)] == ["Maija Mainio"]

    def test_what_is_older_than_a_year_may_go(self, app: Flask) -> None:
        now = db.utcnow()
        with db.transaction() as session:
            for days in (800, 731, 367, 363, 0):
                audit.note(session, "person_seen", by=MAIJA, now=now - timedelta(days=days), days=days)
        with db.transaction() as session:
            assert audit.clear(session, before=now - timedelta(days=730), limit=1) == 1
            assert audit.clear(session, before=now - timedelta(days=730), limit=10) == 1
            assert audit.clear(session, before=now - timedelta(days=366), limit=10) == 1
            assert [line.detail["days"] for line in audit.search(session)] == [0, 363]
        with pytest.raises(DBAPIError, match="kept for a year"), db.transaction() as session:
            audit.clear(session, before=now - timedelta(days=362), limit=10)

    def test_a_missing_or_altered_trigger_shows(self, app: Flask) -> None:
        with db.transaction() as session:
            assert missing_triggers(session, triggers.TRIGGERS) == []
            on = " ON audit" if db.db.engine.dialect.name == "postgresql" else ""
            session.execute(text(f"DROP TRIGGER audit_no_update{on}"))
            if on:
                session.execute(text("ALTER TABLE audit DISABLE TRIGGER audit_no_early_delete"))
                wanted = {"audit_no_update", "audit_no_early_delete"}
            else:
                wanted = {"audit_no_update"}
            assert set(missing_triggers(session, triggers.TRIGGERS)) == wanted
