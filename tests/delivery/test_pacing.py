from __future__ import annotations

import random
from datetime import timedelta

import pytest
from flask import Flask

from conftest import NOW
from mailinglist import db
from mailinglist.delivery import pacing
from mailinglist.delivery.pacing import Gait
from mailinglist.delivery.parcels import Outcome, Result


def result(outcome: Outcome, code: int | None = 250, enhanced: str | None = None, text: str = "") -> Result:
    return Result(1, outcome, code, enhanced, text, NOW, "relay:25")


def test_two_workers_keep_to_one_rate(app: Flask):
    """Simulated: each comes again when it was told to, after some work of its own."""
    random.seed(3)
    went: list[float] = []
    clocks = [0.0, 0.013]
    while min(clocks) < 20:
        worker = clocks.index(min(clocks))
        now = NOW + timedelta(seconds=clocks[worker])
        with db.transaction() as session:
            wait = pacing.wait(session, "all", rate=100, now=now)
            if not wait:
                number = pacing.portion(100, 500)
                pacing.reserve(session, "all", number=number, rate=100, now=now)
                went += [clocks[worker]] * number
        clocks[worker] += wait + random.uniform(0.001, 0.03)
    seconds = [sum(second <= at < second + 1 for at in went) for second in range(19)]
    assert max(seconds) <= 115
    assert 97 <= sum(seconds) / len(seconds) <= 103


def test_a_pause_is_not_made_up_for(app: Flask):
    with db.transaction() as session:
        assert pacing.wait(session, "all", rate=10, now=NOW) == 0
        pacing.reserve(session, "all", number=10, rate=10, now=NOW)
        assert pacing.wait(session, "all", rate=10, now=NOW) == pytest.approx(1)
        later = NOW + timedelta(hours=1)
        assert pacing.wait(session, "all", rate=10, now=later) == 0
        pacing.reserve(session, "all", number=10, rate=10, now=later)
        assert pacing.wait(session, "all", rate=10, now=later) == pytest.approx(0.9)


@pytest.mark.parametrize(
    "said",
    [
        result(Outcome.UNSENT, 421, "4.7.0", "closing"),
        result(Outcome.DEFERRED, 451, "4.7.1", "slow down"),
        result(Outcome.DEFERRED, 450, None, "Too many messages"),
        result(Outcome.DEFERRED, 452, "4.3.2", "busy"),
    ],
)
def test_throttling_halves_the_pace_and_it_recovers(said: Result):
    gait, now = Gait(), 100.0
    for _ in range(30):
        now += 0.1
        gait.heard([result(Outcome.ACCEPTED)] * 100, now)
    assert gait.rate is None
    gait.heard([said], now + 0.1)
    first = gait.rate
    assert first is not None
    assert 300 < first < 700  # half of some thousand a second
    gait.heard([said], now + 0.2)
    assert gait.rate == first, "one storm halves once"
    gait.heard([said], now + 1.3)
    assert gait.rate == first / 2
    now += 1.3
    rates = []
    for _ in range(600):
        now += 0.1
        gait.heard([result(Outcome.ACCEPTED)] * max(1, int((gait.rate or 1000) / 10)), now)
        rates.append(gait.rate)
    assert rates[-1] is None or rates[-1] > first


def test_ordinary_deferrals_change_nothing():
    gait = Gait()
    gait.heard(
        [result(Outcome.DEFERRED, 450, "4.2.2", "mailbox full"), result(Outcome.UNSENT, None, None, "lost")], 5.0
    )
    assert gait.rate is None
    gait.take(100, 5.0)
    assert gait.wait(5.0) == 0
