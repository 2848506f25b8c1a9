"""A million bans: how long a list of a million lines takes to be looked up, and what they cost: at the gate, and in a
bulletin that is sent, beside the same without them.

The bans are written straight into their table, without a ledger: nothing that is measured reads one. The list is looked
up by the real command, in a process of its own, from a file, into a file. Every second ban is of somebody who was
erased, and has the digest of a name; the persons of the others are written down before a list of names is looked up.
"""

from __future__ import annotations

import hashlib
import secrets
import statistics
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import event, insert, text
from sqlalchemy.orm import Session

import commanding
from mailinglist import db, migrate
from mailinglist.app import create_app
from mailinglist.consent import bans_by_name, bans_held, gate, keys, lists, names
from mailinglist.consent.tables import Ban, Person
from mailinglist.settings import Settings

from . import register, stage
from .stage import Contestant

_LETTERS = str.maketrans("0123456789", "abcdefghij")
_BATCH = 20_000
_GROUP = 500
"""Persons at the gate at once, as when a bulletin goes out."""
_LOOK = 0.05  # seconds between looks at its memory
_BANNED_EACH = 100
"""One of so many who are on the list is banned, besides those in no register."""


def main(*, bans: int, lines: int, people: int, imported: int, sent: int, rounds: int, database: str) -> None:
    """Print the figures."""
    if sent:
        _sending(bans, sent, rounds)
    server_of = stage.postgres(needed=True) if database == "postgresql" else nullcontext()
    with stage.folder() as folder, server_of as server:
        url = server.url(server.create("bans")) if server else f"sqlite:///{folder}/bans.db"
        settings = Settings.of(
            data_dir=folder / "var", database_url=url, smtp_url="smtp://127.0.0.1:1?starttls=never", **stage.SECRETS
        )
        app = create_app(settings)
        migrate.upgrade(app)
        print(f"{database}, {bans:,} bans, {people:,} people on the list, {stage.machine()}\n", flush=True)
        with app.app_context():
            register.fill(people, now=db.utcnow())
            empty = _gate(people)
            _forbid(people, bans)
            full = _gate(people)
            print(
                f"gate, a person of a group of {_GROUP}: {empty:.1f} µs without a ban, {full:.1f} µs with all of them"
            )
            print(f"  {_plan(people)}")
            print(f"page of bans: the newest {_page(''):.0f} ms, a source that none has {_page('nowhere'):.0f} ms")
            _names(bans, f"{len(range(0, people, _BANNED_EACH)):,} banned persons in the register")
            db.db.engine.dispose()
        print(f"{'a list of':<34} {'seconds':>8} {'lines/s':>9} {'peak memory':>12}", flush=True)
        half = bans // 2
        asked = [_stranger(n) for n in range(half, half + lines)]
        _look_up(settings, folder, f"{lines:,} addresses", asked)
        _look_up(settings, folder, f"{lines:,} SHA-256", (hashlib.sha256(each.encode()).hexdigest() for each in asked))
        with app.app_context():
            _enter(bans)
        _look_up(settings, folder, f"{lines:,} names", (_name(n) for n in range(half, half + lines)), "--names")
        with app.app_context():
            _names(bans, f"{half:,} banned persons in the register")
            db.db.engine.dispose()
        if imported:
            fresh = (f"new{n}@elsewhere.fi" for n in range(imported))
            _run(settings, folder, f"{imported:,} new bans, taken in", "import", fresh)


def _sending(bans: int, recipients: int, rounds: int) -> None:
    """A bulletin's whole path on both databases, in turns without bans and with those of people on no list."""
    with stage.folder() as folder, stage.sink() as (port, sink), stage.postgres() as server:
        contestants = []
        for name, most in (("free", 0), ("banned", bans)):
            for database, url in stage.databases(folder, server, name):
                app = stage.application(folder / f"{name}-{database}", url, port, 4)
                stage.fill(app, recipients)
                with app.app_context():
                    _forbid(0, most)
                send = partial(stage.whole_path, app, recipients, 10)
                contestants.append(Contestant(_named(database, most), send, server if "Post" in database else None))
        figures = stage.in_turns(contestants, rounds, sink)
        print(f"\n{recipients:,} recipients, 10 KB, with {bans:,} bans and without, {stage.machine()}; ", end="")
        print("µs of processor a mail: of the sender, of PostgreSQL")
        for name, found in figures.items():
            bare = _named(name.partition(" ")[0], 0)
            ratio = stage.ratio([each.rate for each in found], [each.rate for each in figures[bare]], bare)
            rate, sender, server_of = (stage.median(found, part) for part in ("rate", "sender", "database"))
            print(f"{name:<20} {rate:>9,.0f}/s  {ratio}  {sender:6.1f} {server_of:6.1f}")
        print(flush=True)


def _named(database: str, bans: int) -> str:
    return f"{database} {'with' if bans else 'without'}"


def _stranger(number: int) -> str:
    return f"stranger{number}@elsewhere{number % 50}.fi"


def _name(number: int) -> str:
    """In letters, since a name with digits can't be asked about."""
    return f"Virta{number % 5000}, Matti{number}".translate(_LETTERS)


def _enter(bans: int) -> None:
    """The persons of every second ban, who are on no list."""
    now = db.utcnow()
    for begin in range(0, bans, 2 * _BATCH):
        with db.transaction() as session:
            digest = keys.keys_of(session).digest
            rows = []
            for number in range(begin, min(begin + 2 * _BATCH, bans), 2):
                mailbox = _stranger(number)
                keyed = digest(mailbox)
                rows.append(
                    {
                        "mailbox": mailbox, "folded": mailbox, "domain": mailbox.partition("@")[2],
                        "exact_digest": keyed, "digest": keyed, "chain": secrets.token_bytes(16),
                        "name": _name(number), "language": "fi", "created_at": now,
                    }
                )  # fmt: skip
            _write(session, Person, rows)
    with db.transaction() as session:
        session.execute(text("ANALYZE"))


def _names(bans: int, where: str) -> None:
    banned, free = (_one_name(name) for name in (_name(bans // 2 + 1), "Nemo Nobody"))
    print(f"one name, with {where}: banned {banned:.0f} ms, not known {free:.0f} ms\n", flush=True)


def _one_name(name: str) -> float:
    """Milliseconds until it is known whether somebody of this name is banned, the median of three."""
    taken = []
    for _ in range(3):
        with db.reading() as session:
            started = time.perf_counter()
            bans_by_name.check(session, name)
            taken.append((time.perf_counter() - started) * 1e3)
    return statistics.median(taken)


def _forbid(people: int, bans: int) -> None:
    now = db.utcnow()
    with db.reading() as session:
        digest, digest_of_name = keys.keys_of(session).digest, keys.keys_of(session).name_digest
    ours = [f"person{n}@example{n % 50}.fi" for n in range(0, people, _BANNED_EACH)]
    for begin in range(0, bans, _BATCH):
        whose: list[tuple[str, str]] = [(each, "") for each in (ours if begin == 0 else ())]
        numbers = range(begin, min(begin + _BATCH, bans))
        whose += [(_stranger(number), _name(number) if number % 2 else "") for number in numbers]
        rows = [
            {
                "digest": digest(each), "channel": "email", "source": "bench", "given_at": now,
                "name_digest": digest_of_name(names.key(name)) if name else None,
            }
            for each, name in whose
        ]  # fmt: skip
        with db.transaction() as session:
            _write(session, Ban, rows)
    with db.transaction() as session:
        session.execute(text("ANALYZE"))


def _write(session: Session, table: type[Person | Ban], rows: Sequence[Mapping[str, Any]]) -> None:
    """By COPY on PostgreSQL, which takes a tenth of the time of a million INSERTs."""
    if session.get_bind().dialect.name != "postgresql":
        session.execute(insert(table), rows)
        return
    columns = list(rows[0])
    raw = session.connection().connection.driver_connection
    assert raw is not None
    with raw.cursor() as cursor, cursor.copy(f"COPY {table.__tablename__} ({', '.join(columns)}) FROM STDIN") as copied:
        for row in rows:
            copied.write_row([row[column] for column in columns])


def _gate(people: int) -> float:
    """Microseconds for a person, the median of groups."""
    now, taken = db.utcnow(), []
    with db.reading() as session:
        list_id = lists.find(session, lists.DEFAULT_SLUG).id
        for begin in range(1, people + 1, _GROUP):
            group = list(range(begin, min(begin + _GROUP, people + 1)))
            started = time.perf_counter()
            gate.read(session, gate.Mail.BULLETIN, list_id=list_id, persons=group, now=now)
            taken.append((time.perf_counter() - started) / len(group) * 1e6)
    return statistics.median(taken)


def _plan(people: int) -> str:
    """How the database looks the bans up, in its own words."""
    explain = "EXPLAIN " if db.db.engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN "
    asked: list[tuple[str, Any]] = []

    def hear(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        asked.append((statement, parameters))

    with db.reading() as session:
        list_id = lists.find(session, lists.DEFAULT_SLUG).id
        event.listen(db.db.engine, "before_cursor_execute", hear)
        group = list(range(1, min(people, _GROUP) + 1))
        gate.read(session, gate.Mail.BULLETIN, list_id=list_id, persons=group, now=db.utcnow())
        event.remove(db.db.engine, "before_cursor_execute", hear)
        [(statement, parameters)] = [each for each in asked if "FROM bans" in each[0]]
        seen = [str(row[-1]).strip() for row in session.connection().exec_driver_sql(explain + statement, parameters)]
    return next((line for line in seen if "uq_bans_in_force" in line), "no index of bans is used: " + "; ".join(seen))


def _page(source: str) -> float:
    """Milliseconds until the console has a page of bans, the median of five."""
    taken = []
    for _ in range(5):
        with db.reading() as session:
            started = time.perf_counter()
            bans_held.newest(session, source=[source] if source else ())
            taken.append((time.perf_counter() - started) * 1e3)
    return statistics.median(taken)


def _look_up(settings: Settings, folder: Path, what: str, lines: Iterable[str], *more: str) -> None:
    banned = _run(settings, folder, what, "check", lines, *more).count(b",yes,")
    print(f"  {banned:,} of them banned", flush=True)


def _peak(pid: int) -> int:
    """The most memory that the process has had, in kilobytes. Not from `wait4`: that counts its parent's before
    `exec`."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def _run(settings: Settings, folder: Path, what: str, command: str, lines: Iterable[str], *more: str) -> bytes:
    file, answer = folder / "list.txt", folder / "answer.txt"
    file.write_text("".join(f"{line}\n" for line in lines))
    words = ("bans", "check", "--file", file, *more) if command == "check" else ("bans", "import", file)
    started = time.perf_counter()
    with answer.open("wb") as out:
        process = commanding.start(settings, *words, cwd=folder, stdout=out, stderr=subprocess.DEVNULL)
        peak = 0
        while process.poll() is None:
            peak = max(peak, _peak(process.pid))
            time.sleep(_LOOK)
    seconds = time.perf_counter() - started
    number = file.read_bytes().count(b"\n")
    print(f"{what:<34} {seconds:>8.1f} {number / seconds:>9,.0f} {peak / 1024:>9,.0f} MB", flush=True)
    return answer.read_bytes()
