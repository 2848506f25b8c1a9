from __future__ import annotations

import json
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select

from conftest import NOW
from mailinglist import db, schema
from mailinglist.consent import address, bans, intake, notes, proof, register, registrar, verification
from mailinglist.consent.states import ALL_CHANNELS, State
from mailinglist.consent.tables import Confirmation, Evidence, Note, Person, Request, Subscription
from mailinglist.delivery import handoffs
from mailinglist.errors import Unknown
from mailinglist.privacy import access, rights
from making import ask, person, the_list

MATTI = address.parse("Matti.Meikalainen@Example.fi")


def rows(session, table) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0


def everything(session) -> str:
    """All that is stored, as text: for looking whether an address is in it."""
    found = []
    for table in schema.metadata.sorted_tables:
        for row in session.execute(select(table)):
            found += [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in row]
    return "\n".join(found).casefold()


def hand_over(session, mailbox: str) -> None:
    """A bulletin went to this person, and the server's answer quotes their address."""
    found = register.find(session, address.parse(mailbox))
    assert found is not None
    handoffs.enqueue(session, kind="bulletin", about=1, list_id=1, person_id=found.id, now=NOW)
    shift = handoffs.begin_shift(session, now=NOW)
    [row] = handoffs.claim(session, shift, kinds=["bulletin"], limit=1, now=NOW)
    refusal = handoffs.Settled(row.id, "rejected", NOW, code=550, reply=f"550 5.1.1 <{mailbox}> unknown")
    assert handoffs.settle(session, shift, [refusal]) == 1


def test_every_table_has_its_rule():
    assert set(rights.RULES) == set(schema.metadata.tables)


def test_the_person_goes_from_every_table_and_others_stay(app: Flask):
    with db.transaction() as session:
        for mailbox in (MATTI.mailbox, "other@example.fi"):
            person(session, mailbox, now=NOW)
            hand_over(session, mailbox)
            found = register.find(session, address.parse(mailbox))
            assert found is not None
            notes.add(session, found.id, "note", f"{mailbox} rang", on=NOW, who="Maija", now=NOW)
        assert "matti.meikalainen" in everything(session)
        before = {
            table: rows(session, table) for table in (Person, Subscription, Confirmation, Request, Evidence, Note)
        }
        erasure = rights.erase(session, MATTI, NOW)
    with db.reading() as session:
        assert "matti.meikalainen" not in everything(session)
        assert "other@example.fi" in everything(session)
        for table, count in before.items():
            assert rows(session, table) == count // 2, table
        assert list(verification.verify(session)) == []
    assert erasure.deleted == {
        "persons": 1, "subscriptions": 1, "confirmations": 1, "evidence": 3, "requests": 1, "notes": 1,
    }  # fmt: skip
    assert [(kept.what, kept.count) for kept in erasure.kept] == [("ledger entries", 4), ("mails handed over", 1)]
    assert all(kept.why for kept in erasure.kept)


def test_a_request_that_nobody_took_yet_goes_too(app: Flask):
    with db.transaction() as session:
        person(session, MATTI.mailbox, now=NOW)
        intake.write_down(session, the_list(session), MATTI, entrance="web", language="fi", origin={}, now=NOW)
        session.flush()
        assert rights.erase(session, MATTI, NOW).deleted["requests"] == 2
        assert rows(session, Request) == 0


def test_bans_survive_and_are_named(app: Flask):
    with db.transaction() as session:
        made = person(session, MATTI.mailbox, now=NOW)
        bans.add(session, made.digest, ALL_CHANNELS, source="phone", now=NOW)
        kept = {kept.what: kept for kept in rights.erase(session, MATTI, NOW).kept}
    ban = kept["marketing bans (email, post, phone, disclosure)"]
    assert ban.count == 4
    assert "21(3)" in ban.why
    with db.transaction() as session:
        assert bans.check(session, MATTI).channels == ("email", "post", "phone", "disclosure")
        assert ask(session, MATTI.mailbox, now=NOW).outcome == "banned"


def test_the_proof_survives_without_the_evidence(app: Flask):
    with db.transaction() as session:
        person(session, MATTI.mailbox, now=NOW, state=State.LEFT)
        rights.erase(session, MATTI, NOW)
        history = proof.prove(session, MATTI.folded)
    assert [entry["event"] for entry in history] == ["asked", "confirmed", "left", "erased"]
    assert history[1]["text_shown"]
    assert history[1]["evidence_content"] is None
    assert "192.0.2.7" not in json.dumps(history)


def test_whoever_is_not_there_can_not_be_erased(app: Flask):
    with db.transaction() as session:
        with pytest.raises(Unknown):
            rights.erase(session, MATTI, NOW)
        person(session, MATTI.mailbox, now=NOW)
        rights.erase(session, MATTI, NOW)
        with pytest.raises(Unknown):
            rights.erase(session, MATTI, NOW)


def test_who_comes_back_is_a_new_person(app: Flask):
    with db.transaction() as session:
        old = person(session, MATTI.mailbox, now=NOW).id
        rights.erase(session, MATTI, NOW)
    with db.transaction() as session:
        assert person(session, MATTI.mailbox, now=NOW).id > old
        assert list(verification.verify(session)) == []


def test_the_next_holder_of_an_address_sees_nothing_of_the_one_before(app: Flask) -> None:
    told = registrar.Told("phone", "Anna rang: her address is misspelt", NOW.date(), "maija")
    with db.transaction() as session:
        first = person(session, "typo@example.fi", now=NOW)
        right = address.parse("right@example.fi")
        registrar.correct_address(session, first.id, right, told, now=NOW + timedelta(hours=1))
        second = person(session, "typo@example.fi", now=NOW + timedelta(hours=2))
        shown = json.dumps(access.document(session, second, now=NOW + timedelta(hours=3)))
        assert "Anna rang" not in shown
        assert [item["event"] for item in proof.prove(session, "typo@example.fi")] == ["asked", "confirmed"]
        events = [item["event"] for item in proof.prove(session, "right@example.fi")]
        assert events[:2] == ["asked", "confirmed"]
        assert list(verification.verify(session)) == []
