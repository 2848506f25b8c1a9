"""Tasks: what a person of ours has to do by a date; who is told of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask

import making
import staffing
from catching import Caught, text_of
from conftest import NOW
from mailinglist import db
from mailinglist.consent import lists
from mailinglist.delivery import owner_mail
from mailinglist.errors import BadInput, NotAllowed, Unknown
from mailinglist.privacy import needs, tasks
from mailinglist.staff import audit
from mailinglist.staff.levels import Level

MORNING = datetime(2026, 11, 2, 6, 30, tzinfo=UTC)
"""Half past eight in Helsinki."""


@pytest.fixture
def extra_settings(caught: Caught) -> dict[str, str]:
    return {"smtp_url": caught.url}


def opened(words: str = "Kuka soitti?", *, due: datetime | None = None, now: datetime = NOW) -> tuple[int, int]:
    """A task about somebody on the list: its number, and the person's."""
    with db.transaction() as session:
        made = making.person(session, f"{words[:4].strip()}@example.fi", now=now)
        task = tasks.open(
            session, tasks.OTHER, person_id=made.id, words=words, due_at=due or tasks.in_a_month(now), now=now
        )
        return task.id, made.id


@pytest.mark.parametrize(
    ("now", "due"),
    [
        (datetime(2026, 11, 22, 9, tzinfo=UTC), datetime(2026, 12, 22, 9, tzinfo=UTC)),
        (datetime(2026, 12, 31, tzinfo=UTC), datetime(2027, 1, 31, tzinfo=UTC)),
        (datetime(2027, 1, 31, tzinfo=UTC), datetime(2027, 2, 28, tzinfo=UTC)),
        (datetime(2028, 1, 30, tzinfo=UTC), datetime(2028, 2, 29, tzinfo=UTC)),
    ],
)
def test_a_month_ends_on_the_same_day_or_on_the_last(now: datetime, due: datetime) -> None:
    assert tasks.in_a_month(now) == due


def test_is_open_until_somebody_says_what_was_done(app: Flask) -> None:
    late, _ = opened("Late", due=NOW + timedelta(days=2))
    first, person = opened("Kuka soitti?")
    with db.transaction() as session:
        assert [task.id for task in tasks.waiting(session)] == [late, first]
        assert tasks.count(session, now=NOW) == (2, 1)
        with pytest.raises(BadInput):
            tasks.done(session, first, who="Maija", words="  ", now=NOW)
        tasks.done(session, first, who="Maija", words="Vastattiin puhelimitse.", now=NOW)
        with pytest.raises(NotAllowed):
            tasks.done(session, first, who="Maija", words="Uudestaan.", now=NOW)
        with pytest.raises(Unknown):
            tasks.done(session, 999, who="Maija", words="Mitä?", now=NOW)
        with pytest.raises(BadInput):
            tasks.open(session, "party", person_id=None, words="x", due_at=NOW, now=NOW)
        assert [task.id for task in tasks.waiting(session)] == [late]
        assert [task.id for task in tasks.recent(session)] == [first]
        # Who is to be told of an erasure stays, with its words.
        told = tasks.open(session, tasks.TELL_RECIPIENT, person_id=person, words="Verohallinto", due_at=NOW, now=NOW)
        assert tasks.forget(session, person, NOW) == 1
        session.expire_all()
        assert [task.words for task in tasks.of(session, person)] == ["", "Verohallinto"]
        assert tasks.clear(session, before=NOW + timedelta(days=1), limit=10) == 1
        assert [task.id for task in tasks.waiting(session)] == [told.id, late]


def test_the_console_shows_them_and_the_audit_says_who_answered(app: Flask) -> None:
    number, person = opened("Kuka <b>soitti</b>?", due=db.utcnow() - timedelta(days=1), now=db.utcnow())
    registrar = staffing.signed_in(app, Level.REGISTRAR)
    assert "or are late: 1." in registrar.get("/staff/").text
    assert "late: 1." not in staffing.signed_in(app, Level.EDITOR).get("/staff/").text
    page = registrar.get("/staff/tasks")
    assert "Kuka &lt;b&gt;soitti&lt;/b&gt;?" in page.text
    assert ">Late<" in page.text
    wrong = registrar.post(f"/staff/tasks/{number}/done", {"words": ""})
    assert wrong.status_code == 422
    assert f'aria-describedby="words-{number}-hint words-{number}-error"' in wrong.text
    assert registrar.post(f"/staff/tasks/{number}/done", {"words": "Soitettiin takaisin."}).status_code == 303
    page = registrar.get("/staff/tasks")
    assert "Nobody waits for an answer." in page.text
    assert "Soitettiin takaisin." in page.text
    with db.reading() as session:
        [line] = audit.search(session, act="task_done")
        assert (line.about, line.detail) == (f"person {person}", {"task": number, "kind": "other"})
        assert audit.search(session, act="tasks_seen")


def test_the_owner_of_the_first_list_is_told_by_mail(app: Flask, caught: Caught) -> None:
    opened(due=MORNING + timedelta(days=20), now=MORNING)
    with db.transaction() as session:
        lists.set_value(session, making.the_list(session), "owner", "omistaja@example.fi", now=NOW)
        other = lists.add(session, "toinen", "Toinen", now=NOW)
        lists.set_value(session, other, "owner", "toinen@example.fi", now=NOW)
    assert owner_mail.send_due(more=needs.of_list, now=MORNING) == 1
    [got] = caught.to("omistaja@example.fi")
    assert "jotka odottavat vastausta: 1." in text_of(got)
    assert "/staff/tasks" in text_of(got)
    assert "Kuka" not in text_of(got)


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_what_was_asked_by_a_clock_that_was_ahead_is_urgent(app: Flask) -> None:
    opened(now=NOW + timedelta(days=40))
    with db.reading() as session:
        assert tasks.count(session, now=NOW) == (1, 1), "its date is too late by as much"
