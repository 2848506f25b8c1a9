"""The intake and the letterbox lock persons in one order: two connections of PostgreSQL, each in the middle of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.orm import Session

import servers
from arriving import LEAVE, TAKES_MAIL, request
from coming_back import begun, mailed
from mailinglist import db
from mailinglist.consent import address, register, requests
from mailinglist.consent.tables import Request
from mailinglist.delivery import bounces
from mailinglist.delivery.bounces import Reported
from mailinglist.delivery.tables import Bounce
from mailinglist.delivery.verdicts import Verdict
from mailinglist.inbound import handle
from making import leave_token, person, the_list
from waiting import keep, never, rows

pytestmark = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)


@pytest.fixture
def extra_settings() -> dict[str, str]:
    return TAKES_MAIL


def waits_for_a_lock() -> bool:
    with db.reading() as session:
        return session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")) > 0


@contextmanager
def while_the_intake_holds_the_first(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The worker takes requests of Aino and of Bertta; it stands between the two until the other one waits for it."""
    with db.transaction() as session:
        for name in ("aino", "bertta"):
            requests.write_down(
                session, the_list(session), address.parse(f"{name}@example.fi"), entrance=requests.WEB, language="fi",
                origin={}, now=db.utcnow(),
            )  # fmt: skip
    locked = threading.Event()
    original = register.enter

    def enter(session: Session, who: address.Address, **more: object) -> object:
        found = original(session, who, **more)  # type: ignore[arg-type]
        if not locked.is_set():
            locked.set()
            servers.wait_for(waits_for_a_lock)
        return found

    monkeypatch.setattr(register, "enter", enter)
    failed: list[Exception] = []

    def taking() -> None:
        try:
            with app.app_context(), db.transaction() as session:
                requests.take(session, now=db.utcnow())
        except Exception as error:
            failed.append(error)

    intake = threading.Thread(target=taking)
    intake.start()
    assert locked.wait(10)
    yield
    intake.join(20)
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


@pytest.mark.parametrize("work", [noting, weighing])
def test_reports_and_the_intake(
    app: Flask, monkeypatch: pytest.MonkeyPatch, work: Callable[[Session, list[int]], None]
) -> None:
    with db.transaction() as session:
        persons = both(session)
        mine = mailed(session, begun(session, now=db.utcnow()), persons, now=db.utcnow())
        if work is weighing:
            noting(session, mine)
            lists = [(each, the_list(session).id, Verdict.DEAD) for each in persons]
            monkeypatch.setattr(bounces, "_unreachable", lambda *_: lists)
            monkeypatch.setattr(register, "give_up", lambda *_, **__: None)
    with while_the_intake_holds_the_first(app, monkeypatch), db.transaction() as session:
        work(session, mine)
    with db.reading() as session:
        assert len(session.scalars(select(Bounce.id)).all()) == 2


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
        servers.wait_for(waits_for_a_lock)
        noting(session, mine[1:])
    assert done.wait(10)
    assert failed == []
