"""The registrar's search, and the form for somebody who wants to join and said so to staff.

What is looked for stands in the address of the page; a page that follows is named by a person's number, so that no
address but the one that was typed stands there. The audit keeps how many persons a page showed, not what was typed.
"""

from __future__ import annotations

from typing import Any

from flask import Response, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session

from ... import db
from ...consent import lists, register, registrar, search
from ...consent.address import Address, parse
from ...consent.tables import MailingList, Person
from ...errors import BadInput, Banned, NotAllowed, Unknown
from ...staff import audit
from ...staff.levels import Right
from ...stationery.sentences import noted as _
from .. import pages
from .. import registry_words as words
from ..guards import Guard, Route
from . import asked, frame, told

_FILTERS = ("q", "list", "state")


def index() -> Response:
    """GET: the form, and, once something was asked for, a page of those who were found."""
    values = {name: request.args.get(name, "").strip()[:400] for name in _FILTERS}
    wanted = any(name in request.args for name in _FILTERS)
    errors: dict[str, str] = {}
    found: search.Page | None = None
    following: int | None = None
    with frame.looking() as session:
        rows = lists.every(session)
        after = _folded(session, asked.row("after"))
        if wanted:
            try:
                list_id = lists.find(session, values["list"]).id if values["list"] else None
                found = search.by_address(
                    session, values["q"], list_id=list_id, state=values["state"] or None,
                    after=after,
                )  # fmt: skip
            except Unknown as error:
                errors["list"] = pages.reason(error)
            except BadInput as error:
                errors["q"] = words.reason(error)
        if found and found.next:
            following = session.scalar(select(Person.id).where(Person.folded == found.next))
    if found and found.persons:
        with db.transaction() as session:
            detail = {name: values[name] for name in ("list", "state") if values[name]}
            audit.note(
                session, "persons_seen", by=frame.actor(), now=db.utcnow(), number=len(found.persons), **detail
            )  # fmt: skip
    kept: dict[str, Any] = {name: value for name, value in values.items() if value}
    return frame.page(
        "registry/persons", 422 if errors else 200, here="persons", errors=errors, values=values, found=found,
        lists=_choices(rows), states=[("", pages.say("Every state")), *words.states()], state_of=words.state,
        names={row.slug: lists.name_in(row, pages.language()) for row in rows}, language_of=words.language,
        address=_missing(values["q"], found) if after is None else "",
        next_url=url_for("persons.index", **({"q": ""} | kept), after=following) if following else None,
        first_url=url_for("persons.index", **({"q": ""} | kept)) if after is not None else None,
    )  # fmt: skip


def form() -> Response:
    """GET: the form for a join that somebody asked staff for."""
    values = {"address": request.args.get("address", "").strip()[:400], "name": "", **told.blank()}
    person = asked.row("person")
    with frame.looking() as session:
        row = frame.current_list(session)
        values |= {"list": row.slug, "language": lists.settings_of(row).language}
    if person is not None:
        known = seen(person)
        values |= {"address": known.mailbox, "name": known.name or "", "language": known.language}
    return _form(values)


def enter() -> Response:
    """POST: the join is written down, and a confirmation letter goes out."""
    values = {name: request.form.get(name, "").strip() for name in ("address", "list", "name", "language")}
    values |= told.typed()
    errors: dict[str, str] = {}
    said = told.read(values, errors)
    address = parsed(values["address"], errors)
    if values["language"] not in dict(words.languages()):
        errors["language"] = words.reason("There is no such language.")
    if errors or address is None:
        return _form(values, errors)
    try:
        with db.transaction() as session:
            row = lists.find(session, values["list"])
            known = register.find(session, address)
            registrar.enter(
                session, row, address, said, language=values["language"], name=values["name"] or None, now=db.utcnow()
            )  # fmt: skip
            number = known.id if known else None
            audit.note(
                session, "join_entered", by=frame.actor(), about=f"person {number}" if number else "",
                now=db.utcnow(), how=said.how, list=row.id,
            )  # fmt: skip
    except (BadInput, Banned, NotAllowed, Unknown) as error:
        if isinstance(error, Banned | NotAllowed):
            _told_of(address)
        return _form(values, {"": words.reason(error)})
    done = pages.say(
        "Written down. A confirmation letter goes out; the person is on the list once they have answered it."
    )
    if number is not None:
        return frame.go_to("person.look", done, number=number)
    return frame.go_to("persons.index", done)


def known_person(session: Session, number: int) -> Person:
    """The person with this number. Raises Unknown."""
    found = session.get(Person, number) if number <= asked.ROW else None
    if found is None:
        raise Unknown("This person is not in the register any more.")
    return found


def seen(number: int) -> Person:
    """The person with this number, for a page that shows something of them: the look is in the audit. Raises
    Unknown."""
    with frame.looking() as session:
        found = known_person(session, number)
    with db.transaction() as session:
        audit.note(session, "person_seen", by=frame.actor(), about=f"person {number}", now=db.utcnow())
    return found


def _told_of(address: Address) -> None:
    """A refusal tells whether the address is banned, or on a list: that is a look, and stands in the audit."""
    with db.transaction() as session:
        known = register.find(session, address)
        about = f"person {known.id}" if known else ""
        act = "person_seen" if known else "ban_checked"
        audit.note(session, act, by=frame.actor(), about=about, now=db.utcnow())


def parsed(text: str, errors: dict[str, str], field: str = "address") -> Address | None:
    """The address that was typed; None, and an error, where it is none."""
    try:
        return parse(text)
    except BadInput as error:
        errors[field] = pages.reason(error)
        return None


def _form(values: dict[str, str], errors: dict[str, str] | None = None) -> Response:
    with frame.looking() as session:
        rows = lists.every(session)
    return frame.page(
        "registry/join", 422 if errors else 200, here="persons", errors=errors or {}, values=values,
        lists=_choices(rows)[1:], languages_to_choose=words.languages(), ways=words.ways(),
        crumbs=[(pages.say("Persons"), url_for("persons.index"))],
    )  # fmt: skip


def _choices(rows: Any) -> list[tuple[str, str]]:
    return [("", pages.say("Every list")), *((row.slug, list_name(row)) for row in rows)]


def list_name(row: MailingList) -> str:
    """The list's name in the language of the page."""
    return lists.name_in(row, pages.language())


def _folded(session: Session, number: int | None) -> str | None:
    """The key of the page that follows this person; None: from the beginning. Raises Unknown: erased since."""
    if number is None:
        return None
    found: str | None = session.scalar(select(Person.folded).where(Person.id == number))
    if found is None:
        raise Unknown(_("The person after whom this page began is not in the register any more. Search again."))
    return found


def _missing(wanted: str, found: search.Page | None) -> str:
    """What was looked for, when it is a whole address and nobody has it."""
    if found is None:
        return ""
    try:
        address = parse(wanted)
    except BadInput:
        return ""
    return "" if any(each.address.casefold() == address.folded for each in found.persons) else address.mailbox


ROUTES = (
    Route("GET", "/staff/persons", index, Guard.STAFF, right=Right.PERSONS),
    Route("GET", "/staff/persons/new", form, Guard.STAFF, right=Right.PERSONS),
    Route("POST", "/staff/persons/new", enter, Guard.STAFF, right=Right.PERSONS),
)
