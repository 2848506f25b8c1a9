"""What a mail server refuses while it is spoken to counts as a report does: through a real conversation."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from catching import Caught
from mailinglist import db
from mailinglist.bulletins import drafts
from mailinglist.consent import lists
from mailinglist.consent.states import State
from mailinglist.consent.tables import Subscription
from mailinglist.delivery import dispatch, post
from mailinglist.delivery.tables import Bounce, Handoff
from making import crowd, never, person, the_list


@pytest.fixture
def extra_settings(caught: Caught) -> dict[str, str]:
    return {"smtp_url": caught.url, "smtp_connections": "1", "bounce_domain": "lists.example.fi"}


def sent(session: Session) -> int:
    bulletin = drafts.add(session, the_list(session), subject="Hei", source="Moi", form="markdown", now=db.utcnow())
    dispatch.send(session, bulletin.id, sender="a@lists.example.fi", by="test", at=None, publishers=(), now=db.utcnow())
    return bulletin.id


def states(session: Session) -> list[str]:
    return list(session.scalars(select(Subscription.state).order_by(Subscription.person_id)))


def a_day_passes() -> None:
    """What was mailed is a day older; and so is everybody's joining."""
    with db.transaction() as session:
        session.execute(update(Bounce).values(mailed_at=db.utcnow() - timedelta(days=1)))
        session.execute(update(Subscription).values(since=db.utcnow() - timedelta(days=30)))


def test_two_bulletins_that_are_refused_end_it(app: Flask, caught: Caught):
    caught.answers = {
        "gone@example.fi": "550 5.1.1 <gone@example.fi>: no such user",
        "full@example.fi": "552 5.2.2 mailbox full",
        "spam@example.fi": "550 5.7.1 blocked: our policy",
    }
    with db.transaction() as session:
        for mailbox in ("here@example.fi", *caught.answers):
            person(session, mailbox, now=db.utcnow() - timedelta(days=30))
        sent(session)
    post.bulletins(stop=never)
    with db.reading() as session:
        noted = session.scalars(select(Bounce).order_by(Bounce.person_id)).all()
        assert [(each.verdict, each.code, each.status, each.origin) for each in noted] == [
            ("dead", 550, "5.1.1", "conversation"), ("mailbox", 552, "5.2.2", "conversation"),
            ("sender", 550, "5.7.1", "conversation"),
        ]  # fmt: skip
        assert noted[0].words == "<[address]>: no such user"
        assert not any(each.due for each in noted)
        assert states(session) == ["active"] * 4
    a_day_passes()
    with db.transaction() as session:
        second = sent(session)
    post.bulletins(stop=never)
    with db.reading() as session:
        assert states(session) == [State.ACTIVE, State.UNDELIVERABLE, State.ACTIVE, State.ACTIVE]
        found = dispatch.status(session, second)
        assert (found.state, found.accepted, found.rejected) == ("sent", 1, 3)


def test_a_server_that_refuses_us_pauses_what_is_still_to_go(app: Flask, caught: Caught):
    with db.transaction() as session:
        crowd(session, 120, now=db.utcnow() - timedelta(days=30))
        lists.set_value(session, the_list(session), "rate", "200", now=db.utcnow())  # so that groups are small
        caught.answers = {f"p{n}@example.fi": f"550 5.7.1 blocked, see case {n}" for n in range(120)}
        number = sent(session)
    post.bulletins(stop=never)
    with db.reading() as session:
        found = dispatch.status(session, number)
        assert found.state == "paused"
        assert found.trouble is not None
        assert "blocked, see case" in found.trouble
        assert found.pending, "there is something left to go"
        assert found.audience == 120
        assert states(session) == [State.ACTIVE] * 120
    caught.answers = {}
    with db.transaction() as session:
        dispatch.resume(session, number, now=db.utcnow())
    post.bulletins(stop=never)
    with db.reading() as session:
        after = dispatch.status(session, number)
        assert (after.state, after.trouble) == ("sent", None)
        assert (after.accepted, after.rejected) == (found.pending, found.rejected)
        assert session.scalars(select(Handoff.id).where(Handoff.state == "handing")).all() == []
