"""What mail servers said of somebody's mail, kept with its row of handoffs: deleted by erasure, and after its time.

The rows themselves stay, for the account: numbers and states, and no name.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import ColumnElement, func, literal_column, select, update
from sqlalchemy.orm import Session

from ..db import NO_OBJECTS, among, changed
from .handoffs import BULLETIN
from .tables import Handoff

_LETTER = Handoff.kind != literal_column(f"'{BULLETIN}'")


def forget(session: Session, person_id: int) -> int:
    """Delete what servers said about this person. The rows stay, for the account: numbers and states, and no name.

    Returns how many rows are kept.
    """
    theirs = (Handoff.person_id == person_id, Handoff.kind == BULLETIN, Handoff.about.in_(select(_every_bulletin())))
    kept = 0
    for rows in (theirs, (Handoff.person_id == person_id, _LETTER)):
        made = session.execute(update(Handoff).where(*rows).values(reply=None), execution_options=NO_OBJECTS)
        kept += changed(made)
    return kept


def forget_answers(session: Session, *, after: int, before: datetime, limit: int) -> tuple[int, int]:
    """Delete what servers said, of the next `limit` rows after this id that were settled before this moment.

    Rows are made in the order of time, so that one walk through the ids is enough, and none is looked at again. Returns
    how many answers went, and the last id that was looked at: `after` itself at the end of the walk.
    """
    rows = session.execute(
        select(Handoff.id, func.coalesce(Handoff.settled_at, Handoff.not_before), Handoff.reply.is_not(None))
        .where(Handoff.id > after)
        .order_by(Handoff.id)
        .limit(limit)
    ).all()
    last, answered = after, []
    for number, at, said in rows:
        if at.replace(tzinfo=at.tzinfo or UTC) >= before:
            break
        last = number
        if said:
            answered.append(number)
    session.execute(
        update(Handoff).where(among(Handoff.id, answered)).values(reply=None),
        execution_options=NO_OBJECTS,
    )
    return len(answered), last


def answered(session: Session, *, after: int, before: datetime) -> int:
    """How many answers `forget_answers` would delete."""
    at = func.coalesce(Handoff.settled_at, Handoff.not_before)
    wanted = (Handoff.id > after, at < before, Handoff.reply.is_not(None))
    return session.scalar(select(func.count()).select_from(Handoff).where(*wanted)) or 0


def _every_bulletin() -> ColumnElement[int]:
    """SQL: the bulletins that have rows, found by leaps through the key: an index by person would cost every mail."""
    ours = Handoff.kind == BULLETIN
    leap = select(func.min(Handoff.about).label("about")).where(ours).cte("leap", recursive=True, nesting=True)
    further = select(func.min(Handoff.about)).where(ours, Handoff.about > leap.c.about).scalar_subquery()
    leap = leap.union_all(select(further).where(leap.c.about.is_not(None)))
    return leap.c.about
