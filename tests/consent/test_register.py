from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask

from conftest import NOW
from mailinglist import db
from mailinglist.consent import address, bans, confirming, proof, register, verification
from mailinglist.consent.states import ALL_CHANNELS, Channel, State
from mailinglist.errors import Banned, TokenForged, TokenSpent
from making import ORIGIN, ask, leave_token, letter, person, the_list


def state_of(session, mailbox):
    found = register.find(session, address.parse(mailbox))
    if found is None:
        return State.NONE
    standing = register.subscription(session, found.id, the_list(session).id)
    return standing.standing if standing else State.NONE


def events(session, mailbox):
    return [item["event"] for item in proof.prove(session, address.parse(mailbox).folded)]


def test_asking_then_answering_the_letter_puts_a_person_on_the_list(app: Flask):
    with db.transaction() as session:
        confirm, _ = letter(session, ask(session, "Matti@Example.fi", now=NOW), now=NOW)
        assert state_of(session, "matti@example.fi") is State.PENDING
        assert confirming.confirm(session, confirm, origin=ORIGIN, now=NOW).door is confirming.Door.OPEN
    with db.reading() as session:
        assert state_of(session, "MATTI@example.fi") is State.ACTIVE
        history = proof.prove(session, "matti@example.fi")
        assert [item["event"] for item in history] == ["asked", "confirmed"]
        assert "suoramarkkinoin" in history[1]["text_shown"]
        assert history[1]["evidence_content"]["client"] == "192.0.2.7"
        assert list(verification.verify(session)) == []


def test_confirming_again_is_no_second_event(app: Flask):
    with db.transaction() as session:
        confirm, _ = letter(session, ask(session, "a@example.fi", now=NOW), now=NOW)
        confirming.confirm(session, confirm, origin=ORIGIN, now=NOW)
        assert confirming.confirm(session, confirm, origin=ORIGIN, now=NOW).door is confirming.Door.DONE
        assert events(session, "a@example.fi") == ["asked", "confirmed"]


def test_each_unexpired_letter_of_an_open_request_confirms(app: Flask):
    with db.transaction() as session:
        first, _ = letter(session, ask(session, "a@example.fi", now=NOW), now=NOW)
        later = NOW + timedelta(minutes=11)
        second, _ = letter(session, ask(session, "a@example.fi", now=later), now=later)
        assert confirming.confirm(session, first, origin=ORIGIN, now=later).door is confirming.Door.OPEN
        assert confirming.confirm(session, second, origin=ORIGIN, now=later).door is confirming.Door.DONE


def test_an_expired_letter_does_not_confirm(app: Flask):
    with db.transaction() as session:
        confirm, _ = letter(session, ask(session, "a@example.fi", now=NOW), now=NOW)
        with pytest.raises(TokenSpent):
            confirming.confirm(session, confirm, origin=ORIGIN, now=NOW + timedelta(days=7))
        assert state_of(session, "a@example.fi") is State.PENDING


def test_a_token_of_another_purpose_or_altered_is_forged(app: Flask):
    with db.transaction() as session:
        confirm, not_me = letter(session, ask(session, "a@example.fi", now=NOW), now=NOW)
        made = register.find(session, address.parse("a@example.fi"))
        for token in (not_me, leave_token(session, made), confirm[:-1], confirm + "A", "", "å", "A" * 5000, "." * 9):
            with pytest.raises(TokenForged):
                confirming.confirm(session, token, origin=ORIGIN, now=NOW)
        with pytest.raises(TokenForged):
            register.leave(session, confirm, origin=ORIGIN, now=NOW)


def test_a_letter_from_before_a_leave_never_confirms_a_fresh_one_does(app: Flask):
    with db.transaction() as session:
        stale, _ = letter(session, ask(session, "a@example.fi", now=NOW), now=NOW)
        made = register.find(session, address.parse("a@example.fi"))
        confirming.confirm(session, stale, origin=ORIGIN, now=NOW)
        register.leave(session, leave_token(session, made), origin=ORIGIN, now=NOW + timedelta(minutes=1))
        later = NOW + timedelta(minutes=2)
        fresh, _ = letter(session, ask(session, "a@example.fi", now=later), now=later)
        assert state_of(session, "a@example.fi") is State.LEFT, "asking alone must not lead out of left"
        with pytest.raises(TokenSpent):
            confirming.confirm(session, stale, origin=ORIGIN, now=later)
        confirming.confirm(session, fresh, origin=ORIGIN, now=later)
        assert state_of(session, "a@example.fi") is State.ACTIVE
        assert list(verification.verify(session)) == []


def test_leaving_twice_is_one_event_and_ends_open_requests(app: Flask):
    with db.transaction() as session:
        made = person(session, "a@example.fi", now=NOW, state=State.LEFT)
        later = NOW + timedelta(minutes=5)
        confirm, _ = letter(session, ask(session, "a@example.fi", now=later), now=later)
        register.leave(session, leave_token(session, made), origin=ORIGIN, now=later)
        assert events(session, "a@example.fi").count("left") == 1
        with pytest.raises(TokenSpent):
            confirming.confirm(session, confirm, origin=ORIGIN, now=later)


def test_not_me_ends_the_request_and_silences_confirmation_letters_for_a_year(app: Flask):
    with db.transaction() as session:
        confirm, not_me = letter(session, ask(session, "a@example.fi", now=NOW), now=NOW)
        confirming.disown(session, not_me, origin=ORIGIN, now=NOW)
        with pytest.raises(TokenSpent):
            confirming.confirm(session, confirm, origin=ORIGIN, now=NOW)
        assert ask(session, "a@example.fi", now=NOW + timedelta(days=364)).outcome == "muted"
        assert ask(session, "a@example.fi", now=NOW + timedelta(days=366)).outcome == "asked"


def test_a_ban_stops_the_letter_and_the_confirmation(app: Flask):
    with db.transaction() as session:
        confirm, _ = letter(session, ask(session, "a@example.fi", now=NOW), now=NOW)
        made = register.find(session, address.parse("a@example.fi"))
        register.leave(session, leave_token(session, made), origin=ORIGIN, ban=ALL_CHANNELS, now=NOW)
        assert bans.check(session, address.parse("A@example.fi")).channels == tuple(ALL_CHANNELS)
        request = ask(session, "a@example.fi", now=NOW + timedelta(days=2))
        assert (request.outcome, request.letter, request.mailbox) == ("banned", None, None)
        with pytest.raises(TokenSpent):
            confirming.confirm(session, confirm, origin=ORIGIN, now=NOW)


def test_a_ban_given_meanwhile_stops_a_confirmation(app: Flask):
    with db.transaction() as session:
        confirm, _ = letter(session, ask(session, "a@example.fi", now=NOW), now=NOW)
        made = register.find(session, address.parse("a@example.fi"))
        bans.add(session, made.digest, [Channel.EMAIL], source="phone", now=NOW)
        with pytest.raises(Banned):
            confirming.confirm(session, confirm, origin=ORIGIN, now=NOW)
        assert state_of(session, "a@example.fi") is State.PENDING


def test_erasure_keeps_the_ban_and_the_old_link_still_forbids(app: Flask):
    with db.transaction() as session:
        made = person(session, "a@example.fi", now=NOW)
        token = leave_token(session, made)
        register.forget(session, made, now=NOW)
    with db.transaction() as session:
        assert register.find(session, address.parse("a@example.fi")) is None
        register.leave(session, token, origin=ORIGIN, ban=[Channel.EMAIL], now=NOW)
        register.leave(session, token, origin=ORIGIN, ban=[Channel.EMAIL], now=NOW)
        assert bans.check(session, address.parse("a@example.fi")).channels == ("email",)
        assert ask(session, "a@example.fi", now=NOW).outcome == "banned"
        assert events(session, "a@example.fi") == ["asked", "confirmed", "erased", "banned"]
        assert list(verification.verify(session)) == []


def test_an_erased_person_who_comes_back_goes_on_in_the_same_chain(app: Flask):
    with db.transaction() as session:
        register.forget(session, person(session, "a@example.fi", now=NOW), now=NOW)
    with db.transaction() as session:
        person(session, "a@example.fi", now=NOW + timedelta(days=1))
        assert events(session, "a@example.fi") == ["asked", "confirmed", "erased", "asked", "confirmed"]
        assert list(verification.verify(session)) == []
