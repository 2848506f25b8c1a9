"""The registrar's search: persons by the start of their address, or by its domain. Reads only.

Paged by key, in the order of the address. Both ways are ranges of an index that compares bytes (see `tables`), so that
they cost the same whatever the collation of the database and however many persons there are.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from ..db import among
from ..errors import BadInput
from .states import State
from .tables import MailingList, Person, Subscription

PAGE = 50
MAX_PAGE = 200
_PIECE = 1000
_PIECES = 10
_COLUMNS: tuple[Any, ...] = (Person.id, Person.folded, Person.mailbox, Person.name, Person.language)


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody stands on one list."""

    list: str
    state: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """One person of a page."""

    id: int
    address: str
    name: str | None
    language: str
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of what was found."""

    persons: tuple[Found, ...]
    next: str | None
    """Hand it in as `after` for the page that follows; None: this is the last."""


def by_address(
    session: Session,
    wanted: str,
    *,
    list_id: int | None = None,
    state: str | None = None,
    after: str | None = None,
    limit: int = PAGE,
) -> Page:
    """Persons whose address begins with `wanted`, or, where that begins with @, has that domain; empty: everybody.

    `list_id` and `state` keep those who stand so on that list (on any, where only the state is given). With a filter a
    page may hold fewer than `limit` persons, even none, and still have a `next`: a page looks at a bounded number of
    persons, so that a filter that few pass costs no more than another. Raises BadInput.
    """
    if state is not None and (state not in tuple(State) or state == State.NONE.value):
        raise BadInput("There is no such state.")
    limit = max(1, min(limit, MAX_PAGE))
    candidates = _candidates(wanted)
    filtered = list_id is not None or state is not None
    if not filtered:
        rows = session.execute(_after(candidates, after).limit(limit + 1)).all()
        return _page(session, rows[:limit], rows[limit - 1].folded if len(rows) > limit else None)
    # In pieces from the index, each looked up in the subscriptions by its key: no plan that the planner might get
    # wrong, such as reading a whole list for a page of it.
    kept: list[Any] = []
    for _ in range(_PIECES):
        piece = session.execute(_after(candidates, after).limit(_PIECE)).all()
        passed = _passing(session, [row.id for row in piece], list_id, state)
        kept.extend(row for row in piece if row.id in passed)
        if len(kept) > limit:
            return _page(session, kept[:limit], kept[limit - 1].folded)
        if len(piece) < _PIECE:
            return _page(session, kept, None)
        after = piece[-1].folded
    return _page(session, kept, after)


def _candidates(wanted: str) -> Select[Any]:
    rows = select(*_COLUMNS).order_by(Person.folded)
    wanted = unicodedata.normalize("NFC", wanted.strip().casefold())
    if len(wanted) > 320 or "\0" in wanted:
        raise BadInput("That is no part of an address.")
    if wanted.startswith("@"):
        domain = wanted[1:]
        if not domain.isascii():
            domain = _a_labels(domain)
        # Ordered by both columns of the index, so that it is read in its order.
        return rows.where(Person.domain == domain).order_by(None).order_by(Person.domain, Person.folded)
    if wanted:
        rows = rows.where(Person.folded >= wanted)
        above = _above(wanted)
        if above is not None:
            rows = rows.where(Person.folded < above)
    return rows


def _after(candidates: Select[Any], after: str | None) -> Select[Any]:
    return candidates if after is None else candidates.where(Person.folded > after)


def _above(start: str) -> str | None:
    """The least text that is above all that begin with `start`, by bytes of UTF-8 (the order of code points)."""
    for end in range(len(start), 0, -1):
        code = ord(start[end - 1]) + 1
        if 0xD800 <= code <= 0xDFFF:
            code = 0xE000  # surrogates are no characters
        if code <= 0x10FFFF:
            return start[: end - 1] + chr(code)
    return None


def _a_labels(domain: str) -> str:
    try:
        return domain.encode("idna").decode()
    except UnicodeError:
        raise BadInput("That is no domain name.") from None


def _passing(session: Session, persons: list[int], list_id: int | None, state: str | None) -> set[int]:
    rows: Select[Any] = select(Subscription.person_id).where(among(Subscription.person_id, persons))
    if list_id is not None:
        rows = rows.where(Subscription.list_id == list_id)
    if state is not None:
        rows = rows.where(Subscription.state == state)
    return set(session.scalars(rows))


def _page(session: Session, rows: Sequence[Any], following: str | None) -> Page:
    places: dict[int, list[Place]] = {row.id: [] for row in rows}
    standings = session.execute(
        select(Subscription.person_id, MailingList.slug, Subscription.state, Subscription.since)
        .join(MailingList, MailingList.id == Subscription.list_id)
        .where(among(Subscription.person_id, list(places)))
        .order_by(MailingList.id)
    )
    for person_id, slug, state, since in standings:
        places[person_id].append(Place(slug, state, since))
    return Page(
        tuple(Found(row.id, row.mailbox, row.name, row.language, tuple(places[row.id])) for row in rows), following
    )
