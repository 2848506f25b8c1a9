"""Each seal as a small file outside the database, so that a database from which the last seals were taken shows it.

Best in a folder on another machine, or one that can only be added to. A file is never written over: what another
database sealed under the same number has another name.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from .. import db, moments
from ..errors import Fault
from . import seals
from .tables import Seal

EVERY = timedelta(hours=23, minutes=30)
"""How often the scheduler seals: once a day, at about the same hour."""

_NAME = re.compile(r"seal-(\d{6,})-[0-9a-f]{16}\.json")


@dataclass(frozen=True, slots=True)
class Kept:
    """What a file says."""

    path: Path
    number: int
    content: bytes
    """Empty when the file can't be read."""


def seal(folder: Path, *, stop: Callable[[], bool] = lambda: False) -> seals.Said | None:
    """`seals.make`, and its file. Raises Fault when the file can't be written: the seal stands all the same, and the
    next time writes both files."""
    made = seals.make(stop=stop)
    try:
        with db.reading() as session:
            put(session, folder)
    except OSError as error:
        reason = error.strerror or "it can't be written"
        raise Fault(f"The seal stands, but not outside the database: {folder}: {reason}.") from error
    return made


def seal_due(folder: Path, *, now: datetime, stop: Callable[[], bool] = lambda: False) -> seals.Said | None:
    """`seal`, unless the last one is younger than EVERY; one that is dated later than now is not. Raises Fault."""
    with db.reading() as session:
        last = seals.newest_said(session)
        young = last is not None and moments.recent(last.at, now, EVERY)
    if young:
        return None
    return seal(folder, stop=stop)


def put(session: Session, folder: Path) -> int:
    """Write the seals that the folder does not have yet. Returns how many. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    there = {path.name for path in folder.iterdir()}
    written = 0
    rows = select(Seal.number, Seal.content, Seal.signature, Seal.key).order_by(Seal.number)
    for number, content, signature, key in session.execute(rows):
        name = f"seal-{number:06}-{seals.digest(content).hex()[:16]}.json"
        if name not in there:
            told = {"key": key.hex(), "seal": content.decode(), "signature": signature.hex()}
            _write(folder / name, (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode())
            written += 1
    return written


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def kept(folder: Path) -> Iterator[Kept]:
    """What the files of the folder say, in the order of their names."""
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    for path in paths:
        named = _NAME.fullmatch(path.name)
        if named is None:
            continue
        try:
            content = json.loads(path.read_bytes())["seal"].encode()
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            content = b""
        yield Kept(path, int(named.group(1)), content)
