"""The account of one bulletin: audience = accepted + deferred + rejected + excluded + uncertain + pending, always.

It costs as much as a bulletin has exceptions, whatever its audience. What a person decides about the uncertain ones is
written here; all else about rows is in `handoffs`.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, exists, func, literal_column, select, union_all, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from ..consent.tables import Person
from ..db import NO_OBJECTS, among, changed
from .handoffs import BULLETIN, OPEN, RARE, in_parts, parts_of
from .tables import Handoff

_ACCEPTED = Handoff.state == literal_column("'accepted'")


def counts(session: Session, bulletin_id: int) -> dict[str, int]:
    """How many of one bulletin's audience are in each state but `accepted`; `waiting`: have no row yet.

    Everybody else is accepted: so the account costs as much as it has exceptions, whatever the audience. One statement,
    so that nobody is seen twice on the way from one state to another.
    """
    ours = (Handoff.kind == BULLETIN, Handoff.about == bulletin_id)
    # In expressions, so that the index of what is held serves, and not the key with all of the bulletin's rows.
    in_hand = (Handoff.shift_id.is_not(None), Handoff.kind + "" == BULLETIN, Handoff.about + 0 == bulletin_id)
    rows = session.execute(
        union_all(
            select(Handoff.state, func.count()).where(*ours, RARE).group_by(Handoff.state),
            select(literal_column("'pending'"), func.count()).where(*ours, OPEN, Handoff.state == "pending"),
            select(literal_column("'handing'"), func.count()).where(*in_hand),
            select(literal_column("'waiting'"), in_parts(bulletin_id).scalar_subquery()),
        )
    )
    return dict(rows.all())


def recount(session: Session, bulletin_id: int) -> int:
    """How many rows one bulletin has, each of them looked at: once all have gone, as many as its audience."""
    return session.scalar(select(func.count()).where(Handoff.kind == BULLETIN, Handoff.about == bulletin_id)) or 0


def acceptances(session: Session, bulletin_id: int) -> tuple[datetime | None, datetime | None]:
    """First and last acceptance of one bulletin. Two look-ups in an index."""
    accepted = select(Handoff.settled_at).where(Handoff.kind == BULLETIN, Handoff.about == bulletin_id, _ACCEPTED)
    first = session.scalar(accepted.order_by(Handoff.settled_at).limit(1))
    return first, session.scalar(accepted.order_by(Handoff.settled_at.desc()).limit(1))


def unfinished(session: Session, bulletin_id: int) -> bool:
    """Whether anything is pending or being handed over. Look-ups in the indexes, not a count; in one statement, so that
    a row on its way from one state to another is seen in one of them."""
    ours = (Handoff.kind == BULLETIN, Handoff.about == bulletin_id)
    pending = exists().where(*ours, OPEN, Handoff.state == "pending")
    in_hand = exists().where(*ours, Handoff.shift_id.is_not(None))
    return bool(session.scalar(select(parts_of(bulletin_id) | pending | in_hand)))


def uncertain(session: Session, bulletin_id: int) -> list[tuple[str | None, datetime | None]]:
    """Who may or may not have got the bulletin: the address (None: erased), and since when nobody knows."""
    rows = session.execute(
        select(Person.mailbox, Handoff.settled_at)
        .select_from(Handoff)
        .outerjoin(Person, Person.id == Handoff.person_id)
        .where(Handoff.kind == BULLETIN, Handoff.about == bulletin_id, Handoff.state == "uncertain")
        .order_by(Handoff.id)
    )
    return [(mailbox, at) for mailbox, at in rows]


def resolve(
    session: Session, bulletin_id: int, *, resend: bool, by: str, only: Collection[int] | None = None, now: datetime
) -> int:
    """A person has decided about the uncertain rows, or `only` those with these ids: they count as accepted, or go once
    more. Returns how many."""
    values: dict[str, object] = (
        {
            "state": "pending", "not_before": now, "attempts": 0, "first_tried_at": None,
            "reply": f"sent again: {by} decided",
        }
        if resend
        else {"state": "accepted", "reply": f"counted as accepted: {by} decided"}
    )  # fmt: skip
    wanted = update(Handoff).where(Handoff.kind == BULLETIN, Handoff.about == bulletin_id, Handoff.state == "uncertain")
    if only is not None:
        wanted = wanted.where(among(Handoff.id, only))
    return changed(session.execute(wanted.values(**values), execution_options=NO_OBJECTS))


def open_rows(bulletin_id: ColumnElement[int] | InstrumentedAttribute[int] | int) -> ColumnElement[bool]:
    """SQL: the bulletin has rows that may go, now or later, or somebody who has no row yet."""
    return exists().where(Handoff.kind == BULLETIN, Handoff.about == bulletin_id, OPEN) | parts_of(bulletin_id)
