"""What every page of the console is held to: forms of ours alone, no frames, no caches, no way out to other sites."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest
from flask import Flask, Response, request
from flask.testing import FlaskClient

import staffing
from mailinglist import db
from mailinglist.app import create_app
from mailinglist.places import TEMPLATES
from mailinglist.settings import Settings
from mailinglist.staff import accounts, sign_ins
from mailinglist.staff.audit import Actor
from mailinglist.staff.levels import Level
from mailinglist.staff.tables import SignIn
from mailinglist.web import pages
from mailinglist.web.exchange import exchange
from mailinglist.web.guards import Guard, Route
from mailinglist.web.routes import ROUTES
from mailinglist.web.staff import frame

# What is tested here does not come to the database, or would be the same on another.
on_sqlite = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)

TEST = Actor(None, "a test", "")
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; script-src 'self'; connect-src 'self'"
)


@pytest.fixture
def chief(app: Flask) -> staffing.Signed:
    """Somebody with every level."""
    return staffing.signed_in(app, *Level)


def name_now(who: staffing.Signed) -> str:
    with db.reading() as session:
        return accounts.find(session, who.account_id).name


def test_a_form_of_ours_is_taken(chief: staffing.Signed) -> None:
    answer = chief.post("/staff/account", {"name": "Maija Uusi", "language": "en"})
    assert (answer.status_code, answer.location) == (303, "/staff/account")
    assert name_now(chief) == "Maija Uusi"


@on_sqlite
def test_a_slash_at_the_end_of_an_address_does_not_matter(chief: staffing.Signed, client: FlaskClient) -> None:
    """Each page answers by itself: a redirect would be made from what the visitor wrote."""
    values = {"number": 7, "slug": "tector-tiedottaa", "revision": 1, "secret": "x", "key": "confirm", "language": "fi"}
    wrong = []
    for route in ROUTES:
        if route.method != "GET" or not route.of_the_console or route.rule.endswith("/"):
            continue
        path = re.sub(r"<(?:[^:>]+:)?(\w+)>", lambda found: str(values.get(found[1], "x")), route.rule)
        plain, slashed = (chief.get(each) for each in (path, f"{path}/"))
        told = [(each.status_code, (each.location or "").partition("?")[0]) for each in (plain, slashed)]
        if told[0] != told[1]:
            wrong.append((path, *told))
    assert wrong == []
    assert chief.get("/staff/bulletins/").status_code == 200
    assert client.get("/staff/bulletins/").location == "/staff/login?next=/staff/bulletins/"
    for elsewhere in ("/staff//evil.example/", "/staff/bulletins//"):
        assert chief.get(elsewhere).status_code == 404


@on_sqlite
@pytest.mark.parametrize(
    ("token", "headers"),
    [
        ("", {"Origin": staffing.ORIGIN}),
        ("0" * 64, {"Origin": staffing.ORIGIN}),
        ("å", {"Origin": staffing.ORIGIN}),
        (None, {"Origin": "https://evil.example"}),
        (None, {"Origin": "null"}),
        (None, {"Origin": "null", "Sec-Fetch-Site": "cross-site"}),
        (None, {"Sec-Fetch-Site": "same-site"}),
        (None, {}),
    ],
)
def test_any_other_form_is_refused(chief: staffing.Signed, token: str | None, headers: dict[str, str]) -> None:
    answer = chief.post("/staff/account", {"name": "Evil", "language": "en"}, token=token, headers=headers)
    assert answer.status_code == 403
    assert "That form was not accepted" in answer.text
    assert name_now(chief) == "Maija Mainio"


def test_the_token_of_somebody_else_is_refused(app: Flask, chief: staffing.Signed) -> None:
    other = staffing.signed_in(app, *Level)
    assert chief.post("/staff/account", {"name": "Evil", "language": "en"}, token=other.token()).status_code == 403


@on_sqlite
def test_the_token_may_come_in_a_header(chief: staffing.Signed) -> None:
    headers = {"Origin": staffing.ORIGIN, "X-CSRF-Token": chief.token()}
    answer = chief.client.post("/staff/account", data={"name": "Maija Uusi", "language": "en"}, headers=headers)
    assert answer.status_code == 303


@on_sqlite
def test_a_form_of_the_door_comes_from_our_own_page_too(client: FlaskClient) -> None:
    form = {"address": "a@example.fi", "password": "b"}
    for headers in ({}, {"Origin": "https://evil.example"}):
        assert client.post("/staff/login", data=form, headers=headers).status_code == 403
    assert client.post("/staff/login", data=form, headers={"Origin": staffing.ORIGIN}).status_code == 422


@on_sqlite
def test_headers_of_every_page(chief: staffing.Signed, client: FlaskClient) -> None:
    for answer in (
        chief.get("/staff/"),
        client.get("/staff/login"),
        chief.get("/staff/nowhere"),
        client.get("/staff/x"),
    ):
        assert answer.headers["Content-Security-Policy"] == POLICY
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Robots-Tag"] == "noindex"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert not re.search(r"<style|style=|<script(?! src=)|\son\w+=", answer.text)


ELSEWHERE = [
    "//evil.example", "///evil.example", "https://evil.example", "https:evil.example", "\\evil.example",
    "/\\evil.example", "/staff/\\evil.example", "/staff/\r\nSet-Cookie: a=b", "/staff/x\r\n", "/staff/../../x",
    "javascript:alert(1)", "/staffx", "//staff/", "/staff//evil.example", " /staff/", "/staff/é", "/lists/x",
    "/staff@evil.example", "/staff/%0d%0aX: y z",
]  # fmt: skip


@on_sqlite
def test_no_way_out(chief: staffing.Signed) -> None:
    for wanted in ELSEWHERE:
        for answer in (
            chief.client.get("/staff/login", query_string={"next": wanted}),
            chief.post("/staff/secrecy", {"next": wanted}),
        ):
            assert (answer.status_code, answer.location) == (303, "/staff/"), wanted


@on_sqlite
def test_the_way_on_is_gone(chief: staffing.Signed) -> None:
    answer = chief.post("/staff/secrecy", {"next": "/staff/audit?who=3&act=sign_in"})
    assert answer.location == "/staff/audit?who=3&act=sign_in"


def test_what_does_not_exist_is_said_within_the_frame(chief: staffing.Signed, client: FlaskClient) -> None:
    inside, outside = chief.get("/staff/nowhere"), client.get("/staff/nowhere")
    assert (inside.status_code, outside.status_code) == (404, 404)
    assert "Maija Mainio" in inside.text
    assert "/staff/audit" not in outside.text


def test_a_cookie_is_worth_nothing_after_signing_out(app: Flask, chief: staffing.Signed) -> None:
    thief = staffing.client_of(app, chief.account_id, chief.sign_in_id, chief.secret)
    assert thief.get("/staff/").status_code == 200
    left = chief.post("/staff/logout")
    assert (left.status_code, left.location) == (303, "/staff/login")
    assert "staff=;" in left.headers["Set-Cookie"]
    assert thief.get("/staff/").location.startswith("/staff/login")


def test_a_demotion_and_a_disabling_work_on_the_next_request(app: Flask, chief: staffing.Signed) -> None:
    staffing.account(Level.ADMINISTRATOR)
    assert chief.get("/staff/staff").status_code == 200
    with db.transaction() as session:
        account = accounts.find(session, chief.account_id)
        accounts.set_levels(session, account, [Level.READER], by=TEST, now=db.utcnow())
    assert chief.get("/staff/staff").status_code == 403
    assert 'href="/staff/staff"' not in chief.get("/staff/").text
    with db.transaction() as session:
        accounts.disable(session, accounts.find(session, chief.account_id), by=TEST, now=db.utcnow())
    assert chief.get("/staff/").location.startswith("/staff/login")


def test_a_planted_cookie_opens_nothing(app: Flask) -> None:
    """Session fixation: a value that no sign-in has stays nobody's, and each factor changes the value."""
    client = app.test_client()
    client.set_cookie("staff", "planted")
    assert client.get("/staff/").location == "/staff/login"
    account = staffing.account(Level.READER)
    number, secret = staffing.sign_in(account, passed="password")
    with db.transaction() as session:
        found = sign_ins.of(session, secret, now=db.utcnow())
        assert found is not None
        fresh = sign_ins.pass_factor(session, found.sign_in, now=db.utcnow())
    assert staffing.client_of(app, account, number, secret).get("/staff/").location == "/staff/login"
    assert staffing.client_of(app, account, number, fresh).get("/staff/").status_code == 200


def seen_at(who: staffing.Signed) -> datetime:
    with db.reading() as session:
        return session.get_one(SignIn, who.sign_in_id).seen_at


def test_a_page_that_asks_by_itself_keeps_nobody_signed_in(app: Flask, chief: staffing.Signed) -> None:
    polled = [route for route in ROUTES if route.polled]
    assert {route.rule for route in polled} == {
        "/staff/bulletins/<int:number>/progress", "/staff/imports/<int:number>/progress",
    }  # fmt: skip
    account, then = chief.account_id, db.utcnow() - timedelta(minutes=29)
    who = staffing.client_of(app, account, *staffing.sign_in(account, now=then))
    for route in polled:
        who.get(route.rule.replace("<int:number>", "1"), headers={"HX-Request": "true"})
    assert seen_at(who) == then
    who.client.get("/staff/audit", headers={"HX-Request": "true"})
    assert seen_at(who) > then
    idle = staffing.client_of(app, account, *staffing.sign_in(account, now=then - timedelta(minutes=2)))
    answer = idle.get("/staff/bulletins/1/progress", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (401, "/staff/login")


def test_only_what_is_marked_asks_by_itself() -> None:
    """Whatever a template lets ask again and again leads to such a route."""
    asking = set()
    for path in TEMPLATES.glob("staff/**/*.html"):
        for element in re.findall(r"<[^<>]*hx-get(?:[^<>]|<\w)*", path.read_text(encoding="utf-8")):
            if re.search(r'hx-trigger="(?:every|\{\{)', element):
                asking |= set(re.findall(r'hx-get="\{\{ url_for\("([\w.]+)"', element))
    assert asking == {route.endpoint for route in ROUTES if route.polled}


@on_sqlite
def test_what_was_done_is_said_once(chief: staffing.Signed) -> None:
    chief.post("/staff/account", {"name": "Maija Uusi", "language": "en"})
    assert "Saved." in chief.get("/staff/account").text
    assert "Saved." not in chief.get("/staff/account").text


@on_sqlite
def test_nobody_else_can_say_it(chief: staffing.Signed) -> None:
    chief.client.set_cookie("staff_said", "IkV2aWwi.aaaa.bbbb")
    assert chief.get("/staff/account").status_code == 200


def test_the_list_that_one_works_on_is_remembered(chief: staffing.Signed) -> None:
    assert chief.post("/staff/list", {"list": "nowhere"}).status_code == 404
    assert chief.post("/staff/list", {"list": "tector-tiedottaa"}).location == "/staff/"


@on_sqlite
def test_a_name_with_markup_is_inert(chief: staffing.Signed) -> None:
    evil = "<script>alert(1)</script>{{ 7*7 }}\"'"
    chief.post("/staff/account", {"name": evil, "language": "en"})
    for path in ("/staff/", "/staff/account", "/staff/staff", f"/staff/staff/{chief.account_id}", "/staff/audit"):
        page = chief.get(path).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;{{ 7*7 }}" in page


@on_sqlite
@pytest.mark.parametrize("language", ["fi", "sv", "en"])
def test_pages_speak_the_language_of_the_account(app: Flask, language: str) -> None:
    who = staffing.signed_in(app, Level.READER, language=language)
    words = {"fi": "Etusivu", "sv": "Förstasidan", "en": "First page"}
    assert words[language] in who.client.get("/staff/", headers={"Accept-Language": "de"}).text


@on_sqlite
def test_the_cookie_is_bound_to_the_host_under_https(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"base_url": "https://lists.example.fi"}))
    with app.app_context():
        account = staffing.account(Level.READER)
        client = app.test_client()
        client.set_cookie("__Host-staff", staffing.sign_in(account)[1], domain="lists.example.fi", secure=True)
        at = {"base_url": "https://lists.example.fi"}
        assert client.get("/staff/", **at).status_code == 200
        form = {"address": accounts_address(account), "password": staffing.PASSWORD}
        answer = app.test_client().post("/staff/login", data=form, headers={"Origin": at["base_url"]}, **at)
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith("__Host-staff=")
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} == set(cookie.split("; ")[1:])
        db.db.engine.dispose()


def accounts_address(account_id: int) -> str:
    with db.reading() as session:
        return accounts.find(session, account_id).address


@on_sqlite
def test_a_route_may_take_more_than_other_forms(app: Flask) -> None:
    def length() -> Response:
        return pages.text(str(len(request.form["words"])))

    for path, most in (("/staff/small", None), ("/staff/large", 200_000)):
        route = Route("POST", path, length, Guard.WITHIN, body=most)
        app.add_url_rule(path, path, frame.guarded(route), methods=["POST"])
    who = staffing.signed_in(app, Level.READER)
    assert who.post("/staff/large", {"words": "x" * 150_000}).text == "150000\n"
    assert who.post("/staff/large", {"words": "x" * 250_000}).status_code == 413
    assert who.post("/staff/small", {"words": "x" * 150_000}).status_code == 413


@on_sqlite
def test_only_a_preview_stands_in_a_frame_of_ours_and_nothing_in_it_runs(app: Flask) -> None:
    def mail() -> Response:
        exchange().preview = True
        return Response("<p>A mail</p>")

    def around() -> Response:
        exchange().frames = True
        return Response("<p>A page</p>")

    for path, view in (("/staff/inside", mail), ("/staff/around", around)):
        app.add_url_rule(path, path, frame.guarded(Route("GET", path, view, Guard.WITHIN)))
    who = staffing.signed_in(app, Level.READER)
    inner = who.get("/staff/inside").headers["Content-Security-Policy"]
    assert "frame-ancestors 'self'" in inner
    assert "; sandbox" in inner
    assert "script-src" not in inner
    assert "allow-scripts" not in inner
    assert "allow-same-origin" not in inner
    assert who.get("/staff/around").headers["Content-Security-Policy"] == f"{POLICY}; frame-src 'self'"
