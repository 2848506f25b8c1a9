"""What goes by itself: the rules with their periods, what would go next, and what went on which day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from itertools import groupby

from babel import dates, numbers
from flask import Response, request, url_for

from ... import db, i18n
from ...privacy import retention
from ...staff.levels import Right
from .. import pages
from ..guards import Guard, Route
from . import days, frame

_LINES = 60 * len(retention.NAMES)
_DAYS = 30


def look() -> Response:
    """GET: the rules, and the days on which something went, the latest first."""
    before = days.day_of(request.args.get("before", ""))
    now = db.utcnow()
    with frame.looking() as session:
        due = retention.due(session, now=now)
        gone = retention.gone(session, before=before, limit=_LINES)
    words = rules()
    by_day = [(day, list(each)) for day, each in groupby(gone, key=lambda each: each.day)]
    shown = [(_day(day), [(words[each.rule][0], each.number) for each in went]) for day, went in by_day[:_DAYS]]
    more = len(by_day) > _DAYS
    return frame.page(
        "office/retention", here="retention",
        rules=[(*words[each.rule.name], each.days, each.number) for each in due],
        days=shown, number=_number,
        next_url=url_for("retention_page.look", before=by_day[_DAYS - 1][0].isoformat()) if more else None,
        first_url=url_for("retention_page.look") if before else None,
    )  # fmt: skip


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
        "uploads": (pages.say("Uploaded files that nobody decided about"), pages.say("Nobody needs them.")),
        "answers": (pages.say("Answers of mail servers"), pages.say("Old failures say nothing any more.")),
        "returned": (
            pages.say("What mail servers said of mails that failed"),
            pages.say("Old failures say nothing any more."),
        ),
        "incoming": (pages.say("Mails that came in and were dealt with"), pages.say("Nobody needs them.")),
        "tasks": (
            pages.say("Requests of persons that were answered"),
            pages.say("That they were answered can be shown for so long."),
        ),
        "disclosures": (
            pages.say("Disclosures of which nobody is in the register any more"),
            pages.say("There is nobody left to tell of them."),
        ),
    }


def _number(number: int) -> str:
    return numbers.format_decimal(number, locale=i18n.locale(pages.language()))


def _day(day: date) -> str:
    return dates.format_date(day, "medium", locale=i18n.locale(pages.language()))


ROUTES = (Route("GET", "/staff/retention", look, Guard.STAFF, right=Right.RETENTION),)
