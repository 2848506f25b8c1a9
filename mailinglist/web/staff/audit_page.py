"""The audit: who did, or looked at, what. Filters stand in the address, and pages go by key."""

from __future__ import annotations

from datetime import date
from typing import Any

from flask import Response, request, url_for

from ...staff import audit
from ...staff.levels import Right
from .. import pages, words_of_acts
from ..guards import Guard, Route
from . import asked, frame, words_of_details
from .days import beginning, day_of, ending

_A_PAGE = 50
_FILTERS = ("who", "act", "about", "since", "until")


def look() -> Response:
    """GET: the newest first, of those that the filters let through."""
    values = {name: request.args.get(name, "").strip()[:200] for name in _FILTERS}
    values["about"] = words_of_acts.about_meant(values["about"])
    errors: dict[str, str] = {}
    since, until = _day(values, "since", errors), _day(values, "until", errors)
    before = asked.row("before", largest=asked.LONG_ROW)
    with frame.looking() as session:
        found = audit.search(
            session,
            who=_who(values["who"]),
            act=values["act"] or None,
            about=values["about"] or None,
            since=beginning(since) if since else None,
            until=ending(until) if until else None,
            before_id=before,
            limit=_A_PAGE + 1,
        )
        noted = audit.acts(session)
    words = {name: words_of_acts.act(name) for name in noted}
    kept: dict[str, Any] = {name: value for name, value in values.items() if value}
    more = len(found) > _A_PAGE
    return frame.page(
        "audit", 422 if errors else 200, here="audit", errors=errors, values=values, entries=found[:_A_PAGE],
        words=words_of_acts.act, who_words=words_of_acts.who, about_words=words_of_acts.about,
        details=words_of_details.details,
        acts=[("", pages.say("Every act")), *sorted(((each, words[each]) for each in noted), key=lambda item: item[1])],
        next_url=url_for("audit_page.look", **kept, before=found[_A_PAGE - 1].id) if more else None,
        first_url=url_for("audit_page.look", **kept) if before is not None else None,
    )  # fmt: skip


def _who(text: str) -> int | str | None:
    """An account's number, or a part of a name."""
    number = asked.whole(text)
    return words_of_acts.who_meant(text) or None if number is None else number


def _day(values: dict[str, str], name: str, errors: dict[str, str]) -> date | None:
    found = day_of(values[name])
    if values[name] and found is None:
        errors[name] = pages.say("That is not a day.")
    return found


ROUTES = (Route("GET", "/staff/audit", look, Guard.STAFF, right=Right.AUDIT),)
