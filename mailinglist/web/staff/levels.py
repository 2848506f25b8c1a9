"""The levels in words, for pages."""

from __future__ import annotations

from collections.abc import Iterable

from ...staff.levels import Level
from ..pages import say


def options() -> list[tuple[str, str, str]]:
    """Each level: its key, its name, and what it may do."""
    words = {
        Level.READER: (say("Reader"), say("Sees bulletins, their reports and how the lists grow. No personal data.")),
        Level.EDITOR: (say("Editor"), say("Writes bulletins and sends tests. Does not send to the list.")),
        Level.PUBLISHER: (say("Publisher"), say("Writes, approves, schedules and sends bulletins.")),
        Level.REGISTRAR: (say("Registrar"), say("Looks after what is held about persons: bans, import, export.")),
        Level.AUDITOR: (say("Auditor"), say("Reads who did what, and when.")),
        Level.ADMINISTRATOR: (say("Administrator"), say("Looks after the staff and the lists' settings.")),
    }
    return [(level.value, *words[level]) for level in Level]


def words_of(levels: Iterable[str]) -> list[str]:
    """The names of these levels, in their order."""
    wanted = set(levels)
    return [name for key, name, _ in options() if key in wanted]
