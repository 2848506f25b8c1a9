"""`mailinglist inbound`: one message from a pipe, what messages are, and the role."""

from __future__ import annotations

import io
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

import commanding
from commanding import Commands, Outcome
from mailinglist import db
from mailinglist.inbound import bounds
from mailinglist.inbound.tables import Spooled
from mailinglist.settings import Settings
from reporting import DOMAIN, report, return_path
from servers import free_port, listens, wait_for

OWNER = f"tector-tiedottaa-owner@{DOMAIN}"
WRITTEN = "From: Liisa <liisa@example.fi>\nTo: x@example.com\n\nMoi\n"
MAIL = f"Return-Path: <liisa@example.fi>\nDelivered-To: {OWNER}\n{WRITTEN}"

Pipe = Callable[..., Outcome]


@pytest.fixture
def extra_settings() -> dict[str, str]:
    return {"bounce_domain": DOMAIN, "inbound_pipe": "true"}


@pytest.fixture
def cli(
    app: Flask, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Commands:
    for name in ("ORIGINAL_RECIPIENT", "RECIPIENT"):
        monkeypatch.delenv(name, raising=False)
    return Commands(settings, monkeypatch, capsys)


@pytest.fixture
def pipe(cli: Commands, monkeypatch: pytest.MonkeyPatch) -> Pipe:
    def give(raw: bytes, *words: str) -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
        return cli("inbound", "deliver", *words)

    return give


def rows() -> list[tuple[object, ...]]:
    with db.reading() as session:
        found = session.execute(
            select(Spooled.recipient, Spooled.sender, Spooled.via, Spooled.raw).order_by(Spooled.id)
        )
        return [tuple(row) for row in found]


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
class TestDeliver:
    def test_what_a_server_wrote_on_top_says_for_whom_it_is(self, pipe: Pipe) -> None:
        assert pipe(f"From liisa@example.fi Mon Nov  2\n{MAIL}".encode()) == Outcome(
            0, "Kept; a worker will handle it.\n", ""
        )
        raw = MAIL.replace("\n", "\r\n").encode()
        assert rows() == [(OWNER, "liisa@example.fi", "pipe", raw)]
        assert pipe(raw).out == "It was handed in before.\n"

    def test_the_command_line_and_the_environment_say_it_better(
        self, pipe: Pipe, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        there = return_path(1).upper()
        assert pipe(report("x@y.fi"), "--recipient", there, "--sender", "").code == 0
        monkeypatch.setenv("ORIGINAL_RECIPIENT", f"tector-tiedottaa-join@{DOMAIN}")
        assert pipe(b"From: a@example.fi\n\nMoi\n").code == 0
        assert [row[:2] for row in rows()] == [(there, ""), (f"tector-tiedottaa-join@{DOMAIN}", "a@example.fi")]

    @pytest.mark.parametrize(
        ("raw", "words", "code", "said"),
        [
            (b"From: a@b.fi\nTo: x@example.com\n\nMoi\n", (), 1, "The message is for no address of ours."),
            (MAIL.encode(), ("--recipient", f"b-{'a' * 26}@{DOMAIN}"), 1, "The message is for no address of ours."),
            (MAIL.encode(), ("--recipient", f"nobody-owner@{DOMAIN}"), 1, "There is no such list."),
            (b" \n", (), 2, "There is no message on standard input."),
            (b"x" * (bounds.LARGEST + 1), (), 1, "The message is too large"),
        ],
    )
    def test_what_is_sent_back(self, pipe: Pipe, raw: bytes, words: tuple[str, ...], code: int, said: str) -> None:
        answer = pipe(raw, *words)
        assert (answer.code, rows()) == (code, [])
        assert said in answer.err

    def test_what_fails_is_tried_again(self, pipe: Pipe, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("MAILINGLIST_DATABASE_URL", f"sqlite:///{tmp_path}/nothing/here.db")
        answer = pipe(MAIL.encode())
        assert (answer.code, answer.err.count("\n")) == (75, 1)
        monkeypatch.setenv("MAILINGLIST_SMTP_URL", "nonsense")
        assert pipe(MAIL.encode()).code == 75

    def test_it_says_what_messages_are(self, cli: Commands, tmp_path: Path) -> None:
        files = {
            "bounce": report(return_path(1)),
            "join": f"From: a@b.fi\nTo: tector-tiedottaa-join@{DOMAIN}\n\nMoi\n".encode(),
            "other": MAIL.encode(), "nothing": b"",
        }  # fmt: skip
        for name, raw in files.items():
            (tmp_path / name).write_bytes(raw)
        answer = cli("inbound", "classify", *(tmp_path / name for name in files))
        said = {Path(fact["file"]).name: fact for fact in map(json.loads, answer.out.splitlines())}
        assert answer.code == 0
        assert [said[name]["kind"] for name in files] == ["bounce", "command", "other", "other"]
        assert (said["bounce"]["verdict"], said["bounce"]["status"]) == ("dead", "5.1.1")
        assert (said["bounce"]["address"], said["join"]["act"]) == ("matti@example.net", "join")
        assert cli("inbound", "classify", tmp_path / "missing").code == 2
        assert rows() == []

    def test_the_role_wants_something_to_do(self, cli: Commands) -> None:
        answer = cli("inbound")
        assert answer.code == 2
        assert "MAILINGLIST_INBOUND_BIND" in answer.err


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_the_role_listens_until_it_is_told_to_stop(app: Flask, settings: Settings) -> None:
    port = free_port()
    process = commanding.start(settings.model_copy(update={"inbound_bind": f"127.0.0.1:{port}"}), "inbound")
    try:
        wait_for(lambda: listens(port) or process.poll() is not None, seconds=20)
        wait_for((settings.data_dir / "ready" / "listener").exists)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()
