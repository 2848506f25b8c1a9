"""A backup that is made while a bulletin runs, through real workers and a real mail server, and is restored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

import commanding
import servers
from housing import House, house
from mailinglist import db
from mailinglist.delivery import dispatch
from mailinglist.delivery.dispatch import Status
from mailinglist.privacy import backup

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

RECIPIENTS = 2000
OPEN = ("pending", "deferred", "rejected")


@pytest.fixture(params=["sqlite", "postgresql"])
def running(request: pytest.FixtureRequest) -> Iterator[House]:
    with servers.postgres() if request.param == "postgresql" else nullcontext() as server:
        if request.param == "postgresql" and server is None:
            pytest.skip("no PostgreSQL")
        # Slow enough that the backup is made while both workers are at it.
        with house(RECIPIENTS, server, rate=150) as made:
            yield made


def account(running: House, bulletin: int) -> Status:
    found = running.status(bulletin)
    assert found is not None
    assert found.audience == RECIPIENTS
    parts = (*OPEN, "accepted", "excluded", "uncertain")
    assert found.audience == sum(getattr(found, name) for name in parts), found
    return found


def is_sent(running: House, bulletin: int) -> bool:
    found = running.status(bulletin)
    return found is not None and found.state == "sent"


def test_it_comes_back_paused_with_an_account_that_adds_up(running: House, tmp_path: Path) -> None:
    running.start_sink()
    bulletin, number = running.send()
    servers.wait_for(lambda: running.book.number(number) >= 300, seconds=120)
    with running.app.app_context():
        backup.make(running.settings, tmp_path / "b.tar.gz")
    at_the_end = set(running.book.stored[number]) if running.book.number(number) else set()
    assert account(running, bulletin).state == "sending", "it did run meanwhile"
    running.rest()
    done = commanding.run(running.settings, "restore", tmp_path / "b.tar.gz", "--replace")
    assert done.code == 0, (done.out, done.err)

    found = account(running, bulletin)
    assert found.state == "paused"
    assert [getattr(found, name) for name in OPEN] == [0, 0, 0]
    assert 0 < found.accepted < RECIPIENTS
    assert found.uncertain > 0
    assert f"Paused: 1 bulletin. Uncertain: {found.uncertain:,} mails" in done.out
    accepted = {mailbox for mailbox, state in running.states(bulletin) if state == "accepted"}
    assert len(accepted) == found.accepted
    assert accepted <= at_the_end, "what the copy calls accepted had left by then"

    # Whatever is started: nothing more leaves, until somebody decides.
    running.book.read()
    before = running.book.number(number)
    running.go_on()
    running.ring()
    second, subject = running.send()
    servers.wait_for(lambda: is_sent(running, second), seconds=120)
    assert running.book.number(subject) == RECIPIENTS - len(running.banned)
    assert (running.book.number(number), account(running, bulletin).state) == (before, "paused")
    with running.app.app_context(), db.transaction() as session:
        assert dispatch.resolve(session, bulletin, resend=True, by="Maija", now=db.utcnow()) == found.uncertain
        dispatch.resume(session, bulletin, now=db.utcnow())
    running.ring()
    servers.wait_for(lambda: is_sent(running, bulletin), seconds=120)
    found = account(running, bulletin)
    assert (found.accepted, found.excluded) == (RECIPIENTS - len(running.banned), len(running.banned))
    running.book.read()
    stored = running.book.stored[number]
    assert all(stored[mailbox] == 1 for mailbox in accepted), "who had it for certain did not get it twice"
    assert len(stored) == RECIPIENTS - len(running.banned), "and everybody has it"
