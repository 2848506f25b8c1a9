"""The administrator's pages about members of staff: who they are, what they may do, until when, and a way back in."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import Response, request, url_for
from sqlalchemy import func, select

from ... import db
from ...consent.address import parse
from ...errors import BadInput, NotAllowed
from ...staff import accounts, secrecy
from ...staff.accounts import Purpose
from ...staff.levels import Level, Right
from ...staff.tables import Account, SignIn
from ...stationery.sentences import noted as _
from .. import pages
from ..guards import Guard, Route
from . import frame
from .days import day_of, ending, last_day
from .levels import options, words_of

_PURPOSES: dict[str, Purpose] = {"enrol": "enrol", "password": "password", "factor": "factor"}


def index() -> Response:
    """GET: everybody."""
    with frame.looking() as session:
        rows = accounts.every(session)
        seen = select(SignIn.account_id, func.max(SignIn.seen_at)).group_by(SignIn.account_id)
        last = {row[0]: row[1] for row in session.execute(seen)}
    return frame.page("colleagues", here="staff", colleagues=[_line(row, last.get(row.id)) for row in rows])


def form() -> Response:
    """GET: the form for a new one."""
    return _form({"name": "", "address": "", "levels": [], "until": ""})


def add() -> Response:
    """POST: a new account, and the link for its owner, shown once."""
    values = {**_values(), "name": request.form.get("name", "").strip(), "address": request.form.get("address", "")}
    errors, until = _errors(values)
    if not values["name"]:
        errors["name"] = pages.say("A name is needed.")
    try:
        parse(values["address"])
    except BadInput as error:
        errors["address"] = pages.reason(error)
    if errors:
        return _form(values, errors)
    try:
        with db.transaction() as session:
            account, secret = accounts.enrol(
                session, values["address"], name=values["name"], levels=values["levels"],
                by=frame.actor(), until=until, now=db.utcnow(),
            )  # fmt: skip
    except (BadInput, NotAllowed) as error:
        return _form(values, {"address": pages.reason(error)})
    return _link(account, secret)


def look(number: int) -> Response:
    """GET: one of them."""
    with frame.looking() as session:
        row = accounts.find(session, number)
    return _look(row, {"levels": row.levels, "until": last_day(row.until)})


def change(number: int) -> Response:
    """POST: levels and end."""
    values = _values()
    errors, until = _errors(values)
    with frame.looking() as session:
        row = accounts.find(session, number)
    if errors:
        return _look(row, values, errors)
    try:
        with db.transaction() as session:
            found = accounts.find(session, number)
            accounts.set_levels(session, found, values["levels"], by=frame.actor(), now=db.utcnow())
            if until != found.until:
                accounts.set_until(session, found, until, by=frame.actor(), now=db.utcnow())
    except NotAllowed as error:
        return _look(row, values, {"levels": pages.reason(error)})
    except BadInput as error:
        return _look(row, values, {"until": pages.reason(error)})
    return frame.go_to("colleagues.look", pages.say("Saved."), number=number)


def disable(number: int) -> Response:
    """POST: out at once."""
    with db.transaction() as session:
        accounts.disable(session, accounts.find(session, number), by=frame.actor(), now=db.utcnow())
    return frame.go_to(
        "colleagues.look", pages.say("The account is disabled, and its sign-ins are ended."), number=number
    )


def enable(number: int) -> Response:
    """POST: in again, with the factors they had."""
    with db.transaction() as session:
        accounts.enable(session, accounts.find(session, number), by=frame.actor(), now=db.utcnow())
    return frame.go_to("colleagues.look", pages.say("The account is enabled."), number=number)


def link(number: int) -> Response:
    """POST: a link to begin with, for a new password, or for a new factor; shown once."""
    purpose = _PURPOSES.get(request.form.get("purpose", ""))
    if purpose is None:
        raise BadInput(_("There is no such link."))
    with db.transaction() as session:
        row = accounts.find(session, number)
        secret = accounts.issue_link(session, row, purpose, by=frame.actor(), now=db.utcnow())
    return _link(row, secret)


def _link(row: Account, secret: str) -> Response:
    path = url_for("enrolment.look", secret=secret)
    base = pages.settings().base_url
    address = base + path.removeprefix(request.script_root)
    return frame.page(
        "colleague_link",
        here="staff",
        name=row.name,
        link=address,
        crumbs=[(pages.say("Staff"), url_for("colleagues.index"))],
    )


def _values() -> dict[str, Any]:
    return {"levels": request.form.getlist("levels"), "until": request.form.get("until", "").strip()}


def _errors(values: dict[str, Any]) -> tuple[dict[str, str], datetime | None]:
    errors: dict[str, str] = {}
    if not values["levels"] or not set(values["levels"]) <= set(Level):
        errors["levels"] = pages.say("Choose one level at least.")
    last = day_of(values["until"])
    if values["until"] and last is None:
        errors["until"] = pages.say("That is not a day.")
    return errors, ending(last) if last else None


def _state(row: Account) -> tuple[str, str]:
    if row.disabled_at:
        return pages.say("Disabled"), "bad"
    if row.until and row.until <= db.utcnow():
        return pages.say("Ended"), "bad"
    if not row.password:
        return pages.say("Invited"), "warn"
    if row.secrecy_version != secrecy.VERSION:
        return pages.say("Secrecy not accepted"), "warn"
    return pages.say("In use"), "good"


def _line(row: Account, seen: datetime | None) -> dict[str, Any]:
    state, kind = _state(row)
    return {
        "id": row.id, "name": row.name, "address": row.address, "levels": words_of(row.levels), "state": state,
        "kind": kind, "seen_at": seen,
    }  # fmt: skip


def _look(row: Account, values: dict[str, Any], errors: dict[str, str] | None = None) -> Response:
    state, kind = _state(row)
    return frame.page(
        "colleague", 422 if errors else 200, here="staff", errors=errors or {}, colleague=row, values=values,
        levels=options(), state=state, kind=kind, crumbs=[(pages.say("Staff"), url_for("colleagues.index"))],
    )  # fmt: skip


def _form(values: dict[str, Any], errors: dict[str, str] | None = None) -> Response:
    return frame.page(
        "colleague_new", 422 if errors else 200, here="staff", errors=errors or {}, values=values, levels=options(),
        crumbs=[(pages.say("Staff"), url_for("colleagues.index"))],
    )  # fmt: skip


_STAFF, _ACCOUNTS = Guard.STAFF, Right.ACCOUNTS
ROUTES = (
    Route("GET", "/staff/staff", index, _STAFF, right=_ACCOUNTS),
    Route("GET", "/staff/staff/add", form, _STAFF, right=_ACCOUNTS, fresh=True),
    Route("POST", "/staff/staff/add", add, _STAFF, right=_ACCOUNTS, fresh=True),
    Route("GET", "/staff/staff/<int:number>", look, _STAFF, right=_ACCOUNTS),
    Route("POST", "/staff/staff/<int:number>", change, _STAFF, right=_ACCOUNTS, fresh=True),
    Route("POST", "/staff/staff/<int:number>/disable", disable, _STAFF, right=_ACCOUNTS, fresh=True),
    Route("POST", "/staff/staff/<int:number>/enable", enable, _STAFF, right=_ACCOUNTS, fresh=True),
    Route("POST", "/staff/staff/<int:number>/link", link, _STAFF, right=_ACCOUNTS, fresh=True),
)
