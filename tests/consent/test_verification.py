"""Whatever is done behind the program's back, `verify` finds it and names it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from conftest import NOW
from mailinglist import db
from mailinglist.consent import (
    address,
    bans,
    keys,
    ledger,
    register,
    registrar,
    restriction,
    seals,
    seals_outside,
    signing,
)
from mailinglist.consent.states import Channel, State
from mailinglist.consent.tables import Ban, ChainHead, LedgerEntry, Person, Seal
from mailinglist.consent.verification import verify
from mailinglist.periods import EVIDENCE_AT_LEAST
from mailinglist.privacy import rights
from making import ORIGIN, leave_token, person, the_list
from tampering import behind_the_back, without_triggers

OF_P1 = "person_id = (SELECT id FROM persons WHERE folded = 'p1@example.fi')"
CHAIN = "chain = (SELECT chain FROM persons WHERE folded = 'p1@example.fi')"
ALTERED = {"sqlite": "CAST('{}' AS BLOB)", "postgresql": "CAST('{}' AS bytea)"}
TOLD = registrar.Told("phone", "said so", date(2026, 11, 2), "Maija")


@pytest.fixture
def sealed(app: Flask, tmp_path: Path) -> Path:
    """Four persons, of whom p1 has left and p3 has a ban, and three seals; returns the folder with the seals' files."""
    for n, state in enumerate([State.ACTIVE, State.LEFT, State.PENDING, State.UNDELIVERABLE]):
        with db.transaction() as session:
            made = person(session, f"p{n}@example.fi", now=NOW + timedelta(minutes=n), state=state)
            if n == 3:
                bans.add(session, made.digest, [Channel.EMAIL, Channel.POST], source="phone", now=NOW)
                bans.lift(session, address.parse("P3@example.fi"), [Channel.POST], evidence="letter", who="x", now=NOW)
        if n:
            assert seals.make() is not None
    with db.reading() as session:
        assert seals_outside.put(session, tmp_path / "seals") == 3
    return tmp_path / "seals"


def found_by(session: Session, folder: Path | None = None) -> list[str]:
    """What is wrong, each with what it names."""
    session.expire_all()
    return [
        problem.what
        + (f" | entry {problem.entry} " if problem.entry is not None else "")
        + (f" of seal {problem.seal}" if problem.seal is not None else "")
        for problem in verify(session, outside=folder)
    ]


def test_a_whole_ledger_has_no_problems(sealed: Path):
    with db.reading() as session:
        assert found_by(session, sealed) == []


# ── what is done, and what `verify` says of it ────────────────────────────────────────────────────────────────────────

_DELETED = [f"DELETE FROM {each} WHERE {OF_P1}" for each in ("confirmations", "requests", "subscriptions", "evidence")]
STATEMENTS: dict[str, tuple[list[str], str]] = {
    "an entry's body": (["UPDATE ledger SET body = {altered} WHERE id = 1"], "is missing | entry 1 "),
    "an entry's hash": (["UPDATE ledger SET hash = {altered} WHERE id = 2"], "is missing | entry 2 "),
    "an entry's subject": (["UPDATE ledger SET subject = {altered} WHERE id = 2"], "not its own | entry 2"),
    "the last entry deleted": ([f"DELETE FROM ledger WHERE {CHAIN} AND seq = 3"], "the last 1 of 3 entries"),
    "the first entry deleted": ([f"DELETE FROM ledger WHERE {CHAIN} AND seq = 1"], "entries 1 to 1 of the chain are"),
    "an entry in between deleted": ([f"DELETE FROM ledger WHERE {CHAIN} AND seq = 2"], "entries 2 to 2 of the chain"),
    "all entries of someone deleted": ([f"DELETE FROM ledger WHERE {CHAIN}"], "the last 3 of 3 entries"),
    "all entries and the head deleted": (
        [f"DELETE FROM ledger WHERE {CHAIN}", f"DELETE FROM chain_heads WHERE {CHAIN}"],
        "a person has no ledger entries any more",
    ),
    "an entry copied in": (
        ["INSERT INTO ledger SELECT 99, chain, seq + 9, subject, body, hash FROM ledger WHERE id = 1"],
        "place that is not its own | entry 99",
    ),
    "an entry copied in under an early number": (
        ["INSERT INTO ledger SELECT -1, chain, seq + 9, subject, body, hash FROM ledger WHERE id = 1"],
        "1 was put in later of seal 1",
    ),
    "two entries exchanged": (
        [
            f"UPDATE ledger SET seq = 99 WHERE {CHAIN} AND seq = 1",
            f"UPDATE ledger SET seq = 1 WHERE {CHAIN} AND seq = 2",
            f"UPDATE ledger SET seq = 2 WHERE {CHAIN} AND seq = 99",
        ],
        "was altered, or one before it is missing | entry 3",
    ),
    "two rows exchange numbers": (
        [
            "UPDATE ledger SET id = 98 WHERE id = 1",
            "UPDATE ledger SET id = 1 WHERE id = 3",
            "UPDATE ledger SET id = 3 WHERE id = 98",
        ],
        "some were altered or exchanged of seal 1",
    ),
    "the head deleted": ([f"DELETE FROM chain_heads WHERE {CHAIN}"], "the entry's chain has no head | entry 3"),
    "the head's hash": ([f"UPDATE chain_heads SET last_hash = {{altered}} WHERE {CHAIN}"], "its MAC does not fit"),
    "the head's MAC": ([f"UPDATE chain_heads SET mac = {{altered}} WHERE {CHAIN}"], "its MAC does not fit"),
    "the tail cut and the head moved back": (
        [
            f"DELETE FROM ledger WHERE {CHAIN} AND seq = 3",
            f"UPDATE chain_heads SET count = 2 WHERE {CHAIN}",
            f"UPDATE chain_heads SET last_hash = (SELECT hash FROM ledger WHERE {CHAIN} AND seq = 2) WHERE {CHAIN}",
        ],
        "of the entries 1 to 5 that the seal binds, 1 is missing (there is no 5) of seal 1",
    ),
    "a whole person deleted, with everything": (
        [
            *_DELETED,
            *(f"DELETE FROM {each} WHERE {CHAIN}" for each in ("ledger", "chain_heads")),
            "DELETE FROM persons WHERE folded = 'p1@example.fi'",
        ],
        "3 are missing (there is no 3 to 5) of seal 1",
    ),
    "a consent text": (["UPDATE texts SET body = 'I agree to everything' WHERE id = 1"], "consent text 1 was altered"),
    "a consent text deleted": (["DELETE FROM texts WHERE id = 1"], "the consent text of the entry is gone | entry 1"),
    "evidence": (["UPDATE evidence SET content = {altered} WHERE id = 1"], "evidence 1 was altered"),
    "evidence deleted": (["DELETE FROM evidence WHERE id = 1"], "and nothing explains it | entry 1"),
    "a state": (["UPDATE subscriptions SET state = 'active' WHERE state = 'left'"], "the register says “active”"),
    "a basis": ([f"UPDATE subscriptions SET basis = 'organisation' WHERE {OF_P1}"], "the basis on list"),
    "a beginning": ([f"UPDATE subscriptions SET since = '2025-01-01' WHERE {OF_P1}"], "says since 2025-01-01"),
    "the text agreed to": ([f"UPDATE subscriptions SET text_id = NULL WHERE {OF_P1}"], "names another consent text"),
    "a subscription deleted": ([f"DELETE FROM subscriptions WHERE {OF_P1}"], "on list tector-tiedottaa, the register"),
    "a ban deleted": (["DELETE FROM bans"], "a ban on email that the ledger tells of is not in force | entry 10"),
    "a ban lifted": (["UPDATE bans SET lifted_at = given_at"], "that the ledger tells of is not in force | entry 10"),
    "a lifted ban put back in force": (
        ["UPDATE bans SET lifted_at = NULL WHERE channel = 'post'"],
        "ban 2, on post, is in force, and the ledger does not know it",
    ),
    "a ban turned into another": (
        ["UPDATE bans SET channel = 'phone' WHERE channel = 'email'"],
        "ban 1, on phone, is in force, and the ledger does not know it",
    ),
    "a ban on all lists made one of a single list": (
        ["UPDATE bans SET list_id = 1"],
        "ban 1, on email of list tector-tiedottaa alone, is in force, and the ledger does not know it",
    ),
    "a ban given at another time": (
        ["UPDATE bans SET given_at = '2025-01-01'"],
        "ban 1 says that it was given at another time than the ledger tells | entry 10",
    ),
    "a ban given by somebody else": (
        ["UPDATE bans SET source = 'own page'"],
        "the source of ban 1 was altered | entry 10",
    ),
    "the words of a ban taken away, as an erasure does": (
        ["UPDATE bans SET source = 'erased'"],
        "the source of ban 1 is gone, and no erasure explains it | entry 10",
    ),
    "a lifted ban deleted": (
        ["DELETE FROM bans WHERE channel = 'post'"],
        "a ban on post whose lifting the ledger tells of is gone | entry 11",
    ),
    "a lifted ban turned into another": (
        ["UPDATE bans SET list_id = 1 WHERE channel = 'post'"],
        "ban 2, on post of list tector-tiedottaa alone, is lifted, and the ledger does not know it",
    ),
    "a lifted ban of somebody else": (
        ["UPDATE bans SET digest = (SELECT digest FROM persons WHERE folded = 'p0@example.fi') WHERE channel = 'post'"],
        "ban 2, on post, is lifted, and the ledger does not know it",
    ),
    "a ban lifted at another time": (
        ["UPDATE bans SET lifted_at = '2025-01-01' WHERE channel = 'post'"],
        "ban 2, on post, is lifted, and the ledger does not know it",
    ),
    "a lifted ban given at another time": (
        ["UPDATE bans SET given_at = '2025-01-01' WHERE channel = 'post'"],
        "ban 2 says that it was given at another time than the ledger tells | entry 10",
    ),
    "a lifted ban given by somebody else": (
        ["UPDATE bans SET source = 'own page' WHERE channel = 'post'"],
        "the source of ban 2 was altered | entry 10",
    ),
    "the words of a lifted ban taken away": (
        ["UPDATE bans SET source = 'erased' WHERE channel = 'post'"],
        "the source of ban 2 is gone, and no erasure explains it | entry 10",
    ),
    "a name put to a lifted ban": (
        ["UPDATE bans SET name_digest = digest WHERE channel = 'post'"],
        "ban 2 was lifted, and is found by a name | entry 11",
    ),
    "a ban in force that says it was lifted": (
        ["UPDATE bans SET lifted_by = 'nobody' WHERE channel = 'email'"],
        "ban 1 is in force, and says on what evidence it was lifted | entry 10",
    ),
    "a ban made up": (
        ["UPDATE bans SET digest = (SELECT digest FROM persons WHERE folded = 'p0@example.fi')"],
        "ban 1, on email, is in force, and the ledger does not know it",
    ),
    "an address": (
        ["UPDATE persons SET mailbox = 'evil@example.fi', folded = 'evil@example.fi' WHERE id = 1"],
        "the address of person 1 was altered",
    ),
    "a digest by which bans are found": (
        ["UPDATE persons SET exact_digest = {altered} WHERE id = 1"],
        "the address of person 1 was altered",
    ),
    "a person deleted": (
        [
            *_DELETED[:3],
            "DELETE FROM persons WHERE folded = 'p1@example.fi'",
        ],
        "the ledger says “left” on list",
    ),
    "a seal's content": (["UPDATE seals SET content = {altered} WHERE number = 2"], "does not fit of seal 2"),
    "a seal's signature": (["UPDATE seals SET signature = {altered} WHERE number = 3"], "does not fit of seal 3"),
    "a seal's key": (["UPDATE seals SET key = {altered} WHERE number = 1"], "does not fit of seal 1"),
    "a seal's blocks": (["UPDATE seals SET blocks = {altered} WHERE number = 1"], "can't be read of seal 1"),
    "the first seal deleted": (["DELETE FROM seals WHERE number = 1"], "seals 1 to 1 are missing"),
    "a seal in between deleted": (["DELETE FROM seals WHERE number = 2"], "seals 2 to 2 are missing"),
    "the last seal deleted": (["DELETE FROM seals WHERE number = 3"], "the last 1 of 3 seals are missing"),
    "all seals and their head deleted": (
        ["DELETE FROM seals", "DELETE FROM chain_heads WHERE count = 3 AND chain NOT IN (SELECT chain FROM ledger)"],
        "the seal is not in the database any more, but in the file seal-000001-",
    ),
    "two seals exchanged": (
        [
            "UPDATE seals SET number = 9 WHERE number = 1",
            "UPDATE seals SET number = 1 WHERE number = 2",
            "UPDATE seals SET number = 2 WHERE number = 9",
        ],
        "place that is not its own of seal 1",
    ),
    "a seal put in": (
        ["INSERT INTO seals SELECT 4, content, signature, key, blocks FROM seals WHERE number = 3"],
        "there are 1 seals more than their head says",
    ),
}  # fmt: skip


def _in_swedish(body: dict[str, Any]) -> None:
    body["language"] = "sv"


def _rewritten(session: Session, change: Callable[[dict[str, Any]], None] = _in_swedish) -> None:
    """By somebody who has the ban key too: hashes, head and MAC all fit, and p1 was shown a page in Swedish."""
    chain = session.scalars(select(Person.chain).where(Person.folded == "p1@example.fi")).one()
    rows = session.scalars(select(LedgerEntry).where(LedgerEntry.chain == chain).order_by(LedgerEntry.seq)).all()
    last = ledger.START
    for row in rows:
        body = json.loads(row.body)
        change(body)
        row.body = ledger.canonical(body)
        row.hash = last = hashlib.sha256(last + row.body).digest()
    head = session.get_one(ChainHead, chain)
    head.last_hash, head.mac = last, keys.keys_of(session).head_mac(chain, head.count, last)


def _sealed_by_another(session: Session) -> None:
    """The last seal, signed anew by somebody with a key of their own."""
    other, row = signing.Signing(["somebody else's key"]), session.get_one(Seal, 3)
    row.signature, row.key = other.sign(signing.SEAL, row.content), other.public


def _another_tree(session: Session) -> None:
    """A seal whose tree was never that of the ledger, by somebody who has all keys."""
    row = session.get_one(Seal, 3)
    leaf = (bytes(16), 1, bytes(32))
    blocks = seals.Blocks.of([leaf])
    row.blocks = blocks.pack()
    said = seals.read(row.content)
    forged = seals.Said(
        3, said.at, said.previous, said.through, said.entries, said.history, 1, seals.root_of(row.blocks)
    )  # fmt: skip
    row.content = forged.content()
    row.signature = seals.signing_of(session).sign(signing.SEAL, row.content)
    head = session.get_one(ChainHead, ledger.SEALS)
    head.last_hash = seals.digest(row.content)
    head.mac = keys.keys_of(session).head_mac(ledger.SEALS, 3, head.last_hash)


BY_HAND: dict[str, tuple[Callable[[Session], None], str]] = {
    "a chain rewritten with the ban key": (_rewritten, "some were altered or exchanged of seal 1"),
    "a seal signed with another key": (_sealed_by_another, "not among MAILINGLIST_SEAL_KEY of seal 3"),
    "a seal of another tree": (_another_tree, "begins with chain 00000000000000000000000000000000 of seal 3"),
}  # fmt: skip


def test_tampering_is_found_and_named(sealed: Path):
    """Each is done in a transaction that is then rolled back."""
    unseen = {}
    for name, (statements, wanted) in STATEMENTS.items():
        with db.transaction() as session:
            altered = ALTERED[session.get_bind().dialect.name]
            behind_the_back(session, *(each.replace("{altered}", altered) for each in statements))
            told = found_by(session, sealed)
            session.rollback()
        if not any(wanted in each for each in told):
            unseen[name] = told
    for name, (harm, wanted) in BY_HAND.items():
        with db.transaction() as session:
            with without_triggers(session):
                harm(session)
                session.flush()
            told = found_by(session, sealed)
            session.rollback()
        if not any(wanted in each for each in told):
            unseen[name] = told
    assert unseen == {}
    with db.reading() as session:
        assert found_by(session, sealed) == []


OTHERWISE = "restricted in the register, and the ledger says otherwise"


def _restricted(session: Session, *, set_: bool) -> list[str]:
    """What is wrong when the table alone says so, of whoever is at `p1…`."""
    at = NOW if set_ else None
    session.execute(update(Person).where(Person.folded.startswith("p1")).values(restricted_at=at))
    told = found_by(session)
    session.execute(update(Person).where(Person.folded.startswith("p1")).values(restricted_at=None if set_ else NOW))
    return told


def test_a_restriction_that_only_the_table_knows_or_has_forgotten_is_found(sealed: Path):
    with db.transaction() as session:
        p1 = register.find(session, address.parse("p1@example.fi"))
        assert p1 is not None
        [told] = _restricted(session, set_=True)
        assert f"data is {OTHERWISE}" in told
        restriction.restrict(session, p1, source="own page", origin={}, now=NOW)
        assert found_by(session) == []
        [told] = _restricted(session, set_=False)
        assert f"data is not {OTHERWISE}" in told
        # It goes along with a corrected address, as often as that is corrected; and not to who has the old one next.
        for name in ("p1b", "p1c", "p1b"):
            registrar.correct_address(session, p1.id, address.parse(f"{name}@example.fi"), TOLD, now=NOW)
            assert found_by(session) == [], name
            [told] = _restricted(session, set_=False)
            assert OTHERWISE in told
        for name in ("p1@example.fi", "p1c@example.fi"):
            next_one = person(session, name, now=NOW)
            assert found_by(session) == []
            session.execute(update(Person).where(Person.id == next_one.id).values(restricted_at=NOW))
            assert [OTHERWISE in each for each in found_by(session)] == [True]
            session.execute(update(Person).where(Person.id == next_one.id).values(restricted_at=None))
        restriction.unrestrict(session, p1, source="own page", origin={}, now=NOW)
        assert found_by(session) == []
        assert any(OTHERWISE in each for each in _restricted(session, set_=True))
        rights.erase(session, address.parse("p1b@example.fi"), NOW)
        assert found_by(session) == []


# ── what explains that evidence is gone ───────────────────────────────────────────────────────────────────────────────


def test_an_erasure_explains_that_evidence_is_gone(sealed: Path):
    with db.transaction() as session:
        rights.erase(session, address.parse("p1@example.fi"), NOW + timedelta(hours=1))
        assert found_by(session) == []
        person(session, "p1@example.fi", now=NOW + timedelta(hours=2))
        assert found_by(session) == []
        session.execute(text(f"DELETE FROM evidence WHERE {OF_P1}"))
        assert "the evidence of the entry is gone" in found_by(session)[0]


def test_so_does_one_after_the_address_was_corrected(sealed: Path):
    with db.transaction() as session:
        p1 = register.find(session, address.parse("p1@example.fi"))
        assert p1 is not None
        registrar.forbid(session, address.parse("p1@example.fi"), [Channel.PHONE], TOLD, now=NOW)
        registrar.correct_address(session, p1.id, address.parse("new@example.fi"), TOLD, now=NOW + timedelta(hours=1))
        registrar.correct_address(session, p1.id, address.parse("last@example.fi"), TOLD, now=NOW + timedelta(hours=2))
        rights.erase(session, address.parse("last@example.fi"), NOW + timedelta(hours=3))
        assert found_by(session) == []


def test_and_that_the_words_of_bans_are_gone(app: Flask):
    """Also of one that is on the address as it was written, and so lies in a chain that names nobody."""
    keyed = "Known.By.Name@example.fi"
    with db.transaction() as session:
        keys_ = keys.keys_of(session)
        bans.add(session, keys_.digest(keyed), [Channel.POST], source="a list of SHA-256", now=NOW)
        person(session, keyed, now=NOW)
        registrar.forbid(session, address.parse(keyed), [Channel.EMAIL, Channel.PHONE], TOLD, now=NOW)
        assert found_by(session) == []
    with db.transaction() as session:
        session.execute(update(Ban).where(Ban.channel != "phone").values(source="erased"))
        told = found_by(session)
        assert [each.partition(" |")[0] for each in told] == [
            "the source of ban 1 is gone, and no erasure explains it",
            "the source of ban 2 is gone, and no erasure explains it",
        ]
        session.rollback()
    with db.transaction() as session:
        rights.erase(session, address.parse(keyed), NOW + timedelta(hours=1))
        assert set(session.scalars(select(Ban.source))) == {"erased"}
        assert found_by(session) == []
        # One that was given since keeps its words, though the chain tells of an erasure.
        bans.add(session, keys_.digest(keyed.lower()), [Channel.DISCLOSURE], source="phone", now=NOW)
        session.execute(update(Ban).values(source="erased"))
        assert [each.partition(" |")[0] for each in found_by(session)] == [
            "the source of ban 5 is gone, and no erasure explains it"
        ]


def test_of_an_entry_that_binds_no_words_they_are_not_looked_at(app: Flask):
    """So those of earlier versions are."""
    with db.transaction() as session:
        made = person(session, "p1@example.fi", now=NOW)
        bans.add(session, made.digest, [Channel.EMAIL], source="phone", now=NOW)
        session.execute(update(Ban).values(source="post"))
        assert len(found_by(session)) == 1
        with without_triggers(session):
            _rewritten(session, lambda body: body.pop("source_digest", None))
            session.flush()
        assert found_by(session) == []
        session.execute(update(Ban).values(given_at=NOW - timedelta(hours=1)))
        assert len(found_by(session)) == 1


def test_and_so_does_its_age(sealed: Path):
    with db.transaction() as session:
        session.execute(text("DELETE FROM evidence"))
        assert found_by(session)
        session.expire_all()
        assert list(verify(session, now=NOW + timedelta(days=EVIDENCE_AT_LEAST + 1))) == []
        session.rollback()


def test_what_the_register_does_by_itself_is_no_problem(sealed: Path):
    """Beginnings, bases and texts as the ledger tells them, through moves of all kinds."""
    later = NOW + timedelta(days=1)
    with db.transaction() as session:
        row = the_list(session)
        for name in ("p0", "p1", "p2"):
            found = register.find(session, address.parse(f"{name}@example.fi"))
            assert found is not None
            registrar.correct_address(session, found.id, address.parse(f"{name}.new@example.fi"), TOLD, now=later)
            assert found_by(session) == [], name
        p3 = register.find(session, address.parse("p3@example.fi"))
        assert p3 is not None
        register.restore(session, p3.id, row, source="staff", now=later)
        assert found_by(session) == []
        register.leave(
            session, leave_token(session, p3), origin=ORIGIN, now=later
        )  # fmt: skip
        assert found_by(session) == []
        waiting = register.find(session, address.parse("p2.new@example.fi"))
        assert waiting is not None
        assert register.lapse(session, waiting, row, now=later)
        assert found_by(session) == []


def test_a_seal_in_which_an_early_entry_was_changed_before_it_is_seen_through(sealed: Path):
    """The history goes on from the seal before, so a later seal can't hide what was done to the entries of earlier
    ones."""
    with db.transaction() as session:
        with without_triggers(session):
            _rewritten(session)
            session.flush()
        person(session, "p9@example.fi", now=NOW)
    assert seals.make() is not None
    with db.transaction() as session:
        told = found_by(session)
        assert any("seal 1" in each and "altered or exchanged" in each for each in told)
