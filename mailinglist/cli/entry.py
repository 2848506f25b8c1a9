"""The table of commands, and the one place where errors become lines and exit codes.

A command's module is imported when the command is called, so that `--help` and a wrong call answer at once.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence

import click

from .. import __version__
from ..errors import MailinglistError

_FAILED = 3
_INTERRUPTED = 130  # 128 + SIGINT, as a shell says it
_READER_GONE = 141  # 128 + SIGPIPE

COMMANDS = {
    "run": ("roles", "Run everything on this machine, until Ctrl-C."),
    "web": ("roles", "Serve the public pages and the staff console."),
    "worker": ("roles", "Take requests, send letters and bulletins, handle incoming mail."),
    "scheduler": ("roles", "Ring the bell at fixed times."),
    "inbound": ("inbound", "Take mail that comes in; hand in or look at one message."),
    "catcher": ("roles", "Catch mail and show it, instead of sending it."),
    "db": ("upkeep", "Create or migrate the database."),
    "lists": ("lists", "The mailing lists and what is set for them."),
    "people": ("people", "The persons on the lists."),
    "bans": ("bans", "Who has forbidden marketing."),
    "bulletins": ("bulletins", "Write in and send bulletins."),
    "staff": ("staff", "Who works in the staff console."),
    "programs": ("programs", "Tokens of other systems: which may call the API, and for what."),
    "ledger": ("ledger", "Check and seal the consent ledger, and prove a consent."),
    "privacy": ("privacy", "What is held, why, and for how long; who outside got what."),
    "backup": ("backup", "Make a backup of the database, while everything runs, and read it back."),
    "restore": ("backup", "Restore a backup, and do again every leave, ban and erasure given since."),
    "journal": ("backup", "The journal of opt-outs, outside the database."),
    "doctor": ("upkeep", "Check settings, database, broker, mail server, DNS and clock."),
}
"""Command → the module of this package that holds it under the same name, and what `--help` says of it."""


class _Table(click.Group):
    """The commands of COMMANDS, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f".{COMMANDS[cmd_name][0]}", __package__)
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=_Table, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="mailinglist", message="%(prog)s %(version)s")
def mailinglist() -> None:
    """A double-opt-in mailing list manager. Settings come from the environment: MAILINGLIST_…, see the README."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; `arguments` default to those of this process. Returns the exit code."""
    os.umask(0o077)  # database, logs and keys are for this account alone, wherever the data directory came from
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal can't show must not fail a command
    try:
        code = _invoke(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_stdout()
        return _READER_GONE
    return code


def _invoke(arguments: list[str]) -> int:
    try:
        with mailinglist.make_context("mailinglist", arguments) as context:
            answer = mailinglist.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except click.ClickException as error:
        return _refuse(error.format_message(), 2)
    except (KeyboardInterrupt, click.Abort):
        click.echo(err=True)
        return _INTERRUPTED
    except MailinglistError as error:
        return _refuse(str(error), error.exit_code)
    except BrokenPipeError:
        raise
    except Exception as error:
        # Its message may hold anything, an address as well: the story goes to the log, which leaves those out.
        return _refuse(_unforeseen(error), _FAILED)
    return answer if isinstance(answer, int) else 0


def _refuse(words: str, code: int) -> int:
    click.echo(f"mailinglist: {' '.join(words.split())}", err=True)
    return code


def _unforeseen(error: Exception) -> str:
    from sqlalchemy.exc import DBAPIError, OperationalError

    from .opening import note

    # Without a statement there was no connection: the line says it all, and nothing of it is a fault of the program.
    where = note(error, story=not (isinstance(error, OperationalError) and error.statement is None))
    if isinstance(error, DBAPIError):
        from ..observe import redact

        reason = redact(str(error.orig).strip().splitlines()[0]) if str(error.orig).strip() else type(error).__name__
        return f"the database did not do it: {reason}{where}"
    return f"this failed in a way that was not foreseen ({type(error).__name__}){where}"


def _drop_stdout() -> None:
    """Let the interpreter's last flush at exit go nowhere, and say nothing."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # a stdout without a file: nothing to flush either
        return
