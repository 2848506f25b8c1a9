"""Two at once: who was looked at before they were locked may be gone, or somebody else, once they are."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from conftest import NOW
from mailinglist import db
from mailinglist.consent import (
    address,
    bans,
    intake,
    keys,
    lists,
    proof,
    register,
    registrar,
    requests,
    transfer,
    verification,
)
from mailinglist.consent.states import Basis, Channel
from mailinglist.consent.tables import Person, Request, Subscription
from mailinglist.errors import Refused
from mailinglist.privacy import rights
from mailinglist.staff import accounts
from mailinglist.staff.audit import Actor
from making import ORIGIN, ask, person, the_list
from servers import wait_for, waiting_for_locks, waits_for_a_lock

OLD, NEW = address.parse("vanha@example.fi"), address.parse("uusi@example.fi")
TOLD = registrar.Told("phone", "said so", date(2026, 11, 2), "Maija")
LATER = NOW + timedelta(minutes=1)


def on_postgres() -> bool:
    return db.db.engine.dialect.name == "postgresql"


def there(app: Flask, work: Callable[[], Any]) -> Any:
    """Done in a thread of its own, with a context."""
    with app.app_context():
        return work()


def take_in(*mailboxes: str) -> transfer.Report:
    data = "\n".join(("email", *mailboxes)).encode()
    with db.transaction() as session:
        found = transfer.read(data, basis=Basis.CONSENT, source="the old program", file="f.csv")
        return transfer.take_in(session, the_list(session), found, who="Maija", now=LATER)


def erase(session: Session) -> None:
    rights.erase(session, OLD, LATER, source="own page")


def correct(session: Session) -> None:
    found = register.find(session, OLD)
    assert found is not None
    registrar.correct_address(session, found.id, NEW, TOLD, now=LATER)


@pytest.mark.parametrize("act", [erase, correct])
def test_an_import_that_runs_beside_an_erasure_or_a_correction_brings_nobody_back(
    app: Flask, act: Callable[[Session], None]
):
    with db.transaction() as session:
        person(session, OLD.mailbox, now=NOW)
        person(session, "on@example.fi", now=NOW)
    with ThreadPoolExecutor(1) as thread:
        with db.transaction() as session:
            act(session)
            session.flush()
            done = thread.submit(there, app, lambda: take_in("first@example.fi", "on@example.fi", OLD.mailbox))
            if on_postgres():
                wait_for(waits_for_a_lock)
        report = done.result(20)
    assert (report.added, report.updated, report.unchanged) == (1, 0, 1)
    assert [(each.line, each.reason.split(":")[0]) for each in report.refused] == [(4, "left")]
    with db.reading() as session:
        assert register.find(session, OLD) is None
        theirs = select(Person.folded).join(Subscription).where(Subscription.state == "active").order_by(Person.folded)
        assert session.scalars(theirs).all() == ["first@example.fi", "on@example.fi"]
        assert list(verification.verify(session)) == []


def test_a_ban_on_an_address_that_signs_up_at_that_moment_can_be_lifted_and_is_in_its_history(app: Flask):
    """Neither sees the other: the address has two chains of the ledger, and the ban is lifted in the other one."""

    def sign_up() -> None:
        with db.transaction() as session:
            ask(session, NEW.mailbox, now=NOW)

    with db.transaction() as session:
        bans.add(session, keys.keys_of(session).digest(NEW.folded), [Channel.EMAIL], source="phone", now=NOW)
        with ThreadPoolExecutor(1) as thread:
            if on_postgres():  # nobody else writes in SQLite meanwhile
                thread.submit(there, app, sign_up).result(20)
    if not on_postgres():
        sign_up()
    with db.transaction() as session:
        assert list(verification.verify(session)) == []
        registrar.lift(session, NEW, [Channel.EMAIL], TOLD, now=LATER)
        session.flush()
        assert list(verification.verify(session)) == []
        bans.add(session, keys.keys_of(session).digest(NEW.folded), [Channel.EMAIL], source="phone", now=LATER)
        session.flush()
        assert list(verification.verify(session)) == []
        told = [entry["event"] for entry in proof.prove(session, NEW.folded)]
        assert told.count("banned") == 2
        assert told.count("ban_lifted") == 1
    with db.transaction() as session:
        session.execute(text("DELETE FROM bans WHERE lifted_at IS NULL"))
        assert [each.what for each in verification.verify(session)] == [
            "a ban on email that the ledger tells of is not in force"
        ]


# ── an erasure, and the worker that takes what the person asked for ───────────────────────────────────────────────────


def write_down() -> None:
    with db.transaction() as session:
        row = the_list(session)
        intake.write_down(
            session, row, OLD, entrance="web", language="fi", text=lists.current_text(session, row, "fi"),
            origin=ORIGIN, now=LATER,
        )  # fmt: skip


def take() -> int:
    with db.transaction() as session:
        return requests.take(session, now=LATER)


def erase_by_staff() -> None:
    with db.transaction() as session:
        erase(session)


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_what_was_asked_before_an_erasure_goes_with_it_also_from_the_hands_of_a_worker(app: Flask):
    with db.transaction() as session:
        number = person(session, OLD.mailbox, now=NOW).id
    write_down()
    with ThreadPoolExecutor(2) as threads:
        with db.transaction() as session:
            register.locked(session, number)  # so that both come while neither is done
            erasing = threads.submit(there, app, erase_by_staff)
            wait_for(waits_for_a_lock)
            taking = threads.submit(there, app, take)
            wait_for(lambda: taking.done() or waiting_for_locks() == 2)
        taking.result(20)
        erasing.result(20)
    with db.reading() as session:
        assert register.find(session, OLD) is None
        assert session.scalars(select(Request.id)).all() == []


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_what_is_asked_while_an_erasure_goes_on_comes_after_it(app: Flask):
    with db.transaction() as session:
        number = person(session, OLD.mailbox, now=NOW).id
    with ThreadPoolExecutor(1) as thread:
        with db.transaction() as session:
            held = register.locked(session, number)
            assert held is not None
            write_down()
            taking = thread.submit(there, app, take)
            wait_for(waits_for_a_lock)  # it has the request, and wants the person
            rights.erase_held(session, held, LATER, source="staff")
        taking.result(20)
    with db.reading() as session:
        again = register.find(session, OLD)
        assert again is not None
        assert again.id != number
        assert session.scalars(select(Subscription.state)).all() == ["pending"]
        assert list(verification.verify(session)) == []


# ── two presses ───────────────────────────────────────────────────────────────────────────────────────────────────────


def add_list(session: Session) -> None:
    lists.add(session, "uutiset", "Uutiset", now=NOW)


def add_account(session: Session) -> None:
    accounts.enrol(session, "maija@example.fi", levels=["editor"], by=Actor(None, "Matti", ""), now=NOW)


@pytest.mark.parametrize("add", [add_list, add_account])
def test_what_is_made_twice_at_once_is_there_once_and_the_second_is_told(app: Flask, add: Callable[[Session], None]):
    def again() -> None:
        with db.transaction() as session:
            add(session)

    with ThreadPoolExecutor(1) as thread:
        with db.transaction() as session:
            add(session)
            done = thread.submit(there, app, again)
            if on_postgres():
                wait_for(waits_for_a_lock)
        with pytest.raises(Refused, match="already"):
            done.result(20)
