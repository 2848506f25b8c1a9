"""Sentences for people that arise where nobody knows their language: kept in English, with what they name apart.

A page says them by `i18n.gettext(language, sentence.words, **sentence.values)`; everybody else, as `str(sentence)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import BadInput


def noted(words: str) -> str:
    """`words` as they are. Marks a sentence for the catalogues (imported as `_`), to be translated later."""
    return words


@dataclass(frozen=True, slots=True)
class Sentence:
    """A message id of the catalogues, and the values of its `%(name)s`."""

    words: str
    values: Mapping[str, str | int] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.words % self.values if self.values else self.words


class SaidBadInput(BadInput):
    """BadInput that pages can say in the reader's language."""

    def __init__(self, words: str, **values: str | int) -> None:
        self.sentence = Sentence(words, values)
        super().__init__(str(self.sentence))
