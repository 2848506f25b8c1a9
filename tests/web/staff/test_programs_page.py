"""The pages about other systems: a token is made, shown once, looked at and revoked; and the words for all of it."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from flask import Flask

import staffing
from mailinglist import db
from mailinglist.staff import audit, programs
from mailinglist.staff.audit import Actor
from mailinglist.staff.levels import Level
from mailinglist.staff.programs import Scope, State

# Pages that say what test_programs.py has seen on both databases.
pytestmark = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)

PAGE = "/staff/programs"
FORM: dict[str, object] = {
    "name": " Web  shop ",
    "scopes": ["bans:read", "people:write"],
    "list": "tector-tiedottaa",
    "days": "30",
}
SECRET = re.compile(r"mlt_[\w-]{43}")


@pytest.fixture
def office(app: Flask) -> staffing.Signed:
    return staffing.signed_in(app, Level.ADMINISTRATOR)


def issued(**values: object) -> int:
    options = {"scopes": [Scope.BANS_READ], "by": Actor(None, "root", ""), "now": db.utcnow()} | values
    with db.transaction() as session:
        return programs.issue(session, "Web shop", **options)[0].id  # type: ignore[arg-type]


def test_a_token_is_shown_in_one_answer_and_never_again(app: Flask, office: staffing.Signed) -> None:
    assert "No other system has a token yet." in office.get(PAGE).text
    assert f'href="{PAGE}"' in office.get("/staff/").text, "the menu leads here"
    answer = office.post(f"{PAGE}/add", FORM)
    assert answer.status_code == 200
    [secret] = set(SECRET.findall(answer.text))
    facts = ("Token for Web shop", "Ask about bans", "Hand over customers", "Tector tiedottaa", "Good until")
    assert [words for words in facts if words not in answer.text] == []
    assert f"{staffing.ORIGIN}/api/v1/openapi.json" in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Location" not in answer.headers
    assert "Set-Cookie" not in answer.headers, "no cookie carries it on"
    with db.reading() as session:
        row = programs.bearer(session, secret, now=db.utcnow())
        assert row is not None
        number = row.id
        assert (row.name, row.scopes, row.list_id) == ("Web shop", ["bans:read", "people:write"], 1)
        assert (row.created_by, row.expires_at - row.created_at) == ("Maija Mainio", timedelta(days=30))
    for path in (PAGE, f"{PAGE}/add", f"{PAGE}/{number}", "/staff/audit"):
        assert not SECRET.search(office.get(path).text), path


def test_a_form_that_is_not_right_comes_back(app: Flask, office: staffing.Signed) -> None:
    wrongs: tuple[tuple[dict[str, object], str], ...] = (
        ({"name": " "}, "A name is needed."), ({"name": "x" * 101}, "A name needs 1 to 100"),
        ({"name": "a\u202eb"}, "A name needs"), ({"scopes": []}, "at least one permission"),
        ({"scopes": ["bans:lift"]}, "at least one permission"), ({"days": ""}, "for 1 to 730 days"),
        ({"days": "1000"}, "for 1 to 730 days"), ({"days": "soon"}, "for 1 to 730 days"),
    )  # fmt: skip
    assert 'maxlength="3"' not in office.get(f"{PAGE}/add").text, "a browser would cut 1000 to 100 without a word"
    for number, (wrong, words) in enumerate(wrongs):
        answer = office.post(f"{PAGE}/add", FORM | {"once": str(number)} | wrong)
        assert (answer.status_code, words in answer.text) == (422, True), wrong
        assert "mlt_" not in answer.text
    assert 'value="people:write" checked' in office.post(f"{PAGE}/add", FORM | {"days": "0"}).text
    assert office.post(f"{PAGE}/add", FORM | {"once": "last", "list": "nowhere"}).status_code == 404
    with db.reading() as session:
        assert programs.every(session) == []


def test_a_form_that_is_sent_again_makes_no_second_token(app: Flask, office: staffing.Signed) -> None:
    def key(page: str) -> str:
        found = re.search(r'name="once" value="([\w-]+)"', page)
        assert found is not None
        return found[1]

    first = FORM | {"once": key(office.get(f"{PAGE}/add").text)}
    assert SECRET.search(office.post(f"{PAGE}/add", first).text)
    again = office.post(f"{PAGE}/add", first)
    assert (again.status_code, "made no second token" in again.text) == (422, True)
    assert not SECRET.search(again.text)
    assert SECRET.search(office.post(f"{PAGE}/add", FORM | {"once": key(again.text)}).text), "the form below makes one"
    table = office.get(PAGE).text
    assert [number for number in (1, 2) if f">Token {number}<" in table] == [1, 2], "two of one name"


def test_one_of_them_and_its_end(app: Flask, office: staffing.Signed) -> None:
    number = issued()
    page = office.get(f"{PAGE}/{number}").text
    assert all(words in page for words in ("Ask about bans", "Every list", "Good", "root", f"Token {number}"))
    assert office.get(f"{PAGE}/{number + 1}").status_code == 404
    assert f'action="{PAGE}/{number}/revoke"' not in page, "a page asks first"
    asked = office.get(f"{PAGE}/{number}/revoke").text
    assert all(
        words in asked
        for words in ("Revoke the token of “Web shop”?", "be taken back", f'action="{PAGE}/{number}/revoke"')
    )
    with db.reading() as session:
        assert programs.state(programs.find(session, number), db.utcnow()) is State.GOOD
    for _ in range(2):  # pressed twice
        assert office.post(f"{PAGE}/{number}/revoke").location == f"{PAGE}/{number}"
    page = office.get(f"{PAGE}/{number}").text
    assert "The token is revoked." in page
    assert f"{number}/revoke" not in page, "there is nothing left to press"
    assert office.get(f"{PAGE}/{number}/revoke").location == f"{PAGE}/{number}"
    assert office.get(f"{PAGE}/{number + 1}/revoke").status_code == 404
    with db.reading() as session:
        row = programs.find(session, number)
        assert (programs.state(row, db.utcnow()), row.revoked_by) == (State.REVOKED, "Maija Mainio")
        assert [line.act for line in audit.search(session)] == ["api_token_revoked", "api_token_issued"]
    assert office.post(f"{PAGE}/{number + 1}/revoke").status_code == 404


def test_the_table_says_how_each_of_them_stands(app: Flask, office: staffing.Signed) -> None:
    now = db.utcnow()
    for days in (365, 29):
        issued(days=days)
    issued(days=1, now=now - timedelta(days=2))
    revoked = issued()
    with db.transaction() as session:
        programs.revoke(session, revoked, by=Actor(None, "root", ""), now=now)
    badges = re.findall(r'class="badge \w+">([^<]+)<', office.get(PAGE).text)
    assert badges == ["Revoked", "Ended", "Ends soon", "Good"]


def test_the_audit_calls_a_program_by_words_and_finds_it_by_them(app: Flask) -> None:
    number = issued()
    who = staffing.signed_in(app, Level.ADMINISTRATOR, language="sv")
    with db.transaction() as session:
        its = programs.actor(programs.find(session, number), "192.0.2.7")
        for act in ("api_people_taken_in", "api_ban_given", "api_leave_given", "api_request_written_down"):
            audit.note(session, act, by=its, about="list 1", now=db.utcnow())
    page = who.get("/staff/audit").text
    assert page.count(f"Systemet Web shop ({number})") == 4
    assert "Förmedlade ett förbud" in page
    assert "api_" not in re.sub(r'value="[^"]*"', "", page), "each act has its words"
    assert f"Nyckel {number}" in page
    assert "Fråga om förbud" in page, "what it may, in words"
    for typed in (f"Systemet Web shop ({number})", f"program Web shop ({number})", "Web shop"):
        assert who.get("/staff/audit", query_string={"who": typed}).text.count("Förmedlade ett förbud</td>") == 1, typed
    its_page = who.get(f"{PAGE}/{number}").text
    link = re.search(r'href="(/staff/audit\?who=[^"]+)"', its_page)
    assert link is not None
    assert who.get(link[1]).text.count("Förmedlade ett förbud</td>") == 1
