"""Somebody is erased while a mail of theirs waits: nothing of it is kept, and no opt-out in it is lost."""

from __future__ import annotations

import threading

import pytest
from flask import Flask
from sqlalchemy import func, select, text

import servers
from arriving import JOIN, LEAVE, TAKES_MAIL, request
from mailinglist import db
from mailinglist.consent import address, bans, register, requests
from mailinglist.consent.keys import keys_of
from mailinglist.consent.states import Channel
from mailinglist.consent.tables import Person, Request
from mailinglist.inbound import act, handle, spool
from mailinglist.inbound.tables import Spooled
from mailinglist.privacy import rights
from making import leave_token, person
from reporting import DOMAIN
from waiting import OWNER, keep, never, rows

MATTI = address.parse("matti@example.fi")


@pytest.fixture
def extra_settings() -> dict[str, str]:
    return TAKES_MAIL


def erase() -> None:
    with db.transaction() as session:
        rights.erase(session, MATTI, db.utcnow())


def test_what_waits_of_whoever_is_erased_goes_and_a_ban_in_it_counts(app: Flask) -> None:
    with db.transaction() as session:
        token = leave_token(session, person(session, "matti@example.fi", now=db.utcnow()))
    keep(request(OWNER, "Kysymys"), OWNER)
    keep(request(OWNER, "Kysymys"), "postmaster@" + DOMAIN, sender="bounces@forwarder.example")
    keep(request(JOIN), JOIN)
    keep(request(LEAVE, "pois"), LEAVE)
    keep(request(LEAVE, token, body="Kiellän kaiken suoramarkkinoinnin."), LEAVE)
    erase()
    handle.handle(stop=never)
    found = rows()
    assert [row.outcome for row in found] == ["erased"] * 4 + ["banned"]
    assert {(row.state, row.sender, row.writer, row.person_id, row.forwarded) for row in found} == {
        ("handled", "", None, None, None)
    }
    with db.transaction() as session:
        assert session.scalar(select(func.count()).where(Spooled.raw.is_not(None))) == 0
        assert session.scalars(select(Request.id)).all() == []
        assert requests.take(session, now=db.utcnow()) == 0
        assert session.scalars(select(Person.id)).all() == []
        digest = keys_of(session).digest(MATTI.folded)
        assert Channel.EMAIL in {ban.channel for ban in bans.in_force(session, [digest])}


def test_who_writes_after_the_erasure_is_heard(app: Flask) -> None:
    with db.transaction() as session:
        person(session, "matti@example.fi", now=db.utcnow())
    erase()
    keep(request(OWNER, "Kysymys"), OWNER)
    keep(request(JOIN), JOIN)
    handle.handle(stop=never)
    assert [row.outcome for row in rows()] == ["for-a-person", "asked"]


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_an_erasure_waits_for_a_mail_that_is_just_being_handled(app: Flask) -> None:
    with db.transaction() as session:
        person(session, "matti@example.fi", now=db.utcnow())
    keep(request(OWNER, "Kysymys"), OWNER, sender="bounces@forwarder.example")
    erased = threading.Event()

    def erasing() -> None:
        with app.app_context():
            erase()
        erased.set()

    with db.transaction() as session:
        [row] = spool.claim(session, [rows()[0].id], db.utcnow())
        came = act.act(session, row, settings=app.config["MAILINGLIST"], now=db.utcnow())
        spool.done(
            row, state=came.state, kind=came.kind, outcome=came.outcome, person_id=came.person_id, now=db.utcnow()
        )
        session.flush()
        assert came.state == "owner"
        other = threading.Thread(target=erasing)
        other.start()
        servers.wait_for(waits_for_a_lock)
        assert not erased.is_set()
    other.join(10)
    assert erased.is_set()
    with db.reading() as session:
        assert register.find(session, MATTI) is None
        assert session.execute(select(Spooled.state, Spooled.raw, Spooled.sender)).one() == ("seen", None, "")


def waits_for_a_lock() -> bool:
    with db.reading() as session:
        return session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")) > 0
