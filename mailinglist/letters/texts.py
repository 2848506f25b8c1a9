"""The letters' texts, in three languages.

Each is one Markdown file per language (templates/mail/fi/confirm.md …), from which both parts are made. Nothing in a
letter advertises (SURFACE, Mail).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

from ..stationery import wording
from ..stationery.layout import Composed, Look, composed

__all__ = ["KINDS", "SLOTS", "Composed", "Kind", "Look", "letter"]

Kind = Literal["confirm", "welcome", "already", "leave", "preferences"]
KINDS: tuple[Kind, ...] = get_args(Kind)

SLOTS: dict[Kind, frozenset[str]] = {
    "confirm": frozenset({"address", "confirm_url", "not_me_url", "privacy_url", "until"}),
    "welcome": frozenset({"address", "privacy_url", "unsubscribe_url"}),
    "already": frozenset({"address", "privacy_url", "unsubscribe_url"}),
    "leave": frozenset({"address", "leave_url", "privacy_url"}),
    "preferences": frozenset({"address", "preferences_url", "privacy_url", "until"}),
}
"""The slots of each letter. `until` is a date, or a date and time, written in the letter's language."""


def letter(kind: Kind, *, language: str, look: Look, owner: str, consent_text: str | None = None) -> Composed:
    """The letter `kind` in `language` (the person's, which may differ from the list's).

    `owner` is the address that answers questions. `consent_text` is what the person was shown, word for word: confirm
    and welcome quote it (GDPR 7(1)), and without it raise ValueError, since a letter that hides what is agreed to
    confirms nothing.
    """
    values = {"list": look.name, "signature": look.signature, "owner": owner}
    if kind in ("confirm", "welcome"):
        if not consent_text:
            raise ValueError(f"the letter {kind!r} quotes the consent text, and none was given")
        values["consent"] = consent_text.strip()
    text = wording.filled(kind, language, values)
    footer = wording.filled("letter_footer", language, values)
    return composed(
        subject=text.subject,
        content=text.body,
        footer=footer.body,
        look=replace(look, language=language),
        show_addresses=True,
    )
