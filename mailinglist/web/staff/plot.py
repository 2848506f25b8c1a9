"""How a list grew, as a picture made here: bars by day, joins upwards, and what made the list smaller downwards.

Pure. Every number of it stands in a table beside it, for who does not see it, and for who wants to know exactly. It
takes no more than MOST_BARS bars: longer times are drawn by week.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from math import ceil

from ...consent.growth import Day

MOST_BARS = 120

# The height, in tenths; a day that is far above the others (an import) is cut off, so that the others can be seen.
_TENTHS = 10
_FAR = 6


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a bar: what it counts, and where it is drawn."""

    what: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Plot:
    """The picture: `width` × `height` units, without any words in it."""

    width: int
    height: int
    zero: float
    up: int
    """What the top stands for …"""
    down: int
    """… and the bottom."""
    share: int
    """Tenths of the height that lie above zero."""
    pieces: tuple[Piece, ...]
    cut: tuple[Day, ...]
    """Drawn shorter than they are."""
    days: tuple[Day, ...]
    """Each bar; by weeks, the first day of each."""
    weekly: bool


def joined(day: Day) -> int:
    """How many came."""
    return day.confirmed + day.imported + day.restored


def lost(day: Day) -> int:
    """How many went; bans of addresses that are on no list are among them."""
    return day.left + day.undeliverable + day.banned


def plot(days: Sequence[Day]) -> Plot:
    """The picture of these days, which follow each other."""
    weekly = len(days) > MOST_BARS
    bars = _weeks(days) if weekly else tuple(days)
    most_up, most_down = _limit([joined(bar) for bar in bars]), _limit([lost(bar) for bar in bars])
    share = min(max(round(_TENTHS * most_up / (most_up + most_down)), 3), 8) if most_up + most_down else 5
    unit = max(ceil(most_up / share), ceil(most_down / (_TENTHS - share)), 1)  # people in one tenth of the height
    up, down = unit * share, unit * (_TENTHS - share)
    height, step = 100, 10
    zero = height * share / _TENTHS
    pieces: list[Piece] = []
    for place, bar in enumerate(bars):
        pieces += _stack(bar, ("confirmed", "restored", "imported"), place * step, zero, -zero / up, zero)
        pieces += _stack(
            bar, ("left", "undeliverable", "banned"), place * step, zero, (height - zero) / down, height - zero
        )
    cut = tuple(bar for bar in bars if joined(bar) > up or lost(bar) > down)
    return Plot(max(len(bars), 1) * step, height, zero, up, down, share, tuple(pieces), cut, bars, weekly)


def _stack(bar: Day, whats: Sequence[str], x: float, zero: float, per_person: float, room: float) -> list[Piece]:
    made: list[Piece] = []
    used = 0.0
    for what in whats:
        height = min(abs(getattr(bar, what) * per_person), room - used)
        if height > 0:
            y = zero - used - height if per_person < 0 else zero + used
            made.append(Piece(what, x + 1, round(y, 2), 8, round(height, 2)))
            used += height
    return made


def _limit(numbers: Sequence[int]) -> int:
    """What the picture reaches to: the highest, unless it is far above all the others."""
    ordered = sorted(numbers, reverse=True) or [0]
    highest, usual = ordered[0], next((number for number in ordered if number * _FAR < ordered[0]), 0)
    within = [number for number in ordered if number * _FAR >= highest]
    return usual * 2 if usual and len(within) <= max(1, len(ordered) // 20) else highest


def _weeks(days: Sequence[Day]) -> tuple[Day, ...]:
    def monday(day: Day) -> date:
        return day.day - timedelta(days=day.day.weekday())

    def total(week: list[Day], what: str) -> int:
        return sum(getattr(day, what) for day in week)

    return tuple(
        Day(first, **{what: total(week, what) for what in Day.__slots__ if what != "day"})
        for first, group in groupby(days, monday)
        for week in [list(group)]
    )
