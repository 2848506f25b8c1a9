from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from commanding import Commands, environment
from conftest import NOW
from mailinglist import db
from mailinglist.consent import address, intake, proof, register, register_many, requests, transfer
from mailinglist.consent.address import parse
from mailinglist.consent.states import State
from mailinglist.consent.tables import Request
from mailinglist.errors import RegisterUnsound
from mailinglist.settings import Settings
from mailinglist.staff import audit
from making import ORIGIN, person, the_list

LIST = ("--list", "tector-tiedottaa")
FROM_SHOP = (*LIST, "--basis", "customer", "--source", "the web shop")


@pytest.fixture
def cli(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(settings, monkeypatch, capsys)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    path.write_text("email,name,sale_reference\nmatti@example.fi,Matti,A1\nnonsense,,\nmaija@example.fi,Maija,\n")
    return path


# ── import ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_import_reports_each_line(cli: Commands, file: Path):
    outcome = cli("people", "import", file, *FROM_SHOP)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines() == [
        "line 3: bad address: The address needs one @, with something before and after it.",
        "line 4: a customer without a sale reference",
        "1 added, 0 updated, 0 unchanged, 2 refused.",
    ]
    assert cli("people", "show", "matti@example.fi").code == 0
    assert cli("people", "show", "maija@example.fi").code == 1


def test_an_import_says_what_it_corrects(cli: Commands, tmp_path: Path):
    path = tmp_path / "people.csv"
    for name, said in (("Matti", []), ("Matias", ["line 2: taken: new name"])):
        path.write_text(f"email,name\nmatti@example.fi,{name}\n")
        outcome = cli("people", "import", path, "--list", "tector-tiedottaa", "--basis", "consent", "--source", "old")
        assert outcome.out.splitlines()[:-1] == said


def test_an_import_as_json(cli: Commands, file: Path):
    outcome = cli("people", "import", file, *FROM_SHOP, "--json")
    assert (outcome.json["added"], outcome.json["updated"], outcome.json["unchanged"]) == (1, 0, 0)
    assert outcome.json["refused"][1] == {"line": 4, "reason": "a customer without a sale reference"}
    assert outcome.json["dry_run"] is False


def test_a_dry_run_reports_the_same_and_writes_nothing(cli: Commands, file: Path):
    rehearsed = cli("people", "import", file, *FROM_SHOP, "--dry-run", "--json")
    assert rehearsed.code == 0
    assert rehearsed.json["dry_run"] is True
    assert cli("people", "show", "matti@example.fi").code == 1
    assert cli("ledger", "proof", "matti@example.fi").code == 1
    real = cli("people", "import", file, *FROM_SHOP, "--json")
    assert {**real.json, "dry_run": True} == rehearsed.json
    assert "Nothing was written." in cli("people", "import", file, *FROM_SHOP, "--dry-run").out


def test_where_every_line_is_refused_the_answer_is_no(cli: Commands, file: Path):
    file.write_text("email\nnonsense\n")
    assert cli("people", "import", file, *FROM_SHOP).code == 1
    file.write_text("email\n")
    assert cli("people", "import", file, *FROM_SHOP).code == 1, "nobody was taken in"


@pytest.mark.parametrize("column", ["password", "credit card"])
def test_a_file_with_foreign_columns_is_refused_as_a_whole(cli: Commands, file: Path, column: str):
    file.write_text(f"email,{column}\nmatti@example.fi,sesame\n")
    outcome = cli("people", "import", file, *LIST, "--basis", "consent", "--source", "x")
    assert (outcome.code, outcome.out) == (2, "")
    assert column in outcome.err
    assert "sesame" not in outcome.err
    assert cli("people", "show", "matti@example.fi").code == 1


def test_who_is_banned_or_left_stays_so(app: Flask, cli: Commands, file: Path):
    with db.transaction() as session:
        person(session, "matti@example.fi", now=NOW, state=State.LEFT)
    cli("bans", "add", "maija@example.fi", "--channel", "email", "--source", "phone")
    file.write_text("email\nmatti@example.fi\nmaija@example.fi\n")
    outcome = cli("people", "import", file, *LIST, "--basis", "consent", "--source", "x")
    assert outcome.code == 1
    assert "line 2: left: " in outcome.out
    assert "line 3: banned: " in outcome.out
    assert cli("people", "show", "matti@example.fi", "--json").json["subscriptions"][0]["state"] == "left"
    assert cli("bans", "check", "maija@example.fi").code == 1


def test_an_import_into_no_list(cli: Commands, file: Path):
    outcome = cli("people", "import", file, "--list", "nonsense", "--basis", "organisation", "--source", "x")
    assert (outcome.code, outcome.err) == (1, "mailinglist: There is no such list.\n")


# ── add ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

ON_PAPER = (*LIST, "--channel", "paper", "--evidence", "form 7, folder 2026/3")


def test_staff_write_down_who_asked_on_paper_and_the_letter_decides(app: Flask, cli: Commands):
    outcome = cli("people", "add", "Matti@example.fi", *ON_PAPER, "--language", "sv", "--date", "2026-10-30")
    assert outcome.code == 0
    assert "answered" in outcome.out
    with db.transaction() as session:
        (request,) = session.scalars(select(Request))
        assert (request.entrance, request.language, request.mailbox) == ("staff", "sv", "Matti@example.fi")
        requests.take(session, now=datetime.now(UTC) + timedelta(seconds=5))
        assert request.letter == "confirm"
    assert ", asked for consent\n" in cli("people", "show", "matti@example.fi").out
    with db.transaction() as session:
        (asked,) = proof.prove(session, "matti@example.fi")
        assert (asked["source"], asked["state"]) == ("staff", "pending")
        evidence = asked["evidence_content"]
        assert (evidence["how"], evidence["evidence"]) == ("paper", "form 7, folder 2026/3")
        assert evidence["asked_on"] == "2026-10-30"
        assert evidence["recorded_by"]
        assert asked["text_shown"]


@pytest.mark.parametrize(
    ("extra", "code", "words"),
    [
        (("--channel", "phone", "--evidence", "  "), 2, "needs evidence"),
        (("--channel", "phone"), 2, "'--evidence'"),
        (("--channel", "pigeon", "--evidence", "x"), 2, "pigeon"),
        (("--channel", "phone", "--evidence", "x", "--date", "2999-01-01"), 2, "future"),
        (("--channel", "phone", "--evidence", "x", "--name", "two\nlines"), 2, "line break"),
    ],
)
def test_an_entry_by_staff_without_what_it_needs(
    app: Flask, cli: Commands, extra: tuple[str, ...], code: int, words: str
):
    outcome = cli("people", "add", "a@example.fi", *LIST, *extra)
    assert (outcome.code, outcome.out) == (code, "")
    assert words in outcome.err
    with db.reading() as session:
        assert session.scalar(select(Request.id)) is None


def test_a_ban_in_force_stops_an_entry_by_staff(app: Flask, cli: Commands):
    cli("bans", "add", "a@example.fi", "--channel", "all", "--source", "letter")
    outcome = cli("people", "add", "a@example.fi", *ON_PAPER)
    assert outcome.code == 1
    assert "forbidden" in outcome.err
    cli("bans", "lift", "a@example.fi", "--channel", "email", "--evidence", "came to the office")
    assert cli("people", "add", "a@example.fi", *ON_PAPER).code == 0, "the other bans are not about mail"


def test_staff_can_not_bring_back_who_left(app: Flask, cli: Commands):
    with db.transaction() as session:
        person(session, "a@example.fi", now=NOW, state=State.LEFT)
    cli("people", "add", "a@example.fi", *ON_PAPER)
    with db.transaction() as session:
        requests.take(session, now=datetime.now(UTC) + timedelta(seconds=5))
    assert cli("people", "show", "a@example.fi", "--json").json["subscriptions"][0]["state"] == "left"


def test_staff_are_not_limited(app: Flask, cli: Commands):
    assert [cli("people", "add", f"p{n}@example.fi", *ON_PAPER).code for n in range(15)] == [0] * 15


# ── show ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_show(app: Flask, cli: Commands):
    with db.transaction() as session:
        made = person(session, "Matti@example.fi", now=NOW)
        standing = register.subscription(session, made.id, the_list(session).id)
        assert standing is not None
    cli("bans", "add", "matti@example.fi", "--channel", "post", "--source", "phone")
    assert cli("people", "show", "MATTI@EXAMPLE.FI", "--json").json == {
        "address": "Matti@example.fi",
        "language": "fi",
        "subscriptions": [
            {
                "list": "tector-tiedottaa",
                "state": "active",
                "basis": "consent",
                "since": "2026-11-02T09:30:01.000000Z",
                "text_version": 1,
            }
        ],
        "bans": ["post"],
        "in_force": [{"channel": "post", "list": None}],
    }
    told = cli("people", "show", "matti@example.fi")
    assert told.code == 0
    assert "active since 2026-11-02 09:30:01 UTC, on the basis of consent, consent text version 1" in told.out
    assert "post" in told.out


def test_show_nobody(cli: Commands):
    outcome = cli("people", "show", "nobody@example.fi", "--json")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == "mailinglist: Nobody with this address is in the register.\n"


# ── erase ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_erase_says_what_it_deleted_what_it_keeps_and_why(app: Flask, cli: Commands):
    with db.transaction() as session:
        person(session, "a@example.fi", now=NOW)
    cli("bans", "add", "a@example.fi", "--channel", "email", "--source", "phone")
    outcome = cli("people", "erase", "a@example.fi", "--yes")
    assert outcome.code == 0
    assert "Deleted: " in outcome.out
    assert "subscriptions 1" in outcome.out
    assert "Kept: marketing bans (email), 1: " in outcome.out
    assert "Kept: ledger entries, 5: " in outcome.out
    assert "Backups" in outcome.out
    shown = cli("people", "show", "a@example.fi")
    assert shown.code == 1
    assert "a marketing ban is kept for it (email)" in shown.err
    assert cli("bans", "check", "a@example.fi").code == 1
    assert cli("ledger", "verify").code == 0
    assert cli("people", "erase", "a@example.fi", "--yes").code == 1


def test_erase_as_json(app: Flask, cli: Commands):
    with db.transaction() as session:
        person(session, "a@example.fi", now=NOW)
    found = cli("people", "erase", "a@example.fi", "--yes", "--json").json
    assert found["deleted"]["persons"] == 1
    assert [kept["what"] for kept in found["kept"]] == ["ledger entries"]


def test_erase_asks_first_and_without_a_terminal_wants_yes(app: Flask, cli: Commands, monkeypatch: pytest.MonkeyPatch):
    with db.transaction() as session:
        person(session, "a@example.fi", now=NOW)
    with open(os.devnull) as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        outcome = cli("people", "erase", "a@example.fi")
    assert outcome.code == 2
    assert "--yes" in outcome.err
    with db.reading() as session:
        assert register.find(session, address.parse("a@example.fi")) is not None


@pytest.mark.parametrize(("answer", "code"), [("n", 130), ("y", 0)])
@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_erase_on_a_terminal(app: Flask, settings: Settings, answer: str, code: int):
    with db.transaction() as session:
        person(session, "a@example.fi", now=NOW)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "mailinglist", "people", "erase", "a@example.fi"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(settings)) as process:
        os.close(theirs)
        os.write(ours, f"{answer}\n".encode())
        assert process.wait(30) == code
    os.close(ours)
    with db.reading() as session:
        assert (register.find(session, address.parse("a@example.fi")) is None) == (answer == "y")


# ── a long import ─────────────────────────────────────────────────────────────────────────────────────────────────────

BY_CONSENT = (*LIST, "--basis", "consent", "--source", "x")


@pytest.fixture
def long_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six people, taken in by twos."""
    monkeypatch.setattr(register_many, "GROUP", 2)
    file.write_text("email\n" + "".join(f"{letter}@example.fi\n" for letter in "abcdef"))
    return file


def held(address: str) -> bool:
    with db.reading() as session:
        return register.find(session, parse(address)) is not None


def test_an_import_is_taken_in_by_parts_and_the_next_goes_on(
    app: Flask, cli: Commands, long_file: Path, monkeypatch: pytest.MonkeyPatch
):
    whole, seen = transfer.take_in_part, []

    def breaks_off(session, row, part, *rest, **more):
        seen.append(held("a@example.fi"))  # by another transaction: what was taken in before is there for everybody
        if len(seen) == 3:
            raise RegisterUnsound("The bans can't be read.")
        return whole(session, row, part, *rest, **more)

    monkeypatch.setattr(transfer, "take_in_part", breaks_off)
    outcome = cli("people", "import", long_file, *BY_CONSENT)
    assert seen == [False, True, True]
    assert (outcome.code, outcome.out) == (3, "")
    assert outcome.err == (
        "mailinglist: Cut off: 4 of 6 people are in. Give the same command again for the others. The reason: The bans "
        "can't be read.\n"
    )
    monkeypatch.undo()
    assert [held(f"{letter}@example.fi") for letter in "adef"] == [True, True, False, False]


def test_who_is_in_stays_as_they_are(app: Flask, cli: Commands, long_file: Path):
    first = cli("people", "import", long_file, *BY_CONSENT, "--json").json
    again = cli("people", "import", long_file, *BY_CONSENT, "--json").json
    assert (first["added"], first["unchanged"]) == (6, 0)
    assert (again["added"], again["unchanged"]) == (0, 6)
    with db.reading() as session:
        assert len(proof.prove(session, "a@example.fi")) == 1
        acts = [each.act for each in audit.search(session)]
    assert acts == ["people_imported", "import_begun"] * 2


def test_an_import_that_is_interrupted_says_so(
    app: Flask, cli: Commands, long_file: Path, monkeypatch: pytest.MonkeyPatch
):
    pauses = iter([None])

    def pause(_seconds: float) -> None:
        if next(pauses, "stop") == "stop":
            raise KeyboardInterrupt

    monkeypatch.setattr("mailinglist.cli.people.time.sleep", pause)
    outcome = cli("people", "import", long_file, *BY_CONSENT)
    assert outcome.code == 130
    assert "Cut off: 4 of 6 people are in." in outcome.err
    with db.reading() as session:
        assert [(each.act, each.detail.get("added")) for each in audit.search(session)] == [
            ("people_imported", 4), ("import_begun", None),
        ]  # fmt: skip


def test_a_file_with_a_fault_anywhere_writes_nothing_before_it_is_seen(app: Flask, cli: Commands, long_file: Path):
    long_file.write_bytes(long_file.read_bytes() + b"\xff\n")
    assert cli("people", "import", long_file, *BY_CONSENT).code == 2
    assert not held("a@example.fi")
    with db.reading() as session:
        assert audit.search(session) == []


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_a_sign_up_does_not_wait_for_an_import(app: Flask, cli: Commands, file: Path):
    file.write_text("email\n" + "".join(f"p{number}@example.fi\n" for number in range(4000)))
    waited: list[float] = []
    over = threading.Event()

    def sign_up() -> None:
        with app.app_context():
            while not over.is_set():
                began = time.monotonic()
                with db.transaction() as session:
                    waited.append(time.monotonic() - began)
                    intake.write_down(
                        session, the_list(session), parse(f"s{len(waited)}@example.fi"), entrance="web", language="fi",
                        origin=ORIGIN, now=db.utcnow(),
                    )  # fmt: skip

    thread = threading.Thread(target=sign_up)
    thread.start()
    outcome = cli("people", "import", file, *BY_CONSENT, "--json")
    over.set()
    thread.join(30)
    assert outcome.json["added"] == 4000
    assert len(waited) > 5, "they came in between"
    assert max(waited) < 2
