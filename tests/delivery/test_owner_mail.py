"""What needs a person, and the daily mail about it: at most once a day, whatever happens on the way."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import delete, insert, select

from catching import Caught, html_of, text_of
from conftest import NOW
from mailinglist import db
from mailinglist.bulletins import approvals, drafts
from mailinglist.consent import lists
from mailinglist.consent.tables import DailyCount, ImportJob, Request
from mailinglist.delivery import attention, owner_mail
from mailinglist.delivery.attention import Place
from mailinglist.delivery.tables import Dispatch, Handoff, Hold, OwnerMail
from making import the_list, written

MORNING = datetime(2026, 11, 2, 6, 30, tzinfo=UTC)
"""Half past eight in Helsinki."""


@pytest.fixture
def extra_settings(caught: Caught) -> dict[str, str]:
    return {"smtp_url": caught.url, "base_url": "https://lists.example.fi", "bounce_domain": "lists.example.fi"}


def asked(subject: str = "Uutisia") -> int:
    """A bulletin that waits for its approval, on a list with an owner."""
    with db.transaction() as session:
        lists.set_value(session, the_list(session), "owner", "omistaja@example.fi", now=NOW)
        bulletin = written(session, now=NOW, fi=subject)
        approvals.ask_approval(session, bulletin, by=drafts.Author(1, "Maija"), now=NOW)
        return bulletin.id


def last() -> OwnerMail | None:
    with db.reading() as session:
        row = session.scalar(select(OwnerMail))
        session.expunge_all()
        return row


def test_the_owner_is_told_once_a_day_in_the_lists_language(app: Flask, caught: Caught):
    with db.transaction() as session:
        lists.set_value(session, the_list(session), "language", "sv", now=NOW)
    number = asked("Nyheter & <b>annat</b>")
    assert owner_mail.send_due(now=MORNING) == 1
    [got] = caught.to("omistaja@example.fi")
    assert got["Auto-Submitted"] == "auto-generated"
    assert got["List-Unsubscribe"] is None
    assert "Vad som kräver dig" in got["Subject"]
    assert "väntar på godkännande" in text_of(got)
    assert f"https://lists.example.fi/staff/bulletins/{number}" in text_of(got)
    assert "<b>annat" not in html_of(got)
    for later in (timedelta(minutes=10), timedelta(hours=9)):
        assert owner_mail.send_due(now=MORNING + later) == 0
    assert len(caught.mails) == 1
    assert owner_mail.send_due(now=MORNING + timedelta(days=1)) == 1
    first, second = caught.to("omistaja@example.fi")
    assert first["Message-ID"] != second["Message-ID"]


def test_nothing_to_say_is_no_mail_and_nobody_is_woken(app: Flask, caught: Caught):
    assert owner_mail.send_due(now=MORNING) == 0
    assert last() is None
    asked()
    with db.transaction() as session:
        lists.set_value(session, the_list(session), "owner", "", now=NOW)
    assert owner_mail.send_due(now=MORNING) == 0, "no owner, nobody to tell"
    asked()
    assert owner_mail.send_due(now=MORNING - timedelta(hours=2)) == 0
    assert caught.mails == []


def test_a_crash_while_it_is_handed_over_mails_no_second_one_that_day(
    app: Flask, caught: Caught, monkeypatch: pytest.MonkeyPatch
):
    asked()

    def crash(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as broken:
        broken.setattr(owner_mail, "_settle", crash)
        with pytest.raises(SystemExit):
            owner_mail.send_due(now=MORNING)
    assert len(caught.mails) == 1
    row = last()
    assert row is not None
    assert row.state == "handing"
    assert owner_mail.send_due(now=MORNING + timedelta(hours=2)) == 0
    assert owner_mail.send_due(now=MORNING + timedelta(days=1)) == 1
    assert len(caught.mails) == 2


def test_what_a_server_refuses_is_tried_again_after_an_hour(
    app: Flask, caught: Caught, monkeypatch: pytest.MonkeyPatch
):
    asked()
    with monkeypatch.context() as without:
        settings = app.config["MAILINGLIST"].model_copy(update={"smtp_url": None})
        without.setitem(app.config, "MAILINGLIST", settings)  # the catcher's port: nobody listens there
        assert owner_mail.send_due(now=MORNING) == 0
    row = last()
    assert row is not None
    assert row.state == "failed"
    assert owner_mail.send_due(now=MORNING + timedelta(minutes=20)) == 0
    assert owner_mail.send_due(now=MORNING + timedelta(minutes=61)) == 1
    assert owner_mail.send_due(now=MORNING + timedelta(hours=5)) == 0


def test_a_mail_of_a_day_that_is_to_come_silences_none(app: Flask, caught: Caught):
    """A clock was ahead for a while."""
    asked()
    for days, expected in ((40, 1), (0, 1), (0, 0), (1, 1)):
        assert owner_mail.send_due(now=MORNING + timedelta(days=days)) == expected, days
    assert len(caught.mails) == 3


def test_several_workers_at_once_send_one(app: Flask, caught: Caught):
    asked()
    together = threading.Barrier(4)
    handed: list[int] = []

    def work() -> None:
        with app.app_context():
            together.wait(10)
            handed.append(owner_mail.send_due(now=MORNING))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(handed) == [0, 0, 0, 1]
    assert len(caught.mails) == 1


def test_it_names_no_subscriber(app: Flask, caught: Caught):
    asked()
    with db.transaction() as session:
        row = the_list(session)
        session.execute(
            insert(Request).values(
                kind="join", list_id=row.id, entrance="web", mailbox="matti.meikalainen@example.org",
                domain="example.org", language="fi", received_at=NOW, not_before=NOW - timedelta(hours=9),
                letter_due=False,
            )
        )  # fmt: skip
        session.execute(
            insert(Dispatch).values(
                bulletin_id=written(session, now=NOW, fi="Muuta").id, list_id=row.id, state="sending", due_at=NOW,
                began_at=NOW, audience=1, trouble="550 no such user <matti.meikalainen@example.org>",
            )
        )  # fmt: skip
    assert owner_mail.send_due(now=NOW) == 1
    [got] = caught.to("omistaja@example.fi")
    assert "Muuta" in text_of(got)
    assert "viestejä, jotka eivät lähde: 1" in re.sub(r"\s+", " ", text_of(got)).lower()
    assert "meikalainen" not in got.as_string()


# ── what needs a person ───────────────────────────────────────────────────────────────────────────────────────────────


def needs() -> list[attention.Need]:
    with db.reading() as session:
        return attention.of_list(session, the_list(session), now=NOW)


def dispatched(
    state: str = "sent", *, audience: int = 100, days: int = 1, rejected: int = 0, uncertain: int = 0
) -> int:
    with db.transaction() as session:
        row, began = the_list(session), NOW - timedelta(days=days)
        number = written(session, now=began, fi="Uutisia").id
        session.execute(
            insert(Dispatch).values(
                bulletin_id=number, list_id=row.id, state=state, due_at=began, began_at=began, audience=audience
            )
        )
        states = ["rejected"] * rejected + ["uncertain"] * uncertain
        for person, each in enumerate(states, 1):
            session.execute(
                insert(Handoff).values(
                    kind="bulletin", about=number, list_id=row.id, person_id=person, state=each, not_before=began,
                    attempts=1, settled_at=began,
                )
            )  # fmt: skip
        return number


def letter(state: str, *, person: int, **columns: object) -> None:
    with db.transaction() as session:
        values = {"not_before": NOW, "attempts": 0, "kind": "confirm", "about": person, **columns}
        session.execute(insert(Handoff).values(list_id=1, person_id=person, state=state, **values))


def test_nothing_needs_anybody_at_first(app: Flask):
    assert needs() == []


def test_uncertain_mails_are_grave_and_counted(app: Flask):
    number = dispatched(uncertain=3)
    [need] = needs()
    assert (need.place, need.about, need.grave, need.what.values["number"]) == (Place.BULLETIN, number, True, 3)


def test_rejections_count_when_they_are_more_than_usual(app: Flask):
    for days in (9, 8, 7):
        dispatched(days=days, rejected=3)
    assert needs() == []
    dispatched(days=1, rejected=4)
    assert needs() == []
    number = dispatched(days=0, rejected=7)
    assert [(need.about, need.what.values["number"]) for need in needs()] == [(number, 7)]


def test_letters_that_wait_or_failed(app: Flask):
    letter("pending", person=1, not_before=NOW - timedelta(minutes=5))
    letter("accepted", person=2, not_before=NOW - timedelta(days=1))
    letter("deferred", person=3, not_before=NOW + timedelta(minutes=5), first_tried_at=NOW - timedelta(minutes=5))
    assert needs() == []
    letter("pending", person=4, not_before=NOW - timedelta(minutes=11))
    letter("deferred", person=5, not_before=NOW + timedelta(minutes=5), first_tried_at=NOW - timedelta(hours=2))
    letter("rejected", person=6, settled_at=NOW - timedelta(days=2))
    letter("rejected", person=7, settled_at=NOW - timedelta(days=20))
    late, failed = needs()
    assert (late.grave, late.what.values["number"]) == (True, 2)
    assert (failed.grave, failed.what.values["number"]) == (False, 1)


def test_imports_that_failed_or_lie_about(app: Flask):
    for state, days in (("failed", 1), ("failed", 40), ("checked", 0), ("checked", 3), ("done", 1)):
        with db.transaction() as session:
            session.execute(
                insert(ImportJob).values(
                    list_id=1, state=state, file_name="x.csv", columns=[], refusals=[], lines=0, done=0, added=0,
                    updated=0, unchanged=0, refused=0, who="a test", created_at=NOW - timedelta(days=days),
                )
            )  # fmt: skip
    assert sorted((need.place, need.about) for need in needs()) == [(Place.IMPORT, 1), (Place.IMPORT, 4)]


def test_bulletins_that_nobody_begins_and_addresses_that_fail(app: Flask):
    stuck = dispatched("scheduled", days=1)
    with db.transaction() as session:
        for back in range(35):
            number = 4 if back < 7 else 1
            session.execute(
                insert(DailyCount).values(
                    list_id=1, day=(NOW - timedelta(days=back)).date(), what="undeliverable", number=number
                )
            )
    first, second = needs()
    assert (first.about, first.grave) == (stuck, True)
    assert second.what.values == {"number": 28, "usual": 7}


def test_what_somebody_paused_is_told_until_it_goes_on(app: Flask):
    number = dispatched("paused", uncertain=0)
    with db.transaction() as session:
        given = session.get_one(Dispatch, number)
        given.audience, given.resumed_at = 3, None
        session.execute(
            insert(Handoff).values(
                kind="bulletin", about=number, list_id=1, person_id=9, state="pending", not_before=NOW, attempts=0
            )
        )
    [need] = needs()
    assert (need.place, need.about, need.grave, need.what.values["number"]) == (Place.BULLETIN, number, False, 1)
    with db.transaction() as session:
        session.get_one(Dispatch, number).began_at = None
    [need] = needs()
    assert "nobody has got it yet" in str(need.what)


def test_nobody_is_late_who_was_let_go_on_a_moment_ago(app: Flask):
    """The time passed while it was paused, or while its list was held."""
    number = dispatched("scheduled", days=1)
    assert len(needs()) == 1

    def let_go_on(**when: datetime | None) -> int:
        with db.transaction() as session:
            session.get_one(Dispatch, number).resumed_at = when.get("resumed")
            session.execute(delete(Hold))
            if lifted := when.get("lifted"):
                session.add(
                    Hold(
                        list_id=1, bulletin_id=0, complaints=5, mails=9, since=NOW - timedelta(days=2), lifted_at=lifted
                    )
                )
        return len(needs())

    just_now, long_ago = NOW - timedelta(minutes=9), NOW - timedelta(minutes=11)
    assert let_go_on(resumed=just_now) == let_go_on(lifted=just_now) == 0
    assert let_go_on(resumed=long_ago) == let_go_on(lifted=long_ago) == 1


def test_another_lists_needs_are_its_own(app: Flask):
    dispatched(uncertain=1)
    with db.transaction() as session:
        other = lists.add(session, "other", "Other", now=NOW)
        assert attention.of_list(session, other, now=NOW) == []
