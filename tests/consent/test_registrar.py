from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from flask import Flask

from conftest import NOW
from mailinglist import db
from mailinglist.consent import (
    address,
    bans,
    confirming,
    intake,
    keys,
    lists,
    notes,
    people,
    proof,
    readdressed,
    register,
    registrar,
    requests,
    transfer,
    verification,
)
from mailinglist.consent import sheet as sheets
from mailinglist.consent.bans import Forbidden
from mailinglist.consent.registrar import Told
from mailinglist.consent.states import Basis, Channel, State
from mailinglist.consent.tables import Request
from mailinglist.delivery import received
from mailinglist.errors import BadInput, Banned, NotAllowed, TokenSpent, Unknown
from mailinglist.privacy import rights
from making import ORIGIN, ask, leave_token, letter, person, the_list

TOLD = Told(how="phone", words="Called on Monday; call log 17.", on=date(2026, 11, 2), who="maija")
LATER = NOW + timedelta(minutes=1)


def at(mailbox: str) -> address.Address:
    return address.parse(mailbox)


def state(session, mailbox: str) -> str:
    (standing,) = people.look_up(session, at(mailbox)).subscriptions
    return standing.state


def sound(session) -> bool:
    return list(verification.verify(session)) == []


# ── joining ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_who_asked_by_phone_is_on_the_list_once_the_letter_is_answered(app: Flask, bells: list[frozenset[str]]):
    with db.transaction() as session:
        registrar.enter(session, the_list(session), at("Matti@example.fi"), TOLD, language="sv", name="Matti", now=NOW)
    assert bells == [frozenset({db.REQUESTS})]
    with db.transaction() as session:
        requests.take(session, now=NOW)
        (request,) = requests.letters_due(session, limit=5)
        assert state(session, "matti@example.fi") == "pending"
        (asked,) = proof.prove(session, "matti@example.fi")
        evidence = asked["evidence_content"]
        assert (evidence["how"], evidence["evidence"], evidence["asked_on"], evidence["recorded_by"]) == (
            "phone", TOLD.words, "2026-11-02", "maija",
        )  # fmt: skip
        assert (asked["source"], asked["language"]) == ("staff", "sv")
        assert asked["text_shown"]
        confirming.confirm(session, letter(session, request, now=NOW)[0], origin=ORIGIN, now=NOW)
        assert state(session, "matti@example.fi") == "active"
        assert sound(session)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (Told("phone", " \n", TOLD.on, "maija"), "needs evidence"),
        (Told("pigeon", "x", TOLD.on, "maija"), "by phone, on paper"),
        (Told("paper", "x", date(2999, 1, 1), "maija"), "future"),
        (Told("paper", "a\0b", TOLD.on, "maija"), "control characters"),
        (Told("paper", "x" * 2001, TOLD.on, "maija"), "at most 2,000"),
    ],
)
def test_nothing_is_written_down_without_evidence(app: Flask, told: Told, words: str):
    with db.transaction() as session:
        made, row = person(session, "a@example.fi", now=NOW), the_list(session)
        for act in (
            lambda: registrar.enter(session, row, at("b@example.fi"), told, now=NOW),
            lambda: registrar.leave(session, made.id, row, told, now=NOW),
            lambda: registrar.forbid(session, at("a@example.fi"), [Channel.EMAIL], told, now=NOW),
            lambda: registrar.lift(session, at("a@example.fi"), [Channel.EMAIL], told, now=NOW),
            lambda: registrar.correct_details(session, made.id, told, name="A", language="fi", now=NOW),
            lambda: registrar.correct_address(session, made.id, at("b@example.fi"), told, now=NOW),
        ):
            with pytest.raises(BadInput, match=words):
                act()
        assert len(proof.prove(session, "a@example.fi")) == 2


def test_the_day_is_that_of_where_staff_sit(app: Flask):
    """Half past midnight in Helsinki, while it is yesterday in UTC, by which the server's clock goes."""
    now = datetime(2026, 11, 22, 22, 30, tzinfo=UTC)
    with db.transaction() as session:
        today = replace(TOLD, on=date(2026, 11, 23))
        registrar.enter(session, the_list(session), at("a@example.fi"), today, language="fi", name=None, now=now)
        with pytest.raises(BadInput, match="future"):
            tomorrow = replace(TOLD, on=date(2026, 11, 24))
            registrar.enter(session, the_list(session), at("b@example.fi"), tomorrow, language="fi", name=None, now=now)


def test_a_ban_in_force_a_disowned_mailbox_and_who_is_on_the_list_are_refused(app: Flask):
    with db.transaction() as session:
        row = the_list(session)
        registrar.forbid(session, at("banned@example.fi"), [Channel.EMAIL], TOLD, now=NOW)
        with pytest.raises(Banned):
            registrar.enter(session, row, at("Banned@example.fi"), TOLD, now=NOW)
        person(session, "active@example.fi", now=NOW)
        with pytest.raises(NotAllowed, match="on the list already"):
            registrar.enter(session, row, at("active@example.fi"), TOLD, now=NOW)
        _, not_me = letter(session, ask(session, "stranger@example.fi", now=NOW), now=NOW)
        confirming.disown(session, not_me, origin=ORIGIN, now=NOW)
        with pytest.raises(NotAllowed, match="did not ask"):
            registrar.enter(session, row, at("stranger@example.fi"), TOLD, now=LATER)


def test_who_left_gets_a_letter_and_stays_left_until_it_is_answered(app: Flask):
    with db.transaction() as session:
        person(session, "a@example.fi", now=NOW, state=State.LEFT)
        later = NOW + timedelta(days=2)
        registrar.enter(session, the_list(session), at("a@example.fi"), TOLD, now=later)
        requests.take(session, now=later)
        assert state(session, "a@example.fi") == "left"
        assert [request.letter for request in requests.letters_due(session, limit=5)][-1] == "confirm"


# ── leaving, bans, details ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_leave_by_staff(app: Flask):
    with db.transaction() as session:
        made, row = person(session, "a@example.fi", now=NOW), the_list(session)
        acted = register.subscription(session, made.id, row.id).acted_at
        assert registrar.leave(session, made.id, row, TOLD, now=LATER) is True
        assert registrar.leave(session, made.id, row, TOLD, now=LATER) is False
        assert state(session, "a@example.fi") == "left"
        last = proof.prove(session, "a@example.fi")[-1]
        assert (last["event"], last["source"], last["evidence_content"]["recorded_by"]) == ("left", "staff", "maija")
        assert register.subscription(session, made.id, row.id).acted_at == acted, "no proof that the mailbox is theirs"
        with pytest.raises(Unknown):
            registrar.leave(session, 4711, row, TOLD, now=LATER)
        other = lists.add(session, "toinen", "Toinen", now=NOW)
        with pytest.raises(NotAllowed, match="not on the list"):
            registrar.leave(session, made.id, other, TOLD, now=LATER)
        assert sound(session)


def test_bans_by_channel_are_recorded_and_lifted_on_evidence(app: Flask):
    with db.transaction() as session:
        made = person(session, "a@example.fi", now=NOW)
        given = registrar.forbid(session, at("a@example.fi"), [Channel.EMAIL, Channel.POST], TOLD, now=LATER)
        assert set(given) == {Channel.EMAIL, Channel.POST}
        assert registrar.forbid(session, at("a@example.fi"), [Channel.POST], TOLD, now=LATER) == ()
        lifted = registrar.lift(session, at("a@example.fi"), [Channel.EMAIL], TOLD, now=LATER)
        assert lifted == (Forbidden(Channel.EMAIL),)
        found = people.whole(session, made.id).bans
        assert [(ban.channel, ban.lifted_at is None) for ban in found] == [("post", True), ("email", False)]
        assert found[1].lifted_by == "phone, 2026-11-02: Called on Monday; call log 17."
        with pytest.raises(BadInput, match="channel"):
            registrar.forbid(session, at("a@example.fi"), [], TOLD, now=LATER)
        assert sound(session)


def test_name_and_language(app: Flask):
    with db.transaction() as session:
        made = person(session, "a@example.fi", now=NOW)
        assert registrar.correct_details(session, made.id, TOLD, name=" Aino ", language="sv", now=LATER) == (
            "name",
            "language",
        )
        assert registrar.correct_details(session, made.id, TOLD, name="Aino", language="sv", now=LATER) == ()
        for name, language in (("two\nlines", "sv"), ("Aino", "de")):
            with pytest.raises(BadInput):
                registrar.correct_details(session, made.id, TOLD, name=name, language=language, now=LATER)
        entries = proof.prove(session, "a@example.fi")
        assert [entry["event"] for entry in entries][-1] == "corrected"
        assert "Aino" not in str(entries), "the ledger and its evidence say which, not what"
        assert sound(session)


# ── another address ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_new_address_waits_for_its_own_confirmation(app: Flask):
    with db.transaction() as session:
        made, row = person(session, "old@example.fi", now=NOW), the_list(session)
        old_digest = made.digest
        assert registrar.correct_address(session, made.id, at("New@example.fi"), TOLD, now=LATER) == (row,)
        assert state(session, "new@example.fi") == "pending"
        with pytest.raises(Unknown):
            people.look_up(session, at("old@example.fi"))
        # The first letter went out a minute ago, to another address: no limit holds this one back.
        requests.take(session, now=LATER)
        request = requests.letters_due(session, limit=5)[-1]
        assert (request.person_id, request.letter) == (made.id, "confirm")
        confirming.confirm(session, letter(session, request, now=LATER)[0], origin=ORIGIN, now=LATER)
        assert state(session, "new@example.fi") == "active"
        told = [entry["event"] for entry in proof.prove(session, "new@example.fi")]
        assert told == ["asked", "confirmed", "moved", "readdressed", "asked", "confirmed"]
        assert [entry["event"] for entry in proof.prove(session, "old@example.fi")] == ["asked", "confirmed", "moved"]
        assert sound(session)
        # A link in a mail to the old address still ends it, and forbids for both.
        token = register.unsubscribe_token(register.tokens_of(session), row.id, old_digest)
        assert register.exit_for(session, token).left is False
        register.leave(session, token, origin=ORIGIN, ban=[Channel.EMAIL], now=LATER)
        assert state(session, "new@example.fi") == "left"
        for mailbox in ("old@example.fi", "new@example.fi"):
            assert bans.check(session, at(mailbox)).channels == ("email",)
        assert sound(session)


def test_bans_go_along_and_stay(app: Flask):
    with db.transaction() as session:
        made = person(session, "Old@example.fi", now=NOW)
        exact = keys.keys_of(session).digest("Old@example.fi")
        bans.add_many(session, [exact], [Channel.EMAIL], source="a list of SHA-256", now=NOW)
        bans.add(session, made.digest, [Channel.PHONE], source="phone", now=NOW)
        assert registrar.correct_address(session, made.id, at("new@example.fi"), TOLD, now=LATER) == ()
        assert bans.check(session, at("new@example.fi")).channels == ("email", "phone")
        assert bans.check(session, at("Old@example.fi")).channels == ("email", "phone")
        requests.take(session, now=LATER)
        assert [request.letter_at for request in requests.letters_due(session, limit=5)] == [NOW], "no new letter"
        registrar.lift(session, at("Old@example.fi"), [Channel.EMAIL, Channel.PHONE], TOLD, now=LATER)
        assert bans.check(session, at("new@example.fi")).channels == ("email", "phone")
        assert sound(session)


def test_who_left_stays_left_under_a_new_address_and_no_import_brings_the_old_one_back(app: Flask):
    def imported(mailbox: str):
        found = sheets.read(f"email\n{mailbox}\n".encode())
        consignment = transfer.Consignment(found, Basis.CONSENT, "old program", "x.csv", "00")
        return transfer.take_in(session, the_list(session), consignment, who="maija", now=LATER)

    with db.transaction() as session:
        left = person(session, "left@example.fi", now=NOW, state=State.LEFT)
        active = person(session, "active@example.fi", now=NOW)
        assert registrar.correct_address(session, left.id, at("left2@example.fi"), TOLD, now=LATER) == ()
        registrar.correct_address(session, active.id, at("active2@example.fi"), TOLD, now=LATER)
        assert state(session, "left2@example.fi") == "left"
        for mailbox in ("left@example.fi", "left2@example.fi", "active@example.fi"):
            assert imported(mailbox).refused[0].reason.startswith("left: ")
        assert sound(session)


def test_letters_to_the_old_address_grant_nothing_any_more(app: Flask):
    with db.transaction() as session:
        request = ask(session, "typo@example.fi", now=NOW)
        confirm, not_me = letter(session, request, now=NOW)
        made = register.find(session, at("typo@example.fi"))
        registrar.correct_address(session, made.id, at("right@example.fi"), TOLD, now=LATER)
        with pytest.raises(TokenSpent):
            confirming.confirm(session, confirm, origin=ORIGIN, now=LATER)
        confirming.disown(session, not_me, origin=ORIGIN, now=LATER)
        assert state(session, "right@example.fi") == "pending", "a stranger's word is about the stranger's mailbox"
        assert made.muted_until is None


def test_addresses_that_can_not_be_given(app: Flask):
    with db.transaction() as session:
        made = person(session, "a@example.fi", now=NOW)
        person(session, "b@example.fi", now=NOW)
        with pytest.raises(NotAllowed, match="in the register already"):
            registrar.correct_address(session, made.id, at("B@example.fi"), TOLD, now=LATER)
        with pytest.raises(BadInput, match="the address that the person has"):
            registrar.correct_address(session, made.id, at("a@example.fi"), TOLD, now=LATER)
        _, not_me = letter(session, ask(session, "c@example.fi", now=NOW), now=NOW)
        confirming.disown(session, not_me, origin=ORIGIN, now=NOW)
        disowned = register.find(session, at("c@example.fi"))
        with pytest.raises(NotAllowed, match="did not ask"):
            registrar.correct_address(session, disowned.id, at("d@example.fi"), TOLD, now=LATER)
        assert sound(session)


def test_another_way_of_writing_changes_only_that(app: Flask):
    with db.transaction() as session:
        made = person(session, "matti@example.fi", now=NOW)
        assert registrar.correct_address(session, made.id, at("Matti@example.fi"), TOLD, now=LATER) == ()
        assert (made.mailbox, state(session, "matti@example.fi")) == ("Matti@example.fi", "active")
        assert sound(session)


def test_there_and_back_and_a_stranger_in_between(app: Flask):
    with db.transaction() as session:
        made, row = person(session, "a@example.fi", now=NOW), the_list(session)
        registrar.correct_address(session, made.id, at("b@example.fi"), TOLD, now=LATER)
        registrar.correct_address(session, made.id, at("a@example.fi"), TOLD, now=LATER)
        assert sound(session)
        assert readdressed.owner(session, keys.keys_of(session).digest("b@example.fi")).id == made.id
        stranger = person(session, "b@example.fi", now=LATER)
        told = proof.prove(session, "a@example.fi")
        assert not [entry for entry in told if entry["subject"] == stranger.digest.hex() and entry["event"] == "asked"]
        register.leave(session, leave_token(session, stranger), origin=ORIGIN, now=LATER)
        assert register.subscription(session, made.id, row.id).standing is State.PENDING
        assert sound(session)


# ── everything about a person ─────────────────────────────────────────────────────────────────────────────────────────


def test_notes_are_kept_in_order_inert_and_go_with_the_person(app: Flask):
    with db.transaction() as session:
        made, other = person(session, "a@example.fi", now=NOW), person(session, "b@example.fi", now=NOW)
        first = notes.add(session, made.id, "note", "<script>alert(1)</script>\r\nx", on=NOW, who="maija", now=NOW)
        second = notes.add(session, made.id, "meeting", "At the fair", on=NOW, who="liisa", now=NOW)
        assert first.words == "<script>alert(1)</script>\nx"
        assert [note.id for note in notes.of(session, made.id)] == [second.id, first.id]
        assert notes.of(session, made.id, before_id=second.id, limit=1) == [first]
        for kind, words, on in (("gossip", "x", NOW), ("note", " ", NOW), ("note", "x" * 4001, NOW),
                                ("note", "a\0b", NOW), ("note", "x", LATER)):  # fmt: skip
            with pytest.raises(BadInput):
                notes.add(session, made.id, kind, words, on=on, who="maija", now=NOW)
        with pytest.raises(Unknown):
            notes.add(session, 4711, "note", "x", on=NOW, who="maija", now=NOW)
        with pytest.raises(Unknown):
            notes.remove(session, other.id, first.id)
        notes.remove(session, made.id, first.id)
        assert [note.words for note in people.whole(session, made.id).notes] == ["At the fair"]
        rights.erase(session, at("a@example.fi"), NOW)
        assert notes.of(session, made.id) == []


def test_everything_on_one_page(app: Flask):
    with db.transaction() as session:
        made = person(session, "Matti@example.fi", now=NOW)
        registrar.forbid(session, at("matti@example.fi"), [Channel.PHONE], TOLD, now=LATER)
        text = lists.current_text(session, the_list(session), "fi").body
        intake.write_down(
            session, the_list(session), at("MATTI@example.fi"), entrance="web", language="fi", origin=ORIGIN, now=LATER
        )
        session.flush()
        found = people.whole(session, made.id)
        (held,) = found.memberships
        assert (found.address, held.list, held.state, held.basis, held.text) == (
            "Matti@example.fi", "tector-tiedottaa", "active", "consent", text,
        )  # fmt: skip
        assert [(asked.taken_at is None, asked.letter) for asked in found.requests] == [
            (True, None),
            (False, "confirm"),
        ]
        assert [link.used_at is not None for link in found.links] == [True]
        assert [entry["event"] for entry in found.history] == ["asked", "confirmed", "banned"]
        assert received.by_person(session, made.id) == []
        assert session.query(Request).count() == 2
        with pytest.raises(Unknown):
            people.whole(session, 4711)
