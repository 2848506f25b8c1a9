"""While somebody who was told that marketing is forbidden is not entered yet, nobody is told of as free: by no command,
for no file, on no page of the console; no list is exported, and no data are given to others. The API says so in
`test_api_calls`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import update

import staffing
from commanding import Commands
from mailinglist import db
from mailinglist.consent import address, export, intake, register, requests
from mailinglist.consent.states import ALL_CHANNELS
from mailinglist.consent.tables import KeyCheck
from mailinglist.errors import OptOutsWait
from mailinglist.privacy import disclosures
from mailinglist.settings import Settings
from mailinglist.staff import audit
from mailinglist.staff.levels import Level
from making import ORIGIN, leave_token, named, the_list

pytestmark = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
WHO, OTHER = ("leaves@example.fi", "Lea Lähtijä"), ("stays@example.fi", "Jari Jääjä")
WAIT = "People who have just left are still being entered. Try again in a moment."


@pytest.fixture
def kept(app: Flask) -> Callable[[], None]:
    """Somebody forbids all marketing by a link, is answered, and is not entered; a call enters them."""
    with db.transaction() as session:
        named(session, WHO, OTHER, now=db.utcnow())
        found = register.find(session, address.parse(WHO[0]))
        assert found is not None
        token = leave_token(session, found)
        intake.write_down_exit(session, token, origin=ORIGIN, ban=ALL_CHANNELS, now=db.utcnow())

    def enter() -> None:
        with db.transaction() as session:
            assert requests.take(session, opt_outs=True, now=db.utcnow()) == 1

    return enter


@pytest.mark.parametrize("asked", ["an address", "a name", "a file of addresses", "a file of names"])
def test_no_command_says_so(
    kept: Callable[[], None],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    asked: str,
) -> None:
    file = tmp_path / "asked.csv"
    words = {"an address": (OTHER[0],), "a name": ("--name", OTHER[1])}.get(asked, ("--file", file))
    file.write_text("name\nJääjä Jari\n" if asked == "a file of names" else f"{OTHER[0]}\n", "utf-8")
    cli = Commands(settings, monkeypatch, capsys)
    for more in ((), ("--json",)):
        answer = cli("bans", "check", *words, *more)
        assert (answer.code, answer.out, WAIT in answer.err) == (3, "", True)
    kept()
    assert cli("bans", "check", *words).code == 0
    assert cli("bans", "check", WHO[0]).code == cli("bans", "check", "--name", WHO[1]).code == 1


def test_that_the_key_is_wrong_is_said_first(
    kept: Callable[[], None], settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is why they wait, and that passes in no moment."""
    with db.transaction() as session:
        session.execute(update(KeyCheck).values(value=b"another"))
    assert "MAILINGLIST_BAN_KEY" in Commands(settings, monkeypatch, capsys)("bans", "check", OTHER[0]).err


def test_no_page_of_the_console_says_so(app: Flask, kept: Callable[[], None]) -> None:
    desk = staffing.signed_in(app, Level.REGISTRAR)
    for asked in (f"address={OTHER[0]}", "name=Jari+Jääjä"):
        answer = desk.get(f"/staff/bans?{asked}&lang=en")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert WAIT in answer.text
        assert not re.search("at our end|1 minute", answer.text)
        assert "Yritä hetken kuluttua uudelleen." in desk.get(f"/staff/bans?{asked}&lang=fi").text
    with db.reading() as session:
        assert audit.search(session, act="ban_checked") == [], "nothing was told"
    with db.reading() as session, pytest.raises(OptOutsWait):
        list(export.lines(session, the_list(session), names=True))
    # What is in force is shown, and lifted, all the same.
    assert desk.get(f"/staff/bans/lift?address={OTHER[0]}").status_code == 200
    kept()
    assert "No ban is in force" in desk.get(f"/staff/bans?address={OTHER[0]}&lang=en").text
    assert "Marketing is forbidden" in desk.get(f"/staff/bans?address={WHO[0]}&lang=en").text


def test_no_data_are_given_to_others(kept: Callable[[], None]) -> None:
    def give() -> None:
        with db.transaction() as session:
            found = register.find(session, address.parse(OTHER[0]))
            assert found is not None
            disclosures.note(
                session, [found.id], recipient="Tax office", basis="Act 1558/1995, section 19", fields=["address"],
                by=audit.Actor(None, "root", ""), now=db.utcnow(),
            )  # fmt: skip

    with pytest.raises(OptOutsWait):
        give()
    kept()
    give()
