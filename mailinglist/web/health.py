"""For the operator: is the process alive, and can it do its work?"""

from __future__ import annotations

from functools import cache

from flask import Response, jsonify
from sqlalchemy.exc import SQLAlchemyError

from .. import db, migrate
from ..consent import keys
from ..errors import RegisterUnsound
from . import pages, visitor


def live() -> Response:
    """GET: 200 while the process answers at all."""
    return pages.text("ok")


def ready() -> Response:
    """GET: 200 when requests can be written down, else 503; each part with what is wrong with it.

    The broker is reported and not required: without it pages work, and the sweep finds what they wrote. So is a restore
    that is not complete: nothing is sent then, but who leaves must be let.
    """
    told = {}
    parts = {"database": "unreachable", "revision": "unknown", "ban_key": "unknown"}
    try:
        with db.reading() as session:
            parts["revision"] = "ok" if migrate.revision(session) == _newest() else "not the newest"
            parts["database"] = "ok"
            if parts["revision"] == "ok":
                keys.assert_key(session)
                parts["ban_key"] = "ok"
                if keys.held(session):
                    told["restore"] = "not complete: nothing is sent"
    except RegisterUnsound:
        parts["ban_key"] = "wrong"
    except SQLAlchemyError:
        pass
    sound = all(state == "ok" for state in parts.values())
    response = jsonify(parts | told | {"broker": "ok" if visitor.pace().reachable() else "unreachable"})
    response.status_code = 200 if sound else 503
    response.headers["Cache-Control"] = "no-store"
    return response


@cache
def _newest() -> str:
    return migrate.head()
