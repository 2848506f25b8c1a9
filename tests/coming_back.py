"""Mails that have gone, for tests of what comes back of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from mailinglist.bulletins import drafts
from mailinglist.consent.tables import Person
from mailinglist.delivery import dispatch
from mailinglist.delivery.tables import AudiencePart, Handoff
from making import the_list

SENDER = "Tector <tiedote@lists.example.fi>"


def begun(session: Session, *, now: datetime, subject: str = "Hei") -> int:
    """A bulletin whose sending has begun, and of which nobody has a row yet."""
    bulletin = drafts.add(session, the_list(session), subject=subject, source="Moi", form="markdown", now=now)
    dispatch.send(session, bulletin.id, sender=SENDER, by="test", at=None, publishers=(), now=now)
    assert dispatch.begin_due(session, now=now) == [bulletin.id]
    return bulletin.id


def mailed(
    session: Session, bulletin: int, persons: Sequence[int], *, now: datetime, state: str = "accepted"
) -> list[int]:
    """Rows of the bulletin (0: of a letter) for these persons, in their order, that were settled at `now`."""
    about = bulletin or session.scalar(select(Handoff.id).order_by(Handoff.id.desc()).limit(1)) or 1
    values = {
        "kind": "bulletin" if bulletin else "key", "about": about, "list_id": the_list(session).id, "state": state,
        "not_before": now, "attempts": 1, "settled_at": now,
    }  # fmt: skip
    if not persons:
        return []
    made = session.scalars(
        insert(Handoff).returning(Handoff.id, sort_by_parameter_order=True),
        [{**values, "person_id": person} for person in persons],
    ).all()
    parts = session.scalars(select(AudiencePart).where(AudiencePart.bulletin_id == bulletin)).all()
    for part in parts:
        part.persons = [person for person in part.persons if person not in persons]
        part.size = len(part.persons)
    return list(made)


def everybody(session: Session) -> list[int]:
    """The ids of all persons."""
    return list(session.scalars(select(Person.id).order_by(Person.id)))
