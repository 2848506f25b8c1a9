"""How fast bulletins go: the rate that all workers share, and the step that one worker takes after the server's
answers.

The shared rate is a line of slots in time, in the database: whoever wants to hand over `n` mails reserves the next
`n` slots, and waits until they begin. The step (`Gait`) is pure: additive increase, multiplicative decrease, as TCP
does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from ..db import insert_new
from .parcels import Outcome, Result
from .tables import Line

_LATE = timedelta(seconds=0.1)
_CLOCKS_DIFFER = 2.0  # seconds, between two machines
_SLICES = 20  # a second is reserved in so many pieces: no second gets much more than its share


def portion(rate: float, most: int) -> int:
    """How many mails to take at a time at `rate` a second."""
    return max(1, min(most, int(rate / _SLICES)))


def wait(session: Session, name: str, *, rate: float, now: datetime) -> float:
    """Seconds until the next slot of the line `name` is free, less what a worker may be early; at least 0.

    The line is locked until the end of the transaction: what is found free may be reserved. Nobody reserves further
    ahead than one group: a slot later than that was reserved by a clock that has been set back since.
    """
    session.execute(insert_new(session, Line).values(name=name, free_at=now).on_conflict_do_nothing())
    free_at = session.scalar(select(Line.free_at).where(Line.name == name).with_for_update()) or now
    ahead = (free_at - now).total_seconds()
    return 0.0 if ahead > max(1 / rate, 1 / _SLICES) + _CLOCKS_DIFFER else max(0.0, ahead)


def reserve(session: Session, name: str, *, number: int, rate: float, now: datetime) -> None:
    """Take the slots for `number` mails that go now, after `wait` was 0.

    Slots that nobody took in time are gone, but for the last tenth of a second, which is what a worker may be late.
    """
    free_at = session.scalar(select(Line.free_at).where(Line.name == name)) or now
    begins = max(min(free_at, now), now - _LATE)
    session.execute(update(Line).where(Line.name == name).values(free_at=begins + timedelta(seconds=number / rate)))


@dataclass(slots=True)
class Gait:
    """One worker's own limit, while servers say that it is too fast; none until they do. Times are monotonic
    seconds."""

    rate: float | None = None
    """Mails a second; None: as fast as it goes."""
    _free_at: float = 0.0
    _changed_at: float = field(default=0.0)
    _recent: float = 0.0
    _since: float = 0.0

    def heard(self, results: Sequence[Result], now: float) -> None:
        """Learn from answers. Halves at most once a second, and gains a twentieth of the highest rate each second."""
        self._count(len(results), now)
        if any(_throttled(result) for result in results):
            if now - self._changed_at >= 1 or self.rate is None:
                self.rate = max(1.0, (self.rate or max(self._recent, 2.0)) / 2)
                self._changed_at = now
        elif self.rate is not None and now - self._changed_at >= 1:
            self.rate += max(1.0, self._recent / 20)
            self._changed_at = now
            if self.rate > 2 * max(self._recent, 50.0):
                self.rate = None  # it no longer binds

    def wait(self, now: float) -> float:
        """Seconds until more may go."""
        return 0.0 if self.rate is None else max(0.0, self._free_at - now)

    def take(self, number: int, now: float) -> None:
        """`number` mails go now."""
        if self.rate is not None:
            self._free_at = max(self._free_at, now) + number / self.rate

    def _count(self, number: int, now: float) -> None:
        """Mails a second, over the last seconds."""
        passed = max(now - self._since, 0.001) if self._since else 1.0
        share = min(1.0, passed)
        self._recent = (1 - share) * self._recent + share * number / passed
        self._since = now


def _throttled(result: Result) -> bool:
    """A temporary refusal that is about how fast we are: 421, or 4.7.x and 4.3.2 and the words servers use."""
    if result.outcome not in (Outcome.DEFERRED, Outcome.UNSENT) or result.code is None:
        return False
    if result.code == 421 or (result.enhanced or "").startswith(("4.7.", "4.3.2")):
        return True
    words = result.text.lower()
    return any(word in words for word in ("too many", "rate limit", "throttl", "too fast", "slow down"))
