"""Days as forms hand them in, in the zone of the lists."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Europe/Helsinki")
_YEARS = range(1970, 9000)
"""Others have no beginning in UTC, or no next day."""


def day_of(text: str) -> date | None:
    """The day that `text` (2026-11-22) names; None: none that a form could mean."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day.year in _YEARS else None


def beginning(day: date) -> datetime:
    """When the day begins."""
    return datetime.combine(day, time(), ZONE)


def ending(day: date) -> datetime:
    """When it is over."""
    return beginning(day + timedelta(days=1))


def last_day(until: datetime | None) -> str:
    """The last whole day before `until`, as a form shows it; empty: there is no end."""
    return (until.astimezone(ZONE) - timedelta(seconds=1)).date().isoformat() if until else ""
