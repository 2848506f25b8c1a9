"""What was mailed to one person, for their page and for their own data (GDPR 15). Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from ..bulletins.tables import Bulletin
from ..consent.tables import MailingList
from .tables import Handoff


@dataclass(frozen=True, slots=True)
class Received:
    """One mail to a person, handed over or not."""

    id: int
    kind: str
    """bulletin, or the letter: confirm, already, leave, welcome."""
    about: int
    """The bulletin; of a letter, what it answers."""
    list: str | None
    subject: str | None
    """Of a bulletin."""
    state: str
    attempts: int
    first_tried_at: datetime | None
    settled_at: datetime | None
    code: int | None
    reply: str | None
    """What the mail server said, or the gate's reason."""


def by_person(
    session: Session, person_id: int, *, before_id: int | None = None, limit: int | None = None
) -> list[Received]:
    """The person's mails, newest first; `before_id` pages on. Without `limit`: all of them."""
    wanted = (
        select(
            Handoff.id, Handoff.kind, Handoff.about, MailingList.slug, Bulletin.subject, Handoff.state,
            Handoff.attempts, Handoff.first_tried_at, Handoff.settled_at, Handoff.code, Handoff.reply,
        )
        .outerjoin(MailingList, MailingList.id == Handoff.list_id)
        .outerjoin(Bulletin, and_(Handoff.kind == "bulletin", Bulletin.id == Handoff.about))
        .where(Handoff.person_id == person_id)
        .order_by(Handoff.id.desc())
        .limit(limit)
    )  # fmt: skip
    if before_id is not None:
        wanted = wanted.where(Handoff.id < before_id)
    return [Received(*row) for row in session.execute(wanted)]
