"""A ban that is given or lifted while the person is being erased: what it rests on is filed as of nobody we know, as of
any address that is in no register, and not under a person who is gone. In SQLite one waits for the other anyway."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from calling import program
from commanding import Commands
from conftest import NOW
from mailinglist import db
from mailinglist.consent import address, bans, own_page, register, registrar, requests, verification
from mailinglist.consent.bans import Forbidden
from mailinglist.consent.states import Channel
from mailinglist.consent.tables import Ban, Evidence
from mailinglist.privacy import rights
from mailinglist.settings import Settings
from making import ORIGIN, ask, person
from servers import wait_for, waiting_for_locks, waits_for_a_lock

pytestmark = pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
WHO = address.parse("erased@example.fi")
LATER = NOW + timedelta(minutes=1)
TOLD = registrar.Told("phone", "said so", date(2026, 11, 2), "Maija")
Act = Callable[[Session, own_page.Key], object]


def key_of(session: Session) -> own_page.Key:
    found = register.find(session, WHO)
    assert found is not None
    return own_page.Key(found.digest, found.exact_digest, NOW)


def on_own_page(session: Session, key: own_page.Key) -> None:
    own_page.used(session, key)
    own_page.forbid(session, key, [Channel.PHONE], origin=ORIGIN, now=LATER)


def lifted_on_own_page(session: Session, key: own_page.Key) -> None:
    own_page.used(session, key)
    own_page.lift(session, key, [Forbidden(Channel.EMAIL)], origin=ORIGIN, now=LATER)


def by_staff(session: Session, _key: own_page.Key) -> None:
    registrar.forbid(session, WHO, [Channel.PHONE], TOLD, now=LATER)


def lifted_by_staff(session: Session, _key: own_page.Key) -> None:
    registrar.lift(session, WHO, [Channel.EMAIL], TOLD, now=LATER)


def erased_beside(work: Callable[[], object]) -> None:
    """The person is erased; `work` begins before that is committed, and ends after it."""
    with ThreadPoolExecutor(1) as thread:
        with db.transaction() as session:
            rights.erase(session, WHO, LATER, source="own page")
            session.flush()
            done = thread.submit(work)
            wait_for(waits_for_a_lock)
        done.result(20)


def assert_of_nobody(given: set[str]) -> None:
    """One piece of evidence is there, under no person; and these bans are in force."""
    with db.reading() as session:
        assert register.find(session, WHO) is None
        assert session.scalars(select(Evidence.person_id)).all() == [None]
        assert set(session.scalars(select(Ban.channel).where(Ban.lifted_at.is_(None)))) == given
        assert list(verification.verify(session)) == []


@pytest.mark.parametrize(
    ("act", "given"),
    [
        (on_own_page, {"email", "phone"}),
        (by_staff, {"email", "phone"}),
        (lifted_on_own_page, set()),
        (lifted_by_staff, set()),
    ],
)
def test_what_a_ban_rests_on_is_not_filed_under_who_is_gone(app: Flask, act: Act, given: set[str]):
    with db.transaction() as session:
        made = person(session, WHO.mailbox, now=NOW)
        bans.add(session, made.digest, [Channel.EMAIL], source="phone", now=NOW)
        key = key_of(session)

    def work() -> None:
        with app.app_context(), db.transaction() as session:
            act(session, key)

    erased_beside(work)
    assert_of_nobody(given)


def test_nor_by_the_command(
    app: Flask, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    with db.transaction() as session:
        person(session, WHO.mailbox, now=NOW)
    give = Commands(settings, monkeypatch, capsys)
    erased_beside(lambda: give("bans", "add", WHO.mailbox, "--channel", "post", "--source", "card of 1 May"))
    assert_of_nobody({"post"})


@pytest.mark.parametrize("named", ["email", "sha256"])
def test_nor_by_the_api(app: Flask, named: str):
    """By the SHA-256 of an address, too, the person is found."""
    with db.transaction() as session:
        person(session, WHO.mailbox, now=NOW)
    shop = program(app)
    item = {"email": WHO.mailbox, "sha256": hashlib.sha256(WHO.mailbox.encode()).hexdigest()}[named]
    body = {named: item, "channels": ["post"], "source": "called the shop"}
    answers: list[object] = []
    erased_beside(lambda: answers.append(shop.post("/bans", body).get_json()))
    assert answers == [{"added": ["post"], "channels": ["post"]}]
    assert_of_nobody({"post"})


def test_an_act_on_ones_own_page_and_an_erasure_do_not_wait_for_each_other(app: Flask):
    """The page notes that the key was used, and the erasure deletes the request that the key came by."""
    with db.transaction() as session:
        number = person(session, WHO.mailbox, now=NOW).id
        request = ask(session, WHO.mailbox, kind=requests.KEY, now=NOW)
        assert request.letter == requests.KEY_LETTER
        key = key_of(session)

    def act() -> None:
        with app.app_context(), db.transaction() as session:
            own_page.used(session, key)
            own_page.forbid(session, key, [Channel.PHONE], origin=ORIGIN, now=LATER)

    with ThreadPoolExecutor(1) as thread:
        with db.transaction() as session:
            held = register.locked(session, number)
            assert held is not None
            done = thread.submit(act)
            wait_for(lambda: waiting_for_locks() == 1)
            rights.erase_held(session, held, LATER, source="staff")
        done.result(20)
    assert_of_nobody({"phone"})
