"""What was kept of a bulletin: its earlier versions, what changed since, and going back to one."""

from __future__ import annotations

from flask import Response, request

from ... import db
from ...bulletins import approvals, drafts
from ...staff.levels import Right
from .. import pages
from ..guards import Guard, Route
from . import asked, frame, words_of_bulletins, writing


def index(number: int) -> Response:
    """GET: all that are kept, newest first."""
    with frame.looking() as session:
        bulletin = writing.find(session, number)
        kept = drafts.revisions(session, number)
        approved = {each.revision for each in approvals.approvals(session, number)}
    return frame.page(
        "bulletins/revisions", here=writing.section(bulletin), bulletin=bulletin, subject=writing.title_of(bulletin),
        kept=[(each, each.number in approved) for each in kept], title=writing.title, pages=writing.beside(bulletin),
        crumbs=writing.crumbs(bulletin),
    )  # fmt: skip


def look(number: int, revision: int) -> Response:
    """GET: what changed from this one to the present one."""
    with frame.looking() as session:
        bulletin = writing.find(session, number)
        kept = drafts.revision(session, number, revision)
    found = drafts.compare(drafts.state_at(kept), drafts.state_of(bulletin))
    return frame.page(
        "bulletins/revision", here=writing.section(bulletin), bulletin=bulletin, subject=writing.title_of(bulletin),
        kept=kept, changes=words_of_bulletins.changes(found), pages=writing.beside(bulletin),
        crumbs=writing.crumbs(bulletin),
    )  # fmt: skip


def restore(number: int, revision: int) -> Response:
    """POST: make the bulletin what it was then. What it is now stays among the versions."""
    base = request.form.get("base", "")
    now = db.utcnow()
    with db.transaction() as session:
        bulletin = writing.find(session, number)
        drafts.restore(
            session, bulletin, revision, base=asked.whole(base) or 0,
            by=writing.author(), now=now,
        )  # fmt: skip
        writing.note(session, "bulletin_restored", number, now=now, revision=revision)
    return frame.go_to("revisions.index", pages.say("The bulletin is what it was then."), number=number)


_ONE = "/staff/bulletins/<int:number>/versions/<int(signed=True):revision>"
ROUTES = (
    Route("GET", "/staff/bulletins/<int:number>/versions", index, Guard.STAFF, right=Right.WRITE),
    Route("GET", _ONE, look, Guard.STAFF, right=Right.WRITE),
    Route("POST", _ONE, restore, Guard.STAFF, right=Right.WRITE),
)
