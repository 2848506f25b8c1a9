"""A leave that is kept until the register is sound, and a complaint about a letter: both are in the journal."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from arriving import LEAVE, TAKES_MAIL, comes, request
from coming_back import mailed
from mailinglist import db
from mailinglist.consent import journal, journal_file, keys, requests
from mailinglist.consent.states import State
from mailinglist.consent.tables import JournalBacklog, LedgerEntry
from mailinglist.delivery import complaints
from mailinglist.delivery.tables import Handoff
from mailinglist.privacy import replay
from making import leave_token, person, the_list

BAN = "Kiellän kaiken suoramarkkinoinnin."


@pytest.fixture
def extra_settings() -> dict[str, str]:
    return TAKES_MAIL


def lines() -> list[tuple[str, bytes]]:
    with db.reading() as session:
        reading = journal_file.read(journal.journal_of(session))
    assert reading.problems == []
    return [(line.what, digest) for line in reading.lines for digest in line.who]


def test_a_leave_that_is_kept_is_in_the_journal_before_it_is_entered(app: Flask) -> None:
    with db.transaction() as session:
        matti = person(session, "matti@example.fi", now=db.utcnow() - timedelta(days=1))
        token, digest = leave_token(session, matti), matti.digest
        keys.hold(session)
    assert comes(app, request(LEAVE, token, body=BAN), LEAVE).outcome == "kept"
    with db.transaction() as session:
        waiting = session.scalars(select(JournalBacklog.line).order_by(JournalBacklog.id)).all()
        assert [(line["what"], line["who"]) for line in waiting] == [
            ("left", [digest.hex()]), ("banned", [digest.hex()])
        ]  # fmt: skip
        assert journal.catch_up(session) == 2
    assert [line for line in lines() if line[0] != "confirmed"] == [("left", digest), ("banned", digest)]
    with db.transaction() as session:
        keys.release(session)
    with db.transaction() as session:  # as in a copy in which the request that keeps it is not
        reading = journal_file.read(journal.journal_of(session))
        done = replay.replay(session, [reading], copy_of=db.utcnow() - timedelta(hours=1), positions={},
                             now=db.utcnow())  # fmt: skip
        assert (done.counts["left"], done.counts["banned"]) == (1, 1)
        requests.take(session, now=db.utcnow())
        events = [body for body in session.scalars(select(LedgerEntry.body)) if b'"event":"left"' in body]
        assert len(events) == 1, "entered afterwards, it is not done twice"


@pytest.mark.parametrize("state", [State.ACTIVE, State.LEFT])
def test_a_complaint_about_a_letter_silences_a_restored_register_too(app: Flask, state: State) -> None:
    with db.transaction() as session:
        matti = person(session, "matti@example.fi", now=db.utcnow(), state=state)
        [letter] = mailed(session, 0, [matti.id], now=db.utcnow())
        session.get_one(Handoff, letter).kind = "confirm"
        complaints.note(session, letter, "fbl", evidence={}, now=db.utcnow())
        assert matti.muted_until is not None
        digest, slug = matti.digest, the_list(session).slug
    assert ("muted", digest) in lines()
    with db.transaction() as session:
        matti.muted_until = None
        session.merge(matti)
    with db.transaction() as session:
        reading = journal_file.read(journal.journal_of(session))
        assert {line.list for line in reading.lines} == {slug}
        replay.replay(session, [reading], copy_of=db.utcnow() - timedelta(hours=1), positions={}, now=db.utcnow())
    with db.reading() as session:
        assert session.get_one(type(matti), matti.id).muted_until is not None
