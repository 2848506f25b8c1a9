"""Claim → gate → hand over → settle: the same for bulletins and letters.

A group of rows is claimed (`handing`), the gate is read, and only when that is committed are the mails given to the
courier. On PostgreSQL claiming, this reading and settling are done by a thread of its own, a group ahead of the
sending, so that no socket waits for them. The gate is read again, last of all, for what has waited: that is the
courier's, and its sockets do wait. No transaction is open while its own mails are on a socket.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeVar

from flask import Flask, current_app
from sqlalchemy.exc import InternalError, OperationalError
from sqlalchemy.orm import Session

from .. import db, observe
from ..consent import register
from . import bounces, failures, handoffs, pacing
from .bounces import Refused
from .dkim import Seal, sealed
from .handoffs import Claimed, Settled
from .pacing import Gait
from .parcels import Content, Outcome, Parcel, Result, Stage
from .smtp import MOST_PARCELS, Courier

_log = observe.logger(__name__)
_T = TypeVar("_T")

# Seconds between tries to write down answers, while the database is away; beats stop meanwhile, as they must.
_PATIENCE = (0.1, 0.3, 1.0, 2.0, 3.0)
_UNTRIED = (Outcome.EXCLUDED, Outcome.UNSENT)
_SOON = 1.0  # seconds that a run waits for the pace, with its connections open and answers coming in


class Written(NamedTuple):
    """A mail ready to go."""

    sender: str
    recipient: str
    content: Content
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
    with _clerk() as clerk:
        at_work = _Run(courier, desk, shift_id, gait, report or Report(), clerk)
        try:
            courier.carry(at_work.fetch, at_work.settle, at_work.still_allowed, stop=stop)
        finally:
            at_work.put_back_ahead()
        at_work.finish()
    return at_work.report


@dataclass(frozen=True, slots=True)
class _Group:
    """Rows that are marked as being handed over, and their mails."""

    rows: Sequence[Claimed]
    parcels: Sequence[Parcel]
    wait: float = 0.0
    """Seconds after which the shared pace lets more go."""
    excluded: bool = False
    """The gate, or a fault of ours, kept all of them back: there may be more."""


class _AtOnce(Executor):
    """Does on the caller's thread what it is asked for."""

    def submit(self, work: Callable[..., _T], /, *arguments: Any, **named: Any) -> Future[_T]:
        """Do it; what it raises is in the answer."""
        done: Future[_T] = Future()
        try:
            done.set_result(work(*arguments, **named))
        except BaseException as error:
            done.set_exception(error)
        return done


def _clerk() -> Executor:
    """Who changes the database: a thread beside the courier's, one, so that all is done in order. SQLite works in our
    own process and gains nothing by it but changes of threads."""
    sqlite = db.db.engine.dialect.name == "sqlite"
    return _AtOnce() if sqlite else ThreadPoolExecutor(1, thread_name_prefix="clerk")


class _Run:
    """One run. The courier's thread calls `fetch`, `settle` and `still_allowed`; what changes the database is done by
    the clerk, in the order in which it was asked for. So a group is claimed while the one before is being sent, and
    answers are written down while the next are read."""

    def __init__(
        self, courier: Courier, desk: Desk, shift_id: int, gait: Gait, report: Report, clerk: Executor
    ) -> None:
        self._courier, self._desk, self._shift = courier, desk, shift_id
        self._app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
        self._clerk = clerk
        self._beside = not isinstance(clerk, _AtOnce)
        self._ahead: Future[_Group] | None = None
        self._settling: deque[Future[None]] = deque()
        self._out: dict[int, Claimed] = {}
        self._to: dict[int, str] = {}
        self._refused_us = False
        self._gait = gait
        self._put_back: set[int] = set()
        self._free_at = 0.0
        self._wider = 0
        self._gave_up = False
        self.report = report
        report.wait = 0.0

    def fetch(self, most: int) -> Sequence[Parcel] | None:
        """Up to `most` mails that may go, marked as being handed over; none: nothing (more) may go now; None: not
        yet."""
        self._raise_what_failed()
        now = time.monotonic()
        if self._refused_us:
            return []
        if wait := max(self._free_at - now, self._gait.wait(now)):
            return self._not_before(now + wait)
        rates = (*self._desk.rates.values(), *((self._gait.rate,) if self._gait.rate else ()))
        for rate in rates:
            most = pacing.portion(rate, most)
        if self._ahead is None:
            self._ahead = self._ask(self._take, most if rates else max(most, self._wider))
        if not self._ahead.done():
            return None
        group, self._ahead = self._ahead.result(), None
        if group.excluded:  # the next may be larger: a long row of them is passed quickly
            self._wider = min(2 * max(most, self._wider), MOST_PARCELS)
            self._courier.wake()
            return None
        self._wider = 0
        if group.wait:
            return self._not_before(now + group.wait)
        if group.parcels and self._beside and not rates:  # at a set pace, nothing is taken before its time
            self._ahead = self._ask(self._take, most)
        self._out |= {row.id: row for row in group.rows}
        self._to |= {parcel.key: parcel.recipient for parcel in group.parcels}
        self._gait.take(len(group.parcels), time.monotonic())
        return group.parcels

    def _not_before(self, moment: float) -> Sequence[Parcel] | None:
        """Nothing goes until then: soon, and the connections wait for it, or the run ends and says when."""
        wait = moment - time.monotonic()
        if wait > _SOON:
            self.report.wait = wait
            return []
        self._free_at = moment
        return None

    def _ask(self, work: Callable[..., _T], *arguments: object) -> Future[_T]:
        """Have something done by the clerk; the courier is woken when it is done."""

        def in_context() -> _T:
            with self._app.app_context():
                return work(*arguments)

        asked = self._clerk.submit(in_context)
        if self._beside:
            asked.add_done_callback(lambda _: self._courier.wake())
        return asked

    def _take(self, most: int) -> _Group:
        """Claim a group and write its mails; empty: nothing (more) may go now."""
        read_at, now = time.monotonic(), db.utcnow()
        with db.transaction() as session:
            if self._desk.halted(session):
                return _Group((), ())
            if wait := max(
                (pacing.wait(session, name, rate=rate, now=now) for name, rate in self._desk.rates.items()), default=0.0
            ):
                return _Group((), (), wait)
            rows = handoffs.claim(
                session, self._shift, kinds=self._desk.kinds, about=self._desk.about, limit=most, now=now
            )
            if not rows:
                return _Group((), ())
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
        # Committed: from here on a crash leaves them uncertain.
        self._note(Outcome.EXCLUDED, len(refused))
        mails = [(row, mail) for row in rows if isinstance(mail := written[row.id], Written)]
        try:
            contents = sealed([(mail.seal, mail.content) for _, mail in mails], at=int(time.time()))
        except Exception:
            self._write_down((), [row.id for row, _ in mails], ())
            raise
        parcels = [
            Parcel(row.id, mail.sender, mail.recipient, content, read_at)
            for (row, mail), content in zip(mails, contents, strict=True)
        ]
        return _Group([row for row, _ in mails], parcels, excluded=not parcels)

    def put_back_ahead(self) -> None:
        """What was claimed ahead, and isn't handed over any more, waits again."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and not ahead.cancel() and ahead.exception() is None:
            rows = [row.id for row in ahead.result().rows]
            self._settling.append(self._ask(self._write_down, (), rows, ()))

    def finish(self) -> None:
        """Wait until everything is written down. Raises what went wrong with that."""
        while self._settling:
            self._settling.popleft().result()

    def _raise_what_failed(self) -> None:
        while self._settling and self._settling[0].done():
            self._settling.popleft().result()

    def still_allowed(self, numbers: Sequence[int]) -> Collection[int]:
        """The gate once more, for mails that have waited."""
        with db.reading() as session:
            if self._desk.halted(session):
                self._put_back.update(numbers)  # paused: nobody is excluded, they wait
                return ()
            held = handoffs.held(session, self._shift, numbers)
            rows = [self._out[number] for number in held]
            refused = self._desk.refusals(session, rows, now=db.utcnow())
            # Read after the gate: what it says is of the address that a person has by now.
            now_at = register.mailboxes(session, [row.person_id for row in rows])
        elsewhere = {row.id for row in rows if now_at.get(row.person_id, self._to[row.id]) != self._to[row.id]}
        waits = {number for number, why in refused.items() if isinstance(why, Broken)}
        self._put_back.update(waits | (elsewhere - refused.keys()))  # later; and written anew, to the new address
        return held - refused.keys() - elsewhere

    def settle(self, results: Sequence[Result]) -> None:
        """Have written down what became of mails. Raises what went wrong with that, or with earlier ones."""
        self._gait.heard(results, time.monotonic())
        back = [result.key for result in results if result.key in self._put_back and result.outcome in _UNTRIED]
        tried = [result for result in results if result.key not in back]
        settled = [self._settled(result) for result in tried]
        refused = [
            said
            for result, row in zip(tried, settled, strict=True)
            if row.state == "rejected" and (said := _refused(result))
        ]
        outcomes = [result.outcome for result in tried]
        self._settling.append(self._ask(self._write_down, settled, back, outcomes, refused))
        self._refused_us |= any(_about_us(result) for result in results)
        for result in results:
            self._out.pop(result.key, None)
            self._to.pop(result.key, None)
            self._put_back.discard(result.key)
            if result.outcome is Outcome.UNSENT or _about_us(result):
                self.report.trouble = observe.redact(result.text)
            elif result.outcome is not Outcome.EXCLUDED:
                self.report.trouble = None
        self._raise_what_failed()

    def _write_down(
        self,
        settled: Sequence[Settled],
        back: Sequence[int],
        outcomes: Collection[Outcome],
        refused: Sequence[Refused] = (),
    ) -> None:
        """Settle, put back, note what was refused for good. A restarted database is waited for: giving up makes
        uncertain what was answered."""
        blamed: Collection[tuple[int, int]] = ()
        for pause in (*(() if self._gave_up else _PATIENCE), None):
            try:
                with db.transaction() as session:
                    held = handoffs.settle(session, self._shift, settled)
                    if back:
                        handoffs.put_back(session, self._shift, back, now=db.utcnow())
                    if refused:
                        blamed = bounces.note_refused(session, refused, now=db.utcnow())
                break
            except (OperationalError, InternalError) as error:
                if pause is None:
                    self._gave_up = True  # what waits behind this tries once
                    raise
                _log.warning("settle_again", rows=len(settled), error=type(error.orig).__name__)
                time.sleep(pause)
        if held < len(settled):
            _log.warning("settled_too_late", rows=len(settled) - held, shift=self._shift)
        for outcome, number in Counter(outcomes).items():
            self._note(outcome, number)
        if blamed:
            with db.transaction() as session:
                bounces.watch(session, blamed)

    def _settled(self, result: Result) -> Settled:
        row, now = self._out[result.key], db.utcnow()
        # The four days count from a server's first answer, not from a pause, a stop or a relay that is away.
        state, again, put_off = str(result.outcome), None, False
        first = row.first_tried_at or now
        if result.outcome is Outcome.DEFERRED or _about_us(result):
            put_off = True
            again = failures.retry_at(row.kind, attempts=row.attempts, first=first, now=now)
            state = "deferred" if again else "rejected"
        elif result.outcome is Outcome.UNSENT:
            put_off = result.code is not None
            again = failures.unsent_until(attempts=row.attempts, first=first if put_off else now, now=now)
            state = "pending" if again else "rejected"
        reply = "the gate, read last: may not be mailed" if result.outcome is Outcome.EXCLUDED else result.text
        return Settled(row.id, state, result.at, result.code, reply, again, put_off)

    def _note(self, outcome: Outcome, number: int) -> None:
        if not number:
            return
        self.report.outcomes[outcome] = self.report.outcomes.get(outcome, 0) + number
        observe.count(f"handed_{outcome}", number)


def _later(row: Claimed, reason: str, now: datetime) -> Settled:
    again = failures.retry_at(row.kind, attempts=row.attempts, first=row.first_tried_at or now, now=now)
    return Settled(row.id, "deferred" if again else "rejected", now, None, reason, again, put_off=True)


def _refused(result: Result) -> Refused | None:
    """What a server said of a recipient or of the content; None: no server was reached, or it is we who could not."""
    if result.code is None or result.stage in (None, Stage.MAIL):
        return None
    return Refused(result.key, result.code, result.enhanced, result.text)


def _about_us(result: Result) -> bool:
    """A refusal of our MAIL command says nothing of the recipient: a relay that wants a password must not make a whole
    audience rejected. Such mails are tried again, and the run stops."""
    return result.outcome is Outcome.REJECTED and result.stage is Stage.MAIL
