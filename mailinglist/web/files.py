"""Files that are the same for everybody: static ones, robots.txt, the icon."""

from __future__ import annotations

import hashlib
from functools import cache

from flask import Response, request, send_from_directory, url_for

from ..places import PACKAGE
from .looks import FOR_EVER

FOLDER = PACKAGE / "web" / "static"

# Pages behind a mailed link are nobody's to index; they say so themselves too (X-Robots-Tag).
_ROBOTS = "User-agent: *\nDisallow: /confirm/\nDisallow: /not-me/\nDisallow: /unsubscribe/\n"


def static(name: str) -> Response:
    """GET: a file of `static/`. With its digest in the query, as our pages ask for it, it may be kept for ever."""
    response = send_from_directory(FOLDER, name)
    current = request.args.get("v") == _digest(name)
    response.headers["Cache-Control"] = FOR_EVER if current else "no-cache"
    return response


def robots() -> Response:
    """GET: what search engines leave alone."""
    return Response(_ROBOTS, content_type="text/plain; charset=utf-8")


def favicon() -> Response:
    """GET: the icon, for who asks for it without having read the page."""
    return send_from_directory(FOLDER, "icon.svg", max_age=86400)


def static_url(name: str) -> str:
    """The address of a static file, with its digest."""
    return url_for("files.static", name=name, v=_digest(name))


@cache
def _digest(name: str) -> str:
    return hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()[:16]
