"""Numbers and times in words, as readers of a language write them."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from babel import dates, numbers

from .. import i18n
from ..delivery import audience_query
from . import pages

_BETWEEN = re.compile(r"[\s,.'’]")
_DAY = {"fi": "d.M.y", "sv": "d MMM y", "en": "d MMM y"}
_LONG_DAY = {"fi": "EEEE d. MMMM y", "sv": "EEEE d MMMM y", "en": "EEEE d MMMM y"}
_CELL = {"fi": "d.M.y H.mm", "sv": "d MMM y H.mm", "en": "d MMM y, HH:mm"}


def number(value: float) -> str:
    """1,234 in English, 1 234 in Finnish and Swedish."""
    if isinstance(value, int) and 0 <= value < 1000:
        return str(value)  # the same in each language; a table has hundreds of them, and Babel takes 80 µs for each
    return str(numbers.format_decimal(value, format="#,##0", locale=i18n.locale(pages.language())))


def many(count: audience_query.Count) -> str:
    """How many recipients; of a large register only about, or no more than that there are fewer than so many."""
    if count.below:
        return pages.say("Fewer than %(number)s", number=number(count.audience))
    return pages.say("About %(number)s", number=number(count.audience)) if count.about else number(count.audience)


def rate(value: float) -> str:
    """A number with one decimal, while it is small."""
    form = "#,##0.0" if value < 9.95 else "#,##0"  # 9.95 would be written as 10.0
    return str(numbers.format_decimal(value, format=form, locale=i18n.locale(pages.language())))


def decimal(value: float) -> str:
    """A number with as many decimals as it has, two at most."""
    return str(numbers.format_decimal(value, format="#,##0.##", locale=i18n.locale(pages.language())))


def share(part: float, whole: float) -> str:
    """A part of a whole in per cent; a dash where there is no whole."""
    if not whole:
        return "–"
    # Rounded down: 100 % is said only of all.
    value = int(1000 * part / whole) / 1000
    form = "#,##0.0 %" if 0 < value < 0.1 else "#,##0 %"
    value = value if form == "#,##0.0 %" else int(100 * value) / 100
    return str(numbers.format_percent(value, format=form, locale=i18n.locale(pages.language())))


def lasting(seconds: float) -> str:
    """How long so many seconds are, roughly: "3 minutes"."""
    return str(
        dates.format_timedelta(
            timedelta(seconds=max(1, round(seconds))), granularity="second", threshold=1.5,
            locale=i18n.locale(pages.language()),
        )
    )  # fmt: skip


def clock(at: datetime, zone: ZoneInfo) -> str:
    """A time of day in a sentence: “klo 9.05”, “kl. 9.05”, “at 09:05”."""
    return _written(at, zone, i18n.CLOCK[pages.language()])


def clock_face(at: datetime, zone: ZoneInfo) -> str:
    """What the clock shows: “9.05”, “09:05”."""
    return _written(at, zone, "HH:mm" if pages.language() == "en" else "H.mm")


def moment(at: datetime, zone: ZoneInfo) -> str:
    """A day with its time, in a sentence: “22.11.2026 klo 9.05”."""
    return _written(at, zone, f"{_DAY[pages.language()]} {i18n.CLOCK[pages.language()]}")


def moment_in_a_cell(at: datetime, zone: ZoneInfo) -> str:
    """The same in a table, under a heading that tells what it is: “22.11.2026 9.05”."""
    return _written(at, zone, _CELL[pages.language()])


def moment_in_full(at: datetime, zone: ZoneInfo) -> str:
    """The same with the day of the week and the offset, where all hangs on it."""
    return _written(at, zone, f"{_LONG_DAY[pages.language()]} {i18n.CLOCK[pages.language()]} (OOOO)")


def day(of: date) -> str:
    """A day: “22.11.2026”, “22 Nov 2026”."""
    return str(dates.format_date(of, _DAY[pages.language()], locale=i18n.locale(pages.language())))


def long_day(at: datetime, zone: ZoneInfo) -> str:
    """A day with its month in words: “22. marraskuuta 2026”."""
    return str(dates.format_date(at.astimezone(zone), "long", locale=i18n.locale(pages.language())))


def _written(at: datetime, zone: ZoneInfo, form: str) -> str:
    return str(dates.format_datetime(at, form, tzinfo=zone, locale=i18n.locale(pages.language())))


def read(text: str) -> int | None:
    """A whole number as somebody typed it, with or without marks between its thousands; None: it is none."""
    digits = _BETWEEN.sub("", text)
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 12 else None
