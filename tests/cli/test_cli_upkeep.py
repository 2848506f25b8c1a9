from __future__ import annotations

import stat
from pathlib import Path

import pytest

from commanding import Commands
from conftest import SECRETS, Databases
from mailinglist import migrate
from mailinglist.cli import backup
from mailinglist.settings import Settings


@pytest.fixture
def cli(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(settings, monkeypatch, capsys)


def test_upgrade_makes_everything_and_again_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "fresh" / "var"
    fresh = Commands(Settings.of(data_dir=folder), monkeypatch, capsys)
    for _ in range(2):
        outcome = fresh("db", "upgrade")
        assert (outcome.code, outcome.err) == (0, "")
        assert outcome.out == f"The database is at revision {migrate.head()}.\n"
    assert [found["slug"] for found in fresh("lists", "show", "--json").json] == ["tector-tiedottaa"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder / "keys").iterdir()} == {0o600}


def test_upgrade_with_another_ban_key_fails(cli: Commands, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MAILINGLIST_BAN_KEY", "another-key-another-key")
    outcome = cli("db", "upgrade")
    assert outcome.code == 3
    assert "MAILINGLIST_BAN_KEY" in outcome.err


def test_the_doctor_finds_no_failure_in_a_fresh_installation(cli: Commands, databases: Databases):
    outcome = cli("doctor", "--json")
    findings = {finding["subject"]: finding for finding in outcome.json}
    assert findings["database"]["level"] == findings["ban key"]["level"] == findings["ledger"]["level"] == "ok"
    assert findings["database"]["words"] == f"{databases.kind}, revision {migrate.head()}"
    assert findings["broker"]["level"] == findings["mail server"]["level"] == "warning"
    assert outcome.code == 0
    told = cli("doctor").out.splitlines()
    assert len(told) == len(outcome.json)
    assert all(line.split()[0] in ("ok", "warning", "failure") for line in told)


def test_the_doctor_says_no_when_something_fails(cli: Commands, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MAILINGLIST_BAN_KEY", "another-key-another-key")
    outcome = cli("doctor")
    assert outcome.code == 1
    assert "failure  ban key: MAILINGLIST_BAN_KEY is not the key" in outcome.out
    assert SECRETS["ban_key"] not in outcome.out
    assert "another-key" not in outcome.out


def test_the_doctor_tells_of_a_wrong_setting(cli: Commands, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MAILINGLIST_SMTP_URL", "nonsense")
    outcome = cli("doctor")
    assert outcome.code == 1
    assert outcome.out.startswith("failure  settings: MAILINGLIST_SMTP_URL: expected smtp://")


def test_a_restore_whose_journal_is_missing_does_not_say_that_the_copy_knows_all() -> None:
    report: dict[str, object] = {"replayed": {}, "missing": []}
    assert list(backup._told_of_opt_outs(report, whole=False))[1:] == ["  nothing"]
    assert "the copy knows all" in list(backup._told_of_opt_outs(report, whole=True))[1]
