"""A person's proof of consent, for an authority or for themselves: as a file that proves itself, or as a page.

Asks for both factors anew, as every export; in the audit before it leaves.
"""

from __future__ import annotations

from flask import Response, request

from ... import db, i18n
from ...consent import lists, proof_file
from ...consent.address import Address
from ...staff import audit
from ...staff.levels import Right
from .. import pages
from ..guards import Guard, Route
from . import frame, person, persons, proof_page, told


def form(number: int) -> Response:
    """GET: what the proof holds, and in which form."""
    held = persons.seen(number)
    return frame.page(
        "registry/proof", here="persons", number=number, address=held.mailbox, languages_to_read=pages.languages(),
        crumbs=person.crumbs(number, held.mailbox),
    )  # fmt: skip


def make(number: int) -> Response:
    """POST: the file, or the page."""
    now = db.utcnow()
    as_page = request.form.get("form") == "page"
    with frame.looking() as session:
        held = persons.known_person(session, number)
        document = proof_file.document(session, Address(held.mailbox, held.folded), now=now)
        names = lists.names(session, pages.language())
    with db.transaction() as session:
        audit.note(session, "proof_exported", by=frame.actor(), about=f"person {number}", now=now, page=as_page)
    name = f"proof-{number}-{told.today().isoformat()}"
    if as_page:
        if (language := request.form.get("language", "")) in i18n.LANGUAGES:
            pages.prefer(language)
        response = Response(proof_page.render(document, names), content_type="text/html; charset=utf-8")
        response.headers["Content-Disposition"] = f'attachment; filename="{name}.html"'
        return response
    response = Response(proof_file.written(document), content_type="application/json; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.json"'
    return response


_STAFF, _PERSONS = Guard.STAFF, Right.PERSONS
ROUTES = (
    Route("GET", "/staff/persons/<int:number>/proof", form, _STAFF, right=_PERSONS, fresh=True),
    Route("POST", "/staff/persons/<int:number>/proof", make, _STAFF, right=_PERSONS, fresh=True),
)
