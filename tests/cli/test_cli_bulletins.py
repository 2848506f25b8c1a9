from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import update

import staffing
from commanding import Commands
from conftest import NOW
from mailinglist import db
from mailinglist.bulletins import approvals, drafts
from mailinglist.consent import lists
from mailinglist.delivery import dispatch, handoffs
from mailinglist.delivery.tables import Handoff
from mailinglist.settings import Settings
from mailinglist.staff import audit
from mailinglist.staff.levels import Level
from making import person, the_list

LIST = ("--list", "tector-tiedottaa")


@pytest.fixture
def cli(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(settings, monkeypatch, capsys)


@pytest.fixture
def body(tmp_path: Path) -> Path:
    path = tmp_path / "body.md"
    path.write_text("# Hello\n\nSome news.\n", encoding="utf-8-sig")
    return path


@pytest.fixture
def number(cli: Commands, body: Path) -> str:
    outcome = cli("bulletins", "add", *LIST, "--subject", "Uutisia", "--body", body)
    assert outcome.code == 0
    return outcome.out.strip()


def test_add_prints_the_id_alone(cli: Commands, number: str, body: Path):
    assert number == "1"
    html = body.with_suffix(".html")
    html.write_text("<p>Hello</p>")
    assert cli("bulletins", "add", *LIST, "--subject", "News", "--body", html, "--json").json == {"id": 2}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("body.txt", b"Hello", ".md, .markdown, .html, .htm"),
        ("body.md", "Päivää".encode("latin-1"), "UTF-8"),
        ("body.md", b" \n", ""),
    ],
)
def test_a_body_that_can_not_be_mailed(cli: Commands, tmp_path: Path, name: str, content: bytes, words: str):
    path = tmp_path / name
    path.write_bytes(content)
    outcome = cli("bulletins", "add", *LIST, "--subject", "News", "--body", path)
    assert (outcome.code, outcome.out) == (2, "")
    assert words in outcome.err
    assert cli("bulletins", "status", 1).code == 1


def test_a_draft_a_schedule_a_pause_a_cancellation(cli: Commands, number: str):
    assert cli("bulletins", "status", number, "--json").json["state"] == "draft"
    assert cli("bulletins", "pause", number).code == 1
    sent = cli("bulletins", "send", number, "--at", "2999-12-24T09:00+02:00", "--json")
    assert sent.code == 0
    assert sent.json["state"] == "scheduled"
    assert sent.json["due_at"] == "2999-12-24T07:00:00.000Z"
    assert "due        2999-12-24 07:00:00 UTC" in cli("bulletins", "status", number).out
    assert cli("bulletins", "send", number).code == 1
    assert cli("bulletins", "pause", number).code == 0
    assert cli("bulletins", "status", number, "--json").json["state"] == "paused"
    assert cli("bulletins", "resume", number).code == 0
    assert cli("bulletins", "cancel", number).code == 0
    assert cli("bulletins", "status", number, "--json").json["state"] == "cancelled"
    assert cli("bulletins", "resume", number).code == 1


@pytest.mark.parametrize("time", ["tomorrow", "2999-12-24T09:00", "2999-12-24"])
def test_a_time_needs_its_offset(cli: Commands, number: str, time: str):
    outcome = cli("bulletins", "send", number, "--at", time)
    assert outcome.code == 2
    assert "+02:00" in outcome.err
    assert cli("bulletins", "status", number, "--json").json["state"] == "draft"


def test_a_list_without_a_postal_address_sends_nothing(app: Flask, cli: Commands, body: Path):
    with db.transaction() as session:
        lists.set_value(session, the_list(session), "postal_address", "", now=NOW)
    outcome = cli("bulletins", "add", *LIST, "--subject", "News", "--body", body)
    assert outcome.code == 2
    assert "postal_address" in outcome.err


@pytest.mark.parametrize("verb", ["send", "status", "pause", "resume", "cancel"])
def test_a_bulletin_that_is_not_there(cli: Commands, verb: str):
    outcome = cli("bulletins", verb, 77)
    assert (outcome.code, outcome.out, outcome.err) == (1, "", "mailinglist: There is no bulletin 77.\n")


def worker(app: Flask, number: str, last: Callable[[], None]) -> threading.Thread:
    """Somebody who begins the bulletin, settles every row as accepted, and then does `last`."""

    def work() -> None:
        with app.app_context():
            begun = False
            while not begun:
                with db.transaction() as session:
                    begun = bool(dispatch.begin_due(session, now=db.utcnow()))
            with db.transaction() as session:
                shift = handoffs.begin_shift(session, now=NOW)
                handoffs.claim(session, shift, kinds=[handoffs.BULLETIN], about=1, limit=100, now=db.utcnow())
                session.execute(update(Handoff).values(state="accepted", settled_at=NOW, shift_id=None))
            last()

    thread = threading.Thread(target=work, daemon=True)  # it may find nothing to begin, ever
    thread.start()
    return thread


def test_wait_ends_when_nobody_is_pending(app: Flask, cli: Commands, number: str):
    with db.transaction() as session:
        person(session, "a@example.fi", now=NOW)

    def finish() -> None:
        with db.transaction() as session:
            dispatch.finish(session, int(number), now=db.utcnow())

    thread = worker(app, number, finish)
    outcome = cli("bulletins", "send", number, "--wait", "--json")
    thread.join(30)
    assert outcome.code == 0
    found = outcome.json
    assert (found["state"], found["audience"], found["accepted"], found["pending"]) == ("sent", 1, 1, 0)
    assert found["first_at"] == found["last_at"] == "2026-11-02T09:30:00.000Z"
    assert "accepted   from 2026-11-02 09:30:00 UTC" in cli("bulletins", "status", number).out


def test_waiting_for_what_is_cancelled_is_a_no(app: Flask, cli: Commands, number: str):
    def give_up() -> None:
        with db.transaction() as session:
            dispatch.note_trouble(session, int(number), "the relay is asleep")
        with db.transaction() as session:
            dispatch.cancel(session, int(number), now=db.utcnow())

    thread = worker(app, number, give_up)
    outcome = cli("bulletins", "send", number, "--wait", "--json")
    thread.join(30)
    assert (outcome.code, outcome.json["state"]) == (1, "cancelled")


# ── who may, and what is checked ──────────────────────────────────────────────────────────────────────────────────────


def publishers(number: int) -> list[int]:
    return [staffing.account(Level.PUBLISHER, totp=b"set") for _ in range(number)]


def acts(number: str) -> list[str]:
    with db.reading() as session:
        return [each.act for each in audit.search(session, about=f"bulletin {number}")][::-1]


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("setting", "able", "goes"),
    [("auto", 0, True), ("auto", 1, True), ("auto", 2, False), ("on", 0, False), ("on", 2, False), ("off", 2, True)],
)
def test_a_command_is_no_second_person(app: Flask, cli: Commands, number: str, setting: str, able: int, goes: bool):
    publishers(able)
    cli("lists", "set", "tector-tiedottaa", "approval", setting)
    outcome = cli("bulletins", "send", number, "--at", "2999-12-24T09:00+02:00", "--json")
    if goes:
        assert (outcome.code, outcome.json["state"]) == (0, "scheduled")
        assert acts(number) == ["bulletin_begun", "bulletin_sent"]
    else:
        assert (outcome.code, outcome.out) == (1, "")
        assert outcome.err == (
            "mailinglist: This list wants another person's approval: have it approved in the staff console, and then "
            "send it.\n"
        )
        assert cli("bulletins", "status", number, "--json").json["state"] == "draft"
        assert acts(number) == ["bulletin_begun"]


def test_what_a_second_person_approved_a_command_sends(app: Flask, cli: Commands, number: str):
    _, pirkko = publishers(2)
    with db.transaction() as session:
        approvals.approve(
            session, drafts.find(session, int(number)), sender="T <t@example.fi>", by=drafts.Author(pirkko, "Pirkko"),
            publishers=(1, pirkko), now=NOW,
        )  # fmt: skip
    assert cli("lists", "set", "tector-tiedottaa", "colour", "#990000").out == (
        f"Set.\nRecipients would see it: the approval is void of bulletin {number}. Have it approved anew.\n"
    )
    assert cli("bulletins", "send", number).code == 1
    with db.transaction() as session:
        approvals.approve(
            session, drafts.find(session, int(number)), sender="T <t@example.fi>", by=drafts.Author(pirkko, "Pirkko"),
            publishers=(1, pirkko), now=NOW,
        )  # fmt: skip
    outcome = cli("bulletins", "send", number)
    assert (outcome.code, outcome.err) == (0, ""), "what was approved with its warnings is not checked again"


def test_what_the_check_calls_an_error_is_not_sent(app: Flask, cli: Commands, number: str):
    with db.transaction() as session:
        bulletin = drafts.find(session, int(number))
        drafts.save(session, bulletin, base=1, source="See [this]({name}).", by=drafts.Author(None, "x"), now=NOW)
    outcome = cli("bulletins", "send", number)
    assert (outcome.code, outcome.out) == (1, "")
    assert "Bulletin 1 is not sent. " in outcome.err.splitlines()[-1]
    assert cli("bulletins", "status", number, "--json").json["state"] == "draft"


def test_warnings_are_printed_and_it_goes(app: Flask, cli: Commands, tmp_path: Path):
    path = tmp_path / "short.html"
    path.write_text('<p>Hello, some news.</p><p><img src="https://127.0.0.1:1/a.png" width="9" height="9"></p>')
    made = cli("bulletins", "add", *LIST, "--subject", "News", "--body", path).out.strip()
    outcome = cli("bulletins", "send", made, "--json")
    assert (outcome.code, outcome.json["state"]) == (0, "scheduled")
    assert outcome.err.startswith("mailinglist: warning: ")


def test_a_test_mail_is_in_the_audit_before_it_goes(app: Flask, cli: Commands, number: str):
    with db.transaction() as session:
        known = person(session, "kalle@example.fi", now=NOW).id
    assert cli("bulletins", "test", number, "kalle@example.fi").code == 3, "nothing listens"
    with db.reading() as session:
        [found] = audit.search(session, act="test_mailed")
        assert (found.about, found.detail) == (f"bulletin {number}", {"person": known})
