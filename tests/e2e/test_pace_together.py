"""Two workers together keep one pace; pause, resume, cancel and SIGTERM act within a second, and nobody is missed or
mailed twice."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from sending import (
    Sink,
    address,
    bulletin,
    most_in_a_second,
    people,
    processes,
    ring_the_bell,
    status,
    wait_until_sent,
)
from sqlalchemy import func, select

import commanding
from mailinglist import db
from mailinglist.delivery.tables import Shift
from mailinglist.settings import Settings
from servers import Valkey, wait_for

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]

IN_TIME = 1.0
"""Seconds after the command's end within which it has taken effect."""


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as server:
        yield server


@pytest.fixture
def rate() -> int:
    return 200


@pytest.fixture
def extra_settings(sink: Sink, valkey: Valkey, rate: int) -> dict[str, str]:
    return {"smtp_url": sink.url, "broker_url": valkey.url, "send_rate": str(rate), "bounce_domain": "lists.example.fi"}


def both_at_work() -> bool:
    """Whether two workers are on shift: each serves one bulletin with the other."""
    with db.reading() as session:
        return session.scalar(select(func.count()).select_from(Shift)) == 2


def nobody_at_work() -> bool:
    """Whether all have left: there is nothing they could do."""
    with db.reading() as session:
        return session.scalar(select(func.count()).select_from(Shift)) == 0


def started(settings: Settings, sink: Sink) -> int:
    """A bulletin that two workers send; its id."""
    made = bulletin()
    ring_the_bell(settings)
    wait_for(both_at_work, seconds=20)  # the second one comes with the scheduler's sweep
    wait_for(lambda: sink.arrivals, seconds=20)
    return made


@pytest.mark.parametrize("rate", [100])
def test_two_workers_keep_the_rate_together(
    rate: int,
    app: Flask,
    settings: Settings,
    sink: Sink,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    people(8000)
    with processes(settings, workers=2, log=tmp_path / "log"):
        started(settings, sink)
        began = time.monotonic() + 1
        wait_for(lambda: sink.arrivals[-1].ended >= began + 60, seconds=70)  # the first one after the minute
        assert both_at_work()
        moments = [arrival.ended for arrival in list(sink.arrivals)]
    inside = [moment for moment in moments if began <= moment < began + 60]
    record_property("a second", len(inside) / 60)
    record_property("most in any second", most_in_a_second(moments))
    assert 0.97 * rate <= len(inside) / 60 <= 1.03 * rate
    assert most_in_a_second(moments) <= 1.2 * rate
    assert max(Counter(sink.recipients()).values()) == 1


@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_a_bulletin_stops_within_a_second(
    app: Flask,
    settings: Settings,
    sink: Sink,
    tmp_path: Path,
    verb: str,
    record_property: Callable[[str, object], None],
) -> None:
    count = 2400
    people(count)
    with processes(settings, workers=2, log=tmp_path / "log"):
        made = started(settings, sink)
        assert commanding.run(settings, "bulletins", verb, made).code == 0
        returned = time.monotonic()
        wait_for(nobody_at_work, seconds=20)
        ring_the_bell(settings)  # now there is a reason to look, and nothing to be sent
        wait_for(lambda: time.monotonic() > returned + IN_TIME + 3)  # a sweep comes by meanwhile, too
        after = [arrival.ended - returned for arrival in sink.arrivals if arrival.ended > returned]
        record_property("seconds from the answer to the last arrival", max(after, default=0))
        assert max(after, default=0) <= IN_TIME
        reached = len(sink.arrivals)
        assert 0 < reached < count
        account = status(made)
        if verb == "pause":
            assert (account.state, account.accepted, account.pending) == ("paused", reached, count - reached)
            assert commanding.run(settings, "bulletins", "resume", made).code == 0
            account = wait_until_sent(made, seconds=60)
            assert account.accepted == count
        else:
            assert (account.state, account.accepted, account.excluded) == ("cancelled", reached, count - reached)
    arrived = Counter(sink.recipients())
    assert max(arrived.values()) == 1
    assert len(arrived) == account.accepted


def test_a_worker_that_is_told_to_stop_finishes_and_leaves(
    app: Flask, settings: Settings, sink: Sink, tmp_path: Path
) -> None:
    count = 1600
    people(count)
    with processes(settings, workers=2, log=tmp_path / "log") as workers:
        made = started(settings, sink)
        workers[0].send_signal(signal.SIGTERM)
        assert workers[0].wait(10) == 0
        account = status(made)
        assert account.uncertain == 0
        assert account.pending > 0  # the other one goes on
        account = wait_until_sent(made, seconds=60)
    assert (account.accepted, account.uncertain) == (count, 0)
    assert Counter(sink.recipients()) == dict.fromkeys([address(n) for n in range(count)], 1)
