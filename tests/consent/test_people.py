from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask

from conftest import NOW
from mailinglist import db
from mailinglist.consent import address, bans, keys, lists, register
from mailinglist.consent.people import look_up
from mailinglist.consent.states import Channel, State
from mailinglist.errors import Unknown
from making import person, the_list


def test_what_the_register_knows_of_a_person(app: Flask):
    with db.transaction() as session:
        made = person(session, "Matti@Example.fi", now=NOW)
        lists.set_value(session, the_list(session), "consent-fi", "Uusi teksti.", now=NOW)
        bans.add(session, made.digest, [Channel.POST], source="phone", now=NOW)
        found = look_up(session, address.parse("MATTI@EXAMPLE.FI"))
    assert (found.address, found.language, found.bans) == ("Matti@example.fi", "fi", ("post",))
    (standing,) = found.subscriptions
    assert (standing.list, standing.state, standing.basis) == ("tector-tiedottaa", "active", "consent")
    assert standing.since == NOW + timedelta(seconds=1)
    assert standing.text_version == 1, "the version that was agreed to, not the newest"


def test_somebody_pending_has_agreed_to_no_text_yet(app: Flask):
    with db.transaction() as session:
        person(session, "a@example.fi", now=NOW, state=State.PENDING)
        (standing,) = look_up(session, address.parse("a@example.fi")).subscriptions
    assert (standing.state, standing.text_version) == ("pending", None)


def test_nobody(app: Flask):
    with db.transaction() as session:
        with pytest.raises(Unknown, match=r"^Nobody with this address is in the register\.$"):
            look_up(session, address.parse("a@example.fi"))
        bans.add(session, keys.keys_of(session).digest("a@example.fi"), [Channel.EMAIL], source="phone", now=NOW)
        with pytest.raises(Unknown, match=r"a marketing ban is kept for it \(email\)"):
            look_up(session, address.parse("a@example.fi"))
        assert register.find(session, address.parse("a@example.fi")) is None
