"""The rights office's tables. Only modules of this room write them. Times are UTC."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from ..db import Base, BigId, UtcDateTime


class Disclosure(Base):
    """That data about persons were handed to somebody outside, and on what ground (GDPR 5(2), 6, 15(1)(c))."""

    __tablename__ = "disclosures"
    __table_args__ = {"sqlite_autoincrement": True}

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    recipient: Mapped[str] = mapped_column(String(200))
    """Who got the data: an authority or organisation, by its name."""
    basis: Mapped[str] = mapped_column(String(500))
    """The legal basis: which law, article or decision obliges or allows us."""
    fields: Mapped[list[str]] = mapped_column(JSON)
    """What was handed over; see `disclosures.FIELDS`."""
    reference: Mapped[str] = mapped_column(String(200))
    """The recipient's own case number, by which they find it again; empty: none."""
    number: Mapped[int]
    """Of how many persons."""
    account_id: Mapped[int | None]
    who: Mapped[str] = mapped_column(String(200))


class DisclosedPerson(Base):
    """Whom a disclosure was about. Outlives the person's erasure, as a number that is never used again."""

    __tablename__ = "disclosed_persons"
    __table_args__ = (Index("ix_disclosed_persons_person_id", "person_id"),)

    disclosure_id: Mapped[int] = mapped_column(ForeignKey("disclosures.id"), primary_key=True)
    person_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class Cleared(Base):
    """How much one rule of retention let go on one day (UTC)."""

    __tablename__ = "cleared"

    day: Mapped[date] = mapped_column(primary_key=True)
    rule: Mapped[str] = mapped_column(String(16), primary_key=True)
    """See `retention.RULES`."""
    number: Mapped[int]


class Walk(Base):
    """How far a rule of retention has walked through a table whose rows are in the order of time."""

    __tablename__ = "walks"

    name: Mapped[str] = mapped_column(String(16), primary_key=True)
    position: Mapped[int] = mapped_column(BigId)


class Task(Base):
    """Something that a person of ours has to do by a date, mostly because somebody asked (GDPR 12(3))."""

    __tablename__ = "tasks"
    __table_args__ = (
        Index("ix_tasks_waiting", "due_at", "id", postgresql_where=text("done_at IS NULL"),
              sqlite_where=text("done_at IS NULL")),
        {"sqlite_autoincrement": True},
    )  # fmt: skip

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    """What is to be done: one of `tasks.KINDS`."""
    person_id: Mapped[int | None] = mapped_column(index=True)
    """Whom it is about; stays when they are erased: the number is never used again."""
    words: Mapped[str] = mapped_column(Text)
    """What was asked, in the person's own words, or what is to be told to whom."""
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    done_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    done_by: Mapped[str | None] = mapped_column(String(200))
    done_words: Mapped[str | None] = mapped_column(Text)
    """What was done, in words."""


class Backup(Base):
    """One copy of the database that was made, or could not be."""

    __tablename__ = "backups"

    id: Mapped[int] = mapped_column(primary_key=True)
    began_at: Mapped[datetime] = mapped_column(UtcDateTime)
    """The moment that the copy is of."""
    ended_at: Mapped[datetime] = mapped_column(UtcDateTime)
    file: Mapped[str] = mapped_column(String(500))
    """The file's name, without its folder."""
    size: Mapped[int] = mapped_column(BigId)
    """In octets."""
    rows: Mapped[int] = mapped_column(BigId)
    encrypted: Mapped[bool]
    trouble: Mapped[str | None] = mapped_column(String(500))
    """Why there is none, in words; None: it was made, and read back."""


class Restoration(Base):
    """That this database came out of a backup, and what of the opt-outs given since was done again."""

    __tablename__ = "restorations"

    id: Mapped[int] = mapped_column(primary_key=True)
    copy_of: Mapped[datetime] = mapped_column(UtcDateTime)
    """The moment that the backup is of."""
    restored_at: Mapped[datetime] = mapped_column(UtcDateTime)
    journals: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    """The journals that there were then, each with how far it had come: `{"journal", "number", "mac"}`."""
    troubles: Mapped[list[str]] = mapped_column(JSON)
    """Why opt-outs may be missing, in words; empty: none is."""
    report: Mapped[dict[str, Any]] = mapped_column(JSON)
    """What was done again and what was paused, in numbers."""
    replayed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When that was complete, or was accepted; until then nothing is sent."""
    accepted: Mapped[str | None] = mapped_column(Text)
    """Which opt-outs are lost, in the words of whoever accepted it."""
    accepted_by: Mapped[str | None] = mapped_column(String(200))
