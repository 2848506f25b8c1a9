"""The roles, each in a process of its own, as production starts them."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask

import servers
from catching import Caught
from commanding import Commands, run, start
from keeping import alive
from mailinglist import db, observe
from mailinglist.cli.web_server import options
from mailinglist.consent import address, intake, lists
from mailinglist.settings import Settings
from making import ORIGIN, the_list
from servers import free_port, wait_for

on_sqlite = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)

TOKEN = "dG9rZW4tdG9rZW4tdG9rZW4tdG9rZW4.c2lnbmF0dXJlLXNpZ25hdHVyZQ"


@pytest.fixture
def extra_settings(valkey: servers.Valkey, caught: Caught) -> dict[str, str]:
    return {"broker_url": valkey.url, "smtp_url": caught.url, "bind": f"127.0.0.1:{free_port()}"}


Here = Callable[[Settings], Commands]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Gives commands in this process: a role that does not start needs none of its own, which costs a second and a
    half. What it logs does not count as said by the command."""
    monkeypatch.setattr(observe, "configure", lambda **_: None)
    return lambda settings: Commands(settings, monkeypatch, capsys)


@contextmanager
def role(settings: Settings, log: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A role at work; its end is looked at: it leaves cleanly when it is asked to."""
    with log.open("w") as output, start(settings, *arguments, stdout=output, stderr=output) as process:
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, log.read_text()
        finally:
            process.kill()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def status(settings: Settings, path: str) -> int | None:
    """Status of a GET; None while nobody answers."""
    connection = http.client.HTTPConnection(settings.web_bind.host, settings.web_bind.port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


@on_sqlite
def test_web_serves_and_logs_no_token(app: Flask, settings: Settings, tmp_path: Path):
    log = tmp_path / "web.log"
    with role(settings, log, "web"):
        wait_for(lambda: status(settings, "/health/ready") == 200, seconds=30)
        assert status(settings, f"/confirm/{TOKEN}") == 404
    assert TOKEN[:20] not in log.read_text()
    assert '"event": "started"' in log.read_text()
    assert "Traceback" not in log.read_text()


def test_how_web_is_served(tmp_path: Path):
    embedded = options(Settings.of(data_dir=tmp_path))
    production = options(Settings.of(data_dir=tmp_path, database_url="postgresql://db/x", bind="[::1]:9000"))
    assert (embedded["workers"], embedded["threads"]) == (1, 32)
    assert (production["workers"], production["threads"], production["bind"]) == (2, 32, "[::1]:9000")
    assert production["accesslog"] is None


@on_sqlite
def test_web_says_in_one_line_that_its_address_is_taken(settings: Settings, here: Here):
    with socket.create_server((settings.web_bind.host, settings.web_bind.port)):
        outcome = here(settings)("web")
    assert outcome.code == 3
    assert outcome.err.count("\n") == 1
    assert f"{settings.web_bind} is already in use" in outcome.err
    assert "MAILINGLIST_BIND" in outcome.err


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_a_letter_goes_out_when_a_command_rings(
    app: Flask, settings: Settings, caught: Caught, tmp_path: Path, here: Here
):
    log = tmp_path / "worker.log"
    with role(settings, log, "worker") as worker:
        wait_for(lambda: len(children(worker.pid)) == 2, seconds=30)
        kept = children(worker.pid)
        on_paper = ("--channel", "paper", "--evidence", "form 7")
        outcome = here(settings)("people", "add", "matti@example.fi", "--list", lists.DEFAULT_SLUG, *on_paper)
        assert outcome.code == 0, outcome.err
        wait_for(lambda: caught.to("matti@example.fi"), seconds=30)
    assert not any(alive(pid) for pid in kept)


@on_sqlite
def test_the_sweep_finds_what_no_bell_announced(app: Flask, settings: Settings, caught: Caught, tmp_path: Path):
    with db.transaction() as session:
        row, somebody = the_list(session), address.parse("matti@example.fi")
        intake.write_down(session, row, somebody, entrance="web", language="fi", origin=ORIGIN, now=db.utcnow())
    with (
        role(settings, tmp_path / "worker.log", "worker", "--queues", "letters"),
        role(settings, tmp_path / "scheduler.log", "scheduler"),
    ):
        wait_for(lambda: caught.to("matti@example.fi"), seconds=30)
    assert (settings.data_dir / "scheduler").is_dir()
    for name in ("worker", "scheduler"):
        lines = (tmp_path / f"{name}.log").read_text().splitlines()
        said = [json.loads(line) for line in lines if line.startswith("{")]
        assert [(line["role"], line["event"]) for line in said if line["level"] == "info"] == [(name, "started")]


@pytest.mark.parametrize("name", ["worker", "scheduler"])
def test_a_role_that_would_hear_no_bell_does_not_start(name: str, tmp_path: Path, here: Here):
    outcome = here(Settings.of(data_dir=tmp_path / "var"))(name)
    assert outcome.code == 2
    assert outcome.err.startswith("mailinglist: MAILINGLIST_BROKER_URL: ")


def test_a_role_does_not_work_on_a_database_that_was_not_migrated(valkey: servers.Valkey, tmp_path: Path, here: Here):
    settings = Settings.of(data_dir=tmp_path / "var", broker_url=valkey.url, bind=f"127.0.0.1:{free_port()}")
    said = "mailinglist: The database is not at this version's revision. Run: mailinglist db upgrade\n"
    alone = run(settings, "web")  # in a process of its own: what it logs would be on stderr, too
    assert (alone.code, alone.err) == (3, said)
    outcome = here(settings)("worker", "--queues", "letters")
    assert (outcome.code, outcome.err) == (3, said)
