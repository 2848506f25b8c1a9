"""The bulletins: their list, beginning a new one, and putting one away."""

from __future__ import annotations

from typing import Any

from flask import Response, request, url_for

from ... import db
from ...bulletins import drafts, templates
from ...bulletins.blocks import Draft, Version
from ...consent import lists
from ...delivery import catalogue
from ...errors import Unknown
from ...i18n import LANGUAGES
from ...staff.levels import Right
from ...stationery.sentences import noted as _
from .. import figures, pages
from ..guards import Guard, Route
from . import asked, frame, words_of_bulletins, writing

_A_PAGE = 50
_EVERY = "every"


def index() -> Response:
    """GET: the newest first, by list and state."""
    state = request.args.get("state", "")
    state = state if state in catalogue.STATES else ""
    before = asked.row("before")
    with frame.looking() as session:
        every = request.args.get("list") == _EVERY
        row = None if every else frame.current_list(session)
        found = catalogue.page(
            session, row.id if row else None, state=state or None, limit=_A_PAGE + 1,
            before_id=before,
        )  # fmt: skip
        rows = lists.every(session)
    kept: dict[str, Any] = {"list": _EVERY if row is None else row.slug, **({"state": state} if state else {})}
    more = len(found) > _A_PAGE
    names = {each.id: each.name for each in rows}
    return frame.page(
        "bulletins/index", here="bulletins", state=state, chosen_list=kept["list"],
        lists=[(each.slug, each.name) for each in rows] + [(_EVERY, pages.say("Every list"))],
        states=[
            ("", pages.say("Every state")),
            *((each, words_of_bulletins.state(each)[0]) for each in catalogue.STATES),
        ],
        lines=[
            (each, words_of_bulletins.state(each.state, held=each.held), names[each.list_id], _address(each))
            for each in found[:_A_PAGE]
        ],
        several=row is None, title=writing.title, number=figures.number,
        next_url=url_for("bulletins.index", **kept, before=found[_A_PAGE - 1].id) if more else None,
        first_url=url_for("bulletins.index", **kept) if before else None,
    )  # fmt: skip


def form() -> Response:
    """GET: with what to begin a new bulletin."""
    with frame.looking() as session:
        row = frame.current_list(session)
        own = drafts.templates(session, row.id)
        rows = lists.every(session)
    first = lists.settings_of(row).language
    return frame.page(
        "bulletins/new", here="bulletins", lists=[(each.slug, each.name) for each in rows], chosen_list=row.slug,
        languages_of=[(each, words_of_bulletins.language(each), None) for each in LANGUAGES], first=[first],
        starts=_starts([(f"own-{each.id}", writing.title_of(each), each.created_by) for each in own]),
        crumbs=[(pages.say("Bulletins"), url_for("bulletins.index"))],
    )  # fmt: skip


def begin() -> Response:
    """POST: a new bulletin, and on to its editor."""
    start = request.form.get("start", "blank")
    wanted = [each for each in LANGUAGES if each in request.form.getlist("languages")]
    now = db.utcnow()
    with db.transaction() as session:
        row = lists.find(session, request.form.get("list", ""))
        spoken = wanted or [lists.settings_of(row).language]
        if start.startswith("own-") and (own := asked.whole(start[4:])) is not None:
            template = drafts.find(session, own)
            if template.list_id != row.id:
                raise Unknown(_("This is no template."))
            bulletin = drafts.from_template(session, template, by=writing.author(), now=now)
        else:
            empty = Draft({language: Version() for language in spoken})
            draft = empty if start == "blank" else templates.built_in(start).of(spoken)
            bulletin = drafts.begin(session, row, draft, by=writing.author(), now=now)
        writing.note(session, "bulletin_begun", bulletin.id, now=now, start=start)
    return frame.go_to("editor.look", number=bulletin.id)


def duplicate(number: int) -> Response:
    """POST: a new bulletin with the same content and audience."""
    now = db.utcnow()
    with db.transaction() as session:
        made = drafts.duplicate(session, writing.find(session, number), by=writing.author(), now=now)
        writing.note(session, "bulletin_begun", made.id, now=now, start=f"bulletin {number}")
        endpoint = "editor.look" if made.form == "blocks" else "preview.look_whole"
    return frame.go_to(endpoint, pages.say("This is the copy: nothing you do here changes the other."), number=made.id)


def remove(number: int) -> Response:
    """POST: put a draft or a template away."""
    now = db.utcnow()
    with db.transaction() as session:
        bulletin = writing.find(session, number)
        drafts.remove(session, bulletin, now=now)
        writing.note(session, "bulletin_removed", number, now=now)
        template = bulletin.template
    return frame.go_to("templates.index" if template else "bulletins.index", pages.say("Removed."))


def ask_remove(number: int) -> Response:
    """GET: whether one means it."""
    with frame.looking() as session:
        bulletin = writing.find(session, number)
    return frame.page(
        "bulletins/remove", here=writing.section(bulletin), bulletin=bulletin, subject=writing.title_of(bulletin),
        crumbs=writing.crumbs(bulletin),
    )  # fmt: skip


def _starts(own: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    built_in = [
        (name, pages.say(each.name), pages.say(each.about)) for name, each in templates.BUILT_IN.items()
    ]  # fmt: skip
    return [("blank", pages.say("Empty"), pages.say("Nothing but the list's look.")), *built_in, *own]


def _address(line: catalogue.Line) -> str:
    """Where one goes from the list: a draft is written on, anything else is looked at."""
    desk = writing.desk(line.id)
    if line.state == "draft" and frame.may("write") and line.form == "blocks":
        return url_for("editor.look", number=line.id)
    return desk or url_for("preview.look_whole", number=line.id)


_SEE, _WRITE = Right.SEE, Right.WRITE
ROUTES = (
    Route("GET", "/staff/bulletins", index, Guard.STAFF, right=_SEE),
    Route("GET", "/staff/bulletins/new", form, Guard.STAFF, right=_WRITE),
    Route("POST", "/staff/bulletins/new", begin, Guard.STAFF, right=_WRITE),
    Route("POST", "/staff/bulletins/<int:number>/duplicate", duplicate, Guard.STAFF, right=_WRITE),
    Route("GET", "/staff/bulletins/<int:number>/remove", ask_remove, Guard.STAFF, right=_WRITE),
    Route("POST", "/staff/bulletins/<int:number>/remove", remove, Guard.STAFF, right=_WRITE),
)
