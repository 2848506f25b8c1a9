"""Each rule of retention: what it lets go when its time has come, and not before; counted, and shown."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select

import staffing
from conftest import NOW
from mailinglist import db
from mailinglist.consent import confirming, import_jobs, register, restriction, verification
from mailinglist.consent.states import State
from mailinglist.consent.tables import Evidence, ImportJob, Person
from mailinglist.delivery import handoffs
from mailinglist.delivery.tables import Handoff
from mailinglist.periods import DEFAULTS
from mailinglist.privacy import disclosures, retention, tasks
from mailinglist.staff.audit import Actor
from mailinglist.staff.levels import Level
from mailinglist.web.staff import retention_page
from making import ORIGIN, ask, leave_token, letter, person, the_list

DAY = timedelta(days=1)
BY = Actor(None, "root", "")


def after(rule: str, days: int = 1) -> datetime:
    """So many days after the rule's period."""
    return NOW + timedelta(days=DEFAULTS[rule] + days)


def tidied(now: datetime) -> dict[str, int]:
    """What went by each rule, all in all."""
    for _ in range(20):
        with db.transaction() as session:
            if not retention.tidy(session, now=now):
                break
    else:
        pytest.fail("it never ends")
    with db.reading() as session:
        found: dict[str, int] = {}
        for each in retention.gone(session):
            found[each.rule] = found.get(each.rule, 0) + each.number
        return found


def due(now: datetime) -> dict[str, int]:
    with db.reading() as session:
        return {each.rule.name: each.number for each in retention.due(session, now=now) if each.number}


def test_who_left_is_forgotten_three_years_after_and_who_stays_is_not(app: Flask) -> None:
    with db.transaction() as session:
        person(session, "left@example.fi", now=NOW, state=State.LEFT)
        person(session, "active@example.fi", now=NOW)
        held = person(session, "restricted@example.fi", now=NOW, state=State.LEFT)
        restriction.restrict(session, held, source="page", origin={}, now=NOW)
    assert "left" not in tidied(after("evidence", -1))
    assert due(after("evidence"))["left"] == 1
    assert tidied(after("evidence"))["left"] == 1
    with db.transaction() as session:
        assert set(session.scalars(select(Person.mailbox))) == {"active@example.fi", "restricted@example.fi"}
        assert list(verification.verify(session)) == []


def test_evidence_goes_when_a_later_consent_stands_in_its_place(app: Flask) -> None:
    with db.transaction() as session:
        made = person(session, "back@example.fi", now=NOW, state=State.LEFT)
        again = NOW + 30 * DAY
        confirm, _ = letter(session, ask(session, "back@example.fi", now=again), now=again)
        confirming.confirm(session, confirm, origin=ORIGIN, now=again)
        person(session, "active@example.fi", now=NOW)
        number = made.id

    def held() -> int:
        with db.reading() as session:
            wanted = select(func.count()).select_from(Evidence).where(Evidence.person_id == number)
            return session.scalar(wanted) or 0

    assert held() == 5
    assert "evidence" not in due(after("evidence", -1))
    assert due(after("evidence"))["evidence"] == 3
    assert tidied(after("evidence"))["evidence"] == 3
    assert held() == 2, "what the present consent rests on"
    assert "evidence" not in due(after("evidence", 400)), "it is relied on for as long as they are on the list"
    with db.transaction() as session:
        assert register.leave(session, leave_token(session, session.get_one(Person, number)), origin={}, now=NOW)


def test_answers_go_after_a_year_and_the_account_stays(app: Flask) -> None:
    with db.transaction() as session:
        for number, at in enumerate((NOW, NOW + 100 * DAY), 1):
            made = person(session, f"p{number}@example.fi", now=NOW)
            handoffs.enqueue(session, kind="bulletin", about=number, list_id=1, person_id=made.id, now=at)
            shift = handoffs.begin_shift(session, now=at)
            [row] = handoffs.claim(session, shift, kinds=["bulletin"], limit=1, now=at)
            handoffs.settle(session, shift, [handoffs.Settled(row.id, "rejected", at, code=550, reply="550 no")])
    assert due(after("answers")) == {"requests": 0, "answers": 1} or due(after("answers"))["answers"] == 1
    assert tidied(after("answers"))["answers"] == 1
    assert tidied(after("answers", 2))["answers"] == 1, "none is counted twice"
    with db.reading() as session:
        rows = session.execute(select(Handoff.state, Handoff.code, Handoff.reply).order_by(Handoff.id)).all()
        assert [tuple(row) for row in rows] == [("rejected", 550, None), ("rejected", 550, "550 no")]
    assert tidied(after("answers", 101))["answers"] == 2


def test_uploads_tasks_and_disclosures_go_in_their_time(app: Flask) -> None:
    with db.transaction() as session:
        made = person(session, "gone@example.fi", now=NOW, state=State.LEFT)
        import_jobs.upload(session, the_list(session), b"email\na@example.fi\n", file_name="a.csv", who="x", now=NOW)
        task = tasks.open(session, "other", person_id=made.id, words="x", due_at=NOW, now=NOW)
        tasks.done(session, task.id, who="Maija", words="done", now=NOW)
        tasks.open(session, "other", person_id=None, words="still open", due_at=NOW, now=NOW)
        disclosures.note(
            session, [made.id], recipient="Police", basis="Act 872/2011", fields=["address"], by=BY, now=NOW
        )  # fmt: skip
    assert "uploads" not in tidied(after("uploads", -1))
    assert tidied(after("uploads"))["uploads"] == 1
    with db.reading() as session:
        assert session.scalars(select(ImportJob.file)).all() == [None]
    went = tidied(after("evidence"))
    assert (went["tasks"], went["left"], went["disclosures"]) == (1, 1, 1)
    with db.reading() as session:
        # The recipient has to hear of the erasure, also of one by retention.
        assert sorted(task.kind for task in tasks.waiting(session, 10)) == ["other", "tell_recipient"]


def test_periods_that_were_set_are_gone_by(app: Flask) -> None:
    app.extensions["mailinglist_session"]["info"]["keep_days"] = {**DEFAULTS, "unanswered": 5}
    with db.transaction() as session:
        ask(session, "a@example.fi", now=NOW)
    assert tidied(NOW + 6 * DAY)["unanswered"] == 1


def test_the_page_says_what_went_and_what_goes_next(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    with db.transaction() as session:
        ask(session, "a@example.fi", now=db.utcnow() - 31 * DAY)
        ask(session, "b@example.fi", now=db.utcnow() - 31 * DAY)
        retention.tidy(session, now=db.utcnow())
        ask(session, "c@example.fi", now=db.utcnow() - 31 * DAY)
    auditor = staffing.signed_in(app, Level.AUDITOR)
    with monkeypatch.context() as dear:
        dear.setattr(retention, "due", None)  # to count takes seconds: the page comes without it
        shown = auditor.get("/staff/retention")
    assert (shown.status_code, "being counted" in shown.text) == (200, True)
    for part in ("/staff/retention/counted", "/staff/retention?now=1", "/staff/retention"):
        monkeypatch.setattr(retention_page, "_KEPT_TIMES", 10**9)
        counted = auditor.get(part)
        assert re.search(r"Requests to join that nobody answered.*?Goes next\">1<", counted.text, re.DOTALL), part
        assert "What goes next was counted on" in counted.text, part
    for words in ("Requests to join that nobody answered", "1,095", "What went", "Answers of mail servers"):
        assert words in shown.text, words
    assert "example.fi" not in shown.text.partition("<main")[2]
    assert staffing.signed_in(app, Level.EDITOR).get("/staff/retention").status_code == 403


def test_the_run_of_the_scheduler_counts_what_went(app: Flask) -> None:
    with db.transaction() as session:
        ask(session, "a@example.fi", now=db.utcnow() - 31 * DAY)
    went = retention.run(stop=lambda: False)
    assert went["unanswered"] == 1
    assert retention.run(stop=lambda: False)["unanswered"] == 0
    assert set(went) == set(retention.NAMES)
