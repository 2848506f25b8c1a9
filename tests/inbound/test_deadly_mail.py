"""A mail that kills whoever handles it: it is set aside, told to the owner, and all others go on."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, update

from catching import Caught, text_of
from mailinglist import db
from mailinglist.inbound import act, forward, handle, hands, reading, spool
from mailinglist.inbound.tables import InHand, Spooled
from reporting import DOMAIN
from waiting import keep, never, owned, rows

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
        session.execute(update(InHand).values(beat_at=db.utcnow() - 2 * hands.STILL))


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
    ends = []
    for _ in range(spool.MOST_DEATHS + 1):
        ends.append(in_a_worker(lambda: handle.handle(stop=never)))
        if ends[-1] == 0:
            break
        assert in_a_worker(lambda: handle.handle(stop=never)) == 0, "what the dead had in hand waits for a while"
        time_passes()
    assert ends == [-signal.SIGKILL] * spool.MOST_DEATHS + [0]
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
        session.execute(update(Spooled).values(not_before=db.utcnow() - timedelta(hours=1)))
    assert in_a_worker(lambda: handle.handle(stop=never)) == 0
    assert [(row.state, row.forwarded) for row in rows()] == [("owner", "uncertain")]
    assert caught.mails == []


def test_what_others_have_in_hand_is_left_to_them(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    come(b"From: b@example.fi\r\n\r\n1\r\n", b"From: b@example.fi\r\n\r\n2\r\n")
    first, second = (row.id for row in rows())
    with db.transaction() as session, monkeypatch.context() as patch:
        patch.setattr(hands, "mine", lambda: "another")
        assert hands.take(session, [first]) == [first]
    with db.transaction() as session:
        assert hands.take(session, [first, second]) == [second]
        hands.let_go(session)
    assert handle.handle(stop=never) == 1
    assert [row.state for row in rows()] == ["waiting", "owner"]
    time_passes()
    assert handle.handle(stop=never) == 1
    assert [(row.state, row.deaths) for row in rows()] == [("owner", 1), ("owner", 0)]
