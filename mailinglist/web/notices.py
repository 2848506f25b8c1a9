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
            "fi": "08422921104112d0a376c00bf915edff047aa0bb380f0d2bc05a59261b303f96",
            "sv": "8d87d3393828e79af94b7824d82f6e61319d3b4749851552be6eeb949405cd20",
            "en": "c114607f1484d50f033702cdd6c8e5fa39ef321fb4739eaa668eb5ccfe9bf643",
        },
    ),
)
