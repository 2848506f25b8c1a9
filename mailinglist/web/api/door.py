"""Who may call: a bearer token (RFC 6750), its scope, the lists that it is good for, and how often.

A token is taken out of the header `Authorization` and out of nothing else: what stands in an address ends up in logs.
Whatever is wrong with one, the answer is the same. The body is read only behind all of this.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, request
from sqlalchemy.orm import Session

from ... import db, pace
from ...consent import lists
from ...consent.tables import MailingList
from ...errors import Unknown
from ...pace import client_of
from ...staff import audit, programs
from ...staff.audit import Actor
from ...staff.tables import ApiToken
from .. import visitor
from ..exchange import be_patient, exchange
from ..guards import Route
from .problem import Wrong

_REALM = 'Bearer realm="mailinglist"'
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE | re.ASCII)  # RFC 6750 §2.1
_UNKNOWN = "A good token is needed, in the header: Authorization: Bearer TOKEN."


def guarded(route: Route) -> Callable[..., Response]:
    """The view of `route`, for whoever has a token that is good for its scope."""
    scope = route.scope
    assert scope is not None

    @wraps(route.view)
    def admitted(**values: Any) -> Response:
        token = _bearer()
        if token is None:
            visitor.spend(pace.API_REFUSED)
            raise Wrong(401, _UNKNOWN, headers={"WWW-Authenticate": _REALM})
        visitor.pace().spend(pace.API, str(token.id))
        if scope not in token.scopes:
            raise _insufficient(scope, f"This token is not good for {scope}.")
        exchange().program = token
        be_patient()  # before the body is read
        return route.view(**values)

    return admitted


def _bearer() -> ApiToken | None:
    presented = _BEARER.fullmatch(request.headers.get("Authorization", "").strip())
    if presented is None:
        return None
    now = db.utcnow()
    with db.reading() as session:
        token = programs.bearer(session, presented[1], now=now)
        session.expunge_all()
    if token is not None and programs.unnoted(token, now=now):
        with db.transaction() as session:
            programs.used(session, token.id, now=now)
    return token


def _insufficient(scope: str, words: str) -> Wrong:
    challenge = f'{_REALM}, error="insufficient_scope", scope="{scope}"'
    return Wrong(403, words, headers={"WWW-Authenticate": challenge})


# ── what views ask ────────────────────────────────────────────────────────────────────────────────────────────────


def token() -> ApiToken:
    """The token of whoever calls. Only for views behind PROGRAM."""
    found = exchange().program
    assert found is not None, "this route's guard lets in who has no token"
    return found


def the_list(session: Session, slug: str) -> MailingList:
    """The list that the call names. Raises Unknown; Wrong (the token is for another one, whatever is named)."""
    row: MailingList | None
    try:
        row = lists.find(session, slug)
    except Unknown:
        if token().list_id is None:
            raise
        row = None
    if row is None or token().list_id not in (None, row.id):
        raise _insufficient(" ".join(token().scopes), "This token is good for another list only.")
    return row


def only(session: Session, slug: str | None) -> MailingList | None:
    """The list that the call names; None: it is about all lists, which takes a token for all. Raises Unknown, Wrong."""
    if slug is not None:
        return the_list(session, slug)
    if token().list_id is not None:
        raise _insufficient(" ".join(token().scopes), "This token is good for one list only: name it as “list”.")
    return None


def assert_reads(list_id: int, words: str) -> None:
    """Raise Unknown, with these words, where what was asked for is of a list that the token is not good for."""
    if token().list_id not in (None, list_id):
        raise Unknown(words)


def actor() -> Actor:
    """The program, as the audit and the ledger's evidence know it."""
    return programs.actor(token(), visitor.client())


def origin(source: str) -> dict[str, str]:
    """What the ledger keeps of where an act came from; no network address, which would be the program's own."""
    return {"how": "api", "source": source, "recorded_by": actor().who}


def note(session: Session, act: str, *, about: str = "", **detail: Any) -> None:
    """Write into the audit what the program does, in its own transaction."""
    audit.note(session, act, by=actor(), about=about, now=db.utcnow(), **detail)


def spend_as(what: str, client: str) -> None:
    """Count one use of `what` by the visitor for whom the program calls. Raises TooMany."""
    visitor.pace().spend(what, client_of(client))
