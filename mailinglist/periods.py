"""How long things are kept: each period by its name, in days, with what it may be set to. Pure.

The reasons stand with the rules that go by these periods (`privacy.retention.RULES`). `MAILINGLIST_KEEP` sets some of
them otherwise, as `name=days`, comma-separated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Period:
    """One period, in days: what it is, and between what it may be set."""

    days: int
    least: int
    most: int = 36_500


EVIDENCE_AT_LEAST = 3 * 365
"""Days. Evidence that is younger than this goes by an erasure only: `ledger verify` holds missing evidence against
it."""

PERIODS: Mapping[str, Period] = {
    "unanswered": Period(30, least=1, most=365),
    "evidence": Period(EVIDENCE_AT_LEAST, least=EVIDENCE_AT_LEAST),
    "audit": Period(2 * 365, least=366),  # the database refuses to delete what is younger than a year
    "sign_ins": Period(30, least=1, most=731),
    "uploads": Period(7, least=1, most=90),
    "answers": Period(365, least=7),
    "incoming": Period(30, least=7, most=731),  # a server may hand in a mail for some days; it must still be known
    "unread": Period(90, least=30, most=731),
    "tasks": Period(2 * 365, least=30),
    "disclosures": Period(3 * 365, least=365),
}

DEFAULTS: Mapping[str, int] = {name: period.days for name, period in PERIODS.items()}


def days_of(chosen: Iterable[str]) -> dict[str, int]:
    """Every period in days; `chosen` are those that are set, as `name=days`. Raises ValueError, in words."""
    found = dict(DEFAULTS)
    for item in chosen:
        name, equals, number = (part.strip() for part in item.partition("="))
        if name not in PERIODS:
            raise ValueError(f"there is no such period; known are {', '.join(PERIODS)}")
        period = PERIODS[name]
        if not equals or not number.isdecimal() or not period.least <= int(number[:9]) <= period.most:
            raise ValueError(f"{name} takes from {period.least} to {period.most} days, as {name}={period.days}")
        found[name] = int(number)
    return found
