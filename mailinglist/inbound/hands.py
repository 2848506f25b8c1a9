"""Which mails each worker has in hand. The only writer of spool_hands.

A transaction that dies with its worker leaves no trace: a mail that kills whoever handles it (no memory, a fault in a
library) would kill the next worker as well, for ever, and hold up all that comes after it. So a worker writes down what
it takes before it reads it, and crosses it out in the transaction that marks it. What is left of a worker that is dead
was in its hand when it died; `spool.died` counts that, and after some deaths sets the mail aside.

A worker is dead when it has been silent (`db.dead_after`) and its process is gone. Of a process of another machine
nobody can say that: there silence decides, as long again, by this worker's own watch: while the database was away all
were silent. A worker beats from a thread of its own, so it is not silent because one mail takes long; but one in which
nothing goes on any more (HANGS) is as good as dead, and its mail as good as deadly.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from flask import Flask
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from .. import moments, observe
from ..db import NO_OBJECTS, among, clock, dead_after, insert_new
from ..heartbeat import Heartbeat
from . import processes
from .tables import InHand

_log = observe.logger(__name__)

HANGS = timedelta(minutes=10)
"""Reading a mail and doing what it asks for takes no longer: after that its worker stops beating, and after as long
again it counts as dead."""
_PROCESS = secrets.token_hex(4)
_silent_since: dict[tuple[str, datetime], float] = {}
"""Hands that this process sees silent since their last beat: from when on, in seconds of its own clock."""


def mine() -> str:
    """The name of this thread's hand: no other process has it, also none that was forked from the same one."""
    return f"{_PROCESS}.{os.getpid():x}.{threading.get_ident():x}"[:32]


def take(session: Session, numbers: Sequence[int]) -> list[int]:
    """Take these mails in hand; which of them nobody else had taken. It counts once it is committed."""
    if not numbers:
        return []
    alike = {"hand": mine(), "process": processes.own(), "beat_at": clock(session)}
    rows = [{"mail_id": number, **alike} for number in sorted(numbers)]
    added = insert_new(session, InHand).on_conflict_do_nothing().returning(InHand.mail_id)
    return sorted(session.scalars(added, rows))


def let_go(session: Session, numbers: Collection[int] | None = None) -> None:
    """This worker is done with these mails; None: with all that it has."""
    which = InHand.hand == mine()
    if numbers is not None:
        which = which & among(InHand.mail_id, sorted(numbers))
    session.execute(delete(InHand).where(which), execution_options=NO_OBJECTS)


def any_left(session: Session) -> bool:
    """Whether anything is in the hand of the dead, or in this one's from before. Reads only."""
    own = session.scalar(select(InHand.mail_id).where(InHand.hand == mine()).limit(1))
    return own is not None or bool(_dead(session))


def of_the_dead(session: Session) -> list[int]:
    """Take away what is in the hands of dead workers: which mails that were."""
    silent = InHand.beat_at < clock(session) - dead_after(session)  # still, as it is taken away
    gone = delete(InHand).where(InHand.hand.in_(_dead(session)), silent).returning(InHand.mail_id)
    return sorted(session.scalars(gone, execution_options=NO_OBJECTS))


def put_right(session: Session) -> None:
    """A beat by a clock that was ahead counts as one of now: whoever is dead is found so from here on."""
    now = clock(session)
    ahead = update(InHand).where(InHand.beat_at > moments.latest(now)).values(beat_at=now)
    session.execute(ahead, execution_options=NO_OBJECTS)


def clear(session: Session) -> None:
    """After a restore: nobody has anything in hand."""
    session.execute(delete(InHand), execution_options=NO_OBJECTS)


def _dead(session: Session) -> list[str]:
    """The hands of dead workers."""
    patience = dead_after(session)
    last = func.max(InHand.beat_at)
    silent = session.execute(
        select(InHand.hand, InHand.process, last)
        .where(InHand.hand != mine())
        .group_by(InHand.hand, InHand.process)
        .having(last < clock(session) - patience)
    ).all()
    now = time.monotonic()
    since = {(hand, beat_at): _silent_since.get((hand, beat_at), now) for hand, _process, beat_at in silent}
    _silent_since.clear()
    _silent_since.update(since)
    dead = []
    for hand, process, beat_at in silent:
        lives = processes.lives(process)
        waits = HANGS if lives else patience
        if lives is False or now - since[hand, beat_at] >= waits.total_seconds():
            dead.append(hand)
    return dead


class AtWork(Heartbeat):
    """`with AtWork(app) as work: … work.went_on()`: says that this thread's hand is alive."""

    def __init__(self, app: Flask) -> None:
        super().__init__(app, "hand")
        self._hand = mine()
        self._went_on = time.monotonic()

    def went_on(self) -> None:
        """One more mail is done with."""
        self._went_on = time.monotonic()

    def beat(self, session: Session) -> bool:
        """False: nothing goes on any more."""
        if time.monotonic() - self._went_on > HANGS.total_seconds():
            _log.error("worker_hangs_in_a_mail", hand=self._hand)
            return False
        theirs = update(InHand).where(InHand.hand == self._hand).values(beat_at=clock(session))
        session.execute(theirs, execution_options=NO_OBJECTS)
        return True
