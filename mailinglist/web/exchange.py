"""What is known of the present exchange, one request and its answer, between the view and the headers."""

from __future__ import annotations

from dataclasses import dataclass

from flask import request

_KEY = "mailinglist.exchange"


@dataclass(slots=True)
class Exchange:
    """Kept with the request itself: `flask.g` belongs to the application context, which may outlive a request."""

    language: str | None = None
    chosen: bool = False
    """The language is more than what the browser prefers: the visitor, the form or the person's record said so."""
    images: str | None = None
    """An origin, besides our own, that the page shows an image from."""
    scripts: bool = False
    """The page runs a script of ours."""


def exchange() -> Exchange:
    """The present exchange."""
    found: Exchange = request.environ.setdefault(_KEY, Exchange())
    return found
