"""A whole house that can be broken: two bulletin workers and the scheduler as in production, a Valkey, PostgreSQL or
SQLite, and a mail server (badsink.py) that writes down what it stores before it answers.

What is killed can be started again. The tests and `./dev bench crash` live in the same house.
"""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.exc import OperationalError

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

CONNECTIONS = 4
"""Of each of the two workers."""
BEATLESS = timedelta(seconds=10)
_BANNED_EACH = 200  # one of so many is banned: the gate excludes them
_UNSETTLED = 0.5  # seconds in which an answer is written down, on a busy machine
_SECRETS = {"secret_keys": "crash-secret-key-0123456789abcdef", "ban_key": "crash-ban-key-0123456789abcdef012"}


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
            smtp_connections=CONNECTIONS, send_rate=rate, **_SECRETS,
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
            ban_lists.take_in(session, bans.sha256, ALL_CHANNELS, source="bench", now=now)
        if self.server is not None:
            with self.app.app_context(), db.transaction() as session:
                session.execute(text("ANALYZE"))  # the tests' server has no autovacuum to do it
        self.valkey.start()
        self._scheduler = self._role("scheduler")
        self.workers = [self._worker() for _ in range(2)]

    def end(self) -> None:
        """End all that was started."""
        processes: list[subprocess.Popen[Any] | None] = [*self.workers, self._scheduler, self._sink]
        for process in processes:
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
        servers.wait_for(lambda: servers.listens(self.port))

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
        time.sleep(chance.uniform(0.1, 1.0))  # how long they are away is part of the fault
        for place in victims:
            self.workers[place] = self._worker()

    def replace_workers(self) -> None:
        """Ask the workers to leave, and start fresh ones."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.wait(30)
        self.workers = [self._worker() for _ in self.workers]

    def rest(self) -> None:
        """Ask the workers and the scheduler to leave, as one does before a restore."""
        asked = [process for process in (*self.workers, self._scheduler) if process is not None]
        for process in asked:
            process.terminate()
        for process in asked:
            process.wait(60)
        self.workers, self._scheduler = [], None
        with self.app.app_context():
            db.db.engine.dispose()

    def go_on(self) -> None:
        """Fresh workers, and the scheduler."""
        self._scheduler = self._role("scheduler")
        self.workers = [self._worker() for _ in range(2)]

    # ── bulletins ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def send(self) -> tuple[int, int]:
        """A new bulletin to everybody: its id, and the number in its subject."""
        self._bulletins += 1
        with self.app.app_context(), db.transaction() as session:
            row = lists.find(session, lists.DEFAULT_SLUG)
            subject, source = f"Crash {self._bulletins}", "# Hei\n\nMoi {name|ystävä}, tässä kuulumisia.\n"
            made = drafts.add(session, row, subject=subject, source=source, form="markdown", now=db.utcnow()).id
            dispatch.send(session, made, sender="T <t@example.fi>", by="bench", at=None, publishers=(), now=db.utcnow())
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
            silent = Shift.beat_at < db.utcnow() - BEATLESS
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
