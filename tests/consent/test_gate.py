from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import text

from conftest import NOW
from mailinglist import db
from mailinglist.consent import address, bans, gate, keys, lists, register
from mailinglist.consent.gate import Mail
from mailinglist.consent.keys import Keys
from mailinglist.consent.states import ALL_CHANNELS, Channel, State
from mailinglist.errors import BadInput, NotAllowed, RegisterUnsound
from making import leave_token, person, the_list

MAY_GO = {
    State.PENDING: {Mail.CONFIRM, Mail.SERVICE},
    State.ACTIVE: {Mail.BULLETIN, Mail.WELCOME, Mail.ALREADY, Mail.SERVICE},
    State.LEFT: {Mail.CONFIRM, Mail.SERVICE},
    State.UNDELIVERABLE: {Mail.CONFIRM, Mail.SERVICE},
}


def refusal(session, mail, made):
    return gate.refusals(session, mail, list_id=the_list(session).id, persons=[made.id], now=NOW).get(made.id)


@pytest.mark.parametrize("state", MAY_GO)
def test_what_may_go_in_each_state(app: Flask, state: State):
    with db.transaction() as session:
        made = person(session, "a@example.fi", now=NOW, state=state)
        assert {mail for mail in Mail if refusal(session, mail, made) is None} == MAY_GO[state]


@pytest.mark.parametrize("state", MAY_GO)
def test_a_ban_stops_all_but_what_the_person_asked_for(app: Flask, state: State):
    with db.transaction() as session:
        made = person(session, "a@example.fi", now=NOW, state=state)
        bans.add(session, made.digest, [Channel.EMAIL], source="phone", now=NOW)
        assert {mail for mail in Mail if refusal(session, mail, made) is None} == {Mail.SERVICE}
        assert refusal(session, Mail.BULLETIN, made) == "banned"


def test_bans_on_other_channels_do_not_stop_mail(app: Flask):
    with db.transaction() as session:
        made = person(session, "a@example.fi", now=NOW)
        bans.add(session, made.digest, [c for c in ALL_CHANNELS if c is not Channel.EMAIL], source="phone", now=NOW)
        assert refusal(session, Mail.BULLETIN, made) is None


def test_a_ban_taken_in_for_the_address_as_written_matches_too(app: Flask):
    with db.transaction() as session:
        made = person(session, "Matti.M@example.fi", now=NOW)
        written = keys.keys_of(session).digest("Matti.M@example.fi")
        bans.add_many(session, [written], [Channel.EMAIL], source="list of another firm", now=NOW)
        assert refusal(session, Mail.BULLETIN, made) == "banned"
        assert bans.check(session, address.parse("Matti.M@example.fi")).channels == ("email",)
        assert bans.check(session, address.parse("matti.m@example.fi")).channels == ("email",), "it is the same person"


def test_detail_is_never_stripped(app: Flask):
    with db.transaction() as session:
        made = person(session, "matti+list@example.fi", now=NOW)
        bans.add(session, keys.keys_of(session).digest("matti@example.fi"), [Channel.EMAIL], source="phone", now=NOW)
        assert refusal(session, Mail.BULLETIN, made) is None


def test_somebody_erased_or_of_another_list_gets_nothing(app: Flask):
    with db.transaction() as session:
        made = person(session, "a@example.fi", now=NOW)
        other = lists.add(session, "other", "Other", now=NOW)
        for mail in (Mail.BULLETIN, Mail.CONFIRM, Mail.WELCOME, Mail.ALREADY):
            refused = gate.refusals(session, mail, list_id=other.id, persons=[made.id, 999], now=NOW)
            assert refused == {made.id: "not on the list", 999: "erased"}


def test_a_leave_in_between_is_seen(app: Flask):
    with db.transaction() as session:
        made = person(session, "a@example.fi", now=NOW)
        assert refusal(session, Mail.BULLETIN, made) is None
        register.leave(session, leave_token(session, made), origin={"how": "page"}, now=NOW)
        assert refusal(session, Mail.BULLETIN, made) == "left"


@pytest.mark.parametrize("harm", ["another key", "no check value"])
def test_with_a_wrong_or_lost_ban_key_nothing_may_go(app: Flask, harm: str):
    with db.transaction() as session:
        made = person(session, "a@example.fi", now=NOW)
        if harm == "another key":
            session.info["keys"] = Keys(b"another key, another key, another")
        else:
            session.execute(text("DELETE FROM key_checks"))
        for act in (
            lambda: refusal(session, Mail.BULLETIN, made),
            lambda: refusal(session, Mail.SERVICE, made),
            lambda: bans.check(session, address.parse("a@example.fi")),
            lambda: keys.remember(session),
        ):
            with pytest.raises(RegisterUnsound):
                act()


def test_a_ban_is_lifted_only_on_evidence(app: Flask):
    with db.transaction() as session:
        made = person(session, "A@example.fi", now=NOW)
        bans.add(session, made.digest, ALL_CHANNELS, source="phone", now=NOW)
        assert bans.add(session, made.digest, ALL_CHANNELS, source="again", now=NOW) == ()
        who = address.parse("a@example.fi")
        with pytest.raises(BadInput):
            bans.lift(session, who, [Channel.EMAIL], evidence=" ", who="staff", now=NOW)
        bans.lift(session, who, [Channel.EMAIL], evidence="letter of 1 November", who="staff", now=NOW)
        assert bans.check(session, who).channels == ("post", "phone", "disclosure")
        with pytest.raises(NotAllowed):
            bans.lift(session, who, [Channel.EMAIL], evidence="once more", who="staff", now=NOW)
        bans.add(session, made.digest, [Channel.EMAIL], source="phone again", now=NOW)
        assert bans.check(session, who).channels == tuple(ALL_CHANNELS)
