"""The letterbox's tables: what came in, until it is handled, what it was; and which of it is in whose hand."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ColumnElement, Index, LargeBinary, String, and_, func, literal_column, text
from sqlalchemy.orm import Mapped, mapped_column

from ..db import Base, BigId, Digest, UtcDateTime

WAITING, HANDLED, OWNER, SEEN, FAILED = "waiting", "handled", "owner", "seen", "failed"
"""States."""
CROWDED_OUT, OUTLIVED = "crowded-out", "outlived"
"""Outcomes of what waited for a person and went unread: to make room, or because nobody looked for so long."""
NOBODYS: dict[str, str | None] = {"sender": "", "client": None, "writer": None}
"""Of a mail of which nothing is kept that names whoever wrote it."""
_WAITING = "state = 'waiting'"
_UNSEEN = "state IN ('owner', 'failed')"
_ASKED = "outcome = 'asked'"
_UNREAD = "outcome IN ('crowded-out', 'outlived')"
_FORWARDED = "forwarded IS NOT NULL"


class Spooled(Base):
    """One mail for one of our addresses. Its digest makes it one, however often it is handed in.

    waiting ─→ handled                   it was for the program, which did what it asks
            └→ owner ─→ seen             it is for a person: the list's owner is sent it, the console shows it
            └→ failed ─→ seen            it could not be handled, many times, or workers died over it: the same
    """

    __tablename__ = "spool"
    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'handled', 'owner', 'seen', 'failed')", name="state"),
        CheckConstraint("via IN ('lmtp', 'smtp', 'pipe', 'imap')", name="via"),
        Index("ix_spool_waiting", "not_before", "id", postgresql_where=text(_WAITING), sqlite_where=text(_WAITING)),
        Index("ix_spool_unseen", "list_id", "id", postgresql_where=text(_UNSEEN), sqlite_where=text(_UNSEEN)),
        Index("ix_spool_unread", "handled_at", postgresql_where=text(_UNREAD), sqlite_where=text(_UNREAD)),
        Index("ix_spool_asked", "handled_at", postgresql_where=text(_ASKED), sqlite_where=text(_ASKED)),
        Index(
            "ix_spool_forwarded",
            "list_id",
            "forward_at",
            postgresql_where=text(_FORWARDED),
            sqlite_where=text(_FORWARDED),
        ),
        Index("ix_spool_person_id", "person_id"),
        Index("ix_spool_received_at", "received_at"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    digest: Mapped[bytes] = mapped_column(Digest, unique=True)
    """SHA-256 of the recipient in lower case, a newline and the message as it came."""
    recipient: Mapped[str] = mapped_column(String(320))
    """Which of our addresses it was for."""
    sender: Mapped[str] = mapped_column(String(320))
    """The return path of the conversation; empty: the null return path."""
    via: Mapped[str] = mapped_column(String(4))
    size: Mapped[int]
    """Octets."""
    raw: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    """The message; None once nobody needs it any more."""
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    not_before: Mapped[datetime] = mapped_column(UtcDateTime)
    """Later than received_at where it is tried again: handling it failed, or a person asked for it."""
    tries: Mapped[int] = mapped_column(default=0)
    """To handle it, that failed."""
    state: Mapped[str] = mapped_column(String(7))
    kind: Mapped[str | None] = mapped_column(String(10))
    """What it was: bounce, complaint, command, autoreply, other."""
    outcome: Mapped[str | None] = mapped_column(String(40))
    """What was done: a word of `act.OUTCOMES`."""
    list_id: Mapped[int | None]
    person_id: Mapped[int | None]
    handled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    forwarded: Mapped[str | None] = mapped_column(String(9))
    """How far sending it on to the owner is, in a word of `onward`; None: it is not the owner's."""
    forward_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Of what is pending: when it may go; of all else: when it went, or was about to."""
    forward_tries: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """To send it on, that a server put off."""
    writer: Mapped[str | None] = mapped_column(String(320))
    """Of what waits for a person: whom its From names, folded (`spool.writer_of`). Nobody has checked it."""
    client: Mapped[str | None] = mapped_column(String(45))
    """Of a request to join, and of what waits for a person: the client from which the relay had it, as limits count
    it."""
    deaths: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """How often a worker died with it in hand."""


class InHand(Base):
    """A mail that a worker has in hand: written before the worker reads it, gone when it is done with it. One that
    stays was the last thing that a worker looked at."""

    __tablename__ = "spool_hands"

    mail_id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    hand: Mapped[str] = mapped_column(String(32))
    """Which thread of which process."""
    process: Mapped[str] = mapped_column(String(64))
    """Which process, as those of the same machine can look it up (`processes.own`)."""
    beat_at: Mapped[datetime] = mapped_column(UtcDateTime)
    """When the worker was last seen to go on."""


IS_UNSEEN = Spooled.state.in_([literal_column(f"'{OWNER}'"), literal_column(f"'{FAILED}'")])
"""SQL: it waits for a person. Spelt out, so that the partial index serves."""
WENT_UNREAD = Spooled.outcome.in_([literal_column(f"'{CROWDED_OUT}'"), literal_column(f"'{OUTLIVED}'")])
"""SQL: it went before a person had dealt with it. Spelt out, as IS_UNSEEN."""


def from_the_same(row: Spooled) -> ColumnElement[bool]:
    """SQL: it has the return path and the From of this mail."""
    return and_(
        func.lower(Spooled.sender) == row.sender.lower(), func.coalesce(Spooled.writer, "") == (row.writer or "")
    )


def of_list(list_id: int | None) -> ColumnElement[bool]:
    """SQL: it is of this list; None: of none."""
    return Spooled.list_id.is_(None) if list_id is None else Spooled.list_id == list_id
