"""The table of routes is the whole front, each with its guard (SURFACE, Web). Those of the console are walked in
`staff/test_staff_guards.py`."""

from __future__ import annotations

from pathlib import Path

from flask import Flask
from flask.testing import FlaskClient

from mailinglist.consent import lists
from mailinglist.web import api
from mailinglist.web.guards import Guard
from mailinglist.web.routes import ROUTES, guard_of

ROOT = Path(__file__).resolve().parents[2]
SURFACE = {
    "GET /": "anyone",
    "GET /privacy": "anyone",
    "GET /privacy/<slug:slug>": "anyone",
    "GET /lists/<slug:slug>": "anyone",
    "POST /lists/<slug:slug>": "anyone, limited",
    "GET /lists/<slug:slug>/check-mail": "anyone",
    "GET /lists/<slug:slug>/leave": "anyone",
    "POST /lists/<slug:slug>/leave": "anyone, limited",
    "GET /lists/<slug:slug>/leave/check-mail": "anyone",
    "GET /lists/<slug:slug>/look-<digest>.css": "anyone",
    "GET /confirm/<token>": "link",
    "POST /confirm/<token>": "link",
    "GET /not-me/<token>": "link",
    "POST /not-me/<token>": "link",
    "GET /unsubscribe/<token>": "link",
    "POST /unsubscribe/<token>": "link",
    "GET /preferences": "anyone",
    "POST /preferences": "anyone, limited",
    "GET /preferences/check-mail": "anyone",
    "GET /preferences/<token>": "link",
    "POST /preferences/<token>": "link",
    "GET /preferences/<token>/data": "link",
    "GET /preferences/<token>/data.json": "link",
    "GET /health/live": "anyone",
    "GET /health/ready": "anyone",
    "GET /static/<path:name>": "anyone",
    "GET /robots.txt": "anyone",
    "GET /favicon.ico": "anyone",
    "GET /images/<name>": "anyone",
    "GET /api/v1/openapi.json": "anyone",
    "POST /api/v1/bans/check": "program",
    "POST /api/v1/bans": "program",
    "POST /api/v1/lists/<slug:slug>/leaves": "program",
    "POST /api/v1/lists/<slug:slug>/people": "program",
    "POST /api/v1/lists/<slug:slug>/requests": "program",
    "GET /api/v1/lists/<slug:slug>/texts": "program",
    "GET /api/v1/bulletins/<int:number>": "program",
}
_NAMES = {Guard.ANYONE: "anyone", Guard.LINK: "link", Guard.PROGRAM: "program"}


def test_are_those_of_the_surface() -> None:
    declared = {
        f"{route.method} {route.rule}": _NAMES[route.guard] + (", limited" if route.pace else "")
        for route in ROUTES
        if not route.of_the_console
    }
    assert declared == SURFACE


def test_the_console_lies_below_staff_and_nothing_else_does() -> None:
    assert all(route.rule.startswith("/staff/") == route.of_the_console for route in ROUTES)


def test_programs_call_below_api_and_nobody_else_does() -> None:
    for route in ROUTES:
        assert (route.guard is Guard.PROGRAM or route.rule.endswith("/openapi.json")) == route.rule.startswith("/api/")


def test_are_all_that_the_application_answers(app: Flask) -> None:
    answered = {
        f"{method} {rule.rule}"
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert answered == SURFACE.keys() | {f"{each.method} {each.rule}" for each in ROUTES if each.of_the_console}


def test_each_has_a_guard_by_its_endpoint(app: Flask) -> None:
    assert {rule.endpoint for rule in app.url_map.iter_rules()} == {route.endpoint for route in ROUTES}
    assert all(guard_of(route.endpoint) is route.guard for route in ROUTES)


def test_who_holds_no_link_gets_nowhere(client: FlaskClient) -> None:
    for route in ROUTES:
        if route.guard is Guard.LINK:
            path = route.rule.replace("<token>", "c29tZXRoaW5n.c2lnbmVk")
            assert client.open(path, method=route.method).status_code == 404


def test_the_manual_shows_each_call_and_what_a_token_needs() -> None:
    manual = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for call in api.CALLS:
        spelt = call.rule.replace("<slug:slug>", "SLUG").replace("<int:number>", "ID")
        assert f"| `{call.method} {spelt}` | `{call.scope}` |" in manual
        example = call.rule.replace("<slug:slug>", lists.DEFAULT_SLUG).replace("<int:number>", "1")
        assert f'call "$API{example}"' in manual
