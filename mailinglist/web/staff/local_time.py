"""A day and a time of day, as a form hands them in, in a list's time zone → the moment that is meant. Pure.

Where clocks are put forward, an hour of the clock does not exist; where they are put back, one comes twice. The first
is refused, and of the second one is asked which (`Twice`): a guess could send a bulletin an hour off.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from ...errors import BadInput
from ...stationery.sentences import SaidBadInput
from ...stationery.sentences import noted as _

_FARTHEST = timedelta(days=366)
_CLOCK = re.compile(r"([0-9]{1,2})[:.]([0-9]{2})(?::[0-9]{2})?")


class Twice(BadInput):
    """The clock shows this time twice on that day; either may be meant."""

    def __init__(self, first: datetime, second: datetime) -> None:
        super().__init__("This time comes twice on that day.")
        self.first, self.second = first, second


def read(day: str, clock: str, which: str, zone: ZoneInfo, *, now: datetime) -> datetime:
    """The moment in UTC. `which` is `first` or `second` of two that the clock shows alike; empty: not said.

    Raises SaidBadInput (no such time, past, or more than a year ahead), Twice.
    """
    local = datetime.combine(_day(day), _clock(clock), zone)
    first, second = (local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    if first.astimezone(zone).replace(tzinfo=None) != local.replace(tzinfo=None):
        raise SaidBadInput(
            _("That time does not exist on that day: the clocks are put forward past it. Choose another time.")
        )
    if first != second:
        if which not in ("first", "second"):
            raise Twice(first, second)
        return _checked(second if which == "second" else first, now)
    return _checked(first, now)


def _checked(at: datetime, now: datetime) -> datetime:
    if at <= now:
        raise SaidBadInput(_("This time has passed. Choose a later one, or send now."))
    if at - now > _FARTHEST:
        raise SaidBadInput(_("This is more than a year ahead. Choose an earlier time."))
    return at


def _day(text: str) -> date:
    try:
        found = date.fromisoformat(text.strip())
    except ValueError:
        found = date.min
    if not 1970 < found.year < 9000:
        raise SaidBadInput(_("Choose the day on which it shall go."))
    return found


def _clock(text: str) -> time:
    match = _CLOCK.fullmatch(text.strip())
    hour, minute = (int(match[1]), int(match[2])) if match else (99, 0)
    if hour > 23 or minute > 59:
        raise SaidBadInput(_("Choose the time of day at which it shall go, such as 9:00."))
    return time(hour, minute)
