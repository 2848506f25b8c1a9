"""The first page: what is still to be set, what needs attention, how the list grows, how many confirm, and the latest
bulletins.

Each part is a question of its own that an index answers, or rows that were counted before (`daily_counts`), so that it
takes the same time whatever the number of subscribers. Only how many stand where is a count of them all (0.16 s for a
million): it is kept for as long as it was dear.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from babel import numbers
from flask import Response, current_app, request, url_for
from sqlalchemy.orm import Session

from ... import db, i18n
from ...consent import growth, lists
from ...consent.tables import MailingList
from ...delivery import attention, catalogue
from ...delivery.attention import Need, Place
from ...doctor import readiness
from ...doctor.readiness import Page
from ...privacy import needs
from ...staff.levels import Right
from .. import figures, pages
from ..guards import Guard, Route
from . import frame, words_of_bulletins, writing
from .plot import Plot, joined, lost, plot

SPANS = (30, 90, 365)
"""Days that the plot can be of."""
_MOST_LISTS = 10
_LATEST = 5
# A count of all subscribers is kept for so many times what it took: a million for a minute, a few not for an instant.
_KEPT_TIMES = 300
_KEPT = "mailinglist_standing"


_RIGHTS = {Page.STAFF: Right.ACCOUNTS}
"""Who is told what is still to be set, where it is not those who set it for a list."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A need in words."""

    what: str
    mend: str
    address: str
    grave: bool
    list: str
    """The list's name, where there are several."""


def look() -> Response:
    """GET: what there is to do. `days` is how far the plot reaches back."""
    asked = request.args.get("days", "")
    span = int(asked) if asked in map(str, SPANS) else SPANS[1]
    now = db.utcnow()
    today = now.date()
    with frame.looking() as session:
        row = frame.current_list(session)
        name, slug = lists.name_in(row, pages.language()), row.slug
        every = lists.every(session)
        wanting = _needs(session, every[:_MOST_LISTS])
        ahead = _ahead(session, every[:_MOST_LISTS])
        days = growth.by_day(session, row.id, since=today - timedelta(days=span - 1), until=today)
        confirming = growth.confirming(session, row.id, since=today - timedelta(days=29))
        standing = _standing(session, row.id)
        latest = catalogue.page(session, row.id, limit=_LATEST)
    drawn = plot(days)
    return frame.page(
        "home", here="home", needs=wanting, ahead=ahead, list_name=name, slug=slug, plot=drawn, span=span,
        spans=_spans(), since=days[0].day, until=days[-1].day,
        rows=[each for each in reversed(drawn.days) if joined(each) or lost(each)], joined=joined, lost=lost,
        totals={what: sum(getattr(day, what) for day in days) for what in growth.Day.__slots__ if what != "day"},
        confirming=confirming, standing=standing,
        steps=_steps(slug, standing), latest=_latest(latest), title=writing.title, number=figures.number,
        on_day=figures.day, share=_share(confirming.confirmed, confirming.asked), caption=_caption(drawn, days[0].day),
    )  # fmt: skip


def _steps(slug: str, standing: Mapping[str, int]) -> list[tuple[str, str]]:
    """What one does first, in words and where; none once anybody is on record, and none for which one has no right."""
    if any(standing.values()):
        return []
    steps = (
        ("settings", pages.say("Say who sends: the list's settings"), url_for("list_settings.general", slug=slug)),
        ("transfer", pages.say("Bring in the people who are on a list elsewhere"), url_for("transfer.index")),
        ("write", pages.say("Write the first bulletin"), url_for("bulletins.form")),
    )
    return [(words, address) for right, words, address in steps if frame.may(right)]


def _standing(session: Session, list_id: int) -> Mapping[str, int]:
    """How many stand where: as it is, or was a moment ago."""
    kept: dict[int, tuple[float, Mapping[str, int]]] = current_app.extensions.setdefault(_KEPT, {})
    began = time.monotonic()
    until, counts = kept.get(list_id, (0.0, {}))
    if began >= until:
        counts = growth.standing(session, list_id)
        now = time.monotonic()
        kept[list_id] = now + _KEPT_TIMES * (now - began), counts
    return counts


def _needs(session: Session, rows: Sequence[MailingList]) -> list[Shown]:
    now = db.utcnow()
    found = [
        Shown(
            pages.say(need.what.words, **need.what.values), pages.say(need.mend.words, **need.mend.values), address,
            need.grave, lists.name_in(row, pages.language()) if len(rows) > 1 else "",
        )
        for row in rows
        for need in (*attention.of_list(session, row, now=now), *needs.of_list(session, row, now=now))
        if (address := _address(need, row)) is not None
    ]  # fmt: skip
    return sorted(found, key=lambda each: not each.grave)


def _ahead(session: Session, rows: Sequence[MailingList]) -> list[Shown]:
    """What is to be set before the first real bulletin, for those whose right it is."""
    names = {row.slug: lists.name_in(row, pages.language()) for row in rows}
    return [
        Shown(
            pages.say(point.words.words, **point.words.values), pages.say(point.mend.words, **point.mend.values),
            _where(point), False, names[point.list] if point.list else "",
        )
        for point in readiness.points(session, pages.settings(), now=db.utcnow())
        if frame.may(_RIGHTS.get(point.page, Right.SETTINGS)) and (not point.list or point.list in names)
    ]  # fmt: skip


def _where(point: readiness.Point) -> str:
    match point.page:
        case Page.GENERAL:
            return url_for("list_settings.general", slug=point.list)
        case Page.NOTICE:
            return url_for("list_settings.privacy", slug=point.list)
        case Page.STAFF:
            return url_for("colleagues.index")
        case Page.SERVER:
            return ""


def _address(need: Need, row: MailingList) -> str | None:
    """The page where it is met; None: this is not for who is signed in. Empty: there is no page for it."""
    match need.place:
        case Place.BULLETIN:
            return f"{url_for('home.look')}bulletins/{need.about}"
        case Place.IMPORT:
            return f"{url_for('home.look')}imports/{need.about}" if frame.may(Right.TRANSFER) else None
        case Place.TASKS:
            return f"{url_for('home.look')}tasks" if frame.may(Right.PERSONS) else None
        case Place.BOUNCES:
            return url_for("returned_pages.bounces", list=row.slug) if frame.may(Right.RECIPIENTS) else ""
        case Place.COMPLAINTS:
            return url_for("complaint_pages.look", list=row.slug)
        case Place.MAIL:
            return url_for("incoming_pages.index") if frame.may(Right.PERSONS) else None
        case Place.PROGRAMS:
            return url_for("program_pages.index") if frame.may(Right.ACCOUNTS) else None
        case Place.LIST:
            return ""


def _latest(lines: Sequence[catalogue.Line]) -> list[tuple[catalogue.Line, tuple[str, str], str]]:
    return [
        (line, words_of_bulletins.state(line.state, held=line.held), f"{url_for('home.look')}bulletins/{line.id}")
        for line in lines
    ]


def _spans() -> list[tuple[str, str, str]]:
    words = {30: pages.say("30 days"), 90: pages.say("90 days"), 365: pages.say("A year")}
    return [(str(span), words[span], url_for("home.look", days=span)) for span in SPANS]


def _caption(drawn: Plot, since: date) -> str:
    """The picture in a sentence. `since`: its first day; the first week of a year began before."""
    came, went = sum(map(joined, drawn.days)), sum(day.left + day.undeliverable for day in drawn.days)
    return pages.say(
        "From %(since)s to today, %(came)s joined and %(went)s left or became undeliverable. Bans: %(banned)s.",
        since=figures.day(since), came=figures.number(came), went=figures.number(went),
        banned=figures.number(sum(day.banned for day in drawn.days)),
    )  # fmt: skip


def _share(part: int, whole: int) -> str:
    return numbers.format_percent(part / whole, locale=i18n.locale(pages.language())) if whole else ""


ROUTES = (Route("GET", "/staff/", look, Guard.STAFF, right=Right.SEE),)
