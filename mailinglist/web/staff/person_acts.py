"""What staff write down for a person who said so: a leave, an undo after failing mail, a restriction, and
corrections. A form each."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from sqlalchemy.orm import Session

from ... import db
from ...consent import lists, people, register, registrar
from ...consent.states import State
from ...errors import BadInput, NotAllowed, Unknown
from ...privacy import disclosures
from ...staff import audit
from ...staff.levels import Right
from .. import pages
from .. import registry_words as words
from ..guards import Guard, Route
from . import frame, person, persons, told


def leave_form(number: int) -> Response:
    """GET: which list they leave."""
    persons.seen(number)
    return _leave_form(number, {"list": request.args.get("list", ""), **told.blank()})


def leave(number: int) -> Response:
    """POST: they have left, at once."""
    values = {"list": request.form.get("list", ""), **told.typed()}
    errors: dict[str, str] = {}
    said = told.read(values, errors)
    if not errors:
        try:
            with db.transaction() as session:
                persons.known_person(session, number)
                row = lists.find(session, values["list"])
                ended = registrar.leave(session, number, row, said, now=db.utcnow())
                _note(session, "leave_entered", number, how=said.how, list=row.id)
        except (BadInput, NotAllowed, Unknown) as error:
            errors[""] = words.reason(error)
        else:
            done = pages.say("They have left the list.") if ended else pages.say("They had left the list already.")
            return frame.go_to("person.look", done, number=number)
    return _leave_form(number, values, errors)


def restore(number: int) -> Response:
    """POST: mail that had failed may go to them again."""
    with db.transaction() as session:
        persons.known_person(session, number)
        row = lists.find(session, request.form.get("list", ""))
        register.restore(session, number, row, source="staff", now=db.utcnow())
        _note(session, "person_restored", number, list=row.id)
    return frame.go_to("person.look", pages.say("They are on the list again."), number=number)


def restriction_form(number: int) -> Response:
    """GET: the use of their data is restricted, or no longer."""
    persons.seen(number)
    return _restriction_form(number, told.blank())


def restrict(number: int) -> Response:
    """POST: their data are kept, and not used."""
    return _restriction(number, restricted=True)


def unrestrict(number: int) -> Response:
    """POST: they may be used again."""
    return _restriction(number, restricted=False)


def _restriction(number: int, *, restricted: bool) -> Response:
    values, errors = told.typed(), dict[str, str]()
    said = told.read(values, errors)
    if errors:
        return _restriction_form(number, values, errors)
    with db.transaction() as session:
        persons.known_person(session, number)
        if restricted and registrar.restrict(session, number, said, now=db.utcnow()):
            disclosures.tell(session, number, disclosures.RESTRICTED, now=db.utcnow())
            _note(session, "person_restricted", number, how=said.how)
        elif not restricted and registrar.unrestrict(session, number, said, now=db.utcnow()):
            _note(session, "person_unrestricted", number, how=said.how)
    done = pages.say("The use is restricted.") if restricted else pages.say("The restriction has ended.")
    return frame.go_to("person.look", done, number=number)


def details_form(number: int) -> Response:
    """GET: name and language."""
    held = persons.seen(number)
    return _details_form(number, {"name": held.name or "", "language": held.language, **told.blank()})


def details(number: int) -> Response:
    """POST: name and language are corrected."""
    values = {name: request.form.get(name, "").strip() for name in ("name", "language")} | told.typed()
    errors: dict[str, str] = {}
    said = told.read(values, errors)
    if not errors:
        try:
            with db.transaction() as session:
                persons.known_person(session, number)
                changed = registrar.correct_details(
                    session, number, said, name=values["name"], language=values["language"], now=db.utcnow()
                )
                if changed:
                    disclosures.tell(session, number, disclosures.CORRECTED, now=db.utcnow())
                    _note(session, "person_corrected", number, how=said.how, fields=list(changed))
        except BadInput as error:
            errors["name"] = words.reason(error)
        else:
            return frame.go_to(
                "person.look", pages.say("Corrected.") if changed else pages.say("Nothing was different."),
                number=number,
            )  # fmt: skip
    return _details_form(number, values, errors)


def address_form(number: int) -> Response:
    """GET: another address."""
    held = persons.seen(number)
    return _address_form(number, {"address": held.mailbox, **told.blank()})


def address(number: int) -> Response:
    """POST: the address is corrected; for each list a confirmation letter goes to the new one."""
    values = {"address": request.form.get("address", "").strip(), **told.typed()}
    errors: dict[str, str] = {}
    said = told.read(values, errors)
    wanted = persons.parsed(values["address"], errors)
    if not errors and wanted is not None:
        try:
            with db.transaction() as session:
                persons.known_person(session, number)
                waiting = registrar.correct_address(session, number, wanted, said, now=db.utcnow())
                disclosures.tell(session, number, disclosures.CORRECTED, now=db.utcnow())
                _note(session, "person_corrected", number, how=said.how, fields=["address"], letters=len(waiting))
        except (BadInput, NotAllowed) as error:
            errors["address"] = words.reason(error)
        else:
            done = (
                pages.say("The address is corrected. A confirmation letter goes to the new one.")
                if waiting
                else pages.say("The address is corrected.")
            )
            return frame.go_to("person.look", done, number=number)
    return _address_form(number, values, errors)


def _leave_form(number: int, values: dict[str, str], errors: dict[str, str] | None = None) -> Response:
    with frame.looking() as session:
        persons.known_person(session, number)
        whole = people.whole(session, number)
        names = lists.names(session, pages.language())
    on = [(each.list, names[each.list]) for each in whole.memberships if each.state != State.LEFT.value]
    return _page("leave", number, whole.address, values, errors, memberships=on)


def _restriction_form(number: int, values: dict[str, str], errors: dict[str, str] | None = None) -> Response:
    with frame.looking() as session:
        held = persons.known_person(session, number)
    return _page("restriction", number, held.mailbox, values, errors, restricted=held.restricted_at is not None)


def _details_form(number: int, values: dict[str, str], errors: dict[str, str] | None = None) -> Response:
    with frame.looking() as session:
        held = persons.known_person(session, number)
    return _page("details", number, held.mailbox, values, errors, languages_to_choose=words.languages())


def _address_form(number: int, values: dict[str, str], errors: dict[str, str] | None = None) -> Response:
    with frame.looking() as session:
        held = persons.known_person(session, number)
    return _page("address", number, held.mailbox, values, errors)


def _page(
    template: str, number: int, mailbox: str, values: dict[str, str], errors: dict[str, str] | None, **more: Any
) -> Response:
    if errors:  # a form that comes back shows the person once more
        persons.seen(number)
    return frame.page(
        f"registry/{template}", 422 if errors else 200, here="persons", errors=errors or {}, values=values,
        number=number, address=mailbox, ways=words.ways(), crumbs=person.crumbs(number, mailbox), **more,
    )  # fmt: skip


def _note(session: Session, act: str, number: int, **detail: Any) -> None:
    audit.note(session, act, by=frame.actor(), about=f"person {number}", now=db.utcnow(), **detail)


_STAFF, _PERSONS = Guard.STAFF, Right.PERSONS
ROUTES = (
    Route("GET", "/staff/persons/<int:number>/leave", leave_form, _STAFF, right=_PERSONS),
    Route("POST", "/staff/persons/<int:number>/leave", leave, _STAFF, right=_PERSONS),
    Route("POST", "/staff/persons/<int:number>/restore", restore, _STAFF, right=_PERSONS),
    Route("GET", "/staff/persons/<int:number>/restriction", restriction_form, _STAFF, right=_PERSONS),
    Route("POST", "/staff/persons/<int:number>/restriction", restrict, _STAFF, right=_PERSONS),
    Route("POST", "/staff/persons/<int:number>/restriction/end", unrestrict, _STAFF, right=_PERSONS),
    Route("GET", "/staff/persons/<int:number>/details", details_form, _STAFF, right=_PERSONS),
    Route("POST", "/staff/persons/<int:number>/details", details, _STAFF, right=_PERSONS),
    Route("GET", "/staff/persons/<int:number>/address", address_form, _STAFF, right=_PERSONS),
    Route("POST", "/staff/persons/<int:number>/address", address, _STAFF, right=_PERSONS),
)
