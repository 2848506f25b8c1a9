"""Claim → gate → hand over → settle: the same for bulletins and letters.

A group of rows is claimed (`handing`), the gate is read, and only when that is committed are the mails given to the
courier; no transaction is open while a socket is. The gate is read again, last of all, for what has waited (decision
5).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from .. import db, observe
from . import failures, handoffs, pacing
from .dkim import Seal
from .handoffs import Claimed, Settled
from .pacing import Gait
from .parcels import Outcome, Parcel, Stage, Verdict
from .smtp import Courier

_log = observe.logger(__name__)

# Seconds between tries to write down answers, while the database is away; beats stop meanwhile, as they must.
_PATIENCE = (0.1, 0.3, 1.0, 2.0, 3.0)


@dataclass(frozen=True, slots=True)
class Written:
    """A mail ready to go."""

    sender: str
    recipient: str
    content: bytes
    seal: Seal | None = None
    """Signs the content; None while no key is configured, or where it is done."""


class Broken(str):
    """Why a mail can't be written now, through no fault of its recipient: it is tried again, and others go on."""


class Desk(Protocol):
    """Where a run's mails come from: one bulletin, or the letters."""

    kinds: Collection[str]
    about: int | None
    rates: Mapping[str, float]
    """Lines of slots (`pacing.reserve`) that its mails keep to, each with mails a second; empty: none."""

    def halted(self, session: Session) -> bool:
        """Whether nothing more may go now (paused, cancelled)."""

    def write(self, session: Session, rows: Sequence[Claimed], *, now: datetime) -> Mapping[int, Written | str]:
        """By row: the mail, or why none may go (the gate's reason), or why there can be none."""

    def refusals(self, session: Session, rows: Sequence[Claimed], *, now: datetime) -> Mapping[int, str]:
        """The gate once more: rows that may not go, each with the reason."""


@dataclass(slots=True)
class Report:
    """What one run did."""

    outcomes: dict[str, int] = field(default_factory=dict)
    trouble: str | None = None
    """Why nothing went, in the words of the last mail server, while nothing goes."""

    wait: float = 0.0
    """Seconds after which the pace lets more go; 0: it was not the pace that ended the run."""


def run(
    courier: Courier,
    desk: Desk,
    shift_id: int,
    *,
    gait: Gait,
    stop: Callable[[], bool],
    report: Report | None = None,
) -> Report:
    """Hand over everything that `desk` has and that may go now, at the pace that the server bears.

    Raises RegisterUnsound (nothing is sent), and whatever the database raises.
    """
    at_work = _Run(desk, shift_id, gait, report or Report())
    courier.carry(at_work.fetch, at_work.settle, at_work.still_allowed, stop=stop)
    return at_work.report


class _Run:
    def __init__(self, desk: Desk, shift_id: int, gait: Gait, report: Report) -> None:
        self._desk, self._shift = desk, shift_id
        self._out: dict[int, Claimed] = {}
        self._refused_us = False
        self._gait = gait
        self._put_back: set[int] = set()
        self.report = report
        report.wait = 0.0

    def fetch(self, most: int) -> list[Parcel]:
        """Up to `most` mails that may go, marked as being handed over; none: nothing (more) may go now."""
        for rate in (*self._desk.rates.values(), *((self._gait.rate,) if self._gait.rate else ())):
            most = pacing.portion(rate, most)
        while True:
            read_at, now = time.monotonic(), db.utcnow()
            with db.transaction() as session:
                if self._refused_us or self._desk.halted(session) or self._out_of_turn(session, now):
                    return []
                rows = handoffs.claim(
                    session, self._shift, kinds=self._desk.kinds, about=self._desk.about, limit=most, now=now
                )
                if not rows:
                    return []
                written = self._desk.write(session, rows, now=now)
                broken = [row for row in rows if isinstance(written[row.id], Broken)]
                handoffs.settle(session, self._shift, [_later(row, str(written[row.id]), now) for row in broken])
                refused = {
                    number: said
                    for number, said in written.items()
                    if isinstance(said, str) and not isinstance(said, Broken)
                }
                handoffs.exclude(session, self._shift, refused, now=now)
                going = len(rows) - len(refused) - len(broken)
                for name, rate in self._desk.rates.items():
                    pacing.reserve(session, name, number=going, rate=rate, now=now)
                self._gait.take(going, time.monotonic())
            # Committed: from here on a crash leaves them uncertain.
            self._note(Outcome.EXCLUDED, len(refused))
            mails = [(row, mail) for row in rows if isinstance(mail := written[row.id], Written)]
            self._out |= {row.id: row for row, _ in mails}
            contents = _signed([mail for _, mail in mails])
            parcels = [
                Parcel(row.id, mail.sender, mail.recipient, content, read_at)
                for (row, mail), content in zip(mails, contents, strict=True)
            ]
            if parcels:  # else all of the group were excluded: on to the next
                return parcels

    def _out_of_turn(self, session: Session, now: datetime) -> bool:
        """Whether the pace lets nothing go now; then the run ends, and `report.wait` says for how long."""
        waits = [pacing.wait(session, name, now=now) for name in self._desk.rates]
        self.report.wait = max([self._gait.wait(time.monotonic()), *waits])
        return self.report.wait > 0

    def still_allowed(self, numbers: Sequence[int]) -> Collection[int]:
        """The gate once more, for mails that have waited."""
        with db.reading() as session:
            if self._desk.halted(session):
                self._put_back.update(numbers)  # paused: nobody is excluded, they wait
                return ()
            rows = [self._out[number] for number in numbers]
            refused = self._desk.refusals(session, rows, now=db.utcnow())
        return [number for number in numbers if number not in refused]

    def settle(self, verdicts: Sequence[Verdict]) -> None:
        """Write down what became of mails."""
        self._gait.heard(verdicts, time.monotonic())
        held = self._write_down([self._settled(verdict) for verdict in verdicts])
        if held < len(verdicts):
            _log.warning("settled_too_late", rows=len(verdicts) - held, shift=self._shift)
        self._refused_us |= any(_about_us(verdict) for verdict in verdicts)
        for verdict in verdicts:
            self._out.pop(verdict.key, None)
            self._note(verdict.outcome)
            if verdict.outcome is Outcome.UNSENT or _about_us(verdict):
                self.report.trouble = observe.redact(verdict.text)
            elif verdict.outcome is not Outcome.EXCLUDED:
                self.report.trouble = None

    def _write_down(self, settled: Sequence[Settled]) -> int:
        """Settle. A database that was restarted is waited for: giving up makes uncertain what was answered."""
        for pause in _PATIENCE:
            try:
                with db.transaction() as session:
                    return handoffs.settle(session, self._shift, settled)
            except OperationalError as error:
                _log.warning("settle_again", rows=len(settled), error=type(error.orig).__name__)
                time.sleep(pause)
        with db.transaction() as session:
            return handoffs.settle(session, self._shift, settled)

    def _settled(self, verdict: Verdict) -> Settled:
        row, now = self._out[verdict.key], db.utcnow()
        state, again = str(verdict.outcome), None
        if verdict.outcome is Outcome.DEFERRED or _about_us(verdict):
            again = failures.retry_at(row.kind, attempts=row.attempts, first=row.first_tried_at, now=now)
            state = "deferred" if again else "rejected"
        elif verdict.key in self._put_back:
            state, again = "pending", now
        elif verdict.outcome is Outcome.UNSENT:
            again = failures.unsent_until(attempts=row.attempts, first=row.first_tried_at, now=now)
            state = "pending" if again else "rejected"
        reply = "the gate, read last: may not be mailed" if verdict.outcome is Outcome.EXCLUDED else verdict.text
        return Settled(row.id, state, verdict.at, code=verdict.code, reply=reply, not_before=again)

    def _note(self, outcome: Outcome, number: int = 1) -> None:
        if not number:
            return
        self.report.outcomes[outcome] = self.report.outcomes.get(outcome, 0) + number
        observe.count(f"handed_{outcome}", number)


def _later(row: Claimed, reason: str, now: datetime) -> Settled:
    again = failures.retry_at(row.kind, attempts=row.attempts, first=row.first_tried_at, now=now)
    return Settled(row.id, "deferred" if again else "rejected", now, reply=reason, not_before=again)


def _signed(mails: Sequence[Written]) -> list[bytes]:
    """Their contents, signed where there is a key; on all cores, since signing lets go of the interpreter's lock."""
    if not mails or mails[0].seal is None:
        return [mail.content for mail in mails]
    at = int(time.time())
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return list(threads.map(lambda mail: signed(mail, at), mails))


def signed(mail: Written, at: int) -> bytes:
    """One mail's content with its DKIM signatures, if there are any. `at` is Unix time."""
    return mail.content if mail.seal is None else mail.seal.sign(mail.content, at=at) + mail.content


def _about_us(verdict: Verdict) -> bool:
    """A refusal of our MAIL command says nothing of the recipient: a relay that wants a password must not make a whole
    audience rejected. Such mails are tried again, and the run stops."""
    return verdict.outcome is Outcome.REJECTED and verdict.stage is Stage.MAIL
