"""To join by mail, whole: a mail to the command address, the letter that answers it, and an answer to that (T6)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from email.message import EmailMessage

import pytest
from flask import Flask
from sqlalchemy import func, select, update

import answering
from arriving import JOIN, TAKES_MAIL, comes, letters, request, state
from catching import Caught, text_of
from mailinglist import db
from mailinglist.consent import address, bans, intake, lists, register, requests
from mailinglist.consent.states import Channel
from mailinglist.consent.tables import Confirmation, Evidence, LedgerEntry, Request
from mailinglist.inbound import act
from mailinglist.inbound.tables import Spooled
from mailinglist.settings import SETTINGS
from making import ORIGIN, the_list


@pytest.fixture
def extra_settings(caught: Caught) -> dict[str, str]:
    return TAKES_MAIL | {"smtp_url": caught.url}


def letter_to(app: Flask, caught: Caught, mailbox: str = "matti@example.fi") -> EmailMessage:
    """The confirmation letter that answers a request by mail."""
    assert comes(app, request().replace(b"matti@example.fi", mailbox.encode()), JOIN).outcome == "asked"
    letters()
    return caught.to(mailbox)[-1]


def events() -> list[str]:
    with db.reading() as session:
        return [
            json.loads(body)["event"] for body in session.scalars(select(LedgerEntry.body).order_by(LedgerEntry.id))
        ]


def test_the_whole_join_by_mail(app: Flask, caught: Caught):
    letter = letter_to(app, caught)
    assert letter["Auto-Submitted"] == "auto-replied"
    assert letter["In-Reply-To"] == letter["References"] == "<request-1@mail.example.fi>"
    assert letter["Reply-To"].startswith("c-")
    assert len(letter["Reply-To"].partition("@")[0]) == 44
    assert "Voit myös vastata tähän viestiin" in " ".join(text_of(letter).split())
    raw = answering.gmail(letter, "Kyllä, liityn")
    to = letter["Reply-To"].upper()  # local parts lose their case on the way
    came = comes(app, raw, to)
    assert (came.kind, came.state, came.outcome) == ("command", "handled", "confirmed")
    assert state() == "active"
    with db.reading() as session:
        made = register.find(session, address.parse("matti@example.fi"))
        assert came.person_id == made.id
        entries = [json.loads(body) for body in session.scalars(select(LedgerEntry.body).order_by(LedgerEntry.id))]
        assert [entry["event"] for entry in entries] == ["asked", "confirmed"]
        assert entries[1]["source"] == "answer"
        kept = session.scalar(select(Evidence.content).where(Evidence.digest == bytes.fromhex(entries[1]["evidence"])))
    evidence = json.loads(kept)
    assert evidence["message_sha256"] == hashlib.sha256(raw).hexdigest()
    headers = dict(line.split(": ", 1) for line in evidence["headers"])
    assert headers["From"] == answering.MATTI
    assert headers["Received"].startswith("from mail.example.fi")
    assert "from_another" not in evidence
    letters()
    assert [each["Subject"] for each in caught.to("matti@example.fi")][-1].startswith("Tervetuloa")
    assert comes(app, raw, to).outcome == "confirmed-before"
    letters()
    assert events() == ["asked", "confirmed"]
    assert len(caught.mails) == 2


def test_every_mail_programs_answer_is_understood(app: Flask, caught: Caught):
    letter = letter_to(app, caught)
    for name, program in answering.PROGRAMS.items():
        for words, outcome in (
            ("Kyllä, liityn", "confirmed"), ("Ja, gärna! Hälsar Åsa Öhström", "confirmed"), ("", "confirmed"),
            ("En halua", "declined"), ("Nej tack", "declined"), ("No.", "declined"), ("Miksi sain tämän?", "unclear"),
        ):  # fmt: skip
            with db.transaction() as session:
                row = Spooled(recipient=letter["Reply-To"], sender="matti@example.fi", raw=program(letter, words))
                came = act.act(session, row, settings=app.config[SETTINGS], now=db.utcnow())
                assert came.outcome == outcome, (name, words)
                session.rollback()


def test_a_no_ends_the_request(app: Flask, caught: Caught):
    letter = letter_to(app, caught)
    assert comes(app, answering.gmail(letter, "Ei kiitos, en halua liittyä."), letter["Reply-To"]).outcome == "declined"
    assert state() == "left"
    again = comes(app, answering.gmail(letter, "Kyllä sittenkin, liityn"), letter["Reply-To"])
    assert again.outcome == "fresh-letter", "a yes to a letter that a no has overtaken brings a fresh one"
    assert state() == "left"


def test_who_did_not_ask_gets_no_letter_for_a_year(app: Flask, caught: Caught):
    letter = letter_to(app, caught)
    assert comes(app, answering.apple(letter, "En ole tilannut tätä."), letter["Reply-To"]).outcome == "declined"
    assert events()[-1] == "disowned"
    later = db.utcnow() + timedelta(days=3)
    comes(app, request(), JOIN, now=later)
    with db.transaction() as session:
        requests.take(session, now=later)
        assert session.scalars(select(Request.outcome).order_by(Request.id.desc())).first() == "muted"


def test_forbidding_in_an_answer_forbids(app: Flask, caught: Caught):
    letter = letter_to(app, caught)
    came = comes(app, answering.outlook(letter, "Ei kiitos. Kiellän suoramarkkinoinnin."), letter["Reply-To"])
    assert came.outcome == "banned"
    assert state() == "left"
    with db.reading() as session:
        assert bans.check(session, address.parse("matti@example.fi")).channels == tuple(Channel)
    later = comes(app, answering.outlook(letter, "Kyllä, liityn"), letter["Reply-To"])
    letters()
    assert later.outcome == "fresh-letter", "asked for, and then the ban stops it"
    assert len(caught.mails) == 1


def test_another_sender_confirms_and_it_is_noted(app: Flask, caught: Caught):
    letter = letter_to(app, caught)
    came = comes(app, answering.gmail(letter, "Kyllä", sender="Matti <m@toisaalla.fi>"), letter["Reply-To"])
    assert came.outcome == "confirmed"
    assert state() == "active"
    assert state("m@toisaalla.fi") is None
    with db.reading() as session:
        kept = [json.loads(content) for content in session.scalars(select(Evidence.content))]
    assert [each["from_another"] for each in kept if each["how"] == "answer"] == ["m@toisaalla.fi"]


ROBOTS: dict[str, Callable[[bytes], bytes]] = {
    "auto-replied": lambda raw: b"Auto-Submitted: auto-replied (vacation)\r\n" + raw,
    "auto-generated": lambda raw: b"auto-submitted: AUTO-GENERATED; owner-email=\"a@b.fi\"\r\n" + raw,
    "auto-notified": lambda raw: b"Auto-Submitted: auto-notified\r\n" + raw,
    "precedence": lambda raw: b"Precedence: auto_reply\r\n" + raw,
    "bulk": lambda raw: b"Precedence: bulk\r\n" + raw,
    "exchange": lambda raw: b"X-Auto-Response-Suppress: All\r\n" + raw,
    "autoreply": lambda raw: b"X-Autoreply: yes\r\n" + raw,
    "first-class": lambda raw: b"X-FC-MachineGenerated: true\r\n" + raw,
    "list": lambda raw: b"List-Id: <a.b.fi>\r\n" + raw,
    "away": lambda raw: raw.replace(b"Subject: =?", b"Subject: Automaattinen vastaus: =?"),
}  # fmt: skip


def test_no_robot_confirms(app: Flask, caught: Caught):
    letter = letter_to(app, caught)
    raw = answering.gmail(letter, "Kyllä, liityn")
    for name, marked in ROBOTS.items():
        came = comes(app, marked(raw), letter["Reply-To"])
        assert (came.kind, came.state, came.outcome) == ("autoreply", "handled", "robot"), name
    assert comes(app, raw, letter["Reply-To"], sender="").outcome == "robot", "the null return path"
    ours = letter.as_bytes()
    for header in (b"Auto-Submitted", b"List-Id"):
        ours = b"\n".join(line for line in ours.split(b"\n") if not line.startswith(header))
    assert comes(app, ours, letter["Reply-To"]).outcome == "robot", "our own letter, its marks taken off"
    assert state() == "pending"
    letters()
    assert len(caught.mails) == 1, "and none is answered"
    assert comes(app, b"Auto-Submitted: no\r\n" + raw, letter["Reply-To"]).outcome == "confirmed"


def test_no_robot_asks_to_join(app: Flask, caught: Caught):
    for more in ("Auto-Submitted: auto-generated\r\n", "Precedence: list\r\n"):
        assert comes(app, request(more=more), JOIN).outcome == "robot"
    assert comes(app, request(), JOIN, sender="").outcome == "robot"
    with db.reading() as session:
        assert session.scalar(select(func.count()).select_from(Request)) == 0


def test_what_is_no_clear_answer_is_the_owners(app: Flask, caught: Caught):
    letter = letter_to(app, caught)
    for words in ("Kuka olette?", "What is this", "spam", "Yes, but only once a month", "Jag vet inte riktigt"):
        came = comes(app, answering.thunderbird(letter, words), letter["Reply-To"])
        assert (came.kind, came.state, came.outcome) == ("other", "owner", "unclear"), words
    assert state() == "pending"


def test_after_expiry_a_fresh_letter_goes_out_and_is_the_answer_to_the_answer(app: Flask, caught: Caught):
    letter = letter_to(app, caught)
    with db.transaction() as session:
        past = db.utcnow() - timedelta(days=8)
        session.execute(update(Confirmation).values(issued_at=past, expires_at=past + timedelta(days=7)))
        session.execute(update(Request).values(received_at=past, letter_at=past))
    assert comes(app, answering.gmail(letter, "Kyllä"), letter["Reply-To"]).outcome == "fresh-letter"
    assert state() == "pending"
    letters()
    fresh = caught.to("matti@example.fi")[-1]
    assert fresh["In-Reply-To"] == "<answer-1@mail.example.fi>"
    assert fresh["Reply-To"] != letter["Reply-To"]
    assert comes(app, answering.gmail(fresh, "Kyllä"), fresh["Reply-To"]).outcome == "confirmed"
    assert state() == "active"


def test_a_forged_reply_address_is_none_of_ours(app: Flask, caught: Caught):
    letter = letter_to(app, caught)
    local, _, domain = letter["Reply-To"].partition("@")
    for forged in (
        f"{local[:-1]}{'a' if local[-1] != 'a' else 'i'}@{domain}",
        f"c-{'a' * 42}@{domain}",
        f"c-@{domain}",
    ):
        came = comes(app, answering.gmail(letter, "Kyllä"), forged)
        assert came.outcome == "not-ours"
    # The token of a link is none of a reply address, nor that of a return path.
    assert state() == "pending"


def test_the_letter_says_that_it_may_be_answered_only_while_mail_is_read(app: Flask, caught: Caught, settings):
    with db.transaction() as session:
        lists.set_value(session, the_list(session), "owner", "omistaja@example.fi", now=db.utcnow())
        for language in ("fi", "sv", "en"):
            intake.write_down(
                session, the_list(session), address.parse(f"{language}@example.fi"), entrance="web", language=language,
                origin=ORIGIN, now=db.utcnow(),
            )  # fmt: skip
    letters()
    for language, words in (("fi", "vastata"), ("sv", "svara"), ("en", "answer")):
        [letter] = caught.to(f"{language}@example.fi")
        assert words in text_of(letter)
        assert letter["Reply-To"].startswith("c-")
        assert letter["Auto-Submitted"] == "auto-generated"
        assert letter["In-Reply-To"] is None


def test_two_programs_that_answer_each_other_come_to_an_end(app: Flask, caught: Caught):
    """One that says nothing of being a program asks to join whatever it gets, and answers all our letters."""
    now, handed = db.utcnow(), 0
    for _round in range(30):
        comes(app, request(subject="Re: liity", body="Yes."), JOIN)
        letters()
        for letter in caught.to("matti@example.fi")[handed:]:
            handed += 1
            if letter["Reply-To"]:
                comes(app, answering.gmail(letter, "Yes."), letter["Reply-To"])
    assert len(caught.mails) <= 4, "letters have limits, whoever asks"
    assert db.utcnow() - now < timedelta(minutes=5)
