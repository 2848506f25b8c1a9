from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select, update

from commanding import Commands
from conftest import NOW
from mailinglist import db
from mailinglist.consent import proof
from mailinglist.consent.tables import KeyCheck
from mailinglist.settings import Settings
from mailinglist.staff import audit
from mailinglist.staff.tables import AuditEntry
from making import named, person


@pytest.fixture
def cli(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(settings, monkeypatch, capsys)


def test_check_is_safe_in_front_of_a_send(app: Flask, cli: Commands):
    """`check && send`: only 0 lets it go."""
    assert cli("bans", "check", "a@example.fi").code == 3
    with db.transaction() as session:
        person(session, "a@example.fi", now=NOW)
    free = cli("bans", "check", "a@example.fi", "--json")
    assert (free.code, free.json) == (0, {"banned": False, "channels": [], "in_force": []})
    cli("bans", "add", "A@example.fi", "--channel", "phone", "--source", "said so on the phone")
    cli("bans", "add", "a@example.fi", "--channel", "email", "--source", "said so on the phone")
    found = cli("bans", "check", "a@EXAMPLE.fi", "--json")
    in_force = [{"channel": "email", "list": None}, {"channel": "phone", "list": None}]
    assert (found.code, found.json) == (1, {"banned": True, "channels": ["email", "phone"], "in_force": in_force})
    assert cli("bans", "check", "a@example.fi").out == "banned: email, phone\n"
    assert cli("bans", "check", "a@example.fi", "--channel", "post").code == 0
    assert cli("bans", "check", "nonsense").code == 2
    with db.reading() as session:
        looked = audit.search(session, act="ban_checked")
        assert len(looked) == 5
        assert looked[-1].about == "", "nobody had this address then"
        assert looked[0].about.startswith("person ")


def test_check_with_a_wrong_ban_key_is_no_free(app: Flask, cli: Commands):
    with db.transaction() as session:
        session.execute(update(KeyCheck).values(value=b"another"))
    outcome = cli("bans", "check", "a@example.fi")
    assert outcome.code == 3
    assert "MAILINGLIST_BAN_KEY" in outcome.err


def test_a_ban_needs_no_person_and_is_written_with_its_evidence(app: Flask, cli: Commands):
    assert cli("bans", "add", "a@example.fi", "--channel", "all", "--source", "card of 1 May").code == 0
    again = cli("bans", "add", "a@example.fi", "--channel", "post", "--source", "again")
    assert (again.code, again.out) == (0, "That was forbidden already.\n")
    with db.reading() as session:
        (entry,) = proof.prove(session, "a@example.fi")
    assert entry["channels"] == ["disclosure", "email", "phone", "post"]
    assert entry["evidence_content"]["source"] == "card of 1 May"
    assert entry["evidence_content"]["recorded_by"]


def test_a_ban_without_a_source_is_refused(cli: Commands):
    outcome = cli("bans", "add", "a@example.fi", "--channel", "all", "--source", " ")
    assert outcome.code == 2
    assert "source" in outcome.err
    assert cli("bans", "check", "a@example.fi").code == 3


def test_lifting_needs_evidence_and_a_ban(app: Flask, cli: Commands):
    cli("bans", "add", "a@example.fi", "--channel", "all", "--source", "letter")
    assert cli("bans", "lift", "a@example.fi", "--channel", "email", "--evidence", " ").code == 2
    assert cli("bans", "lift", "a@example.fi", "--channel", "email").code == 2
    lifted = cli("bans", "lift", "a@example.fi", "--channel", "email", "--evidence", "came to the office")
    assert (lifted.code, lifted.out) == (0, "Allowed again: email.\nStill forbidden: post, phone, disclosure.\n")
    assert cli("bans", "lift", "a@example.fi", "--channel", "email", "--evidence", "again").code == 1
    assert cli("bans", "check", "a@example.fi", "--json").json["channels"] == ["post", "phone", "disclosure"]
    with db.reading() as session:
        entry = proof.prove(session, "a@example.fi")[-1]
    assert entry["event"] == "ban_lifted"
    assert entry["evidence_content"]["evidence"] == "came to the office"


def test_a_list_of_bans(cli: Commands, tmp_path: Path):
    file = tmp_path / "bans.txt"
    file.write_text(f"a@example.fi\n{hashlib.sha256(b'b@example.fi').hexdigest()}\nnonsense\na@example.fi\n")
    outcome = cli("bans", "import", file)
    assert outcome.code == 0
    assert outcome.out.splitlines()[0].startswith("line 3: neither an address nor a SHA-256")
    assert outcome.out.splitlines()[1] == "2 added, 0 unchanged, 1 refused."
    assert cli("bans", "check", "B@example.fi", "--json").json["channels"] == ["email"]
    again = cli("bans", "import", file, "--channel", "all", "--source", "the opt-out register", "--json").json
    assert (again["added"], again["unchanged"], len(again["refused"])) == (2, 0, 1)
    assert len(cli("bans", "check", "b@example.fi", "--json").json["channels"]) == 4
    assert cli("ledger", "verify").code == 0


def test_a_list_of_bans_with_nothing_but_faults(cli: Commands, tmp_path: Path):
    file = tmp_path / "bans.txt"
    file.write_text("nonsense\n")
    assert cli("bans", "import", file).code == 1
    file.write_text("")
    assert cli("bans", "import", file).code == 2


def test_a_file_is_looked_up_for_another_system(app: Flask, cli: Commands, tmp_path: Path):
    cli("bans", "add", "a@example.fi", "--channel", "email", "--source", "letter")
    cli("bans", "add", "+b@example.fi", "--channel", "post", "--source", "letter")
    file = tmp_path / "list.csv"
    file.write_text("name;email\nA;A@example.fi\nB;+b@example.fi\nC;c@example.fi\nD;nonsense\n")
    outcome = cli("bans", "check", "--file", str(file))
    assert outcome.code == 1
    assert outcome.out.splitlines() == [
        "line,given,banned,channels,one_list,by", "2,A@example.fi,yes,email,,address",
        "3,'+b@example.fi,yes,post,,address", "4,c@example.fi,no,,,",
    ]  # fmt: skip
    assert "line 5: neither an address nor a SHA-256" in outcome.err
    assert "3 asked about, 2 banned, 1 refused." in outcome.err
    only = cli("bans", "check", "--file", str(file), "--banned-only", "--channel", "email", "--json")
    in_force = [{"channel": "email", "list": None}]
    assert only.json == {
        "line": 2, "given": "A@example.fi", "banned": True, "channels": ["email"], "in_force": in_force,
        "by": ["address"],
    }  # fmt: skip
    assert cli("bans", "check").code == 2
    assert cli("bans", "check", "a@example.fi", "--file", str(file)).code == 2
    with db.reading() as session:
        found = session.scalars(select(AuditEntry.detail).where(AuditEntry.act == "bans_looked_up")).all()
    assert found == [{"asked": 3, "banned": 2}, {"asked": 3, "banned": 1}]


def test_systems_without_addresses_ask_by_name(app: Flask, cli: Commands, tmp_path: Path):
    with db.transaction() as session:
        named(session, ("matti@example.fi", "Matti Virtanen"), ("maija@example.fi", "Maija Mäki"), now=NOW)
    cli("bans", "add", "matti@example.fi", "--channel", "post", "--source", "letter")
    found = cli("bans", "check", "--name", "VIRTANEN, Matti", "--json")
    in_force = [{"channel": "post", "list": None}]
    assert (found.code, found.json) == (1, {"banned": True, "channels": ["post"], "in_force": in_force})
    assert cli("bans", "check", "--name", "Matti Virtanen", "--channel", "phone").code == 0
    assert (cli("bans", "check", "--name", "Maija Mäki").code, cli("bans", "check", "--name", "Nemo").code) == (0, 3)
    for wrong in (["--name", "a@example.fi"], ["--name", ""], ["a@example.fi", "--name", "Matti"], ["--names"]):
        assert cli("bans", "check", *wrong).code == 2, wrong
    file = tmp_path / "post.txt"
    file.write_text("Virtanen, Matti\nMaija Mäki\nmatti@exampel.fi\n")
    outcome = cli("bans", "check", "--file", file, "--names")
    assert outcome.out.splitlines() == [
        "line,given,banned,channels,one_list,by", '1,"Virtanen, Matti",yes,post,,name', "2,Maija Mäki,no,,,",
    ]  # fmt: skip
    assert outcome.code == 1
    assert "line 3: an address where a name belongs" in outcome.err
    file.write_text("email;nimi\nmatti@example.fi;Matti Virtanen\nnew@example.fi;Matti Virtanen\n")
    both = cli("bans", "check", "--file", file, "--json")
    assert [json.loads(line)["by"] for line in both.out.splitlines()] == [["address", "name"], ["name"]]
    with db.reading() as session:
        assert {line.about for line in audit.search(session, act="ban_checked")} == {""}, "a name is in no audit"


def test_a_file_that_is_not_what_it_was_said_to_be(app: Flask, cli: Commands, tmp_path: Path):
    file = tmp_path / "names.txt"
    for text in (
        "etunimi;sukunimi\nMatti;Virtanen\n",
        "First name,Last name\nMatti,Virtanen\n",
        "nimi;sukunimi\nMatti;Virtanen\n",
    ):
        file.write_text(text)
        for more in ([], ["--names"]):
            outcome = cli("bans", "check", "--file", file, *more)
            assert (outcome.code, outcome.out) == (2, ""), "not even a heading, which would say that nobody is banned"
            assert "together into one column “name”" in outcome.err
    file.write_text("email;etunimi;sukunimi\nmatti@example.fi;Matti;Virtanen\n")
    assert cli("bans", "check", "--file", file).code == 0, "the address is asked about"
    file.write_text("etunimi;sukunimi\nMatti;Virtanen\n")
    assert "A ban by a name alone can't be taken in" in cli("bans", "import", file).err
    file.write_text("Matti Virtanen\nMaija Mäki\na@example.fi\n")
    assert "If they are names, give --names, too." in cli("bans", "check", "--file", file).err
    file.write_text("a@example.fi\nb@example.fi\nMaija Mäki\n")
    assert "--names" not in cli("bans", "check", "--file", file).err
    assert "Give only one of" in cli("bans", "check", "--name", "Matti", "--file", file).err


def test_a_file_of_names_alone_is_not_taken_in(app: Flask, cli: Commands, tmp_path: Path):
    file = tmp_path / "post.csv"
    file.write_text("nimi\nMatti Virtanen\n")
    outcome = cli("bans", "import", file)
    assert outcome.code == 2
    assert "A ban by a name alone can't be taken in" in outcome.err


def test_bans_of_one_list_alone(app: Flask, cli: Commands, tmp_path: Path):
    def check(*words: str) -> tuple[int, str]:
        outcome = cli("bans", "check", "a@example.fi", *words)
        return outcome.code, outcome.out

    one, other = ("--list", "tector-tiedottaa"), ("--list", "toinen")
    cli("lists", "add", "toinen", "--name", "Toinen")
    added = cli("bans", "add", "a@example.fi", "--channel", "email", *other, "--source", "letter")
    assert (added.code, added.out) == (0, "Forbidden: email (toinen only).\n")
    assert cli("bans", "add", "a@example.fi", "--channel", "email", *other, "--source", "x").out.startswith("That was")
    assert check() == (1, "banned: email (toinen only)\n")
    assert (check(*other), check(*one)) == ((1, "banned: email (toinen only)\n"), (0, "free\n"))
    assert cli("bans", "check", "a@example.fi", "--json").json == {
        "banned": True, "channels": ["email"], "in_force": [{"channel": "email", "list": "toinen"}]
    }  # fmt: skip
    assert cli("bans", "add", "a@example.fi", "--channel", "email", "--list", "no-such", "--source", "x").code == 1
    file = tmp_path / "bans.txt"
    file.write_text("a@example.fi\nb@example.fi\n")
    assert cli("bans", "import", file, "--channel", "all", *other, "--json").json["added"] == 2
    assert cli("bans", "check", "--file", file).out.splitlines()[1:] == [
        f"{number},{who}@example.fi,yes,email post phone disclosure,"
        "email:toinen post:toinen phone:toinen disclosure:toinen,address"
        for number, who in ((1, "a"), (2, "b"))
    ]
    assert cli("bans", "check", "--file", file, *one).code == 0
    assert cli("bans", "check", "--file", file, "--channel", "email", *other).out.splitlines()[1] == (
        "1,a@example.fi,yes,email,email:toinen,address"
    )
    how = ("--channel", "email", "--evidence", "rang")
    assert cli("bans", "lift", "a@example.fi", *how).code == 1, "there is none of all lists"
    assert cli("bans", "lift", "a@example.fi", *how, *other).out.splitlines() == [
        "Allowed again: email (toinen only).",
        "Still forbidden: post (toinen only), phone (toinen only), disclosure (toinen only).",
    ]
    with db.reading() as session:
        noted = [line.detail for line in audit.search(session, act="ban_added")]
    assert [each["list"] for each in noted] == [2]
    assert cli("ledger", "verify").code == 0
