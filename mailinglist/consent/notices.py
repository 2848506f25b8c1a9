"""The versions of a list's privacy notice (GDPR 13, 14): their only writer.

What the notice says is composed above this room; here it is kept as it was shown, in three languages under one version
number, each under the digest of its words. Never changed: another wording is another version, and every consent points
to the one that was in force.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ..i18n import LANGUAGES
from .ledger import text_digest
from .tables import ConsentText, MailingList, Notice


def keep(session: Session, row: MailingList, bodies: Mapping[str, str], *, now: datetime) -> int:
    """Have `bodies` (HTML by language, all three) in force. Returns the version; a new one only if words differ."""
    session.get_one(MailingList, row.id, with_for_update=True)  # two at once make one version
    latest = session.scalar(select(func.max(Notice.version)).where(Notice.list_id == row.id)) or 0
    digests = {language: text_digest(language, bodies[language]) for language in LANGUAGES}
    held = dict(
        session.execute(
            select(Notice.language, Notice.digest).where(Notice.list_id == row.id, Notice.version == latest)
        ).all()
    )
    if held == digests:
        return latest
    session.add_all(
        Notice(
            list_id=row.id, language=language, version=latest + 1, digest=digests[language], body=bodies[language],
            created_at=now,
        )
        for language in LANGUAGES
    )  # fmt: skip
    session.flush()
    return latest + 1


def in_force(session: Session, list_id: int, language: str, *, at: datetime | None = None) -> Notice | None:
    """The notice that is in force, or was `at` a moment; None: there was none."""
    wanted = select(Notice).where(Notice.list_id == list_id, Notice.language == language)
    if at is not None:
        wanted = wanted.where(Notice.created_at <= at)
    return session.scalar(wanted.order_by(Notice.version.desc()).limit(1))


def digest_with(session: Session, text: ConsentText, *, at: datetime) -> bytes | None:
    """The digest of the notice that was in force when this consent text was shown (GDPR 13: at the time when data are
    obtained)."""
    found = in_force(session, text.list_id, text.language, at=at)
    return found.digest if found else None


def versions(session: Session, list_id: int, language: str) -> list[Notice]:
    """Every version in one language, the newest, which is in force, first."""
    wanted = select(Notice).where(Notice.list_id == list_id, Notice.language == language)
    return list(session.scalars(wanted.order_by(Notice.version.desc())))
