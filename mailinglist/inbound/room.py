"""Pure: how much may wait for a person, and what has to go where more comes.

Whoever writes much pushes out what they wrote themselves, the oldest first. Where the list as a whole has too much, the
writer of most of it loses their oldest; of those who wrote equally much, whom the register does not know comes first.
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


@dataclass(frozen=True, slots=True)
class Kept:
    """A mail that waits for a person."""

    number: int
    writer: str
    octets: int
    known: bool
    """Whether its writer's address is in the register."""


def too_many(mails: Sequence[Kept], writer: str) -> list[int]:
    """Which of a list's mails, oldest first, have to go, after one of `writer` has joined them."""
    theirs: dict[str, deque[Kept]] = defaultdict(deque)
    number = octets = 0
    for mail in mails:
        theirs[mail.writer].append(mail)
        number, octets = number + 1, octets + mail.octets
    gone: list[int] = []

    def drop(whose: str) -> None:
        nonlocal number, octets
        oldest = theirs[whose].popleft()
        gone.append(oldest.number)
        number, octets = number - 1, octets - oldest.octets

    while len(theirs[writer]) > FROM_ONE or sum(mail.octets for mail in theirs[writer]) > FROM_ONE_OCTETS:
        drop(writer)
    while number > OF_A_LIST or octets > OF_A_LIST_OCTETS:
        full = octets > OF_A_LIST_OCTETS
        waiting = [each for each, kept in theirs.items() if kept]
        drop(max(waiting, key=lambda each: _weight(theirs[each], by_octets=full)))
    return gone


def _weight(mails: deque[Kept], *, by_octets: bool) -> tuple[int, bool, int]:
    weight = sum(mail.octets for mail in mails) if by_octets else len(mails)
    return weight, not mails[0].known, -mails[0].number
