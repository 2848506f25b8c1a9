"""A draft as it would be mailed now: in its list's look, in each of its languages. It reads only."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from sqlalchemy.orm import Session

from ..consent import lists
from ..consent.tables import MailingList
from ..errors import BadInput
from . import blocks, images
from .blocks import Draft
from .compose import Composed, Look, Proof, compose, compose_version, try_version
from .tables import Bulletin


def look_of(row: MailingList, *, language: str | None = None) -> Look:
    """How a list's mails look; `language` None: the list's own."""
    settings = lists.settings_of(row)
    spoken = language or settings.language
    name = lists.name_in(row, spoken)
    return Look(
        name=name,
        colour=settings.colour,
        logo_url=settings.logo or None,
        postal_address=settings.postal_address or settings.controller or name,
        sender_name=settings.controller or name,
        language=spoken,
    )


def sender_of(row: MailingList, default: str) -> str:
    """From of a list's mails: its own sender, else the installation's."""
    return lists.settings_of(row).sender or default


def composed(session: Session, bulletin: Bulletin) -> Composed:
    """The draft as it would be mailed now, in its first language. Raises BadInput."""
    return next(iter(editions(session, bulletin).values()))


def editions(session: Session, bulletin: Bulletin) -> dict[str, Composed]:
    """The draft as it would be mailed now, by language. Raises BadInput for what can't be mailed."""
    row = session.get_one(MailingList, bulletin.list_id)
    if bulletin.form != "blocks":
        form: Literal["markdown", "html"] = "html" if bulletin.form == "html" else "markdown"
        look = look_of(row)
        return {look.language: compose(subject=bulletin.subject, source=bulletin.source, form=form, look=look)}
    draft = blocks.read(bulletin.source)
    pictures = images.pictures(session, draft.images())
    return {
        language: compose_version(version, look=look_of(row, language=language), images=pictures)
        for language, version in draft.versions.items()
    }


def proofs(session: Session, row: MailingList, draft: Draft) -> dict[str, Proof]:
    """A draft as it would arrive, by language, each with what keeps it from being mailed: for previews."""
    pictures = images.pictures(session, draft.images())
    return {
        language: try_version(version, look=look_of(row, language=language), images=pictures)
        for language, version in draft.versions.items()
    }


def pick(available: Collection[str], *, own: str | None, of_list: str) -> str:
    """The language in which somebody gets a bulletin: their own, else the list's, else the first there is."""
    if own is not None and own in available:
        return own
    return of_list if of_list in available else next(iter(available))


def assert_named(row: MailingList) -> None:
    """Raise BadInput unless the list says who sends, and where they are found (917/2014 §203)."""
    if not lists.settings_of(row).postal_address:
        raise BadInput(
            f"Every bulletin names its sender's postal address: mailinglist lists set {row.slug} postal_address …"
        )
