"""The caught mails: a small SQLite file with the newest of them."""

from __future__ import annotations

import json
import sqlite3
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ... import observe
from . import message

log = observe.logger(__name__)

_PRAGMAS = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON;"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS mail (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice, so that an old link shows no other mail
    caught    TEXT NOT NULL,     -- RFC 3339, UTC
    sender    TEXT NOT NULL,     -- envelope
    rcpt      TEXT NOT NULL,     -- envelope, JSON list
    from_     TEXT NOT NULL,
    to_       TEXT NOT NULL,     -- JSON list of bare addresses
    subject   TEXT NOT NULL,
    words     TEXT NOT NULL,     -- what a search looks in, case-folded
    size      INTEGER NOT NULL,  -- octets
    raw       BLOB NOT NULL
)
"""
_NO_ID = 2**62  # above every id that SQLite will come to
_LIST = """
SELECT id, caught, sender, rcpt, from_, to_, subject, size FROM mail
WHERE id < ? AND instr(words, ?) ORDER BY id DESC LIMIT ?
"""
_ONE = "SELECT id, caught, sender, rcpt, from_, to_, subject, size, raw FROM mail WHERE id = ?"


@dataclass(frozen=True, slots=True)
class Caught:
    """One caught mail, without its content."""

    id: int
    at: datetime
    envelope_from: str
    envelope_to: list[str]
    sender: str
    to: list[str]
    subject: str
    size: int


class Store:
    """The newest caught mails. May be used from several threads: one connection, one lock.

    `most` mails or `most_octets` octets are kept, whichever is reached first; the oldest go.
    """

    def __init__(self, path: Path, *, most: int = 10_000, most_octets: int = 200_000_000) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._most, self._most_octets = most, most_octets
        self._lock = threading.Lock()
        try:
            self._db = _open(path)
        except sqlite3.DatabaseError as error:
            log.warning("catcher_store_set_aside", reason=type(error).__name__)
            _set_aside(path)
            self._db = _open(path)
        self._count, self._octets = self._totals()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._db.close()

    def add(self, sender: str, recipients: list[str], raw: bytes) -> int:
        """Keep one mail; returns its id. Raises sqlite3.Error when it can't be written."""
        said = message.summary(raw)
        sender, *recipients = (_storable(address) for address in (sender, *recipients))
        row = (
            datetime.now(UTC).isoformat(timespec="milliseconds"),
            sender,
            json.dumps(recipients),
            said.sender,
            json.dumps(said.to),
            said.subject,
            "\n".join([said.sender, *said.to, *recipients, said.subject]).casefold(),
            len(raw),
            raw,
        )
        with self._lock:
            added = self._db.execute(
                "INSERT INTO mail (caught, sender, rcpt, from_, to_, subject, words, size, raw)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
            self._count, self._octets = self._count + 1, self._octets + len(raw)
            if self._count > self._most or self._octets > self._most_octets:
                self._drop_oldest()
            return int(added.lastrowid or 0)

    def newest(self, *, search: str = "", before: int | None = None, limit: int = -1) -> list[Caught]:
        """Mails, newest first: those with `search` in an address or the subject, and an id below `before`."""
        values = (before if before is not None else _NO_ID, search.casefold(), limit)
        with self._lock:
            return [_caught(row) for row in self._db.execute(_LIST, values)]

    def get(self, number: int) -> tuple[Caught, bytes] | None:
        """One mail and its octets as they came; None where there is none (any more)."""
        with self._lock:
            row = self._db.execute(_ONE, (number,)).fetchone()
        return (_caught(row[:-1]), bytes(row[-1])) if row else None

    def clear(self) -> None:
        """Forget all, also on the disk."""
        with self._lock:
            self._db.execute("DELETE FROM mail")
            self._count = self._octets = 0
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @property
    def count(self) -> int:
        """How many mails are kept."""
        return self._count

    @property
    def version(self) -> str:
        """Changes whenever the list does."""
        with self._lock:
            newest = self._db.execute("SELECT max(id) FROM mail").fetchone()[0]
        return f"{newest or 0}-{self._count}"

    def _totals(self) -> tuple[int, int]:
        count, octets = self._db.execute("SELECT count(*), coalesce(sum(size), 0) FROM mail").fetchone()
        return int(count), int(octets)

    def _drop_oldest(self) -> None:
        """Drop the oldest until a twentieth of the room is free, so that this is done seldom."""
        most, octets = self._most * 19 // 20, self._most_octets * 19 // 20
        self._db.execute(
            """
            DELETE FROM mail WHERE id NOT IN (
                SELECT id FROM (
                    SELECT id, row_number() OVER newest AS nth, sum(size) OVER newest AS octets FROM mail
                    WINDOW newest AS (ORDER BY id DESC)
                ) WHERE nth = 1 OR (nth <= ? AND octets <= ?)
            )
            """,
            (most, octets),
        )
        self._count, self._octets = self._totals()


def _open(path: Path) -> sqlite3.Connection:
    """The file, ready for use. Raises sqlite3.DatabaseError where it is damaged, or of another version's shape."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        db.executescript(f"{_PRAGMAS} {_SCHEMA};")
        for query, values in ((_LIST, (0, "", 0)), (_ONE, (0,))):
            db.execute(query, values)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _set_aside(path: Path) -> None:
    path.replace(path.with_suffix(".broken"))
    for name in (f"{path.name}-wal", f"{path.name}-shm"):  # or SQLite would replay them into the new file
        path.with_name(name).unlink(missing_ok=True)


def _caught(row: Any) -> Caught:
    number, at, sender, recipients, from_, to, subject, size = row
    return Caught(
        number, datetime.fromisoformat(at), sender, json.loads(recipients), from_, json.loads(to), subject, size
    )


def _storable(text: str) -> str:
    """aiosmtpd keeps octets that are no UTF-8 as lone surrogates, which SQLite can't hold."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
