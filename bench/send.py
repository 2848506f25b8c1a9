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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import psycopg
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

_SECRETS = {"secret_keys": "bench-secret-key-0123456789abcdef", "ban_key": "bench-ban-key-0123456789abcdef012"}
_LOOP = 500  # mails of the plain loop: it is slow
_PARAGRAPH = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, ja vähän ääkkösiä. " * 6 + "\n\n"


@dataclass(frozen=True)
class Figure:
    """Mails a second, and microseconds of this process's processor for each (0: another program's)."""

    rate: float
    cpu: float = 0.0


def main(*, recipients: int, rounds: int, kilobytes: int, connections: int) -> None:
    """Print the figures of each round, then medians and ratios."""
    source = shutil.which("smtp-source") or shutil.which("smtp-source", path="/usr/sbin")
    if source is None:
        sys.exit("bench: smtp-source and smtp-sink are missing: they are in Debian's package postfix")
    folder = Path(tempfile.mkdtemp(prefix="mlbench-"))
    figures: dict[str, list[Figure]] = {}
    try:
        with _sink(Path(source).parent / "smtp-sink") as port, servers.postgres() as server:
            contestants = dict(_ours(folder, server, port, recipients, kilobytes, connections))
            contestants["smtp-source"] = lambda: _smtp_source(source, port, recipients, kilobytes, connections)
            contestants["smtplib loop"] = lambda: _plain_loop(port, kilobytes)
            for number in range(rounds):
                names = list(contestants) if number % 2 == 0 else list(reversed(contestants))
                for name in names:
                    figure = contestants[name]()
                    figures.setdefault(name, []).append(figure)
                    print(f"round {number + 1}  {name:<14} {figure.rate:>9,.0f}/s", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _print(figures, recipients, kilobytes, connections)


def _print(figures: dict[str, list[Figure]], recipients: int, kilobytes: int, connections: int) -> None:
    print(f"\n{recipients:,} recipients, {kilobytes} KB, {connections} connections, {os.cpu_count()} cores, ", end="")
    print(f"Python {platform.python_version()}")
    for name, found in figures.items():
        rate = statistics.median(figure.rate for figure in found)
        cpu = statistics.median(figure.cpu for figure in found)
        ratios = [own.rate / other.rate for own, other in zip(found, figures["smtp-source"], strict=True)]
        spread = f"[{min(ratios):.2f}–{max(ratios):.2f}]"
        own = f"  {cpu:5.0f} µs of processor a mail" if cpu else ""
        print(f"{name:<14} {rate:>9,.0f}/s  {statistics.median(ratios):5.2f} × smtp-source {spread}{own}")


def _ours(
    folder: Path, server: servers.Postgres | None, port: int, recipients: int, kilobytes: int, connections: int
) -> Iterator[tuple[str, Callable[[], Figure]]]:
    urls = {"SQLite": f"sqlite:///{folder}/bench.db"}
    if server is not None:
        with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE bench")
        urls["PostgreSQL"] = server.url("bench")
    for name, url in urls.items():
        settings = Settings.of(
            data_dir=folder / name, database_url=url, smtp_url=f"smtp://127.0.0.1:{port}?starttls=never",
            base_url="https://lists.example.fi", smtp_connections=connections, **_SECRETS,
        )  # fmt: skip
        app = create_app(settings)
        migrate.upgrade(app)
        _fill(app, recipients)
        yield name, lambda app=app: _bulletin(app, recipients, kilobytes)  # type: ignore[misc]


def _fill(app: Flask, recipients: int) -> None:
    lines = (f"person{n}@example{n % 50}.fi,Matti Meikäläinen {n}\n" for n in range(recipients))
    data = ("email,name\n" + "".join(lines)).encode()
    with app.app_context(), db.transaction() as session:
        consignment = transfer.read(data, basis=Basis.CONSENT, source="bench", file="bench.csv")
        row = lists.find(session, lists.DEFAULT_SLUG)
        transfer.take_in(session, row, consignment, who="bench", now=db.utcnow())


def _bulletin(app: Flask, recipients: int, kilobytes: int) -> Figure:
    """One bulletin to everybody; its source is about half of what a mail weighs, which has two parts and a layout."""
    body = "# Otsikko\n\n" + _PARAGRAPH * max(1, (kilobytes - 8) * 1024 // (2 * len(_PARAGRAPH.encode())))
    with app.app_context():
        with db.transaction() as session:
            row = lists.find(session, lists.DEFAULT_SLUG)
            made = drafts.add(session, row, subject="Bench", source=body, form="markdown", now=db.utcnow()).id
            dispatch.send(session, made, sender="T <t@example.fi>", by="bench", at=None, now=db.utcnow())
        before = resource.getrusage(resource.RUSAGE_SELF)
        post.bulletins(stop=lambda: False)
        after = resource.getrusage(resource.RUSAGE_SELF)
        with db.reading() as session:
            status = dispatch.status(session, made)
    assert status.accepted == recipients, status
    assert status.first_at is not None
    assert status.last_at is not None
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Figure(recipients / (status.last_at - status.first_at).total_seconds(), spent / recipients * 1e6)


def _smtp_source(program: str, port: int, recipients: int, kilobytes: int, connections: int) -> Figure:
    words = [program, "-s", str(connections), "-l", str(kilobytes * 1024), "-m", str(recipients)]
    began = time.monotonic()
    subprocess.run([*words, "-f", "a@example.fi", "-t", "b@example.fi", f"127.0.0.1:{port}"], check=True)
    return Figure(recipients / (time.monotonic() - began))


def _plain_loop(port: int, kilobytes: int) -> Figure:
    text = _PARAGRAPH * (kilobytes * 1024 // len(_PARAGRAPH.encode()))
    spent, began = time.process_time(), time.monotonic()
    with smtplib.SMTP("127.0.0.1", port) as server:
        for number in range(_LOOP):
            message = EmailMessage()
            message["From"], message["To"] = "t@example.fi", f"person{number}@example.fi"
            message["Subject"] = "Bench"
            message.set_content(text)
            message.add_alternative(f"<p>{text}</p>", subtype="html")
            server.send_message(message)
    return Figure(_LOOP / (time.monotonic() - began), (time.process_time() - spent) / _LOOP * 1e6)


@contextmanager
def _sink(program: Path) -> Iterator[int]:
    port = servers.free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = subprocess.Popen(
        [str(program), *user, f"127.0.0.1:{port}", "1000"],
        preexec_fn=servers.die_with_parent,
        stderr=subprocess.DEVNULL,
    )
    try:
        servers.wait_for(lambda: _listens(port))
        yield port
    finally:
        process.kill()
        process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
