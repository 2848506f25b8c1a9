"""What an erasure leaves outside the tables, once it is committed: caught mails, and SQLite's write-ahead log.

Mails lie in the catcher's own file while no mail server is set. Those to the person go, also to an address of theirs
that was corrected: the register knows it by its keyed digest only, so each recipient's digest is made and compared. So
do mails by them or about them that were sent on to a list's owner.

SQLite overwrites deleted bytes (`secure_delete`), but its write-ahead log holds earlier pages until it is cut. It is
cut here; where a reader is in the way, tonight (`retention`).

What fails here is logged, and does not undo the erasure.
"""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from email import message_from_bytes
from email.policy import compat32
from pathlib import Path

from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from ..consent import proof
from ..consent.address import fold
from ..consent.keys import Keys, keys_of
from ..consent.tables import Person
from ..db import db
from ..observe import logger

_PATIENCE = 5.0  # seconds
_CATCHER = ("catcher", "mails.db")
_CAUGHT = (
    "SELECT id, rcpt, CASE WHEN instr(substr(raw, 1, 4096), CAST('Message-ID: <mail-' AS BLOB)) THEN raw END FROM mail"
)
"""Caught mails: number, recipients, and the content of those that were sent on (`inbound.forward`)."""
_BETWEEN = re.compile(rb"[\s<>,;:\"'()\[\]]+")
_GONE = "mailinglist_gone"

_log = logger(__name__)


def gone_with(session: Session, person: Person) -> None:
    """Once this session is committed, let go what lies outside the tables about the person."""
    waiting: set[bytes] = session.info.setdefault(_GONE, set())
    if not waiting:
        event.listen(session, "after_commit", _after)
    waiting |= {person.digest, person.exact_digest, *_earlier(session, person)}


def _after(session: Session) -> None:
    if session.in_nested_transaction():  # a savepoint says so, too
        return
    digests: set[bytes] = session.info.pop(_GONE, set())
    folder, engine = session.info.get("data_dir"), session.get_bind()
    if digests and folder is not None:
        _uncatch(Path(folder).joinpath(*_CATCHER), keys_of(session), digests)
    if digests and isinstance(engine, Engine):
        cut(engine)


def cut_log() -> None:
    """Cut the write-ahead log of this application's database; nothing on PostgreSQL."""
    cut(db.engine)


def cut(engine: Engine) -> bool:
    """Cut SQLite's write-ahead log. False: a reader was in the way, and a part of it stays for now."""
    if engine.dialect.name != "sqlite" or not engine.url.database or engine.url.database == ":memory:":
        return True
    try:
        with closing(sqlite3.connect(engine.url.database, timeout=_PATIENCE, isolation_level=None)) as connection:
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:
        _log.warning("log_not_cut", error=type(error).__name__)
        return False
    return not busy


def _earlier(session: Session, person: Person) -> set[bytes]:
    """Keyed digests of the addresses that the person had before, as the history tells them."""
    return {bytes.fromhex(entry["subject"]) for entry in proof.prove(session, person.folded)}


def _named(sent_on: bytes | None) -> set[str]:
    """Which addresses stand in a mail that was sent on: it is about them, or it is theirs."""
    if sent_on is None:
        return set()
    parts = message_from_bytes(sent_on, policy=compat32).walk()
    contents = [sent_on, *(part.get_payload(decode=True) for part in parts if not part.is_multipart())]
    words = (word for content in contents if isinstance(content, bytes) for word in _BETWEEN.split(content))
    return {word.strip(b".").decode("utf-8", "replace") for word in words if b"@" in word}


def _uncatch(path: Path, keys: Keys, digests: set[bytes]) -> None:
    """Delete the caught mails to these digests, also from the disk."""
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)) as connection:
            connection.execute("PRAGMA secure_delete = ON")
            theirs = [
                (number,)
                for number, recipients, sent_on in connection.execute(_CAUGHT)
                if any(keys.digest(fold(each)) in digests for each in (*json.loads(recipients), *_named(sent_on)))
            ]
            connection.executemany("DELETE FROM mail WHERE id = ?", theirs)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except (sqlite3.Error, ValueError) as error:
        _log.warning("caught_mails_not_deleted", error=type(error).__name__)
