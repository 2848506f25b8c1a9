from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import update

from commanding import Commands
from conftest import NOW
from mailinglist import db
from mailinglist.consent import lists
from mailinglist.delivery import dispatch, handoffs
from mailinglist.delivery.tables import Handoff
from mailinglist.settings import Settings
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

    thread = threading.Thread(target=work)
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
