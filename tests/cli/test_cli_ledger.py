from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import select, text

from commanding import Commands
from conftest import NOW
from mailinglist import db
from mailinglist.consent.states import State
from mailinglist.consent.tables import LedgerEntry
from mailinglist.settings import Settings
from making import person


@pytest.fixture
def cli(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(settings, monkeypatch, capsys)


def test_a_whole_ledger(app: Flask, cli: Commands):
    with db.transaction() as session:
        person(session, "a@example.fi", now=NOW)
    assert cli("ledger", "verify").out == "The ledger is whole.\n"
    outcome = cli("ledger", "verify", "--json")
    assert (outcome.code, outcome.json) == (0, {"whole": True, "problems": []})


def test_an_altered_entry_is_named(app: Flask, cli: Commands):
    with db.transaction() as session:
        person(session, "a@example.fi", now=NOW)
    with db.transaction() as session:
        number = session.scalar(select(LedgerEntry.id).order_by(LedgerEntry.id).limit(1))
        on = " ON ledger" if db.db.engine.dialect.name == "postgresql" else ""
        session.execute(text(f"DROP TRIGGER ledger_no_update{on}"))
        session.execute(text("UPDATE ledger SET body = body || body WHERE id = :number"), {"number": number})
    outcome = cli("ledger", "verify")
    assert outcome.code == 1
    assert f"entry {number}: " in outcome.out
    assert "ledger_no_update" in outcome.out
    problems = cli("ledger", "verify", "--json").json["problems"]
    assert number in [problem["entry"] for problem in problems]


def test_proof_has_the_exact_text_its_version_the_time_and_how(app: Flask, cli: Commands):
    with db.transaction() as session:
        person(session, "a@example.fi", now=NOW, state=State.LEFT)
    history = cli("ledger", "proof", "A@example.fi", "--json").json
    assert [entry["event"] for entry in history] == ["asked", "confirmed", "left"]
    confirmed = history[1]
    told = cli("ledger", "proof", "a@example.fi").out
    assert confirmed["text_shown"] in told
    assert "2026-11-02 09:30:01 UTC  confirmed" in told
    assert f"version 1 in fi, SHA-256 {confirmed['text']}" in told
    assert "how       button" in told
    assert "192.0.2.7" in told


def test_proof_of_somebody_erased(app: Flask, cli: Commands):
    with db.transaction() as session:
        person(session, "a@example.fi", now=NOW)
    cli("people", "erase", "a@example.fi", "--yes")
    told = cli("ledger", "proof", "a@example.fi").out
    assert "no longer kept" in told
    assert "192.0.2.7" not in told


def test_proof_of_nobody(cli: Commands):
    outcome = cli("ledger", "proof", "nobody@example.fi", "--json")
    assert (outcome.code, outcome.out) == (1, "")
