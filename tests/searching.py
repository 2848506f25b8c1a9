"""Looking for an address byte by byte, in whatever lies on a disk or in a dump: in all the ways in which it could stand
there."""

from __future__ import annotations

import base64
import hashlib
import quopri
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import servers
from mailinglist import db
from mailinglist.consent import address
from mailinglist.settings import Settings

_DIGESTS = (hashlib.sha1, hashlib.sha256, hashlib.md5)
_HEX = re.compile(rb"\\\\x((?:[0-9a-f]{2})+)")


def needles(mailbox: str) -> set[bytes]:
    """What must not be found: the address as written and folded, in the ways that files and mails write it, and its
    unkeyed digests, raw and in hex."""
    found: set[bytes] = set()
    for form in {mailbox, address.fold(mailbox), mailbox.upper()}:
        plain = form.encode()
        found |= {plain, quopri.encodestring(plain).strip(), form.encode("unicode_escape"), form.encode("utf-16-le")}
        # Wherever it lies in a line of base64: three ways, without what the neighbours change.
        for skipped in range(3):
            found.add(base64.b64encode(bytes(skipped) + plain)[4 if skipped else 0 : -4])
        for make in _DIGESTS:
            digest = make(plain)
            found |= {digest.digest(), digest.hexdigest().encode(), digest.hexdigest().upper().encode()}
            found.add(base64.b64encode(digest.digest()))
    return found


def files(*folders: Path) -> Iterator[tuple[str, bytes]]:
    """All files in these folders."""
    for path in sorted({path for folder in folders for path in folder.rglob("*") if path.is_file()}):
        yield str(path), path.read_bytes()


def octets(text: bytes) -> bytes:
    """The values that COPY, and so a dump, writes in hex."""
    return b"\n".join(bytes.fromhex(cell.decode()) for cell in _HEX.findall(text))


def among(places: Iterable[tuple[str, bytes]], mailbox: str) -> list[str]:
    """The names of those places that hold the address, or an unkeyed digest of it."""
    wanted = needles(mailbox)
    return sorted({place for place, held in places for needle in wanted if needle in held})


def found(settings: Settings, postgres: servers.Postgres | None, mailbox: str) -> list[str]:
    """Where it is in an installation: its database, its data directory and what lies beside that."""
    return among(_places(settings, postgres), mailbox)


def _places(settings: Settings, postgres: servers.Postgres | None) -> Iterator[tuple[str, bytes]]:
    folder = Path(settings.data_dir)
    yield from files(folder.parent, folder)
    if postgres is not None:
        with db.db.engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            for table in db.Base.metadata.tables:
                with raw.cursor().copy(f"COPY {table} TO STDOUT") as copied:
                    text = b"".join(bytes(piece) for piece in copied)
                yield f"table {table}", text
                yield f"table {table}, bytes", octets(text)
