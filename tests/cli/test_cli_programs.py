from __future__ import annotations

import pytest
from flask import Flask

from commanding import Commands
from mailinglist import db
from mailinglist.cli.opening import who
from mailinglist.settings import Settings
from mailinglist.staff import audit, programs

ONE = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)


@pytest.fixture
def cli(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(settings, monkeypatch, capsys)


def number_of(secret: str) -> int | None:
    with db.reading() as session:
        found = programs.bearer(session, secret, now=db.utcnow())
        return found.id if found else None


def test_add_list_and_revoke(app: Flask, cli: Commands):
    made = cli("programs", "add", "Web shop", "--may", "bans:read", "--may", "bans:write", "--days", "30")
    assert (made.code, made.out.count("\n")) == (0, 1), "nothing but the token, so that a script can take it"
    assert "It is token 1, good until " in made.err
    secret = made.out.strip()
    assert secret.startswith("mlt_")
    assert secret not in made.err
    assert number_of(secret) == 1
    other = cli("programs", "add", "Printer", "--may", "bans:read", "--list", "tector-tiedottaa", "--json").json
    assert other.keys() == {"id", "token", "expires_at"}
    assert number_of(other["token"]) == other["id"]

    [printer, shop] = cli("programs", "list", "--json").json
    assert (shop["name"], shop["scopes"], shop["list"]) == ("Web shop", ["bans:read", "bans:write"], None)
    assert (printer["name"], printer["list"]) == ("Printer", "tector-tiedottaa")
    assert (shop["state"], shop["created_by"], shop["used_at"]) == ("good", who(), None)
    assert shop["expires_at"].endswith("Z")
    listed = cli("programs", "list")
    assert listed.out.splitlines()[1].startswith("1  Web shop  bans:read, bans:write  all lists  good  until 20")
    assert "mlt_" not in listed.out

    assert cli("programs", "revoke", 1).out == "Revoked.\n"
    assert cli("programs", "revoke", 1).code == 0, "once is enough, twice does no harm"
    assert number_of(secret) is None
    assert [each["state"] for each in cli("programs", "list", "--json").json] == ["good", "revoked"]
    with db.reading() as session:
        lines = list(reversed(audit.search(session)))
        assert [line.act for line in lines] == ["api_token_issued"] * 2 + ["api_token_revoked"]
        assert {line.who for line in lines} == {who()}


@ONE
def test_what_is_refused(app: Flask, cli: Commands):
    may = ("--may", "bans:read")
    for arguments, code, words in (
        (("add", "Web shop"), 2, "--may"), (("add", "Web shop", "--may", "bans:lift"), 2, "bans:lift"),
        (("add", " ", *may), 2, "A name needs"), (("add", "Web shop", *may, "--days", "731"), 2, "731"),
        (("add", "Web shop", *may, "--list", "nowhere"), 1, "no such list"), (("revoke", 1), 1, "no token"),
        (("revoke", 0), 2, "0"), (("revoke", 2**31), 2, str(2**31)),
    ):  # fmt: skip
        refused = cli("programs", *arguments)
        assert (refused.code, refused.out) == (code, ""), arguments
        assert words in refused.err, arguments
    with db.reading() as session:
        assert programs.every(session) == []
