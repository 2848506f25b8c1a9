"""Whoever comes back at the very moment when a period is over stays.

Each test holds retention's look at who is due between what it sees and the locks that it takes: in SQLite nobody else
writes then.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from conftest import NOW
from mailinglist import db
from mailinglist.consent import address, confirming, register, requests, verification
from mailinglist.consent.states import State
from mailinglist.consent.tables import Person
from mailinglist.periods import DEFAULTS
from mailinglist.privacy import retention
from making import ORIGIN, ask, letter, person, the_list
from servers import wait_for, waits_for_a_lock

pytestmark = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
GATE = 4711
WHO = "back@example.fi"


def held_back(monkeypatch: pytest.MonkeyPatch, where: Any, name: str) -> None:
    """The condition of this name waits at the gate, within the statement that asks for it."""
    condition: Callable[[datetime], tuple[Any, ...]] = getattr(where, name)
    at_the_gate = func.pg_advisory_xact_lock_shared(GATE).is_not(None)
    monkeypatch.setattr(where, name, lambda before: (*condition(before), at_the_gate))


def tidied_beside(app: Flask, now: datetime, act: Callable[[Session], object]) -> None:
    """Retention at this moment; `act` is done and committed after it looked, and before it locks anybody."""

    def tidy() -> None:
        with app.app_context(), db.transaction() as session:
            retention.tidy(session, now=now)

    with ThreadPoolExecutor(1) as thread:
        with db.transaction() as gate:
            gate.execute(select(func.pg_advisory_xact_lock(GATE)))
            done = thread.submit(tidy)
            wait_for(waits_for_a_lock)
            with db.transaction() as session:
                act(session)
        done.result(20)


def standing(now: datetime) -> str | None:
    """Where they are on the list; None: nobody knows them."""
    with db.reading() as session:
        assert list(verification.verify(session, now=now)) == []
        found = register.find(session, address.parse(WHO))
        held = register.subscription(session, found.id, the_list(session).id) if found else None
        return held.state if held else None


def test_who_left_long_ago_and_is_just_back_is_not_forgotten(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    later = NOW + timedelta(days=DEFAULTS["evidence"] + 1)
    with db.transaction() as session:
        person(session, WHO, now=NOW, state=State.LEFT)
        person(session, "gone@example.fi", now=NOW, state=State.LEFT)
    held_back(monkeypatch, retention, "_long_gone")
    tidied_beside(app, later, lambda session: person(session, WHO, now=later))
    assert standing(later) == "active"
    with db.reading() as session:
        assert session.scalars(select(Person.folded)).all() == [WHO], "the other one was forgotten"


@pytest.mark.parametrize("how", ["answers", "asks again"])
def test_who_answers_or_asks_again_at_the_last_moment_is_not_forgotten(
    app: Flask, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    later = NOW + timedelta(days=DEFAULTS["unanswered"] + 1)
    with db.transaction() as session:
        confirm, _ = letter(session, ask(session, WHO, now=NOW), now=NOW, days=365)
        ask(session, "never@example.fi", now=NOW)

    def act(session: Session) -> None:
        if how == "answers":
            confirming.confirm(session, confirm, origin=ORIGIN, now=later)
        else:
            assert ask(session, WHO, now=later).letter == requests.CONFIRM_LETTER

    held_back(monkeypatch, register, "_unanswered")
    tidied_beside(app, later, act)
    assert standing(later) == ("active" if how == "answers" else "pending")
    with db.reading() as session:
        assert session.scalars(select(Person.folded)).all() == [WHO], "the other one was forgotten"


@pytest.mark.parametrize(("rule", "where", "name"), [
    ("left", retention, "_long_gone"), ("unanswered", register, "_unanswered"),
])  # fmt: skip
def test_that_a_whole_group_came_back_does_not_end_the_night(
    app: Flask, monkeypatch: pytest.MonkeyPatch, rule: str, where: Any, name: str
) -> None:
    later = NOW + timedelta(days=DEFAULTS[{"left": "evidence"}.get(rule, rule)] + 1)
    with db.transaction() as session:
        if rule == "left":
            person(session, WHO, now=NOW, state=State.LEFT)
        else:
            ask(session, WHO, now=NOW)
    [clear] = [each.clear for each in retention.RULES if each.name == rule]
    steps: list[retention.Step] = []
    held_back(monkeypatch, where, name)
    monkeypatch.setattr(
        retention, "tidy", lambda session, now: steps.append(clear(session, now - timedelta(days=1), now))
    )
    tidied_beside(app, later, lambda session: person(session, WHO, now=later))
    assert steps == [retention.Step(0, more=True)]
    assert standing(later) == "active"
