"""Whom another system handed on is told which (GDPR 15(1)(g)): on their own page and in their data. So are staff."""

from __future__ import annotations

import html
import json

import pytest
from flask import Flask
from flask.testing import FlaskClient

import staffing
from calling import program
from mailinglist import db
from mailinglist.consent import keys, lists, own_page, register, requests
from mailinglist.staff.levels import Level

pytestmark = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)

WHERE = f"/lists/{lists.DEFAULT_SLUG}"
FILES = {"basis": "organisation", "source": "Customers of November", "people": [{"email": "aino@example.fi"}]}


def own(mailbox: str) -> str:
    """The address of somebody's own page."""
    with db.reading() as session:
        digest = keys.keys_of(session).digest(mailbox)
        return f"/preferences/{own_page.Key(digest, digest, db.utcnow()).token(register.tokens_of(session))}"


def read(client: FlaskClient, path: str) -> str:
    return html.unescape(client.get(path).text)


def test_who_was_handed_over_or_asked_elsewhere_is_told_by_which_system(app: Flask, client: FlaskClient) -> None:
    till = program(app, name="Kassa 3")
    till.post(f"{WHERE}/people", FILES)
    till.post(f"{WHERE}/requests", {"email": "liisa@example.fi"})
    client.post(WHERE, data={"email": "matti@example.fi"})
    with db.transaction() as session:
        while requests.take(session, now=db.utcnow()):
            pass
    aino, liisa, matti = (own(f"{name}@example.fi") for name in ("aino", "liisa", "matti"))
    assert "Brought over from: Customers of November. The system that handed it on: Kassa 3." in read(
        client, f"{aino}?lang=en"
    )
    assert "From a form on another of our sites. The system that handed it on: Kassa 3." in read(
        client, f"{liisa}?lang=en"
    )
    assert "Tiedon välittänyt järjestelmä: Kassa 3." in read(client, f"{liisa}?lang=fi")
    assert "System som lämnade uppgiften: Kassa 3." in read(client, f"{liisa}?lang=sv")
    assert "handed it on" not in read(client, f"{matti}?lang=en")
    for page in (aino, liisa):
        data = read(client, f"{page}/data?lang=en")
        assert "System that handed it on" in data
        assert "Kassa 3" in data
        assert "Recorded by" not in data, "which of the staff, or which token, is not theirs to know"
        copy = json.loads(client.get(f"{page}/data.json").data)
        [entry] = copy["register"]["history"]
        assert entry["evidence"]["system"] == "Kassa 3"
        assert not {"file", "recorded_by"} & entry["evidence"].keys()
    shown = staffing.signed_in(app, Level.REGISTRAR).get("/staff/persons/1").text
    assert "System that handed it on" in shown
    assert "System Kassa 3 (" in shown
