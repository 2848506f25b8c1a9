"""Complaints: how many recipients reported bulletins as unwanted; and, where too many did, who, and letting the list go
on."""

from __future__ import annotations

from flask import Response, request

from ... import db
from ...bulletins import setting
from ...consent import lists
from ...delivery import complaints, returned
from ...errors import NotAllowed
from ...staff import audit
from ...staff.levels import Right
from .. import figures, pages
from ..guards import Guard, Route
from . import frame, persons, returned_pages


def look() -> Response:
    """GET: the rates, and what holds the list."""
    now = db.utcnow()
    with frame.looking() as session:
        row = frame.current_list(session)
        rate = complaints.in_span(session, row.id, now=now)
        hold = complaints.held(session, row.id)
        bulletins = [
            (setting.title(each.subject), each, complaints.of_bulletin(session, each.id))
            for each in returned.by_bulletin(session, row.id)
        ]
        name = persons.list_name(row)
        # Addresses are for those who see recipients. When they joined says whether a few came to complain.
        by = complaints.complainants(session, hold) if hold is not None else []
    seen = frame.may(Right.RECIPIENTS)
    if by and seen:
        with db.transaction() as session:
            audit.note(
                session, "complainants_seen", by=frame.actor(), now=now, number=len(by), list=row.slug,
                persons=sorted({each.person_id for each in by if each.address is not None}),
            )  # fmt: skip
    titles = {each.id: title for title, each, _rate in bulletins}
    return frame.page(
        "returned/complaints", here="returned", tabs_of=returned_pages.ways(row.slug), list_name=name, slug=row.slug,
        rate=rate, hold=hold, about=titles.get(hold.bulletin_id, "") if hold else "", bulletins=bulletins,
        number=figures.number, decimal=figures.rate, by=by, seen=seen,
    )  # fmt: skip


def go_on() -> Response:
    """POST: the list's bulletins go on."""
    try:
        with db.transaction() as session:
            row = lists.find(session, request.form.get("list", ""))
            by = frame.actor()
            hold = complaints.go_on(session, row.id, by=by.who, now=db.utcnow())
            audit.note(
                session, "hold_lifted", by=by, about=f"list {row.id}", now=db.utcnow(), complaints=hold.complaints,
                mails=hold.mails,
            )  # fmt: skip
    except NotAllowed as error:
        return frame.go_to("complaint_pages.look", pages.reason(error))
    return frame.go_to("complaint_pages.look", pages.say("Sending goes on."), list=row.slug)


ROUTES = (
    Route("GET", "/staff/complaints", look, Guard.STAFF, right=Right.SEE),
    Route("POST", "/staff/complaints/go-on", go_on, Guard.STAFF, right=Right.SEND, fresh=True),
)
