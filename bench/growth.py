"""From ten thousand to a million: does a bulletin begin as soon, go as fast to its end, take no more memory, and leave
the sign-up page as quick?

The real roles (web, a worker for letters, one for bulletins, the scheduler), a real broker and a real sink. The
register is filled straight into its tables, without a ledger: what is measured reads none.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from sqlalchemy import select

import servers
from crashing import DATABASES
from mailinglist import db, migrate
from mailinglist.delivery import dispatch
from mailinglist.delivery.dispatch import Status
from mailinglist.delivery.tables import Handoff
from mailinglist.settings import Settings
from worker.app import wired

from . import register, sign_ups, stage

_WARM_UP_SECONDS = 5.0
_IDLE_SECONDS = 20.0
_LOOK_EVERY = 1.0
_LIMIT = 1200.0
"""Seconds after which a run is given up."""


@dataclass
class Figures:
    """What one run shows. Seconds, mails a second, octets."""

    recipients: int
    first: float = 0.0
    at_start: float = 0.0
    at_end: float = 0.0
    overall: float = 0.0
    memory: int = 0
    idle: float = 0.0
    busy: float = 0.0
    looks: list[float] = field(default_factory=list)


def main(*, sizes: str, database: str, kilobytes: int, connections: int) -> None:
    """Print the figures of each size, smallest first."""
    print(f"{kilobytes} KB, {connections} connections, {stage.machine()}")
    print(f"{sign_ups.A_SECOND:.0f} sign-ups a second before and meanwhile; the account is looked at every second\n")
    for kind in DATABASES if database == "both" else (database,):
        _print_head(kind)
        for recipients in sorted(int(size) for size in sizes.split(",")):
            database_server = stage.postgres(needed=True) if kind == "postgresql" else nullcontext()
            with stage.folder() as folder, stage.sink() as (port, _), database_server as server:
                url = server.url(server.create("growth")) if server else f"sqlite:///{folder}/growth.db"
                _print(_measured(folder, url, port, recipients, kilobytes, connections))


def _print_head(kind: str) -> None:
    names = ("recipients", "first", "rate", "first 10th", "last 10th", "memory", "sign-up p95", "meanwhile", "status")
    print(f"{kind}\n" + "  ".join(f"{name:>11}" for name in names), flush=True)


def _print(found: Figures) -> None:
    looks = sorted(found.looks)
    status = f"{statistics.median(looks) * 1000:.0f}–{looks[-1] * 1000:.0f} ms"
    values = (
        f"{found.recipients:,}", f"{found.first:.2f} s", f"{found.overall:,.0f}/s", f"{found.at_start:,.0f}/s",
        f"{found.at_end:,.0f}/s", f"{found.memory / 1e6:.1f} MB", f"{found.idle * 1000:.0f} ms",
        f"{found.busy * 1000:.0f} ms", status,
    )  # fmt: skip
    print("  ".join(f"{value:>11}" for value in values), flush=True)


def _measured(folder: Path, url: str, port: int, recipients: int, kilobytes: int, connections: int) -> Figures:
    found = Figures(recipients)
    valkey = servers.Valkey(folder)
    valkey.start()
    web = servers.free_port()
    settings = Settings.of(
        data_dir=folder / "var", database_url=url, broker_url=valkey.url, bind=f"127.0.0.1:{web}",
        smtp_url=f"smtp://127.0.0.1:{port}?starttls=never", base_url="https://lists.example.fi",
        smtp_connections=connections, trusted_proxies=1, **stage.SECRETS,
    )  # fmt: skip
    app = wired(settings)
    migrate.upgrade(app)
    try:
        with app.app_context(), _roles(settings) as bulletins:
            register.fill(recipients, now=db.utcnow())
            servers.wait_for(lambda: sign_ups.one(web, 0)[0] == 303, seconds=60)
            sign_ups.for_seconds(web, _WARM_UP_SECONDS)  # each process's first answers are slow
            found.idle = sign_ups.p95(sign_ups.for_seconds(web, _IDLE_SECONDS))
            with db.transaction() as session:
                number = stage.written(session, kilobytes, now=db.utcnow())
            with sign_ups.meanwhile(web) as seconds:
                sent_at = _send(number)
                status = _followed(number, found.looks)
            assert status.accepted == recipients, status
            assert status.first_at
            found.busy, found.memory = sign_ups.p95(seconds), _peak(bulletins)
            found.first = (status.first_at - sent_at).total_seconds()
            found.at_start, found.at_end, found.overall = _rates(number, recipients)
            db.db.engine.dispose()
    finally:
        valkey.kill()
    return found


@contextmanager
def _roles(settings: Settings) -> Iterator[int]:
    """The processes of the program; the id of the one that sends bulletins."""
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    commands = (["worker", "--queues", "bulletins"], ["worker", "--queues", "letters"], ["scheduler"], ["web"])
    environment = {**os.environ, **settings.environment(), "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    processes = []
    with (settings.data_dir / "log").open("wb") as log:
        try:
            for words in commands:
                command = [sys.executable, "-m", "mailinglist", *words]
                made = subprocess.Popen(
                    command, env=environment, cwd=settings.data_dir, stdout=log, stderr=log,
                    preexec_fn=servers.die_with_parent,
                )  # fmt: skip
                processes.append(made)
            yield processes[0].pid
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(60)


def _send(number: int) -> datetime:
    with db.transaction() as session:
        stage.send(session, number, now=db.utcnow())
    return db.utcnow()


def _followed(number: int, looks: list[float]) -> Status:
    """The account once the bulletin has gone; how long each look at it took goes into `looks`."""
    until = time.monotonic() + _LIMIT
    while True:
        began = time.perf_counter()
        with db.reading() as session:
            status = dispatch.status(session, number)
        looks.append(time.perf_counter() - began)
        if status.state == "sent":
            return status
        assert time.monotonic() < until, f"not sent after {_LIMIT} s: {status}"
        time.sleep(min(_LOOK_EVERY, 0.2 if len(looks) < 20 else _LOOK_EVERY))


def _rates(number: int, recipients: int) -> tuple[float, float, float]:
    """Over the first tenth, the last tenth, and all."""
    tenth = recipients // 10
    with db.reading() as session:

        def after(mails: int) -> datetime:
            accepted = select(Handoff.settled_at).where(
                Handoff.kind == "bulletin", Handoff.about == number, Handoff.state == "accepted"
            )
            at = session.scalars(accepted.order_by(Handoff.settled_at).offset(mails).limit(1)).one()
            assert at
            return at

        begin, early, late, end = (after(mails) for mails in (0, tenth, recipients - 1 - tenth, recipients - 1))
    return (
        tenth / (early - begin).total_seconds(),
        tenth / (end - late).total_seconds(),
        recipients / (end - begin).total_seconds(),
    )


def _peak(pid: int) -> int:
    """The most memory that a process ever had, in octets."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
