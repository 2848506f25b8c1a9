from __future__ import annotations

import hashlib
import json
import re
from html import unescape
from pathlib import Path

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
from tampering import behind_the_back


@pytest.fixture
def cli(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(settings, monkeypatch, capsys)


def test_a_whole_ledger(app: Flask, cli: Commands):
    with db.transaction() as session:
        person(session, "a@example.fi", now=NOW)
    assert cli("ledger", "verify").out == "The ledger is whole.\n"
    outcome = cli("ledger", "verify", "--json")
    assert (outcome.code, outcome.json) == (0, {"whole": True, "problems": [], "seals": 0, "unsealed": 2})


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


def test_sealing(app: Flask, cli: Commands, settings: Settings):
    with db.transaction() as session:
        person(session, "a@example.fi", now=NOW)
    assert "Seal 1: 2 entries in 1 chain, Merkle root " in cli("ledger", "seal").out
    assert cli("ledger", "seal").out == "There is nothing new to seal.\n"
    assert cli("ledger", "seal", "--json").json == {"sealed": False}
    assert cli("ledger", "verify").out == "The ledger is whole.\n1 seal.\n"
    with db.transaction() as session:
        person(session, "b@example.fi", now=NOW)
    assert cli("ledger", "verify").out.endswith("1 seal; 2 entries since.\n")
    assert "Seal 2: 4 entries in 2 chains" in cli("ledger", "seal").out
    assert cli("ledger", "verify", "--json").json == {"whole": True, "problems": [], "seals": 2, "unsealed": 0}
    assert len(list(settings.seals_folder.iterdir())) == 2
    with db.transaction() as session:
        behind_the_back(session, "DELETE FROM seals WHERE number = 2")
    outcome = cli("ledger", "verify")
    assert outcome.code == 1
    assert "seal 2: the seal is not in the database any more, but in the file seal-000002-" in outcome.out


def test_a_proof_as_a_file_and_as_a_page(app: Flask, cli: Commands, tmp_path: Path):
    with db.transaction() as session:
        person(session, "a@example.fi", now=NOW, state=State.LEFT)
    file, page = tmp_path / "proof.json", tmp_path / "proof.html"
    outcome = cli("ledger", "proof", "A@example.fi", "--out", str(file), "--html", str(page))
    assert outcome.code == 0, "it was sealed first"
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    assert digest in outcome.out
    assert cli("ledger", "key").out.strip() == json.loads(content)["key"]
    html = page.read_text()
    assert 'lang="fi"' in html
    assert digest in html
    assert json.loads(content)["texts"][0]["body"].splitlines()[0] in unescape(html)
    assert not re.search(r"""(src|href)=|url\(|@import""", html), "nothing from outside"
    for language, word in (("sv", "Bevis på samtycke"), ("en", "Proof of consent")):
        cli("ledger", "proof", "a@example.fi", "--html", str(page), "--lang", language)
        assert word in page.read_text()
    assert cli("ledger", "proof", "a@example.fi", "--out", str(tmp_path)).code != 0
    assert cli("ledger", "proof", "nobody@example.fi", "--out", str(file)).code == 1
    assert cli("ledger", "proof", "a@example.fi", "--json", "--out", str(file)).code == 2
