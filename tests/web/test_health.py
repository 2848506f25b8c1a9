"""What the operator's probes see."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from mailinglist import db
from mailinglist.consent.tables import KeyCheck


def test_alive(client: FlaskClient) -> None:
    assert client.get("/health/live").data == b"ok\n"


def test_ready(client: FlaskClient) -> None:
    answer = client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json == {"database": "ok", "revision": "ok", "ban_key": "ok", "broker": "ok"}
    assert answer.headers["Cache-Control"] == "no-store"


def test_not_ready_with_another_ban_key(client: FlaskClient) -> None:
    with db.transaction() as session:
        session.get_one(KeyCheck, "ban").value = b"another key's"
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json == {"database": "ok", "revision": "ok", "ban_key": "wrong", "broker": "ok"}


def test_not_ready_at_another_revision(client: FlaskClient) -> None:
    with db.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["revision"] == "not the newest"


def test_not_ready_without_a_database(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise OperationalError("SELECT 1", {}, Exception("gone"))

    monkeypatch.setattr(db, "reading", away)
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["database"] == "unreachable"
    assert client.get("/health/live").status_code == 200
