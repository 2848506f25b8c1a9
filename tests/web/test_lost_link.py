"""The lost link: the same answer for everybody."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import event, select

import making
from mailinglist import db
from mailinglist.consent import requests
from mailinglist.consent.states import State
from mailinglist.consent.tables import Request

PAGE = "/lists/tector-tiedottaa/leave"


def test_asks_for_the_address(client: FlaskClient) -> None:
    page = client.get(PAGE, query_string={"lang": "en"})
    assert page.status_code == 200
    assert 'name="email"' in page.text


def test_answers_everybody_alike_with_the_same_work(client: FlaskClient) -> None:
    now = db.utcnow() - timedelta(days=1)
    with db.transaction() as session:
        for state in (State.PENDING, State.ACTIVE, State.LEFT):
            making.person(session, f"{state.value}@example.fi", now=now, state=state)
    statements: list[str] = []

    @event.listens_for(db.db.engine, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    seen = set()
    for kind in ("new", "pending", "active", "left"):
        statements.clear()
        answer = client.post(PAGE, data={"email": f"{kind}@example.fi", "lang": "en"})
        seen.add((answer.status_code, str(answer.headers), answer.data, tuple(statements)))
    assert len(seen) == 1
    assert answer.status_code == 303
    assert answer.location == f"{PAGE}/check-mail?lang=en"
    assert "Set-Cookie" not in answer.headers
    assert client.get(answer.location).status_code == 200


def test_makes_the_letter_due_for_whoever_is_known(client: FlaskClient, bells: list[frozenset[str]]) -> None:
    with db.transaction() as session:
        making.person(session, "matti@example.fi", now=db.utcnow() - timedelta(days=1))
    client.post(PAGE, data={"email": "MATTI@example.fi"})
    client.post(PAGE, data={"email": "nobody@example.fi"})
    assert bells[-1] == frozenset({db.REQUESTS})
    with db.transaction() as session:
        requests.take(session, now=db.utcnow())
        outcomes = session.scalars(select(Request.outcome).where(Request.kind == "leave").order_by(Request.id)).all()
    assert outcomes == ["leaving", "unknown"]


def test_a_malformed_address_gets_the_form_back(client: FlaskClient) -> None:
    for email in ("", "matti", "a@@example.fi", "a\0@example.fi", "x" * 9000):
        page = client.post(PAGE, data={"email": email, "lang": "en"})
        assert page.status_code == 422
        assert 'aria-describedby="email-error"' in page.text
        assert "<title>Error: " in page.text


def test_is_limited_and_apart_from_joining(client: FlaskClient) -> None:
    statuses = [client.post(PAGE, data={"email": "a@example.fi"}).status_code for _ in range(11)]
    assert statuses == [303] * 10 + [429]
    assert client.post("/lists/tector-tiedottaa", data={"email": "a@example.fi"}).status_code == 303


def test_a_filled_honeypot_changes_nothing(client: FlaskClient) -> None:
    assert client.post(PAGE, data={"email": "a@example.fi", "website": "x"}).status_code == 303
    with db.reading() as session:
        assert session.scalar(select(Request)) is None


def test_of_no_list_is_404(client: FlaskClient) -> None:
    assert client.get("/lists/nothing/leave").status_code == 404
    assert client.post("/lists/nothing/leave", data={"email": "a@example.fi"}).status_code == 404
