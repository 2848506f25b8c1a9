"""What the worker does with what waits in the spool.

Each mail is handled in the transaction that marks it: killed in between, it waits as before. A mail that can't be
handled holds up no other; it is tried again, and at last it is a person's to look at. Mails are read before the
transaction begins, since a hostile one takes its time, and nobody's sign-up waits for that.

Reports of mails that failed come by the thousand when a bulletin meets an old list: those that came to a signed return
path are noted many at a time, in a handful of statements. All else goes by `act`, one by one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flask import current_app
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.orm import Session

from .. import db, observe
from ..consent.register import tokens_of
from ..delivery import bounces, post
from ..delivery.bounces import Reported
from ..delivery.verdicts import Verdict
from ..errors import RegisterUnsound
from ..settings import SETTINGS, Settings
from . import act, forward, intents, reading, spool
from .addresses import BOUNCE, Addresses
from .spool import Peeked
from .tables import Spooled

_log = observe.logger(__name__)

GROUP = 200
"""Mails that are read at once."""
_SINGLES = 20
"""Mails of one transaction that are handled one by one: SQLite's other writers wait for it."""
_LOST = (OperationalError, InterfaceError, InternalError)
"""The database is away or busy: nothing is wrong with the mail."""

Stop = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class _Report:
    """A mail that is a report about one of ours, by the return path that it came to."""

    number: int
    reported: Reported | None
    """None: nothing failed."""


def handle(*, stop: Stop) -> int:
    """Handle all that waits, and send on what is for the lists' owners; how many mails were looked at."""
    handled = 0
    after = 0
    while not stop():
        seen, done = _some(after)
        handled += done
        if seen is None:
            break
        after = seen
    if handled:
        try:
            post.weigh_bounces(stop=stop)
        except RegisterUnsound as error:  # they wait; what is for a person must not
            _log.warning("bounces_wait", reason=str(error))
    forward.send_due(stop=stop)
    return handled


def _some(after: int) -> tuple[int | None, int]:
    """Handle a group of those that came after this one: the last that was looked at (None: there was none), and how
    many were handled."""
    settings: Settings = current_app.config[SETTINGS]
    with db.reading() as session:
        rows = spool.peek(session, after, GROUP, db.utcnow())
        addresses = Addresses(settings, tokens_of(session))
    if not rows:
        return None, 0
    reports: list[_Report] = []
    others: list[int] = []
    for row in rows:
        report = _report(row, addresses)
        if report is None:
            others.append(row.number)
        else:
            reports.append(report)
    last = rows[-1].number
    rows.clear()  # up to 32 MB
    handled = 0
    if reports:
        try:
            handled = _note(reports)
        except _LOST:
            raise
        except Exception as error:  # one of them: the others must not wait for it
            _log.error("reports_not_noted", mails=len(reports), error=type(error).__name__, exc_info=error)
            others += [report.number for report in reports]
    for first in range(0, len(others), _SINGLES):
        handled += _one_by_one(others[first : first + _SINGLES], settings)
    return last, handled


def _report(row: Peeked, addresses: Addresses) -> _Report | None:
    """What a mail reports of the mail to whose return path it came; None: it is something else."""
    to = addresses.read(row.recipient)
    if to is None or to.kind != BOUNCE or to.handoff_id is None:
        return None
    found = intents.returned(reading.read(row.raw))
    if found is None or found.verdict is None or found.verdict is Verdict.COMPLAINT:
        return None
    failed = Reported(to.handoff_id, found.verdict, found.status, found.words) if found.counts else None
    return _Report(row.number, failed)


def _note(reports: Sequence[_Report]) -> int:
    """Note reports, all in one transaction."""
    with db.transaction() as session:
        now = db.utcnow()
        claimed = {row.id for row in spool.claim(session, [report.number for report in reports], now)}
        mine = [report for report in reports if report.number in claimed]
        failed = [(report.number, report.reported) for report in mine if report.reported is not None]
        outcomes = bounces.note_many(session, [reported for _, reported in failed], now=now) if failed else []
        by_outcome: dict[str, list[int]] = defaultdict(list)
        for (number, _), outcome in zip(failed, outcomes, strict=True):
            by_outcome[outcome].append(number)
        by_outcome["nothing-failed"] = [report.number for report in mine if report.reported is None]
        for outcome, numbers in by_outcome.items():
            if numbers:
                spool.done_many(session, numbers, kind=intents.BOUNCE, outcome=outcome, now=now)
    observe.count("inbound_bounce", len(mine))
    return len(mine)


def _one_by_one(numbers: Sequence[int], settings: Settings) -> int:
    with db.transaction() as session:
        rows = spool.claim(session, numbers, db.utcnow())
        for row in rows:
            _handle(session, row, settings)
    return len(rows)


def _handle(session: Session, row: Spooled, settings: Settings) -> None:
    now = db.utcnow()
    try:
        with session.begin_nested():
            outcome = act.act(session, row, settings=settings, now=now)
            spool.done(
                row, state=outcome.state, kind=outcome.kind, outcome=outcome.outcome,
                list_id=outcome.list_id, person_id=outcome.person_id, now=now,
            )  # fmt: skip
    except _LOST:
        raise
    except RegisterUnsound as error:  # nothing is wrong with the mail
        _log.warning("mail_waits", mail=row.id, reason=str(error))
        spool.put_off(row, now=now)
    except Exception as error:  # whatever a stranger's mail brought about: it holds up no other
        _log.error("mail_not_handled", mail=row.id, error=type(error).__name__, exc_info=error)
        observe.count("inbound_failed")
        spool.failed(row, now=now)
