"""Reports about our mails: they count at the signed return path, and complaints by the signed ids they return."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from arriving import TAKES_MAIL, comes, state
from coming_back import begun, mailed
from mailinglist import db
from mailinglist.consent.register import tokens_of
from mailinglist.delivery.addressing import Addressing
from mailinglist.delivery.tables import Bounce, Complaint
from mailinglist.settings import SETTINGS
from making import leave_token, person

BOUNCE = """\
From: MAILER-DAEMON@mx.example.net
To: {to}
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: text/plain

<{address}>: host mx.example.net said: {words}
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net

Final-Recipient: rfc822; {address}
Action: {action}
Status: {status}
Diagnostic-Code: smtp; {words}
--b--
"""

COMPLAINT = """\
From: fbl@provider.example
To: abuse@lists.example.fi
Subject: complaint
Content-Type: multipart/report; report-type=feedback-report; boundary=b

--b
Content-Type: text/plain

This is an abuse report.
--b
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: Provider-FBL/1.0
Version: 1
--b
Content-Type: message/rfc822

{header}
Subject: Uutisia

Hei
--b--
"""


@pytest.fixture
def extra_settings() -> dict[str, str]:
    return TAKES_MAIL


def bounce(to: str, *, address: str = "matti@example.fi", action: str = "failed", status: str = "5.1.1") -> bytes:
    words = "550 5.1.1 User unknown" if action == "failed" else "451 4.2.0 try again later"
    return BOUNCE.format(to=to, address=address, action=action, status=status, words=words).encode()


def sent(session: Session, app: Flask, mailbox: str = "matti@example.fi", *, days: int = 0) -> tuple[str, str, str]:
    """A bulletin that was mailed: its return path, its Message-ID, its unsubscribe token."""
    then = db.utcnow() - timedelta(days=days)
    made = person(session, mailbox, now=then - timedelta(days=40))
    bulletin = begun(session, now=then)
    [row] = mailed(session, bulletin, [made.id], now=then)
    path, message_id = Addressing(app.config[SETTINGS], tokens_of(session)).of(row)
    return path, message_id, leave_token(session, made, bulletin)


def verdicts() -> list[str]:
    with db.reading() as session:
        return list(session.scalars(select(Bounce.verdict)))


def test_a_bounce_counts_at_its_return_path_whomever_it_names(app: Flask):
    with db.transaction() as session:
        path, _, _ = sent(session, app)
        person(session, "maija@example.fi", now=db.utcnow())
    came = comes(app, bounce(path, address="maija@example.fi"), path.upper(), sender="")
    assert (came.kind, came.state, came.outcome) == ("bounce", "handled", "noted")
    assert came.person_id is not None
    assert verdicts() == ["dead"]
    assert comes(app, bounce(path, status="5.1.10"), path, sender="").outcome == "again"
    assert (state(), state("maija@example.fi")) == ("active", "active"), "nobody is given up for one report"


def test_a_bounce_elsewhere_a_forged_one_and_an_old_one_do_not_count(app: Flask):
    with db.transaction() as session:
        path, _, _ = sent(session, app, days=31)
    forged = path[:5] + ("a" if path[5] != "a" else "b") + path[6:]
    assert comes(app, bounce(path), path, sender="").outcome == "old"
    for to in ("tector-tiedottaa-owner@lists.example.fi", "postmaster@lists.example.fi", forged):
        came = comes(app, bounce(to), to, sender="")
        assert (came.kind, came.state, came.outcome) == ("bounce", "owner", "unnamed-bounce")
    unknown = Addressing(app.config[SETTINGS], app.extensions["mailinglist_session"]["info"]["tokens"]).of(999_999)[0]
    assert comes(app, bounce(unknown), unknown, sender="").outcome == "unknown"
    assert verdicts() == []


def test_a_delay_is_nothing_and_what_nobody_can_read_is_the_owners(app: Flask):
    with db.transaction() as session:
        path, _, _ = sent(session, app)
    assert comes(app, bounce(path, action="delayed", status="4.2.0"), path, sender="").outcome == "nothing-failed"
    odd = f"From: gw@example.net\nTo: {path}\nSubject: hm\n\nxyzzy\n".encode()
    came = comes(app, odd, path, sender="")
    assert (came.state, came.outcome) == ("owner", "unreadable-bounce")
    assert came.list_id is not None
    away = f"From: matti@example.fi\nTo: {path}\nSubject: Automaattinen vastaus: Uutisia\n\nLomalla.\n".encode()
    assert comes(app, away, path, sender="").outcome == "robot"
    words = f"From: matti@example.fi\nTo: {path}\nSubject: Re: Uutisia\n\nOttakaa minut pois listalta!\n".encode()
    assert comes(app, words, path).outcome == "for-a-person", "no opt-out said in plain words is lost"
    assert verdicts() == []


@pytest.mark.parametrize("named", ["message-id", "token"])
def test_a_complaint_ends_the_subscription_at_once_also_a_redacted_one(app: Flask, named: str):
    with db.transaction() as session:
        path, message_id, token = sent(session, app)
    header, to = {
        "message-id": (f"Message-ID: {message_id}", "abuse@lists.example.fi"),
        "token": (f"List-Unsubscribe: <https://lists.example.fi/unsubscribe/{token}>", "abuse@lists.example.fi"),
    }[named]
    raw = COMPLAINT.format(header=header).encode()
    came = comes(app, raw, to, sender="fbl@provider.example")
    assert (came.kind, came.state, came.outcome) == ("complaint", "handled", "noted")
    assert state() == "left"
    assert comes(app, raw, path, sender="fbl@provider.example").outcome == "again"
    with db.reading() as session:
        assert len(session.scalars(select(Complaint.id)).all()) == 1


def test_a_complaint_that_names_nobody_is_the_owners(app: Flask):
    with db.transaction() as session:
        sent(session, app)
    for header in ("Message-ID: <x@y.fi>", "To: matti@example.fi", "Return-Path: <b-aaaa@lists.example.fi>"):
        came = comes(app, COMPLAINT.format(header=header).encode(), "abuse@lists.example.fi")
        assert (came.kind, came.state, came.outcome) == ("complaint", "owner", "unnamed-complaint")
    assert state() == "active"
