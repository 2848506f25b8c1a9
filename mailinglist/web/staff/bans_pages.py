"""Marketing bans: looking whether an address is banned, or somebody of a name, forbidding, and lifting on evidence. For
persons, by their number, and for addresses that are in no register: a ban outlives the person (REQUIREMENTS 2.5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, request, url_for
from sqlalchemy.orm import Session

from ... import db
from ...consent import bans, bans_by_name, bans_held, lists, register, registrar
from ...consent import names as names_of_persons
from ...consent.address import Address, parse
from ...consent.bans import Forbidden
from ...consent.states import Channel
from ...consent.tables import ALL_LISTS
from ...errors import BadInput, NotAllowed, Unknown
from ...staff import audit, programs
from ...staff.levels import Right
from .. import pages, words_of_acts
from .. import registry_words as words
from ..guards import Guard, Route
from . import asked, frame, person, persons, told

_FILTERS = ("channel", "list", "source")
_ALL = "all lists"
"""In the filter: bans of all lists. No list is called so, since a slug has no space."""


def look() -> Response:
    """GET: the forms, and whether marketing to the address that was asked about is forbidden, or to somebody of the
    name; and the bans in force, filtered, once somebody asks for them."""
    typed = request.args.get("address", "").strip()[:400]
    errors: dict[str, str] = {}
    with frame.looking() as session:
        names = lists.names(session, pages.language())
    listing = _listing(names)
    found, number = None, None
    address = persons.parsed(typed, errors) if "address" in request.args else None
    if address is not None:
        with frame.looking() as session:
            found = bans.check(session, address)
            held = register.find(session, address)
            number = held.id if held else None
        _checked(number)
    of_name = _of_name(errors)
    return frame.page(
        "registry/bans", 422 if errors else 200, here="bans", errors=errors, typed=typed,
        name=request.args.get("name", "").strip()[:400], of_name=of_name,
        of_name_forbidden=[_said(each, names) for each in of_name or ()],
        address=address.mailbox if address else "", found=found, number=number,
        forbidden=[_said(each, names) for each in found.forbidden] if found else [],
        **listing,
    )  # fmt: skip


def _of_name(errors: dict[str, str]) -> tuple[Forbidden, ...] | None:
    """What somebody of the name that was asked about has forbidden; None: nobody asked about a name."""
    if "name" not in request.args:
        return None
    typed = request.args["name"].strip()
    if names_of_persons.fault(typed):
        errors["name"] = pages.say("Write the name of a person: letters, at most 200 characters, and no address.")
        return None
    with frame.looking() as session:
        found = bans_by_name.in_force(session, typed)
    _checked(None)
    return found


def _listing(names: Mapping[str, str]) -> dict[str, Any]:
    """The bans in force, once somebody asks for them: filtered, and a page of them at a time."""
    values = {name: request.args.get(name, "").strip()[:200] for name in _FILTERS}
    before_id = asked.row("before")
    wanted = any(name in request.args for name in (*_FILTERS, "before"))
    rows: list[bans_held.Held] = []
    if wanted:
        channel = Channel(values["channel"]) if values["channel"] in frozenset(Channel) else None
        with frame.looking() as session:
            rows = bans_held.newest(
                session, channel=channel, list_id=_list_id(session, values["list"]),
                source=words.sources_meant(values["source"]), before_id=before_id, limit=bans_held.A_PAGE + 1,
            )  # fmt: skip
    shown = rows[: bans_held.A_PAGE]
    if shown:
        detail = {name: values[name] for name in ("channel", "list") if values[name]}  # a source may name somebody
        with db.transaction() as session:
            audit.note(session, "bans_seen", by=frame.actor(), now=db.utcnow(), number=len(shown), **detail)
    here: dict[str, Any] = {name: value for name, value in values.items() if value} or {"channel": ""}
    following = url_for("bans_pages.look", **here, before=shown[-1].id) if len(rows) > len(shown) else None
    return {
        "asked": wanted, "filters": values, "held": [_row(each, names) for each in shown], "next_url": following,
        "first_url": url_for("bans_pages.look", **here) if before_id is not None else None,
        "channels": [("", pages.say("Anything")), *((key, said) for key, said, _hint in words.channels())],
        "lists": [("", pages.say("Any list")), (_ALL, pages.say("All lists")), *_single(names)],
    }  # fmt: skip


def _list_id(session: Session, slug: str) -> int | None:
    if slug in ("", _ALL):
        return ALL_LISTS if slug else None
    return lists.find(session, slug).id


def _row(each: bans_held.Held, names: Mapping[str, str]) -> dict[str, Any]:
    scope = _only(names.get(each.list, each.list)) if each.list else pages.say("All lists")
    system = words_of_acts.who(each.recorded_by) if programs.named(each.recorded_by) is not None else ""
    return {
        "held": each, "channel": words.channel(each.channel), "scope": scope, "source": words.source(each.source),
        "system": system,
    }  # fmt: skip


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
    address, said = _read(typed, values, errors)
    chosen = [channel for channel in Channel if channel.value in values["channels"]]
    if not chosen:
        errors["channels"] = pages.say("Choose one at least.")
    if not errors and address is not None:
        try:
            with db.transaction() as session:
                only = lists.find(session, values["list"]) if values["list"] else None
                fresh = registrar.forbid(session, address, chosen, said, only=only, now=db.utcnow())
                held = register.find(session, address)
                found = held.id if held else None
                names = lists.names(session, pages.language())
                scope = audit.of_list(only)
                audit.note(
                    session, "ban_added", by=frame.actor(), about=_about(found), now=db.utcnow(),
                    channels=[each.value for each in fresh], how=said.how, **scope,
                )  # fmt: skip
        except (BadInput, Unknown) as error:
            return _form(typed, number, values, {"": words.reason(error)})
        slug = values["list"] or None
        done = (
            pages.say(
                "Forbidden from now on: %(what)s.",
                what=", ".join(_said(Forbidden(each, slug), names) for each in fresh),
            )
            if fresh
            else pages.say("That was forbidden already.")
        )
        return _back(found, done)
    return _form(typed, number, values, errors)


def _lift(typed: str, number: int | None) -> Response:
    values, errors = _values(), {}  # type: dict[str, Any], dict[str, str]
    address, said = _read(typed, values, errors)
    chosen = [_meant(key) for key in values["channels"]]
    which = [each for each in chosen if each is not None]
    if not which:
        errors["channels"] = pages.say("Choose one at least.")
    if not errors and address is not None:
        try:
            with db.transaction() as session:
                lifted = registrar.lift(session, address, which, said, now=db.utcnow())
                held = register.find(session, address)
                found = held.id if held else None
                names = lists.names(session, pages.language())
                audit.note(
                    session, "ban_lifted", by=frame.actor(), about=_about(found), now=db.utcnow(),
                    channels=[_key(each) for each in lifted], how=said.how,
                )  # fmt: skip
        except (BadInput, NotAllowed) as error:
            return _lift_form(typed, number, values, {"": words.reason(error)})
        done = pages.say("Lifted: %(what)s.", what=", ".join(_said(each, names) for each in lifted))
        return _back(found, done)
    return _lift_form(typed, number, values, errors)


def _read(typed: str, values: dict[str, Any], errors: dict[str, str]) -> tuple[Address | None, registrar.Told]:
    return persons.parsed(typed, errors), told.read(values, errors)


def _key(ban: Forbidden) -> str:
    """What a ban is called in a form: its channel, and after a colon the one list that it is about."""
    return f"{ban.channel}:{ban.list}" if ban.list else str(ban.channel)


def _meant(key: str) -> Forbidden | None:
    name, _colon, slug = key.partition(":")
    return Forbidden(Channel(name), slug or None) if name in frozenset(Channel) else None


def _said(ban: Forbidden, names: Mapping[str, str]) -> str:
    return words.ban(ban.channel, names.get(ban.list, ban.list) if ban.list else None)


def _only(list_name: str) -> str:
    return pages.say("Only %(list)s", list=list_name)


def _single(names: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(slug, _only(name)) for slug, name in names.items()]


def _values() -> dict[str, Any]:
    return {"channels": request.form.getlist("channels"), "list": request.form.get("list", ""), **told.typed()}


def _blank(channels: list[str] | None = None) -> dict[str, Any]:
    return {"channels": [Channel.EMAIL.value] if channels is None else channels, "list": "", **told.blank()}


def _back(number: int | None, done: str) -> Response:
    if number is not None:
        return frame.go_to("person.look", done, number=number)
    return frame.go_to("bans_pages.look", done)


def _form(typed: str, number: int | None, values: dict[str, Any], errors: dict[str, str] | None = None) -> Response:
    action = url_for("bans_pages.add") if number is None else url_for("bans_pages.add_for_person", number=number)
    with frame.looking() as session:
        scopes = [("", pages.say("All lists")), *_single(lists.names(session, pages.language()))]
    return _page("ban", typed, number, values, errors, action=action, channels=words.channels(), scopes=scopes)


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
        held = bans.in_force(session, bans.digests(session, address))
        names = lists.names(session, pages.language())
    hints = {key: hint for key, _said_so, hint in words.channels()}
    return [(_key(each), _said(each, names), hints[each.channel.value]) for each in held]


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
    way = [(pages.say("Bans"), url_for("bans_pages.look"))] if number is None else person.crumbs(number, typed)
    return frame.page(
        f"registry/{template}", 422 if errors else 200, here="bans" if number is None else "persons",
        errors=errors or {}, values=values, number=number, address=typed, ways=words.ways(), crumbs=way, **more,
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
