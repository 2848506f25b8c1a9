"""Opt-outs and backups: is the journal whole, has a restored database caught up, is there a young enough backup?"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from .. import db, migrate
from ..consent import journal, journal_file, keys
from ..privacy import backup, restore, wrong_clock
from ..settings import PREFIX, Settings
from .findings import Finding, Level, safely


def check(settings: Settings) -> Iterator[Finding]:
    """Everything about the safety of opt-outs. Nothing where the database can't be worked on: `register` says so."""
    try:
        with db.reading() as session:
            if migrate.revision(session) != migrate.head():
                return
            yield from safely("restore", lambda: _check_restore(session))
            yield from safely("journal", lambda: _check_journal(session, settings))
            yield from safely("backup", lambda: _check_backup(session, settings))
            yield from safely("dates", lambda: _check_dates(session, settings))
    except DBAPIError:
        return


def _check_restore(session: Session) -> Iterator[Finding]:
    if not keys.held(session):
        return
    found = restore.waiting(session)
    words = "opt-outs given since the backup are not in it, so nothing is sent"
    if found is not None and found.troubles:
        words = f"{words}: {'; '.join(found.troubles[:3])}"
    mend = "put the journal back, mailinglist restore --replay; or say which are lost, restore --accept-lost WORDS"
    yield Finding("restore", Level.FAILURE, words, mend)


def _check_journal(session: Session, settings: Settings) -> Iterator[Finding]:
    """All of it is read, as `mailinglist journal check` does; nothing is marked."""
    reading = journal_file.read(journal.journal_of(session))
    standing = journal.standing(session)
    where = reading.path.parent
    problems = "; ".join(reading.problems) or standing.trouble
    if problems:
        mend = "bring the file back; or say what happened, mailinglist journal accept WORDS, and make a backup"
        yield Finding("journal", Level.FAILURE, f"{where}: {problems}", mend)
    elif standing.waiting:
        words = (
            f"lines that wait in the database: {standing.waiting}; {where} can't be written, the ban key was wrong, or "
            "the register is held since a restore"
        )
        mend = "make room there, or give it to this user; correct what else fails here; the worker writes them then"
        yield Finding("journal", Level.FAILURE, words, mend)
    elif settings.journal_head_file.exists() and _one_disk(settings):
        words = f"{len(reading.lines)} lines, whole; the journal, its head and the database share a disk"
        mend = f"put {PREFIX}JOURNAL_DIR on another disk than the database, so that one loss does not take both"
        level = Level.WARNING if settings.https else Level.OK
        yield Finding("journal", level, words, mend if level is Level.WARNING else "")
    else:
        yield Finding("journal", Level.OK, f"{len(reading.lines)} lines, whole")


def _one_disk(settings: Settings) -> bool:
    url = settings.sqlalchemy_url
    if not url.startswith("sqlite") or not settings.journal_folder.exists():
        return False
    return settings.journal_folder.stat().st_dev == settings.data_dir.stat().st_dev


def _check_backup(session: Session, settings: Settings) -> Iterator[Finding]:
    now = db.utcnow()
    made = backup.last(session, now=now)
    since = f"the last is of {made.began_at:%Y-%m-%d %H:%M} UTC" if made else "there is none"
    if settings.backup_dir is None:
        mend = (
            f"set {PREFIX}BACKUP_DIR to a folder on another disk, or run `mailinglist backup FILE` on a schedule of "
            "your own"
        )
        yield Finding("backup", Level.WARNING, f"none is scheduled; {since}", mend)
    elif backup.overdue(session, settings, now=now):
        mend = f"see the worker's log; is there room in {settings.backup_dir}?"
        yield Finding(
            "backup", Level.FAILURE, f"overdue: {since}, and one is wanted every {settings.backup_every} h", mend
        )
    elif made is None:
        mend = "the worker makes the first one within minutes; or run: mailinglist backup FILE"
        yield Finding("backup", Level.WARNING, "there is none yet", mend)
    elif settings.backup_recipient is None:
        mend = f"set {PREFIX}BACKUP_RECIPIENT to an age recipient, and keep its secret key elsewhere"
        yield Finding("backup", Level.WARNING, f"{since}; not encrypted", mend)
    else:
        yield Finding("backup", Level.OK, f"{since}; encrypted")


def _check_dates(session: Session, settings: Settings) -> Iterator[Finding]:
    """What a clock left behind that was ahead, or may be: nothing where all is well."""
    now = db.utcnow()
    hours = wrong_clock.hours_ahead(session, now=now)
    if hours is not None:
        words = f"a backup or a seal is dated {hours:,} hours ahead: a clock was ahead"
        yield Finding("dates", Level.WARNING, words, "set every machine's clock by NTP; this is said for a week more")
    if settings.backup_dir is not None and backup.paused(session, settings, now=now):
        words = "for a time no backups were made, or the clock leapt ahead: for a week old ones go one at a time"
        yield Finding("dates", Level.WARNING, words, "if the worker was not stopped, see whether the clock is right")
