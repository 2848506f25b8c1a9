"""What a worker does when the bell rings, or the sweep comes by: the two verbs of the tasks.

Each does all that is due and returns; called with nothing due it costs a few look-ups. Both may run in many workers
at once.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass

from flask import Flask, current_app
from sqlalchemy import select

from .. import db, observe
from ..consent import gate, requests
from ..consent.register import tokens_of
from ..errors import MailinglistError, OptOutsWait, RegisterUnsound
from ..settings import Settings
from . import bounces, dispatch, handoffs, letter_desk
from .bulletin_desk import BulletinDesk
from .dkim import Signer
from .letter_desk import LetterDesk
from .pacing import Gait
from .run import Report, run
from .shift import OnDuty
from .smtp import Courier

_log = observe.logger(__name__)

_NAP = 0.2
_WEIGHING = 1.0  # seconds in a row

Stop = Callable[[], bool]


@dataclass(slots=True)
class _Office:
    """What a worker process keeps between two bells: connections to the relay, compiled letters."""

    courier: Courier
    letters: LetterDesk
    signer: Signer
    gait: Gait


def letters(*, stop: Stop) -> Report:
    """Take the requests that are due, and hand over the letters that are due by then. Raises RegisterUnsound."""
    _take_back()
    report = Report()
    while not stop():
        entered = _enter_opt_outs(stop)
        taken = _take_requests()
        with db.transaction() as session:
            enqueued = letter_desk.enqueue_due(session, now=db.utcnow())
        if _due(LetterDesk.kinds):
            office = _office()
            office.letters.puts_off = not entered
            with OnDuty(_this_app()) as shift:
                try:
                    report = run(
                        office.courier, office.letters, shift.id, gait=office.gait, stop=lambda: stop() or shift.lost
                    )
                except OptOutsWait:  # kept since; they are entered, and then the letters go
                    continue
            if report.trouble:
                break  # no mail server: the sweep comes again
        elif not taken and not enqueued:
            break
    return report


def _take_requests() -> int:
    with db.transaction() as session:
        return requests.take(session, now=db.utcnow())


def _enter_opt_outs(stop: Stop) -> bool:
    """Enter the opt-outs that were kept while the register was unsound: before each marketing mail, by whichever worker
    wakes first, since their people have been told that they have left. False: one of them can't be entered, and the
    next sweep tries again. Raises RegisterUnsound."""
    while not stop() and _opt_outs_wait():
        with db.transaction() as session:
            entered = requests.take(session, opt_outs=True, now=db.utcnow())
        if not entered:
            return not _opt_outs_wait()
    return True


def bulletins(*, stop: Stop) -> dict[int, Report]:
    """Begin the bulletins that are due, and hand over what is being sent, one bulletin after the other.

    Raises RegisterUnsound; a bulletin that can't be sent for a reason of its own holds up no other, and says why.
    """
    _take_back()
    with suppress(RegisterUnsound):  # of each bulletin it is said below
        _enter_opt_outs(stop)
    with db.transaction() as session:
        # By the clock of the database: one machine's that is ahead would begin a bulletin before its time.
        now = db.clock(session)
        dispatch.call_off_cancelled(session, now=now)
        begun = dispatch.begin_due(session, now=now)
    for bulletin_id in begun:
        _log.info("bulletin_begun", bulletin=bulletin_id)
    weigh_bounces(stop=stop)
    with db.reading() as session:
        moving = dispatch.moving(session)
    reports: dict[int, Report] = {}
    for bulletin_id in moving:
        if stop():
            break
        try:
            reports[bulletin_id] = _send(bulletin_id, stop)
        except RegisterUnsound as error:
            _trouble(bulletin_id, str(error))
            raise
        except MailinglistError as error:
            _log.error("bulletin_stuck", bulletin=bulletin_id, reason=str(error))
            _trouble(bulletin_id, str(error))
        weigh_bounces(stop=stop)
    return reports


def weigh_bounces(*, stop: Stop) -> int:
    """Give up those who can't be reached any more, by what was noted since, for about a second: the next sweep goes on.
    Returns how many bounces were looked at."""
    end, number = time.monotonic() + _WEIGHING, 0
    while not stop() and time.monotonic() < end:
        with db.transaction() as session:
            weighed = bounces.weigh(session, now=db.utcnow())
        number += weighed
        if not weighed:
            break
    return number


def _send(bulletin_id: int, stop: Stop) -> Report:
    report = Report()
    if _due((handoffs.BULLETIN,), about=bulletin_id):
        office = _office()
        with db.reading() as session:
            desk = BulletinDesk(session, bulletin_id, _settings(), tokens_of(session), office.signer)
        with OnDuty(_this_app()) as shift:

            def over() -> bool:
                return stop() or shift.lost

            while True:
                if not _enter_opt_outs(over):
                    break
                with suppress(OptOutsWait):  # kept since: they are entered, and it goes on
                    run(office.courier, desk, shift.id, gait=office.gait, stop=over, report=report)
                if over() or not (report.wait or _opt_outs_wait()):
                    break
                # The pace: answers are written down, and then the next go.
                time.sleep(min(report.wait, _NAP))
        _trouble(bulletin_id, report.trouble)
    with db.transaction() as session:
        if dispatch.finish(session, bulletin_id, now=db.utcnow()):
            _log.info("bulletin_sent", bulletin=bulletin_id)
    return report


def _trouble(bulletin_id: int, trouble: str | None) -> None:
    with db.transaction() as session:
        dispatch.note_trouble(session, bulletin_id, trouble)


def _opt_outs_wait() -> bool:
    with db.reading() as session:
        return session.scalar(select(gate.opt_outs_wait())) is True


def _due(kinds: Collection[str], *, about: int | None = None) -> bool:
    with db.reading() as session:
        return handoffs.any_due(session, kinds=kinds, about=about, now=db.utcnow())


def _take_back() -> None:
    with db.transaction() as session:
        if dead := handoffs.take_back(session, now=db.clock(session)):
            _log.warning("shifts_taken_back", shifts=dead)


def _this_app() -> Flask:
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    return app


def _settings() -> Settings:
    settings: Settings = current_app.config["MAILINGLIST"]
    return settings


def _office() -> _Office:
    """This process's office, opened at the first mail."""
    found: _Office | None = current_app.extensions.get("mailinglist_office")
    if found is None:
        settings = _settings()
        courier = Courier(settings.relays, connections=settings.smtp_connections, helo=own_name(settings))
        signer = Signer(settings.dkim_keys)
        with db.reading() as session:
            found = _Office(courier, LetterDesk(settings, tokens_of(session), signer), signer, Gait())
        current_app.extensions["mailinglist_office"] = found
    return found


def own_name(settings: Settings) -> str:
    """What we call ourselves in EHLO (RFC 5321 §4.1.4): the machine's name where it is a domain, else that of return
    paths."""
    name = socket.getfqdn()
    return name if "." in name and name.isascii() and "localhost" not in name else settings.return_domain
