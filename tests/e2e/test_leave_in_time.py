"""Leaving takes effect within a second of the page saying so, at any rate of sending and on a stalled server; and the
tests that say so find it when the gate is taken out."""

from __future__ import annotations

import random
import threading
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sending import Sink, address, bulletin, number, people, processes, ring_the_bell, status, wait_until_sent
from sqlalchemy import select

import commanding
from keeping import ROOT
from mailinglist import db
from mailinglist.consent import register
from mailinglist.consent.tables import Person
from mailinglist.delivery import post
from mailinglist.settings import Settings
from making import the_list
from servers import Valkey, wait_for

IN_TIME = 1.0
"""Seconds between the answer to who leaves and the last moment at which a bulletin may still arrive."""
FORMS: tuple[dict[str, str], ...] = ({}, {"List-Unsubscribe": "One-Click"}, {"ban": "all"}, {"ban": "email"})
"""What the page's button and a mailbox provider's one click (RFC 8058) post."""
NO_GATE = """
import mailinglist.consent.gate as gate

reads = gate.read
gate.read = lambda *a, **k: {number: found._replace(why=None) for number, found in reads(*a, **k).items()}
"""


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as server:
        yield server


@pytest.fixture
def rate() -> int:
    return 500


@pytest.fixture
def extra_settings(sink: Sink, valkey: Valkey, rate: int) -> dict[str, str]:
    return {"smtp_url": sink.url, "broker_url": valkey.url, "send_rate": str(rate), "bounce_domain": "lists.example.fi"}


def tokens() -> dict[str, str]:
    """By address: the token of each person's unsubscribe link."""
    with db.reading() as session:
        made, list_id = register.tokens_of(session), the_list(session).id
        found = session.execute(select(Person.mailbox, Person.digest)).all()
    return {mailbox: register.unsubscribe_token(made, list_id, digest, 1) for mailbox, digest in found}


class Leavers:
    """Those who leave or are banned while a bulletin goes out, each with the moment of the answer."""

    def __init__(self, sink: Sink, count: int) -> None:
        self._sink, self._count, self._tokens = sink, count, tokens()
        self._random = random.Random(8058)
        self._lock = threading.Lock()
        self._chosen: set[str] = set()
        self.answered: dict[str, float] = {}

    def choose(self, *, within: int) -> str:
        """Somebody among the next `within` who are to be mailed."""
        with self._lock:
            following = number(self._sink.arrivals[-1].recipient) + 1
            while True:
                mailbox = address((following + self._random.randrange(within)) % self._count)
                within += 1  # when all of them are chosen already
                if mailbox not in self._chosen:
                    self._chosen.add(mailbox)
                    return mailbox

    def by_web(self, web: str, mailbox: str, form: dict[str, str]) -> None:
        """Press the button, or click once."""
        self.leave(mailbox, lambda token: _post(f"{web}/unsubscribe/{token}", form))

    def by_command(self, settings: Settings, mailbox: str) -> None:
        """The staff write a ban in."""
        command = ("bans", "add", mailbox, "--channel", "all", "--source", "phone")
        self.leave(mailbox, lambda _token: commanding.run(settings, *command).code == 0)

    def leave(self, mailbox: str, how: Callable[[str], bool]) -> None:
        """Leave by `how`, which is given the token and says whether the answer was yes."""
        assert how(self._tokens[mailbox])
        self.answered[mailbox] = time.monotonic()

    def late(self) -> list[tuple[str, float]]:
        """Whose bulletin arrived too late, and how many seconds after the answer."""
        return [(mailbox, seconds) for mailbox, seconds in self.afterwards() if seconds > IN_TIME]

    def afterwards(self) -> list[tuple[str, float]]:
        """Whose bulletin arrived after the answer at all, and how many seconds."""
        return [
            (arrival.recipient, arrival.ended - self.answered[arrival.recipient])
            for arrival in self._sink.arrivals
            if arrival.ended > self.answered.get(arrival.recipient, arrival.ended)
        ]

    def check_others(self) -> None:
        """Who did not leave got it once; who left, at most once."""
        arrived = Counter(self._sink.recipients())
        assert max(arrived.values()) == 1
        assert {address(n) for n in range(self._count)} - self.answered.keys() <= arrived.keys()


def _post(url: str, form: dict[str, str]) -> bool:
    with urllib.request.urlopen(url, urllib.parse.urlencode(form or {"x": ""}).encode(), timeout=30) as answer:
        answer.read()
        return bool(answer.status == 200)


def without_gate(folder: Path) -> dict[str, str]:
    """The environment of a worker whose gate lets everybody through."""
    (folder / "sitecustomize.py").write_text(NO_GATE)
    return {"PYTHONPATH": f"{folder}:{ROOT}"}


@pytest.mark.long
@pytest.mark.timeout(240)
@pytest.mark.parametrize("gate", [True, False], ids=["gate", "no gate"])
def test_two_hundred_leave_while_five_thousand_are_mailed(
    app: Flask,
    settings: Settings,
    sink: Sink,
    tmp_path: Path,
    gate: bool,
    record_property: Callable[[str, object], None],
) -> None:
    count, leavers, commands, seconds = 5000, 200, 6, 8.0
    people(count)
    leaving = Leavers(sink, count)
    web = f"http://{settings.web_bind}"
    more: dict[str, Any] = {} if gate else without_gate(tmp_path)
    with processes(settings, web=True, log=tmp_path / "log", **more), ThreadPoolExecutor(8) as pool:
        made = bulletin()
        ring_the_bell(settings)
        wait_for(lambda: sink.arrivals, seconds=20)
        began = time.monotonic()

        def at(moment: float, leave: Callable[..., None], *words: object, within: int) -> None:
            time.sleep(max(0.0, began + moment - time.monotonic()))  # they leave all along the sending
            leave(*words[:1], leaving.choose(within=within), *words[1:])

        chance = random.Random(6376)
        moments = sorted(chance.uniform(0, seconds) for _ in range(leavers - commands))
        futures = [
            pool.submit(at, moment, leaving.by_web, web, chance.choice(FORMS), within=1000) for moment in moments
        ]
        for n in range(commands):
            at(n * seconds / commands, leaving.by_command, settings, within=1500)
        for future in futures:
            future.result()
        account = wait_until_sent(made, seconds=60)
    assert len(leaving.answered) == leavers
    leaving.check_others()
    record_property("seconds from an answer to an arrival", max((each for _, each in leaving.afterwards()), default=0))
    record_property("too late", len(leaving.late()))
    record_property("excluded", account.excluded)
    if gate:
        assert leaving.late() == []
        assert account.excluded > leavers / 4  # it was not over when they left
    else:
        assert len(leaving.late()) > leavers / 4


@pytest.mark.long
@pytest.mark.timeout(120)
@pytest.mark.parametrize("gate", [True, False], ids=["gate", "no gate"])
def test_on_a_stalled_server_who_left_meanwhile_gets_nothing(
    app: Flask, settings: Settings, sink: Sink, tmp_path: Path, gate: bool
) -> None:
    count, leavers = 1500, 100
    people(count)
    leaving = Leavers(sink, count)
    more: dict[str, Any] = {} if gate else without_gate(tmp_path)
    with processes(settings, web=True, log=tmp_path / "log", **more):
        made = bulletin()
        ring_the_bell(settings)
        wait_for(lambda: len(sink.arrivals) > 500, seconds=30)
        sink.reading.clear()
        wait_for(lambda: time.monotonic() > sink.arrivals[-1].ended + 0.2)  # each connection has come to its stop
        stalled = time.monotonic()
        following = number(sink.arrivals[-1].recipient) + 1
        for each in range(following, following + leavers):  # those in the worker's hands, and the next ones
            leaving.by_web(f"http://{settings.web_bind}", address(each), FORMS[each % len(FORMS)])
        # Stalled for as long after the last answer: each mail in the worker's hands was read from the gate before.
        until = max(leaving.answered.values()) + IN_TIME
        wait_for(lambda: time.monotonic() > until)
        sink.reading.set()
        account = wait_until_sent(made, seconds=60)
    leaving.check_others()
    begun_since = [a.recipient for a in sink.arrivals if a.recipient in leaving.answered and a.begun > stalled]
    if gate:
        assert begun_since == []
        assert account.excluded >= leavers - 10  # a content on each of four connections may have begun, no more
    else:
        assert len(begun_since) > leavers / 2


class TestSmall:
    """The same in this process, quickly."""

    @pytest.fixture
    def rate(self) -> int:
        return 200

    def test_who_leaves_gets_nothing_more(self, app: Flask, sink: Sink) -> None:
        count, leavers = 300, 40
        people(count)
        leaving = Leavers(sink, count)
        made = bulletin()

        def work() -> None:
            with app.app_context():
                post.bulletins(stop=lambda: False)

        worker = threading.Thread(target=work)
        worker.start()
        visitor = app.test_client()
        wait_for(lambda: sink.arrivals)
        for n in range(leavers):
            wait_for(lambda n=n: len(sink.arrivals) > 4 * n or not worker.is_alive())
            form = FORMS[n % len(FORMS)]
            leaving.leave(
                leaving.choose(within=60),
                lambda token, form=form: visitor.post(f"/unsubscribe/{token}", data=form).status_code == 200,
            )
        worker.join(30)
        assert not worker.is_alive()
        leaving.check_others()
        assert leaving.late() == []
        # The gate is read once when a mail is taken up, and its reading is half a second old at most.
        assert all(
            arrival.begun < leaving.answered[arrival.recipient] + 0.6
            for arrival in sink.arrivals
            if arrival.recipient in leaving.answered
        )
        # On a busy machine many have theirs before they leave; without the gate it would be nobody.
        assert status(made).excluded > leavers / 10
