"""Who was told that they have left gets no marketing any more, though the register does not know it yet."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from catching import Caught
from mailinglist import db
from mailinglist.app import create_app
from mailinglist.consent import address, bans, gate, intake, lists, register, requests, restriction
from mailinglist.consent.gate import Mail
from mailinglist.consent.states import ALL_CHANNELS
from mailinglist.consent.tables import Person, Request
from mailinglist.delivery import attention, dispatch, post, proofs
from mailinglist.delivery.tables import Dispatch, Handoff
from mailinglist.errors import NotAllowed, OptOutsWait
from mailinglist.settings import Settings
from making import ORIGIN, crowd, leave_token, never, person, the_list, written

SENDER = "T <t@lists.example.fi>"


@pytest.fixture
def extra_settings(caught: Caught) -> dict[str, str]:
    return {"smtp_url": caught.url, "base_url": "https://lists.example.fi", "bounce_domain": "lists.example.fi"}


def scheduled(**more: Any) -> int:
    """A bulletin that is due, and that nobody has begun."""
    with db.transaction() as session:
        now = db.utcnow()
        bulletin = written(session, now=now, **more)
        dispatch.send(session, bulletin.id, sender=SENDER, by="test", at=None, publishers=(), now=now)
    return bulletin.id


def keep(mailbox: str, *, ban: bool = False) -> None:
    """They leave by the link, and are told so; the register could not be written to."""
    with db.transaction() as session:
        found = register.find(session, address.parse(mailbox))
        assert found is not None
        channels = ALL_CHANNELS if ban else ()
        intake.write_down_exit(session, leave_token(session, found), origin=ORIGIN, ban=channels, now=db.utcnow())


def account(bulletin: int) -> dispatch.Status:
    with db.reading() as session:
        return dispatch.status(session, bulletin)


def crowded(number: int) -> None:
    with db.transaction() as session:
        crowd(session, number, now=db.utcnow() - timedelta(days=2))


def test_whichever_worker_wakes_first_enters_a_leave_that_was_answered_before_it_mails_anybody(
    app: Flask, caught: Caught, settings: Settings
):
    crowded(3)
    bulletin = scheduled()
    with db.reading() as session:
        found = register.find(session, address.parse("p1@example.fi"))
        assert found is not None
        token = leave_token(session, found)
    wrong = create_app(settings.model_copy(update={"ban_key": Settings.of(ban_key="x" * 40).ban_key}))
    answer = wrong.test_client().post(f"/unsubscribe/{token}", data={"List-Unsubscribe": "One-Click"})
    assert answer.status_code == 200
    keep("p2@example.fi", ban=True)
    post.bulletins(stop=never)
    assert [recipient for _, recipient, _ in caught.mails] == ["p0@example.fi"]
    status = account(bulletin)
    assert (status.state, status.audience, status.accepted) == ("sent", 1, 1), "they have left before it began"
    with db.reading() as session:
        assert bans.check(session, address.parse("p2@example.fi")).channels


def test_one_that_is_kept_while_a_bulletin_goes_holds_it_until_it_is_entered(app: Flask, caught: Caught):
    crowded(12)
    with db.transaction() as session:
        lists.set_value(session, the_list(session), "rate", "20", now=db.utcnow())  # so that few are in hand at a time
    bulletin = scheduled()
    kept: list[str] = []

    def keep_the_last() -> bool:
        if len(caught.mails) >= 2 and not kept:
            with db.reading() as session:
                wanted = select(Person.mailbox).join(Handoff, Handoff.person_id == Person.id)
                [*_, last] = session.scalars(wanted.where(Handoff.state == "pending").order_by(Handoff.id))
            keep(last)
            kept.append(last)
        return False

    post.bulletins(stop=keep_the_last)
    assert len(caught.mails) == 11
    assert caught.to(kept[0]) == []
    status = account(bulletin)
    assert (status.state, status.accepted, status.excluded, status.uncertain) == ("sent", 11, 1, 0)


@pytest.mark.parametrize("harm", ["", "an old copy"])
def test_until_it_is_entered_the_gate_lets_through_what_was_asked_for_and_nothing_else(
    app: Flask, caught: Caught, settings: Settings, harm: str
):
    crowded(2)
    with db.transaction() as session:
        bulletin = written(session, now=db.utcnow()).id
    keep("p0@example.fi")
    if harm:  # of a version in which an opt-out waited its turn
        with db.transaction() as session:
            session.execute(update(Request).values(not_before=Request.received_at))
            requests.come_back(session, now=db.utcnow())
    with db.reading() as session:
        everybody = session.scalars(select(Person.id)).all()
        number, now = the_list(session).id, db.utcnow()
        for mail in Mail:
            if mail is Mail.SERVICE:
                assert gate.refusals(session, mail, list_id=number, persons=everybody, now=now) == {}
                continue
            with pytest.raises(OptOutsWait):
                gate.read(session, mail, list_id=number, persons=everybody, now=now)
        with pytest.raises(OptOutsWait):
            proofs.proof(session, bulletin, address.parse("p1@example.fi"), settings, now=now)
    with db.transaction() as session:
        assert requests.take(session, opt_outs=True, now=db.utcnow()) == 1
        assert requests.take(session, opt_outs=True, now=db.utcnow()) == 0
    with db.reading() as session:
        found = gate.refusals(session, Mail.BULLETIN, list_id=number, persons=everybody, now=now)
        assert list(found.values()) == ["left"]
        assert proofs.proof(session, bulletin, address.parse("p1@example.fi"), settings, now=now)


def test_letters_go_once_more_opt_outs_are_entered_than_are_taken_at_once(app: Flask, caught: Caught):
    crowded(60)
    for n in range(60):
        keep(f"p{n}@example.fi")
    with db.transaction() as session:
        row = the_list(session)
        intake.write_down(
            session, row, address.parse("new@example.fi"), entrance="web", language="fi", origin=ORIGIN,
            text=lists.current_text(session, row, "fi"), now=db.utcnow(),
        )  # fmt: skip
    post.letters(stop=never)
    assert [recipient for _, recipient, _ in caught.mails] == ["new@example.fi"]
    with db.reading() as session:
        assert session.scalars(select(Request.outcome).where(Request.kind == "exit")).all() == ["left"] * 60


def test_one_that_is_kept_while_letters_go_is_entered_and_they_go_on(
    app: Flask, caught: Caught, monkeypatch: pytest.MonkeyPatch
):
    with db.transaction() as session:
        person(session, "leaver@example.fi", now=db.utcnow() - timedelta(days=2))  # a welcome is due
    due = post._due
    kept: list[int] = []

    def due_and_kept(*arguments: Any, **named: Any) -> bool:
        if not kept:
            keep("leaver@example.fi")
            kept.append(1)
        return due(*arguments, **named)

    monkeypatch.setattr(post, "_due", due_and_kept)
    post.letters(stop=never)
    assert caught.mails == []
    with db.reading() as session:
        replies = session.scalars(select(Handoff.reply).where(Handoff.kind == "welcome", Handoff.state == "excluded"))
        assert replies.all() == ["left"]


@pytest.mark.parametrize("fault", ["of a version to come", "cut"])
def test_one_that_can_not_be_entered_holds_marketing_back_and_nothing_else(app: Flask, caught: Caught, fault: str):
    crowded(2)
    keep("p0@example.fi")
    with db.transaction() as session:
        request = session.scalars(select(Request)).one()
        whole = dict(request.origin or {})
        spoilt = (
            {**whole, "ticket": "02" + whole["ticket"][2:]} if fault == "of a version to come" else {"how": "button"}
        )
        request.origin = spoilt
        row = the_list(session)
        for kind, mailbox in ((requests.JOIN, "new@example.fi"), (requests.LEAVE, "p1@example.fi")):
            intake.write_down(
                session, row, address.parse(mailbox), kind=kind, entrance="web", language="fi", origin=ORIGIN,
                text=lists.current_text(session, row, "fi"), now=db.utcnow(),
            )  # fmt: skip
    bulletin = scheduled()
    for _ in range(2):
        post.bulletins(stop=never)
        post.letters(stop=never)
    assert [recipient for _, recipient, _ in caught.mails] == ["p1@example.fi"], "the link to leave by, asked for"
    assert "opt-outs" in str(account(bulletin).trouble)
    with db.transaction() as session:
        request = session.scalars(select(Request).where(Request.kind == "exit")).one()
        assert (request.taken_at, request.origin) == (None, spoilt)
        request.origin = whole  # seen to
        told = attention.of_list(session, the_list(session), now=db.utcnow() + timedelta(minutes=11))
        assert any("are not entered yet" in need.what.words for need in told)
    post.bulletins(stop=never)
    assert [recipient for _, recipient, _ in caught.mails] == ["p1@example.fi"] * 2
    assert account(bulletin).trouble is None


def test_a_test_mail_does_not_go_to_who_has_restricted_the_use_of_their_data(app: Flask, settings: Settings):
    with db.transaction() as session:
        made = person(session, "a@example.fi", now=db.utcnow())
        bulletin = written(session, now=db.utcnow()).id
        restriction.restrict(session, made, source="own page", origin=ORIGIN, now=db.utcnow())
    with db.reading() as session, pytest.raises(NotAllowed, match="restricted"):
        proofs.proof(session, bulletin, address.parse("A@example.fi"), settings, now=db.utcnow())


@pytest.mark.parametrize("whose", ["the sender's", "the worker's"])
def test_a_clock_that_is_ahead_neither_begins_a_bulletin_before_its_time_nor_puts_one_off(
    app: Flask, caught: Caught, monkeypatch: pytest.MonkeyPatch, whose: str
):
    """What counts is the database's clock."""
    if db.db.engine.dialect.name == "sqlite":
        pytest.skip("all are on one machine")
    crowded(1)
    right: Callable[[], object] = db.utcnow
    ahead = db.utcnow() + timedelta(days=1)
    if whose == "the sender's":
        monkeypatch.setattr(db, "utcnow", lambda: ahead)
        bulletin = scheduled()
        monkeypatch.setattr(db, "utcnow", right)
    else:
        bulletin = scheduled()
        with db.transaction() as session:
            session.execute(update(Dispatch).values(due_at=ahead - timedelta(hours=4)))
        monkeypatch.setattr(db, "utcnow", lambda: ahead)
    post.bulletins(stop=never)
    assert account(bulletin).state == ("sent" if whose == "the sender's" else "scheduled")
    assert len(caught.mails) == (1 if whose == "the sender's" else 0)
