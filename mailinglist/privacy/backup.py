"""Backups of the database: by command and by the clock, read back, kept for some days. The only writer of `backups`.

`make` and `make_due` open their own transactions: a backup is no part of anybody's. Whether one is overdue, `overdue`
says, and `alarms` tells.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from .. import __version__, db, moments, observe
from ..consent import journal
from ..consent.keys import keys_of
from ..consent.tables import JournalMark, MailingList
from ..errors import MailinglistError, NotAllowed
from ..settings import BACKUPS_STEADY, SETTINGS, Settings
from . import archive, snapshot
from .tables import Backup

_log = observe.logger(__name__)

FORMAT = 1
_NAMED = re.compile(r"mailinglist-(\d{8}T\d{6}Z)\.tar\.gz(?:\.age)?")
_STAMP = "%Y%m%dT%H%M%SZ"
_AGAIN = timedelta(minutes=30)
"""After a backup that failed, when it is tried again."""
_LATE = timedelta(hours=2)
"""How much longer than `MAILINGLIST_BACKUP_EVERY` the last one may be ago."""
_MARKS_COUNT = timedelta(days=2)
"""A journal that was marked within this time is one that opt-outs go to: it belongs to the backup. So does one whose
mark is to come: it is better to ask for one too many."""


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made."""

    path: Path
    began_at: datetime
    """The moment that it is of."""
    size: int
    rows: int
    encrypted: bool
    seconds: float


def make(settings: Settings, path: Path) -> Made:
    """Make a backup, in the application's context, and write down that it was made, or why it was not.

    Raises NotAllowed (there is such a file), Fault.
    """
    began_at, began = db.utcnow(), time.monotonic()
    about: dict[str, Any] = {
        "format": FORMAT, "program": "mailinglist", "version": __version__,
        "made_at": began_at.astimezone(UTC).isoformat(), "journals": _journals(began_at),
    }  # fmt: skip
    encrypted = settings.backup_recipient is not None
    try:
        fill = snapshot.pack(db.db.engine, copying(settings), about)
        contents = archive.write(path, fill, recipient=settings.backup_recipient, mac=_mac())
        size = path.stat().st_size
    except NotAllowed:
        raise
    except Exception as error:
        trouble = str(error) if isinstance(error, MailinglistError) else f"it failed ({type(error).__name__})"
        _log.error("backup_failed", exc_info=error)
        _write_down(Backup(file=path.name[:500], size=0, rows=0, encrypted=encrypted, trouble=trouble[:500]), began_at)
        raise
    _write_down(Backup(file=path.name[:500], size=size, rows=contents.rows, encrypted=encrypted), began_at)
    return Made(path, began_at, size, contents.rows, encrypted, time.monotonic() - began)


def copying(settings: Settings) -> Path:
    """Where the database lies unencrypted while a backup of it is made."""
    return settings.data_dir / "copying"


def make_due(app: Flask) -> None:
    """Make the scheduled backup if its time has come, and let go of those that are too old. Several workers may ask at
    once: one makes it."""
    settings: Settings = app.config[SETTINGS]
    folder = settings.backup_dir
    if folder is None:
        return
    with app.app_context():
        with db.reading() as session:
            if not due(session, settings, now=db.utcnow()):
                return
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with db.reading() as session:
                if not due(session, settings, now=db.utcnow()):
                    return
            done = False
            try:
                ending = ".tar.gz.age" if settings.backup_recipient else ".tar.gz"
                made = make(settings, folder / f"mailinglist-{db.utcnow().strftime(_STAMP)}{ending}")
                _log.info("backup_made", octets=made.size, rows=made.rows, seconds=round(made.seconds, 1))
                done = True
            finally:  # also when it failed: where old ones fill the disk, none could be made any more
                _let_go(settings, made=done)
        except BlockingIOError:
            return  # another worker is at it
        except (MailinglistError, OSError) as error:
            _log.error("scheduled_backup_failed", error=type(error).__name__)
        finally:
            os.close(file)


def _let_go(settings: Settings, *, made: bool) -> None:
    """After a try: let all go that are over their time, where backups follow each other. Else one, and of the tries of
    a period that fail only the first lets one go: a clock that leapt ahead for an hour costs one backup at most."""
    with db.reading() as session:
        now = min(db.utcnow(), db.clock(session))  # what either clock takes for young stays
        tries = session.scalars(select(Backup.ended_at).order_by(Backup.id.desc()).limit(2)).all()
        steady = made and not paused(session, settings, now=now)
    if made and not steady:
        _log.warning("old_backups_kept_after_a_pause")
    if steady:
        rotate(settings, now=now)
    elif made or len({_period(ended_at, settings) for ended_at in tries}) == len(tries):
        rotate(settings, now=now, most=1)


def _period(at: datetime, settings: Settings) -> int:
    return int(at.timestamp()) // (settings.backup_every * 3600)


def due(session: Session, settings: Settings, *, now: datetime) -> bool:
    """Whether the scheduled backup's time has come."""
    made, tried = last(session, now=now), _last_tried(session)
    if made is not None and moments.recent(made.began_at, now, timedelta(hours=settings.backup_every)):
        return False
    return tried is None or tried.trouble is None or not moments.recent(tried.ended_at, now, _AGAIN)


def overdue(session: Session, settings: Settings, *, now: datetime) -> bool:
    """Whether scheduled backups are wanted, and there is none that is young enough. While none was ever tried: once the
    installation is older than a backup may be."""
    if settings.backup_dir is None:
        return False
    made = last(session, now=now)
    young = timedelta(hours=settings.backup_every) + _LATE
    if made is None:
        begun = session.scalar(select(func.min(MailingList.created_at)))
        old = begun is not None and not moments.recent(begun, now, young)
        return old or _last_tried(session) is not None
    return not moments.recent(made.began_at, now, young)


def paused(session: Session, settings: Settings, *, now: datetime) -> bool:
    """Whether, within the last week, two periods went by without a backup, as far as dates tell: the machine was off,
    or its clock leapt ahead. Until the week is over, each backup that is made lets one old one go, and no more."""
    assert settings.backup_dir is not None
    longest = 2 * timedelta(hours=settings.backup_every) + _LATE
    made = select(Backup.began_at).where(Backup.trouble.is_(None), Backup.began_at <= moments.latest(now))
    after = now
    for began_at in session.scalars(made.order_by(Backup.began_at.desc())):
        if after - began_at > longest:
            return True
        if began_at < now - BACKUPS_STEADY:
            break
        after = began_at
    return False


def last(session: Session, *, now: datetime) -> Backup | None:
    """The last backup that was made; one that is dated later than now is none (`wrongly_dated`)."""
    made = (Backup.trouble.is_(None), Backup.began_at <= moments.latest(now))
    return session.scalar(select(Backup).where(*made).order_by(Backup.began_at.desc()).limit(1))


def wrongly_dated(session: Session, *, now: datetime, told_for: timedelta) -> datetime | None:
    """The date of a backup that is later than now: a clock was wrong. None: there is none, or the one that was made
    next is older than `told_for`, so that it has been told."""
    wrong = session.scalar(
        select(Backup).where(Backup.began_at > moments.latest(now)).order_by(Backup.id.desc()).limit(1)
    )
    if wrong is None:
        return None
    seen = session.scalar(select(func.min(Backup.began_at)).where(Backup.id > wrong.id))
    return wrong.began_at if seen is None or moments.recent(seen, now, told_for) else None


def failed(session: Session) -> bool:
    """Whether the last try came to nothing."""
    tried = _last_tried(session)
    return tried is not None and tried.trouble is not None


def _last_tried(session: Session) -> Backup | None:
    # By number: of two, the later one was tried later, whatever a clock said then.
    return session.scalar(select(Backup).order_by(Backup.id.desc()).limit(1))


def rotate(settings: Settings, *, now: datetime, most: int | None = None) -> list[str]:
    """Delete scheduled backups that are older than they are kept, the oldest first, and `most` at most; never the
    newest, nor one that is dated later than now. Returns their names."""
    assert settings.backup_dir is not None
    end = moments.latest(now).strftime(_STAMP)
    named = ((_NAMED.fullmatch(path.name), path) for path in settings.backup_dir.iterdir())
    found = sorted((match[1], path) for match, path in named if match and match[1] <= end)
    until = (now - timedelta(days=settings.backup_keep)).strftime(_STAMP)
    over = [path for stamp, path in found[:-1] if stamp < until][:most]
    for path in over:
        with suppress(FileNotFoundError):
            path.unlink()
    return [path.name for path in over]


def _journals(now: datetime) -> list[dict[str, Any]]:
    """The journals that opt-outs go to, each with how far it has come: what a restore must find again."""
    with db.reading() as session:
        found = {
            mark.journal: {"journal": mark.journal, "number": mark.number, "mac": mark.mac}
            for mark in session.scalars(select(JournalMark).where(JournalMark.at > now - _MARKS_COUNT))
        }
        own = journal.journal_of(session)
    try:
        own.begin()  # else a restore could not tell a journal that is missing from one that never began
        tail = own.tail()
    except OSError as error:
        _log.error("journal_not_readable", reason=error.strerror)
        return list(found.values())
    if tail is not None:
        found[tail.journal] = {"journal": tail.journal, "number": tail.number, "mac": tail.mac}
    return list(found.values())


def _mac() -> archive.Mac:
    with db.reading() as session:
        return keys_of(session).backup_mac


def _write_down(backup: Backup, began_at: datetime) -> None:
    backup.began_at, backup.ended_at = began_at, db.utcnow()
    with db.transaction() as session:
        session.add(backup)
