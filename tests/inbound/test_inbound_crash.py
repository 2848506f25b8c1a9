"""kill -9 of the listener and of the worker, at any moment: what was answered with 250 is handled, and once."""

from __future__ import annotations

import random
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from flask import Flask
from sqlalchemy import func, select, update
from sqlalchemy.exc import OperationalError

import commanding
import servers
from coming_back import begun, everybody, mailed
from listening import Line
from mailinglist import db
from mailinglist.consent.tables import Request
from mailinglist.delivery.tables import Bounce
from mailinglist.inbound.tables import InHand, Spooled
from mailinglist.settings import Settings
from making import crowd
from reporting import DOMAIN, report, return_path
from worker import app as worker_app

JOIN = f"tector-tiedottaa-join@{DOMAIN}"
_SENDERS = 4


@pytest.fixture
def extra_settings(valkey: servers.Valkey) -> dict[str, str]:
    return {
        "bounce_domain": DOMAIN, "inbound_bind": f"127.0.0.1:{servers.free_port()}", "broker_url": valkey.url,
        "smtp_url": "smtp://127.0.0.1:9?starttls=never",
    }  # fmt: skip


class House:
    """A listener and a worker, that can be killed."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._celery = worker_app.make_celery(settings)
        self._starts = {"listener": ("inbound",), "worker": ("worker", "--queues", "inbound")}
        self._running: dict[str, subprocess.Popen[str]] = {}
        for role in self._starts:
            self.start(role)

    def start(self, role: str) -> None:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "preexec_fn": servers.die_with_parent}
        self._running[role] = commanding.start(self.settings, *self._starts[role], **quiet)

    def kill(self, role: str) -> None:
        """kill -9, and start again."""
        self._running[role].kill()
        self._running[role].wait(10)
        if role == "worker":  # what it had in hand waits until it counts as dead: that time is over
            with db.transaction() as session:
                session.execute(update(InHand).values(beat_at=db.utcnow() - 2 * db.dead_after(session)))
        self.start(role)

    def ring(self) -> None:
        """As the sweep does."""
        worker_app.ring(self._celery, {db.INBOUND})

    def end(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait(10)


def give(port: int, mails: list[tuple[str, str, bytes]], given: list[int]) -> None:
    """As a relay does: each mail again and again until it is taken."""
    line: Line | None = None
    for to, sender, raw in mails:
        while True:
            try:
                line = line or Line(port)
                if line.mails(sender, [to], raw)[0].startswith("250"):
                    given.append(1)
                    break
            except (OSError, AssertionError):
                if line is not None:
                    line.close()
                line = None
                time.sleep(0.05)  # a relay comes again after a while


def crash(app: Flask, settings: Settings, number: int, kills: int) -> None:
    """So many mails, and so many deaths while they come."""
    chance = random.Random(number)
    with db.transaction() as session:
        crowd(session, number // 2, now=db.utcnow())
        mine = mailed(session, begun(session, now=db.utcnow()), everybody(session), now=db.utcnow())
    mails = [(return_path(each), "", report(return_path(each), serial=each)) for each in mine]
    joins = number - len(mails)
    askers = [
        f"j{n}@m{n // 100}.example.fi" for n in range(joins)
    ]  # of one domain only so many are answered in an hour
    mails += [(JOIN, each, f"From: {each}\r\n\r\nMoi\r\n".encode()) for each in askers]
    mails += chance.sample(mails, number // 10)  # the answer was lost, and they come once more
    chance.shuffle(mails)
    given: list[int] = []
    port = int((settings.inbound_bind or "").rpartition(":")[2])
    house = House(settings)
    senders = [threading.Thread(target=give, args=(port, mails[start::_SENDERS], given)) for start in range(_SENDERS)]
    try:
        servers.wait_for(lambda: servers.listens(port), seconds=30)
        for sender in senders:
            sender.start()
        for nth in range(kills):
            due = len(mails) * (nth + 1) // (kills + 1)
            servers.wait_for(lambda due=due: len(given) >= due, seconds=60)
            house.kill("listener" if nth % 2 else "worker")
            house.ring()
        for sender in senders:
            sender.join(120)
        with db.transaction() as session:  # what was in hand twice as its worker died waits for a minute: that is over
            session.execute(update(Spooled).where(Spooled.state == "waiting").values(not_before=db.utcnow()))
        servers.wait_for(lambda: patiently(lambda: handled(house) == number), seconds=90)
    finally:
        house.end()
    assert len(given) == len(mails)
    with db.reading() as session:
        outcomes = dict(session.execute(select(Spooled.outcome, func.count()).group_by(Spooled.outcome)).all())
        assert outcomes == {"noted": len(mine), "asked": joins}
        assert session.scalar(select(func.count()).select_from(Bounce)) == len(mine)
        assert session.scalar(select(func.count()).select_from(Request)) == joins


def handled(house: House) -> int:
    house.ring()
    with db.reading() as session:
        return session.scalar(select(func.count()).select_from(Spooled).where(Spooled.state == "handled")) or 0


def patiently(fact: Callable[[], bool]) -> bool:
    time.sleep(0.2)  # each look takes SQLite's lock for a moment, which the worker wants
    with suppress(OperationalError):  # SQLite is busy
        return fact()
    return False


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_killed_twice_each_mail_is_handled_once(app: Flask, settings: Settings) -> None:
    crash(app, settings, 100, 2)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_killed_twenty_times_each_mail_is_handled_once(app: Flask, settings: Settings) -> None:
    crash(app, settings, 2000, 20)
