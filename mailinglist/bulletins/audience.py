"""Who a bulletin is for: a rule that narrows the list down; and its JSON.

Pure. A rule only ever takes away from who is active on the list: nothing in it reaches anybody else, and the gate is
asked about each person besides. All that is set must hold.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import Any

from ..i18n import LANGUAGES
from ..stationery.sentences import SaidBadInput
from ..stationery.sentences import noted as _

EVERYBODY = "{}"
"""The rule "all who are active on the list", as canonical JSON."""

BASES = ("consent", "customer", "organisation")
_LAST_ID = 2**31 - 1
# Days near the ends of the calendar have no time in UTC: the audience could not be asked for.
_FIRST_DAY, _LAST_DAY = date(1900, 1, 1), date(2200, 1, 1)


@dataclass(frozen=True, slots=True)
class Rule:
    """Each that is empty takes nobody away."""

    languages: tuple[str, ...] = ()
    joined_after: date | None = None
    """On this day or later, in the list's time zone: when the person became active last."""
    joined_before: date | None = None
    """Before this day."""
    bases: tuple[str, ...] = ()
    source: str | None = None
    """Where an import came from; `confirmed` for those who joined by themselves."""
    sent: int | None = None
    """Only who was sent this bulletin: the mail server took it, or may have."""
    not_sent: int | None = None
    """Only who was not."""

    def __bool__(self) -> bool:
        return self != Rule()


def read(source: str) -> Rule:
    """The rule that `write` wrote. Raises BadInput."""
    try:
        raw = json.loads(source)
    except (ValueError, RecursionError):
        raise SaidBadInput(_("This audience can't be understood.")) from None
    return rule(raw)


def rule(raw: object) -> Rule:
    """The rule in a structure as JSON has it; what is None or empty is not set. Raises BadInput."""
    names = {each.name for each in fields(Rule)}
    if not isinstance(raw, Mapping) or not raw.keys() <= names:
        raise SaidBadInput(_("This audience can't be understood."))
    made = Rule(
        languages=_some(raw.get("languages"), LANGUAGES),
        joined_after=_day(raw.get("joined_after")),
        joined_before=_day(raw.get("joined_before")),
        bases=_some(raw.get("bases"), BASES),
        source=_words(raw.get("source")),
        sent=_number(raw.get("sent")),
        not_sent=_number(raw.get("not_sent")),
    )
    if made.joined_after and made.joined_before and made.joined_after >= made.joined_before:
        raise SaidBadInput(_("Nobody joined both after and before these days."))
    if made.sent is not None and made.sent == made.not_sent:
        raise SaidBadInput(_("Nobody was both sent a bulletin and not sent it."))
    return made


def write(rule: Rule) -> str:
    """The rule as canonical JSON: only what is set, in one order."""
    held = {each.name: getattr(rule, each.name) for each in fields(Rule)}
    plain = {
        name: value.isoformat() if isinstance(value, date) else value
        for name, value in held.items()
        if value not in (None, ())
    }
    return json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _some(raw: Any, known: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `known` that are named; naming none is naming all."""
    items = [] if raw is None else raw
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) and item in known for item in items):
        raise SaidBadInput(_("This audience can't be understood."))
    named = tuple(each for each in known if each in items)
    return () if named == known else named


def _day(raw: Any) -> date | None:
    if raw is None or raw == "":
        return None
    try:
        day = date.fromisoformat(raw)
    except (TypeError, ValueError):
        raise SaidBadInput(_("A day is written like 2026-11-30.")) from None
    if not _FIRST_DAY <= day <= _LAST_DAY:
        raise SaidBadInput(_("Choose a day between the years 1900 and 2200."))
    return day


def _words(raw: Any) -> str | None:
    if raw is None or raw == "":
        return None
    if not isinstance(raw, str) or len(raw) > 200 or "\x00" in raw:
        raise SaidBadInput(_("This audience can't be understood."))
    return raw.strip() or None


def _number(raw: Any) -> int | None:
    if raw is None or raw == "":
        return None
    if type(raw) is not int or not 0 < raw <= _LAST_ID:
        raise SaidBadInput(_("An earlier bulletin is named by its number."))
    return raw
