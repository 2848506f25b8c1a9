"""Every route of the console × every level × every way of not being quite in: each answers as it is written here."""

from __future__ import annotations

import itertools
import re
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask

import staffing
from mailinglist import db
from mailinglist.staff.levels import Level
from mailinglist.web.guards import Guard, Route
from mailinglist.web.routes import ROUTES

CONSOLE = tuple(route for route in ROUTES if route.of_the_console)
EVERYBODY = "reader editor publisher registrar auditor administrator"
OWN = f"within: {EVERYBODY}"

# What is before the colon is how far one must have come; behind it stand the levels. "fresh": both factors of late.
DOCUMENTED = {
    "GET /staff/login": "door",
    "POST /staff/login": "door",
    "GET /staff/enrol/<secret>": "door",
    "POST /staff/enrol/<secret>": "door",
    "GET /staff/enrol/<secret>/factor": "half",
    "POST /staff/enrol/<secret>/factor": "half",
    "POST /staff/passkey-offer": "half",
    "GET /staff/login/factor": "half",
    "POST /staff/login/factor": "half",
    "POST /staff/login/passkey-options": "half",
    "POST /staff/logout": "half",
    "GET /staff/secrecy": OWN,
    "POST /staff/secrecy": OWN,
    "GET /staff/again": OWN,
    "POST /staff/again": OWN,
    "GET /staff/account": OWN,
    "POST /staff/account": OWN,
    "GET /staff/account/password": f"{OWN} fresh",
    "POST /staff/account/password": f"{OWN} fresh",
    "GET /staff/account/factor": f"{OWN} fresh",
    "POST /staff/account/factor": f"{OWN} fresh",
    "POST /staff/account/passkeys/<int:number>/remove": f"{OWN} fresh",
    "POST /staff/account/codes": f"{OWN} fresh",
    "POST /staff/account/sign-ins/<int:number>/end": OWN,
    "POST /staff/account/sign-ins/end-others": OWN,
    "POST /staff/list": OWN,
    "GET /staff/": f"staff: {EVERYBODY}",
    "GET /staff/staff": "staff: administrator",
    "GET /staff/staff/add": "staff: administrator fresh",
    "POST /staff/staff/add": "staff: administrator fresh",
    "GET /staff/staff/<int:number>": "staff: administrator",
    "POST /staff/staff/<int:number>": "staff: administrator fresh",
    "POST /staff/staff/<int:number>/disable": "staff: administrator fresh",
    "POST /staff/staff/<int:number>/enable": "staff: administrator fresh",
    "POST /staff/staff/<int:number>/link": "staff: administrator fresh",
    "GET /staff/programs": "staff: administrator",
    "GET /staff/programs/add": "staff: administrator fresh",
    "POST /staff/programs/add": "staff: administrator fresh",
    "GET /staff/programs/<int:number>": "staff: administrator",
    "GET /staff/programs/<int:number>/revoke": "staff: administrator fresh",
    "POST /staff/programs/<int:number>/revoke": "staff: administrator fresh",
    "GET /staff/audit": "staff: auditor administrator",
    "GET /staff/persons": "staff: registrar",
    "GET /staff/persons/new": "staff: registrar",
    "POST /staff/persons/new": "staff: registrar",
    "GET /staff/persons/<int:number>": "staff: registrar",
    "GET /staff/disclosures": "staff: registrar",
    "GET /staff/persons/<int:number>/disclose": "staff: registrar fresh",
    "POST /staff/persons/<int:number>/disclose": "staff: registrar fresh",
    "GET /staff/retention": "staff: registrar auditor administrator",
    "GET /staff/retention/counted": "staff: registrar auditor administrator",
    "GET /staff/tasks": "staff: registrar",
    "POST /staff/tasks/<int:number>/done": "staff: registrar",
    "POST /staff/persons/<int:number>/notes": "staff: registrar",
    "POST /staff/persons/<int:number>/notes/<int:note>/remove": "staff: registrar",
    "GET /staff/persons/<int:number>/leave": "staff: registrar",
    "POST /staff/persons/<int:number>/leave": "staff: registrar",
    "GET /staff/persons/<int:number>/restriction": "staff: registrar",
    "POST /staff/persons/<int:number>/restriction": "staff: registrar",
    "POST /staff/persons/<int:number>/restriction/end": "staff: registrar",
    "GET /staff/persons/<int:number>/details": "staff: registrar",
    "POST /staff/persons/<int:number>/details": "staff: registrar",
    "GET /staff/persons/<int:number>/address": "staff: registrar",
    "POST /staff/persons/<int:number>/address": "staff: registrar",
    "GET /staff/persons/<int:number>/ban": "staff: registrar",
    "POST /staff/persons/<int:number>/ban": "staff: registrar",
    "POST /staff/persons/<int:number>/restore": "staff: registrar",
    "GET /staff/persons/<int:number>/lift": "staff: registrar fresh",
    "POST /staff/persons/<int:number>/lift": "staff: registrar fresh",
    "GET /staff/persons/<int:number>/export": "staff: registrar fresh",
    "POST /staff/persons/<int:number>/export": "staff: registrar fresh",
    "GET /staff/persons/<int:number>/proof": "staff: registrar fresh",
    "POST /staff/persons/<int:number>/proof": "staff: registrar fresh",
    "GET /staff/persons/<int:number>/erase": "staff: registrar fresh",
    "POST /staff/persons/<int:number>/erase": "staff: registrar fresh",
    "GET /staff/bans": "staff: registrar",
    "GET /staff/bans/add": "staff: registrar",
    "POST /staff/bans/add": "staff: registrar",
    "GET /staff/bans/lift": "staff: registrar fresh",
    "POST /staff/bans/lift": "staff: registrar fresh",
    "GET /staff/imports": "staff: registrar",
    "POST /staff/imports": "staff: registrar",
    "GET /staff/imports/<int:number>": "staff: registrar",
    "GET /staff/imports/<int:number>/progress": "staff: registrar",
    "POST /staff/imports/<int:number>/check": "staff: registrar",
    "POST /staff/imports/<int:number>/start": "staff: registrar fresh",
    "POST /staff/imports/<int:number>/give-up": "staff: registrar",
    "GET /staff/exports": "staff: registrar fresh",
    "POST /staff/exports": "staff: registrar fresh",
    "GET /staff/bulletins": f"staff: {EVERYBODY}",
    "GET /staff/bulletins/new": "staff: editor publisher",
    "POST /staff/bulletins/new": "staff: editor publisher",
    "POST /staff/bulletins/<int:number>/duplicate": "staff: editor publisher",
    "GET /staff/bulletins/<int:number>/remove": "staff: editor publisher",
    "POST /staff/bulletins/<int:number>/remove": "staff: editor publisher",
    "GET /staff/bulletins/<int:number>/edit": "staff: editor publisher",
    "POST /staff/bulletins/<int:number>/edit": "staff: editor publisher",
    "POST /staff/bulletins/<int:number>/save": "staff: editor publisher",
    "POST /staff/bulletins/<int:number>/take": "staff: editor publisher",
    "GET /staff/bulletins/<int:number>/preview": f"staff: {EVERYBODY}",
    "GET /staff/bulletins/<int:number>/look": f"staff: {EVERYBODY}",
    "GET /staff/bulletins/<int:number>/preflight": "staff: editor publisher",
    "GET /staff/bulletins/<int:number>/preflight/found": "staff: editor publisher",
    "GET /staff/bulletins/<int:number>/versions": "staff: editor publisher",
    "GET /staff/bulletins/<int:number>/versions/<int(signed=True):revision>": "staff: editor publisher",
    "POST /staff/bulletins/<int:number>/versions/<int(signed=True):revision>": "staff: editor publisher",
    "GET /staff/bulletins/<int:number>/image": "staff: editor publisher",
    "POST /staff/bulletins/<int:number>/image": "staff: editor publisher",
    "POST /staff/bulletins/<int:number>/upload": "staff: editor publisher",
    "GET /staff/bulletins/<int:number>/audience": "staff: editor publisher",
    "POST /staff/bulletins/<int:number>/audience": "staff: editor publisher",
    "GET /staff/bulletins/<int:number>/audience/count": "staff: editor publisher",
    "POST /staff/bulletins/<int:number>/as-template": "staff: editor publisher",
    "GET /staff/templates": "staff: editor publisher",
    "POST /staff/templates/<int:number>/begin": "staff: editor publisher",
    "GET /staff/images": "staff: editor publisher",
    "POST /staff/images": "staff: editor publisher",
    "GET /staff/bulletins/<int:number>": f"staff: {EVERYBODY}",
    "GET /staff/bulletins/<int:number>/send": "staff: publisher fresh",
    "POST /staff/bulletins/<int:number>/send": "staff: publisher fresh",
    "POST /staff/bulletins/<int:number>/ask": "staff: editor publisher",
    "POST /staff/bulletins/<int:number>/approve": "staff: publisher",
    "POST /staff/bulletins/<int:number>/withdraw": "staff: publisher",
    "GET /staff/bulletins/<int:number>/test": "staff: editor publisher",
    "POST /staff/bulletins/<int:number>/test": "staff: editor publisher",
    "GET /staff/bulletins/<int:number>/progress": f"staff: {EVERYBODY}",
    "POST /staff/bulletins/<int:number>/pause": "staff: publisher",
    "POST /staff/bulletins/<int:number>/resume": "staff: publisher",
    "GET /staff/bulletins/<int:number>/cancel": "staff: publisher",
    "POST /staff/bulletins/<int:number>/cancel": "staff: publisher",
    "GET /staff/bulletins/<int:number>/recipients/<state>": "staff: publisher registrar",
    "GET /staff/bulletins/<int:number>/uncertain": "staff: publisher fresh",
    "POST /staff/bulletins/<int:number>/uncertain": "staff: publisher fresh",
    "GET /staff/bulletins/<int:number>/report": f"staff: {EVERYBODY}",
    "GET /staff/bounces": "staff: publisher registrar",
    "GET /staff/unreached": "staff: registrar",
    "GET /staff/complaints": f"staff: {EVERYBODY}",
    "POST /staff/complaints/go-on": "staff: publisher fresh",
    "GET /staff/mail": "staff: registrar",
    "POST /staff/mail/<int:number>/done": "staff: registrar",
    "POST /staff/mail/<int:number>/done-with-sender": "staff: registrar",
    "POST /staff/mail/<int:number>/again": "staff: registrar",
    "GET /staff/lists": "staff: administrator",
    "POST /staff/lists": "staff: administrator",
    "GET /staff/lists/<slug:slug>": "staff: administrator",
    "POST /staff/lists/<slug:slug>": "staff: administrator",
    "GET /staff/lists/<slug:slug>/looks": "staff: administrator",
    "POST /staff/lists/<slug:slug>/looks": "staff: administrator",
    "GET /staff/lists/<slug:slug>/texts": "staff: administrator",
    "POST /staff/lists/<slug:slug>/texts": "staff: administrator",
    "GET /staff/lists/<slug:slug>/notice": "staff: administrator",
    "POST /staff/lists/<slug:slug>/notice": "staff: administrator",
    "GET /staff/lists/<slug:slug>/rules": "staff: administrator",
    "POST /staff/lists/<slug:slug>/rules": "staff: administrator",
    "POST /staff/lists/<slug:slug>/logo": "staff: administrator",
    "GET /staff/lists/<slug:slug>/letters": "staff: administrator",
    "GET /staff/lists/<slug:slug>/letters/<kind>/<language>": "staff: administrator",
    "POST /staff/lists/<slug:slug>/letters/<kind>/<language>": "staff: administrator",
    "GET /staff/lists/<slug:slug>/letters/<kind>/<language>/preview": "staff: administrator",
    "POST /staff/lists/<slug:slug>/letters/<kind>/<language>/preview": "staff: administrator",
}

ENDING = ("POST /staff/logout", "POST /staff/account/sign-ins/end-others")
"""What ends sign-ins of the account."""

# The door asks the database only who is signed in, and so answers the same on both: one is enough for every day.
WALK = pytest.mark.parametrize(
    "databases", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)], indirect=True
)

_clients = itertools.count(1)


def name_of(route: Route) -> str:
    return f"{route.method} {route.rule}"


def path_of(route: Route) -> str:
    """An address of the route, about nothing that exists."""
    path = re.sub(r"<int(?:\([^)]*\))?:\w+>", "999999", route.rule)
    return re.sub(r"<(?:\w+:)?\w+>", "nothing", path)


def ask(route: Route, who: staffing.Signed | None, app: Flask) -> str:
    """Where the door sends this request: "in", "refused", or the page of the door. Each comes from another client, so
    that none is too many."""
    number = next(_clients)
    options = {"environ_overrides": {"REMOTE_ADDR": f"10.0.{number // 250}.{number % 250}"}}
    if route.method == "GET":
        answer = (who.client if who else app.test_client()).get(path_of(route), **options)
    elif who:
        answer = who.post(path_of(route), {}, token=who.token(), **options)
    else:
        answer = app.test_client().post(path_of(route), headers={"Origin": staffing.ORIGIN}, **options)
    if answer.status_code == 403:
        return "refused"
    place = urlsplit(answer.location or "").path
    if answer.status_code == 303 and place in ("/staff/login", "/staff/login/factor", "/staff/secrecy", "/staff/again"):
        return place
    assert answer.status_code < 500, (name_of(route), answer.status_code)
    return "in"


def documented(route: Route) -> tuple[str, frozenset[str], bool]:
    how, _, rest = DOCUMENTED[name_of(route)].partition(":")
    return how, frozenset(rest.split()) - {"fresh"}, "fresh" in rest.split()


def test_every_route_of_the_console_is_documented() -> None:
    assert {name_of(route) for route in CONSOLE} == DOCUMENTED.keys()


def test_what_is_declared_is_what_is_documented() -> None:
    names = {Guard.DOOR: "door", Guard.HALF: "half", Guard.WITHIN: "within", Guard.STAFF: "staff"}
    for route in CONSOLE:
        how, _, fresh = documented(route)
        assert (names[route.guard], route.fresh) == (how, fresh), name_of(route)


@WALK
def test_each_level_gets_where_it_may_and_nowhere_else(app: Flask) -> None:
    signed = {level: staffing.signed_in(app, level) for level in Level}
    for route in sorted(CONSOLE, key=lambda route: route.rule == "/staff/logout"):
        how, levels, _ = documented(route)
        for level, who in signed.items():
            wanted = "in" if how in ("door", "half") or level in levels else "refused"
            if name_of(route) == "POST /staff/logout":
                wanted = "/staff/login"  # which is where signing out leads
            assert ask(route, who, app) == wanted, (name_of(route), level)


@WALK
def test_who_is_not_quite_in_is_sent_to_what_is_missing(app: Flask) -> None:
    now = db.utcnow()

    def signed(account: int, **how: object) -> staffing.Signed:
        return staffing.client_of(app, account, *staffing.sign_in(account, **how))  # type: ignore[arg-type]

    every = staffing.account(*Level)
    disabled = signed(staffing.account(*Level, disabled_at=now))
    past = signed(staffing.account(*Level, until=now - timedelta(seconds=1)))
    idle = signed(every, now=now - timedelta(minutes=31))
    half, stale = signed(every, passed="password"), signed(every, fresh=False)
    unsworn = signed(staffing.account(*Level, accepted=False))
    for route in CONSOLE:
        how, _, fresh = documented(route)
        if how == "door":
            continue
        login, factor, secrecy, again = "/staff/login", "/staff/login/factor", "/staff/secrecy", "/staff/again"
        assert [ask(route, who, app) for who in (None, disabled, past, idle)] == [login] * 4, name_of(route)
        if name_of(route) in ENDING:
            continue
        assert ask(route, half, app) == ("in" if how == "half" else factor), name_of(route)
        assert ask(route, unsworn, app) == (secrecy if how == "staff" else "in"), name_of(route)
        assert ask(route, stale, app) == (again if fresh else "in"), name_of(route)
        if name_of(route) == "POST /staff/secrecy":
            unsworn = signed(staffing.account(*Level, accepted=False))


def test_head_answers_as_get_and_changes_nothing(app: Flask) -> None:
    who = staffing.signed_in(app, *Level)
    assert who.client.head("/staff/audit").status_code == 200
    assert who.client.head("/staff/logout").status_code == 405
    assert who.get("/staff/").status_code == 200


def test_what_was_asked_for_comes_after_the_door(app: Flask) -> None:
    answer = app.test_client().get("/staff/audit?act=sign_in&about=account%203")
    assert parse_qs(urlsplit(answer.location).query)["next"] == ["/staff/audit?act=sign_in&about=account%203"]


def test_a_part_of_a_page_sends_the_whole_page_to_the_door(app: Flask) -> None:
    here = f"{staffing.ORIGIN}/staff/audit?who=x"
    answer = app.test_client().get("/staff/audit", headers={"HX-Request": "true", "HX-Current-URL": here})
    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"] == "/staff/login?next=/staff/audit?who%3Dx"
    assert answer.text == ""
