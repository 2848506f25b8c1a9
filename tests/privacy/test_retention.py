from __future__ import annotations

from datetime import timedelta

from flask import Flask
from sqlalchemy import func, select

from conftest import NOW
from mailinglist import db
from mailinglist.consent import address, lists, proof, register, verification
from mailinglist.consent.states import State
from mailinglist.consent.tables import Evidence, Person, Request
from mailinglist.privacy import retention
from mailinglist.staff import accounts, audit, sign_ins
from mailinglist.staff.audit import Actor
from mailinglist.staff.tables import Enrolment, SignIn
from making import ask, letter, person, the_list

DAY = timedelta(days=1)


def known(session) -> set[str]:
    return set(session.scalars(select(Person.mailbox)))


def test_unanswered_requests_go_after_thirty_days_and_nothing_else(app: Flask):
    with db.transaction() as session:
        letter(session, ask(session, "never@example.fi", now=NOW), now=NOW)
        ask(session, "again@example.fi", now=NOW)
        ask(session, "again@example.fi", now=NOW + 10 * DAY)
        person(session, "active@example.fi", now=NOW)
        person(session, "left@example.fi", now=NOW, state=State.LEFT)
    with db.transaction() as session:
        assert retention.tidy(session, now=NOW + 29 * DAY) == 0
    with db.transaction() as session:
        assert retention.tidy(session, now=NOW + 31 * DAY) >= 1
        assert known(session) == {"again@example.fi", "active@example.fi", "left@example.fi"}
    with db.transaction() as session:
        assert retention.tidy(session, now=NOW + 41 * DAY) >= 1
        assert known(session) == {"active@example.fi", "left@example.fi"}
        assert session.scalar(select(func.count()).select_from(Request)) == 2, "those that a used confirmation rests on"
        assert session.scalar(select(func.count()).select_from(Evidence)) == 5
        assert list(verification.verify(session)) == []
        history = [item["event"] for item in proof.prove(session, "never@example.fi")]
        assert history == ["asked", "lapsed", "erased"]


def test_somebody_on_another_list_stays(app: Flask):
    with db.transaction() as session:
        made = person(session, "a@example.fi", now=NOW)
        other = lists.add(session, "other", "Other", now=NOW)
        text = lists.current_text(session, other, "fi")
        register.ask(session, made, other, text, source="web", evidence={}, now=NOW)
    with db.transaction() as session:
        assert retention.tidy(session, now=NOW + 31 * DAY) >= 1
        found = register.find(session, address.parse("a@example.fi"))
        assert found is not None
        assert register.subscription(session, found.id, the_list(session).id) is not None
        assert register.subscription(session, found.id, other.id) is None
        assert list(verification.verify(session)) == []


def test_the_audit_goes_after_two_years_and_what_is_over_after_thirty_days(app: Flask):
    now = db.utcnow()  # the database's own clock says what is older than a year
    by = Actor(None, "root", "")
    with db.transaction() as session:
        account, _ = accounts.enrol(session, "maija@example.fi", levels=["editor"], by=by, now=now - 731 * DAY)
        sign_ins.begin(session, account, client="", agent="", now=now - 31 * DAY)
        sign_ins.begin(session, account, client="", agent="", now=now - 29 * DAY)
        accounts.issue_link(session, account, "enrol", by=by, now=now - 30 * DAY)
        audit.note(session, "person_seen", by=by, now=now - 729 * DAY)
    while True:
        with db.transaction() as session:
            if not retention.tidy(session, now=now):
                break
    with db.reading() as session:
        assert [line.act for line in audit.search(session)] == ["person_seen", "link_issued"]
        assert session.scalar(select(func.count()).select_from(SignIn)) == 1
        assert session.scalar(select(func.count()).select_from(Enrolment)) == 1, "its end was 29 days ago"
