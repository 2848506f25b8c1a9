"""What is known of the present exchange, one request and its answer, between the view and the headers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import request

if TYPE_CHECKING:
    from ..staff.sign_ins import Standing
    from ..staff.tables import ApiToken

_KEY = "mailinglist.exchange"
BE_PATIENT = "mailinglist.be_patient"
"""In a request's environment: what the web server lets one call to give its client more time (see `cli.slow_line`)."""


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
    program: ApiToken | None = None
    """The token of the program that calls, as of this request."""
    frames: bool = False
    """The page shows another page of ours in a frame: the preview of a mail."""
    megabytes: int | None = None
    """How large a file the form takes."""
    preview: bool = False
    """The answer is a mail as it will look: in a frame of ours, with its own styles, and nothing in it runs."""


def be_patient() -> None:
    """Give this client more time: somebody known, whose line may be slow. Without effect under another server."""
    ask: Callable[[], None] | None = request.environ.get(BE_PATIENT)
    if ask is not None:
        ask()


def exchange() -> Exchange:
    """The present exchange."""
    found: Exchange = request.environ.setdefault(_KEY, Exchange())
    return found
