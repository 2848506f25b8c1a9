"""Pure: how much may wait for a person, and what has to go where more comes.

Whoever writes much pushes out what they wrote themselves, the oldest first. Where the list as a whole has too much,
whom the register does not know goes first: the writer of most of that loses their oldest. So a stranger pushes out
nothing that somebody known has written.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from .bounds import LARGEST

FROM_ONE, FROM_ONE_OCTETS = 50, 2 * LARGEST
"""Mails of one writer that wait on one list, and octets of them."""
OF_A_LIST, OF_A_LIST_OCTETS = 1000, 20 * LARGEST
"""Mails that wait on one list, and octets of them."""


Writer = tuple[str, str, str]
"""Who a mail is from: its return path, its From, and the client from which the relay had it, as far as each is known.
Nobody has checked the first two; but who makes up one of them is another writer than who has both."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A mail that waits for a person."""

    number: int
    writer: Writer
    octets: int
    known: bool
    """Whether its writer's address is in the register."""

    @property
    def group(self) -> Writer | int:
        """What counts together: mails of one writer; a mail that names nobody counts alone."""
        return self.writer if any(self.writer[:2]) else self.number


def too_many(mails: Sequence[Kept], newest: int) -> list[int]:
    """Which of a list's mails, oldest first, have to go, after the one with the number `newest` has joined them."""
    theirs: dict[Writer | int, deque[Kept]] = defaultdict(deque)
    number = octets = 0
    joined: Writer | int | None = None
    for mail in mails:
        theirs[mail.group].append(mail)
        number, octets = number + 1, octets + mail.octets
        if mail.number == newest:
            joined = mail.group
    gone: list[int] = []

    def drop(whose: Writer | int) -> None:
        nonlocal number, octets
        oldest = theirs[whose].popleft()
        gone.append(oldest.number)
        number, octets = number - 1, octets - oldest.octets

    if joined is not None:
        own = theirs[joined]
        while len(own) > FROM_ONE or sum(mail.octets for mail in own) > FROM_ONE_OCTETS:
            drop(joined)
    while number > OF_A_LIST or octets > OF_A_LIST_OCTETS:
        full = octets > OF_A_LIST_OCTETS
        waiting = [each for each, kept in theirs.items() if kept]
        drop(max(waiting, key=lambda each: _weight(theirs[each], by_octets=full)))
    return gone


def _weight(mails: deque[Kept], *, by_octets: bool) -> tuple[bool, int, int]:
    weight = sum(mail.octets for mail in mails) if by_octets else len(mails)
    return not any(mail.known for mail in mails), weight, -mails[0].number
