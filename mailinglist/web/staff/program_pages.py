"""The administrator's pages about other systems: their tokens, what each may, a new one, and the end of one."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

from flask import Response, request, url_for
from sqlalchemy.orm import Session

from ... import db
from ...consent import lists
from ...errors import BadInput
from ...staff import programs
from ...staff.levels import Right
from ...staff.programs import DAYS, LEAST_DAYS, LONGEST_NAME, MOST_DAYS, Scope, State
from ...staff.tables import ApiToken
from .. import pages, visitor
from ..guards import Guard, Route
from . import asked, frame, scopes

_FIRST_SCOPE = f"scopes-{next(iter(Scope))}"
"""The first of the boxes, where the words about what is wrong with them lead."""
_REMEMBERED = 24 * 3600
"""For so many seconds it is known of a form that it was sent."""
_KEY = 22
"""The characters of a form's key."""


def index() -> Response:
    """GET: all tokens, the newest first."""
    now = db.utcnow()
    with frame.looking() as session:
        rows = programs.every(session)
        names = _names(session)
    return frame.page("programs", here="programs", tokens=[_line(row, names, now) for row in rows])


def form() -> Response:
    """GET: the form for a new one."""
    return _form({"name": "", "scopes": [], "list": "", "days": str(DAYS)})


def add() -> Response:
    """POST: a new token. Its secret stands in this answer, and nowhere else."""
    values: dict[str, Any] = {
        "name": request.form.get("name", "").strip(),
        "scopes": request.form.getlist("scopes"),
        "list": request.form.get("list", ""),
        "days": request.form.get("days", "").strip(),
    }
    days = asked.whole(values["days"])
    errors = _errors(values, days)
    if errors or days is None:
        return _form(values, errors)
    # Whoever loads the page with the secret anew sends the same form once more.
    key = request.form.get("once", "")[:_KEY]
    if not visitor.pace().once(f"token/{frame.standing().account.id}/{key}", seconds=_REMEMBERED):
        sent = pages.say(
            "This form was sent already, and made no second token. If you need another, send the form below."
        )
        return _form(values, {"": sent})
    try:
        with db.transaction() as session:
            names = _names(session)
            only = lists.find(session, values["list"]) if values["list"] else None
            row, secret = programs.issue(
                session, values["name"], values["scopes"], only=only, days=days, by=frame.actor(), now=db.utcnow()
            )
    except BadInput as error:
        return _form(values, {"name": pages.reason(error)})
    return frame.page(
        "program_token", here="programs", token=row, line=_line(row, names, db.utcnow()), secret=secret,
        description=f"{pages.settings().base_url}/api/v1/openapi.json", crumbs=_crumbs(),
    )  # fmt: skip


def look(number: int) -> Response:
    """GET: one of them."""
    now = db.utcnow()
    row, line = _found(number, now)
    who = programs.actor(row, "").who
    return frame.page(
        "program", here="programs", line=line, token=row, who=who,
        good=programs.state(row, now) is State.GOOD, crumbs=_crumbs(),
    )  # fmt: skip


def ask_revoke(number: int) -> Response:
    """GET: whether it is to be ended; it can't be taken back."""
    now = db.utcnow()
    row, line = _found(number, now)
    if programs.state(row, now) is not State.GOOD:
        return frame.go_to("program_pages.look", number=number)
    crumbs = [*_crumbs(), (row.name, url_for("program_pages.look", number=number))]
    return frame.page("program_revoke", here="programs", token=row, line=line, crumbs=crumbs)


def revoke(number: int) -> Response:
    """POST: ended at once, and for good."""
    with db.transaction() as session:
        programs.revoke(session, number, by=frame.actor(), now=db.utcnow())
    return frame.go_to("program_pages.look", pages.say("The token is revoked."), number=number)


def _errors(values: dict[str, Any], days: int | None) -> dict[str, str]:
    errors: dict[str, str] = {}
    if not values["name"]:
        errors["name"] = pages.say("A name is needed.")
    if not values["scopes"] or not set(values["scopes"]) <= set(Scope):
        errors[_FIRST_SCOPE] = pages.say("A token needs at least one permission.")
    if days is None or not LEAST_DAYS <= days <= MOST_DAYS:
        errors["days"] = pages.say(
            "A token is good for %(least)s to %(most)s days.", least=LEAST_DAYS, most=MOST_DAYS
        )  # fmt: skip
    return errors


def _form(values: dict[str, Any], errors: dict[str, str] | None = None) -> Response:
    with frame.looking() as session:
        choices = [("", pages.say("Every list")), *((row.slug, row.name) for row in lists.every(session))]
    return frame.page(
        "program_new", 422 if errors else 200, here="programs", errors=errors or {}, values=values,
        scopes=scopes.options(), first_scope=_FIRST_SCOPE, lists=choices, longest=LONGEST_NAME, least=LEAST_DAYS,
        most=MOST_DAYS, once=secrets.token_urlsafe(16), crumbs=_crumbs(),
    )  # fmt: skip


def _found(number: int, now: datetime) -> tuple[ApiToken, dict[str, Any]]:
    with frame.looking() as session:
        row, names = programs.find(session, number), _names(session)
    return row, _line(row, names, now)


def _names(session: Session) -> dict[int, str]:
    """What lists are called, by their numbers."""
    return {row.id: row.name for row in lists.every(session)}


def _line(row: ApiToken, names: dict[int, str], now: datetime) -> dict[str, Any]:
    state, kind = _state(row, now)
    return {
        "id": row.id, "name": row.name, "may": scopes.words_of(row.scopes), "state": state, "kind": kind,
        "list": names[row.list_id] if row.list_id is not None else pages.say("Every list"),
        "made_at": row.created_at, "used_at": row.used_at, "until": row.expires_at,
    }  # fmt: skip


def _state(row: ApiToken, now: datetime) -> tuple[str, str]:
    match programs.state(row, now):
        case State.REVOKED:
            return pages.say("Revoked"), "plain"
        case State.ENDED:
            return pages.say("Ended"), "bad"
        case State.GOOD if row.expires_at - now < programs.SOON:
            return pages.say("Ends soon"), "warn"
        case State.GOOD:
            return pages.say("Good"), "good"


def _crumbs() -> list[tuple[str, str]]:
    return [(pages.say("Other systems"), url_for("program_pages.index"))]


_STAFF, _ACCOUNTS = Guard.STAFF, Right.ACCOUNTS
ROUTES = (
    Route("GET", "/staff/programs", index, _STAFF, right=_ACCOUNTS),
    Route("GET", "/staff/programs/add", form, _STAFF, right=_ACCOUNTS, fresh=True),
    Route("POST", "/staff/programs/add", add, _STAFF, right=_ACCOUNTS, fresh=True),
    Route("GET", "/staff/programs/<int:number>", look, _STAFF, right=_ACCOUNTS),
    Route("GET", "/staff/programs/<int:number>/revoke", ask_revoke, _STAFF, right=_ACCOUNTS, fresh=True),
    Route("POST", "/staff/programs/<int:number>/revoke", revoke, _STAFF, right=_ACCOUNTS, fresh=True),
)
