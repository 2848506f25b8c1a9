"""The entrance, and the privacy notice."""

from __future__ import annotations

from flask import Response

from .. import db
from ..consent import lists
from ..errors import Unknown
from . import pages
from .looks import brand_of
from .notices import NOTICES


def index() -> Response:
    """GET: to the default list's page."""
    with db.reading() as session:
        slugs = [row.slug for row in lists.every(session)]
    if not slugs:
        raise Unknown("There is no list.")
    slug = lists.DEFAULT_SLUG if lists.DEFAULT_SLUG in slugs else slugs[0]
    return pages.go_to("joining.form", 302, slug=slug)


def privacy() -> Response:
    """GET: the notice in force (GDPR 13 and 14)."""
    with db.reading() as session:
        rows = lists.every(session)
        brand = brand_of(rows[0], pages.settings()) if rows else None
    notice = NOTICES[0]
    return pages.page(
        "privacy", brand=brand, version=notice.version, notice=notice.template(pages.language()),
        dated=notice.dated_in(pages.language()),
        contact=brand.contact if brand else None,
    )  # fmt: skip
