from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select

from conftest import NOW
from mailinglist import db
from mailinglist.consent import address, confirming, intake, lists, requests
from mailinglist.consent.states import State
from mailinglist.consent.tables import Person, Request
from making import ORIGIN, ask, leave_token, person, the_list

MINUTE = timedelta(minutes=1)


def test_one_letter_in_ten_minutes_three_a_day(app: Flask):
    with db.transaction() as session:
        times = [NOW + n * MINUTE for n in (0, 0, 5, 9, 10, 15, 21, 32, 60, 600, 24 * 60 + 1)]
        letters = [ask(session, "a@example.fi", now=now).letter is not None for now in times]
        assert letters == [True, False, False, False, True, False, True, False, False, False, True]


def test_a_hundred_requests_for_one_address_make_one_letter(app: Flask):
    with db.transaction() as session:
        row = the_list(session)
        for n in range(100):
            mailbox = "Matti@example.fi" if n % 2 else "matti@EXAMPLE.fi"
            intake.write_down(
                session, row, address.parse(mailbox), entrance="web", language="fi", origin=ORIGIN, now=NOW
            )
    taken: list[int] = []
    while not taken or taken[-1]:
        with db.transaction() as session:
            taken.append(requests.take(session, now=NOW))
    assert sum(taken) == 100
    with db.reading() as session:
        assert session.scalar(select(func.count()).where(Request.letter.is_not(None))) == 1
        assert session.scalar(select(func.count()).select_from(Person)) == 1


def test_the_persons_own_act_begins_the_count_anew(app: Flask):
    with db.transaction() as session:
        person(session, "a@example.fi", now=NOW, state=State.LEFT)
        again = ask(session, "a@example.fi", now=NOW + MINUTE)
        assert (again.outcome, again.letter) == ("asked", "confirm")


@pytest.mark.parametrize("state", [State.PENDING, State.ACTIVE, State.LEFT, State.UNDELIVERABLE])
def test_a_request_holds_no_address_once_it_is_taken(app: Flask, state: State):
    with db.transaction() as session:
        person(session, "a@example.fi", now=NOW, state=state)
        taken = ask(session, "a@example.fi", now=NOW + timedelta(days=2))
        assert (taken.mailbox, taken.name, taken.origin) == (None, None, None)
        assert taken.letter == ("already" if state is State.ACTIVE else "confirm")


def test_what_is_not_due_waits(app: Flask):
    with db.transaction() as session:
        row, text = the_list(session), lists.current_text(session, the_list(session), "fi")
        intake.write_down(
            session,
            row,
            address.parse("a@example.fi"),
            entrance="web",
            language="fi",
            text=text,
            origin=ORIGIN,
            slow=True,
            now=NOW,
        )
        assert requests.take(session, now=NOW) == 0
        assert requests.take(session, now=NOW + 2 * MINUTE) == 1


def test_limits_per_domain_slow_down_and_lose_nothing(app: Flask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(requests, "_DOMAIN_A_MINUTE", 3)
    with db.transaction() as session:
        row = the_list(session)
        for n in range(8):
            intake.write_down(
                session, row, address.parse(f"p{n}@example.fi"), entrance="web", language="fi", origin=ORIGIN, now=NOW
            )
        intake.write_down(
            session, row, address.parse("p@elsewhere.fi"), entrance="web", language="fi", origin=ORIGIN, now=NOW
        )
        waits = []
        for minute in range(4):
            while requests.take(session, now=NOW + minute * 1.01 * MINUTE):
                pass
            waits.append(session.scalar(select(func.count()).where(Request.letter.is_not(None))))
        assert waits == [4, 7, 9, 9]


def test_who_leaves_does_not_wait_for_other_peoples_letters(app: Flask, monkeypatch: pytest.MonkeyPatch):
    with db.transaction() as session:
        token = leave_token(session, person(session, "matti@example.fi", now=NOW))
        monkeypatch.setattr(requests, "_TOTAL_A_MINUTE", 0)
        later = NOW + MINUTE
        intake.write_down_exit(session, token, origin=ORIGIN, ban=(), now=later)
        intake.write_down(
            session, the_list(session), address.parse("p@example.fi"), entrance="web", language="fi", origin=ORIGIN,
            now=later,
        )  # fmt: skip
        requests.take(session, now=later)
        came = select(Request.kind, Request.outcome).where(Request.received_at == later).order_by(Request.id)
        assert [tuple(row) for row in session.execute(came)] == [("exit", "left"), ("join", None)]


def test_a_flood_arms_the_proof_of_work_and_it_is_over_in_time(app: Flask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(intake, "_ATTACK", ((MINUTE, 20), (15 * MINUTE, 40)))
    with db.transaction() as session:
        row = the_list(session)
        for n in range(21):
            assert not intake.proof_wanted(session, row, now=NOW)
            intake.write_down(
                session, row, address.parse(f"p{n}@example.fi"), entrance="web", language="fi", origin=ORIGIN, now=NOW
            )
            session.flush()
        assert intake.proof_wanted(session, row, now=NOW + MINUTE / 2)
        assert not intake.proof_wanted(session, row, now=NOW + 2 * MINUTE)
        lists.set_value(session, row, "proof_of_work", "on", now=NOW)
        assert intake.proof_wanted(session, row, now=NOW + 2 * MINUTE)
        lists.set_value(session, row, "proof_of_work", "off", now=NOW)
        assert not intake.proof_wanted(session, row, now=NOW)


def test_the_browser_that_asked_is_known_again_in_any_letter_of_the_episode(app: Flask):
    with db.transaction() as session:
        first = ask(session, "a@example.fi", now=NOW, browser=b"1" * 16)
        joined = ask(session, "a@example.fi", now=NOW + MINUTE, browser=b"2" * 16)
        assert joined.outcome == "joined"
        issued = confirming.issue(
            session, request_id=first.id, person_id=first.person_id, list_id=first.list_id, text_id=first.text_id,
            epoch=first.epoch, days=7, now=NOW,
        )  # fmt: skip
        knocked = confirming.knock(session, issued[0], now=NOW)
        assert intake.came_from(session, knocked.confirmation, b"1" * 16)
        assert intake.came_from(session, knocked.confirmation, b"2" * 16)
        assert not intake.came_from(session, knocked.confirmation, b"3" * 16)


def test_asking_again_from_a_spent_link_writes_a_request_down(app: Flask):
    with db.transaction() as session:
        asked = ask(session, "a@example.fi", now=NOW)
        issued = confirming.issue(
            session, request_id=asked.id, person_id=asked.person_id, list_id=asked.list_id, text_id=asked.text_id,
            epoch=asked.epoch, days=7, now=NOW,
        )  # fmt: skip
        later = NOW + timedelta(days=8)
        intake.ask_again(session, issued[0], origin=ORIGIN, browser=None, now=later)
        requests.take(session, now=later)
        latest = session.scalars(select(Request).order_by(Request.id.desc()).limit(1)).one()
        assert (latest.person_id, latest.letter) == (asked.person_id, "confirm")


def test_the_bell_is_rung_after_the_commit_and_not_without(app: Flask, bells: list[frozenset[str]]):
    with db.transaction() as session:
        intake.write_down(
            session,
            the_list(session),
            address.parse("a@example.fi"),
            entrance="web",
            language="fi",
            origin=ORIGIN,
            now=NOW,
        )
        assert bells == []
    assert bells == [frozenset({db.REQUESTS})]
    with pytest.raises(ZeroDivisionError), db.transaction() as session:
        intake.write_down(
            session,
            the_list(session),
            address.parse("b@example.fi"),
            entrance="web",
            language="fi",
            origin=ORIGIN,
            now=NOW,
        )
        raise ZeroDivisionError
    assert len(bells) == 1
