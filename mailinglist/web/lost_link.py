"""For who wants to leave and has no letter at hand: a mail with a link to leave by. The same answer for everybody."""

from __future__ import annotations

from flask import Response, request

from .. import db
from ..consent import intake, lists, requests
from ..consent.address import parse
from ..errors import BadAddress
from . import pages, visitor
from .looks import brand_of


def form(slug: str) -> Response:
    """GET: the form."""
    return _form(slug)


def ask(slug: str) -> Response:
    """POST: write the request down. 303 for every well-formed address, 422 with the form for any other."""
    fields = request.form
    pages.speak(fields.get("lang"))
    with db.reading() as session:
        lists.find(session, slug)
    if not fields.get("website"):
        try:
            address = parse(fields.get("email", ""))
        except BadAddress as error:
            return _form(slug, error=str(error), value=pages.shown_again(fields.get("email", "")), status=422)
        with db.transaction() as session:
            intake.write_down(
                session, lists.find(session, slug), address, kind=requests.LEAVE, entrance="web",
                language=pages.language(), origin=visitor.origin(request, "form", language=pages.language()),
                now=db.utcnow(),
            )  # fmt: skip
    return pages.go_to("lost_link.check_mail", slug=slug)


def check_mail(slug: str) -> Response:
    """GET: what happens next; the same for everybody."""
    with db.reading() as session:
        brand = brand_of(lists.find(session, slug), pages.settings())
    return pages.page("leave_check_mail", brand=brand)


def _form(slug: str, *, error: str | None = None, value: str = "", status: int = 200) -> Response:
    with db.reading() as session:
        brand = brand_of(lists.find(session, slug), pages.settings())
    response = pages.page("leave_form", status, brand=brand, error=pages.say(error) if error else None, value=value)
    if error:
        response.headers["Cache-Control"] = "no-store"
    return response
