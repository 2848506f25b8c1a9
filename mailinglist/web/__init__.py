"""THE FRONT: the pages that everybody sees, the console for staff (`staff`), and the API for other systems (`api`).
Parse, call one verb, render.

Owns no table. Promises: every route declares its guard (`routes`); public pages need no script, no third party and no
cookie but that of the confirming browser (`visitor`); a well-formed address is answered alike and after the same work,
whoever's it is (`joining`, `lost_link`); GET and HEAD change nothing, but for the browser that signed up; what a page
says is done has been committed. Errors are pages in words (`problems`).

Refuses: bodies over 64 KB, but where a route says that it takes more; more than ten requests a minute from one client
(`mailinglist.pace`).

Known limits: a request that a page accepted is answered by a letter only once the worker has taken it; a sign-up page
that was open when an attack began carries no challenge, so that its request takes the slower lane.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from ..pace import Pace
from ..settings import Settings
from . import headers, pages, problems, routes, visitor
from .mount import Mounted
from .staff import frame

_LARGEST_BODY = 64 * 1024


def init_app(app: Flask, settings: Settings) -> None:
    """Put the public pages on `app`. Connects to nothing."""
    app.config.update(MAX_CONTENT_LENGTH=_LARGEST_BODY, MAX_FORM_MEMORY_SIZE=_LARGEST_BODY, MAX_FORM_PARTS=50)
    app.extensions[visitor.PACE] = Pace(settings)
    pages.install(app, settings)
    app.jinja_env.globals.update(frame.names())
    problems.install(app)
    headers.install(app, settings)
    routes.install(app)
    if path := urlsplit(settings.base_url).path:
        app.wsgi_app = Mounted(app.wsgi_app, path)  # type: ignore[method-assign]
    if settings.trusted_proxies:
        # Only the client's address is believed; links come from MAILINGLIST_BASE_URL, never from a header.
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.trusted_proxies, x_proto=0, x_host=0)  # type: ignore[method-assign]
