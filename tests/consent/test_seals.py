"""Sealing: what is bound, when, by whom, and what is written outside."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from conftest import NOW
from mailinglist import db
from mailinglist.consent import seals, seals_outside, signing
from mailinglist.consent.states import State
from mailinglist.consent.tables import Seal
from mailinglist.consent.verification import verify
from mailinglist.errors import Fault, SettingsError
from making import person


@pytest.fixture
def filled(app: Flask) -> Flask:
    with db.transaction() as session:
        person(session, "a@example.fi", now=NOW, state=State.LEFT)
        person(session, "b@example.fi", now=NOW)
    return app


def test_a_seal_binds_all_there_is_and_names_the_one_before(filled: Flask):
    first = seals.make()
    assert first is not None
    assert (first.number, first.entries, first.chains, first.previous) == (1, 5, 2, bytes(32))
    with db.reading() as session:
        row = seals.newest(session)
        assert row is not None
        assert seals.read(row.content) == first
        assert signing.fits(row.key, row.signature, signing.SEAL, row.content)
        assert not signing.fits(row.key, row.signature, signing.PROOF, row.content)
        assert seals.behind(session) is None
    assert seals.make() is None, "nothing is new"
    with db.transaction() as session:
        person(session, "c@example.fi", now=NOW)
        assert seals.behind(session) == NOW
    second = seals.make()
    assert second is not None
    assert (second.number, second.entries, second.chains) == (2, 7, 3)
    assert second.previous == seals.digest(first.content())


def test_an_empty_ledger_is_not_sealed(app: Flask):
    assert seals.make() is None


def test_without_a_key_nothing_is_sealed(filled: Flask):
    db.install(filled, signing=signing.Signing([]))
    with pytest.raises(SettingsError, match="MAILINGLIST_SEAL_KEY"):
        seals.make()


def test_with_a_new_key_in_front_old_seals_are_still_ours(filled: Flask):
    seals.make()
    old = filled.extensions["mailinglist_session"]["info"]["signing"]
    db.install(filled, signing=signing.Signing(["a new key, a new key"]))
    with db.reading() as session:
        assert ["not among MAILINGLIST_SEAL_KEY" in problem.what for problem in verify(session)] == [True]
    db.install(filled, signing=signing.Signing(["a new key, a new key", "test-seal-key-0123456789abcdef01"]))
    with db.reading() as session:
        assert seals.signing_of(session).known[1] == old.public
        assert list(verify(session)) == []


FORBIDDEN = {
    "sqlite": ("INSERT OR REPLACE INTO seals SELECT * FROM seals",),
    "postgresql": ("TRUNCATE seals",),
}


def test_the_triggers_refuse(filled: Flask):
    seals.make()
    kind = db.db.engine.dialect.name
    for statement in ("UPDATE seals SET number = 5", "DELETE FROM seals", *FORBIDDEN[kind]):
        with pytest.raises(DBAPIError, match="append-only"), db.transaction() as session:
            session.execute(text(statement))


def test_two_at_once_make_one(filled: Flask):
    made: list[seals.Said | None] = []

    def work() -> None:
        with filled.app_context():
            made.append(seals.make())

    threads = [threading.Thread(target=work) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len([each for each in made if each]) == 1
    with db.reading() as session:
        assert session.query(Seal).count() == 1
        assert list(verify(session)) == []


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_an_entry_that_is_committed_late_is_bound_or_waited_for(filled: Flask):
    """A transaction has its number, and a later one is committed before it."""
    with db.transaction() as late:
        person(late, "late@example.fi", now=NOW)
        with db.transaction() as session:
            person(session, "soon@example.fi", now=NOW)
        assert seals.make(patience=timedelta(seconds=0.3)) is None
    said = seals.make()
    assert said is not None
    assert said.entries == 9
    with db.reading() as session:
        assert list(verify(session)) == []


# ── outside ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_a_file_for_each_seal(filled: Flask, tmp_path: Path):
    folder = tmp_path / "somewhere" / "seals"
    said = seals_outside.seal(folder)
    assert said is not None
    (path,) = folder.iterdir()
    told = json.loads(path.read_bytes())
    assert seals.read(told["seal"].encode()) == said
    assert signing.fits(
        bytes.fromhex(told["key"]), bytes.fromhex(told["signature"]), signing.SEAL, told["seal"].encode()
    )
    path.unlink()
    assert seals_outside.seal(folder) is None
    assert path.exists(), "what is missing is written again"
    with db.reading() as session:
        assert list(verify(session, outside=folder)) == []
        path.write_text(path.read_text().replace('\\"number\\":1', '\\"number\\":2'))
        assert ["another one" in problem.what for problem in verify(session, outside=folder)] == [True]
        path.write_bytes(b"")
        assert ["can't be read" in problem.what for problem in verify(session, outside=folder)] == [True]


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_a_folder_that_can_not_be_written_is_said_and_the_seal_stands(filled: Flask, tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(Fault, match=r"The seal stands, but not outside"):
        seals_outside.seal(tmp_path / "file")
    with db.reading() as session:
        assert seals.newest(session) is not None


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_the_scheduler_seals_once_a_day(filled: Flask, tmp_path: Path):
    now = db.utcnow()
    assert seals_outside.seal_due(tmp_path, now=now) is not None
    with db.transaction() as session:
        person(session, "c@example.fi", now=NOW)
    assert seals_outside.seal_due(tmp_path, now=now + timedelta(hours=23)) is None
    assert seals_outside.seal_due(tmp_path, now=now + timedelta(hours=24)) is not None


# ── many ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.long
def test_many_chains_in_many_blocks(app: Flask):
    """More than two blocks of the tree, sealed in three pieces: each chain stands in each seal since it was there."""
    from mailinglist.consent import ledger
    from mailinglist.consent.tables import LedgerEntry

    chains = [n.to_bytes(2, "big") * 8 for n in range(0, 60_000, 17)]
    for part in range(3):
        with db.transaction() as session:
            facts = [(chain, chain, ledger.Fact("banned", channels=["post"])) for chain in chains[part::3]]
            ledger.append_many(session, facts, now=NOW)
        said = seals.make()
        assert said is not None
        assert said.chains == sum(len(chains[each::3]) for each in range(part + 1))
    with db.reading() as session:
        rows = session.query(Seal).order_by(Seal.number).all()
        assert len(seals.unpack(rows[-1].blocks)) == 4
        for part in range(3):
            for chain in chains[part:900:90]:
                there = [seals.place(session, row, chain) is not None for row in rows]
                first = chains.index(chain) % 3
                assert there == [number >= first for number in range(3)]
        assert session.query(LedgerEntry).count() == len(chains)
        assert not [problem for problem in verify(session) if "ban" not in problem.what]
