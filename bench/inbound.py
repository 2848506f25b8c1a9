"""Reports of failed mails at an even pace: does the letterbox keep up, and are sign-ups as quick meanwhile?

All runs as in production, on this machine: the listener, the worker for incoming mail, the web server, PostgreSQL or
SQLite, Valkey, and a relay (relay.py) that hands in reports over a few connections. Each report is about a mail of its
own. The rows of those mails are made beforehand. The relay's work is in the same cores.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flask import current_app
from sqlalchemy import func, insert, literal, select

import commanding
import reporting
import servers
from mailinglist import db, migrate
from mailinglist.consent import lists
from mailinglist.consent.tables import Person
from mailinglist.delivery.tables import Bounce, Handoff
from mailinglist.inbound.tables import Spooled
from mailinglist.settings import Settings
from worker.app import wired

from . import parts, sign_ups, stage

_ROOT = Path(__file__).resolve().parents[1]
_WARM_UP_SECONDS = 5.0
_IDLE_SECONDS = 20.0
_ROLES = {"listener": ("inbound",), "worker": ("worker", "--queues", "inbound"), "web": ("web",)}


def main(*, rate: int, seconds: int, kilobytes: int, connections: int, database: str) -> None:
    """Print the pace, how far behind it fell, the processor time of each process, and sign-ups' p95."""
    print(f"{stage.machine()}; {rate:,} reports a second of {kilobytes} KB for {seconds} s, {connections} connections")
    with stage.folder() as folder, stage.postgres(needed=database == "postgresql") as server:
        urls = dict(stage.databases(folder, server))
        name = "PostgreSQL" if database == "postgresql" else "SQLite"
        _measured(folder, urls[name], server, rate, seconds, kilobytes, connections)


def _measured(
    folder: Path, url: str, server: servers.Postgres | None, rate: int, seconds: int, kilobytes: int, connections: int
) -> None:
    valkey = servers.Valkey(folder)
    valkey.start()
    web, port = servers.free_ports(2)
    count = rate * seconds
    settings = Settings.of(
        data_dir=folder / "var", database_url=url, broker_url=valkey.url, bind=f"127.0.0.1:{web}",
        inbound_bind=f"127.0.0.1:{port}", smtp_url="smtp://127.0.0.1:9?starttls=never",
        base_url="https://lists.example.fi", bounce_domain=reporting.DOMAIN, trusted_proxies=1, **stage.SECRETS,
    )  # fmt: skip
    app = wired(settings)
    migrate.upgrade(app)
    stage.fill(app, count)
    try:
        with app.app_context(), _roles(settings) as processes:
            first = _mails()
            servers.wait_for(lambda: sign_ups.one(web, 0)[0] == 303 and servers.listens(port), seconds=60)
            sign_ups.for_seconds(web, _WARM_UP_SECONDS)
            idle = sign_ups.p95(sign_ups.for_seconds(web, _IDLE_SECONDS))
            pids = {name: process.pid for name, process in processes.items()}
            if server is not None and server.process is not None:
                pids["database"] = server.process.pid
            before = {name: parts.spent(pid) for name, pid in pids.items()}
            with sign_ups.meanwhile(web) as taken, _looks() as looks:
                words = [port, first, count, rate, kilobytes, connections]
                relay = subprocess.run(
                    [sys.executable, "-m", "bench.relay", *map(str, words)], cwd=_ROOT, check=True,
                    capture_output=True, text=True,
                )  # fmt: skip
            median, p95, last, took, refused = map(float, relay.stdout.split())
            servers.wait_for(lambda: _handled() >= count - int(refused), seconds=120)
            spent = {name: parts.spent(pid) - before[name] for name, pid in pids.items()}
            with db.reading() as session:
                noted = session.scalar(select(func.count()).select_from(Bounce)) or 0
                came, done = session.execute(select(func.max(Spooled.received_at), func.max(Spooled.handled_at))).one()
                assert came is not None and done is not None  # noqa: PT018
            db.db.engine.dispose()
    finally:
        valkey.kill()
    busy = sign_ups.p95(taken)
    print(
        f"taken      {count - refused:,.0f} of {count:,} in {took:.1f} s ({count / took:,.0f}/s); refused {refused:.0f}"
    )
    print(
        f"answered   median {median * 1000:.0f} ms, p95 {p95 * 1000:.0f} ms, last {last * 1000:.0f} ms after it was due"
    )
    print(f"handled    {noted:,} noted, the last {(done - came).total_seconds():.1f} s after the last was taken")
    print(f"waiting    at most {max(looks):,} to be handled")
    print(f"sign-ups   p95 {idle * 1000:.0f} ms before, {busy * 1000:.0f} ms meanwhile ({len(taken)} of them)")
    for name, seconds_spent in spent.items():
        print(f"processor  {name:<9} {seconds_spent / count * 1e6:,.0f} µs a report")


@contextmanager
def _roles(settings: Settings) -> Iterator[dict[str, subprocess.Popen[str]]]:
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    processes: dict[str, subprocess.Popen[str]] = {}
    with (settings.data_dir / "log").open("wb") as log:
        try:
            for name, words in _ROLES.items():
                options = {"stdout": log, "stderr": log, "preexec_fn": servers.die_with_parent}
                processes[name] = commanding.start(settings, *words, **options)
            yield processes
        finally:
            for process in processes.values():
                process.terminate()
            for process in processes.values():
                process.wait(60)
            if os.environ.get("BENCH_SHOW_LOG"):
                print((settings.data_dir / "log").read_text()[-4000:])


def _mails() -> int:
    """A row for each person, as of a bulletin that has gone; the first one's number."""
    with db.transaction() as session:
        now = db.utcnow()
        row = lists.find(session, lists.DEFAULT_SLUG)
        bulletin = stage.written(session, 10, now=now)
        columns = ["kind", "about", "list_id", "person_id", "state", "not_before", "attempts", "settled_at"]
        moment = literal(now, Handoff.settled_at.type)
        source = select(
            literal("bulletin"), literal(bulletin), literal(row.id), Person.id, literal("accepted"), moment, literal(1),
            moment,
        ).order_by(Person.id)  # fmt: skip
        session.execute(insert(Handoff).from_select(columns, source))
        return session.scalar(select(func.min(Handoff.id))) or 0


@contextmanager
def _looks() -> Iterator[list[int]]:
    """How many waited to be handled, once a second."""
    over = threading.Event()
    waiting: list[int] = [0]
    app = current_app._get_current_object()  # type: ignore[attr-defined]

    def look() -> None:
        while not over.wait(1.0):
            with app.app_context(), db.reading() as session:
                found = session.scalar(select(func.count()).select_from(Spooled).where(Spooled.state == "waiting"))
                waiting.append(found or 0)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield waiting
    finally:
        over.set()
        thread.join()


def _handled() -> int:
    with db.reading() as session:
        return session.scalar(select(func.count()).select_from(Spooled).where(Spooled.state == "handled")) or 0
