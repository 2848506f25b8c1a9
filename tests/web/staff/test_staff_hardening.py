"""What a page of the console does with what can't be meant: numbers no row has, NUL, other people's names, refusals."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

import staffing
from conftest import NOW
from mailinglist import db
from mailinglist.consent.states import Channel, State
from mailinglist.staff import accounts, audit
from mailinglist.staff.audit import Actor
from mailinglist.staff.levels import Level
from mailinglist.staff.tables import AuditEntry
from making import person

TOLD = {"how": "phone", "on": "2026-11-02", "words": "Call 17, asked for it"}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "utcnow", lambda: NOW)


@pytest.fixture
def chief(app: Flask) -> staffing.Signed:
    """Somebody with every level."""
    return staffing.signed_in(app, *Level, name="Paavo Päättäjä")


@pytest.fixture
def matti(app: Flask) -> int:
    """Somebody on the list."""
    with db.transaction() as session:
        return person(session, "matti@example.fi", now=NOW - timedelta(days=1), state=State.ACTIVE).id


def noted(act: str) -> list[str]:
    """What the lines of this act are about."""
    with db.reading() as session:
        return list(session.scalars(select(AuditEntry.about).where(AuditEntry.act == act)))


@pytest.mark.parametrize("act", ["leave", "details", "address", "ban", "lift", "erase"])
def test_a_refused_form_about_a_person_is_a_look_at_them(chief: staffing.Signed, matti: int, act: str) -> None:
    assert chief.post(f"/staff/persons/{matti}/{act}", {"address": ""}).status_code == 422
    assert noted("person_seen") == [f"person {matti}"]


def test_being_told_of_a_ban_is_a_look(chief: staffing.Signed, matti: int) -> None:
    ban = {"address": "kielto@example.fi", "channels": Channel.EMAIL.value, **TOLD}
    assert chief.post("/staff/bans/add", ban).status_code == 303
    join = {"list": "tector-tiedottaa", "language": "fi", "name": "", **TOLD}
    assert chief.post("/staff/persons/new", join | {"address": "kielto@example.fi"}).status_code == 422
    assert noted("ban_checked") == [""]
    assert chief.post("/staff/persons/new", join | {"address": "matti@example.fi"}).status_code == 422
    assert noted("person_seen") == [f"person {matti}"]
    assert chief.post("/staff/bans/lift", {"address": "kielto@example.fi"}).status_code == 422
    assert noted("ban_checked") == ["", ""]


@pytest.mark.parametrize(
    "path",
    [
        f"/staff/persons/{2**31}",
        f"/staff/bulletins/{2**31}",
        f"/staff/staff/{2**63}",
        f"/staff/imports/{'9' * 30}",
        f"/staff/imports?before={'9' * 5000}",
        f"/staff/persons/new?person={'9' * 5000}",
    ],
)
def test_a_number_that_no_row_has_leads_nowhere(chief: staffing.Signed, path: str) -> None:
    assert chief.get(path).status_code == 404


@pytest.mark.parametrize(
    "asked",
    [
        "audit?before=", "bans?before=", "bulletins?before=", "disclosures?before=", "images?before=",
        "imports?before=", "mail?before=", "persons/1?mails=", "persons?q=&after=", "persons/new?person=",
        "retention?before=", "unreached?after=",
    ],
)  # fmt: skip
def test_no_page_takes_a_mistyped_number_for_another(chief: staffing.Signed, matti: int, asked: str) -> None:
    for wrong in ("x", "-1", "1.5", "%C2%B2", "%D9%A1", "9" * 30, str(2**63), "1%20"):
        answer = chief.get(f"/staff/{asked}{wrong}")
        assert answer.status_code == 404, wrong
        assert "There is no such page" in answer.text
    assert chief.get(f"/staff/{asked}").status_code == 200


@pytest.mark.parametrize(
    "path", ["/staff/audit?about=%00", "/staff/persons?q=a%00", "/staff/imports?list=%00", "/staff/bans?address=%00"]
)
def test_a_nul_in_an_address_is_refused(chief: staffing.Signed, path: str) -> None:
    assert chief.get(path).status_code == 400


def test_a_nul_in_a_form_is_refused(app: Flask, chief: staffing.Signed, matti: int) -> None:
    note = {"kind": "note", "on": "2026-11-02", "words": "a\0b"}
    assert chief.post(f"/staff/persons/{matti}/notes", note).status_code == 400
    form = {"address": "a\0@example.fi", "password": "x"}
    answer = app.test_client().post("/staff/login", data=form, headers={"Origin": staffing.ORIGIN})
    assert answer.status_code == 400


def test_nobody_takes_the_name_of_another(app: Flask, chief: staffing.Signed) -> None:
    staffing.account(Level.READER, name="Anna Aalto")
    answer = chief.post("/staff/account", {"name": "ANNA  aalto", "language": "en"})
    assert (answer.status_code, "Somebody else has this name already." in answer.text) == (422, True)
    assert chief.post("/staff/account", {"name": "Anna Ahonen", "language": "en"}).status_code == 303
    with db.reading() as session:
        [line] = audit.search(session, act="account_renamed")
        assert line.detail == {"before": "Paavo Päättäjä", "after": "Anna Ahonen"}


def test_a_new_password_makes_the_old_cookie_worthless(app: Flask, chief: staffing.Signed) -> None:
    words = {"password": "viisi hiljaista hirveä", "repeated": "viisi hiljaista hirveä"}
    assert chief.post("/staff/account/password", words).status_code == 303
    old = staffing.client_of(app, chief.account_id, chief.sign_in_id, chief.secret)
    assert old.get("/staff/account").status_code == 303
    assert chief.get("/staff/account").status_code == 200


def test_signing_in_anew_ends_the_sign_in_of_the_browser(app: Flask, chief: staffing.Signed) -> None:
    with app.app_context():
        staffing.account(Level.READER, address="anna@example.fi", name="Anna Aalto")
    form = {"address": "anna@example.fi", "password": "wrong"}
    assert chief.post("/staff/login", form).status_code == 422
    assert chief.get("/staff/account").status_code == 200
    assert chief.post("/staff/login", form | {"password": staffing.PASSWORD}).status_code == 303
    old = staffing.client_of(app, chief.account_id, chief.sign_in_id, chief.secret)
    assert old.get("/staff/account").status_code == 303


def test_the_address_of_an_enrolment_is_told_to_nobody(app: Flask) -> None:
    with app.app_context(), db.transaction() as session:
        _, secret = accounts.enrol(
            session, "uusi@example.fi", levels=[Level.READER], by=Actor(None, "a test", ""), now=NOW
        )
    answer = app.test_client().get(f"/staff/enrol/{secret}")
    assert (answer.status_code, answer.headers["Referrer-Policy"]) == (200, "no-referrer")
