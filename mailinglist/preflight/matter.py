"""What the preflight looks at: one bulletin, its list and its audience, as they stood at one moment. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..bulletins.compose import Composed
from ..stationery.sentences import Sentence
from .pieces import Piece


@dataclass(frozen=True, slots=True)
class Written:
    """The bulletin in one language."""

    subject: str
    """As it will be mailed: slots may stand in it."""
    preview: str
    """As typed."""
    pieces: tuple[Piece, ...]
    mail: Composed | None
    """None: it can't be composed, and `problems` says why."""
    problems: tuple[tuple[tuple[int, ...], Sentence], ...]
    """What can't be mailed, with its place."""
    last: Composed | None = None
    """The bulletin before this one, as those who read this version got it; None: there was none."""


@dataclass(frozen=True, slots=True)
class Matter:
    """All that is looked at; nothing of it is a row of the database."""

    written: Mapping[str, Written]
    """By language, in their order."""
    sender: str
    """From."""
    named: bool
    """Whether the list has the postal address that every bulletin says."""
    logo: str
    """Its address, or nothing."""
    audience: int | None
    """How many it would be mailed to now; None: the audience can't be understood."""
    banned: int
    """How many fit the audience besides, but are protected by a ban; dispatches count them in."""
    others: Mapping[str, int]
    """How many of the audience have a language in which there is no version."""
    usual: tuple[int, ...]
    """For how many the last five bulletins were, the newest first."""
    stock_subjects: frozenset[str]
    """The subjects of the list's templates, in lower case."""
    about: bool = False
    """`audience` and `banned` are estimates: the register is large. That nobody is in it is never an estimate."""
    others_about: frozenset[str] = frozenset()
    """The languages whose number in `others` is one."""
