"""Faults at random moments while a bulletin goes out, and whether the account adds up afterwards; in the house of
housing.py, where everything is real. For each bulletin:

- lost: who is in no state, or `accepted` and not stored by the mail server;
- twice: copies that the mail server stored beside the first;
- wrong: any other way in which the account and the mail server's records disagree.

Two clocks are helped. What is deferred waits for half an hour: here it falls due once it has been counted, and has to
arrive once. On SQLite a dead worker's rows are taken back after 40 s: here after 10 s without a beat, as on PostgreSQL.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import commanding
from housing import BEATLESS, CONNECTIONS, House
from mailinglist.delivery import dispatch

DATABASES = ("postgresql", "sqlite")
_BEGIN = 240.0  # seconds for a bulletin to come to the moment of its fault, on a machine that others keep busy
_END = 240.0  # seconds to be sent after it
_LOOK = 0.05
_STATES = ("accepted", "deferred", "rejected", "excluded", "uncertain", "pending")


@dataclass(frozen=True)
class Fault:
    """One line of the table."""

    name: str
    what: str
    strike: Callable[[House, random.Random], None] | None = None
    """Done once, from outside; None: the mail server misbehaves by itself."""
    most: int = 0
    """How often the mail server misbehaves, of 20,000 recipients."""
    uncertain: int | None = 0
    """The most that may become uncertain; None: one for each time that the mail server misbehaved."""
    dead_workers: int = 0
    """Besides: what so many workers have in hand (`House.in_hand`)."""
    databases: tuple[str, ...] = DATABASES
    kills_workers: bool = False
    slows: bool = False
    """The workers remember it, and go slowly: fresh ones for the next."""


@dataclass
class Row:
    """One line of the table, summed over the times."""

    fault: str
    database: str
    counts: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    twice: int = 0
    most_uncertain: int = 0
    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


# ── faults, and how long each lasts ───────────────────────────────────────────────────────────────────────────────────


def _kill_broker(running: House, chance: random.Random) -> None:
    running.valkey.kill()
    time.sleep(chance.uniform(0.5, 3.0))
    running.valkey.start()


def _stop_database(running: House, chance: random.Random) -> None:
    assert running.server is not None
    running.server.stop()  # immediate
    time.sleep(chance.uniform(0.1, 2.0))
    running.server.start()


def _kill_sink(running: House, chance: random.Random) -> None:
    running.kill_sink()
    time.sleep(chance.uniform(0.1, 2.0))
    running.start_sink()


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("worker", "kill -9 of one worker of two", lambda running, chance: running.kill_workers(chance, 1),
            dead_workers=1, kills_workers=True),
        Fault("workers", "kill -9 of both workers", lambda running, chance: running.kill_workers(chance, 2),
            dead_workers=2, kills_workers=True),
        Fault("broker", "kill -9 of Valkey", _kill_broker),
        Fault("database", "PostgreSQL's immediate stop", _stop_database,
            dead_workers=2, databases=("postgresql",)),
        Fault("sink", "kill -9 of the mail server", _kill_sink, uncertain=2 * CONNECTIONS),
        Fault("451", "some get 451", most=100),
        Fault("550", "some get 550", most=100),
        Fault("hang", "the server hangs, and goes on or closes", most=12, uncertain=None),
        Fault("mid-data", "the server closes within the content", most=20, uncertain=None),
        Fault("after-dot", "the server closes after the final dot", most=20, uncertain=None),
        Fault("garbage", "the server answers with garbage", most=20, uncertain=None),
        Fault("split", "each reply has three lines, each octet comes alone"),
        Fault("421", "some get 421", most=3, slows=True),
    )
}  # fmt: skip


# ── one bulletin ──────────────────────────────────────────────────────────────────────────────────────────────────────


class _Watch:
    """Waits for facts, and looks at the account meanwhile."""

    def __init__(self, running: House, bulletin: int) -> None:
        self._house, self._bulletin = running, bulletin
        self.last: dispatch.Status | None = None
        self.wrong: list[str] = []

    def until(self, fact: Callable[[], object], *, seconds: float, what: str) -> bool:
        """Wait; False, and a line in `wrong`, when it did not come true in time."""
        deadline = time.monotonic() + seconds
        while True:
            self.look()
            if fact():
                return True
            if time.monotonic() > deadline:
                self.wrong.append(f"waited {seconds:.0f} s for {what}; the account: {self.last}")
                return False
            time.sleep(_LOOK)

    def look(self) -> None:
        """One look at the account: it adds up at any moment."""
        found = self._house.status(self._bulletin)
        if found is None:
            return
        self.last = found
        if found.audience and found.audience != sum(getattr(found, name) for name in _STATES):
            self.wrong.append(f"the account does not add up: {found}")

    def sent(self) -> bool:
        """Nobody is pending any more."""
        return self.last is not None and self.last.state == "sent"


def once(running: House, fault: Fault, chance: random.Random, row: Row) -> None:
    """One bulletin with one fault; what came of it is added to `row`."""
    running.book.turn()
    running.start_sink(*_orders(running, fault, chance))
    began = time.monotonic()
    bulletin, number = running.send()
    watch = _Watch(running, bulletin)
    if fault.strike is not None:
        moment = int(running.recipients * chance.uniform(0.05, 0.6))
        stored = running.book.number
        watch.until(lambda: stored(number) >= moment and running.shifts() >= 2, seconds=_BEGIN, what="both workers")
        fault.strike(running, chance)
        if watch.last is None or watch.last.pending == 0:
            watch.wrong.append("the fault came too late")
    help_at = time.monotonic() + BEATLESS.total_seconds()

    def over() -> bool:
        nonlocal help_at
        if fault.kills_workers and running.kind == "sqlite" and time.monotonic() > help_at:
            running.age_beatless_shifts()
            help_at = time.monotonic() + 1
        return watch.sent()

    watch.until(over, seconds=_END, what="the bulletin to be sent")
    row.seconds.append(time.monotonic() - began)
    _check(running, fault, bulletin, number, watch, row)
    _settle(running, bulletin, watch)
    _try_deferred_again(running, bulletin, number, watch, row)
    row.wrong += watch.wrong
    if fault.slows:
        running.replace_workers()


def _orders(running: House, fault: Fault, chance: random.Random) -> Sequence[object]:
    """The mail server's command line."""
    if fault.strike is not None:
        return ()
    most = min(fault.most, max(3, fault.most * running.recipients // 20_000))
    after = int(running.recipients * chance.uniform(0.02, 0.5))
    share = min(0.5, 1.5 * most / (running.recipients - after))
    seed = chance.randrange(10**6)
    return "--fault", fault.name, "--seed", seed, "--after", after, "--most", most, "--share", share


def _check(running: House, fault: Fault, bulletin: int, number: int, watch: _Watch, row: Row) -> None:
    """Hold the account against the mail server's records."""
    running.book.read()
    book, wrong = running.book, watch.wrong
    stored = book.stored.get(number, Counter())
    rows = running.states(bulletin)
    by_state: dict[str, set[str]] = {}
    for mailbox, state in rows:
        by_state.setdefault(state, set()).add(mailbox)
    wanted = {f"p{n}@example.fi" for n in range(running.recipients)}
    for state, people in by_state.items():
        row.counts[state] += len(people)
    named = {mailbox for mailbox, _ in rows}
    row.lost += len(wanted - named) + len(by_state.get("accepted", set()) - stored.keys())
    row.twice += stored.total() - len(stored)
    if len(rows) != running.recipients or named != wanted:
        wrong.append(f"{len(rows)} rows for {len(named)} people, of {running.recipients}")
    if watch.last is None or watch.last.audience != running.recipients:
        wrong.append(f"the audience is not {running.recipients}: {watch.last}")
    for state in by_state.keys() - {"accepted", "uncertain"}:
        if surplus := by_state[state] & stored.keys():
            wrong.append(f"{len(surplus)} are {state}, and their mail is stored")
    counted = {state: getattr(watch.last, state) for state in _STATES if watch.last and getattr(watch.last, state)}
    if counted != {state: len(people) for state, people in by_state.items()}:
        wrong.append(f"the account says {counted}, of other rows")
    if by_state.get("excluded", set()) != running.banned:
        wrong.append("others than the banned are excluded")
    for state, digit in (("deferred", "4"), ("rejected", "5")):
        for mailbox in by_state.get(state, set()):
            if not any(code.startswith(digit) for code in book.refused.get(mailbox, ())):
                wrong.append(f"{mailbox} is {state}, and was not refused with {digit}yz")
    uncertain = len(by_state.get("uncertain", ()))
    row.most_uncertain = max(row.most_uncertain, uncertain)
    limit = book.faults if fault.uncertain is None else fault.uncertain + fault.dead_workers * running.in_hand
    if uncertain > limit:
        wrong.append(f"{uncertain} are uncertain, of at most {limit}")
    if book.torn:
        wrong.append(f"{len(book.torn)} stored mails are torn")
    if fault.most and not book.faults:
        wrong.append("the mail server did not misbehave")


def _settle(running: House, bulletin: int, watch: _Watch) -> None:
    """A person decides, by command; the account still adds up."""
    before = watch.last
    decided = commanding.run(running.settings, "bulletins", "settle", bulletin, "--uncertain", "accepted")
    asked = commanding.run(running.settings, "bulletins", "status", bulletin, "--json")
    if decided.code or asked.code or before is None:
        watch.wrong.append(f"settle: {decided}; status: {asked}")
        return
    after = asked.json
    added_up = after["audience"] == sum(after[name] for name in _STATES)
    if not added_up or after["uncertain"] or after["accepted"] != before.accepted + before.uncertain:
        watch.wrong.append(f"after settle: {after}; before: {before}")


def _try_deferred_again(running: House, bulletin: int, number: int, watch: _Watch, row: Row) -> None:
    """What was deferred falls due, the mail server behaves: everybody gets it, and nobody twice."""
    if watch.last is None or not watch.last.deferred:
        return
    deferred = {mailbox for mailbox, state in running.states(bulletin) if state == "deferred"}
    before = running.book.stored[number]
    twice = before.total() - len(before)
    running.calm_sink()
    running.make_deferred_due(bulletin)

    def none_left() -> bool:
        return watch.last is not None and watch.last.deferred == watch.last.pending == 0

    watch.until(none_left, seconds=_END, what="the deferred mails to go")
    running.book.read()
    stored = running.book.stored[number]
    row.lost += len(deferred - stored.keys())
    row.twice += stored.total() - len(stored) - twice
