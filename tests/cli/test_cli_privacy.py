"""`mailinglist privacy …` and `people export`, as a person at a terminal gives them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask

from commanding import Commands
from mailinglist import db
from mailinglist.consent import restriction
from mailinglist.settings import Settings
from mailinglist.staff import audit
from making import ask, person

GIVE = ("--to", "Tax office", "--basis", "Act 1558/1995, section 19", "--fields", "address,history")


@pytest.fixture
def cli(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(settings, monkeypatch, capsys)


def test_a_disclosure_in_the_export_in_the_erasure_and_in_the_breach(app: Flask, cli: Commands) -> None:
    begin = db.utcnow() - timedelta(minutes=5)
    with db.transaction() as session:
        number = person(session, "Matti@example.fi", now=begin).id
    assert cli("privacy", "disclose", "matti@example.fi", *GIVE[:2], "--basis", " ", *GIVE[4:]).code == 2
    assert cli("privacy", "disclose", "nobody@example.fi", *GIVE).code == 1
    given = cli("privacy", "disclose", "matti@example.fi", *GIVE, "--reference", "T/17").json
    assert given["persons"][0]["address"] == "Matti@example.fi"
    assert set(given["persons"][0]) == {"address", "history"}
    assert [each["recipient"] for each in cli("privacy", "disclosures", "--json").json] == ["Tax office"]
    assert "Tax office" in cli("privacy", "disclosures").out

    exported = cli("people", "export", "MATTI@example.fi")
    assert exported.json["rights_office"]["disclosures"][0]["their_reference"] == "T/17"
    assert cli("people", "export", "nobody@example.fi").code == 1

    period = ("--from", begin.isoformat(), "--to", (begin + timedelta(hours=1)).isoformat())
    breach = cli("privacy", "breach", *period, "--json").json
    looks = {each["act"]: each for each in breach["looks"]}
    assert (looks["person_exported"]["number"], looks["data_disclosed"]["persons"]) == (1, 1)
    assert breach["persons"] == 1
    held = {each["name"]: each["number"] for each in breach["places"]}
    assert (held["persons"], held["disclosures"]) == (1, 1)
    assert "person_exported 1 times, 1 persons" in cli("privacy", "breach", *period).out
    assert cli("privacy", "breach", "--from", "yesterday", "--to", "2026-11-22").code == 2
    assert cli("privacy", "breach", *period[2:], "--from", "2099-01-01T00:00:00Z").code == 2

    erased = cli("people", "erase", "matti@example.fi", "--yes")
    assert "To be told: Tax office" in erased.out
    assert "until your own rotation deletes them" in erased.out
    with db.reading() as session:
        assert len(audit.search(session, about=f"person {number}")) == 3


def test_the_record_of_processing(app: Flask, cli: Commands) -> None:
    record = cli("privacy", "record", "--json").json
    assert record["controllers"][0]["list"] == "tector-tiedottaa"
    assert {"persons", "ledger", "accounts", "catcher/"} <= {each["name"] for each in record["activities"]}
    assert all(each["why"] and each["kept"] and each["erased"] for each in record["activities"])
    told = cli("privacy", "record").out
    for words in ("GDPR 30", "marketing bans", "Recipients", "Protection"):
        assert words in told, words


def test_retention_by_command(app: Flask, cli: Commands) -> None:
    with db.transaction() as session:
        ask(session, "a@example.fi", now=db.utcnow() - timedelta(days=31))
    rules = {each["rule"]: each for each in cli("privacy", "retention", "--dry-run", "--json").json["rules"]}
    assert (rules["unanswered"]["due"], rules["unanswered"]["days"]) == (1, 30)
    assert "Nothing was let go." in cli("privacy", "retention", "--dry-run").out
    assert cli("people", "show", "a@example.fi").code == 0
    rules = {each["rule"]: each for each in cli("privacy", "retention", "--json").json["rules"]}
    assert rules["unanswered"]["gone"] == 1
    assert cli("people", "show", "a@example.fi").code == 1


def test_restricted_data_are_disclosed_on_a_named_ground_only(app: Flask, cli: Commands) -> None:
    """GDPR 18(2)."""
    with db.transaction() as session:
        other = person(session, "other@example.fi", now=db.utcnow())
        restriction.restrict(session, other, source="own page", origin={}, now=db.utcnow())
    assert "name the ground" in cli("privacy", "disclose", "other@example.fi", *GIVE).err
    assert cli("privacy", "disclose", "other@example.fi", *GIVE, "--restricted-on", "marketing").code == 2
    assert cli("privacy", "disclose", "other@example.fi", *GIVE, "--restricted-on", "claims").code == 0
    assert "GDPR 18(2): legal claims" in cli("privacy", "disclosures").out
