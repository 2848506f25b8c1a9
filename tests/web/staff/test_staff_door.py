"""The door: signing in, slowing down, showing both factors once more, and the links that lead in."""

from __future__ import annotations

import re

import pyotp
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

import staffing
from mailinglist import db
from mailinglist.staff import accounts, audit
from mailinglist.staff.audit import Actor
from mailinglist.staff.levels import Level
from mailinglist.staff.tables import SignIn

TEST = Actor(None, "a test", "")
ADDRESS = "maija@example.fi"
HEADERS = {"Origin": staffing.ORIGIN, "Accept-Language": "en"}
SENTENCE = "seitsemän vihreää lyhtyä"


@pytest.fixture
def maija(app: Flask) -> int:
    return staffing.account(Level.EDITOR, address=ADDRESS)


def try_password(client: FlaskClient, password: str, address: str = ADDRESS, **more: str) -> TestResponse:
    form = {"address": address, "password": password, **more}
    return client.post("/staff/login", data=form, headers=HEADERS)


def acts() -> list[str]:
    with db.reading() as session:
        return [row.act for row in audit.search(session)][::-1]


def link(account_id: int, purpose: str) -> str:
    with db.transaction() as session:
        account = accounts.find(session, account_id)
        return "/staff/enrol/" + accounts.issue_link(session, account, purpose, by=TEST, now=db.utcnow())  # type: ignore[arg-type]


def field(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found is not None, name
    return found[1]


def set_up_app(client: FlaskClient, address: str) -> TestResponse:
    """Send the first code of an authenticator app, as the page at `address` offers it."""
    page = client.get(address).text
    key = re.search(r'class="secret"[^>]*>([A-Z2-7 ]+)<', page)
    assert key is not None
    form = {
        "csrf": field(page, "csrf"), "sealed": field(page, "sealed"),
        "code": pyotp.TOTP(key[1].replace(" ", "")).now(),
    }  # fmt: skip
    return client.post(address, data=form, headers=HEADERS)


@pytest.mark.usefixtures("maija")
def test_unknown_and_wrong_are_answered_alike(client: FlaskClient) -> None:
    wrong, unknown = try_password(client, "väärä"), try_password(client, "väärä", "kuka@example.fi")
    assert (wrong.status_code, unknown.status_code) == (422, 422)
    assert wrong.text.replace(ADDRESS, "X") == unknown.text.replace("kuka@example.fi", "X")
    assert "Set-Cookie" not in wrong.headers
    assert acts() == ["sign_in_refused"] * 2


@pytest.mark.usefixtures("maija")
def test_a_password_alone_leads_to_the_second_factor_and_no_further(client: FlaskClient) -> None:
    answer = try_password(client, staffing.PASSWORD, next="/staff/audit")
    assert (answer.status_code, answer.location) == (303, "/staff/login/factor?next=/staff/audit")
    assert client.get("/staff/").location == "/staff/login/factor"
    assert client.get("/staff/account").location == "/staff/login/factor?next=/staff/account"


@pytest.mark.usefixtures("maija")
def test_failures_slow_down(client: FlaskClient) -> None:
    # Most without a password, which costs less time here and counts as much.
    answers = [try_password(client, "väärä" if number < 2 else "").status_code for number in range(11)]
    assert answers == [422] * 10 + [429]
    late = try_password(client, staffing.PASSWORD)
    assert late.status_code == 429
    assert int(late.headers["Retry-After"]) > 0
    assert "You can try again" in late.text


def test_second_factors_slow_down_by_account(app: Flask, maija: int) -> None:
    """From however many clients."""
    who = staffing.client_of(app, maija, *staffing.sign_in(maija, passed="password"))
    codes = [
        who.post("/staff/login/factor", {"code": "000000"}, environ_overrides={"REMOTE_ADDR": f"10.0.0.{number}"})
        for number in range(6)
    ]
    assert [answer.status_code for answer in codes] == [422] * 5 + [429]


def test_the_whole_way_in(app: Flask, client: FlaskClient) -> None:
    with db.transaction() as session:
        account, secret = accounts.enrol(
            session, ADDRESS, name="Maija Mainio", levels=[Level.EDITOR], by=TEST, now=db.utcnow()
        )
    path = f"/staff/enrol/{secret}"
    assert client.get(path).status_code == 200
    short = client.post(path, data={"password": "lyhyt", "repeated": "lyhyt"}, headers=HEADERS)
    assert short.status_code == 422
    assert "needs at least 12 characters" in short.text
    unlike = client.post(path, data={"password": SENTENCE, "repeated": "toinen"}, headers=HEADERS)
    assert "The two passwords are not the same." in unlike.text
    chosen = client.post(path, data={"password": SENTENCE, "repeated": SENTENCE}, headers=HEADERS)
    assert chosen.location == f"{path}/factor"
    # The site of the tests is at a bare address.
    assert "only for sites that have a domain name and https, or for localhost" in client.get(f"{path}/factor").text
    codes = set_up_app(client, f"{path}/factor")
    assert codes.status_code == 200
    assert len(re.findall(r"<li>([a-z0-9]{4}-[a-z0-9]{4}-[a-z0-9]{4})</li>", codes.text)) == 10
    assert client.get("/staff/").location == "/staff/secrecy"
    token = field(client.get("/staff/secrecy").text, "csrf")
    assert client.post("/staff/secrecy", data={"csrf": token}, headers=HEADERS).location == "/staff/"
    assert client.get("/staff/").status_code == 200
    assert client.get(path).status_code == 410
    with db.reading() as session:
        assert accounts.find(session, account.id).language == "en"


def test_a_link_is_of_no_use_to_another_account(app: Flask, maija: int) -> None:
    path = link(maija, "factor")
    other = staffing.signed_in(app, Level.READER)
    assert other.get(f"{path}/factor").status_code == 404
    assert other.post(f"{path}/factor", {"code": "1"}).status_code == 404


def test_a_forgotten_password_needs_the_old_second_factor(app: Flask, client: FlaskClient, maija: int) -> None:
    before = staffing.client_of(app, maija, *staffing.sign_in(maija))
    path = link(maija, "password")
    answer = client.post(path, data={"password": SENTENCE, "repeated": SENTENCE}, headers=HEADERS)
    assert answer.location == "/staff/login/factor"
    assert client.get(f"{path}/factor").status_code == 410
    assert before.get("/staff/").location == "/staff/login"


def test_a_lost_factor_needs_the_password(app: Flask, client: FlaskClient, maija: int) -> None:
    path = link(maija, "factor")
    assert client.get(f"{path}/factor").location == f"/staff/login?next={path}/factor"
    assert client.post(path, data={"password": "väärä"}, headers=HEADERS).status_code == 422
    assert client.post(path, data={"password": staffing.PASSWORD}, headers=HEADERS).location == f"{path}/factor"
    assert set_up_app(client, f"{path}/factor").status_code == 200
    assert client.get("/staff/").status_code == 200


def test_what_is_grave_asks_for_both_factors_anew(app: Flask) -> None:
    who = staffing.signed_in(app, Level.ADMINISTRATOR)
    assert set_up_app(who.client, "/staff/account/factor").status_code == 303
    codes = who.post("/staff/account/codes").text
    code = re.search(r"<li>([a-z0-9-]{14})</li>", codes)
    assert code is not None
    with db.transaction() as session:
        for row in session.scalars(select(SignIn)):
            row.fresh_at = None
    assert who.get("/staff/staff/add").location == "/staff/again?next=/staff/staff/add"
    refused = who.post("/staff/again", {"password": "väärä", "code": code[1], "next": "/staff/staff/add"})
    assert refused.status_code == 422
    answer = who.post("/staff/again", {"password": staffing.PASSWORD, "code": code[1], "next": "/staff/staff/add"})
    assert answer.location == "/staff/staff/add"
    assert "Nothing has been done yet" not in who.get("/staff/staff/add").text
    stale = staffing.client_of(app, who.account_id, who.sign_in_id, who.secret)
    assert stale.get("/staff/").location == "/staff/login"  # the cookie's value changed


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_who_pressed_a_button_is_told_to_press_it_once_more(app: Flask) -> None:
    """What the form held is not kept over the questions: it was refused."""
    who = staffing.signed_in(app, Level.ADMINISTRATOR)
    code = re.search(r"<li>([a-z0-9-]{14})</li>", who.post("/staff/account/codes").text)
    assert code is not None
    with db.transaction() as session:
        for row in session.scalars(select(SignIn)):
            row.fresh_at = None
    here = "/staff/staff/add"
    pressed = who.post(here, headers={**HEADERS, "Referer": f"{who.origin}{here}"})
    assert pressed.location == f"/staff/again?next={here}&pressed=1"
    asked = dict(re.findall(r'type="hidden" name="(next|pressed)" value="([^"]*)"', who.get(pressed.location).text))
    assert asked == {"next": here, "pressed": "1"}
    answer = who.post("/staff/again", {"password": staffing.PASSWORD, "recovery": code[1], **asked})
    assert answer.location == here
    assert "Nothing has been done yet: press the button once more." in who.get(here).text
    assert "Nothing has been done yet" not in who.get(here).text, "it is said once"


def test_the_administrator_s_pages(app: Flask) -> None:
    chief = staffing.signed_in(app, Level.ADMINISTRATOR)
    empty = chief.post("/staff/staff/add", {"name": "", "address": "no", "until": "soon"})
    assert empty.status_code == 422
    assert all(f'href="#{name}"' in empty.text for name in ("name", "address", "levels", "until"))
    form = {"name": "Uusi", "address": "uusi@example.fi", "levels": ["editor", "publisher"], "until": "2031-01-31"}
    made = chief.post("/staff/staff/add", form)
    found = re.search(r'id="link">http://127.0.0.1:8000(/staff/enrol/[\w-]+)<', made.text)
    assert found is not None
    assert app.test_client().get(found[1]).status_code == 200
    with db.reading() as session:
        number = next(row.id for row in accounts.every(session) if row.name == "Uusi")
    page = chief.get(f"/staff/staff/{number}").text
    assert 'value="2031-01-31"' in page
    assert chief.post(f"/staff/staff/{number}", {"levels": ["reader"], "until": ""}).status_code == 303
    with db.reading() as session:
        assert accounts.find(session, number).levels == ["reader"]
    assert chief.post(f"/staff/staff/{number}/disable").status_code == 303
    assert app.test_client().get(found[1]).status_code == 410
    assert chief.post(f"/staff/staff/{number}/enable").status_code == 303
    assert chief.post(f"/staff/staff/{number}/link", {"purpose": "else"}).status_code == 422
    assert "/staff/enrol/" in chief.post(f"/staff/staff/{number}/link", {"purpose": "enrol"}).text
    own = f"/staff/staff/{chief.account_id}"
    last = chief.post(own, {"levels": [], "until": "2031-01-31"})
    assert last.status_code == 422
    more = chief.post(own, {"levels": ["administrator", "publisher"], "until": ""})
    assert more.status_code == 422
    assert "Nobody gives themselves a level" in more.text


def test_the_audit_is_searched_and_paged_by_key(app: Flask) -> None:
    auditor = staffing.signed_in(app, Level.AUDITOR)
    with db.transaction() as session:
        for number in range(120):
            by = Actor(7, "Erkki" if number % 2 else "Liisa", "192.0.2.7")
            audit.note(session, "person_seen", by=by, about=f"person {number}", now=db.utcnow())
    seen: list[str] = []
    path = "/staff/audit?who=Erkki&act=person_seen"
    while path:
        page = auditor.get(path).text
        seen += re.findall(r">Person (\d+)<", page)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        path = following[1].replace("&amp;", "&") if following else ""
    assert seen == [str(number) for number in range(119, 0, -2)]
    for typed in ("person+3", "Person+3", "henkil%C3%B6+3&lang=fi"):
        found = auditor.get(f"/staff/audit?about={typed}").text
        assert re.findall(r"about=person\+3\">(.+?)<", found) == ["Henkilö 3" if "fi" in typed else "Person 3"]
    assert "Nothing is on record" in auditor.get("/staff/audit?until=2020-01-01").text
    assert auditor.get("/staff/audit?since=9999-99-99").status_code == 422
    assert auditor.get("/staff/audit?until=9999-12-31&before=99999999999999999999").status_code == 404


def test_ending_one_s_other_sign_ins(app: Flask, maija: int) -> None:
    here, there, elsewhere = (staffing.client_of(app, maija, *staffing.sign_in(maija)) for _ in range(3))
    stranger = staffing.signed_in(app, Level.READER)
    here.post(f"/staff/account/sign-ins/{stranger.sign_in_id}/end")
    assert stranger.get("/staff/").status_code == 200
    here.post(f"/staff/account/sign-ins/{there.sign_in_id}/end")
    assert there.get("/staff/").location == "/staff/login"
    assert elsewhere.get("/staff/").status_code == 200
    here.post("/staff/account/sign-ins/end-others")
    assert elsewhere.get("/staff/").location == "/staff/login"
    assert here.get("/staff/").status_code == 200
