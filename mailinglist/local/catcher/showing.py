"""What the pages show: the list of mails, and one mail beside it; and how they reach the store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import abort, current_app, render_template, request

from . import message
from .handing import Answer
from .store import Caught, Store

PAGE = 200
"""Mails that the page lists at a time."""

TABS = ("html", "text", "headers", "raw")


def store() -> Store:
    """The mails of this application."""
    kept: Store = current_app.config["STORE"]
    return kept


def mail_or_404(number: int) -> tuple[Caught, bytes]:
    """One mail and its octets; 404 where there is none (any more)."""
    return store().get(number) or abort(404)


def listing() -> dict[str, Any]:
    """What the list's template needs, as the request asks: `?q=` searches, `?before=` goes on, `?selected=` marks."""
    search = request.args.get("q", "").strip()
    before = request.args.get("before", type=int)
    found = store().newest(search=search, before=before, limit=PAGE + 1)
    return {
        "mails": found[:PAGE],
        "older": found[PAGE - 1].id if len(found) > PAGE else None,
        "search": search,
        "before": before,
        "selected": request.args.get("selected", type=int),
        "count": store().count,
    }


def show_mail(number: int, *, trouble: Answer | None = None) -> str:
    """The page of one mail beside the list; `?tab=` is one of TABS. `trouble`: why returning it failed just now."""
    caught, raw = mail_or_404(number)
    content = message.content(raw)
    tab = request.args.get("tab", "")
    if tab not in TABS:
        tab = "html" if content.html is not None else "text"
    raw_text = raw.decode("utf-8", "replace") if tab == "raw" else ""
    shown = listing() | {"selected": number}
    return render_template(
        "mail.html", mail=caught, content=content, tab=tab, tabs=TABS, raw=raw_text, trouble=trouble, **shown
    )


def when(at: datetime) -> str:
    """A time as this machine's clock shows it; the day only where it is not today."""
    local = at.astimezone()
    today = local.date() == datetime.now(UTC).astimezone().date()
    return local.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M")
