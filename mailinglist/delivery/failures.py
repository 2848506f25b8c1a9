"""Pure: what follows from refusals and reports: when a mail is tried again, and who can't be reached any more.

4yz is tried again, from half an hour up to four days after the first try (RFC 5321 §4.5.4.1); letters, for which
somebody is waiting at a screen, sooner at first. What was not accepted without being refused (connection lost, 421)
goes again soon.

Nobody is given up for one refusal, nor for what is about us. A refusal in the conversation and a report that comes
later count the same way (`verdicts` says what each means).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
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
"""So many reports about mails to one domain count in that, and more of a domain to which a good part of the mails go,
in proportion: half of them, and its reports alone are enough. Whoever has a few addresses of their own on a list can
report anything about them; large providers that block us, each for its own part, are believed."""
MOST_REPORTED = 40
"""Of so many mails in a row, at most so many (20 %) may be reported as refused because of us, whatever their domains:
one provider that blocks us is enough for that."""
REPORTED_WITHIN = timedelta(days=30)
"""A report of a mail that is older than this does not count any more."""

_BULLETIN_WAITS = (30, 30, 60, 120, 240, 360)
_LETTER_WAITS = (1, 5, 15, 30, 30, 60, 120, 240, 360)
_UNSENT_WAITS = (2, 5, 15, 60, 300)
LONGEST_WAIT = timedelta(minutes=max(*_BULLETIN_WAITS, *_LETTER_WAITS))
"""No mail waits for longer before it is tried again."""


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
    """A mail was refused because of us."""

    reported: bool
    """By a report that came as a mail, which anybody who had the mail can write; else in the conversation with our
    relay."""
    words: str | None = None


@dataclass(frozen=True, slots=True)
class Went:
    """A mail of a bulletin that was handed over."""

    domain: str
    blame: Blame | None = None


def too_many(mails: Sequence[Went]) -> list[Blame]:
    """Of a bulletin's mails, in the order in which they were handed over: those that were refused because of us in the
    newest WINDOW that has too many of them, newest first. Empty: no window has."""
    for end in range(len(mails), 0, -1):
        if mails[end - 1].blame is None:
            continue
        window = mails[max(0, end - WINDOW) : max(end, WINDOW)]
        ill = [each.blame for each in window if each.blame is not None]
        if len(ill) > MOST_BLAMED and _is_too_much(window):
            return ill[::-1]
    return []


def _is_too_much(window: Sequence[Went]) -> bool:
    """All that our relay refused counts, and of what is only reported a part for each domain (OF_ONE_DOMAIN)."""
    refused = sum(1 for each in window if each.blame is not None and not each.blame.reported)
    reported = Counter(each.domain for each in window if each.blame is not None and each.blame.reported)
    if reported.total() > MOST_REPORTED:
        return True
    mails = Counter(each.domain for each in window)
    counted = (min(number, _of_domain(mails[domain], len(window))) for domain, number in reported.items())
    return refused + sum(counted) > MOST_BLAMED


def _of_domain(mails: int, of_all: int) -> int:
    """How many reports count of a domain to which so many mails of a window went."""
    if of_all <= 2 * MOST_BLAMED:  # too early to say what is a good part
        return OF_ONE_DOMAIN
    return max(OF_ONE_DOMAIN, 2 * (MOST_BLAMED + 1) * mails // of_all)


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
