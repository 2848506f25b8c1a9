"""What is known of the present exchange, one request and its answer, between the view and the headers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import request

if TYPE_CHECKING:
    from ..staff.sign_ins import Standing

_KEY = "mailinglist.exchange"


@dataclass(slots=True)
class Exchange:
    """Kept with the request itself: `flask.g` belongs to the application context, which may outlive a request."""

    language: str | None = None
    chosen: bool = False
    """The language is more than what the browser prefers: the visitor, the form or the person's record said so."""
    images: str | None = None
    """The origins, besides our own, that the page shows images from, with spaces between them."""
    scripts: bool = False
    """The page runs a script of ours."""
    console: bool = False
    """A page for staff."""
    standing: Standing | None = None
    """Who is signed in, as of this request."""
    frames: bool = False
    """The page shows another page of ours in a frame: the preview of a mail."""
    megabytes: int | None = None
    """How large a file the form takes."""
    preview: bool = False
    """The answer is a mail as it will look: in a frame of ours, with its own styles, and nothing in it runs."""


def exchange() -> Exchange:
    """The present exchange."""
    found: Exchange = request.environ.setdefault(_KEY, Exchange())
    return found
