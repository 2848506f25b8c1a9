"""Every route: its method, its address, its view, who may use it (its guard), and whether it is limited per client.

This table is the only place where routes are made, so none can be without a guard; a test compares it with SURFACE.
"""

from __future__ import annotations

from flask import Flask
from werkzeug.routing import BaseConverter

from .. import pace
from . import (
    api,
    confirming,
    files,
    front,
    health,
    images,
    joining,
    leaving,
    looks,
    lost_link,
    preferences,
    staff,
    visitor,
)
from .api import door
from .guards import SLUG, Guard, Route
from .staff import frame


class SlugConverter(BaseConverter):
    """A list's short name. Whatever else stands there is no list, and never reaches the database."""

    regex = SLUG


_ANY, _LINK = Guard.ANYONE, Guard.LINK

ROUTES = (
    Route("GET", "/", front.index, _ANY),
    Route("GET", "/privacy", front.privacy, _ANY),
    Route("GET", "/privacy/<slug:slug>", front.privacy, _ANY),
    Route("GET", "/lists/<slug:slug>", joining.form, _ANY),
    Route("POST", "/lists/<slug:slug>", joining.ask, _ANY, pace.JOINING),
    Route("GET", "/lists/<slug:slug>/check-mail", joining.check_mail, _ANY),
    Route("GET", "/lists/<slug:slug>/leave", lost_link.form, _ANY),
    Route("POST", "/lists/<slug:slug>/leave", lost_link.ask, _ANY, pace.LEAVING),
    Route("GET", "/lists/<slug:slug>/leave/check-mail", lost_link.check_mail, _ANY),
    Route("GET", "/lists/<slug:slug>/look-<digest>.css", looks.stylesheet, _ANY),
    Route("GET", "/confirm/<token>", confirming.look, _LINK),
    Route("POST", "/confirm/<token>", confirming.confirm, _LINK),
    Route("GET", "/not-me/<token>", confirming.look_not_me, _LINK),
    Route("POST", "/not-me/<token>", confirming.not_me, _LINK),
    Route("GET", "/unsubscribe/<token>", leaving.look, _LINK),
    # Never limited: a mailbox provider sends the one-click requests of all its users from a few addresses.
    Route("POST", "/unsubscribe/<token>", leaving.leave, _LINK),
    *preferences.ROUTES,
    Route("GET", "/health/live", health.live, _ANY),
    Route("GET", "/health/ready", health.ready, _ANY),
    Route("GET", "/static/<path:name>", files.static, _ANY),
    Route("GET", "/robots.txt", files.robots, _ANY),
    Route("GET", "/favicon.ico", files.favicon, _ANY),
    *images.ROUTES,
    *api.ROUTES,
    *staff.ROUTES,
)

_GUARDS = {route.endpoint: route.guard for route in ROUTES}


def install(app: Flask) -> None:
    """Open the routes."""
    app.url_map.converters["slug"] = SlugConverter
    # A redirect to the tidy spelling would be made from the Host header, which anybody may write.
    app.url_map.merge_slashes = False
    for route in ROUTES:
        view = door.guarded(route) if route.guard is Guard.PROGRAM else frame.guarded(route)
        view = visitor.paced(view, route.pace) if route.pace else view
        # Pages of the console answer with a slash at the end, too, as people type addresses; by themselves, without a
        # redirect, for the same reason.
        app.add_url_rule(
            route.rule, route.endpoint, view, methods=[route.method], strict_slashes=not route.of_the_console
        )


def guard_of(endpoint: str | None) -> Guard | None:
    """The guard of the route that answers; None: no route does."""
    return _GUARDS.get(endpoint or "")
