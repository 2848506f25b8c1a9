"""Somebody is erased while a mail of theirs waits: nothing of it is kept, and no opt-out in it is lost."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select, update

import servers
from arriving import JOIN, LEAVE, TAKES_MAIL, request
from mailinglist import db
from mailinglist.consent import address, bans, register, requests
from mailinglist.consent.keys import keys_of
from mailinglist.consent.states import Channel
from mailinglist.consent.tables import Person, Request
from mailinglist.inbound import act, handle, spool, whose
from mailinglist.inbound.tables import Spooled
from mailinglist.privacy import rights
from making import leave_token, never, person
from reporting import DOMAIN
from spooled import OWNER, keep, rows

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
    assert {(row.state, row.sender, row.writer, row.client, row.person_id, row.forwarded) for row in found} == {
        ("handled", "", None, None, None, None)
    }
    with db.transaction() as session:
        assert session.scalar(select(func.count()).where(Spooled.raw.is_not(None))) == 0
        assert session.scalars(select(Request.id)).all() == []
        assert requests.take(session, now=db.utcnow()) == 0
        assert session.scalars(select(Person.id)).all() == []
        digest = keys_of(session).digest(MATTI.folded)
        assert Channel.EMAIL in {ban.channel for ban in bans.in_force(session, [digest])}


def test_nothing_of_a_request_to_join_that_was_handled_names_who_is_erased(app: Flask) -> None:
    relayed = b"Received: from mx (unknown [93.184.216.34]) by relay.example.fi\r\n" + request(JOIN)
    keep(relayed, JOIN)
    handle.handle(stop=never)
    with db.transaction() as session:
        requests.take(session, now=db.utcnow())
    assert [(row.outcome, row.client) for row in rows()] == [("asked", "93.184.216.34")]
    erase()
    assert [(row.outcome, row.sender, row.client, row.writer) for row in rows()] == [("asked", "", None, None)]


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
        servers.wait_for(servers.waits_for_a_lock)
        assert not erased.is_set()
    other.join(10)
    assert erased.is_set()
    with db.reading() as session:
        assert register.find(session, MATTI) is None
        assert session.execute(select(Spooled.state, Spooled.raw, Spooled.sender)).one() == ("seen", None, "")


ALIAS = b"matti@alias.example"
DURING = (
    (OWNER, request(OWNER, "Kysymys").replace(b"matti@example.fi", ALIAS), "seen"),
    (JOIN, request(JOIN), "handled"),
    (JOIN, request(JOIN, "Poissa", "Auto-Submitted: auto-replied\r\n").replace(b"matti@example.fi", ALIAS), "handled"),
)


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_an_erasure_finds_what_a_mail_brings_about_that_is_just_being_handled(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = act.act
    others = []

    def erasing() -> None:
        with app.app_context():
            erase()

    def meanwhile(*given: object, **named: object) -> act.Outcome:
        came = original(*given, **named)  # type: ignore[arg-type]
        others.append(threading.Thread(target=erasing))
        others[-1].start()
        servers.wait_for(servers.waits_for_a_lock)
        return came

    monkeypatch.setattr(act, "act", meanwhile)
    for to, raw, state in DURING:
        with db.transaction() as session:
            person(session, "matti@example.fi", now=db.utcnow())
        keep(raw, to)
        handle.handle(stop=never)
        others[-1].join(10)
        found = rows()[-1]
        assert (found.state, found.sender, found.writer, found.person_id) == (state, "", None, None)
        with db.reading() as session:
            assert session.scalars(select(Person.id)).all() == []
            assert session.scalars(select(Request.id)).all() == []
            assert session.scalar(select(func.count()).where(Spooled.raw.is_not(None))) == 0


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_a_mail_does_not_wait_for_an_erasure_and_is_handled_after_it(app: Flask) -> None:
    with db.transaction() as session:
        person(session, "matti@example.fi", now=db.utcnow())
    keep(DURING[0][1], OWNER)
    keep(request(JOIN), JOIN)
    with db.transaction() as session:
        rights.erase(session, MATTI, db.utcnow())
        session.flush()
        other = threading.Thread(target=in_the_app, args=(app,))
        other.start()
        other.join(10)
        assert not other.is_alive()
    assert [(row.state, row.tries) for row in rows()] == [("waiting", 0)] * 2
    time_passes()
    handle.handle(stop=never)
    assert [(row.outcome, row.sender) for row in rows()] == [("erased", "")] * 2
    with db.reading() as session:
        assert session.scalars(select(Request.id)).all() == []


def in_the_app(app: Flask) -> None:
    with app.app_context():
        handle.handle(stop=never)


def time_passes() -> None:
    """What was put off is due again."""
    with db.transaction() as session:
        session.execute(update(Spooled).values(not_before=db.utcnow() - timedelta(minutes=1)))


def a_worker_dies() -> None:
    """… over all that waits."""
    with db.transaction() as session:
        waiting = [row.id for row in rows() if row.state == "waiting"]
        spool.died(session, waiting, list_of=lambda _: None, now=db.utcnow())


@pytest.mark.parametrize("sender", ["matti@example.fi", "bounces@forwarder.example"])
def test_what_workers_died_over_is_not_kept_of_whoever_is_erased_before_or_after(app: Flask, sender: str) -> None:
    for after in range(spool.MOST_DEATHS + 1):
        with db.transaction() as session:
            person(session, "matti@example.fi", now=db.utcnow())
        raw = request(OWNER, f"Kysymys {after}")
        keep(raw, OWNER, sender=sender)
        keep(raw.replace(b"matti@", b"liisa@"), OWNER, sender="bounces@forwarder.example")
        for death in range(spool.MOST_DEATHS + 1):
            if death == after:
                erase()
            a_worker_dies()
        mine, other = rows()[-2:]
        assert (mine.sender, mine.writer, mine.person_id) == ("", None, None)
        assert mine.state in ("handled", "seen"), "and so it is not sent on"
        assert (other.state, other.outcome, other.forwarded) == ("failed", "kills", "pending")
        with db.reading() as session:
            assert session.scalar(select(Spooled.raw).where(Spooled.id == mine.id)) is None
            assert session.scalar(select(Spooled.raw).where(Spooled.id == other.id)) is not None


def test_what_could_not_be_handled_is_not_kept_of_whoever_was_erased(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    with db.transaction() as session:
        person(session, "matti@example.fi", now=db.utcnow())
    keep(request(OWNER, "Kysymys"), OWNER, sender="bounces@forwarder.example")

    def broken(*_: object, **__: object) -> act.Outcome:
        raise ValueError

    monkeypatch.setattr(act, "act", broken)
    handle.handle(stop=never)
    erase()
    while rows()[0].state == "waiting":
        time_passes()
        handle.handle(stop=never)
    with db.reading() as session:
        found = session.execute(select(Spooled.outcome, Spooled.raw, Spooled.sender, Spooled.forwarded)).one()
        assert tuple(found) == ("erased", None, "", None)


def test_from_is_seen_without_reading_the_mail() -> None:
    folded = b"Subject: a\r\nfrom : Matti <matti@example.fi>,\r\n\t(x) liisa@example.fi\r\n\r\nFrom: b@example.fi"
    assert whose.glimpsed(folded) == ["matti@example.fi", "liisa@example.fi"]
    assert whose.glimpsed(b"X: y\nFROM:matti@example.fi\nliisa@example.fi\n\n") == ["matti@example.fi"]
    for hostile in (b"", b"From: " + b"x" * 3000 + b"\n\n", b"From: a@" * 20_000, b"From:\n " * 20_000):
        assert all(len(each) <= 2000 for each in whose.glimpsed(hostile))
