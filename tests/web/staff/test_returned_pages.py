"""What came back, in the console: counted, explained, undone in one step; the hold; mail that waits for a person."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

import staffing
from coming_back import begun, everybody, mailed
from conftest import NOW
from mailinglist import db
from mailinglist.consent import register
from mailinglist.consent.states import State
from mailinglist.delivery import attention, bounces, complaints, dispatch
from mailinglist.delivery.attention import Place
from mailinglist.delivery.bounces import Reported
from mailinglist.delivery.verdicts import Verdict
from mailinglist.inbound import spool
from mailinglist.inbound.tables import FAILED, OWNER, Spooled
from mailinglist.privacy import needs
from mailinglist.staff.levels import Level
from mailinglist.staff.tables import AuditEntry
from making import crowd, person, the_list

DAY = timedelta(days=1)
HOSTILE = "<script>alert(1)</script>"
# The pages read what tests of the verbs hold on both databases; here one is enough.
ON_SQLITE = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "utcnow", lambda: NOW)


def text_of(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def audited(act: str) -> list[dict[str, object]]:
    with db.reading() as session:
        return list(session.scalars(select(AuditEntry.detail).where(AuditEntry.act == act).order_by(AuditEntry.id)))


def given_up(mailbox: str) -> int:
    """Somebody whom two bulletins could not reach."""
    with db.transaction() as session:
        made = person(session, mailbox, now=NOW - 30 * DAY)
        for days in (9, 2):
            now = NOW - days * DAY
            [row] = mailed(session, begun(session, now=now, subject=f"Uutisia {days}"), [made.id], now=now)
            came = bounces.note(session, row, Verdict.DEAD, status="5.1.1", words=f"No such user {HOSTILE}", now=now)
        assert came == bounces.UNDELIVERABLE
        return made.id


@ON_SQLITE
def test_who_can_t_be_reached_is_explained_and_mailed_again_in_one_step(app: Flask):
    number = given_up("matti@example.fi")
    desk = staffing.signed_in(app, Level.REGISTRAR)
    page = desk.get("/staff/unreached").text
    assert "matti@example.fi" in page
    assert "Two bulletins, a day or more apart, came back" in text_of(page)
    assert HOSTILE not in page
    assert f"No such user {HOSTILE}" in text_of(page) or html.escape(HOSTILE) in page
    assert audited("persons_seen")[-1]["number"] == 1
    own = text_of(desk.get(f"/staff/persons/{number}").text)
    assert "Mailed nothing since" in own
    assert "When they sign up again themselves, that ends by itself." in own
    assert "Mails came back: there is no such address" in own
    assert "The address is gone 5.1.1 No such user" in own.replace("  ", " ")
    answer = desk.post(f"/staff/persons/{number}/restore", {"list": "tector-tiedottaa"})
    assert answer.status_code == 303
    with db.transaction() as session:
        standing = register.subscription(session, number, the_list(session).id)
        assert standing is not None
        assert standing.standing is State.ACTIVE
        [row] = mailed(session, begun(session, now=NOW), [number], now=NOW)
        assert bounces.note(session, row, Verdict.DEAD, now=NOW) == bounces.NOTED, "it counts from the beginning"
    assert "can be reached" in text_of(desk.get("/staff/unreached").text)


@ON_SQLITE
def test_failures_are_counted_by_bulletin_domain_and_answer(app: Flask):
    with db.transaction() as session:
        crowd(session, 6, now=NOW - 30 * DAY)
        rows = mailed(session, begun(session, now=NOW - DAY), everybody(session), now=NOW - DAY)
        said = [
            *(Reported(row, Verdict.DEAD, "5.1.1", f"no such user, session {row}x{row}") for row in rows[:3]),
            Reported(rows[3], Verdict.MAILBOX, "5.2.2", "full"),
            Reported(rows[4], Verdict.SENDER, "5.7.1", "blocked"),
        ]
        bounces.note_many(session, said, now=NOW - DAY)
    chief = staffing.signed_in(app, Level.PUBLISHER)
    page = text_of(chief.get("/staff/bounces").text)
    assert re.search(r"Hei \S+ \S+ \d+, \S+ 6 3 1 1 83 %|Hei .* 6 3 1 1 83%", page), page
    assert re.search(r"The address is gone 5\.1\.1 3 no such user", page)
    assert "example.fi 3 1 1 5" in page
    assert "SPF, DKIM or DMARC" in page
    assert chief.get("/staff/unreached").status_code == 403


@ON_SQLITE
def test_a_publisher_lets_a_held_list_go_on(app: Flask):
    with db.transaction() as session:
        crowd(session, 20, now=NOW - 30 * DAY)
        bulletin = begun(session, now=NOW - DAY)
        rows = mailed(session, bulletin, everybody(session)[:15], now=NOW - DAY)
        for row in rows[:5]:
            complaints.note(session, row, "example.net", evidence={}, now=NOW - DAY)
        found = attention.of_list(session, the_list(session), now=NOW)
        assert [(need.place, need.grave) for need in found if need.place is Place.COMPLAINTS] == [
            (Place.COMPLAINTS, True)
        ]
    reader, chief = staffing.signed_in(app, Level.READER), staffing.signed_in(app, Level.PUBLISHER)
    page = text_of(reader.get("/staff/complaints").text)
    assert "of the 15 recipients of “Hei”, 5 reported it as unwanted" in page
    assert "A publisher lets it go on." in page
    assert "Sending is held" in text_of(reader.get(f"/staff/bulletins/{bulletin}").text)
    assert "Sending is held: 5 of 15 recipients" in text_of(chief.get("/staff/").text)
    stale = staffing.signed_in(app, Level.PUBLISHER, fresh=False)
    assert stale.post("/staff/complaints/go-on", {"list": "tector-tiedottaa"}).location.startswith("/staff/again")
    with db.reading() as session:
        assert not dispatch.goes_on(session, bulletin)
    answer = chief.post("/staff/complaints/go-on", {"list": "tector-tiedottaa"})
    assert answer.location == "/staff/complaints?list=tector-tiedottaa"
    with db.reading() as session:
        assert dispatch.goes_on(session, bulletin)
    assert audited("hold_lifted") == [{"complaints": 5, "mails": 15}]
    chief.post("/staff/complaints/go-on", {"list": "tector-tiedottaa"})
    assert len(audited("hold_lifted")) == 1
    assert "Let it go on" not in chief.get("/staff/complaints").text


@ON_SQLITE
def test_few_complaints_are_told_and_hold_nothing(app: Flask):
    with db.transaction() as session:
        crowd(session, 20, now=NOW - 30 * DAY)
        rows = mailed(session, begun(session, now=NOW - DAY), everybody(session), now=NOW - DAY)
        complaints.note(session, rows[0], "example.net", evidence={}, now=NOW - DAY)
        listed = the_list(session)
        [told] = [need for need in attention.of_list(session, listed, now=NOW) if need.place is Place.COMPLAINTS]
        assert not told.grave
        assert (told.what.values["complaints"], told.what.values["mails"]) == (1, 20)
        later = attention.of_list(session, listed, now=NOW, since=NOW - timedelta(hours=1))
        assert [need for need in later if need.place is Place.COMPLAINTS] == [], "told once"


def came_in(raw: bytes, *, state: str = OWNER, outcome: str = "unclear", sender: str = "matti@example.fi") -> int:
    with db.transaction() as session:
        spool.keep(
            session, recipient="tector-tiedottaa-owner@example.fi", sender=sender, via="lmtp", raw=raw, now=NOW - DAY
        )
        row = session.scalars(select(Spooled).order_by(Spooled.id.desc()).limit(1)).one()
        if state == OWNER:
            spool.done(row, state=state, kind="other", outcome=outcome, list_id=the_list(session).id, now=NOW)
        else:
            while not spool.failed(session, row, now=NOW):
                pass
        return row.id


@ON_SQLITE
def test_mail_that_waits_for_a_person_is_read_and_done(app: Flask):
    with db.transaction() as session:
        matti = person(session, "matti@example.fi", now=NOW - 30 * DAY).id
    plain = b"From: Matti <matti@example.fi>\r\nSubject: =?utf-8?q?T=C3=A4m=C3=A4?=\r\n\r\nPoistakaa minut!\r\n"
    rich = (
        b"From: x@example.org\r\nContent-Type: text/html\r\n\r\n"
        b"<p>Hello <img src=http://tracker.example/x><script>alert(1)</script>there</p>"
    )
    number, _, failed = came_in(plain), came_in(rich, sender=""), came_in(b"\x00\xff garbage", state=FAILED)
    with db.reading() as session:
        [need] = [need for need in needs.of_list(session, the_list(session), now=NOW) if need.place is Place.MAIL]
        assert need.what.values["number"] == 3
    desk = staffing.signed_in(app, Level.REGISTRAR)
    page = desk.get("/staff/mail").text
    assert "Tämä" in page
    assert "Poistakaa minut!" in page
    assert f'href="/staff/persons/{matti}"' in page
    assert "tracker.example" not in page
    assert "alert(1)" not in page
    assert "can't tell whether it says yes or no" in html.unescape(page)
    assert page.count("Try it again") == 1
    assert audited("mails_seen") == [{"number": 3, "persons": [matti]}]
    assert "wait for a person: 3" in text_of(desk.get("/staff/").text)
    assert desk.post(f"/staff/mail/{number}/done", {}).location == "/staff/mail"
    assert desk.post(f"/staff/mail/{failed}/again", {}).location == "/staff/mail"
    assert desk.post(f"/staff/mail/{number}/done", {}).location == "/staff/mail"
    assert audited("mail_dealt_with") == [{"mail": number}]
    assert audited("mail_tried_again") == [{"mail": failed}]
    with db.reading() as session:
        states = dict(session.execute(select(Spooled.id, Spooled.state)).all())
        assert (states[number], states[failed]) == ("seen", "waiting")
    assert "Poistakaa minut!" not in desk.get("/staff/mail").text
    assert staffing.signed_in(app, Level.PUBLISHER).get("/staff/mail").status_code == 403


@ON_SQLITE
def test_what_is_paused_by_itself_says_so_on_the_first_page(app: Flask):
    with db.transaction() as session:
        number = begun(session, now=NOW)
        dispatch.pause(session, number, trouble="Paused by itself: blocked")
    reader = staffing.signed_in(app, Level.READER)
    assert "“Hei” stands still: Paused by itself: blocked" in text_of(reader.get("/staff/").text)
    assert "Paused by itself: blocked" in reader.get(f"/staff/bulletins/{number}").text
