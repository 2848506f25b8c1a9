"""Letters in words of a list's own: checked before they are kept, so that one that can't be sent is never kept."""

from __future__ import annotations

from sqlalchemy.orm import Session

from ..consent import lists
from ..consent.lists import Change, LetterWords
from ..consent.tables import MailingList
from ..errors import BadInput
from ..stationery import wording
from .texts import PLACES, Kind, Own, source_of


def own(row: MailingList, kind: Kind, language: str) -> Own | None:
    """The list's own words for a letter; None: it is in ours."""
    held = lists.settings_of(row).letters.get(f"{kind}.{language}")
    return (held.subject, held.body) if held else None


def tidied(words: Own) -> Own:
    """What a form sent, without what browsers make of line ends."""
    subject, body = words
    return subject.strip(), body.replace("\r\n", "\n").strip()


def assert_fit(kind: Kind, words: Own) -> None:
    """Raises BadInput, in words, when a letter can't be worded so."""
    wording.set_in_type(*words, PLACES[kind])


def set_own(session: Session, row: MailingList, kind: Kind, language: str, words: Own | None) -> Change | None:
    """Give a letter these words; none, or those that are ours anyway: ours again. Returns what is different now.

    Raises BadInput.
    """
    words = tidied(words) if words else None
    if words is None or words == source_of(kind, language):
        return lists.set_letter(session, row, kind, language, None)
    assert_fit(kind, words)
    subject, body = words
    if len(subject) > 200 or len(body) > 10_000:
        raise BadInput("The subject has at most 200 characters, the text at most 10,000.")
    return lists.set_letter(session, row, kind, language, LetterWords(subject=subject, body=body))
