"""Mails that failed: who can't be reached any more, and when a bulletin stands still because of us."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from coming_back import begun, everybody, mailed
from conftest import NOW
from mailinglist import db
from mailinglist.consent import confirming, proof, register
from mailinglist.consent.states import State
from mailinglist.consent.tables import Person
from mailinglist.delivery import bounces, dispatch
from mailinglist.delivery.bounces import Refused, Reported
from mailinglist.delivery.failures import Failure, unreachable
from mailinglist.delivery.tables import Bounce
from mailinglist.delivery.verdicts import Verdict
from mailinglist.privacy import rights
from making import ORIGIN, ask, crowd, letter, person, the_list

DAY = timedelta(days=1)
JOINED = NOW - 90 * DAY
DEAD, MAILBOX, SENDER = Verdict.DEAD, Verdict.MAILBOX, Verdict.SENDER


def failures_of(verdict: Verdict, *days: float, letters: bool = False) -> list[Failure]:
    return [Failure(verdict, 0 if letters else n + 1, NOW + day * DAY) for n, day in enumerate(days)]


@pytest.mark.parametrize(
    ("failed", "why"),
    [
        (failures_of(DEAD, 0), None),
        (failures_of(DEAD, 0, 0.99), None),
        (failures_of(DEAD, 0, 1), DEAD),
        (failures_of(DEAD, 7, 0), DEAD),
        (failures_of(DEAD, 0, 7, letters=True), None),
        ([Failure(DEAD, 1, NOW), Failure(DEAD, 1, NOW + 2 * DAY)], None),
        ([Failure(DEAD, 1, NOW), Failure(DEAD, 0, NOW + 2 * DAY)], None),
        (failures_of(DEAD, 0) + failures_of(MAILBOX, 1, 2, 3, 4), None),
        (failures_of(MAILBOX, 0, 1, 2, 3), None),
        (failures_of(MAILBOX, 0, 1, 2, 3, 60), MAILBOX),
        (failures_of(MAILBOX, 0, 1, 2, 3, 60.1), None),
        (failures_of(MAILBOX, 0, 40, 61, 62, 63, 64), MAILBOX),
        (failures_of(MAILBOX, 0, 1, 2, 3, 4, letters=True), None),  # a stranger can have them sent
        (failures_of(SENDER, *range(50)), None),
        ([], None),
    ],
)
def test_who_can_t_be_reached(failed: Sequence[Failure], why: Verdict | None):
    assert unreachable(failed) is why
    assert unreachable(reversed(failed)) is why


def failing(session: Session, who: int, *, now: datetime, verdict: Verdict = DEAD, words: str = "no such user") -> str:
    """A report about a bulletin of its own that went to them."""
    [row] = mailed(session, begun(session, now=now), [who], now=now)
    return bounces.note(session, row, verdict, status="5.1.1", words=words, now=now + timedelta(minutes=1))


def state_of(session: Session, who: int) -> State:
    standing = register.subscription(session, who, the_list(session).id)
    assert standing is not None
    return standing.standing


def test_two_bulletins_a_day_apart_say_that_the_address_is_gone(app: Flask):
    with db.transaction() as session:
        matti = person(session, "matti@example.fi", now=JOINED)
        assert failing(session, matti.id, now=NOW) == bounces.NOTED
        assert failing(session, matti.id, now=NOW + timedelta(hours=3)) == bounces.NOTED
        assert state_of(session, matti.id) is State.ACTIVE
        assert failing(session, matti.id, now=NOW + DAY) == bounces.UNDELIVERABLE
        assert state_of(session, matti.id) is State.UNDELIVERABLE
        entry = proof.prove(session, "matti@example.fi")[-1]
        assert (entry["event"], entry["source"]) == ("given_up", "bounces: dead")
        assert failing(session, matti.id, now=NOW + 2 * DAY) == bounces.NOTED
        [told] = session.scalars(select(Bounce).order_by(Bounce.id).limit(1)).all()
        assert (told.domain, told.origin, told.due) == ("example.fi", "report", False)


def test_five_times_full_within_sixty_days(app: Flask):
    with db.transaction() as session:
        matti = person(session, "matti@example.fi", now=JOINED)
        came = [failing(session, matti.id, now=NOW + n * DAY, verdict=MAILBOX) for n in range(5)]
        assert came == [bounces.NOTED] * 4 + [bounces.UNDELIVERABLE]
        assert proof.prove(session, "matti@example.fi")[-1]["source"] == "bounces: mailbox"


def test_a_sign_up_of_their_own_or_staff_begins_afresh(app: Flask):
    with db.transaction() as session:
        matti = person(session, "matti@example.fi", now=JOINED)
        for days in (0, 2):
            failing(session, matti.id, now=NOW + days * DAY)
        later = NOW + 3 * DAY
        request = ask(session, "matti@example.fi", now=later)
        confirming.confirm(session, letter(session, request, now=later)[0], origin=ORIGIN, now=later)
        assert state_of(session, matti.id) is State.ACTIVE
        [late] = mailed(session, begun(session, now=later), [matti.id], now=later - timedelta(hours=1))
        assert bounces.note(session, late, DEAD, now=later) == bounces.NOTED  # a mail from before does not count
        assert failing(session, matti.id, now=later + 2 * DAY) == bounces.NOTED
        assert failing(session, matti.id, now=later + 4 * DAY) == bounces.UNDELIVERABLE
        register.restore(session, matti.id, the_list(session), source="staff", now=later + 5 * DAY)
        assert failing(session, matti.id, now=later + 6 * DAY) == bounces.NOTED
        assert state_of(session, matti.id) is State.ACTIVE


def test_a_mail_fails_once_and_old_or_unknown_ones_not_at_all(app: Flask):
    with db.transaction() as session:
        matti = person(session, "matti@example.fi", now=JOINED)
        old, fresh = mailed(session, begun(session, now=NOW), [matti.id], now=NOW - 31 * DAY), []
        fresh = mailed(session, begun(session, now=NOW), [matti.id], now=NOW - 29 * DAY)
        reported = [
            Reported(fresh[0], DEAD, "5.1.1", "User <matti@example.fi> unknown"), Reported(fresh[0], MAILBOX),
            Reported(old[0], DEAD), Reported(999_999, DEAD), Reported(fresh[0], Verdict.NO_FAILURE),
        ]  # fmt: skip
        came = bounces.note_many(session, reported, now=NOW)
        assert came == [bounces.NOTED, bounces.AGAIN, bounces.OLD, bounces.UNKNOWN, bounces.NOTHING]
        assert bounces.note_many(session, reported[:1], now=NOW) == [bounces.AGAIN]
        [kept] = session.scalars(select(Bounce)).all()
        assert (kept.verdict, kept.status, kept.words) == ("dead", "5.1.1", "User <[address]> unknown")
        assert kept.due


def test_what_the_conversation_refused_counts_the_same_and_is_weighed_later(app: Flask):
    with db.transaction() as session:
        crowd(session, 3, now=JOINED)
        persons = everybody(session)
        for days in (0, 1):
            now = NOW + days * DAY
            rows = mailed(session, begun(session, now=now), persons, now=now, state="rejected")
            said = [
                Refused(rows[0], 550, "5.1.1", "no such user"), Refused(rows[1], 450, "4.1.1", "no such user"),
                Refused(rows[2], 550, "5.7.1", "blocked as spam"),
            ]  # fmt: skip
            assert len(bounces.note_refused(session, said, now=now)) == 1
            assert bounces.note_refused(session, said, now=now) == set()
        assert [state_of(session, each) for each in persons] == [State.ACTIVE] * 3
        assert bounces.weigh(session, now=NOW + DAY) == 4
        assert bounces.weigh(session, now=NOW + DAY) == 0
        assert [state_of(session, each) for each in persons] == [State.UNDELIVERABLE, State.ACTIVE, State.ACTIVE]


def test_a_row_that_was_taken_back_is_passed_over(app: Flask):
    with db.transaction() as session:
        matti = person(session, "matti@example.fi", now=JOINED)
        [row] = mailed(session, begun(session, now=NOW), [matti.id], now=NOW, state="uncertain")
        bounces.note_refused(session, [Refused(row, 550, "5.1.1", "no such user")], now=NOW)
        assert session.scalars(select(Bounce)).all() == []


def test_more_than_ten_of_two_hundred_because_of_us_pause_a_bulletin(app: Flask):
    with db.transaction() as session:
        crowd(session, 600, now=JOINED)
        persons = everybody(session)
        bulletin = begun(session, now=NOW)
        rows = mailed(session, bulletin, persons[:500], now=NOW)

        def blame(places: Sequence[int]) -> list[str]:
            said = [Reported(rows[place], SENDER, "5.7.1", f"blocked, see {place}") for place in places]
            return bounces.note_many(session, said, now=NOW)

        # Eleven, but among 201 of those that went: not too many.
        assert set(blame([*range(0, 200, 20), 200])) == {bounces.NOTED}
        assert dispatch.state_of(session, bulletin) == "sending"
        assert bounces.PAUSED in blame([199])
        found = dispatch.status(session, bulletin)
        assert found.state == "paused"
        assert "because of us" in (found.trouble or "")
        assert "blocked, see 200" in (found.trouble or "")
        # Nobody is blamed for it, and why it stands is not overwritten by the run that ends.
        dispatch.note_trouble(session, bulletin, None)
        assert dispatch.status(session, bulletin).trouble == found.trouble
        assert bounces.weigh(session, now=NOW) == 0
        # Somebody lets it go on: what was before does not stop it again, what comes then does.
        dispatch.resume(session, bulletin, now=NOW + timedelta(minutes=1))
        assert dispatch.status(session, bulletin).trouble is None
        assert set(blame(range(210, 230))) == {bounces.NOTED}
        rows = mailed(session, bulletin, persons[500:], now=NOW + timedelta(minutes=2))
        assert set(blame(range(10))) == {bounces.NOTED}
        assert blame([10]) == [bounces.PAUSED]


def test_erasing_keeps_the_count_and_nothing_else(app: Flask):
    with db.transaction() as session:
        matti = person(session, "matti@oma.example", now=JOINED)
        number = matti.id
        failing(session, number, now=NOW, words="Matti has moved")
        [late] = mailed(session, begun(session, now=NOW), [number], now=NOW)
        rights.forget(session, session.get_one(Person, number), NOW)
        assert bounces.note(session, late, DEAD, words="Matti has moved", now=NOW) == bounces.NOTED
        session.expire_all()
        kept = session.execute(select(Bounce.words, Bounce.domain, Bounce.due)).all()
        assert [tuple(row) for row in kept] == [(None, "", False)] * 2


def test_what_servers_said_goes_after_a_while(app: Flask):
    with db.transaction() as session:
        matti = person(session, "matti@example.fi", now=JOINED)
        for days in (0, 0.5):
            failing(session, matti.id, now=NOW + days * DAY)
        before = NOW + 0.25 * DAY
        assert bounces.said(session, before=before) == 1
        assert bounces.forget_words(session, before=before, limit=10) == 1
        assert bounces.forget_words(session, before=before, limit=10) == 0
