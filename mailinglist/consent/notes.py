"""Notes about a person: what was said, met or written about (N). The only writer of notes.

A note is about a person, so it is part of what they may see (GDPR 15), and it goes when they are erased. Its words are
data: pages escape them.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from .. import db
from ..errors import BadInput, Unknown
from .tables import Note, Person

MAX_WORDS = 4000
_UNPRINTABLE = frozenset({"Cc", "Cs", "Co"})


class Kind(StrEnum):
    """What is noted."""

    NOTE = "note"
    MEETING = "meeting"
    CONTACT = "contact"


@dataclass(frozen=True, slots=True)
class Noted:
    """One note of staff, for show."""

    id: int
    kind: str
    on: datetime
    """When it happened."""
    words: str
    who: str
    created_at: datetime


def add(session: Session, person_id: int, kind: str, words: str, *, on: datetime, who: str, now: datetime) -> Noted:
    """Write a note. `on`: when it happened. Raises BadInput; Unknown (no such person)."""
    words = unicodedata.normalize("NFC", words.replace("\r\n", "\n").strip())
    if kind not in tuple(Kind):
        raise BadInput("A note is a note, a meeting or a contact.")
    if not words or len(words) > MAX_WORDS:
        raise BadInput(f"A note has between 1 and {MAX_WORDS:,} characters.")
    if any(unicodedata.category(c) in _UNPRINTABLE for c in words if c not in "\n\t"):
        raise BadInput("The note holds control characters.")
    if on > now:
        raise BadInput("The day of the note lies in the future.")
    if session.scalar(select(Person.id).where(Person.id == person_id).with_for_update()) is None:
        raise Unknown("This person is not in the register any more.")
    note = Note(person_id=person_id, kind=kind, on=on, words=words, who=who[:200], created_at=now)
    session.add(note)
    session.flush()
    return _noted(note)


def of(session: Session, person_id: int, *, before_id: int | None = None, limit: int | None = None) -> list[Noted]:
    """A person's notes, newest entry first; `before_id` pages on. Without `limit`: all of them."""
    wanted = select(Note).where(Note.person_id == person_id).order_by(Note.id.desc()).limit(limit)
    if before_id is not None:
        wanted = wanted.where(Note.id < before_id)
    return [_noted(note) for note in session.scalars(wanted)]


def remove(session: Session, person_id: int, note_id: int) -> None:
    """Take a note away, whoever wrote it: the person may ask for that (GDPR 16, 17). Raises Unknown."""
    removed = session.execute(delete(Note).where(Note.id == note_id, Note.person_id == person_id))
    if not db.changed(removed):
        raise Unknown("There is no such note.")


def forget(session: Session, person_id: int) -> int:
    """Delete every note about this person. Returns how many."""
    return db.changed(session.execute(delete(Note).where(Note.person_id == person_id)))


def _noted(note: Note) -> Noted:
    return Noted(note.id, note.kind, note.on, note.words, note.who, note.created_at)
