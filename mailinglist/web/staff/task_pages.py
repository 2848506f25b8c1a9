"""Tasks: what persons asked for that the program can't do by itself, each with the day by which they have their answer
(GDPR 12(3))."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import Response, request
from sqlalchemy.orm import Session

from ... import db
from ...consent import register
from ...errors import BadInput, NotAllowed, Unknown
from ...privacy import tasks
from ...privacy.tables import Task
from ...staff import audit
from ...staff.levels import Right
from .. import pages, registry_words
from ..guards import Guard, Route
from . import frame

_MOST = 100
_MOST_DONE = 20


@dataclass(frozen=True, slots=True)
class Shown:
    """A task in words."""

    task: Task
    what: str
    address: str | None
    """Of the person, while they are in the register."""
    due: tuple[str, str] | None
    """A word about how near its day is, and what kind of badge."""


def index() -> Response:
    """GET: what waits, by its day; and what was done lately. A look at persons is in the audit."""
    return _index()


def done(number: int) -> Response:
    """POST: it was done, in words."""
    words = request.form.get("words", "")
    try:
        with db.transaction() as session:
            now = db.utcnow()
            task = tasks.done(session, number, who=frame.actor().who, words=words, now=now)
            about = f"person {task.person_id}" if task.person_id is not None else ""
            audit.note(session, "task_done", by=frame.actor(), about=about, now=now, task=number, kind=task.kind)
    except BadInput as error:
        return _index({f"words-{number}": pages.reason(error)}, {number: words})
    except (NotAllowed, Unknown) as error:
        return frame.go_to("task_pages.index", pages.reason(error))
    return frame.go_to("task_pages.index", pages.say("Written down."))


def _index(errors: Mapping[str, str] | None = None, typed: Mapping[int, str] | None = None) -> Response:
    now = db.utcnow()
    with frame.looking() as session:
        waiting = tasks.waiting(session, _MOST)
        recent = tasks.recent(session, _MOST_DONE)
        addresses = _addresses(session, [*waiting, *recent])
    if addresses:
        with db.transaction() as session:
            audit.note(session, "tasks_seen", by=frame.actor(), now=now, persons=sorted(addresses))
    return frame.page(
        "registry/tasks", 422 if errors else 200, here="tasks", errors=errors or {}, typed=typed or {},
        waiting=[_shown(task, addresses, now) for task in waiting],
        recent=[_shown(task, addresses, now) for task in recent],
    )  # fmt: skip


def _addresses(session: Session, found: Sequence[Task]) -> dict[int, str]:
    persons = {task.person_id for task in found if task.person_id is not None}
    return register.mailboxes(session, persons)


def _shown(task: Task, addresses: Mapping[int, str], now: datetime) -> Shown:
    due = None
    if task.done_at is None and task.due_at <= now:
        due = pages.say("Late"), "bad"
    elif task.done_at is None and task.due_at < now + tasks.SOON:
        due = pages.say("Soon"), "warn"
    address = addresses.get(task.person_id) if task.person_id is not None else None
    return Shown(task, registry_words.task_kind(task.kind), address, due)


_STAFF, _PERSONS = Guard.STAFF, Right.PERSONS
ROUTES = (
    Route("GET", "/staff/tasks", index, _STAFF, right=_PERSONS),
    Route("POST", "/staff/tasks/<int:number>/done", done, _STAFF, right=_PERSONS),
)
