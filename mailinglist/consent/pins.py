"""Locks on persons, on one or on many at once, and the one order in which many are taken. Writes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Select, collate, select
from sqlalchemy.orm import Session

from .tables import Person


def held(session: Session, who: ColumnElement[bool]) -> Person | None:
    """The one person of whom `who` is true, locked until the end of the transaction. As they are now, also where the
    session has looked at them before it had them locked."""
    found = select(Person).where(who).with_for_update()
    return session.scalar(found, execution_options={"populate_existing": True})


def pin_many(session: Session, persons: Select[int]) -> Sequence[int]:
    """Nobody of these persons (their ids) is erased, or gets another address, by anybody else until the end of the
    transaction. What else their rows say may still change. Returns who they are: all, where a transaction that writes
    is alone anyway."""
    theirs = select(Person.id).where(Person.id.in_(persons))
    if session.get_bind().dialect.name == "postgresql":
        theirs = theirs.order_by(in_order()).with_for_update(read=True, key_share=True)
    return session.scalars(theirs).all()


def in_order() -> ColumnElement[str]:
    """The one order in which whoever locks several persons in a transaction locks them: that of their case-folded
    addresses, by code point, which is also Python's (`requests.take`). In two orders they could wait for each other."""
    return collate(Person.folded, "C")
