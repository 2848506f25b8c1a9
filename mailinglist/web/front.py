"""The entrance, and the privacy notice."""

from __future__ import annotations

from babel.dates import format_date
from flask import Response, request
from markupsafe import Markup
from sqlalchemy.orm import Session

from .. import db
from ..consent import lists, notices
from ..consent.tables import MailingList
from ..errors import Unknown
from ..i18n import locale
from . import pages
from .looks import brand_of


def index() -> Response:
    """GET: to the default list's page."""
    with db.reading() as session:
        slug = _first(session).slug
    return pages.go_to("joining.form", 302, slug=slug)


def privacy(slug: str | None = None) -> Response:
    """GET: the notice in force (GDPR 13 and 14), of the default list or of this one; `?version=` an earlier one."""
    language = pages.language()
    with db.reading() as session:
        row = lists.find(session, slug) if slug else _first(session)
        brand = brand_of(row, pages.settings())
        versions = notices.versions(session, row.id, language)
        dated = {each.version: format_date(each.created_at, "long", locale=locale(language)) for each in versions}
        wanted = request.args.get("version", default=max(dated, default=0), type=int)
        body = next((each.body for each in versions if each.version == wanted), None)
    if body is None:
        raise Unknown("There is no such version of the notice.")
    # What is kept was composed by us, every value in it escaped.
    return pages.page("privacy", brand=brand, version=wanted, dated=dated, body=Markup(body))  # noqa: S704


def _first(session: Session) -> MailingList:
    """The default list, else the oldest one."""
    rows = lists.every(session)
    if not rows:
        raise Unknown("There is no list.")
    return next((row for row in rows if row.slug == lists.DEFAULT_SLUG), rows[0])
