"""What somebody must know who looks after the program: opt-outs at risk, backups that are missing, and clocks that
were wrong.

Part of `needs`, which the console's first page and the owner's daily mail show. It only reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from flask import current_app
from sqlalchemy.orm import Session

from ..consent import journal, keys
from ..consent.tables import MailingList
from ..delivery.attention import Need, Place
from ..settings import SETTINGS
from ..stationery.sentences import Sentence
from ..stationery.sentences import noted as _
from . import backup, wrong_clock


def of_list(session: Session, row: MailingList, now: datetime) -> Iterator[Need]:
    """What is wrong now; of no list in particular."""
    if keys.held(session):
        yield _need(
            row,
            _("Nothing is sent: the database comes from a backup, and opt-outs given since may be missing."),
            _("Tell who looks after the program. `mailinglist restore --replay` says what is missing."),
        )
    standing = journal.standing(session)
    if standing.waiting:
        yield _need(
            row,
            _("Opt-outs that can't be written to the journal outside the database: %(number)s."),
            _(
                "They hold, but a restored backup would not know them. The journal's disk may be full, the ban key "
                "wrong, or a restore not finished."
            ),
            number=standing.waiting,
        )
    if standing.trouble:
        yield _need(
            row,
            _("Something is missing from the journal of opt-outs, or was altered."),
            _("Tell who looks after the program. `mailinglist journal check` says what it is."),
        )
    settings = current_app.config[SETTINGS]
    if backup.overdue(session, settings, now=now):
        made = backup.last(session, now=now)
        mend = _("Tell who looks after the program: the disk for backups may be full, or the worker may have stopped.")
        if made is None and backup.failed(session):
            yield _need(row, _("There is no backup: the first one failed."), mend)
        elif made is None:
            yield _need(row, _("There is no backup yet."), mend)
        else:
            hours = int((now - made.began_at).total_seconds() // 3600)
            yield _need(row, _("The last backup is %(hours)s hours old."), mend, hours=hours)
    elif settings.backup_dir is not None and backup.paused(session, settings, now=now):
        yield _need(
            row,
            _(
                "For a time no backups were made, or the clock leapt ahead. For a week old backups are deleted only "
                "one at a time."
            ),
            _("Tell who looks after the program, if nobody had stopped it: the clock of its machine may be wrong."),
        )
    ahead = wrong_clock.hours_ahead(session, now=now)
    if ahead is not None:
        yield _need(
            row,
            _("A clock was ahead: a backup or a seal is dated %(hours)s hours ahead."),
            _(
                "Tell who looks after the program. `mailinglist doctor` shows whether the clock is right now. Look "
                "whether a scheduled bulletin went out too early."
            ),
            hours=ahead,
        )


def _need(row: MailingList, what: str, mend: str, **values: int) -> Need:
    return Need(Sentence(what, dict(values)), Sentence(mend), Place.LIST, row.id, grave=True)
