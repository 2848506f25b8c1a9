"""The editorial room's tables. Only `drafts` writes them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from ..db import Base, Digest, UtcDateTime


class Bulletin(Base):
    """What staff wrote, as they wrote it."""

    __tablename__ = "bulletins"
    __table_args__ = (CheckConstraint("form IN ('markdown', 'html')", name="form"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id"), index=True)
    subject: Mapped[str] = mapped_column(String(500))
    form: Mapped[str] = mapped_column(String(8))
    source: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Issue(Base):
    """A bulletin as approved: frozen, with the digest of all that a recipient will see and of who the recipients
    are."""

    __tablename__ = "issues"

    bulletin_id: Mapped[int] = mapped_column(ForeignKey("bulletins.id"), primary_key=True)
    sender: Mapped[str] = mapped_column(String(320))
    subject: Mapped[str] = mapped_column(String(1000))
    html: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    audience: Mapped[str] = mapped_column(String(200))
    """The audience rule, as canonical JSON."""
    digest: Mapped[bytes] = mapped_column(Digest)
    approved_at: Mapped[datetime] = mapped_column(UtcDateTime)
    approved_by: Mapped[str] = mapped_column(String(200))
