"""From the register to the mail server: first to last acceptance of one bulletin, on SQLite and on PostgreSQL.

Beside it, in alternating order and through the same smtp-sink: Postfix's smtp-source with as many connections, and the
loop that everybody would write first (smtplib and EmailMessage). What counts are the ratios: machines are noisy.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import smtplib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from email.message import EmailMessage
from functools import partial
from pathlib import Path

from flask import Flask

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))  # the servers that the tests use

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
_SOURCE = "smtp-source"
_LOOP = 500  # mails of the plain loop: it is slow
_PARAGRAPH = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, ja vähän ääkkösiä. " * 6 + "\n\n"


# As a small server in production has it: what is committed is on the disk, and dead rows are cleared away.
PRODUCTION = ("fsync=on", "synchronous_commit=on", "autovacuum=on", "max_connections=50", "shared_buffers=512MB",
               "max_wal_size=2GB", "checkpoint_timeout=5min")  # fmt: skip


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


def main(*, recipients: int, rounds: int, kilobytes: int, connections: int) -> None:
    """Print the figures of each round, then medians and ratios, then where the time goes."""
    found = shutil.which("smtp-source") or shutil.which("smtp-source", path="/usr/sbin")
    if found is None:
        print(
            "smtp-source and smtp-sink are missing (Debian's package postfix): a bundled sink serves, nothing compares"
        )
    folder = Path(tempfile.mkdtemp(prefix="mlbench-"))
    figures: dict[str, list[Figure]] = {}
    try:
        with sink(found) as (port, pid), servers.postgres(PRODUCTION) as server:
            ours = list(_ours(folder, server, port, recipients, kilobytes, connections))
            contestants = [*ours, Contestant("smtplib loop", lambda: _plain_loop(port, kilobytes))]
            if found is not None:
                for name, more in ((_SOURCE, ()), (f"{_SOURCE} -d", ("-d",))):
                    go = partial(_smtp_source, found, port, recipients, kilobytes, connections, more)
                    contestants.insert(len(contestants) - 1, Contestant(name, go))
            for number in range(rounds):
                for each in contestants if number % 2 == 0 else reversed(contestants):
                    figure = measured(each, pid)
                    figures.setdefault(each.name, []).append(figure)
                    print(f"round {number + 1}  {each.name:<14} {figure.rate:>9,.0f}/s", flush=True)
            _print(figures, recipients, kilobytes, connections)
            for each in ours:
                with parts.timed() as spent:
                    figure = measured(each, pid)
                _print_parts(each.name, figure, spent, recipients)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measured(contestant: Contestant, sink_pid: int) -> Figure:
    database = contestant.server.process.pid if contestant.server and contestant.server.process else None
    before = _own_seconds(), parts.spent(database), parts.spent(sink_pid)
    mails, seconds = contestant.send()
    after = _own_seconds(), parts.spent(database), parts.spent(sink_pid)
    sender, server, sinks = ((late - early) / mails * 1e6 for early, late in zip(before, after, strict=True))
    return Figure(mails / seconds, sender, server, sinks)


def _own_seconds() -> float:
    """Of this process and the ones it has waited for, such as smtp-source."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _print(figures: dict[str, list[Figure]], recipients: int, kilobytes: int, connections: int) -> None:
    print(f"\n{recipients:,} recipients, {kilobytes} KB, {connections} connections, {os.cpu_count()} cores, ", end="")
    print(f"Python {platform.python_version()}; µs of processor a mail: of the sender, of PostgreSQL, of the sink")
    for name, found in figures.items():
        rate, sender, database, sink = (statistics.median(each) for each in zip(*map(astuple, found), strict=True))
        ratio = ""
        if _SOURCE in figures:
            ratios = [own.rate / other.rate for own, other in zip(found, figures[_SOURCE], strict=True)]
            ratio = f"{statistics.median(ratios):5.2f} × smtp-source [{min(ratios):.2f}–{max(ratios):.2f}]"
        print(f"{name:<14} {rate:>9,.0f}/s  {ratio}  {sender:6.0f} {database:5.0f} {sink:5.0f}")


def _print_parts(name: str, figure: Figure, spent: dict[str, parts.Part], recipients: int) -> None:
    print(f"\nwhere the time goes on {name}, µs a mail ({figure.rate:,.0f}/s while it is timed)")
    print(f"  {'part':<28} {'processor':>9} {'waiting':>9} {'calls':>8}")
    for part, found in spent.items():
        cpu, wall = found.cpu / recipients * 1e6, found.wall / recipients * 1e6
        print(f"  {part:<28} {cpu:9.1f} {wall - cpu:9.1f} {found.calls:8,}")
    rest = figure.sender - sum(found.cpu for found in spent.values()) / recipients * 1e6
    print(f"  {'all else of ours':<28} {rest:9.1f}")
    if figure.database:
        print(f"  {'PostgreSQL (its processes)':<28} {figure.database:9.1f}")
    print(f"  {'the sink':<28} {figure.sink:9.1f}")


def _ours(
    folder: Path, server: servers.Postgres | None, port: int, recipients: int, kilobytes: int, connections: int
) -> Iterator[Contestant]:
    urls = {"SQLite": f"sqlite:///{folder}/bench.db"}
    if server is not None:
        urls["PostgreSQL"] = server.url(server.create("bench"))
    for name, url in urls.items():
        settings = Settings.of(
            data_dir=folder / name, database_url=url, smtp_url=f"smtp://127.0.0.1:{port}?starttls=never",
            base_url="https://lists.example.fi", smtp_connections=connections, **SECRETS,
        )  # fmt: skip
        app = create_app(settings)
        migrate.upgrade(app)
        fill(app, recipients)
        send = partial(bulletin, app, recipients, kilobytes)
        yield Contestant(name, send, server if name == "PostgreSQL" else None)


def fill(app: Flask, recipients: int) -> None:
    lines = (f"person{n}@example{n % 50}.fi,Matti Meikäläinen {n}\n" for n in range(recipients))
    data = ("email,name\n" + "".join(lines)).encode()
    with app.app_context(), db.transaction() as session:
        consignment = transfer.read(data, basis=Basis.CONSENT, source="bench", file="bench.csv")
        row = lists.find(session, lists.DEFAULT_SLUG)
        transfer.take_in(session, row, consignment, who="bench", now=db.utcnow())


def bulletin(app: Flask, recipients: int, kilobytes: int) -> tuple[int, float]:
    """One bulletin to everybody; its source is about half of what a mail weighs, which has two parts and a layout."""
    body = "# Otsikko\n\n" + _PARAGRAPH * max(1, (kilobytes - 8) * 1024 // (2 * len(_PARAGRAPH.encode())))
    with app.app_context():
        with db.transaction() as session:
            row = lists.find(session, lists.DEFAULT_SLUG)
            made = drafts.add(session, row, subject="Bench", source=body, form="markdown", now=db.utcnow()).id
            dispatch.send(
                session, made, sender="T <t@example.fi>", by="bench", at=None, second_person=False, now=db.utcnow()
            )
        post.bulletins(stop=lambda: False)
        with db.reading() as session:
            status = dispatch.status(session, made)
    assert status.accepted == recipients, status
    assert status.first_at is not None
    assert status.last_at is not None
    return recipients, (status.last_at - status.first_at).total_seconds()


def _smtp_source(
    program: str, port: int, recipients: int, kilobytes: int, connections: int, more: Sequence[str]
) -> tuple[int, float]:
    """Without `-d` it opens a connection for each mail, as Postfix's own tests do; with it, it keeps them, as we do."""
    words = [program, *more, "-s", str(connections), "-l", str(kilobytes * 1024), "-m", str(recipients)]
    began = time.monotonic()
    subprocess.run([*words, "-f", "a@example.fi", "-t", "b@example.fi", f"127.0.0.1:{port}"], check=True)
    return recipients, time.monotonic() - began


def _plain_loop(port: int, kilobytes: int) -> tuple[int, float]:
    text = _PARAGRAPH * (kilobytes * 1024 // len(_PARAGRAPH.encode()))
    began = time.monotonic()
    with smtplib.SMTP("127.0.0.1", port) as server:
        for number in range(_LOOP):
            message = EmailMessage()
            message["From"], message["To"] = "t@example.fi", f"person{number}@example.fi"
            message["Subject"] = "Bench"
            message.set_content(text)
            message.add_alternative(f"<p>{text}</p>", subtype="html")
            server.send_message(message)
    return _LOOP, time.monotonic() - began


@contextmanager
def sink(source: str | None) -> Iterator[tuple[int, int]]:
    """A sink's port and process: smtp-sink, which lies beside smtp-source, or the bundled one."""
    port = servers.free_port()
    if source is None:
        words = [sys.executable, str(Path(__file__).with_name("sink.py")), str(port)]
    else:
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        words = [str(Path(source).with_name("smtp-sink")), *user, f"127.0.0.1:{port}", "1000"]
    process = subprocess.Popen(words, preexec_fn=servers.die_with_parent, stderr=subprocess.DEVNULL)
    try:
        servers.wait_for(lambda: listens(port))
        yield port, process.pid
    finally:
        process.kill()
        process.wait(10)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
