"""What the worker does every few minutes so that no opt-out can be lost: the journal, the scheduled
backup, and dates that a wrong clock set."""

from __future__ import annotations

import threading
from datetime import timedelta

from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from .. import db, moments, observe
from ..consent import journal
from ..consent.tables import JournalMark
from ..settings import SETTINGS
from . import archive, backup, wrong_clock

_log = observe.logger(__name__)

_READ_EVERY = timedelta(hours=20)
"""How often all of the journal is read. A quick look at its end is had far more often."""


def go_on(app: Flask) -> threading.Thread:
    """Write down what the journal would not take, and have go on what waits for a wrong date. Reading all of the
    journal, and a backup, go on in a thread of their own, which is returned: letters share the worker, and don't wait
    for them."""
    with app.app_context():
        while True:
            with db.transaction() as session:
                if not journal.catch_up(session):
                    break
        try:
            with db.transaction() as session:
                wrong_clock.put_right(session)
        except SQLAlchemyError as error:  # the next time tries again; the backup must not wait for it
            _log.error("dates_not_put_right", exc_info=error)
    thread = threading.Thread(target=_at_leisure, args=(app,), name="safekeeping", daemon=True)
    thread.start()
    return thread


def _at_leisure(app: Flask) -> None:
    try:
        with app.app_context():
            _read_journal()
        archive.clear_parts(backup.copying(app.config[SETTINGS]))  # no copy of the register lies about after a crash
        backup.make_due(app)
    except Exception as error:  # the next time tries again, and `alarms` tells what is overdue
        _log.error("safekeeping_failed", exc_info=error)


def _read_journal() -> None:
    with db.reading() as session:
        last = session.scalar(select(func.max(JournalMark.at)))
    if last is not None and moments.recent(last, db.utcnow(), _READ_EVERY):
        return
    with db.transaction() as session:
        reading = journal.look_through(session, now=db.utcnow())
    for problem in reading.problems:
        _log.error("journal_damaged", problem=problem)
