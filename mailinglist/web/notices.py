"""The privacy notices, newest first.

One that was published is never changed: a new wording is a new version in a folder of its own. A test compares each
text with the digest that is noted here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from babel.dates import format_date

from ..i18n import locale


@dataclass(frozen=True, slots=True)
class Notice:
    """One version of the notice."""

    version: int
    dated: date
    digests: dict[str, str]
    """SHA-256 of the text in each language."""

    def template(self, language: str) -> str:
        """The text in `language`, as a template."""
        return f"public/notice/{self.version}/{language}.html"

    def dated_in(self, language: str) -> str:
        """Its date, in words."""
        return format_date(self.dated, "long", locale=locale(language))


NOTICES = (
    Notice(
        version=1,
        dated=date(2026, 11, 22),
        digests={
            "fi": "9f5ad743af5399115d0a6362e5fa0376441c5820a2cc143467dcf604fb10262e",
            "sv": "ab3ada512a12856e14d03b5409757b5cd0839d80e760d9d8b249c566ed233df3",
            "en": "263a227957fd5058e59e6d2d98ead94ab41a5ab61b879ae4de91b669dc4bf4c2",
        },
    ),
)
