"""Errors are pages in words, whatever goes wrong."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError

import making
from mailinglist import db
from mailinglist.consent import lists
from mailinglist.errors import RegisterUnsound

PAGE = "/lists/tector-tiedottaa"


def test_a_missing_page_says_so(client: FlaskClient) -> None:
    for language, words in (("fi", "Sivua ei ole"), ("sv", "Sidan finns inte"), ("en", "There is no such page")):
        page = client.get("/nowhere", query_string={"lang": language})
        assert page.status_code == 404
        assert words in page.text
        assert page.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]


def test_an_error_says_whose_page_it_is(client: FlaskClient) -> None:
    with db.transaction() as session:
        lists.set_value(session, making.the_list(session), "logo", "https://img.example/logo.svg", now=db.utcnow())
    page = client.get("/nowhere?lang=en")
    assert "<strong>Tekninen Toimisto Tektor Oy</strong><br>Rälssintie 12" in page.text
    assert "img.example" not in page.text + page.headers["Content-Security-Policy"]
    with db.transaction() as session:
        lists.add(session, "toinen", "Toinen", now=db.utcnow())
    assert "Tekninen Toimisto" not in client.get("/nowhere?lang=en").text, "of two lists nobody knows which was meant"


def test_a_cut_link_of_a_mail_says_what_to_do(client: FlaskClient) -> None:
    for path in ("/confirm/x", "/not-me/x", "/unsubscribe/x", "/preferences/x"):
        page = client.get(f"{path}?lang=en")
        assert page.status_code == 404, path
        assert "Copy the whole link from the message." in page.text, path
    assert "Copy the whole link" not in client.get("/nowhere?lang=en").text


def test_odd_addresses_are_missing_pages(client: FlaskClient) -> None:
    for path in (
        "/lists/%00", "/lists/%FF%FE", "/confirm/%00", "/unsubscribe/" + "a" * 5000, "/static/../app.py",
        "/static/..%2f..%2fapp.py", "/static/", "//evil.example/..", "/lists/x/look-%0d%0a.css",
    ):  # fmt: skip
        answer = client.get(path)
        assert answer.status_code in (308, 404), path
        assert "evil.example" not in answer.headers.get("Location", "")


def test_a_wrong_method_says_which_are_right(client: FlaskClient) -> None:
    page = client.delete(PAGE)
    assert page.status_code == 405
    assert "Tämä ei onnistu tässä" in page.text
    assert set(page.headers["Allow"].split(", ")) >= {"GET", "POST"}


def test_a_database_that_is_away_is_503(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise OperationalError("SELECT secret", {"mailbox": "matti@example.fi"}, Exception("gone"))

    monkeypatch.setattr(db, "reading", away)
    for page in (client.get(PAGE), client.post(PAGE, data={"email": "matti@example.fi"})):
        assert page.status_code == 503
        assert page.headers["Retry-After"] == "60"
        assert "matti" not in page.text
        assert "SELECT" not in page.text
        assert "Jokin on vialla" in page.text


def test_a_fault_is_503(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def down() -> None:
        raise RegisterUnsound("The bell could not be rung.")

    monkeypatch.setattr(db, "reading", down)
    assert client.get(PAGE).status_code == 503


def test_a_mistake_of_ours_is_500_without_its_story(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong() -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(db, "reading", wrong)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    page = client.get(PAGE)
    assert page.status_code == 500
    assert "Jokin on vialla meidän päässämme" in page.text
    assert "secret" not in page.text
