"""Marketing bans: looking whether an address is banned, forbidding, and lifting on evidence. For persons, by their
number, and for addresses that are in no register: a ban outlives the person (REQUIREMENTS 2.5)."""

from __future__ import annotations

from typing import Any

from flask import Response, request, url_for

from ... import db
from ...consent import bans, register, registrar
from ...consent.address import Address, parse
from ...consent.states import Channel
from ...errors import BadInput, NotAllowed
from ...staff import audit
from ...staff.levels import Right
from .. import pages
from ..guards import Guard, Route
from . import frame, person, persons, told
from . import registry_words as words


def look() -> Response:
    """GET: the form, and whether marketing to the address that was asked about is forbidden."""
    typed = request.args.get("address", "").strip()[:400]
    errors: dict[str, str] = {}
    found, number = None, None
    address = persons.parsed(typed, errors) if "address" in request.args else None
    if address is not None:
        with frame.looking() as session:
            found = bans.check(session, address)
            held = register.find(session, address)
            number = held.id if held else None
        _checked(number)
    return frame.page(
        "registry/bans", 422 if errors else 200, here="persons", errors=errors, typed=typed,
        address=address.mailbox if address else "", found=found, number=number,
        channels=[words.channel(each) for each in found.channels] if found else [],
        crumbs=[(pages.say("Persons"), url_for("persons.index"))],
    )  # fmt: skip


def form() -> Response:
    """GET: what to forbid, for an address."""
    return _form(request.args.get("address", "").strip()[:400], None, _blank())


def add() -> Response:
    """POST: it is forbidden, at once."""
    return _forbid(request.form.get("address", "").strip(), None)


def person_form(number: int) -> Response:
    """GET: what to forbid, for a person."""
    return _form(persons.seen(number).mailbox, number, _blank())


def add_for_person(number: int) -> Response:
    """POST: it is forbidden, at once."""
    return _forbid(_address_of(number), number)


def lift_form() -> Response:
    """GET: what to lift, for an address."""
    _checked(None)
    return _lift_form(request.args.get("address", "").strip()[:400], None, _blank([]))


def lift() -> Response:
    """POST: it is allowed again, on evidence."""
    return _lift(request.form.get("address", "").strip(), None)


def lift_person_form(number: int) -> Response:
    """GET: what to lift, for a person."""
    return _lift_form(persons.seen(number).mailbox, number, _blank([]))


def lift_for_person(number: int) -> Response:
    """POST: it is allowed again, on evidence."""
    return _lift(_address_of(number), number)


def _forbid(typed: str, number: int | None) -> Response:
    values, errors = _values(), {}  # type: dict[str, Any], dict[str, str]
    address, said, chosen = _read(typed, values, errors)
    if not errors and address is not None:
        try:
            with db.transaction() as session:
                names = [each.value for each in registrar.forbid(session, address, chosen, said, now=db.utcnow())]
                held = register.find(session, address)
                found = held.id if held else None
                audit.note(
                    session, "ban_added", by=frame.actor(), about=_about(found), now=db.utcnow(), channels=names,
                    how=said.how,
                )  # fmt: skip
        except BadInput as error:
            return _form(typed, number, values, {"": words.reason(error)})
        done = (
            pages.say("Forbidden from now on: %(what)s.", what=", ".join(words.channel(name) for name in names))
            if names
            else pages.say("That was forbidden already.")
        )
        return _back(found, done)
    return _form(typed, number, values, errors)


def _lift(typed: str, number: int | None) -> Response:
    values, errors = _values(), {}  # type: dict[str, Any], dict[str, str]
    address, said, chosen = _read(typed, values, errors)
    if not errors and address is not None:
        try:
            with db.transaction() as session:
                lifted = registrar.lift(session, address, chosen, said, now=db.utcnow())
                held = register.find(session, address)
                found = held.id if held else None
                audit.note(
                    session, "ban_lifted", by=frame.actor(), about=_about(found), now=db.utcnow(),
                    channels=list(lifted), how=said.how,
                )  # fmt: skip
        except (BadInput, NotAllowed) as error:
            return _lift_form(typed, number, values, {"": words.reason(error)})
        done = pages.say("Lifted: %(what)s.", what=", ".join(words.channel(name) for name in lifted))
        return _back(found, done)
    return _lift_form(typed, number, values, errors)


def _read(
    typed: str, values: dict[str, Any], errors: dict[str, str]
) -> tuple[Address | None, registrar.Told, list[Channel]]:
    address = persons.parsed(typed, errors)
    said = told.read(values, errors)
    chosen = [channel for channel in Channel if channel.value in values["channels"]]
    if not chosen:
        errors["channels"] = pages.say("Choose one at least.")
    return address, said, chosen


def _values() -> dict[str, Any]:
    return {"channels": request.form.getlist("channels"), **told.typed()}


def _blank(channels: list[str] | None = None) -> dict[str, Any]:
    return {"channels": [Channel.EMAIL.value] if channels is None else channels, **told.blank()}


def _back(number: int | None, done: str) -> Response:
    if number is not None:
        return frame.go_to("person.look", done, number=number)
    return frame.go_to("bans_pages.look", done)


def _form(typed: str, number: int | None, values: dict[str, Any], errors: dict[str, str] | None = None) -> Response:
    action = url_for("bans_pages.add") if number is None else url_for("bans_pages.add_for_person", number=number)
    return _page("ban", typed, number, values, errors, action=action, channels=words.channels())


def _lift_form(
    typed: str, number: int | None, values: dict[str, Any], errors: dict[str, str] | None = None
) -> Response:
    action = url_for("bans_pages.lift") if number is None else url_for("bans_pages.lift_for_person", number=number)
    return _page("lift", typed, number, values, errors, action=action, channels=_in_force(typed))


def _in_force(typed: str) -> list[tuple[str, str, str]]:
    """What there is to lift; everything, while no address is known yet."""
    try:
        address = parse(typed)
    except BadInput:
        return words.channels()
    with frame.looking() as session:
        held = bans.check(session, address).channels
    return [each for each in words.channels() if each[0] in held]


def _page(
    template: str,
    typed: str,
    number: int | None,
    values: dict[str, Any],
    errors: dict[str, str] | None,
    **more: Any,
) -> Response:
    if errors and number is not None:  # a form that comes back shows the person once more
        persons.seen(number)
    elif errors and template == "lift":  # and this one shows what is forbidden
        _checked(None)
    way = (
        [(pages.say("Persons"), url_for("persons.index")), (pages.say("Bans"), url_for("bans_pages.look"))]
        if number is None
        else person.crumbs(number, typed)
    )
    return frame.page(
        f"registry/{template}", 422 if errors else 200, here="persons", errors=errors or {}, values=values,
        number=number, address=typed, ways=words.ways(), crumbs=way, **more,
    )  # fmt: skip


def _checked(number: int | None) -> None:
    with db.transaction() as session:
        audit.note(session, "ban_checked", by=frame.actor(), about=_about(number), now=db.utcnow())


def _address_of(number: int) -> str:
    with frame.looking() as session:
        return persons.known_person(session, number).mailbox


def _about(number: int | None) -> str:
    return f"person {number}" if number is not None else ""


_STAFF, _PERSONS = Guard.STAFF, Right.PERSONS
ROUTES = (
    Route("GET", "/staff/bans", look, _STAFF, right=_PERSONS),
    Route("GET", "/staff/bans/add", form, _STAFF, right=_PERSONS),
    Route("POST", "/staff/bans/add", add, _STAFF, right=_PERSONS),
    Route("GET", "/staff/bans/lift", lift_form, _STAFF, right=_PERSONS, fresh=True),
    Route("POST", "/staff/bans/lift", lift, _STAFF, right=_PERSONS, fresh=True),
    Route("GET", "/staff/persons/<int:number>/ban", person_form, _STAFF, right=_PERSONS),
    Route("POST", "/staff/persons/<int:number>/ban", add_for_person, _STAFF, right=_PERSONS),
    Route("GET", "/staff/persons/<int:number>/lift", lift_person_form, _STAFF, right=_PERSONS, fresh=True),
    Route("POST", "/staff/persons/<int:number>/lift", lift_for_person, _STAFF, right=_PERSONS, fresh=True),
)
