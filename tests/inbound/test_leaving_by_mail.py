"""To leave by mail: by the token at once, without one through a letter; and to forbid (GDPR 7(3), 21(2)–(4))."""

from __future__ import annotations

from datetime import timedelta
from email.message import EmailMessage
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from sqlalchemy import func, select

from arriving import LEAVE, TAKES_MAIL, comes, letters, request, state
from catching import Caught, text_of
from coming_back import SENDER
from mailinglist import db
from mailinglist.bulletins import drafts
from mailinglist.consent import address, bans, register, requests, verification
from mailinglist.consent.keys import Keys
from mailinglist.consent.states import ALL_CHANNELS, Channel
from mailinglist.consent.tables import Request
from mailinglist.delivery import dispatch, post
from mailinglist.errors import RegisterUnsound
from mailinglist.inbound import handle
from mailinglist.privacy import rights
from making import leave_token, never, person, the_list
from spooled import keep, owned

MATTI = address.parse("matti@example.fi")


@pytest.fixture
def extra_settings(caught: Caught) -> dict[str, str]:
    return TAKES_MAIL | {"smtp_url": caught.url}


@pytest.fixture
def token(app: Flask) -> str:
    """Of somebody who is on the list since a while."""
    with db.transaction() as session:
        made = person(session, "matti@example.fi", now=db.utcnow() - timedelta(days=3))
        return leave_token(session, made)


def channels() -> tuple[str, ...]:
    with db.reading() as session:
        return bans.check(session, MATTI).channels


def by_mail(message: EmailMessage) -> tuple[str, str]:
    """The mailto of a List-Unsubscribe: recipient and subject."""
    [https, mailto] = [each.strip(" <>") for each in message["List-Unsubscribe"].split(",")]
    assert https.startswith("https://")
    parts = urlsplit(mailto)
    assert parts.scheme == "mailto"
    return parts.path, parse_qs(parts.query)["subject"][0]


def test_the_mailto_of_a_bulletin_leaves_at_once_also_when_a_program_presses_it(app: Flask, caught: Caught, token: str):
    with db.transaction() as session:
        now = db.utcnow()
        bulletin = drafts.add(session, the_list(session), subject="Hei", source="Moi", form="markdown", now=now)
        dispatch.send(session, bulletin.id, sender=SENDER, by="test", at=None, publishers=(), now=now)
    letters()
    post.bulletins(stop=lambda: False)
    [sent] = [each for each in caught.to("matti@example.fi") if each["Feedback-ID"]]
    assert sent["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    to, subject = by_mail(sent)
    marked = request(to, subject, "Auto-Submitted: auto-generated\r\nPrecedence: bulk\r\n", "")
    came = comes(app, marked, to.upper(), sender="")
    assert (came.kind, came.state, came.outcome) == ("command", "handled", "left")
    assert state() == "left"
    assert comes(app, marked, to).outcome == "left", "repeated, it is still so"
    assert channels() == ()


def test_a_token_in_the_text_leaves_too_but_not_for_a_robot(app: Flask, token: str):
    quoted = f"pois\r\n\r\n> Eroa listalta: https://lists.example.fi/unsubscribe/{token[:40]}\r\n> {token[40:]}\r\n"
    assert comes(app, request(LEAVE, "pois", "Auto-Submitted: auto-replied\r\n", quoted), LEAVE).outcome == "robot"
    away = request(LEAVE, "Poissa: lomalla", "", quoted.replace("pois\r", "Palaan\r"))
    assert comes(app, away, LEAVE).outcome == "robot"
    assert state() == "active"
    assert comes(app, request(LEAVE, "pois", "", quoted), LEAVE).outcome == "left"
    assert state() == "left"


@pytest.mark.parametrize(
    ("body", "forbidden"),
    [
        ("Kiellän suoramarkkinoinnin.", ALL_CHANNELS),
        ("No more marketing mails, please", (Channel.EMAIL,)),
        ("Skicka mig aldrig mer e-post!", (Channel.EMAIL,)),
        ("Kiitos ja näkemiin", ()),
    ],
)
def test_words_that_forbid_marketing_forbid_it(app: Flask, token: str, body: str, forbidden: tuple[Channel, ...]):
    came = comes(app, request(LEAVE, token, "Content-Type: text/plain; charset=utf-8\r\n", body), LEAVE)
    assert came.outcome == ("banned" if forbidden else "left")
    assert state() == "left"
    assert channels() == forbidden


def test_a_program_forbids_nothing(app: Flask, token: str):
    raw = request(LEAVE, token, "Auto-Submitted: auto-generated\r\n", "I object to all marketing")
    assert comes(app, raw, LEAVE).outcome == "left"
    assert channels() == ()


def test_without_a_token_a_letter_with_a_link_comes_and_its_limits_hold(app: Flask, caught: Caught, token: str):
    letters()
    caught.mails.clear()
    for outcome in ("letter", "no-letter", "no-letter"):
        assert comes(app, request(LEAVE, "pois", "", "pois"), LEAVE).outcome == outcome
    letters()
    came = comes(app, request(LEAVE, "pois", "", "pois"), LEAVE)
    assert (came.state, came.outcome) == ("owner", "no-letter"), (
        "who asks again may not find the letter: a person looks"
    )
    [letter] = caught.to("matti@example.fi")
    assert letter["Auto-Submitted"] == "auto-replied"
    assert letter["In-Reply-To"] == "<request-1@mail.example.fi>"
    assert "/unsubscribe/" in text_of(letter)
    assert "Verkkosivu" not in text_of(letter), "it was asked for by mail"
    assert state() == "active"
    stranger = request(LEAVE).replace(b"matti@example.fi", b"outo@example.fi")
    came = comes(app, stranger, LEAVE)
    assert (came.state, came.outcome) == ("owner", "unlisted"), "it may be about another address: a person looks"
    for robot in (request(LEAVE, more="Precedence: bulk\r\n"), request(LEAVE, more="X-Autoreply: yes\r\n")):
        assert comes(app, robot, LEAVE).outcome == "robot"
    letters()
    assert len(caught.mails) == 1


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_a_leave_from_another_address_reaches_the_owner(app: Flask, caught: Caught, token: str):
    owned(language="fi")
    letters()
    caught.mails.clear()
    keep(request(LEAVE, "pois", "", "Poistakaa matti@example.fi").replace(b"<matti@", b"<m.toinen@"), LEAVE)
    handle.handle(stop=never)
    letters()
    [letter] = caught.to("omistaja@example.org")
    assert len(caught.mails) == 1
    words = " ".join(text_of(letter).split())
    assert "lähettäjän osoite ei ole listalla" in words
    assert "Poistakaa matti@example.fi" in words


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_a_leave_of_who_wants_no_letters_reaches_the_owner(app: Flask, token: str):
    with db.transaction() as session:
        register.find(session, MATTI).muted_until = db.utcnow() + timedelta(days=9)
    came = comes(app, request(LEAVE, "pois", "", "pois"), LEAVE)
    assert (came.state, came.outcome) == ("owner", "no-letter")


def test_after_an_erasure_the_token_still_forbids(app: Flask, token: str):
    with db.transaction() as session:
        rights.erase(session, MATTI, db.utcnow())
    raw = request(LEAVE, token, "", "I forbid all marketing")
    assert comes(app, raw, LEAVE).outcome == "banned"
    assert channels() == ALL_CHANNELS
    with db.reading() as session:
        assert list(verification.verify(session)) == []


def test_with_a_wrong_ban_key_a_leave_is_kept_and_entered_later(app: Flask, token: str):
    right = app.extensions["mailinglist_session"]["info"]["keys"]
    db.install(app, keys=Keys(b"another key, another key, another"))
    assert comes(app, request(LEAVE, token, "", "I forbid all marketing"), LEAVE).outcome == "kept"
    with pytest.raises(RegisterUnsound), db.transaction() as session:
        requests.take(session, now=db.utcnow())
    db.install(app, keys=right)
    with db.transaction() as session:
        requests.take(session, now=db.utcnow())
        assert list(verification.verify(session)) == []
    assert state() == "left"
    assert channels() == ALL_CHANNELS


def test_what_programs_tell_the_desk_is_the_owners_but_not_their_answers(app: Flask):
    notice, away = request(more="Auto-Submitted: auto-generated\r\n"), request(subject="Automaattinen vastaus: hei")
    ours = request(more="Auto-Submitted: auto-generated\r\nList-Id: <tector-tiedottaa.lists.example.fi>\r\n")
    for to in ("postmaster@lists.example.fi", "tector-tiedottaa-owner@lists.example.fi"):
        assert [comes(app, raw, to).state for raw in (notice, away, ours)] == ["owner", "handled", "handled"]
        assert comes(app, request(), to, sender="").outcome == "unreadable-bounce"


def test_a_no_that_looks_like_a_robots_by_its_subject_alone_is_read_by_a_person(app: Flask, token: str):
    owner = "tector-tiedottaa-owner@lists.example.fi"
    for to in (LEAVE, owner, "postmaster@lists.example.fi"):
        for subject in ("Poissa listalta", "Lomalla - poistakaa minut listalta"):
            came = comes(app, request(to, subject, "", "Poistakaa minut listalta!"), to)
            assert (came.kind, came.state, came.outcome) == ("other", "owner", "for-a-person")
            assert comes(app, request(to, subject, "", "Olen lomalla elokuuhun."), to).outcome == "robot"
        said = request(to, "Poissa", "Auto-Submitted: auto-replied\r\n", "Poistakaa minut listalta!")
        assert comes(app, said, to).outcome == "robot"
    assert state() == "active"


def test_everything_else_is_the_owners(app: Flask):
    for to, raw, outcome in (
        ("tector-tiedottaa-owner@lists.example.fi", request(), "for-a-person"),
        ("abuse@lists.example.fi", request(), "for-a-person"),
        ("no-such-list-leave@lists.example.fi", request(), "not-ours"),
        ("matti@lists.example.fi", request(), "not-ours"),
        (LEAVE, request(LEAVE).replace(b"<matti@example.fi>", b"<a@b.fi>, <c@d.fi>"), "no-address"),
        (LEAVE, request(LEAVE).replace(b"From:", b"X-From:"), "no-address"),
        (LEAVE, request(LEAVE).replace(b"matti@example.fi", b"tiedote@lists.example.fi"), "for-a-person"),
        (
            LEAVE,
            request(LEAVE).replace(b"matti@example.fi", b"tector-tiedottaa-owner@lists.example.fi"),
            "for-a-person",
        ),
    ):
        came = comes(app, raw, to)
        assert (came.state, came.outcome) == ("owner", outcome)
    with db.reading() as session:
        assert session.scalar(select(func.count()).select_from(Request)) == 0
