"""What all pages about one bulletin share: who writes, its pages beside each other, and what may be changed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from flask import current_app, url_for
from sqlalchemy.orm import Session

from ...bulletins import drafts, setting
from ...bulletins.tables import Bulletin
from ...errors import NotAllowed
from ...staff import audit
from ...stationery.sentences import noted as _
from ..pages import say
from . import frame

MOST_BYTES = 2_000_000
"""Of a form of the editor: a bulletin of 1 MB, written as a form."""
_DESK = "/staff/bulletins/<int:number>"
_NOTED_EVERY = timedelta(minutes=10)


def author() -> drafts.Author:
    """Who is signed in, as the one who writes."""
    account = frame.standing().account
    return drafts.Author(account.id, account.name)


def find(session: Session, number: int) -> Bulletin:
    """The bulletin, unless it was put away. Raises Unknown, NotAllowed."""
    bulletin = drafts.find(session, number)
    if bulletin.removed_at is not None:
        raise NotAllowed(_("This bulletin was removed."))
    return bulletin


def find_open(session: Session, number: int) -> Bulletin:
    """The bulletin, for changing its blocks. Raises Unknown, NotAllowed."""
    bulletin = find(session, number)
    if bulletin.form != "blocks":
        raise NotAllowed(
            _("This bulletin was written outside the editor, as Markdown or HTML: it can't be edited here.")
        )
    return bulletin


def note(session: Session, act: str, number: int, *, now: datetime, **detail: Any) -> None:
    """Write a line into the audit."""
    audit.note(session, act, by=frame.actor(), about=f"bulletin {number}", now=now, **detail)


def note_changed(session: Session, number: int, *, now: datetime) -> None:
    """Write that somebody changes a bulletin: once in ten minutes, since it is saved with every few words."""
    lately = audit.search(
        session, who=frame.standing().account.id, act="bulletin_changed", about=f"bulletin {number}",
        since=now - _NOTED_EVERY, limit=1,
    )  # fmt: skip
    if not lately:
        note(session, "bulletin_changed", number, now=now)


def title_of(bulletin: Bulletin) -> str:
    """Its subject, or words that stand for it."""
    return title(bulletin.subject)


def title(subject: str) -> str:
    """A subject as the title of its bulletin, or words that stand for it."""
    return setting.title(subject) or say("Without a subject")


def desk(number: int) -> str | None:
    """The address of the page where a bulletin is approved and sent, if there is one."""
    for each in current_app.url_map.iter_rules():
        if each.rule == _DESK and "GET" in (each.methods or ()):
            return url_for(each.endpoint, number=number)
    return None


def beside(bulletin: Bulletin) -> list[tuple[str, str, str]]:
    """The pages about a bulletin, beside each other: (key, label, address)."""
    items = []
    if frame.may("write") and bulletin.form == "blocks" and bulletin.given_at is None:
        items.append(("edit", say("Write"), url_for("editor.look", number=bulletin.id)))
    if frame.may("write") and not bulletin.template:
        if bulletin.given_at is None:
            items.append(("audience", say("Audience"), url_for("audience_pages.look", number=bulletin.id)))
        if "preflight_pages.look" in current_app.view_functions and bulletin.given_at is None:
            items.append(("preflight", say("Check"), url_for("preflight_pages.look", number=bulletin.id)))
    address = None if bulletin.template else desk(bulletin.id)
    if address:
        items.append(("desk", say("Test and send"), address))
    if frame.may("write"):
        items.append(("revisions", say("Versions"), url_for("revisions.index", number=bulletin.id)))
    return items


def crumbs(bulletin: Bulletin) -> list[tuple[str, str]]:
    """The way to a bulletin's pages."""
    if bulletin.template:
        return [(say("Templates"), url_for("templates.index"))]
    return [(say("Bulletins"), url_for("bulletins.index"))]


def section(bulletin: Bulletin) -> str:
    """Where the navigation stands."""
    return "templates" if bulletin.template else "bulletins"
