"""A mail that kills whoever handles it: it is set aside, told to the owner, and all others go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

import servers
from catching import Caught, text_of
from mailinglist import db, heartbeat
from mailinglist.inbound import act, forward, handle, hands, processes, reading, spool
from mailinglist.inbound.tables import InHand, Spooled
from making import never
from reporting import DOMAIN
from spooled import keep, owned, rows

DEADLY = b"From: a@example.fi\r\nSubject: DEADLY\r\n\r\nMoi\r\n"


@pytest.fixture
def extra_settings(mail_host: Caught) -> dict[str, str]:
    return {
        "smtp_url": mail_host.url, "base_url": f"https://{DOMAIN}", "bounce_domain": DOMAIN, "inbound_pipe": "true",
        "mail_from": f"Tector tiedottaa <tiedote@{DOMAIN}>",
    }  # fmt: skip


def come(*mails: bytes) -> None:
    owned(language="en")
    for raw in mails:
        keep(raw, sender="a@example.fi")


def in_a_worker(work: Callable[[], object]) -> int:
    """Run it in a process of its own: 0, or the signal that it died by."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            db.db.engine.dispose(close=False)  # the connections are the parent's
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def time_passes() -> None:
    """Nobody has seen the dead for a while."""
    with db.transaction() as session:
        session.execute(update(InHand).values(beat_at=db.utcnow() - 2 * db.dead_after(session)))


def kill_myself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_mail_that_kills_its_worker_is_set_aside_and_the_others_go_on(
    app: Flask, caught: Caught, monkeypatch: pytest.MonkeyPatch
) -> None:
    come(b"From: b@example.fi\r\nSubject: 1\r\n\r\n1\r\n", DEADLY, b"From: c@example.fi\r\nSubject: 2\r\n\r\n2\r\n")
    original = reading.read

    def read(raw: bytes) -> reading.Mail:
        if b"DEADLY" in raw:
            kill_myself()
        return original(raw)

    monkeypatch.setattr(act, "read", read)
    monkeypatch.setattr(forward, "read", read)
    for death in range(1, spool.MOST_DEATHS + 1):
        assert in_a_worker(lambda: handle.handle(stop=never)) == -signal.SIGKILL
        assert in_a_worker(lambda: handle.handle(stop=never)) == 0, "what the dead had in hand waits for a while"
        time_passes()
        if death == 2:
            assert in_a_worker(lambda: handle.handle(stop=never)) == 0, "and then for longer"
            with db.transaction() as session:
                session.execute(update(Spooled).values(not_before=db.utcnow()))
    assert in_a_worker(lambda: handle.handle(stop=never)) == 0
    found = rows()
    assert [(row.state, row.outcome) for row in found] == [
        ("owner", "for-a-person"), ("failed", spool.KILLS), ("owner", "for-a-person"),
    ]  # fmt: skip
    assert [row.forwarded for row in found] == ["accepted"] * 3
    with db.reading() as session:
        assert session.scalars(select(InHand)).all() == []
    [told] = [message for _, _, message in caught.mails if found[1].digest.hex() in text_of(message)]
    [_, attached] = told.iter_parts()
    assert attached.get_content() == DEADLY
    assert "DEADLY" not in text_of(told)


def test_a_letter_to_the_owner_that_kills_its_worker_is_not_tried_again(
    app: Flask, caught: Caught, monkeypatch: pytest.MonkeyPatch
) -> None:
    come(DEADLY)
    monkeypatch.setattr(forward, "read", lambda _raw: kill_myself())
    assert in_a_worker(lambda: handle.handle(stop=never)) == -signal.SIGKILL
    assert in_a_worker(lambda: handle.handle(stop=never)) == 0
    with db.transaction() as session:
        session.execute(update(Spooled).values(forward_at=db.utcnow() - timedelta(hours=1)))
    assert in_a_worker(lambda: handle.handle(stop=never)) == 0
    assert [(row.state, row.forwarded) for row in rows()] == [("owner", "uncertain")]
    assert caught.mails == []


def another_has(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker, which lives, has this mail in hand."""
    with db.transaction() as session, monkeypatch.context() as patch:
        patch.setattr(hands, "mine", lambda: "another")
        assert hands.take(session, [number]) == [number]


def test_what_others_have_in_hand_is_left_to_them_while_they_live(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    come(b"From: b@example.fi\r\n\r\n1\r\n", b"From: b@example.fi\r\n\r\n2\r\n")
    first, second = (row.id for row in rows())
    another_has(first, monkeypatch)
    with db.transaction() as session:
        assert hands.take(session, [first, second]) == [second]
        hands.let_go(session)
    assert handle.handle(stop=never) == 1
    assert [row.state for row in rows()] == ["waiting", "owner"]
    time_passes()
    assert handle.handle(stop=never) == 0, "it is only slow: its process lives"
    assert [(row.state, row.deaths) for row in rows()] == [("waiting", 0), ("owner", 0)]
    with monkeypatch.context() as patch:
        patch.setattr(processes, "lives", lambda _: False)
        assert handle.handle(stop=never) == 1
    assert [(row.state, row.deaths) for row in rows()] == [("owner", 1), ("owner", 0)]


@pytest.mark.parametrize("lives", [None, True])
def test_of_who_can_not_be_seen_or_hangs_silence_decides_by_ones_own_watch(
    app: Flask, monkeypatch: pytest.MonkeyPatch, lives: bool | None
) -> None:
    come(b"From: b@example.fi\r\n\r\n1\r\n")
    another_has(rows()[0].id, monkeypatch)
    monkeypatch.setattr(processes, "lives", lambda _: lives)
    assert handle.handle(stop=never) == 0
    time_passes()
    assert handle.handle(stop=never) == 0, "the database may have been away, and with it the beat of all"
    with db.reading() as session:
        waits = (hands.HANGS if lives else db.dead_after(session)).total_seconds()
    seen = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: seen + waits / 2)
    assert handle.handle(stop=never) == 0
    monkeypatch.setattr(time, "monotonic", lambda: seen + waits)
    assert handle.handle(stop=never) == 1
    assert [(row.state, row.deaths) for row in rows()] == [("owner", 1)]


def test_a_worker_beats_while_one_mail_takes_long_and_not_for_ever(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    come(b"From: b@example.fi\r\n\r\n1\r\n")
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.02)
    long_ago = db.utcnow() - timedelta(hours=1)
    original = handle._report

    def last_beat() -> datetime:
        with db.reading() as session:
            return session.scalars(select(InHand.beat_at)).one()

    def set_back() -> None:
        with db.transaction() as session:
            session.execute(update(InHand).values(beat_at=long_ago))

    def takes_long(*given: Any) -> object:
        set_back()
        servers.wait_for(lambda: last_beat() > long_ago)
        [beating] = [thread for thread in threading.enumerate() if thread.name == "hand"]
        monkeypatch.setattr(hands, "HANGS", timedelta(0))
        beating.join(10)
        assert not beating.is_alive()
        return original(*given)

    monkeypatch.setattr(handle, "_report", takes_long)
    assert handle.handle(stop=never) == 1


def test_a_process_is_known_by_when_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    own = processes.own()
    assert processes.lives(own) is True
    world, number, began = own.split(".")
    assert processes.lives(f"{world}.{number}.{int(began) + 1}") is False, "another one, later, with the same number"
    assert processes.lives(f"elsewhere.{number}.{began}") is None
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    theirs = f"{world}.{child.pid}.{processes._began(child.pid)}"
    assert processes.lives(theirs) is True
    child.kill()
    servers.wait_for(lambda: processes.lives(theirs) is False)  # also before its parent has asked how it ended
    child.communicate()
    assert processes.lives(theirs) is False
