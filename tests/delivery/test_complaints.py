"""Complaints: who complains has left; when too many do, the list's bulletins stand until a publisher goes on."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from coming_back import begun, everybody, mailed
from conftest import NOW
from mailinglist import db
from mailinglist.bulletins import drafts
from mailinglist.consent import confirming, proof, register
from mailinglist.consent.states import State
from mailinglist.delivery import complaints, dispatch, handoffs, outcomes
from mailinglist.delivery.complaints import Rate
from mailinglist.delivery.tables import Complaint, Handoff, Hold
from mailinglist.errors import NotAllowed
from making import ORIGIN, ask, crowd, leave_token, letter, person, the_list

DAY = timedelta(days=1)
JOINED = NOW - 90 * DAY
REPORT = {"feedback_type": "abuse"}


def complain(session: Session, row: int, *, now=NOW) -> str:
    return complaints.note(session, row, "example.net", evidence=REPORT, now=now)


def test_who_complains_has_left_at_once_and_once(app: Flask):
    with db.transaction() as session:
        matti = person(session, "matti@example.fi", now=JOINED)
        bulletin = begun(session, now=NOW)
        [row] = mailed(session, bulletin, [matti.id], now=NOW)
        assert complain(session, row) == complaints.NOTED
        entry = proof.prove(session, "matti@example.fi")[-1]
        assert (entry["event"], entry["source"], entry["state"]) == ("left", "complaint", "left")
        assert entry["evidence_content"]["feedback_type"] == "abuse"
        assert outcomes.left_by_link(session, bulletin, the_list(session).id, since=JOINED) == 0
        # The same complaint once more does not undo a sign-up that came after it.
        later = NOW + DAY
        request = ask(session, "matti@example.fi", now=later)
        confirming.confirm(session, letter(session, request, now=later)[0], origin=ORIGIN, now=later)
        assert complain(session, row, now=later) == complaints.AGAIN
        standing = register.subscription(session, matti.id, the_list(session).id)
        assert standing is not None
        assert standing.standing is State.ACTIVE
        assert session.scalar(select(func.count()).select_from(Complaint)) == 1


def test_a_complaint_about_an_old_mail_is_heeded_and_not_counted(app: Flask):
    with db.transaction() as session:
        matti = person(session, "matti@example.fi", now=JOINED)
        [row] = mailed(session, begun(session, now=NOW), [matti.id], now=NOW - 31 * DAY)
        assert complain(session, row) == complaints.OLD
        assert register.exit_for(session, leave_token(session, matti)).left
        assert session.scalar(select(func.count()).select_from(Complaint)) == 0
        assert complain(session, 999_999) == complaints.UNKNOWN


def test_a_complaint_about_a_confirmation_letter_stops_further_ones(app: Flask):
    with db.transaction() as session:
        request = ask(session, "matti@example.fi", now=NOW)
        assert request.person_id is not None
        handoffs.enqueue(
            session, kind="confirm", about=request.id, list_id=request.list_id, person_id=request.person_id, now=NOW
        )
        row = session.scalars(select(Handoff.id)).one()
        assert complain(session, row) == complaints.NOTED
        matti = register.locked(session, request.person_id)
        assert matti is not None
        assert matti.muted_until is not None
        assert complaints.held(session, request.list_id) is None


@pytest.mark.parametrize(
    ("complained", "mails", "warns", "holds"),
    [
        (0, 0, False, False), (1, 1001, False, False), (1, 1000, True, False), (4, 10, True, False),
        (5, 1667, True, False), (5, 1666, True, True), (5, 0, False, False),
    ],
)  # fmt: skip
def test_rates(complained: int, mails: int, warns: bool, holds: bool):
    found = Rate(complained, mails)
    assert (found.warns, found.holds) == (warns, holds)


def test_too_many_hold_the_list_until_a_publisher_goes_on(app: Flask):
    with db.transaction() as session:
        crowd(session, 30, now=JOINED)
        listed = the_list(session)
        running = begun(session, now=NOW)
        rows = mailed(session, running, everybody(session)[:20], now=NOW)
        later = drafts.add(session, listed, subject="Seuraava", source="Moi", form="markdown", now=NOW)
        dispatch.send(session, later.id, sender="a@lists.example.fi", by="test", at=None, publishers=(), now=NOW)
        assert [complain(session, row) for row in rows[:4]] == [complaints.NOTED] * 4
        assert dispatch.goes_on(session, running)
        assert complain(session, rows[4]) == complaints.HOLDS
        hold = complaints.held(session, listed.id)
        assert hold is not None
        assert (hold.bulletin_id, hold.complaints, hold.mails) == (running, 5, 20)
        assert complain(session, rows[5]) == complaints.NOTED

        assert not dispatch.goes_on(session, running)
        assert dispatch.moving(session) == []
        assert dispatch.begin_due(session, now=NOW) == []
        for number in (running, later.id):
            found = dispatch.status(session, number)
            assert found.held
            assert found.trouble is not None
            assert "complained" in found.trouble

        complaints.go_on(session, listed.id, by="Maija", now=NOW + DAY)
        with pytest.raises(NotAllowed):
            complaints.go_on(session, listed.id, by="Maija", now=NOW + DAY)
        assert dispatch.goes_on(session, running)
        assert dispatch.status(session, running).trouble is None
        assert dispatch.begin_due(session, now=NOW + DAY) == [later.id]
        # Only what comes from now on counts.
        after = NOW + 2 * DAY
        assert [complain(session, row, now=after) for row in rows[6:10]] == [complaints.NOTED] * 4
        assert complain(session, rows[10], now=after) == complaints.HOLDS
        assert session.scalar(select(func.count()).select_from(Hold)) == 2


def test_few_of_each_bulletin_are_many_of_a_month(app: Flask):
    with db.transaction() as session:
        crowd(session, 12, now=JOINED)
        listed = the_list(session)
        came = []
        for days in range(5):
            now = NOW + days * 6 * DAY
            bulletin = begun(session, now=now)
            rows = mailed(session, bulletin, everybody(session)[days:12], now=now)
            came.append(complain(session, rows[0], now=now))
        assert came == [complaints.NOTED] * 4 + [complaints.HOLDS]
        hold = complaints.held(session, listed.id)
        assert hold is not None
        assert (hold.bulletin_id, hold.complaints) == (0, 5)
        assert complaints.in_span(session, listed.id, now=NOW + 56 * DAY).complaints == 0


def test_one_person_does_not_hold_a_list_however_many_bulletins_they_complain_about(app: Flask):
    with db.transaction() as session:
        crowd(session, 12, now=JOINED)
        [one, other, *_] = everybody(session)
        for days in range(6):
            now = NOW + days * 4 * DAY
            rows = mailed(session, begun(session, now=now), [one, other], now=now)
            assert complain(session, rows[0], now=now) == complaints.NOTED
        assert complaints.in_span(session, the_list(session).id, now=now).complaints == 1
        assert complain(session, rows[1], now=now) == complaints.NOTED
        assert complaints.in_span(session, the_list(session).id, now=now).complaints == 2
        assert session.scalar(select(func.count()).select_from(Complaint)) == 7
