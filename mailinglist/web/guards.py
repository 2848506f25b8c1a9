"""What a route is: its method, its address, its view, and who may use it (its guard)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from flask import Response

from ..staff.levels import Right
from ..staff.programs import Scope

SLUG = "[a-z0-9][a-z0-9-]{0,47}"
"""How the short name of a list is written where an address, or a call, names one."""


class Guard(Enum):
    """Who may use a route."""

    ANYONE = "anyone"
    LINK = "whoever holds the mailed link"
    """The view reads the signed token in the address; the answer is kept from caches, referrers and indexes."""
    DOOR = "whoever wants to sign in"
    """Pages of the console that come before a sign-in."""
    HALF = "who has given the password"
    """Only what leads to the second factor."""
    WITHIN = "who has shown both factors"
    """One's own account, the secrecy statement, signing out."""
    STAFF = "staff with a right"
    """Both factors, the secrecy statement accepted, and the route's right."""
    PROGRAM = "a program with a token"
    """A bearer token that is good for the route's scope (`web.api.door`)."""


@dataclass(frozen=True, slots=True)
class Route:
    """One way in."""

    method: str
    rule: str
    view: Callable[..., Response]
    guard: Guard
    pace: str | None = None
    """What is counted per client before anything else is looked at; none: not limited."""
    right: Right | None = None
    """With Guard.STAFF: what one needs."""
    scope: Scope | None = None
    """With Guard.PROGRAM: what the token has to be good for."""
    fresh: bool = False
    """Asks for a sign-in of the last minutes: export, lifting a ban, sending, changing levels."""
    body: int | None = None
    """The largest body in bytes, where it is not that of every form (64 KB): uploads, long texts."""

    megabytes: int | None = None
    """How large a file it takes, for saying so; None: it takes none."""
    polled: bool = False
    """An open page asks for it by itself, again and again: that nobody sits there any more still ends the sign-in."""

    cleans: bool = False
    """Its view takes characters that can't be stored out of the form; elsewhere a NUL is refused."""

    def __post_init__(self) -> None:
        if (self.guard is Guard.STAFF) != (self.right is not None):
            raise ValueError(f"{self.rule}: a route for staff names a right, and no other does")
        if (self.guard is Guard.PROGRAM) != (self.scope is not None):
            raise ValueError(f"{self.rule}: a route for programs names a scope, and no other does")

    @property
    def of_the_console(self) -> bool:
        """Whether it is one of the pages for staff."""
        return self.guard not in (Guard.ANYONE, Guard.LINK, Guard.PROGRAM)

    @property
    def endpoint(self) -> str:
        """`module.function`: the name for `url_for`."""
        return f"{self.view.__module__.rpartition('.')[2]}.{self.view.__name__}"
