"""Errors, exit codes and help: what holds for every command."""

from __future__ import annotations

import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import click
import pytest

from commanding import ROOT, Commands, environment, run, start
from mailinglist import errors
from mailinglist.cli import entry
from mailinglist.settings import Settings
from servers import free_port, wait_for

LIST = "tector-tiedottaa"

# What is tested here happens before the database, or would be the same on another.
on_sqlite = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)


@pytest.fixture
def cli(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(settings, monkeypatch, capsys)


@pytest.mark.parametrize("name", entry.COMMANDS)
def test_the_table_tells_what_the_commands_tell_of_themselves(name: str):
    context = click.Context(entry.mailinglist)
    command = entry.mailinglist.get_command(context, name)
    assert command is not None
    assert command.name == name
    assert command.get_short_help_str(limit=200) == entry.COMMANDS[name][1]
    with click.Context(command, info_name=name) as own:
        assert command.get_help(own)


def test_help_loads_no_database_library_so_it_is_there_at_once():
    program = (
        "import sys; from mailinglist.cli import main; code = main(['--help']);"
        "assert not {'sqlalchemy', 'flask', 'celery', 'pydantic'} & sys.modules.keys(), 'heavy'; sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "bulletins" in done.stdout


@on_sqlite
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "No such command"),
        (["people", "nonsense"], "No such command"),
        (["people", "show"], "Missing argument"),
        (["people", "show", "--nonsense", "a@example.fi"], "No such option"),
        (
            ["people", "import", "/nonexistent.csv", "--list", LIST, "--basis", "consent", "--source", "x"],
            "No such file",
        ),
        (["people", "import", "/dev/null", "--list", LIST, "--source", "x"], "Choose from: consent, customer"),
        (["bans", "add", "a@example.fi", "--channel", "pigeon", "--source", "x"], "pigeon"),
        (["bulletins", "send", "one"], "not a valid integer"),
        (["worker", "--queues", "nonsense"], "There are: letters, bulletins"),
        (["people", "show", "nonsense"], "The address needs one @"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(cli: Commands, arguments: list[str], words: str):
    outcome = cli(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.count("\n") == 1
    assert outcome.err.startswith("mailinglist: ")
    assert words in outcome.err


@on_sqlite
def test_a_group_without_a_command_says_what_there_is(cli: Commands):
    outcome = cli("people")
    assert (outcome.code, outcome.out) == (2, "")
    assert "import" in outcome.err


@on_sqlite
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SettingsError("words"), 2),
        (errors.BadInput("words"), 2),
        (errors.Refused("words"), 1),
        (errors.Unknown("words"), 1),
        (errors.NotAllowed("words"), 1),
        (errors.Banned("words"), 1),
        (errors.TokenForged("words"), 1),
        (errors.Fault("words"), 3),
        (errors.RegisterUnsound("words\nand more"), 3),
        (errors.RegisterUnsound("words"), 3),
    ],
)
def test_each_error_has_its_exit_code(
    cli: Commands, monkeypatch: pytest.MonkeyPatch, error: errors.MailinglistError, code: int
):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("mailinglist.cli.people.look_up", fail)
    outcome = cli("people", "show", "a@example.fi")
    assert (outcome.code, outcome.out) == (code, "")
    assert outcome.err.startswith("mailinglist: words")
    assert outcome.err.count("\n") == 1


@on_sqlite
def test_an_interruption_is_130_and_says_nothing(cli: Commands, monkeypatch: pytest.MonkeyPatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mailinglist.cli.people.look_up", interrupt)
    outcome = cli("people", "show", "a@example.fi")
    assert (outcome.code, outcome.out, outcome.err) == (130, "", "\n")


@on_sqlite
def test_ctrl_c_while_waiting(cli: Commands, settings: Settings, tmp_path: Path):
    body = tmp_path / "body.md"
    body.write_text("Hello.")
    assert cli("bulletins", "add", "--list", LIST, "--subject", "News", "--body", body).out == "1\n"
    # A shell's background job ignores Ctrl-C, and so would all that such a test run starts.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    sent = ("bulletins", "send", 1, "--at", "2999-01-01T00:00Z", "--wait")
    with start(settings, *sent, preexec_fn=heard) as process:
        wait_for(lambda: cli("bulletins", "status", 1, "--json").json["state"] == "scheduled", seconds=30)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    *warnings, last = err.splitlines()
    assert (process.returncode, out, last) == (130, "", "")
    assert all(line.startswith("mailinglist: warning: ") for line in warnings)


FAILING = """
import sys
from mailinglist.cli import main, people
def fail(*_): raise ValueError("matti@example.fi was not foreseen")
people.look_up = fail
sys.exit(main(["people", "show", "matti@example.fi"]))
"""


@on_sqlite
def test_what_was_not_foreseen_is_one_line_and_the_story_is_in_the_log(settings: Settings):
    done = subprocess.run(
        [sys.executable, "-c", FAILING], env=environment(settings), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1
    assert "not foreseen (ValueError); the details are in " in done.stderr
    assert "matti" not in done.stderr
    story = (settings.data_dir / "log" / "commands.log").read_text()
    assert "command_failed" in story
    assert "Traceback" in story
    assert "matti@example.fi" not in story


def test_a_database_that_does_not_answer_is_one_line_without_the_password(tmp_path: Path):
    url = f"postgresql://somebody:sesame-sesame@127.0.0.1:{free_port()}/register"
    outcome = run(Settings.of(data_dir=tmp_path / "var", database_url=url), "people", "show", "a@example.fi")
    assert (outcome.code, outcome.out) == (3, "")
    assert outcome.err.count("\n") == 1
    assert "the database did not do it" in outcome.err
    assert "sesame" not in outcome.err
    assert "details" not in outcome.err
    log = (tmp_path / "var" / "log" / "commands.log").read_text()
    assert ("command_failed" in log, "Traceback" in log, "sesame" in log) == (True, False, False)


def test_a_database_that_was_not_made_yet_says_what_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    cli = Commands(Settings.of(data_dir=tmp_path / "var"), monkeypatch, capsys)
    outcome = cli("people", "show", "a@example.fi")
    assert outcome.code == 3
    assert "mailinglist db upgrade" in outcome.err


@on_sqlite
def test_a_wrong_setting_is_one_line_that_names_it(cli: Commands, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MAILINGLIST_BIND", "nowhere")
    outcome = cli("people", "show", "a@example.fi")
    assert outcome.code == 2
    assert outcome.err == "mailinglist: MAILINGLIST_BIND: expected host:port\n"


@on_sqlite
def test_a_reader_that_goes_away_is_no_error(settings: Settings):
    with start(settings, "lists", "show") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(30) == 141
        assert process.stderr.read() == ""


@on_sqlite
def test_the_module_is_the_script(settings: Settings):
    outcome = run(None, "--version", cwd=ROOT)
    assert outcome.code == 0
    assert outcome.out.startswith("mailinglist ")
