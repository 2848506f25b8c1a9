from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask

from commanding import Commands
from conftest import NOW
from mailinglist import db
from mailinglist.cli.opening import who
from mailinglist.local import first_sign_in
from mailinglist.settings import Settings
from mailinglist.staff import accounts, audit
from mailinglist.staff.audit import Actor
from mailinglist.staff.tables import Account
from making import person

MAIJA = "maija@example.fi"


@pytest.fixture
def cli(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(settings, monkeypatch, capsys)


def secret_of(link: str) -> str:
    start = "http://127.0.0.1:8000/staff/enrol/"
    assert link.startswith(start)
    return link.strip().removeprefix(start)


def set_up(address: str = MAIJA) -> None:
    """As if its owner had been through the enrolment."""
    with db.transaction() as session:
        account = accounts.by_address(session, address)
        assert account is not None
        account.password = "a hash"


def test_add_prints_a_link_that_opens(app: Flask, cli: Commands):
    made = cli(
        "staff", "add", "Maija@Example.fi", "--level", "editor", "--level", "publisher", "--name", "Maija Mainio"
    )
    assert made.code == 0
    assert made.out.count("\n") == 1
    with db.reading() as session:
        link = accounts.open_link(session, secret_of(made.out), now=db.utcnow())
        account = accounts.find(session, link.account_id)
        assert (account.folded, account.name, account.levels) == (MAIJA, "Maija Mainio", ["editor", "publisher"])
        assert account.language == "fi"
        assert account.until is None
        assert audit.search(session, act="account_made")[0].who == account.created_by


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("add", MAIJA), 2, "--level"), (("add", MAIJA, "--level", "emperor"), 2, "emperor"),
        (("add", "nonsense", "--level", "editor"), 2, "needs one @"),
        (("add", MAIJA, "--level", "editor", "--until", "2001-01-01"), 2, "lie ahead"),
        (("disable", MAIJA), 1, "no account"), (("link", MAIJA, "--password"), 1, "no account"),
    ],
)  # fmt: skip
def test_what_is_refused(app: Flask, cli: Commands, arguments: tuple[str, ...], code: int, words: str):
    outcome = cli("staff", *arguments)
    assert (outcome.code, outcome.out) == (code, "")
    assert words in outcome.err


def test_twice_is_no(app: Flask, cli: Commands):
    assert cli("staff", "add", MAIJA, "--level", "editor").code == 0
    assert cli("staff", "add", MAIJA, "--level", "editor").code == 1


def test_list(app: Flask, cli: Commands):
    cli("staff", "add", MAIJA, "--level", "editor", "--name", "Maija")
    cli("staff", "add", "out@example.fi", "--level", "auditor", "--name", "Oskar", "--until", "2999-12-31")
    set_up()
    cli("staff", "disable", "out@example.fi")
    found = cli("staff", "list", "--json").json
    assert [(row["address"], row["levels"], row["state"]) for row in found] == [
        (MAIJA, ["editor"], "set up"), ("out@example.fi", ["auditor"], "disabled"),
    ]  # fmt: skip
    assert found[0]["until"] is None
    assert found[1]["until"].endswith("Z")
    assert "a hash" not in cli("staff", "list", "--json").out
    assert cli("staff", "list").out.splitlines()[0] == f"{MAIJA}  Maija  editor  set up"


def test_levels_disable_enable_and_the_last_administrator(app: Flask, cli: Commands):
    cli("staff", "add", MAIJA, "--level", "administrator")
    set_up()
    for wanted in (("levels", MAIJA, "--level", "editor"), ("disable", MAIJA)):
        refused = cli("staff", *wanted)
        assert refused.code == 1
        assert "last administrator" in refused.err
    cli("staff", "add", "other@example.fi", "--level", "administrator")
    set_up("other@example.fi")
    assert cli("staff", "levels", MAIJA, "--level", "reader", "--level", "auditor").out == "Levels: auditor, reader.\n"
    assert cli("staff", "disable", MAIJA).out == "Disabled.\n"
    assert cli("staff", "enable", MAIJA).out == "Enabled.\n"


def test_links_for_what_was_lost(app: Flask, cli: Commands):
    cli("staff", "add", MAIJA, "--level", "editor")
    assert cli("staff", "link", MAIJA, "--password").code == 1
    assert cli("staff", "link", MAIJA).code == 0
    set_up()
    assert cli("staff", "link", MAIJA).code == 1
    for purpose in ("password", "factor"):
        made = cli("staff", "link", MAIJA, f"--{purpose}", "--json")
        with db.reading() as session:
            assert accounts.open_link(session, secret_of(made.json["link"]), now=db.utcnow()).purpose == purpose


class TestTheFirstStart:
    """`mailinglist run` prints how to sign in as the first member of staff, until somebody has."""

    def test_a_fresh_link_at_each_start_until_somebody_is_set_up(self, app: Flask, settings: Settings):
        links = [first_sign_in.link(settings) for _ in range(2)]
        assert links[0] is not None
        assert links[1] is not None
        with db.reading() as session:
            [account] = accounts.every(session)
            assert account.address == "admin@localhost.localdomain"
            assert account.levels == ["administrator", "editor", "publisher", "registrar"]
            link = accounts.open_link(session, secret_of(links[1]), now=db.utcnow() + timedelta(hours=1))
            assert link.account_id == account.id
        set_up("admin@localhost.localdomain")
        assert first_sign_in.link(settings) is None

    def test_none_beside_accounts_that_somebody_made(self, app: Flask, settings: Settings, cli: Commands):
        secret = secret_of(cli("staff", "add", MAIJA, "--level", "administrator").out)
        assert first_sign_in.link(settings) is None
        with db.reading() as session:
            assert accounts.open_link(session, secret, now=db.utcnow())
            assert session.query(Account).count() == 1

    def test_the_lists_owner_is_the_first(self, app: Flask, settings: Settings, cli: Commands):
        cli("lists", "set", "tector-tiedottaa", "owner", "owner@example.fi")
        assert first_sign_in.link(settings)
        with db.reading() as session:
            assert accounts.by_address(session, "owner@example.fi")

    def test_none_while_that_account_is_disabled(self, app: Flask, settings: Settings):
        assert first_sign_in.link(settings)
        with db.transaction() as session:
            [account] = accounts.every(session)
            accounts.disable(session, account, by=Actor(None, "root", ""), now=db.utcnow())
        assert first_sign_in.link(settings) is None


def test_commands_are_in_the_audit_by_who_gave_them(app: Flask, cli: Commands):
    with db.transaction() as session:
        number = person(session, "matti@example.fi", now=NOW).id
    cli("people", "show", "matti@example.fi")
    cli("people", "show", "nobody@example.fi")
    cli("bans", "add", "matti@example.fi", "--channel", "post", "--source", "said so")
    cli("bans", "lift", "matti@example.fi", "--channel", "post", "--evidence", "said so")
    cli("lists", "set", "tector-tiedottaa", "welcome", "false")
    cli("people", "erase", "matti@example.fi", "--yes")
    with db.reading() as session:
        lines = list(reversed(audit.search(session)))
        about = f"person {number}"
        assert [(line.act, line.about) for line in lines] == [
            ("person_seen", about), ("ban_added", about), ("ban_lifted", about), ("list_set", "list 1"),
            ("person_erased", about),
        ]  # fmt: skip
        assert {line.who for line in lines} == {who()}
        assert "example.fi" not in repr([line.detail for line in lines])
