"""What the worker does with what waits in the spool.

Each mail is handled in the transaction that marks it: killed in between, it waits as before. A mail that can't be
handled holds up no other; it is tried again, and at last it is a person's to look at. Mails are read before the
transaction begins, since a hostile one takes its time, and nobody's sign-up waits for that.

A mail that kills its worker leaves no trace in a transaction: so what a worker takes is written down before it is read
(hands.py). What was in its hand is handled alone afterwards, and after some deaths it is set aside, unread, as a
person's; all others go on.

Reports of mails that failed come by the thousand when a bulletin meets an old list: those that came to a signed return
path are noted many at a time, in a handful of statements. All else goes by `act`, each in a transaction of its own: so
none of them waits for a second person while it holds one, and no two workers, nor one and `requests.take`, wait for
each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flask import current_app
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.orm import Session

from .. import db, observe
from ..delivery import bounces, post
from ..delivery.bounces import Reported
from ..delivery.verdicts import Verdict
from ..errors import RegisterUnsound
from ..settings import SETTINGS, Settings
from . import act, forward, hands, intents, reading, spool, unseen
from .addresses import BOUNCE, Addresses
from .senders import addresses_of
from .spool import Peeked
from .tables import OWNER, Spooled

_log = observe.logger(__name__)

GROUP = 200
"""Mails that are read at once."""
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
    settings: Settings = current_app.config[SETTINGS]
    _after_deaths(settings)
    handled = 0
    after = 0
    while not stop():
        seen, done = _some(after, settings)
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


def _after_deaths(settings: Settings) -> None:
    """Look at what the dead had in hand; and what this worker had when the database went away is nobody's again."""
    with db.reading() as session:  # each sweep comes by: writers are not to wait for nothing
        if not hands.any_left(session):
            return
    with db.transaction() as session:
        hands.let_go(session)
        numbers = hands.of_the_dead(session)
        if not numbers:
            return
        _log.warning("mails_of_the_dead", mails=len(numbers))
        addresses = addresses_of(session, settings)

        def list_of(recipient: str) -> int | None:
            return act.list_id_of(session, addresses.read(recipient))

        for row in spool.died(session, numbers, list_of=list_of, now=db.utcnow()):
            _log.error("mail_kills_workers", mail=row.id, digest=row.digest.hex(), octets=row.size)
            observe.count("inbound_failed")
            unseen.make_room(session, row, now=db.utcnow())


def _some(after: int, settings: Settings) -> tuple[int | None, int]:
    """Handle a group of those that came after this one: the last that was looked at (None: there was none), and how
    many were handled."""
    with db.reading() as session:
        numbers = spool.due(session, after, GROUP, db.utcnow())
        addresses = addresses_of(session, settings)
    if not numbers:
        return None, 0
    with db.transaction() as session:
        taken = hands.take(session, numbers)
    try:
        with hands.AtWork(current_app._get_current_object()) as work:  # type: ignore[attr-defined]
            return numbers[-1], _handle_taken(taken, addresses, settings, work)
    finally:
        _let_go()


def _let_go() -> None:
    """Nothing is in this worker's hand, as far as the database can be told: else the next run does."""
    try:
        with db.reading() as session:
            left = hands.any_left(session)
        if left:
            with db.transaction() as session:
                hands.let_go(session)
    except _LOST as error:
        _log.warning("hand_not_let_go", error=type(error).__name__)


def _handle_taken(taken: Sequence[int], addresses: Addresses, settings: Settings, work: hands.AtWork) -> int:
    """How many of the mails in hand were handled."""
    with db.reading() as session:
        rows = spool.peek(session, taken)
    reports: list[_Report] = []
    others: list[int] = []
    for row in rows:
        report = _report_or_none(row, addresses)
        if report is None:
            others.append(row.number)
        else:
            reports.append(report)
        work.went_on()
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
    for number in others:
        work.went_on()
        handled += _one(number, settings)
    return handled


def _report_or_none(row: Peeked, addresses: Addresses) -> _Report | None:
    try:
        return None if row.beheaded else _report(row, addresses)
    except Exception as error:  # it is handled alone, and holds up no other
        _log.error("report_not_read", mail=row.number, error=type(error).__name__, exc_info=error)
        return None


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
        hands.let_go(session, [report.number for report in reports])
    observe.count("inbound_bounce", len(mine))
    return len(mine)


def _one(number: int, settings: Settings) -> int:
    try:
        with db.transaction() as session:
            rows = spool.claim(session, [number], db.utcnow())
            for row in rows:
                _handle(session, row, settings)
            hands.let_go(session, [number])
    except act.Busy:  # all of it is undone, also what the journal of opt-outs was to be told
        with db.transaction() as session:
            now = db.utcnow()
            for row in spool.claim(session, [number], now):
                spool.put_off(row, soon=True, now=now)
            hands.let_go(session, [number])
        return 0
    return len(rows)


def _handle(session: Session, row: Spooled, settings: Settings) -> None:
    now = db.utcnow()
    try:
        with session.begin_nested():
            outcome = act.act(session, row, settings=settings, now=now)
            spool.done(
                row, state=outcome.state, kind=outcome.kind, outcome=outcome.outcome,
                list_id=outcome.list_id, person_id=outcome.person_id, writer=outcome.writer, now=now,
            )  # fmt: skip
            if outcome.state == OWNER:
                unseen.make_room(session, row, now=now)
    except (*_LOST, act.Busy):
        raise
    except RegisterUnsound as error:  # nothing is wrong with the mail
        _log.warning("mail_waits", mail=row.id, reason=str(error))
        spool.put_off(row, now=now)
    except Exception as error:  # whatever a stranger's mail brought about: it holds up no other
        _log.error("mail_not_handled", mail=row.id, error=type(error).__name__, exc_info=error)
        observe.count("inbound_failed")
        to = addresses_of(session, settings).read(row.recipient)
        if spool.failed(session, row, list_id=act.list_id_of(session, to), now=now):
            unseen.make_room(session, row, now=now)
