"""A ban of one list alone on one's own page: shown with its list, and lifted by itself or with all others."""

from __future__ import annotations

import html

from flask import Flask
from flask.testing import FlaskClient

from mailinglist import db
from mailinglist.consent import address, bans, keys, lists, own_page, register, verification
from mailinglist.consent.bans import Forbidden
from mailinglist.consent.states import Channel
from making import person

MATTI = "matti@example.fi"


def key(mailbox: str = MATTI) -> str:
    """A key, as the letter would have it."""
    with db.reading() as session:
        digest = keys.keys_of(session).digest(mailbox)
        made = own_page.Key(digest, digest, db.utcnow()).token(register.tokens_of(session))
    return f"/preferences/{made}"


def forbidden() -> tuple[Forbidden, ...]:
    with db.reading() as session:
        return bans.check(session, address.parse(MATTI)).forbidden


def forbid(*, known: bool) -> None:
    with db.transaction() as session:
        if known:
            person(session, MATTI, now=db.utcnow())
        other = lists.add(session, "toinen", "Toinen", now=db.utcnow())
        digest = keys.keys_of(session).digest(MATTI)
        for only in (None, other):
            bans.add(session, digest, [Channel.EMAIL, Channel.POST], only=only, source="told", now=db.utcnow())


ALL, ONE = Forbidden(Channel.EMAIL), Forbidden(Channel.EMAIL, "toinen")
POST, POST_ONE = Forbidden(Channel.POST), Forbidden(Channel.POST, "toinen")


def test_what_is_in_force_is_shown_and_lifted_one_by_one(app: Flask, client: FlaskClient) -> None:
    forbid(known=True)
    where = key()
    shown = html.unescape(client.get(f"{where}?lang=en").text)
    assert "By e-mail: only the list “Toinen”" in shown
    assert 'name="list" value="toinen"' in shown
    client.post(where, data={"act": "lift", "channel": "email", "list": "toinen"})
    assert forbidden() == (ALL, POST, POST_ONE)
    client.post(where, data={"act": "lift", "channel": "post"})
    assert forbidden() == (ALL, POST_ONE), "of all lists, and nothing else"
    shown = html.unescape(client.get(f"{where}?lang=en").text)
    assert ("Not forbidden on all lists." in shown, "only the list" in shown) == (True, True)
    client.post(where, data={"act": "lift", "channel": "all"})
    assert forbidden() == ()
    with db.reading() as session:
        assert list(verification.verify(session)) == []


def test_a_stranger_finds_a_narrow_ban_too(app: Flask, client: FlaskClient) -> None:
    forbid(known=False)
    where = key()
    for form in ({"channel": "email"}, {"channel": "post"}, {"channel": "post", "list": "toinen"}):
        client.post(where, data={"act": "lift", **form})
    assert forbidden() == (ONE,)
    shown = html.unescape(client.get(f"{where}?lang=en").text)
    assert "We keep only that marketing to it is forbidden." in shown
    assert "Lift all bans" not in shown, "there is but one"
    client.post(where, data={"act": "lift", "channel": "email", "list": "toinen"})
    assert forbidden() == ()
    assert "no ban is kept for it" in client.get(f"{where}?lang=en").text
