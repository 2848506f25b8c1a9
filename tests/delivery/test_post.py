"""The whole path of a mail, from the register to a real mail server."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from catching import Caught, html_of, text_of
from mailinglist import db
from mailinglist.bulletins import drafts
from mailinglist.consent import address, bans, confirming, gate, intake, lists, register, requests
from mailinglist.consent.states import Channel, State
from mailinglist.consent.tables import Person
from mailinglist.delivery import account, dispatch, handoffs, post, run
from mailinglist.delivery.dkim import Signer
from mailinglist.delivery.parcels import Parcel
from mailinglist.delivery.smtp import Courier
from mailinglist.delivery.tables import Handoff
from mailinglist.errors import RegisterUnsound
from making import ORIGIN, crowd, never, person, the_list


@pytest.fixture
def extra_settings(caught: Caught) -> dict[str, str]:
    return {"smtp_url": caught.url, "base_url": "https://lists.example.fi", "bounce_domain": "lists.example.fi"}


def join(mailbox: str, *, kind: str = requests.JOIN, language: str = "fi") -> None:
    with db.transaction() as session:
        row = the_list(session)
        intake.write_down(
            session, row, address.parse(mailbox), kind=kind, entrance="web", language=language,
            text=lists.current_text(session, row, language), origin=ORIGIN, now=db.utcnow(),
        )  # fmt: skip


def link(message, word: str) -> str:
    return re.search(rf"https://lists\.example\.fi/{word}/(\S+)", text_of(message)).group(1)


def test_asking_brings_the_letter_whose_link_confirms_and_then_the_welcome(app: Flask, caught: Caught):
    join("matti@example.fi")
    post.letters(stop=never)
    [letter] = caught.to("matti@example.fi")
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter["List-Unsubscribe"] is None
    assert "suoramarkkinoin" in text_of(letter)
    assert "suoramarkkinoin" in html_of(letter)
    with db.transaction() as session:
        confirming.confirm(session, link(letter, "confirm"), origin=ORIGIN, now=db.utcnow())
    post.letters(stop=never)
    welcome = caught.to("matti@example.fi")[1]
    with db.transaction() as session:
        register.leave(session, link(welcome, "unsubscribe"), origin=ORIGIN, now=db.utcnow())
        assert register.exit_for(session, link(welcome, "unsubscribe")).left
    post.letters(stop=never)
    assert len(caught.mails) == 2


def test_the_already_letter_and_the_link_to_leave_by(app: Flask, caught: Caught):
    with db.transaction() as session:
        person(session, "a@example.fi", now=db.utcnow() - timedelta(days=2))
    post.letters(stop=never)
    caught.mails.clear()
    join("a@example.fi")
    join("a@example.fi", kind=requests.LEAVE)
    join("stranger@example.fi", kind=requests.LEAVE)
    post.letters(stop=never)
    assert len(caught.mails) == 2
    with db.transaction() as session:
        for letter in caught.to("a@example.fi"):
            register.leave(session, link(letter, "unsubscribe"), origin=ORIGIN, now=db.utcnow())


def test_a_ban_stops_every_letter_but_the_link_to_leave_by(app: Flask, caught: Caught):
    with db.transaction() as session:
        made = person(session, "a@example.fi", now=db.utcnow() - timedelta(days=2))
        bans.add(session, made.digest, [Channel.EMAIL], source="phone", now=db.utcnow())
    join("a@example.fi")
    join("a@example.fi", kind=requests.LEAVE)
    post.letters(stop=never)
    assert len(caught.mails) == 1
    assert link(caught.mails[0][2], "unsubscribe")


def test_a_bulletin_goes_to_those_whom_the_gate_lets_through(app: Flask, caught: Caught):
    before = db.utcnow() - timedelta(days=2)
    with db.transaction() as session:
        lists.set_value(session, the_list(session), "welcome", "false", now=before)
        for n in range(6):
            person(session, f"active{n}@example.fi", now=before)
        for n in range(2):
            person(session, f"left{n}@example.fi", now=before, state=State.LEFT)
        person(session, "pending@example.fi", now=before, state=State.PENDING)
        person(session, "gone@example.fi", now=before, state=State.UNDELIVERABLE)
        for n in range(2):
            made = person(session, f"banned{n}@example.fi", now=before)
            bans.add(session, made.digest, [Channel.EMAIL], source="phone", now=before)
    post.letters(stop=never)
    caught.mails.clear()
    caught.answers = {"active4@example.fi": "550 5.1.1 unknown", "active5@example.fi": "451 4.7.1 later"}
    with db.transaction() as session:
        bulletin = drafts.add(
            session,
            the_list(session),
            subject="Hei åäö",
            source="# Uutisia\n\nMoi {name|ystävä}!",
            form="markdown",
            now=before,
        )
        dispatch.send(
            session,
            bulletin.id,
            sender="Tector <tiedote@lists.example.fi>",
            by="test",
            at=None,
            publishers=(),
            now=before,
        )
    post.bulletins(stop=never)
    with db.reading() as session:
        status = dispatch.status(session, bulletin.id)
    assert (status.state, status.audience, status.accepted, status.excluded) == ("sent", 8, 4, 2)
    assert (status.rejected, status.deferred, status.uncertain, status.pending) == (1, 1, 0, 0)
    assert sorted(recipient for _, recipient, _ in caught.mails) == [f"active{n}@example.fi" for n in range(4)]
    senders = {sender for sender, _, _ in caught.mails}
    assert len(senders) == 4
    message = caught.to("active1@example.fi")[0]
    assert message["To"] == "active1@example.fi"
    assert message["Subject"] == "Hei åäö"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["List-Unsubscribe"].strip("<>") in text_of(message)
    assert message["List-Id"].endswith("<tector-tiedottaa.lists.example.fi>")
    assert message["Auto-Submitted"] is None
    assert "Moi ystävä!" in text_of(message)
    assert "Rälssintie" in html_of(message)
    with db.transaction() as session:
        register.leave(
            session, message["List-Unsubscribe"].rpartition("/")[2].rstrip(">"), origin=ORIGIN, now=db.utcnow()
        )
        assert register.exit_for(session, link(message, "unsubscribe")).left


def test_what_a_dead_worker_was_handing_over_is_uncertain_and_never_sent_again(app: Flask, caught: Caught):
    from mailinglist.delivery import letter_desk

    join("a@example.fi")
    join("b@example.fi")
    long_ago = db.utcnow() - timedelta(minutes=1)
    with db.transaction() as session:
        requests.take(session, now=db.utcnow())
        letter_desk.enqueue_due(session, now=long_ago)
        shift = handoffs.begin_shift(session, now=long_ago)
        handoffs.claim(session, shift, kinds=["confirm"], limit=1, now=db.utcnow())
    post.letters(stop=never)
    assert [recipient for _, recipient, _ in caught.mails] == ["b@example.fi"]
    with db.reading() as session:
        assert sorted(session.scalars(select(Handoff.state))) == ["accepted", "uncertain"]


def test_with_no_mail_server_nothing_is_lost(app: Flask, caught: Caught, settings):
    join("a@example.fi")
    app.extensions["mailinglist_office"] = None
    relays = type(settings).of(smtp_url="smtp://127.0.0.1:9").relays
    office = post._office()
    good = office.courier
    office.courier = Courier(relays, connections=1, helo="test.example.fi")
    report = post.letters(stop=never)
    assert report.trouble
    with db.transaction() as session:
        [row] = session.scalars(select(Handoff))
        assert row.state == "pending"
        row.not_before = db.utcnow()
    office.courier = good
    post.letters(stop=never)
    assert len(caught.mails) == 1


def test_letters_and_bulletins_are_signed(app: Flask, caught: Caught, settings, tmp_path):
    import dkim
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path = tmp_path / "dkim.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    app.config["MAILINGLIST"] = settings.model_copy(update={"dkim": (f"s1:lists.example.fi:{path}",)})
    join("ake@example.fi")
    post.letters(stop=never)
    with db.transaction() as session:
        person(session, "b@example.fi", now=db.utcnow() - timedelta(days=2))
        bulletin = drafts.add(session, the_list(session), subject="Hei", source="Moi", form="markdown", now=db.utcnow())
        dispatch.send(
            session,
            bulletin.id,
            sender="T <t@lists.example.fi>",
            by="test",
            at=None,
            publishers=(),
            now=db.utcnow(),
        )
    post.bulletins(stop=never)
    [record] = Signer(app.config["MAILINGLIST"].dkim_keys).records.values()
    assert len(caught.raw) == 2
    for raw in caught.raw:
        assert dkim.verify(raw, dnsfunc=lambda *_, **__: record.encode())
        signed = raw.split(b"\r\n\r\n")[0].lower()
        assert b"from:" in signed


def test_a_paused_bulletin_puts_back_what_waits(app: Flask, caught: Caught):
    bulletin = begun(5)
    with db.transaction() as session:
        dispatch.pause(session, bulletin)
    post.bulletins(stop=never)
    assert caught.mails == []
    with db.transaction() as session:
        dispatch.resume(session, bulletin, now=db.utcnow())
    post.bulletins(stop=never)
    with db.reading() as session:
        status = dispatch.status(session, bulletin)
    assert (status.state, status.accepted, status.excluded) == ("sent", 5, 0)


@pytest.mark.parametrize("resend", [True, False])
def test_a_person_decides_about_uncertain_mails(app: Flask, caught: Caught, resend: bool):
    bulletin = begun(3)
    with db.transaction() as session:
        shift = handoffs.begin_shift(session, now=db.utcnow())
        handoffs.claim(session, shift, kinds=["bulletin"], about=1, limit=2, now=db.utcnow())
        handoffs.end_shift(session, shift, now=db.utcnow())
    post.bulletins(stop=never)
    with db.transaction() as session:
        status = dispatch.status(session, bulletin)
        assert (status.state, status.accepted, status.uncertain) == ("sent", 1, 2)
        assert len(account.uncertain(session, bulletin)) == 2
        assert dispatch.resolve(session, bulletin, resend=resend, by="minna", now=db.utcnow()) == 2
    post.bulletins(stop=never)
    with db.reading() as session:
        status = dispatch.status(session, bulletin)
    assert (status.state, status.accepted, status.uncertain, status.pending) == ("sent", 3, 0, 0)
    assert len(caught.mails) == (3 if resend else 1)


def begun(number: int) -> int:
    """A bulletin to so many persons, on its way."""
    with db.transaction() as session:
        crowd(session, number, now=db.utcnow() - timedelta(days=2))
        bulletin = drafts.add(session, the_list(session), subject="Hei", source="Moi", form="markdown", now=db.utcnow())
        dispatch.send(
            session,
            bulletin.id,
            sender="T <t@lists.example.fi>",
            by="test",
            at=None,
            publishers=(),
            now=db.utcnow(),
        )
        dispatch.begin_due(session, now=db.utcnow())
    return bulletin.id


def states(bulletin_id: int) -> Counter[str]:
    with db.reading() as session:
        return Counter(session.scalars(select(Handoff.state).where(Handoff.about == bulletin_id)))


def test_what_was_claimed_ahead_waits_again_when_the_worker_is_told_to_stop(app: Flask, caught: Caught):
    bulletin = begun(100)
    post.bulletins(stop=lambda: len(caught.mails) >= 5)
    left = states(bulletin)
    assert 5 <= left["accepted"] == len(caught.mails) < 100
    assert left.keys() <= {"accepted", "pending"}, "none is held, none is uncertain"
    with db.transaction() as session:
        session.execute(update(Handoff).where(Handoff.state == "pending").values(not_before=db.utcnow()))
    post.bulletins(stop=never)
    assert states(bulletin) == {"accepted": 100}
    assert len(caught.mails) == 100


def test_an_answer_that_cannot_be_written_down_ends_the_run_and_leaves_it_uncertain(
    app: Flask, caught: Caught, monkeypatch: pytest.MonkeyPatch
):
    bulletin = begun(30)
    settle = handoffs.settle

    def fails(session: Session, shift_id: int, settled: Sequence[handoffs.Settled]) -> int:
        if any(each.state == "accepted" for each in settled):
            raise ProgrammingError("the disk is full", None, Exception())
        return settle(session, shift_id, settled)

    monkeypatch.setattr(handoffs, "settle", fails)
    with pytest.raises(ProgrammingError):
        post.bulletins(stop=never)
    monkeypatch.undo()
    left = states(bulletin)
    assert left["accepted"] == 0
    assert left["handing"] == 0, "the shift is over"
    assert len(caught.mails) <= left["uncertain"]
    post.bulletins(stop=never)
    assert len({recipient for _, recipient, _ in caught.mails}) == len(caught.mails), "nobody got it twice"


def test_a_register_that_becomes_unsound_while_sending_sends_no_more(
    app: Flask, caught: Caught, monkeypatch: pytest.MonkeyPatch
):
    bulletin = begun(100)
    read, readings = gate.read, []

    def fails(*arguments: Any, **named: Any) -> object:
        readings.append(1)
        if len(readings) > 3:
            raise RegisterUnsound("the bans can't be read")
        return read(*arguments, **named)

    monkeypatch.setattr(gate, "read", fails)
    with pytest.raises(RegisterUnsound):
        post.bulletins(stop=never)
    left = states(bulletin)
    assert left["accepted"] == len(caught.mails) < 100
    assert left.keys() <= {"accepted", "pending"}


def test_a_mail_whose_address_was_corrected_while_it_waited_goes_to_the_new_one(
    app: Flask, caught: Caught, monkeypatch: pytest.MonkeyPatch
):
    """What the gate says last is about the person: a mail to the address of before must not profit from it."""
    bulletin = begun(2)
    with db.reading() as session:
        number, before = session.execute(select(Person.id, Person.mailbox).order_by(Person.id).limit(1)).one()
    after = "new@example.fi"

    def waited(*fields: Any) -> Parcel:
        parcel = Parcel(*fields)
        with db.transaction() as session:
            who = session.get_one(Person, number)
            if parcel.recipient == before and who.mailbox == before:
                session.execute(update(Person).where(Person.id == number).values(mailbox=after, folded=after))
        return parcel._replace(read_at=parcel.read_at - 1)

    monkeypatch.setattr(run, "Parcel", waited)
    post.bulletins(stop=never)
    post.bulletins(stop=never)  # as the scheduler has it done, until nothing waits
    assert caught.to(before) == []
    assert len(caught.to(after)) == 1
    assert states(bulletin) == {"accepted": 2}


def test_who_was_claimed_and_not_tried_has_all_four_days_still(app: Flask):
    """Five days paused, and then a server that greylists: that is the first try, not the last."""
    bulletin = begun(2)
    later = db.utcnow() + timedelta(days=5)
    with db.transaction() as session:
        shift = handoffs.begin_shift(session, now=db.utcnow())
        rows = handoffs.claim(session, shift, kinds=["bulletin"], about=bulletin, limit=10, now=db.utcnow())
        handoffs.put_back(session, shift, [row.id for row in rows], now=db.utcnow())
        again = handoffs.claim(session, shift, kinds=["bulletin"], about=bulletin, limit=10, now=later)
    assert [(row.id, row.attempts, row.first_tried_at) for row in again] == [(row.id, 1, None) for row in rows]
    with db.transaction() as session:  # and what was tried once keeps its clock
        at = later + timedelta(hours=1)
        deferred = [handoffs.Settled(row.id, "deferred", later, not_before=at, put_off=True) for row in again]
        handoffs.settle(session, shift, deferred)
        handoffs.claim(session, shift, kinds=["bulletin"], about=bulletin, limit=10, now=at)
        handoffs.put_back(session, shift, [row.id for row in again], now=at)
        once_more = handoffs.claim(session, shift, kinds=["bulletin"], about=bulletin, limit=10, now=at)
    assert {(row.attempts, row.first_tried_at) for row in once_more} == {(2, later)}
