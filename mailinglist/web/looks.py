"""How a list looks: its name, colour, logo and address on every page about it, and its small stylesheet.

The content security policy allows no inline style, so a list's colour comes as a stylesheet of its own, whose address
holds the digest of what is in it: it can be cached for ever.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from email.utils import parseaddr
from urllib.parse import urlsplit

from flask import Response

from .. import db
from ..consent import lists
from ..consent.tables import MailingList
from ..settings import Settings
from ..stationery.colour import NIGHT_CONTRAST, readable, text_on

FOR_EVER = "public, max-age=31536000, immutable"

DAY = ("#fbf8f3", "#ffffff")
"""The grounds of page and sheet, by day …"""
NIGHT = ("#1b1917", "#242120")
"""… and by night. `site.css` has the same; a test holds them together."""


@dataclass(frozen=True, slots=True)
class Brand:
    """What pages show of a list; holds no row, so that a page is rendered after the database was let go."""

    slug: str
    name: str
    controller: str
    postal_address: str
    contact: str
    """The address that a person can write to about the list."""
    logo: str
    look: str
    """Digest of the list's stylesheet."""
    confirm_days: int

    @property
    def logo_origin(self) -> str | None:
        """The origin that the logo comes from."""
        return origin_of(self.logo)


def origin_of(address: str) -> str | None:
    """The origin of an image's address, for the policy of a page that shows it; None: there is none."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}" if address else None


def brand_of(row: MailingList, settings: Settings) -> Brand:
    """What pages show of the list `row`."""
    own = lists.settings_of(row)
    return Brand(
        slug=row.slug,
        name=row.name,
        controller=own.controller,
        postal_address=own.postal_address.removeprefix(own.controller).lstrip(", "),
        contact=own.owner or parseaddr(own.sender or settings.mail_from)[1],
        logo=own.logo,
        look=_digest(_stylesheet(own.colour)),
        confirm_days=own.confirm_days or settings.confirm_days,
    )


def stylesheet(slug: str, digest: str) -> Response:
    """GET: the list's colour."""
    with db.reading() as session:
        css = _stylesheet(lists.settings_of(lists.find(session, slug)).colour)
    response = Response(css, content_type="text/css; charset=utf-8")
    # An old page may still ask for the old look: it gets today's, which must not be kept under that name.
    response.headers["Cache-Control"] = FOR_EVER if digest == _digest(css) else "no-cache"
    return response


def _stylesheet(colour: str) -> str:
    day, night = readable(colour, on=DAY), readable(colour, on=NIGHT, at_least=NIGHT_CONTRAST)
    return (
        f":root{{--list:{colour};--accent:{day};--on-accent:{text_on(day)}}}\n"
        f"@media (prefers-color-scheme:dark){{:root{{--accent:{night};--on-accent:{text_on(night)}}}}}\n"
    )


def _digest(css: str) -> str:
    return hashlib.sha256(css.encode()).hexdigest()[:16]
