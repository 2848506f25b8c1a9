"""The two links of the confirmation letter: "yes, it was me", and "I did not ask for this".

Opening a link changes nothing, since mail filters and link previews open links too; a button does. One browser needs no
button: the one that signed up (`visitor`). A link whose request is no longer kept raises TokenSpent through every view
here; `problems` makes a page of that.
"""

from __future__ import annotations

from flask import Response, request
from sqlalchemy.orm import Session

from .. import db
from ..consent import confirming, intake, register
from ..consent.confirming import Door, Knock
from ..errors import Banned, TokenSpent
from ..pace import JOINING
from ..tokens import Purpose
from . import pages, visitor
from .looks import Brand, brand_of


def look(token: str) -> Response:
    """GET: the page with the button; for the browser that signed up, the confirmation itself."""
    with db.reading() as session:
        found = _knock(session, token)
        door, brand, consent = found.door, brand_of(found.list, pages.settings()), found.text.body
        own = door is Door.OPEN and _signed_up_here(session, found)
        banned = door not in (Door.OPEN, Door.DONE) and confirming.banned(session, found)
    if own:
        return _confirm(token, "browser")
    if door is Door.OPEN:
        return pages.page("confirm", brand=brand, consent=consent)
    return _confirmed(brand, before=True) if door is Door.DONE else _spent(brand, door, banned=banned)


def confirm(token: str) -> Response:
    """POST: confirm; with `fresh`, ask for a new letter in place of one that is spent."""
    return _fresh_letter(token) if request.form.get("fresh") else _confirm(token, "button")


def look_not_me(token: str) -> Response:
    """GET: the page with the button."""
    with db.reading() as session:
        brand = brand_of(_knock(session, token, Purpose.NOT_ME).list, pages.settings())
    return pages.page("not_me", brand=brand)


def not_me(token: str) -> Response:
    """POST: end the request; no confirmation letter goes to the address for a year."""
    with db.reading() as session:
        _knock(session, token, Purpose.NOT_ME)
    with db.transaction() as session:
        origin = visitor.origin(request, "not-me", language=pages.language())
        brand = brand_of(confirming.disown(session, token, origin=origin, now=db.utcnow()), pages.settings())
    return pages.page("not_me_done", brand=brand)


def _knock(session: Session, token: str, purpose: Purpose = Purpose.CONFIRM) -> Knock:
    """What the link leads to. The page speaks the language in which the person asked."""
    found = confirming.knock(session, token, now=db.utcnow(), purpose=purpose)
    pages.speak(found.text.language)
    return found


def _signed_up_here(session: Session, found: Knock) -> bool:
    if not visitor.follows_a_link(request):
        return False
    nonce = visitor.nonce_of(request, register.tokens_of(session), https=pages.settings().https)
    return nonce is not None and intake.came_from(session, found.confirmation, nonce)


def _confirm(token: str, how: str) -> Response:
    """Put the person on the list, and say so once that is committed."""
    with db.reading() as session:
        brand = brand_of(_knock(session, token).list, pages.settings())
    try:
        with db.transaction() as session:
            origin = visitor.origin(request, how, language=pages.language())
            before = confirming.confirm(session, token, origin=origin, now=db.utcnow()).door
    except Banned:
        return pages.page("banned", Banned.http_status, brand=brand)
    except TokenSpent:
        with db.reading() as session:
            found = _knock(session, token)
            door, banned = found.door, confirming.banned(session, found)
        return _spent(brand, door, banned=banned)
    return _confirmed(brand, before=before is Door.DONE)


def _fresh_letter(token: str) -> Response:
    visitor.spend(JOINING)
    settings = pages.settings()
    nonce = visitor.fresh_nonce() if visitor.asked_from(request, settings.base_url) else None
    with db.reading() as session:
        _knock(session, token)
    with db.transaction() as session:
        origin = visitor.origin(request, "fresh", language=pages.language())
        row = intake.ask_again(session, token, origin=origin, browser=nonce, now=db.utcnow())
        brand, tokens = brand_of(row, settings), register.tokens_of(session)
    response = pages.go_to("joining.check_mail", slug=brand.slug)
    if nonce:
        visitor.remember(response, tokens, nonce, days=brand.confirm_days, https=settings.https)
    return response


def _confirmed(brand: Brand, *, before: bool) -> Response:
    return pages.page("confirmed", brand=brand, before=before)


def _spent(brand: Brand, door: Door, *, banned: bool) -> Response:
    if banned:  # a fresh letter would be stopped without a word
        return pages.page("banned", TokenSpent.http_status, brand=brand)
    return pages.page("spent", TokenSpent.http_status, brand=brand, expired=door is Door.EXPIRED)
