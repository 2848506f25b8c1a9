"""What happens while a bulletin is being sent: pauses, shifts taken for dead, a database that goes away, a clock that
is set back, persons who are erased. Nobody gets it twice, nobody is lost, and the account says so."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, insert, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from mailinglist import db
from mailinglist.app import create_app
from mailinglist.bulletins import drafts
from mailinglist.consent import address
from mailinglist.delivery import dispatch, handoffs, pacing, post, run
from mailinglist.delivery.handoffs import Claimed, Settled
from mailinglist.delivery.pacing import Gait
from mailinglist.delivery.parcels import Outcome, Result
from mailinglist.delivery.tables import AudiencePart, Dispatch, Handoff, Shift
from mailinglist.privacy import rights
from mailinglist.settings import Settings
from mailservers import PATIENCE, Answer, MailServer, Moment, says
from making import crowd, never, the_list
from servers import wait_for, waits_for_a_lock

AGED = 0.6
"""Seconds after which a reading of the gate is too old to begin a content."""


@dataclass
class Manners:
    """How the mail server behaves; a test sets it before it sends."""

    of: Callable[[Moment], Answer | None] = lambda moment: None


@pytest.fixture
def manners() -> Manners:
    return Manners()


@pytest.fixture
def server(manners: Manners) -> Iterator[MailServer]:
    with MailServer(lambda moment: manners.of(moment)) as made:
        yield made
        assert made.violations == []


@pytest.fixture
def connections_and_pace() -> dict[str, str]:
    return {"smtp_connections": "2"}


@pytest.fixture
def extra_settings(server: MailServer, connections_and_pace: dict[str, str]) -> dict[str, str]:
    url = f"smtp://127.0.0.1:{server.port}?starttls=never"
    named = {"base_url": "https://lists.example.fi", "bounce_domain": "lists.example.fi"}
    return {"smtp_url": url, **named, **connections_and_pace}


# ── what the tests say ────────────────────────────────────────────────────────────────────────────────────────────────


def begun(number: int, *, at: datetime | None = None) -> int:
    """A bulletin to so many persons, which began to be sent now, or `at`."""
    now = at or db.utcnow()
    with db.transaction() as session:
        crowd(session, number, now=now - timedelta(days=2))
        bulletin = drafts.add(session, the_list(session), subject="Hei", source="Moi", form="markdown", now=now)
        dispatch.send(session, bulletin.id, sender="T <t@lists.example.fi>", by="test", at=None, publishers=(), now=now)
        dispatch.begin_due(session, now=now)
    return bulletin.id


def account(bulletin: int) -> dispatch.Status:
    with db.reading() as session:
        return dispatch.status(session, bulletin)


def states(bulletin: int) -> Counter[str]:
    with db.reading() as session:
        return Counter(session.scalars(select(Handoff.state).where(Handoff.about == bulletin)))


def make_due() -> None:
    with db.transaction() as session:
        session.execute(update(Handoff).values(not_before=db.utcnow()))


def in_hand(bulletin: int, *, now: datetime) -> tuple[int, list[Claimed]]:
    """A shift, and the rows that it has claimed."""
    with db.transaction() as session:
        shift = handoffs.begin_shift(session, now=now)
        return shift, handoffs.claim(session, shift, kinds=["bulletin"], about=bulletin, limit=10, now=now)


@contextmanager
def beside(app: Flask, work: Callable[[], Any]) -> Iterator[Future[Any]]:
    """Does `work` at the same time; at the end it is done, or has raised here what it raised."""

    def in_context() -> Any:
        with app.app_context():
            return work()

    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(in_context)
        yield done
        done.result(PATIENCE)


def until_aged(since: float) -> None:
    wait_for(lambda: monotonic() > since + AGED)


# ── pauses ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_pause_and_a_resume_within_one_run_mail_nobody_twice(app: Flask, server: MailServer, manners: Manners):
    bulletin = begun(30)
    asked, may_answer = [threading.Event() for _ in range(2)], [threading.Event() for _ in range(2)]

    def hold_the_first(moment: Moment) -> Answer | None:
        if moment.at != "DATA" or moment.nth or moment.connection > 1:
            return None
        asked[moment.connection].set()
        return Answer(before=lambda: may_answer[moment.connection].wait(PATIENCE))

    manners.of = hold_the_first
    with beside(app, lambda: post.bulletins(stop=never)):
        assert all(each.wait(PATIENCE) for each in asked)
        before = states(bulletin)["handing"]
        with db.transaction() as session:
            dispatch.pause(session, bulletin)
        until_aged(monotonic())
        may_answer[0].set()
        wait_for(lambda: states(bulletin)["handing"] < before)  # the gate was asked: they wait again
        assert account(bulletin).excluded == 0
        with db.transaction() as session:
            dispatch.resume(session, bulletin, now=db.utcnow())
        may_answer[1].set()
    make_due()
    post.bulletins(stop=never)
    assert states(bulletin) == {"accepted": 30}
    assert Counter(each.recipient for each in server.stored) == {f"p{n}@example.fi": 1 for n in range(30)}


@pytest.mark.parametrize("decided", [False, True], ids=["waited", "sent-again"])
def test_five_days_of_pause_and_a_relay_that_is_away_reject_nobody(app: Flask, server: MailServer, decided: bool):
    long_ago = db.utcnow() - timedelta(days=5)
    bulletin = begun(3, at=long_ago)
    shift, rows = in_hand(bulletin, now=long_ago)
    with db.transaction() as session:
        if not decided:
            waits = [Settled(row.id, "pending", long_ago, not_before=long_ago) for row in rows]
            handoffs.settle(session, shift, waits)
        handoffs.end_shift(session, shift, now=long_ago)
        dispatch.pause(session, bulletin)
    with db.transaction() as session:
        assert dispatch.resolve(session, bulletin, resend=True, by="minna", now=db.utcnow()) == (3 if decided else 0)
        dispatch.resume(session, bulletin, now=db.utcnow())
    server.stop()
    post.bulletins(stop=never)
    assert states(bulletin) == {"pending": 3}
    assert account(bulletin).trouble


# ── shifts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_shift_that_slept_sends_nothing_that_somebody_else_has_sent_since(
    app: Flask, settings: Settings, server: MailServer, manners: Manners
):
    bulletin = begun(1)
    asleep, awake = threading.Event(), threading.Event()

    def sleep(moment: Moment) -> Answer | None:
        if moment.at != "DATA" or moment.connection:
            return None
        asleep.set()
        return Answer(before=lambda: awake.wait(PATIENCE))

    def take_back() -> int:
        with db.transaction() as session:
            return handoffs.take_back(session, now=db.utcnow() + timedelta(minutes=1))

    manners.of = sleep
    with beside(app, lambda: post.bulletins(stop=never)):
        assert asleep.wait(PATIENCE)
        slept_at = monotonic()
        wait_for(take_back)  # once it has done with looking for more: who is claiming is alive
        assert states(bulletin) == {"uncertain": 1}
        with db.transaction() as session:
            dispatch.resolve(session, bulletin, resend=True, by="minna", now=db.utcnow())
        other = create_app(settings)
        with other.app_context():
            post.bulletins(stop=never)
            db.db.engine.dispose()
        assert len(server.stored) == 1
        until_aged(slept_at)
        awake.set()
    assert len(server.stored) == 1
    assert states(bulletin) == {"accepted": 1}


def test_what_is_being_claimed_while_its_shift_is_taken_back_is_in_somebodys_hands(app: Flask):
    now = db.utcnow()
    bulletin = begun(3)
    with db.transaction() as session:
        shift = handoffs.begin_shift(session, now=now)

    def take_back() -> int:
        with db.transaction() as session:
            return handoffs.take_back(session, now=now + timedelta(minutes=1))

    with db.transaction() as session:
        rows = handoffs.claim(session, shift, kinds=["bulletin"], about=bulletin, limit=10, now=db.utcnow())
        assert len(rows) == 3
        waits_for_us = db.db.engine.dialect.name == "sqlite"
        with beside(app, take_back) as taken:
            if not waits_for_us:
                assert taken.result(PATIENCE) == 0, "it does not touch a shift that is claiming"
            session.commit()
            assert taken.result(PATIENCE) == (1 if waits_for_us else 0)
    with db.reading() as session:
        holders = set(session.scalars(select(Handoff.shift_id).where(Handoff.state == "handing")))
        assert holders <= set(session.scalars(select(Shift.id)))
    take_back()
    assert states(bulletin) == {"uncertain": 3}


def test_a_shift_that_was_taken_for_dead_claims_nothing(app: Flask):
    bulletin = begun(3)
    with db.transaction() as session:
        shift = handoffs.begin_shift(session, now=db.utcnow())
        assert handoffs.take_back(session, now=db.utcnow() + timedelta(minutes=1)) == 1
        assert handoffs.claim(session, shift, kinds=["bulletin"], about=bulletin, limit=10, now=db.utcnow()) == []
    assert account(bulletin).pending == 3


def test_a_row_whose_shift_is_gone_becomes_uncertain_and_no_other_does(app: Flask):
    bulletin = begun(3)
    now = db.utcnow()
    shift, rows = in_hand(bulletin, now=now)
    with db.transaction() as session:
        session.execute(update(Handoff).where(Handoff.id == rows[0].id).values(shift_id=shift + 1000))
        assert handoffs.take_back(session, now=now) == 0
    assert states(bulletin) == {"uncertain": 1, "handing": 2}


# ── a long row of persons who may not be mailed ───────────────────────────────────────────────────────────────────────


def test_thousands_who_are_excluded_are_passed_in_growing_groups_and_hold_up_no_stop(
    app: Flask, server: MailServer, monkeypatch: pytest.MonkeyPatch
):
    bulletin = begun(1)
    gone = [list(range(first, first + handoffs.PART)) for first in range(10**6, 10**6 + 10_000, handoffs.PART)]
    with db.transaction() as session:
        parts = [{"bulletin_id": bulletin, "list_id": 1, "size": len(each), "persons": each} for each in gone]
        session.execute(insert(AudiencePart), parts)
        session.get_one(Dispatch, bulletin).audience = 10_001
    claim, claimed = handoffs.claim, []

    def counts(*arguments: Any, **named: Any) -> list[Claimed]:
        rows = claim(*arguments, **named)
        claimed.append(len(rows))
        return rows

    monkeypatch.setattr(handoffs, "claim", counts)
    at_the_stop: list[int] = []

    def stop() -> bool:
        if claimed:
            at_the_stop.append(len(claimed))
        return bool(claimed)

    post.bulletins(stop=stop)
    assert len(claimed) <= at_the_stop[0] + 1, "no more than the one that was under way"
    left = account(bulletin).pending
    assert left > 0

    claimed.clear()
    make_due()
    post.bulletins(stop=never)
    found = account(bulletin)
    assert (found.state, found.excluded, found.accepted) == ("sent", 10_000, 1)
    assert max(claimed) == 500
    assert len(claimed) <= left / 500 + 15, "few are small"


# ── the pace ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class TestAtASetPace:
    @pytest.fixture
    def connections_and_pace(self) -> dict[str, str]:
        return {"send_rate": "100", "smtp_connections": "40"}

    @pytest.mark.long  # it measures time, and a machine with other work misses it
    def test_slow_answers_do_not_slow_it_down(self, app: Flask, server: MailServer, manners: Manners):
        """No answer comes before 20 wait for one: a quarter of a second's mails, where a group is five."""
        bulletin = begun(40)
        together, came = threading.Barrier(20), []

        def wait_for_company(moment: Moment) -> Answer | None:
            if moment.at != "CONTENT":
                return None
            came.append(monotonic())
            return Answer(before=lambda: together.wait(PATIENCE / 2))

        manners.of = wait_for_company
        began = monotonic()
        post.bulletins(stop=never)
        assert not together.broken
        assert states(bulletin) == {"accepted": 40}
        assert len([each for each in came if each < began + PATIENCE / 2]) == 40
        early, late = min(came), max(came)
        assert late - early > 0.2, "and not faster than it: 35 behind the first five take 0.35 s, less what may be late"


def test_a_clock_that_is_set_back_by_an_hour_does_not_stop_the_pace(app: Flask):
    now = db.utcnow()
    ahead = now + timedelta(hours=1)
    with db.transaction() as session:
        assert pacing.wait(session, "all", rate=100, now=ahead) == 0
        pacing.reserve(session, "all", number=5, rate=100, now=ahead)
    with db.transaction() as session:
        assert pacing.wait(session, "all", rate=100, now=now) == 0
        pacing.reserve(session, "all", number=5, rate=100, now=now)
        assert pacing.wait(session, "all", rate=100, now=now) == pytest.approx(0.05), "from here on by the new clock"


# ── the database ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_database_that_stays_away_is_waited_for_once_and_not_for_each_batch(
    app: Flask, server: MailServer, manners: Manners, monkeypatch: pytest.MonkeyPatch
):
    bulletin = begun(4)
    monkeypatch.setattr(run, "_PATIENCE", (0.01, 0.01))
    heard, settle = Gait.heard, handoffs.settle
    batches: list[int] = []
    contents: list[str] = []
    tries: Counter[frozenset[int]] = Counter()
    beside_us = db.db.engine.dialect.name == "postgresql"  # SQLite is written by the courier's own thread

    def counts(gait: Gait, results: Sequence[Result], now: float) -> None:
        batches.append(len(results))
        heard(gait, results, now)

    def one_by_one(moment: Moment) -> Answer | None:
        if moment.at != "CONTENT":
            return None
        contents.append(moment.line)
        before = len(contents) - 1
        return Answer(before=lambda: wait_for(lambda: len(batches) >= before or not beside_us))

    def gone(session: Session, shift_id: int, settled: Sequence[Settled]) -> int:
        if not settled:
            return settle(session, shift_id, settled)
        tries[frozenset(each.id for each in settled)] += 1
        if beside_us:
            wait_for(lambda: len(batches) >= 3)  # two more wait behind the first
        raise OperationalError("UPDATE", {}, Exception("gone"))

    monkeypatch.setattr(Gait, "heard", counts)
    monkeypatch.setattr(handoffs, "settle", gone)
    manners.of = one_by_one
    with pytest.raises(OperationalError):
        post.bulletins(stop=never)
    first, *others = tries.values()
    assert first == 3
    assert others == [1] * len(others)
    assert len(others) >= (2 if beside_us else 0)
    monkeypatch.undo()
    left = states(bulletin)
    assert left["accepted"] == left["handing"] == 0
    assert left["uncertain"] >= len(server.stored)


# ── the account ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_account_that_does_not_add_up_is_still_said_after_later_tries(
    app: Flask, server: MailServer, manners: Manners
):
    bulletin = begun(3)
    with db.transaction() as session:
        session.get_one(Dispatch, bulletin).audience = 4
    manners.of = lambda moment: says("451 4.2.0 later") if moment.at == "RCPT" and "p0@" in moment.line else None
    post.bulletins(stop=never)
    assert states(bulletin) == {"accepted": 2, "deferred": 1}
    said = account(bulletin).trouble
    assert said == "the account does not add up: 3 rows for an audience of 4"
    manners.of = lambda moment: None
    make_due()
    post.bulletins(stop=never)
    assert states(bulletin) == {"accepted": 3}
    assert (account(bulletin).trouble, account(bulletin).accepted) == (said, 3)


def test_an_account_that_does_not_add_up_is_said_of_a_cancelled_bulletin_too(app: Flask, server: MailServer):
    bulletin = begun(3)
    with db.transaction() as session:
        session.get_one(Dispatch, bulletin).audience = 5
        dispatch.cancel(session, bulletin, now=db.utcnow())
    post.bulletins(stop=never)
    found = account(bulletin)
    assert found.trouble == "the account does not add up: 3 rows for an audience of 5"
    assert (found.state, found.accepted, found.excluded) == ("cancelled", 0, 3)
    assert server.stored == []


def test_of_a_person_who_is_erased_while_in_hand_the_servers_words_are_not_kept(
    app: Flask, server: MailServer, manners: Manners
):
    bulletin = begun(2)

    def erase() -> None:
        with app.app_context(), db.transaction() as session:
            rights.erase(session, address.parse("p0@example.fi"), db.utcnow())

    def refuse(moment: Moment) -> Answer | None:
        if moment.at != "CONTENT":
            return None
        erased = "p0@" in moment.line
        return Answer(b"550 5.1.1 the mailbox of A. Zero is closed\r\n", before=erase if erased else None)

    manners.of = refuse
    post.bulletins(stop=never)
    with db.reading() as session:
        rows = session.execute(select(Handoff.state, Handoff.code, Handoff.reply).order_by(Handoff.person_id)).all()
    assert [(state, code) for state, code, _ in rows] == [("rejected", 550)] * 2
    assert rows[0].reply is None
    assert "A. Zero" in rows[1].reply
    assert states(bulletin) == {"rejected": 2}


def test_a_row_that_comes_back_while_we_look_keeps_the_bulletin_unfinished(app: Flask):
    """Whichever statement of `finish` it comes back before."""
    if db.db.engine.dialect.name == "sqlite":
        pytest.skip("nobody else writes while we look")
    bulletin = begun(1)
    looks = come_back_at = 0

    def look(*_: object) -> None:
        nonlocal looks
        looks += 1
        if looks == come_back_at:
            come_back()

    def come_back() -> None:
        with db.transaction() as session:
            assert handoffs.settle(session, shift, [Settled(row.id, "pending", now, not_before=now)]) == 1

    for come_back_at in range(1, 7):
        now, looks = db.utcnow(), 0
        shift, [row] = in_hand(bulletin, now=now)
        with db.transaction() as session:
            event.listen(session.connection(), "before_cursor_execute", look)
            assert not dispatch.finish(session, bulletin, now=now)
        if looks < come_back_at:
            come_back()
        assert states(bulletin) == {"pending": 1}
    assert looks < come_back_at, "there are more statements to come back before"
    assert account(bulletin).state == "sending"


def test_an_erasure_that_is_not_committed_yet_is_waited_for(app: Flask):
    """Else the server's words would be written after it, by a statement that began before it."""
    if db.db.engine.dialect.name == "sqlite":
        pytest.skip("nobody else writes meanwhile")
    bulletin = begun(1)
    with db.transaction() as session:
        shift = handoffs.begin_shift(session, now=db.utcnow())
        [row] = handoffs.claim(session, shift, kinds=["bulletin"], about=bulletin, limit=1, now=db.utcnow())

    def settle() -> None:
        with app.app_context(), db.transaction() as session:
            handoffs.settle(session, shift, [Settled(row.id, "rejected", db.utcnow(), 550, "A. Zero is closed")])

    with ThreadPoolExecutor(1) as beside:
        with db.transaction() as session:
            rights.erase(session, address.parse("p0@example.fi"), db.utcnow())
            settling = beside.submit(settle)
            wait_for(waits_for_a_lock)
        settling.result(10)
    with db.reading() as session:
        assert session.execute(select(Handoff.state, Handoff.reply)).all() == [("rejected", None)]


@pytest.mark.parametrize(("code", "starts"), [(None, False), (421, True)])
def test_only_a_servers_answer_starts_the_days_for_which_it_is_tried(app: Flask, code: int | None, starts: bool):
    row = Claimed(1, "bulletin", 1, 1, 1, 1, None)
    at_work = run._Run.__new__(run._Run)
    at_work._out = {1: row}
    result = Result(1, Outcome.UNSENT, code, None, "the sending was stopped", db.utcnow(), "relay:25")
    assert at_work._settled(result).put_off is starts
