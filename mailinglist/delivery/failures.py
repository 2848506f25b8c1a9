"""Pure: what follows from refusals and reports: when a mail is tried again, and who can't be reached any more.

4yz is tried again, from half an hour up to four days after the first try (RFC 5321 §4.5.4.1); letters, for which
somebody is waiting at a screen, sooner at first. What was not accepted without being refused (connection lost, 421)
goes again soon.

Nobody is given up for one refusal, nor for what is about us. A refusal in the conversation and a report that comes
later count the same way (`verdicts` says what each means).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from .verdicts import Verdict

GIVE_UP_AFTER = timedelta(days=4)

APART = timedelta(days=1)
"""Two bulletins that say that an address is gone: at least so far apart, so that one bad hour of a server drops
nobody."""
FULL_TIMES, FULL_WITHIN = 5, timedelta(days=60)
"""So many bulletins that a mailbox could not take, within so long."""
WINDOW, MOST_BLAMED = 200, 10
"""Of so many mails in a row, at most so many (5 %) may be refused because of us; else a bulletin stands still."""
OF_ONE_DOMAIN = 3
"""So many reports about mails to one domain count in that. Whoever has addresses of their own on a list can report
anything about them; it takes several domains to stop a bulletin, unless most of its mails go to one."""
REPORTED_WITHIN = timedelta(days=30)
"""A report of a mail that is older than this does not count any more."""

_BULLETIN_WAITS = (30, 30, 60, 120, 240, 360)
_LETTER_WAITS = (1, 5, 15, 30, 30, 60, 120, 240, 360)
_UNSENT_WAITS = (2, 5, 15, 60, 300)


def retry_at(kind: str, *, attempts: int, first: datetime, now: datetime) -> datetime | None:
    """When a deferred mail is tried again, after `attempts` tries; None: four days have passed, it counts as
    rejected."""
    if now - first >= GIVE_UP_AFTER:
        return None
    waits = _BULLETIN_WAITS if kind == "bulletin" else _LETTER_WAITS
    return now + timedelta(minutes=_nth(waits, attempts))


def unsent_until(*, attempts: int, first: datetime, now: datetime) -> datetime | None:
    """When a mail that a server neither took nor refused goes again; None: four days have passed."""
    if now - first >= GIVE_UP_AFTER:
        return None
    return now + timedelta(seconds=_nth(_UNSENT_WAITS, attempts))


def _nth(waits: tuple[int, ...], attempts: int) -> int:
    return waits[min(max(attempts, 1), len(waits)) - 1]


@dataclass(frozen=True, slots=True)
class Failure:
    """A mail to one person that failed."""

    verdict: Verdict
    bulletin: int
    """0: a letter."""
    mailed_at: datetime


@dataclass(frozen=True, slots=True)
class Blame:
    """A mail that was refused because of us."""

    handoff_id: int
    domain: str
    reported: bool
    """By a report that came as a mail, which anybody who had the mail can write; else in the conversation with our
    relay."""
    words: str | None = None


def counting(ill: Iterable[Blame], *, main_domain: str | None) -> list[Blame]:
    """Those of the mails refused because of us, newest first, that count towards MOST_BLAMED: all that our relay
    refused, and of those that are only reported OF_ONE_DOMAIN for each domain; all of `main_domain`, where most mails
    go."""
    found = []
    of_domain: Counter[str] = Counter()
    for each in ill:
        if each.reported and each.domain != main_domain:
            of_domain[each.domain] += 1
            if of_domain[each.domain] > OF_ONE_DOMAIN:
                continue
        found.append(each)
    return found


def unreachable(failures: Iterable[Failure]) -> Verdict | None:
    """Whether somebody can't be reached: DEAD or MAILBOX is why, None says no.

    DEAD: two bulletins, APART, say that there is no such address. MAILBOX: the mailbox took none of FULL_TIMES
    bulletins within FULL_WITHIN. What is about us never counts; nor do letters, since a stranger can have them sent to
    anybody.
    """
    every = list(failures)
    dead = [each for each in every if each.verdict is Verdict.DEAD and each.bulletin]
    if any(abs(one.mailed_at - two.mailed_at) >= APART for one in dead for two in dead if one.bulletin != two.bulletin):
        return Verdict.DEAD
    full = sorted(each.mailed_at for each in every if each.verdict is Verdict.MAILBOX and each.bulletin)
    groups = zip(full, full[FULL_TIMES - 1 :], strict=False)
    return Verdict.MAILBOX if any(last - first <= FULL_WITHIN for first, last in groups) else None
