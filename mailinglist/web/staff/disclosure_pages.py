"""Disclosures: who outside was given data about whom, and on what ground; and the form by which one is made.

It is written down before the data are handed out, and refused without a legal basis, against the person's ban, or
against a restriction without one of the grounds that break it (GDPR 18(2)). Asks for both factors anew.
"""

from __future__ import annotations

from typing import Any

from flask import Response, request, url_for

from ... import db
from ...errors import BadInput, Banned, NotAllowed
from ...privacy import access, disclosures
from ...privacy.disclosures import FIELDS
from ...staff import audit
from ...staff.levels import Right
from .. import pages
from .. import registry_words as words
from ..guards import Guard, Route
from . import asked, frame, person, persons

_A_PAGE = 50
_TYPED = ("recipient", "basis", "reference", "ground")


def index() -> Response:
    """GET: the disclosures, newest first."""
    before_id = asked.row("before")
    with frame.looking() as session:
        found = disclosures.newest(session, before_id=before_id, limit=_A_PAGE + 1)
    more = len(found) > _A_PAGE
    return frame.page(
        "registry/disclosures", here="disclosures",
        found=[(each, words.given(each.fields)) for each in found[:_A_PAGE]],
        next_url=url_for("disclosure_pages.index", before=found[_A_PAGE - 1].id) if more else None,
        first_url=url_for("disclosure_pages.index") if before_id is not None else None,
    )  # fmt: skip


def form(number: int) -> Response:
    """GET: to whom, on what ground, and which data."""
    persons.seen(number)
    return _form(number, {**dict.fromkeys(_TYPED, ""), "fields": []}, {})


def give(number: int) -> Response:
    """POST: it is written down, and the data come as a file."""
    values: dict[str, Any] = {name: request.form.get(name, "").strip() for name in _TYPED}
    values["fields"] = request.form.getlist("fields")
    errors: dict[str, str] = {}
    if not values["recipient"]:
        errors["recipient"] = pages.say("Say who gets the data.")
    if len(values["basis"]) < disclosures.SHORTEST_BASIS:
        errors["basis"] = pages.say("Without a legal basis no data are given out.")
    if not values["fields"]:
        errors["fields"] = pages.say("Choose which data are given.")
    if errors:
        persons.seen(number)
        return _form(number, values, errors)
    now = db.utcnow()
    try:
        with db.transaction() as session:
            held = persons.known_person(session, number)
            noted = disclosures.note(
                session, [number], recipient=values["recipient"], basis=values["basis"], fields=values["fields"],
                reference=values["reference"], ground=values["ground"], by=frame.actor(), now=now,
            )  # fmt: skip
            document = disclosures.part(access.document(session, held, now=now), noted.fields)
            audit.note(
                session, "data_disclosed", by=frame.actor(), about=f"person {number}", now=now, disclosure=noted.id,
                fields=list(noted.fields),
            )  # fmt: skip
    except NotAllowed as error:
        persons.seen(number)
        return _form(number, values, {"ground": words.reason(error)})
    except (BadInput, Banned) as error:
        persons.seen(number)
        return _form(number, values, {"": words.reason(error)})
    response = Response(access.written(document), content_type="application/json; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="disclosure-{noted.id}.json"'
    return response


def _grounds() -> list[tuple[str, str]]:
    """On what restricted data may be given, to choose from."""
    said = {
        "consent": pages.say("The person agrees to it"),
        "claims": pages.say("Legal claims"),
        "others": pages.say("Protection of the rights of another person"),
        "public": pages.say("Important public interest"),
    }
    return [("", pages.say("Choose"))] + [(ground, said[ground]) for ground in disclosures.GROUNDS]


def _form(number: int, values: dict[str, Any], errors: dict[str, str]) -> Response:
    with frame.looking() as session:
        held = persons.known_person(session, number)
        mailbox, restricted = held.mailbox, held.restricted_at is not None
    return frame.page(
        "registry/disclose", 422 if errors else 200, here="persons", errors=errors, values=values, number=number,
        address=mailbox, grounds=_grounds() if restricted else [],
        fields_to_choose=[(field, label, None) for field, label in words.givable(FIELDS)],
        crumbs=person.crumbs(number, mailbox),
    )  # fmt: skip


_STAFF, _PERSONS = Guard.STAFF, Right.PERSONS
ROUTES = (
    Route("GET", "/staff/disclosures", index, _STAFF, right=_PERSONS),
    Route("GET", "/staff/persons/<int:number>/disclose", form, _STAFF, right=_PERSONS, fresh=True),
    Route("POST", "/staff/persons/<int:number>/disclose", give, _STAFF, right=_PERSONS, fresh=True),
)
