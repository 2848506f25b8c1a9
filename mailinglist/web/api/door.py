"""Who may call: a bearer token (RFC 6750), its scope, the lists that it is good for, and how often.

A token is taken out of the header `Authorization` and out of nothing else: what stands in an address ends up in logs.
Whatever is wrong with one, the answer is the same. The body is read only behind all of this.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, abort, request
from sqlalchemy.orm import Session

from ... import db, pace
from ...consent import lists
from ...consent.tables import MailingList
from ...consent.transfer import BY_PROGRAM
from ...errors import Unknown
from ...pace import TooMany, client_of
from ...staff import audit, programs
from ...staff.audit import Actor
from ...staff.tables import ApiToken
from .. import visitor
from ..exchange import be_patient, exchange
from ..guards import Route
from .problem import Wrong

_REALM = 'Bearer realm="mailinglist"'
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE | re.ASCII)  # RFC 6750 §2.1


def guarded(route: Route) -> Callable[..., Response]:
    """The view of `route`, for whoever has a token that is good for its scope."""
    scope = route.scope
    assert scope is not None

    @wraps(route.view)
    def admitted(**values: Any) -> Response:
        token = _bearer()
        if token is None:
            visitor.spend(pace.API_REFUSED)
            raise _refused()
        visitor.pace().spend(pace.API, str(token.id))
        if scope not in token.scopes:
            raise _insufficient(f"This token is not good for {scope}.", scope=scope)
        exchange().program = token
        be_patient()  # before the body is read
        if any(isinstance(value, int) and value > db.LARGEST_NUMBER for value in values.values()):
            abort(404)  # a number that no row can have: a database would refuse to look
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


def _refused() -> Wrong:
    return Wrong(401, headers={"WWW-Authenticate": _REALM})


def _assert_good_still(session: Session) -> None:
    if not programs.good(session, token().id, now=db.utcnow()):
        raise _refused()


def _insufficient(words: str, *, scope: str | None = None) -> Wrong:
    """`scope`: what the token would have to be good for; None: it is for another list, and no scope mends that."""
    challenge = f'{_REALM}, error="insufficient_scope"' + (f', scope="{scope}"' if scope else "")
    return Wrong(403, words, headers={"WWW-Authenticate": challenge})


# ── what views ask ────────────────────────────────────────────────────────────────────────────────────────────────


def token() -> ApiToken:
    """The token of whoever calls. Only for views behind PROGRAM."""
    found = exchange().program
    assert found is not None, "this route's guard lets in who has no token"
    return found


def the_list(session: Session, slug: str) -> MailingList:
    """The list that the call names. Raises Unknown; Wrong (the token is for another one, whatever is named; or it has
    been revoked while the body came, which may take minutes)."""
    _assert_good_still(session)
    row: MailingList | None
    try:
        row = lists.find(session, slug)
    except Unknown:
        if token().list_id is None:
            raise
        row = None
    if row is None or not good_for(row.id):
        raise _insufficient("This token is good for another list only.")
    return row


def only(session: Session, slug: str | None) -> MailingList | None:
    """The list that the call names; None: it is about all lists, which takes a token for all. Raises Unknown, Wrong."""
    if slug is not None:
        return the_list(session, slug)
    _assert_good_still(session)
    if token().list_id is not None:
        raise _insufficient("This token is good for one list only: name it as “list”.")
    return None


def good_for(list_id: int) -> bool:
    """Whether the token is good for what is of this list."""
    return token().list_id in (None, list_id)


def actor() -> Actor:
    """The program, as the audit and the ledger's evidence know it."""
    return programs.actor(token(), visitor.client())


def origin(source: str) -> dict[str, str]:
    """What the ledger keeps of where an act came from; no network address, which would be the program's own."""
    return {"how": BY_PROGRAM, "source": source, **handed_on()}


def handed_on() -> dict[str, str]:
    """What evidence says of who handed it on: the system's name, for whom it is about (GDPR 15(1)(g)), and for staff
    which token it was."""
    return {"system": token().name, "recorded_by": actor().who}


def note(session: Session, act: str, *, about: str = "", **detail: Any) -> None:
    """Write into the audit what the program does, in its own transaction."""
    audit.note(session, act, by=actor(), about=about, now=db.utcnow(), **detail)


def spend_on_names() -> None:
    """Count one call that asks by name. Raises Wrong (429)."""
    try:
        visitor.pace().spend(pace.API_NAMES, str(token().id))
    except TooMany as error:
        words = "Too many calls with names. Ask about many names in one call; wait as long as Retry-After says."
        raise Wrong(429, words, headers={"Retry-After": str(error.wait)}) from None


def spend_as(what: str, client: str) -> None:
    """Count one use of `what` by the visitor for whom the program calls. Raises Wrong (429)."""
    try:
        visitor.pace().spend(what, client_of(client))
    except TooMany as error:
        words = "This visitor (“client”) has asked too often. They may ask again after Retry-After; others may now."
        raise Wrong(429, words, headers={"Retry-After": str(error.wait)}) from None
