"""Tasks: what a person of ours has to do by a date. The only writer of its table.

What the law lets the program do at once, it does. The rest becomes a task here, with the date by which the person must
have their answer: one month (GDPR 12(3)). Tasks stand on the console's first page and in the owner's daily mail until
somebody writes down what was done.
"""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from .. import moments
from ..db import NO_OBJECTS, changed
from ..errors import BadInput, NotAllowed, Unknown
from .tables import Task

OTHER, ADDRESS, ERASE, TELL_RECIPIENT = "other", "address", "erase", "tell_recipient"
KINDS = (OTHER, ADDRESS, ERASE, TELL_RECIPIENT)
"""other: what the person wrote on their own page, or told us; address: the address is to be corrected (GDPR 16); erase:
they want to be erased, and it has to be made sure first who they are (GDPR 12(6), 17); tell_recipient: somebody whom
data was given to has to be told of a correction or erasure (GDPR 19)."""
ASKED = (OTHER, ADDRESS, ERASE)
"""What a person asked for themselves: it ends with their erasure."""

MAX_WORDS = 4000
MOST_OPEN = 5
"""Of what one person asked for; more are more words to the same."""
SOON = timedelta(days=7)
"""A task that is due within this time is urgent."""
_BY_ERASURE = "erasure"


def in_a_month(now: datetime) -> datetime:
    """One month from now, to the day (GDPR 12(3); Regulation 1182/71, article 3(2)(c)): a shorter month ends it
    earlier."""
    year, month = (now.year + 1, 1) if now.month == 12 else (now.year, now.month + 1)
    return now.replace(year=year, month=month, day=min(now.day, calendar.monthrange(year, month)[1]))


def open(  # noqa: A001 - a task is opened; the file built-in is of no use here
    session: Session, kind: str, *, person_id: int | None, words: str, due_at: datetime, now: datetime
) -> Task:
    """Open a task. Raises BadInput (no such kind; no words, or too many); NotAllowed (the person has asked for
    MOST_OPEN things that nobody has answered yet)."""
    words = tidied(words)
    if kind not in KINDS:
        raise BadInput("There is no such kind of task.")
    if kind in ASKED and person_id is not None:
        asked = select(func.count()).where(Task.person_id == person_id, Task.kind.in_(ASKED), Task.done_at.is_(None))
        if (session.scalar(asked) or 0) >= MOST_OPEN:
            raise NotAllowed("Some of what you asked for still waits for an answer. Please wait for it first.")
    task = Task(kind=kind, person_id=person_id, words=words, opened_at=now, due_at=due_at)
    session.add(task)
    session.flush()
    return task


def tidied(words: str) -> str:
    """Words as they are kept. Raises BadInput."""
    words = words.replace("\r\n", "\n").strip()
    if not words:
        raise BadInput("Write in a few words what it is about.")
    if len(words) > MAX_WORDS:
        raise BadInput("That is too long: at most 4,000 characters.")
    if not words.replace("\n", "").replace("\t", "").isprintable():
        raise BadInput("The text holds control characters.")
    return words


def waiting(session: Session, limit: int = 50) -> Sequence[Task]:
    """Tasks that nobody has done yet, the most urgent first."""
    return session.scalars(select(Task).where(Task.done_at.is_(None)).order_by(Task.due_at, Task.id).limit(limit)).all()


def recent(session: Session, limit: int = 50) -> Sequence[Task]:
    """Tasks that were done, the latest first."""
    return session.scalars(
        select(Task).where(Task.done_at.is_not(None)).order_by(Task.done_at.desc(), Task.id.desc()).limit(limit)
    ).all()


def of(session: Session, person_id: int) -> Sequence[Task]:
    """All tasks about one person, oldest first: part of what they may see (GDPR 15)."""
    return session.scalars(select(Task).where(Task.person_id == person_id).order_by(Task.id)).all()


def count(session: Session, *, now: datetime) -> tuple[int, int]:
    """How many tasks wait, and how many of them are due within a week or overdue."""
    # Who asked by a clock that was ahead would else be answered too late.
    due_soon = func.count().filter(or_(Task.due_at < now + SOON, Task.opened_at > moments.latest(now)))
    number, soon = session.execute(select(func.count(), due_soon).where(Task.done_at.is_(None))).one()
    return number, soon


def done(session: Session, id: int, *, who: str, words: str, now: datetime) -> Task:  # noqa: A002 - as agreed
    """Write down that it was done, and how. Raises Unknown; NotAllowed (it was done already); BadInput."""
    words = tidied(words)
    task = session.get(Task, id, with_for_update=True, populate_existing=True)
    if task is None:
        raise Unknown("There is no such task.")
    if task.done_at is not None:
        raise NotAllowed("This task is done already.")
    task.done_at, task.done_by, task.done_words = now, who[:200], words
    session.flush()
    return task


def forget(session: Session, person_id: int, now: datetime) -> int:
    """An erasure's share: what the person asked for is over, and no task about them keeps any words. Returns how many
    tasks that were. To whom an erasure must be told stays, with its words: it comes after."""
    own = (Task.person_id == person_id, Task.kind.in_(ASKED))
    session.execute(
        update(Task).where(*own, Task.done_at.is_(None)).values(done_at=now, done_by=_BY_ERASURE),
        execution_options=NO_OBJECTS,
    )
    emptied = session.execute(update(Task).where(*own).values(words="", done_words=None), execution_options=NO_OBJECTS)
    # What was written about telling others may name them too.
    others = (Task.person_id == person_id, Task.done_words.is_not(None))
    session.execute(update(Task).where(*others).values(done_words=None), execution_options=NO_OBJECTS)
    return changed(emptied)


def clear(session: Session, *, before: datetime, limit: int) -> int:
    """Delete up to `limit` tasks that were done before this moment. Returns how many went."""
    old = select(Task.id).where(Task.done_at < before).order_by(Task.done_at).limit(limit)
    return changed(session.execute(delete(Task).where(Task.id.in_(old)), execution_options=NO_OBJECTS))
