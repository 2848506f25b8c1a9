"""The entrance, and the privacy notice."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from flask import Response, request
from markupsafe import Markup

from .. import db
from ..consent import lists, notices
from ..errors import Unknown
from . import figures, pages
from .looks import brand_of


def index() -> Response:
    """GET: to the default list's page."""
    with db.reading() as session:
        slug = lists.default(session).slug
    return pages.go_to("joining.form", 302, slug=slug)


def privacy(slug: str | None = None) -> Response:
    """GET: the notice in force (GDPR 13 and 14), of the default list or of this one; `?version=` an earlier one."""
    language = pages.language()
    with db.reading() as session:
        row = lists.find(session, slug) if slug else lists.default(session)
        brand = brand_of(row, pages.settings())
        versions = notices.versions(session, row.id, language)
        zone = ZoneInfo(lists.settings_of(row).time_zone)
        dated = {each.version: figures.long_day(each.created_at, zone) for each in versions}
        wanted = request.args.get("version", default=max(dated, default=0), type=int)
        body = next((each.body for each in versions if each.version == wanted), None)
    if body is None:
        raise Unknown("There is no such version of the notice.")
    # What is kept was composed by us, every value in it escaped.
    return pages.page("privacy", brand=brand, version=wanted, dated=dated, body=Markup(body))  # noqa: S704
