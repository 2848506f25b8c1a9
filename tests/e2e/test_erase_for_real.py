"""Somebody joins, gets a bulletin, forbids mail and is erased, in a whole installation: then they are in no file and no
dump, an import of their address is refused, and a backup from before brings nothing back that may be mailed."""

from __future__ import annotations

import json
import re
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import searching
from running import Run
from servers import Postgres, wait_for

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

WRITTEN, OTHER = "Matti.Meikalainen@example.fi", "somebody.else@example.fi"


@pytest.fixture(params=["sqlite", "postgresql"])
def dumps(request: pytest.FixtureRequest) -> tuple[Postgres, str] | None:
    """The server, and the name of an empty database on it; None: SQLite."""
    if request.param == "sqlite":
        return None
    server: Postgres = request.getfixturevalue("postgres_server")
    return server, server.create("erased_for_real")


@pytest.fixture
def run(tmp_path: Path, dumps: tuple[Postgres, str] | None) -> Iterator[Run]:
    database = {"MAILINGLIST_DATABASE_URL": dumps[0].url(dumps[1])} if dumps else {}
    running = Run(tmp_path, **database)
    try:
        running.start()
        yield running
    finally:
        running.end()


def told(run: Run, *words: str) -> str:
    """A command, which must succeed; what it says."""
    done = run.command(*words)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


def mails_to(run: Run, mailbox: str) -> list[str]:
    """The texts of the mails that were caught, newest first."""
    numbers = [mail["id"] for mail in run.messages() if mail["to"] == [mailbox]]
    return [json.load(urllib.request.urlopen(f"{run.viewer}/messages/{each}", timeout=5))["text"] for each in numbers]


def press(run: Run, text: str, page: str, **fields: str) -> None:
    """The button of the page that a mail's link leads to."""
    token = re.search(rf"/{page}/([A-Za-z0-9._-]+)", text)
    assert token is not None, text
    form = urllib.parse.urlencode(fields).encode()
    assert urllib.request.urlopen(f"{run.web}/{page}/{token[1]}", form, timeout=10).status == 200


def places(run: Run, dumps: tuple[Postgres, str] | None) -> Iterator[tuple[str, bytes]]:
    """The data directory with all in it, SQLite's database and the logs too; and the dump."""
    yield from searching.files(run.data_dir)
    if dumps is not None:
        text = dumps[0].dump(dumps[1])
        yield from (("the dump", text), ("the dump's bytes", searching.octets(text)))


def test_nothing_of_them_is_found_and_nothing_brings_them_back(
    run: Run, dumps: tuple[Postgres, str] | None, tmp_path: Path
) -> None:
    backups = tmp_path / "elsewhere"
    bulletin = tmp_path / "bulletin.md"
    bulletin.write_text("# Hei\n\nKuulumisia.\n")
    told(run, "lists", "set", "tector-tiedottaa", "postal_address", "Tector Oy, Katu 1, 00100 Helsinki")
    for mailbox in (WRITTEN, OTHER):
        run.join(mailbox)
        press(run, mails_to(run, mailbox)[0], "confirm")
        wait_for(lambda mailbox=mailbox: len(mails_to(run, mailbox)) > 1)  # the welcome
    number = told(run, "bulletins", "add", "--list", "tector-tiedottaa", "--subject", "Uutisia", "--body",
                  str(bulletin)).strip()  # fmt: skip
    told(run, "bulletins", "send", number, "--wait")
    told(run, "ledger", "seal")
    told(run, "backup", str(backups / "before.tar.gz"))
    press(run, mails_to(run, WRITTEN)[0], "unsubscribe", ban="all")
    wait_for(lambda: run.command("bans", "check", WRITTEN).returncode == 1)
    before = searching.among(places(run, dumps), WRITTEN)
    assert any("mails.db" in place for place in before)
    assert any("the dump" in place or "mailinglist.db" in place for place in before)

    told(run, "people", "erase", WRITTEN, "--yes")
    run.stop()  # whoever had the files open has closed them: SQLite's log is folded in
    assert {path.stem for path in (run.data_dir / "log").iterdir()} >= {"web", "worker", "scheduler"}
    assert searching.among(places(run, dumps), WRITTEN) == []
    assert searching.among(places(run, dumps), OTHER), "others stay, and this test finds what there is"

    people = tmp_path / "people.csv"
    people.write_text(f"email\n{WRITTEN}\n{WRITTEN.lower()}\n")
    again = "people", "import", str(people), "--list", "tector-tiedottaa", "--basis", "consent", "--source", "old"
    assert "banned" in run.command(*again).stdout
    assert run.command("bans", "check", WRITTEN).returncode == 1
    assert searching.among(places(run, dumps), WRITTEN) == []

    assert "Mail may go out again." in told(run, "restore", str(backups / "before.tar.gz"), "--replace")
    assert run.command("bans", "check", WRITTEN).returncode == 1
    assert run.command("people", "show", WRITTEN).returncode == 1
    assert "banned" in run.command(*again).stdout
    assert run.command("people", "show", OTHER).returncode == 0
    assert "The ledger is whole." in told(run, "ledger", "verify")
    assert searching.among(places(run, dumps), WRITTEN) == [], "restored, and erased once more"
