"""The letters' texts, in three languages.

Each is one Markdown file per language (templates/mail/fi/confirm.md …), from which both parts are made; a list may have
it in words of its own. Nothing in a letter advertises (SURFACE, Mail).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

from ..stationery import wording
from ..stationery.layout import Composed, Look, composed
from ..stationery.wording import Places

__all__ = ["KINDS", "PLACES", "SLOTS", "Composed", "Kind", "Look", "Own", "letter", "source_of"]

Own = tuple[str, str]
"""A letter's subject and Markdown in words of the list's own."""

Kind = Literal["confirm", "welcome", "already", "leave", "preferences"]
KINDS: tuple[Kind, ...] = get_args(Kind)

SLOTS: dict[Kind, frozenset[str]] = {
    "confirm": frozenset({"address", "confirm_url", "not_me_url", "own_page_url", "privacy_url", "until"}),
    "welcome": frozenset({"address", "own_page_url", "privacy_url", "unsubscribe_url"}),
    "already": frozenset({"address", "own_page_url", "privacy_url", "unsubscribe_url"}),
    "leave": frozenset({"address", "leave_url", "own_page_url", "privacy_url"}),
    "preferences": frozenset({"address", "own_page_url", "preferences_url", "privacy_url", "until"}),
}
"""The slots of each letter. `until` is a date, or a date and time, written in the letter's language."""


_NEEDED: dict[Kind, frozenset[str]] = {
    "confirm": frozenset({"confirm_url", "not_me_url", "consent"}),
    "welcome": frozenset({"unsubscribe_url", "consent"}),
    "already": frozenset({"unsubscribe_url"}),
    "leave": frozenset({"leave_url"}),
    "preferences": frozenset({"preferences_url"}),
}
"""What no wording may leave out: what the letter is sent for, and what the law asks (GDPR 7(1), 7(3))."""


def _places(kind: Kind) -> Places:
    links = frozenset(name for name in SLOTS[kind] if name.endswith("_url"))
    quoted = {"consent"} if kind in ("confirm", "welcome") else set()
    return Places(SLOTS[kind] - links | {"list", "owner"} | quoted, links, _NEEDED[kind])


PLACES: dict[Kind, Places] = {kind: _places(kind) for kind in KINDS}
"""The places of each letter, for those who word it."""


def source_of(kind: Kind, language: str) -> Own:
    """Our own wording, as it is written."""
    return wording.source_of(kind, language)


def letter(
    kind: Kind,
    *,
    language: str,
    look: Look,
    owner: str,
    consent_text: str | None = None,
    own: Own | None = None,
    answerable: bool = False,
) -> Composed:
    """The letter `kind` in `language` (the person's, which may differ from the list's).

    `owner` is the address that answers questions. `consent_text` is what the person was shown, word for word: confirm
    and welcome quote it (GDPR 7(1)), and without it raise ValueError, since a letter that hides what is agreed to
    confirms nothing. `own` are the list's own words; raises BadInput when they lack what may not be left out.
    `answerable`: whether an answer to it reaches us; the letter `confirm` then says so.
    """
    values = {"list": look.name, "signature": look.signature, "owner": owner}
    if kind in ("confirm", "welcome"):
        if not consent_text:
            raise ValueError(f"the letter {kind!r} quotes the consent text, and none was given")
        values["consent"] = consent_text.strip()
    worded = wording.set_in_type(*own, PLACES[kind]) if own else None
    text = wording.filled(kind, language, values, worded)
    footer = wording.filled("letter_footer", language, values)
    content = text.body
    if answerable and kind == "confirm":
        content = _before_second_heading(content, wording.filled("confirm_by_answer", language, values).body)
    return composed(
        subject=text.subject,
        content=content,
        footer=footer.body,
        look=replace(look, language=language),
        show_addresses=True,
    )


def _before_second_heading(content: str, more: str) -> str:
    """`content` with `more` where its first section ends: beside the link, in our wording as in a list's own."""
    at = content.find("<h2")
    return f"{content}\n{more}" if at < 0 else f"{content[:at]}{more}\n{content[at:]}"
