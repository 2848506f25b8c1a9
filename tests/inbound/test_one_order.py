"""The intake and the letterbox lock persons in one order: two connections of PostgreSQL, each in the middle of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

import servers
from arriving import LEAVE, TAKES_MAIL, request
from coming_back import begun, mailed
from mailinglist import db
from mailinglist.consent import address, intake, register, requests
from mailinglist.consent.tables import Person, Request
from mailinglist.delivery import bounces
from mailinglist.delivery.bounces import Reported
from mailinglist.delivery.tables import Bounce
from mailinglist.delivery.verdicts import Verdict
from mailinglist.inbound import handle
from making import leave_token, never, person, the_list
from spooled import keep, rows

pytestmark = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)


@pytest.fixture
def extra_settings() -> dict[str, str]:
    return TAKES_MAIL


def dead(monkeypatch: pytest.MonkeyPatch, list_id: int, given_up: list[int]) -> None:
    """Whoever is weighed can't be reached any more; whom that was goes to `given_up`."""

    def unreachable(_session: Session, persons: Collection[int]) -> list[tuple[int, int, Verdict]]:
        return [(each, list_id, Verdict.DEAD) for each in persons]

    monkeypatch.setattr(bounces, "_unreachable", unreachable)
    monkeypatch.setattr(register, "give_up", lambda _session, number, *_, **__: given_up.append(number))


@contextmanager
def while_the_intake_holds_the_first(
    app: Flask, monkeypatch: pytest.MonkeyPatch, *, verb: str = "enter"
) -> Iterator[None]:
    """The worker takes requests of Aino and of Bertta (by this verb of the register; of `enter`, two are written down);
    it stands between the two until the other one waits for it."""
    with db.transaction() as session:
        for name in ("aino", "bertta") if verb == "enter" else ():
            intake.write_down(
                session, the_list(session), address.parse(f"{name}@example.fi"), entrance=requests.WEB, language="fi",
                origin={}, now=db.utcnow(),
            )  # fmt: skip
    locked = threading.Event()
    original = getattr(register, verb)

    def enter(session: Session, *given: object, **more: object) -> object:
        found = original(session, *given, **more)
        if not locked.is_set():
            locked.set()
            servers.wait_for(servers.waits_for_a_lock)
        return found

    monkeypatch.setattr(register, verb, enter)
    failed: list[Exception] = []

    def taking() -> None:
        try:
            with app.app_context(), db.transaction() as session:
                requests.take(session, now=db.utcnow())
        except Exception as error:
            failed.append(error)

    worker = threading.Thread(target=taking)
    worker.start()
    assert locked.wait(10)
    yield
    worker.join(20)
    assert failed == []
    with db.reading() as session:
        assert session.scalars(select(Request.id).where(Request.taken_at.is_(None))).all() == []


def both(session: Session) -> tuple[int, int]:
    """Aino and Bertta, who is older in the register."""
    bertta = person(session, "bertta@example.fi", now=db.utcnow())
    return person(session, "aino@example.fi", now=db.utcnow()).id, bertta.id


def noting(session: Session, mine: list[int]) -> None:
    bounces.note_many(session, [Reported(number, Verdict.MAILBOX) for number in mine], now=db.utcnow())


def weighing(session: Session, mine: list[int]) -> None:
    bounces.weigh(session, now=db.utcnow())


def exits(session: Session, persons: Sequence[int]) -> None:
    """They leave while nothing can be entered: it is kept. In this order they come up."""
    for at, number in enumerate(persons):
        ticket, row = register.ticket_of(session, leave_token(session, session.get_one(Person, number)))
        intake.keep_exit(
            session,
            ticket,
            row,
            entrance=requests.WEB,
            origin={},
            ban=[],
            now=db.utcnow() - timedelta(hours=1 - at / 2),
        )


@pytest.mark.parametrize("work", [noting, weighing])
def test_reports_and_the_intake(
    app: Flask, monkeypatch: pytest.MonkeyPatch, work: Callable[[Session, list[int]], None]
) -> None:
    given_up: list[int] = []
    with db.transaction() as session:
        aino, bertta = both(session)
        mine = mailed(session, begun(session, now=db.utcnow()), [aino, bertta], now=db.utcnow())
        if work is weighing:
            noting(session, mine)
            dead(monkeypatch, the_list(session).id, given_up)
    with while_the_intake_holds_the_first(app, monkeypatch), db.transaction() as session:
        work(session, mine)
    with db.reading() as session:
        assert sorted(session.scalars(select(Bounce.handoff_id))) == sorted(mine)
    assert given_up == ([aino, bertta] if work is weighing else [])


def test_mails_one_after_the_other_and_the_intake(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    with db.transaction() as session:
        both(session)
        tokens = [leave_token(session, register.find(session, address.parse(f"{name}@example.fi")))
                  for name in ("bertta", "aino")]  # fmt: skip
    for token in tokens:
        keep(request(LEAVE, token), LEAVE)
    with while_the_intake_holds_the_first(app, monkeypatch):
        handle.handle(stop=never)
    assert [row.outcome for row in rows()] == ["left", "left"]


@pytest.mark.parametrize("first", [0, 1])
def test_leaves_that_were_kept_and_the_weighing(app: Flask, monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    given_up: list[int] = []
    with db.transaction() as session:
        aino, bertta = both(session)
        noting(session, mailed(session, begun(session, now=db.utcnow()), [aino, bertta], now=db.utcnow()))
        exits(session, [bertta, aino] if first else [aino, bertta])
        dead(monkeypatch, the_list(session).id, given_up)
    with while_the_intake_holds_the_first(app, monkeypatch, verb="leave_by"), db.transaction() as session:
        weighing(session, [])
    assert given_up == [aino, bertta]


def test_two_who_note_reports_of_the_same_mails(app: Flask) -> None:
    with db.transaction() as session:
        mine = mailed(session, begun(session, now=db.utcnow()), both(session), now=db.utcnow())
    done = threading.Event()
    failed: list[Exception] = []

    def other() -> None:
        try:
            with app.app_context(), db.transaction() as session:
                noting(session, mine[::-1])
        except Exception as error:
            failed.append(error)
        done.set()

    with db.transaction() as session:
        noting(session, mine[:1])
        thread = threading.Thread(target=other)
        thread.start()
        servers.wait_for(servers.waits_for_a_lock)
        noting(session, mine[1:])
    assert done.wait(10)
    assert failed == []
