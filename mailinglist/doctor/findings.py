"""What the doctor finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from ..observe import redact


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's: what was looked at, how it stands, and what mends it."""

    subject: str
    level: Level
    words: str
    mend: str = ""


def safely(subject: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """The findings of one check. If it crashes, that is one more, and those before it stand."""
    try:
        yield from check()
    except Exception as error:  # whatever it is, the other checks must be made
        yield Finding(subject, Level.FAILURE, f"could not be checked: {reason(error)}")


def reason(error: Exception) -> str:
    """An error in one line, without anything that looks like an address or a secret."""
    lines = str(error).strip().splitlines()
    return redact(lines[0]) if lines else type(error).__name__
