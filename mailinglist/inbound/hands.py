"""Which mails each worker has in hand. The only writer of spool_hands.

A transaction that dies with its worker leaves no trace: a mail that kills whoever handles it (no memory, a fault in a
library) would kill the next worker as well, for ever, and hold up all that comes after it. So a worker writes down what
it takes before it reads it, and crosses it out in the transaction that marks it. What is left of a worker that was not
seen for STILL was in its hand when it died; `spool.died` counts that, and after some deaths sets the mail aside.

A worker that is only slow may be taken for dead. That does no harm: the mail's row is locked while it is handled, and
it is handled once.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Collection, Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.orm import Session

from ..db import among, clock, insert_new
from .tables import InHand

STILL = timedelta(seconds=10)
BEAT = 2.0
"""Seconds after which a worker that goes on says so."""
_PROCESS = secrets.token_hex(4)
_NO_OBJECTS = {"synchronize_session": False}


def mine() -> str:
    """The name of this thread's hand: no other process has it, also none that was forked from the same one."""
    return f"{_PROCESS}.{os.getpid():x}.{threading.get_ident():x}"[:32]


def take(session: Session, numbers: Sequence[int]) -> list[int]:
    """Take these mails in hand; which of them nobody else had taken. It counts once it is committed."""
    if not numbers:
        return []
    at = clock(session)
    rows = [{"mail_id": number, "hand": mine(), "beat_at": at} for number in sorted(numbers)]
    added = insert_new(session, InHand).on_conflict_do_nothing().returning(InHand.mail_id)
    return sorted(session.scalars(added, rows))


def beat(session: Session) -> None:
    """This worker goes on."""
    theirs = update(InHand).where(InHand.hand == mine()).values(beat_at=clock(session))
    session.execute(theirs, execution_options=_NO_OBJECTS)


def let_go(session: Session, numbers: Collection[int] | None = None) -> None:
    """This worker is done with these mails; None: with all that it has."""
    which = InHand.hand == mine()
    if numbers is not None:
        which = which & among(InHand.mail_id, sorted(numbers))
    session.execute(delete(InHand).where(which), execution_options=_NO_OBJECTS)


def any_left(session: Session) -> bool:
    """Whether anything is in the hand of the dead, or in this one's from before. Reads only."""
    return (
        session.scalar(select(InHand.mail_id).where(or_(InHand.hand == mine(), _still(session))).limit(1)) is not None
    )


def of_the_dead(session: Session) -> list[int]:
    """Take away what is in the hands of those that were not seen for STILL: which mails that were."""
    gone = delete(InHand).where(_still(session), InHand.hand != mine()).returning(InHand.mail_id)
    return sorted(session.scalars(gone, execution_options=_NO_OBJECTS))


def clear(session: Session) -> None:
    """After a restore: nobody has anything in hand."""
    session.execute(delete(InHand), execution_options=_NO_OBJECTS)


def _still(session: Session) -> ColumnElement[bool]:
    return InHand.beat_at < clock(session) - STILL
