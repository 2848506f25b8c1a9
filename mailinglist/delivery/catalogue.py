"""All bulletins of a list with where each stands, for the page that lists them. It reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, case, exists, func, select
from sqlalchemy.orm import Session

from ..bulletins.tables import Bulletin, Issue
from .tables import Dispatch, Hold

STATES = ("draft", "asked", "approved", "scheduled", "sending", "paused", "sent", "cancelled")
"""Where a bulletin can stand; `asked`: its approval is asked for."""


@dataclass(frozen=True, slots=True)
class Line:
    """One bulletin."""

    id: int
    list_id: int
    subject: str
    form: str
    state: str
    changed_at: datetime
    created_by: str
    due_at: datetime | None
    audience: int | None
    """How many it was for, once its sending began."""
    held: bool = False
    """It would go, but all of its list stands still, since too many complained."""


def page(
    session: Session, list_id: int | None, *, state: str | None = None, before_id: int | None = None, limit: int = 50
) -> list[Line]:
    """The newest first, below an id; of one list or of all, in one state or in any. Templates and what was removed are
    not among them."""
    stands = _state()
    wanted = (
        select(
            Bulletin.id, Bulletin.list_id, Bulletin.subject, Bulletin.form, stands, Bulletin.changed_at,
            Bulletin.created_at, Bulletin.created_by, Dispatch.due_at, Dispatch.audience, func.coalesce(_held(), False),
        )
        .outerjoin(Dispatch, Dispatch.bulletin_id == Bulletin.id)
        .outerjoin(Issue, Issue.bulletin_id == Bulletin.id)
        .where(Bulletin.template.is_(False), Bulletin.removed_at.is_(None))
        .order_by(Bulletin.id.desc())
        .limit(limit)
    )  # fmt: skip
    if list_id is not None:
        wanted = wanted.where(Bulletin.list_id == list_id)
    if state is not None:
        wanted = wanted.where(stands == state)
    if before_id is not None:
        wanted = wanted.where(Bulletin.id < before_id)
    return [
        Line(number, of_list, subject, form, where, changed or created, by, due, audience, held)
        for number, of_list, subject, form, where, changed, created, by, due, audience, held in session.execute(wanted)
    ]


def _held() -> ColumnElement[bool]:
    lies = exists().where(Hold.list_id == Bulletin.list_id, Hold.lifted_at.is_(None))
    return and_(Dispatch.state.in_(("scheduled", "sending")), lies)


def _state() -> ColumnElement[str]:
    return case(
        (Dispatch.state.is_not(None), Dispatch.state),
        (Issue.bulletin_id.is_not(None), "approved"),
        (Bulletin.asked_at.is_not(None), "asked"),
        else_="draft",
    )
