"""`mailinglist backup`, `mailinglist restore` and `mailinglist journal …`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from .. import db, migrate
from ..app import create_app
from ..consent import journal as consent_journal
from ..errors import BadInput, Fault
from ..privacy import backup as backups
from ..privacy import restore as restoring
from ..settings import SETTINGS
from . import output
from .opening import actor, load, opened, record

_FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)
_FILE = click.Path(path_type=Path, dir_okay=False)
_SHOWN = 20


@click.command()
@click.argument("file", type=_FILE)
@output.as_json
def backup(file: Path, as_json: bool) -> None:
    """Make a backup of the database, while everything runs, and read it back.

    A gzipped tar, encrypted in age's format when MAILINGLIST_BACKUP_RECIPIENT is set. The keys of the program are not
    in it: keep the ban key elsewhere, since without it no backup can be restored.
    """
    with opened() as app, output.progress("Backing up"):
        made = backups.make(app.config[SETTINGS], file)
        with db.transaction() as session:
            record(session, "backup_made", octets=made.size, encrypted=made.encrypted)
    if as_json:
        output.document({**asdict(made), "path": str(made.path)})
        return
    how = "encrypted" if made.encrypted else "not encrypted: MAILINGLIST_BACKUP_RECIPIENT is not set"
    what = f"{made.rows:,} rows of {output.when(made.began_at)}, {made.size:,} octets"
    output.line(f"{made.path}: {what}, read back, {how}.")


@click.command()
@click.argument("file", type=_FILE, required=False)
@click.option("--identity", type=_FILE, metavar="KEYFILE", help="The secret key of age that opens the backup.")
@click.option("--replace", is_flag=True, help="The database is not empty: what is in it is lost.")
@click.option(
    "--journal", "journals", type=_FOLDER, multiple=True, metavar="FOLDER",
    help="Another machine's journal of opt-outs, its head beside it as journal.head. May be given several times.",
)  # fmt: skip
@click.option(
    "--unauthenticated", is_flag=True,
    help="Also a backup that does not prove to be of this installation: an old one, or one of another ban key.",
)  # fmt: skip
@click.option("--replay", is_flag=True, help="No new restore: go on with the opt-outs of the last one.")
@click.option(
    "--accept-lost", "accept", metavar="WORDS",
    help="Opt-outs that can't be had back are lost: say which, in words that stay on record. Mail then goes out again.",
)  # fmt: skip
@output.as_json
def restore(
    file: Path | None,
    identity: Path | None,
    replace: bool,
    unauthenticated: bool,
    journals: tuple[Path, ...],
    replay: bool,
    accept: str | None,
    as_json: bool,
) -> int:
    """Restore a backup, and do again every leave, ban and erasure given since.

    Stop web, workers and scheduler first. Nothing is sent from the restored database until the journal of opt-outs has
    been replayed. Exit 1: something of it is missing, and it is said what.
    """
    if (file is None) is not (replay or accept is not None):
        raise BadInput("Give the backup's file; or to go on with the last restore none, and --replay or --accept-lost.")
    if file is not None:
        app = create_app(load())
        with output.progress("Restoring"):
            done = restoring.restore(
                app, file, identity=identity, replace=replace, journals=journals, unauthenticated=unauthenticated,
                by=actor(), make_tables=migrate.make_tables, upgrade=migrate.upgrade,
            )  # fmt: skip
    else:
        with opened() as app, output.progress("Replaying"):
            done = restoring.replay_again(app, journals=journals, accept=accept, by=actor())
    if as_json:
        output.document({**asdict(done), "troubles": list(done.troubles)})
    else:
        for text in _told(done):
            output.line(text)
    return 0 if done.released else 1


_OFF = "another address, which is not in the copy: off all lists"
_DONE = (
    ("left", "left a list", "left a list"),
    ("banned", "address was banned", "addresses were banned"),
    ("erased", "person was erased", "persons were erased"),
    ("corrected", f"person got {_OFF}", f"persons got {_OFF}"),
    ("restricted", "person's data were restricted", "persons' data were restricted"),
    ("muted", "person asked for no more letters", "persons asked for no more letters"),
)


def _told(done: restoring.Restored) -> Iterator[str]:
    report = done.report
    yield f"Restored: the database as it was at {output.when(done.copy_of)}."
    if not report.get("authentic", True):
        yield "NOT AUTHENTICATED: nothing shows that this installation made this backup, or that nobody altered it."
    yield from _told_of_opt_outs(report, whole=not done.troubles)
    bulletins, mails = output.count(report["paused"], "bulletin"), output.count(report["uncertain"], "mail")
    yield f"Paused: {bulletins}. Uncertain: {mails}, open when the backup was made."
    if report["paused"] or report["uncertain"]:
        yield "  They may have gone out since: somebody has to decide about each of them."
    if report["closed"]:
        yield f"Closed: {output.count(report['closed'], 'request')} that nobody had taken. Who waits can ask again."
    yield f"Staff: {output.count(report['ended'], 'sign-in')} ended, {output.count(report['links'], 'link')} void."
    yield "  Accounts are as they were: look at `mailinglist staff list`."
    if report.get("tokens"):  # a restore that an earlier version began says nothing of them
        yield f"Tokens of other systems: {report['tokens']:,} revoked: `mailinglist programs add` makes new ones."
    for trouble in done.troubles:
        yield f"Missing: {trouble}"
    if done.released:
        yield "Mail may go out again. Start web, workers and scheduler."
    else:
        yield "NOTHING IS SENT until this is mended."
        yield "  Put the journal back in its place, and give: mailinglist restore --replay"
        yield "  another machine's, its head beside it as journal.head: mailinglist restore --replay --journal FOLDER"
        yield "  or say which opt-outs are lost: mailinglist restore --accept-lost “…”"


def _told_of_opt_outs(report: dict[str, Any], *, whole: bool) -> Iterator[str]:
    replayed: dict[str, int] = report["replayed"]
    yield "Done again, of what came after:"
    lines = [f"  {output.count(replayed[name], one, many)}" for name, one, many in _DONE if replayed.get(name)]
    yield from lines or ["  nothing: the copy knows all that the journal tells of" if whole else "  nothing"]
    if replayed.get("lists"):
        yield f"  {output.count(replayed['lists'], 'opt-out')} from lists that the copy does not have"
    joins, lifts = replayed.get("joins", 0), replayed.get("lifts", 0)
    if joins or lifts:
        yield "Not in the copy, and not done again, since only the people themselves can:"
        yield f"  {output.count(joins, 'join')}, {output.count(lifts, 'lifted ban')}"
    for item in report["missing"][:_SHOWN]:
        who = f"person {item['person']}" if item["person"] else f"not in the copy (digest {item['digest'][:12]}…)"
        about = "  ".join(filter(None, (item["list"], ", ".join(item["channels"]))))
        at = output.when(datetime.fromisoformat(item["at"]))
        yield f"  {at}  {item['what'].replace('_', ' ')}  {about}  {who}"
    if len(report["missing"]) > _SHOWN:
        yield "  … (--json names more)"


@click.group()
def journal() -> None:
    """The journal of opt-outs, outside the database."""


@journal.command()
@output.as_json
def check(as_json: bool) -> int:
    """Read the whole journal: exit 0 when nothing is missing or altered, 1 with a line for each thing that is."""
    with opened(), output.progress("Reading the journal"), db.transaction() as session:
        try:
            reading = consent_journal.look_through(session, now=db.utcnow())
        except OSError as error:
            raise Fault(f"The journal can't be read: {error.strerror}.") from error
        waiting = consent_journal.standing(session).waiting
    problems = [*reading.problems]
    if waiting:
        problems.append(
            f"lines that wait in the database: {waiting}; the journal can't be written, the ban key was wrong, or the "
            "register is held since a restore"
        )
    if as_json:
        output.document({"path": str(reading.path), "lines": len(reading.lines), "problems": problems})
    else:
        for problem in problems:
            output.line(problem)
        output.line(
            f"{reading.path}: {output.count(len(reading.lines), 'line')}"
            + (", nothing missing, nothing altered." if not problems else ".")
        )
    return 1 if problems else 0


@journal.command()
@click.argument("words")
def accept(words: str) -> None:
    """Go on with a journal that was cut, altered or lost: WORDS say why, and stay in the audit.

    Its opt-outs are still in the database; but a backup from before would be restored without them. So make a backup
    right afterwards.
    """
    if len(words.strip()) < 10:
        raise BadInput("Say in a sentence what happened to the journal.")
    with opened(), db.transaction() as session:
        now = db.utcnow()
        try:
            before = consent_journal.look_through(session, now=now)
            if not before.problems:
                output.line("Nothing is missing or altered: there is nothing to accept.")
                return
            consent_journal.accept(session, now=now)
        except OSError as error:
            raise Fault(f"The journal can't be written: {error.strerror}.") from error
        record(session, "journal_loss_accepted", words=words.strip()[:2000], problems=before.problems[:20])
    output.line("Accepted. Make a backup now: earlier ones would be restored without those opt-outs.")
