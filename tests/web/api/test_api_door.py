"""Who may call the API, and what everybody else is answered."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from limits import parse_many
from sqlalchemy import func, select

import calling
import making
from calling import BASE, Program, program
from mailinglist import db, pace
from mailinglist.consent import lists
from mailinglist.consent.tables import Ban, MailingList, Person, Request
from mailinglist.staff import programs
from mailinglist.staff.programs import Scope
from mailinglist.staff.tables import ApiToken, AuditEntry
from mailinglist.web.api import CALLS, problem
from mailinglist.web.exchange import BE_PATIENT

# What a door does depends on no database; the verbs behind it are tried on both.
pytestmark = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)

SLUG = lists.DEFAULT_SLUG
BODIES: dict[str, dict[str, Any]] = {
    "/bans/check": {"items": [{"email": "matti@example.fi"}]},
    "/bans": {"email": "matti@example.fi", "channels": "all", "source": "call"},
    "/lists/<slug:slug>/leaves": {"email": "matti@example.fi", "source": "call"},
    "/lists/<slug:slug>/people": {"basis": "consent", "source": "shop", "people": [{"email": "matti@example.fi"}]},
    "/lists/<slug:slug>/requests": {"email": "matti@example.fi"},
}
"""A good body of each call that has one."""
EVERY = [pytest.param(call, id=f"{call.method} {call.rule}") for call in CALLS]


def address_of(rule: str, slug: str = SLUG) -> str:
    return rule.replace("<slug:slug>", slug).replace("<int:number>", "1")


def other_list() -> MailingList:
    with db.transaction() as session:
        return lists.add(session, "toinen", "Toinen", now=db.utcnow())


def untouched() -> bool:
    """Whether nothing was written by any call."""
    with db.reading() as session:
        acts = set(session.scalars(select(AuditEntry.act))) - {"api_token_issued", "api_token_revoked"}
        return not acts and all(session.scalar(select(table)) is None for table in (Ban, Person, Request))


def called(client: FlaskClient, call, headers: dict[str, str], slug: str = SLUG):
    body = BODIES.get(call.rule)
    return client.open(BASE + address_of(call.rule, slug), method=call.method, json=body, headers=headers)


def assert_problem(answer, status: int) -> dict:
    assert answer.status_code == status
    assert answer.content_type == problem.TYPE
    assert answer.headers["Cache-Control"] == "no-store"
    assert not [name for name, _ in answer.headers if name.lower() == "set-cookie" or "access-control" in name.lower()]
    told = json.loads(answer.data)
    assert told["status"] == status
    assert told["title"]
    assert told["detail"].endswith(".")
    return told


def test_every_call_without_a_good_token_is_answered_alike(app: Flask) -> None:
    good = program(app)
    ended = program(app, now=db.utcnow() - timedelta(days=400))
    revoked = program(app)
    with db.transaction() as session:
        programs.revoke(session, revoked.number, by=calling.BY, now=db.utcnow())
    client = app.test_client()
    presented = [
        {}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": "Bearer mlt_unknown"},
        {"Authorization": f"Bearer {ended.secret}"}, {"Authorization": f"Bearer {revoked.secret}"},
        {"Authorization": f"Basic {good.secret}"}, {"Authorization": f"Token {good.secret}"},
        {"Authorization": f"Bearer {good.secret}x"}, {"Authorization": f"Bearer {good.secret} x"},
        {"Authorization": f"Bearer {good.secret}, Bearer {good.secret}"}, {"X-Authorization": f"Bearer {good.secret}"},
        {"Cookie": f"access_token={good.secret}"}, {"Authorization": "Bearer mlt_ä".encode().decode("latin-1")},
    ]  # fmt: skip
    answers = [called(client, CALLS[0], headers) for headers in presented]
    answers += [called(client, call, {"Authorization": "Bearer mlt_unknown"}) for call in CALLS]
    answers.append(client.get(f"{BASE}/bulletins/1?access_token={good.secret}"))
    for answer in answers:
        assert_problem(answer, 401)
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="mailinglist"'
    assert len({answer.data for answer in answers}) == 1
    assert untouched()


@pytest.mark.parametrize("call", EVERY)
def test_a_token_opens_what_it_is_good_for_and_nothing_else(app: Flask, call) -> None:
    fitting = program(app, call.scope)
    with db.transaction() as session:
        making.written(session, now=db.utcnow())
    assert called(fitting.client, call, fitting.headers).status_code == call.status
    others = program(app, *[scope for scope in Scope if scope is not call.scope])
    with db.transaction() as session:
        for row in session.scalars(select(ApiToken)):
            assert (row.used_at is not None) is (row.id == fitting.number)
    answer = called(others.client, call, others.headers)
    assert_problem(answer, 403)
    assert f'error="insufficient_scope", scope="{call.scope}"' in answer.headers["WWW-Authenticate"]


def test_a_token_for_one_list_names_that_list(app: Flask) -> None:
    row = other_list()
    one = program(app, list_id=row.id)
    for call in CALLS:
        if "<slug" in call.rule:
            assert called(one.client, call, one.headers, "toinen").status_code == call.status
            for slug in (SLUG, "kolmas"):  # whether there is such a list makes no difference
                answer = called(one.client, call, one.headers, slug)
                assert "another list" in assert_problem(answer, 403)["detail"]
                # Naming scopes would say that others mend it.
                assert answer.headers["WWW-Authenticate"].endswith('error="insufficient_scope"')
    for path in ("/bans", "/bans/check"):
        body = BODIES[path]
        assert "name it" in assert_problem(one.post(path, body), 403)["detail"]
        assert_problem(one.post(path, {**body, "list": SLUG}), 403)
        assert one.post(path, {**body, "list": "toinen"}).status_code == 200
    with db.reading() as session:
        assert set(session.scalars(select(Ban.list_id))) == {row.id}
        assert set(session.scalars(select(Request.list_id))) == {row.id}


def test_only_who_has_a_good_token_gets_time_for_a_slow_line(app: Flask) -> None:
    patient: list[bool] = []
    options = {"environ_overrides": {BE_PATIENT: lambda: patient.append(True)}}
    Program(app.test_client(), "mlt_x", 0).get("/bulletins/1", **options)
    program(app, Scope.BANS_READ).get("/bulletins/1", **options)
    assert not patient
    program(app).get("/bulletins/1", **options)
    assert patient


def test_a_list_that_there_is_not_is_404(app: Flask) -> None:
    everything = program(app)
    for call in CALLS:
        if "<slug" in call.rule:
            answer = called(everything.client, call, everything.headers, "kolmas")
            assert assert_problem(answer, 404)["detail"] == "There is no such list."
    for path in ("/bans", "/bans/check"):
        assert_problem(everything.post(path, {**BODIES[path], "list": "kolmas"}), 404)
    assert untouched()


def test_a_use_is_written_down_once_an_hour(app: Flask) -> None:
    one = program(app, Scope.BULLETINS_READ)
    used = []
    for _ in range(2):
        one.get("/bulletins/1")
        with db.reading() as session:
            used.append(session.get_one(ApiToken, one.number).used_at)
    assert used[0] is not None
    assert used[0] == used[1]


def test_calls_are_paced_by_token_and_guesses_by_client(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = program(app), program(app)
    most = pace._LIMITS[pace.API][0].amount
    assert (most, pace._LIMITS[pace.API_REFUSED][0].amount) == (600, 60)
    monkeypatch.setitem(pace._LIMITS, pace.API, parse_many("3 per minute"))
    monkeypatch.setitem(pace._LIMITS, pace.API_REFUSED, parse_many("2 per minute"))
    assert [one.get("/bulletins/1").status_code for _ in range(4)] == [404, 404, 404, 429]
    assert other.get("/bulletins/1").status_code == 404
    guesses = [Program(app.test_client(), f"mlt_{n}", 0).get("/bulletins/1") for n in range(4)]
    assert [answer.status_code for answer in guesses] == [401, 401, 429, 429]
    assert_problem(guesses[-1], 429)
    assert 1 <= int(guesses[-1].headers["Retry-After"]) <= 60
    assert other.get("/bulletins/1").status_code == 404, "who has a good token is not shut out by who guesses"


def test_calls_that_ask_by_name_have_a_pace_of_their_own(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = program(app), program(app)
    assert pace._LIMITS[pace.API_NAMES][0].amount == 30
    monkeypatch.setitem(pace._LIMITS, pace.API_NAMES, parse_many("2 per minute"))
    by_address, by_name = {"items": [{"email": "a@example.fi"}]}, {"items": [{"name": "Matti"}, {"name": "Maija"}]}
    assert [one.post("/bans/check", by_name).status_code for _ in range(3)] == [200, 200, 429]
    answer = one.post("/bans/check", by_name)
    assert_problem(answer, 429)
    assert "many names in one call" in answer.get_json()["detail"]
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    for asker, body in ((one, by_address), (one, {"items": [{"name": "matti@example.fi"}]}), (other, by_name)):
        assert asker.post("/bans/check", body).status_code == 200


def test_what_is_no_call_is_answered_without_a_page(app: Flask) -> None:
    client = app.test_client()
    for path in (
        "/api",
        "/api/v1",
        "/api/v1/",
        "/api/v1/nothing",
        "/api/v1/bans/",
        "/api/v2/bans",
        "/api/",
        "/api/v1/lists/A!/people",
    ):
        assert_problem(client.get(path), 404)
    answer = client.get(f"{BASE}/bans")
    assert_problem(answer, 405)
    assert set(answer.allow) == {"POST", "OPTIONS"}
    assert_problem(client.delete(f"{BASE}/bulletins/1"), 405)
    asked = client.options(
        f"{BASE}/bans", headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    )
    assert asked.status_code == 200
    assert not [name for name, _ in asked.headers if name.startswith("Access-Control")]
    assert client.head(f"{BASE}/bulletins/1").status_code == 401


NO_JSON = [
    (b"", "not JSON"),
    (b"{", "not JSON (line 1, column 2)"),
    (b"\xef\xbb\xbf{}", "not JSON"),
    (b"email=matti%40example.fi", "not JSON"),
    (b'{"items": "\xe4"}', "not in UTF-8"),
    ('{"items": []}'.encode("utf-16"), "not in UTF-8"),
    (b'{"items": [{"email": "a@example.fi", "email": "b@example.fi"}]}', "twice"),
    (b'{"items": NaN}', "NaN"),
    (b'{"items": [-Infinity]}', "NaN"),
    (b'{"items": ' + b"9" * 5000 + b"}", "too long"),
    (b"[" * 500_000, "too deeply"),
    (b'{"a":' * 150_000, "too deeply"),
]


def test_what_is_no_json_is_400(app: Flask) -> None:
    one = program(app)
    for data, words in NO_JSON:
        assert words in assert_problem(one.post("/bans/check", data), 400)["detail"], data[:40]


def test_the_body_is_json_and_says_so(app: Flask) -> None:
    one, body = program(app), BODIES["/bans/check"]
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json",
                 "application/json; charset=utf-16", "application/json; charset=iso-8859-1", ""):  # fmt: skip
        assert_problem(one.post("/bans/check", body, **{"Content-Type": kind}), 415)
    assert_problem(one.post("/bans/check", body, **{"Content-Encoding": "gzip"}), 415)
    for kind in ("application/json", "application/json; charset=UTF-8", "Application/JSON"):
        assert one.post("/bans/check", body, **{"Content-Type": kind}).status_code == 200


def test_a_body_has_at_most_a_megabyte(app: Flask) -> None:
    one = program(app)
    body = json.dumps(BODIES["/bans/check"]).encode()
    assert one.post("/bans/check", body.ljust(2**20)).status_code == 200
    assert_problem(one.post("/bans/check", body.ljust(2**20 + 1)), 413)
    for length, status in ((2**20, 200), (2**20 + 1, 413), (2**20 + 2, 413)):
        answer = one.client.post(  # in chunks: it does not say how long it is
            f"{BASE}/bans/check", input_stream=io.BytesIO(body.ljust(length)), headers=one.headers,
            content_type="application/json", environ_overrides={"wsgi.input_terminated": True},
        )  # fmt: skip
        assert answer.status_code == status
    stranger = Program(app.test_client(), "mlt_x", 0)
    assert_problem(stranger.post("/bans/check", body.ljust(2**22)), 401)


BOB = {"email": "bob@example.fi"}
WRONG = [
    ("/bans/check", [], "#", "an object"),
    ("/bans/check", {}, "#/items", "needed"),
    ("/bans/check", {"items": []}, "#/items", "at least 1"),
    ("/bans/check", {"items": [{"email": "a@example.fi"}] * 1001}, "#/items", "at most 1,000"),
    ("/bans/check", {"items": {"email": "a@example.fi"}}, "#/items", "a list"),
    ("/bans/check", {"items": "matti@example.fi"}, "#/items", "a list"),
    ("/bans/check", {"items": ["matti@example.fi"]}, "#/items/0", "an object"),
    ("/bans/check", {"items": [{"email": "a@example.fi"}, {}]}, "#/items/1", "“name”"),
    ("/bans", {"email": "a@example.fi", "sha256": "0" * 64, "channels": "all", "source": "x"}, "#", "either"),
    ("/bans/check", {"items": [{"email": 7}]}, "#/items/0/email", "text"),
    ("/bans/check", {"items": [{"email": "a@example.fi", "a/b~c ä": 1}]}, "#/items/0/a~1b~0c%20%C3%A4", "no such"),
    ("/bans/check", {"items": [{"email": "a\0@example.fi"}]}, "#/items/0/email", "can't be kept"),
    ("/bans/check", {"items": [{"email": "a\ud800@example.fi"}]}, "#/items/0/email", "can't be kept"),
    ("/bans/check", {"items": [{"email\0": "a@example.fi"}]}, "#/items/0", "can't be kept"),
    ("/bans/check", {"items": [{"email": "a@example.fi"}], "channel": "fax"}, "#/channel", "'phone'"),
    ("/bans/check", {"items": [{"email": "a@example.fi"}], "list": "A B"}, "#/list", "short name"),
    ("/bans", {"channels": "all", "source": "x"}, "#", "either"),
    ("/bans", {"email": "matti", "channels": "all", "source": "x"}, "#/email", "one @"),
    ("/bans", {"sha256": "00", "channels": "all", "source": "x"}, "#/sha256", "64 digits"),
    ("/bans", {"email": "a@example.fi", "channels": [], "source": "x"}, "#/channels", "at least 1"),
    ("/bans", {"email": "a@example.fi", "channels": ["fax"], "source": "x"}, "#/channels/0", "'phone'"),
    ("/bans", {"email": "a@example.fi", "channels": "email", "source": "x"}, "#/channels", "'all'"),
    ("/bans", {"email": "a@example.fi", "channels": 7, "source": "x"}, "#/channels", "a list"),
    ("/bans", {"email": "a@example.fi", "channels": {}, "source": "x"}, "#/channels", "a list"),
    ("/bans", {"email": "a@example.fi", "channels": "all"}, "#/source", "needed"),
    ("/bans", {"email": "a@example.fi", "channels": "all", "source": "  "}, "#/source", "empty"),
    ("/bans", {"email": "a@example.fi", "channels": "all", "source": "a\nb"}, "#/source", "one line"),
    ("/bans", {"email": "a@example.fi", "channels": "all", "source": "x" * 191}, "#/source", "at most 190"),
    (f"/lists/{SLUG}/leaves", {"email": "a b@example.fi", "source": "x"}, "#/email", "before the @"),
    (f"/lists/{SLUG}/people", {"basis": "love", "source": "x", "people": [BOB]}, "#/basis", "'customer'"),
    (f"/lists/{SLUG}/people", {"basis": "consent", "source": "x", "people": []}, "#/people", "at least 1"),
    (f"/lists/{SLUG}/people", {"basis": "consent", "source": "x", "people": [{"email": "a@example.fi", "age": 7}]},
     "#/people/0/age", "no such"),
    (f"/lists/{SLUG}/requests", {"email": "matti@"}, "#/email", "one @"),
    (f"/lists/{SLUG}/requests", {"email": "a@example.fi", "language": "de"}, "#/language", "'sv'"),
    (f"/lists/{SLUG}/requests", {"email": "a@example.fi", "text": "zz"}, "#/text", "64 digits"),
    (f"/lists/{SLUG}/requests", {"email": "a@example.fi", "text": "f" * 64}, "#/text", "never had"),
    (f"/lists/{SLUG}/requests", {"email": "a@example.fi", "client": "here"}, "#/client", "network address"),
    (f"/lists/{SLUG}/requests", {"email": "a@example.fi", "name": "a\nb"}, "#/name", "The name holds a line break"),
]  # fmt: skip


def test_a_field_that_is_wrong_is_pointed_at(app: Flask) -> None:
    one = program(app)
    for path, body, pointer, words in WRONG:
        answer = one.post(path, body)
        told = assert_problem(answer, 422)
        faults = {each["pointer"]: each["detail"] for each in told["errors"]}
        assert pointer in faults, (body, faults)
        assert words in faults[pointer], (body, faults)
        assert len(told["errors"]) == 1, faults
        assert told["detail"] == f"{pointer}: {faults[pointer]}"
        assert "example.fi" not in answer.text
    assert untouched()


FOREIGN = (
    ("password", "web shop"), ("Password", "web shop"), ("salasana", "web shop"), ("credit_limit", "billing"),
    ("cardNumber", "billing"), ("iban", "billing"), ("hetu", "no need"), ("birthday", "no need"),
)  # fmt: skip


def test_what_is_of_another_register_is_refused_by_name_and_nobody_is_taken_in(app: Flask) -> None:
    """T5.1, T5.4."""
    one = program(app)
    for field, words in FOREIGN:
        people = [{"email": "a@example.fi"}, {"email": "b@example.fi", field: "hunter2"}]
        answer = one.post(f"/lists/{SLUG}/people", {"basis": "consent", "source": "shop", "people": people})
        [fault] = assert_problem(answer, 422)["errors"]
        assert fault["pointer"] == f"#/people/1/{field}"
        assert words in fault["detail"]
        assert "hunter2" not in answer.text
    assert untouched()


def test_a_token_that_is_revoked_while_the_body_comes_does_nothing(app: Flask) -> None:
    shop = program(app, Scope.BANS_WRITE)

    class Slow(io.BytesIO):
        """A body, in the middle of which staff revoke the token."""

        def readinto(self, into: Any, /) -> int:
            with db.transaction() as session:
                programs.revoke(session, shop.number, by=calling.BY, now=db.utcnow())
            return super().readinto(into)

    body = json.dumps({"email": "a@example.fi", "channels": "all", "source": "call"}).encode()
    answer = shop.client.post(
        f"{BASE}/bans", input_stream=Slow(body), headers={**shop.headers, "Content-Type": "application/json"},
        content_length=len(body),
    )  # fmt: skip
    assert answer.status_code == 401
    with db.reading() as session:
        assert session.scalar(select(func.count(Ban.id))) == 0
