"""Templates: a list's own patterns for new bulletins."""

from __future__ import annotations

from flask import Response

from ... import db
from ...bulletins import drafts
from ...staff.levels import Right
from .. import pages
from ..guards import Guard, Route
from . import frame, writing


def index() -> Response:
    """GET: the list's own templates, newest first."""
    with frame.looking() as session:
        row = frame.current_list(session)
        own = drafts.templates(session, row.id)
    return frame.page(
        "bulletins/templates", here="templates", list_name=row.name,
        own=[(each, writing.title_of(each)) for each in own],
    )  # fmt: skip


def keep(number: int) -> Response:
    """POST: a template with a bulletin's content."""
    now = db.utcnow()
    with db.transaction() as session:
        made = drafts.as_template(session, writing.find_open(session, number), by=writing.author(), now=now)
        writing.note(session, "template_made", made.id, now=now, of=f"bulletin {number}")
    return frame.go_to("templates.index", pages.say("Kept as a template. The bulletin stays as it is."))


def begin(number: int) -> Response:
    """POST: a new bulletin from a template."""
    now = db.utcnow()
    with db.transaction() as session:
        made = drafts.from_template(session, drafts.find(session, number), by=writing.author(), now=now)
        writing.note(session, "bulletin_begun", made.id, now=now, start=f"bulletin {number}")
    return frame.go_to("editor.look", number=made.id)


ROUTES = (
    Route("GET", "/staff/templates", index, Guard.STAFF, right=Right.WRITE),
    Route("POST", "/staff/templates/<int:number>/begin", begin, Guard.STAFF, right=Right.WRITE),
    Route("POST", "/staff/bulletins/<int:number>/as-template", keep, Guard.STAFF, right=Right.WRITE),
)
