"""How long ago something was: one rule, also for what is dated later than it is now. And a moment as programs are told.

A machine's clock may be ahead for a while, and then be put right. What was written down meanwhile is dated in the
future. It is no news of today: a backup that will have been made in a month is no reason to make none until then. So a
moment that is to come never counts as recent. Clocks of two machines differ by a little, and SLACK is let pass.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

SLACK = timedelta(minutes=5)
"""By how much two clocks may differ."""


def latest(now: datetime) -> datetime:
    """What is dated later than this was dated by a clock that was wrong; for conditions in SQL."""
    return now + SLACK


def ahead(at: datetime, now: datetime) -> bool:
    """Whether a moment is to come, and so was written down by a clock that was wrong."""
    return at > latest(now)


def recent(at: datetime, now: datetime, within: timedelta) -> bool:
    """Whether a moment was less than `within` ago. One that is to come was not."""
    return now - within < at and not ahead(at, now)


def exact(value: Any) -> Any:
    """`value`, a moment as RFC 3339 in UTC with milliseconds (SURFACE)."""
    if not isinstance(value, datetime):
        return value
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
