"""The editorial room's tables. `drafts` writes bulletins, `revisions` revisions, `approvals` approvals and issues, and
on bulletins what was asked and given; `images` writes images."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from ..db import Base, Digest, UtcDateTime


class Bulletin(Base):
    """What staff wrote, as they wrote it."""

    __tablename__ = "bulletins"
    __table_args__ = (
        CheckConstraint("form IN ('markdown', 'html', 'blocks')", name="form"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id"), index=True)
    subject: Mapped[str] = mapped_column(String(500))
    """Of the first language version; what lists of bulletins show."""
    form: Mapped[str] = mapped_column(String(8))
    source: Mapped[str] = mapped_column(Text)
    """Markdown, HTML, or for `blocks` the JSON of `blocks.Draft`: all language versions."""
    audience: Mapped[str] = mapped_column(Text, default="{}", server_default="{}")
    """The audience rule, as canonical JSON; see `audience.Rule`."""
    revision: Mapped[int] = mapped_column(default=1, server_default="1")
    """Grows with every change: who saves names the one they began from."""
    template: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    """A pattern for new bulletins; never sent."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_by: Mapped[str] = mapped_column(String(200), default="", server_default=text("''"))
    changed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    changed_by: Mapped[int | None]
    """The account that changed it last; none: a command."""
    asked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When approval was asked for; none: it isn't."""
    asked_by: Mapped[int | None]
    given_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When it was given to be sent; from then on nothing of it changes."""
    removed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Put away by its writers; never one that was sent."""


class Revision(Base):
    """What a bulletin was at one time. Saved while typing, a revision is written over for some minutes, then kept.

    One below zero is a text that somebody gave up for another's: the bulletin never was so.
    """

    __tablename__ = "revisions"
    __table_args__ = (UniqueConstraint("bulletin_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    bulletin_id: Mapped[int] = mapped_column(ForeignKey("bulletins.id"))
    number: Mapped[int]
    subject: Mapped[str] = mapped_column(String(500))
    form: Mapped[str] = mapped_column(String(8))
    source: Mapped[str] = mapped_column(Text)
    audience: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    account_id: Mapped[int | None]
    who: Mapped[str] = mapped_column(String(200))


class Issue(Base):
    """A bulletin as approved: frozen, with the digest of all that a recipient will see and of who the recipients
    are. An approval that a change makes void takes its issue away, unless it has been given to be sent."""

    __tablename__ = "issues"

    bulletin_id: Mapped[int] = mapped_column(ForeignKey("bulletins.id"), primary_key=True)
    sender: Mapped[str] = mapped_column(String(320))
    subject: Mapped[str] = mapped_column(String(1000))
    html: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    language: Mapped[str | None] = mapped_column(String(2))
    """Of subject, html and text; none: the list's."""
    versions: Mapped[str | None] = mapped_column(Text)
    """Other languages, as canonical JSON: {"sv": {"html", "subject", "text"}}; none: there are none."""
    audience: Mapped[str] = mapped_column(Text)
    """The audience rule, as canonical JSON."""
    imprint: Mapped[str | None] = mapped_column(Text)
    """What of the list's settings shows, as canonical JSON (see `imprint`); none: approved before it was frozen."""
    digest: Mapped[bytes] = mapped_column(Digest)
    approved_at: Mapped[datetime] = mapped_column(UtcDateTime)
    approved_by: Mapped[str] = mapped_column(String(200))


class Approval(Base):
    """That somebody approved a bulletin as it was then; kept when it is void."""

    __tablename__ = "approvals"
    __table_args__ = (Index("ix_approvals_bulletin_id", "bulletin_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    bulletin_id: Mapped[int] = mapped_column(ForeignKey("bulletins.id"))
    revision: Mapped[int]
    digest: Mapped[bytes] = mapped_column(Digest)
    """The issue's."""
    imprint: Mapped[str | None] = mapped_column(Text)
    """The issue's: an approval that is void has no issue any more."""
    account_id: Mapped[int | None]
    who: Mapped[str] = mapped_column(String(200))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    acknowledged: Mapped[str] = mapped_column(Text, default="[]")
    """The preflight warnings that were accepted, as JSON: their names."""
    void_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Image(Base):
    """An image for bulletins, as it is served: resized, without what cameras write into it; the same for everybody."""

    __tablename__ = "images"

    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    """SHA-256 of the content in hex: its address."""
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id"), index=True)
    media_type: Mapped[str] = mapped_column(String(32))
    width: Mapped[int]
    height: Mapped[int]
    file_name: Mapped[str] = mapped_column(String(200))
    alt: Mapped[str] = mapped_column(String(300))
    content: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_by: Mapped[str] = mapped_column(String(200))
