"""The sorting office's tables: dispatches, one row per (kind, about, person) for everything that is handed over, and
what came of it later: bounces, complaints, and the holds that too many of those put on a list."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from ..db import Base, BigId, UtcDateTime

STATES = ("pending", "handing", "accepted", "deferred", "rejected", "excluded", "uncertain")
KINDS = ("bulletin", "confirm", "already", "leave", "welcome", "key")
OPEN_STATES = ("pending", "deferred")
RARE_STATES = ("deferred", "rejected", "excluded", "uncertain")
"""Where few rows of a bulletin lie: the account counts these, and takes the accepted as what remains."""
_HELD = "shift_id IS NOT NULL"


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)


_OPEN = f"state IN ({_listed(OPEN_STATES)})"
_RARE = f"state IN ({_listed(RARE_STATES)})"
_ACCEPTED = "state = 'accepted'"
_LETTER = "kind <> 'bulletin'"
_SAID = "words IS NOT NULL"


class Dispatch(Base):
    """A bulletin on its way."""

    __tablename__ = "dispatches"
    __table_args__ = (
        CheckConstraint("state IN ('scheduled', 'sending', 'paused', 'sent', 'cancelled')", name="state"),
        Index("ix_dispatches_state", "state"),
    )

    bulletin_id: Mapped[int] = mapped_column(ForeignKey("bulletins.id"), primary_key=True)
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id"))
    state: Mapped[str] = mapped_column(String(16))
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    """When it shall begin."""
    began_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    audience: Mapped[int | None]
    """Active subscriptions when the sending began."""
    rows: Mapped[int | None]
    """Rows of `handoffs`, counted once all of the audience have one: as many as the audience, or something is wrong."""
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    resumed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When somebody last let it go on after a pause: what servers said of us before does not pause it again."""
    trouble: Mapped[str | None] = mapped_column(String(500))
    """Why it doesn't move, in words, while it doesn't."""


class AudiencePart(Base):
    """Some of those who were active when a bulletin began, and have no row of `handoffs` yet. It goes in the
    transaction that makes their rows."""

    __tablename__ = "audience_parts"
    __table_args__ = (
        Index("ix_audience_parts_bulletin_id_id", "bulletin_id", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    bulletin_id: Mapped[int] = mapped_column(ForeignKey("dispatches.bulletin_id"))
    list_id: Mapped[int]
    size: Mapped[int]
    """How many persons."""
    persons: Mapped[list[int]] = mapped_column(JSON)
    """Their ids."""


class Handoff(Base):
    """One mail to one person: claimed, handed over, settled. Kept when the person is erased: the account must add
    up.

    Each index costs every mail. Only the key has an entry for each row; the others hold the few rows that are open, in
    hand, out of the ordinary, or letters, and each accepted mail once.
    """

    __tablename__ = "handoffs"
    __table_args__ = (
        UniqueConstraint("kind", "about", "person_id"),
        CheckConstraint(f"state IN ({_listed(STATES)})", name="state"),
        CheckConstraint(f"kind IN ({_listed(KINDS)})", name="kind"),
        Index(
            "ix_handoffs_open",
            "kind",
            "about",
            "not_before",
            "id",
            postgresql_where=text(_OPEN),
            sqlite_where=text(_OPEN),
        ),
        Index("ix_handoffs_held", "shift_id", postgresql_where=text(_HELD), sqlite_where=text(_HELD)),
        Index("ix_handoffs_rare", "kind", "about", "state", postgresql_where=text(_RARE), sqlite_where=text(_RARE)),
        Index(
            "ix_handoffs_accepted",
            "kind",
            "about",
            "settled_at",
            postgresql_where=text(_ACCEPTED),
            sqlite_where=text(_ACCEPTED),
        ),
        Index("ix_handoffs_letters", "person_id", postgresql_where=text(_LETTER), sqlite_where=text(_LETTER)),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    kind: Mapped[str] = mapped_column(String(8))
    about: Mapped[int] = mapped_column(BigId)
    """The bulletin, the request (confirm, already, leave, key) or the confirmation (welcome)."""
    list_id: Mapped[int]
    person_id: Mapped[int]
    """0: the letter goes to somebody who is known by a ban only (`desk.NOBODY`)."""
    state: Mapped[str] = mapped_column(String(9))
    not_before: Mapped[datetime] = mapped_column(UtcDateTime)
    shift_id: Mapped[int | None]
    """The worker's shift that holds it while it is being handed over."""
    attempts: Mapped[int] = mapped_column(default=0)
    first_tried_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    settled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    code: Mapped[int | None]
    """The server's reply code."""
    reply: Mapped[str | None] = mapped_column(String(500))
    """The server's words, or the gate's reason."""


class Line(Base):
    """A line of slots in time, shared by all workers: when the next free one begins."""

    __tablename__ = "paces"

    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    free_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Shift(Base):
    """One worker at work. While it beats, the rows that it holds are its own; when it stops, they are taken back."""

    __tablename__ = "shifts"
    __table_args__ = {"sqlite_autoincrement": True}

    id: Mapped[int] = mapped_column(primary_key=True)
    began_at: Mapped[datetime] = mapped_column(UtcDateTime)
    beat_at: Mapped[datetime] = mapped_column(UtcDateTime)


class OwnerMail(Base):
    """The daily mail to a list's owner about what needs a person: one at most for each day of the list."""

    __tablename__ = "owner_mails"
    __table_args__ = (CheckConstraint("state IN ('handing', 'accepted', 'uncertain', 'failed')", name="state"),)

    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id"), primary_key=True)
    day: Mapped[date]
    """The day, in the list's time zone, that the last one is of."""
    state: Mapped[str] = mapped_column(String(9))
    """`handing` from just before the handing over; found so later, nobody knows, and it is not sent again."""
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    """When it was handed over, or tried."""
    told_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When the owner was last told anything."""


class Bounce(Base):
    """One mail that failed for one person: refused in the conversation, or reported afterwards. A mail fails once,
    however often it is reported. Kept, without words and domain, when the person is erased: the counts must stay
    true."""

    __tablename__ = "bounces"
    __table_args__ = (
        UniqueConstraint("handoff_id"),
        CheckConstraint("verdict IN ('dead', 'mailbox', 'sender')", name="verdict"),
        CheckConstraint("origin IN ('conversation', 'report')", name="origin"),
        Index("ix_bounces_person_id", "person_id"),
        Index("ix_bounces_bulletin_id_verdict", "bulletin_id", "verdict"),
        Index("ix_bounces_list_id_at", "list_id", "at"),
        Index("ix_bounces_due", "id", postgresql_where=text("due"), sqlite_where=text("due = 1")),
        Index("ix_bounces_said", "at", postgresql_where=text(_SAID), sqlite_where=text(_SAID)),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    handoff_id: Mapped[int] = mapped_column(BigId)
    bulletin_id: Mapped[int]
    """0: a letter."""
    list_id: Mapped[int]
    person_id: Mapped[int]
    domain: Mapped[str] = mapped_column(String(255))
    """Of the address that failed; empty: the person is erased."""
    verdict: Mapped[str] = mapped_column(String(8))
    origin: Mapped[str] = mapped_column(String(12))
    code: Mapped[int | None]
    """The reply code of a conversation."""
    status: Mapped[str | None] = mapped_column(String(11))
    """The enhanced status code (RFC 3463)."""
    words: Mapped[str | None] = mapped_column(String(500))
    """What the server said, without addresses."""
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    """When it was noted."""
    mailed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    """When the mail was handed over, or refused. What is from before a subscription's present state began counts no
    more: so a sign-up of one's own, a new address, or a member of staff ends it."""
    due: Mapped[bool] = mapped_column(default=False)
    """True until `bounces.weigh` has looked whether the person can be reached at all."""


class Complaint(Base):
    """Somebody told their mailbox provider that a mail of ours is unwanted (RFC 5965)."""

    __tablename__ = "complaints"
    __table_args__ = (
        UniqueConstraint("handoff_id"),
        Index("ix_complaints_list_id_at", "list_id", "at"),
        Index("ix_complaints_bulletin_id", "bulletin_id"),
        Index("ix_complaints_person_id", "person_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    handoff_id: Mapped[int] = mapped_column(BigId)
    bulletin_id: Mapped[int]
    """0: a letter."""
    list_id: Mapped[int]
    person_id: Mapped[int]
    provider: Mapped[str] = mapped_column(String(100))
    """Who sent the report, by its own words."""
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class Hold(Base):
    """A list whose bulletins stand still because too many complained, until a publisher goes on."""

    __tablename__ = "holds"
    __table_args__ = (
        Index("uq_holds_in_force", "list_id", unique=True, postgresql_where=text("lifted_at IS NULL"),
              sqlite_where=text("lifted_at IS NULL")),
        {"sqlite_autoincrement": True},
    )  # fmt: skip

    id: Mapped[int] = mapped_column(primary_key=True)
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id"))
    bulletin_id: Mapped[int]
    """Whose complaints brought it about; 0: those of 30 days."""
    complaints: Mapped[int]
    mails: Mapped[int]
    """How many complained, of how many mails."""
    since: Mapped[datetime] = mapped_column(UtcDateTime)
    lifted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    lifted_by: Mapped[str | None] = mapped_column(String(200))
