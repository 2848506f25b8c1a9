"""The unsubscribe link: leaving, and forbidding all marketing, with one press (GDPR 7(3), 21(2)–(4); RFC 8058)."""

from __future__ import annotations

from flask import Response, request

from .. import db
from ..consent import intake, register
from ..consent.states import Channel, channels
from ..errors import RegisterUnsound
from . import pages, visitor
from .looks import brand_of

_BANS = ("all", Channel.EMAIL.value)


def look(token: str) -> Response:
    """GET: the page with the button; changes nothing."""
    with db.reading() as session:
        found = register.exit_for(session, token)
        pages.speak(found.language)
        brand = brand_of(found.list, pages.settings())
    return pages.page("unsubscribe", brand=brand, left=found.left)


def leave(token: str) -> Response:
    """POST: leave at once, from the page or by a mailbox provider's one click; with `ban`, forbid marketing too.

    Whatever else the body holds, who posts here leaves: no field can be missing or wrong.
    """
    one_click = request.form.get("List-Unsubscribe") == "One-Click"  # RFC 8058 §3.1; urlencoded or multipart
    wanted = request.form.get("ban")
    ban = channels(wanted) if wanted in _BANS else ()
    with db.reading() as session:
        pages.speak(register.exit_for(session, token).language)
    origin = visitor.origin(request, "one-click" if one_click else "page", language=pages.language())
    try:
        with db.transaction() as session:
            row = register.leave(session, token, origin=origin, ban=ban, now=db.utcnow())
            brand = brand_of(row, pages.settings())
    except RegisterUnsound:  # nothing is mailed meanwhile, and the leave is entered once the key is right
        with db.transaction() as session:
            row = intake.write_down_exit(session, token, origin=origin, ban=ban, now=db.utcnow())
            brand = brand_of(row, pages.settings())
    if one_click:
        return pages.text(pages.say("You have left the list."))
    return pages.page("left", brand=brand, ban=wanted if ban else None)
