"""Faults, caused for real in the whole program: workers and the broker die while letters are due."""

from __future__ import annotations

import os
import random
import signal
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import select

from conftest import NOW
from mailinglist import db
from mailinglist.app import create_app
from mailinglist.consent import address, intake, lists
from mailinglist.delivery.tables import Handoff
from mailinglist.settings import Settings
from running import Run, children
from servers import Postgres, Valkey, wait_for

pytestmark = pytest.mark.long


class _Straight(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def sign_up(run: Run, mailbox: str) -> tuple[int, float]:
    """Status and seconds of one sign-up."""
    form = urllib.parse.urlencode({"email": mailbox}).encode()
    began = time.monotonic()
    try:
        urllib.request.build_opener(_Straight).open(f"{run.web}/lists/tector-tiedottaa", form, timeout=30)
    except urllib.error.HTTPError as answer:
        return answer.code, time.monotonic() - began
    raise AssertionError("there was no redirect")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> dict[str, str]:
    """The setting for a fresh, empty database."""
    if request.param == "sqlite":
        return {}
    server: Postgres = request.getfixturevalue("postgres_server")
    name = f"faults{random.randrange(10**9)}"
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return {"MAILINGLIST_DATABASE_URL": server.url(name)}


@pytest.fixture
def run(tmp_path: Path, database: dict[str, str], valkey: Valkey) -> Iterator[Run]:
    running = Run(tmp_path, MAILINGLIST_BROKER_URL=valkey.url, **database)
    try:
        running.start()
        yield running
    finally:
        running.end()


def test_a_killed_worker_loses_no_letter_and_sends_none_twice(run: Run):
    settings = Settings.load({k: v for k, v in run.environment.items() if k.startswith("MAILINGLIST_")}).with_keys()
    app = create_app(settings)
    with app.app_context():
        with db.transaction() as session:
            row = lists.find(session, lists.DEFAULT_SLUG)
            text = lists.current_text(session, row, "fi")
            for n in range(200):
                intake.write_down(
                    session, row, address.parse(f"p{n}@example.fi"), entrance="staff", language="fi", text=text,
                    origin={"how": "paper"}, now=NOW,
                )  # fmt: skip
        for _ in range(4):
            already = len(run.messages())
            wait_for(lambda already=already: len(run.messages()) > already or len(run.messages()) == 200, seconds=40)
            worker = run.below()["worker"]
            for pid in [worker, *children(worker)]:
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda worker=worker: run.below().get("worker", worker) != worker)

        def over() -> list[tuple[str, int]]:
            with db.reading() as session:
                rows = session.execute(select(Handoff.state, Handoff.person_id)).all()
            done = {"accepted", "uncertain", "rejected", "excluded"}
            return [tuple(row) for row in rows] if len(rows) == 200 and {s for s, _ in rows} <= done else []

        states = wait_for(over, seconds=60)
        db.db.engine.dispose()
    arrived = Counter(mail["to"][0] for mail in run.messages())
    assert max(arrived.values()) == 1
    count = Counter(state for state, _ in states)
    assert set(count) <= {"accepted", "uncertain"}
    # Each has arrived, or is marked as of unknown fate (it may have arrived all the same).
    assert count["accepted"] <= len(arrived) <= count["accepted"] + count["uncertain"]


def test_with_the_broker_gone_pages_answer_and_letters_come_afterwards(run: Run, valkey: Valkey):
    assert sign_up(run, "before@example.fi")[0] == 303
    wait_for(lambda: ["before@example.fi"] in run.caught())
    valkey.kill()
    down_until = time.monotonic() + 20
    answers = [sign_up(run, f"during{n}@example.fi") for n in range(8)]
    assert {status for status, _ in answers} == {303}
    assert max(seconds for _, seconds in answers) < 1
    # The length of the outage is the fault: by now worker and scheduler have tried in vain at ever longer intervals.
    wait_for(lambda: time.monotonic() > down_until, seconds=21)
    valkey.start()
    wait_for(lambda: len(run.messages()) == 9, seconds=15)
