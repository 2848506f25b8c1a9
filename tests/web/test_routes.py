"""The table of routes is the whole front, each with its guard (SURFACE, Web). Those of the console are walked in
`staff/test_staff_guards.py`."""

from __future__ import annotations

from flask import Flask
from flask.testing import FlaskClient

from mailinglist.web.guards import Guard
from mailinglist.web.routes import ROUTES, guard_of

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
}
_NAMES = {Guard.ANYONE: "anyone", Guard.LINK: "link"}


def test_are_those_of_the_surface() -> None:
    declared = {
        f"{route.method} {route.rule}": _NAMES[route.guard] + (", limited" if route.pace else "")
        for route in ROUTES
        if not route.of_the_console
    }
    assert declared == SURFACE


def test_the_console_lies_below_staff_and_nothing_else_does() -> None:
    assert all(route.rule.startswith("/staff/") == route.of_the_console for route in ROUTES)


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
