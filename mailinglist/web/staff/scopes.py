"""What a token of another system is good for, in words, for pages."""

from __future__ import annotations

from collections.abc import Iterable

from ...staff.programs import Scope
from ..pages import say


def options() -> list[tuple[str, str, str]]:
    """Each scope: its key, its name, and what it allows."""
    words = {
        Scope.BANS_READ: (say("Ask about bans"), say("Which of the addresses or names that it gives are banned.")),
        Scope.BANS_WRITE: (
            say("Hand on bans and leaves"),
            say("When somebody forbids marketing, or wants to leave a list."),
        ),
        Scope.PEOPLE_WRITE: (
            say("Hand over customers"),
            say("By the rules of an import: on the list at once, without a letter."),
        ),
        Scope.REQUESTS_WRITE: (
            say("Hand on requests to join"),
            say("From a form of its own. The person confirms by mail."),
        ),
        Scope.BULLETINS_READ: (say("See how a bulletin goes"), say("Numbers only, no addresses.")),
    }
    return [(scope.value, *words[scope]) for scope in Scope]


def words_of(scopes: Iterable[str]) -> list[str]:
    """The names of these scopes, in their order."""
    wanted = set(scopes)
    return [name for key, name, _ in options() if key in wanted]
