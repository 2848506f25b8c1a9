"""The headers of every answer."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

import making
from mailinglist import db
from mailinglist.app import create_app
from mailinglist.consent import lists
from mailinglist.settings import Settings

PAGE = "/lists/tector-tiedottaa"
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


def test_nothing_runs_and_nothing_is_framed(client: FlaskClient) -> None:
    for path in (PAGE, f"{PAGE}/check-mail", "/privacy", "/nowhere", "/confirm/x", "/health/live", "/robots.txt"):
        headers = client.get(path).headers
        assert headers["Content-Security-Policy"] == POLICY
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "camera=()" in headers["Permissions-Policy"]
        assert "Strict-Transport-Security" not in headers
        assert "Set-Cookie" not in headers


def test_our_own_form_keeps_its_origin(client: FlaskClient) -> None:
    """With no-referrer, browsers would send `Origin: null`, and the browser that signs up would not be known."""
    assert client.get(PAGE).headers["Referrer-Policy"] == "same-origin"


def test_the_logo_s_origin_is_let_in_and_nothing_more(client: FlaskClient) -> None:
    with db.transaction() as session:
        lists.set_value(
            session, making.the_list(session), "logo", "https://img.example/a/logo.svg?x=1", now=db.utcnow()
        )
    page = client.get(PAGE)
    assert "img-src 'self' https://img.example;" in page.headers["Content-Security-Policy"]
    assert (
        '<img src="https://img.example/a/logo.svg?x=1" alt="Tekninen Toimisto Tektor Oy" referrerpolicy="no-referrer">'
        in page.text
    )
    assert client.get("/nowhere").headers["Content-Security-Policy"] == POLICY


@pytest.fixture
def secure(settings: Settings) -> Flask:
    """The application behind https and one proxy."""
    return create_app(settings.model_copy(update={"base_url": "https://lists.example.fi", "trusted_proxies": 1}))


def test_https_is_held_to(secure: Flask) -> None:
    answer = secure.test_client().get(PAGE)
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_the_cookie_is_bound_to_the_host_under_https(secure: Flask) -> None:
    answer = secure.test_client().post(
        PAGE, data={"email": "a@example.fi"}, headers={"Origin": "https://lists.example.fi"}
    )
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-mailinglist_browser=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
    assert answer.location == f"{PAGE}/check-mail"


def test_one_proxy_is_believed_about_the_client_and_no_further(secure: Flask) -> None:
    client = secure.test_client()

    def ask(forwarded: str) -> int:
        return client.post(PAGE, data={"email": "a@example.fi"}, headers={"X-Forwarded-For": forwarded}).status_code

    assert [ask(f"203.0.113.{n}, 198.51.100.1") for n in range(11)] == [303] * 10 + [429]
    assert ask("203.0.113.1, 198.51.100.2") == 303
    assert client.get("/", headers={"X-Forwarded-Host": "evil.example", "Host": "evil.example"}).location == PAGE
