"""What the preflight finds. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from ..i18n import LANGUAGES
from ..stationery.sentences import Sentence


class Level(StrEnum):
    """How bad it is."""

    ERROR = "error"
    """It must be mended before the bulletin is approved."""
    WARNING = "warning"
    """Somebody says that it may stay so."""


class Where(StrEnum):
    """Where it is mended."""

    SUBJECT = "subject"
    BLOCK = "block"
    VERSION = "version"
    """In a language version as a whole."""
    AUDIENCE = "audience"
    SENDER = "sender"
    """In the list's settings, or in the DNS."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. The sentences are for translation."""

    name: str
    level: Level
    words: Sentence
    mend: Sentence
    where: Where
    language: str | None = None
    """Of the version; None: it is of no single one."""
    place: tuple[int, ...] = ()
    """Of the block, as `Version.flat` counts."""
    number: int = 0
    """Which of several with the same name in the same place."""
    detail: str = ""
    """What stands there, where the sentence does not say it: the same sentence may be about many places."""

    @property
    def key(self) -> str:
        """What it is acknowledged by: the same for the same thing in the same place."""
        place = ".".join(map(str, self.place))
        number = str(self.number) if self.number else ""
        return ":".join((self.name, self.language or "", place, number)).rstrip(":")

    @property
    def in_full(self) -> str:
        """What is wrong, with what stands there, in English."""
        return f"{self.words} {self.detail}".rstrip()


def in_order(found: Iterable[Finding]) -> list[Finding]:
    """Errors first, then as a reader comes upon them. Those that share a key are told apart by a number."""
    languages = [None, *LANGUAGES]
    times: dict[str, int] = {}
    kept: list[Finding] = []
    for each in found:
        number = times.get(each.key, 0)
        times[each.key] = number + 1
        kept.append(_numbered(each, number) if number else each)
    return sorted(kept, key=lambda each: (each.level is not Level.ERROR, languages.index(each.language), each.place))


def hinders(found: Iterable[Finding], acknowledged: Collection[str]) -> list[Finding]:
    """What keeps the bulletin from being approved: every error, and each warning that nobody accepted by its key."""
    return [each for each in found if each.level is Level.ERROR or each.key not in acknowledged]


def _numbered(finding: Finding, number: int) -> Finding:
    return replace(finding, number=number)
