"""The sign-up page.

What is asked for is written down without looking at who it is, so the answer and its work are the same for everybody
(ASVS 5.0 §6.3.8); everything that differs happens later, in the worker.
"""

from __future__ import annotations

from flask import Response, request

from .. import db
from ..consent import intake, lists
from ..consent.address import parse
from ..consent.register import tokens_of
from ..errors import BadAddress
from . import pages, proof, visitor
from .exchange import exchange
from .looks import Brand, brand_of


def form(slug: str) -> Response:
    """GET: the form."""
    return _form(slug)


def ask(slug: str) -> Response:
    """POST: write the request down. 303 for every well-formed address, 422 with the form for any other."""
    fields, settings, now = request.form, pages.settings(), db.utcnow()
    pages.speak(fields.get("lang"))
    with db.reading() as session:
        row = lists.find(session, slug)
        own = lists.settings_of(row)
        wanted = intake.proof_wanted(session, row, now=now)
        tokens = tokens_of(session)
    nonce = visitor.fresh_nonce() if visitor.asked_from(request, settings.base_url, own.origins) else None
    if not fields.get("website"):  # people don't see that field; programs fill it in
        try:
            address = parse(fields.get("email", ""))
        except BadAddress as error:
            return _form(slug, error=str(error), value=pages.shown_again(fields.get("email", "")), status=422)
        slow = wanted and not proof.solved(settings.signing_keys, fields.get("altcha", ""), once=visitor.pace().once)
        with db.transaction() as session:
            row = lists.find(session, slug)
            intake.write_down(
                session, row, address, entrance="web", language=pages.language(),
                text=lists.shown_text(session, row, pages.language(), fields.get("text")),
                origin=visitor.origin(request, "form", language=pages.language()), browser=nonce, slow=slow, now=now,
            )  # fmt: skip
    response = pages.go_to("joining.check_mail", slug=slug)
    if nonce:
        days = own.confirm_days or settings.confirm_days
        visitor.remember(response, tokens, nonce, days=days, https=settings.https)
    return response


def check_mail(slug: str) -> Response:
    """GET: what happens next; the same for everybody."""
    with db.reading() as session:
        brand = brand_of(lists.find(session, slug), pages.settings())
    return pages.page("check_mail", brand=brand)


def _form(slug: str, *, error: str | None = None, value: str = "", status: int = 200) -> Response:
    settings, now = pages.settings(), db.utcnow()
    with db.reading() as session:
        row = lists.find(session, slug)
        brand: Brand = brand_of(row, settings)
        text = lists.current_text(session, row, pages.language())
        consent, digest = text.body, text.digest.hex()
        wanted = intake.proof_wanted(session, row, now=now)
    exchange().scripts = wanted
    response = pages.page(
        "sign_up", status, brand=brand, consent=consent, digest=digest,
        error=pages.say(error) if error else None, value=value,
        challenge=proof.challenge(settings.signing_keys, now=now) if wanted else None,
    )  # fmt: skip
    if wanted or error:
        response.headers["Cache-Control"] = "no-store"  # a challenge is for one visitor; so is an address
    return response
