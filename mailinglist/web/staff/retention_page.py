"""What goes by itself: the rules with their periods, what would go next, and what went on which day.

What would go next is counted by looking through whole tables: at a million persons that takes seconds. So the page
comes without it, or with what was counted a moment ago and when, and else asks for it (htmx; a link without scripts).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from flask import Response, current_app, request, url_for

from ... import db
from ...privacy import retention
from ...staff.levels import Right
from .. import figures, pages
from ..guards import Guard, Route
from . import asked, frame

_LINES = 60 * len(retention.NAMES)
_DAYS = 30
# Kept for so many times what it took: eight seconds for forty minutes, a few rows not for an instant.
_KEPT_TIMES = 300
_KEPT = "mailinglist_goes_next"


@dataclass(frozen=True, slots=True)
class Counted:
    """How much each rule would let go, as it was counted at a moment."""

    at: datetime
    numbers: Mapping[str, int]
    until: float
    """Until when this is good enough (`time.monotonic`)."""


def look() -> Response:
    """GET: the rules, and the days on which something went, the latest first; `now` counts what goes first."""
    before = asked.day("before")
    shown = _rules(_count() if "now" in request.args else _kept())
    with frame.looking() as session:
        gone = retention.gone(session, before=before, limit=_LINES)
    by_day = [(day, list(each)) for day, each in groupby(gone, key=lambda each: each.day)]
    words = rules()
    went_on = [
        (figures.day(day), [(words[each.rule][0], each.number) for each in went]) for day, went in by_day[:_DAYS]
    ]
    more = len(by_day) > _DAYS
    return frame.page(
        "office/retention", here="retention",
        days=went_on, number=figures.number, **shown,
        next_url=url_for("retention_page.look", before=by_day[_DAYS - 1][0].isoformat()) if more else None,
        first_url=url_for("retention_page.look") if before else None,
    )  # fmt: skip


def counted() -> Response:
    """GET, by the script: the rules, with how much each would let go."""
    return frame.part("office/retention_rules", number=figures.number, **_rules(_kept() or _count()))


def _rules(known: Counted | None) -> dict[str, Any]:
    words = rules()
    with frame.looking() as session:
        after = retention.days(session)
    return {
        "rules": [(*words[name], after[name], known.numbers[name] if known else None) for name in retention.NAMES],
        "counted_at": known.at if known else None,
    }


def _kept() -> Counted | None:
    """What this process counted a moment ago; None: nothing, or too long ago."""
    found: Counted | None = current_app.extensions.get(_KEPT)
    return found if found and time.monotonic() < found.until else None


def _count() -> Counted:
    began, now = time.monotonic(), db.utcnow()
    with frame.looking() as session:
        numbers = {each.rule.name: each.number for each in retention.due(session, now=now)}
    ended = time.monotonic()
    found = Counted(now, numbers, ended + _KEPT_TIMES * (ended - began))
    current_app.extensions[_KEPT] = found
    return found


def rules() -> Mapping[str, tuple[str, str]]:
    """What goes by each rule, and why, in the language of the page."""
    return {
        "unanswered": (
            pages.say("Requests to join that nobody answered, with the address"),
            pages.say("No consent came of it."),
        ),
        "requests": (pages.say("Notes of requests that were dealt with"), pages.say("They have served.")),
        "left": (
            pages.say("Persons who left the last list, with all that is held about them"),
            pages.say("The proof of their consent is not needed for longer: claims are out of time."),
        ),
        "evidence": (
            pages.say("Evidence of an earlier consent, of persons who are on the list again"),
            pages.say("The newer consent has its own."),
        ),
        "audit": (pages.say("Lines of the audit"), pages.say("Access to data can be looked into for so long.")),
        "sign_ins": (pages.say("Sign-ins and links of staff that are over"), pages.say("The audit tells of them.")),
        "programs": (
            pages.say("Tokens of other systems that are over"),
            pages.say("The audit names them for so long."),
        ),
        "uploads": (pages.say("Uploaded files that nobody decided about"), pages.say("Nobody needs them.")),
        "answers": (pages.say("Answers of mail servers"), pages.say("Old failures say nothing any more.")),
        "returned": (
            pages.say("What mail servers said of mails that failed"),
            pages.say("Old failures say nothing any more."),
        ),
        "incoming": (pages.say("Mails that came in and were dealt with"), pages.say("Nobody needs them.")),
        "unread": (
            pages.say("Mails that waited for a person, and nobody dealt with"),
            pages.say("Nobody needed them for so long. The list's owner was told two weeks before."),
        ),
        "tasks": (
            pages.say("Requests of persons that were answered"),
            pages.say("That they were answered can be shown for so long."),
        ),
        "disclosures": (
            pages.say("Disclosures of which nobody is in the register any more"),
            pages.say("There is nobody left to tell of them."),
        ),
    }


ROUTES = (
    Route("GET", "/staff/retention", look, Guard.STAFF, right=Right.RETENTION),
    Route("GET", "/staff/retention/counted", counted, Guard.STAFF, right=Right.RETENTION),
)
