"""Lists from outside, of addresses or of their SHA-256 in hex (REQUIREMENTS 2.5), one a line or in a CSV column.

Taken in as bans; or looked up, so that another system can clean its own list before it writes to anybody.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..errors import BadAddress, BadInput
from . import address, bans, export, sheet
from .keys import assert_sound, keys_of
from .sheet import Refusal
from .states import Channel
from .tables import Ban

MAX_BYTES = 256 * 2**20

_COLUMNS = ("email", "address", "sha256", "sha_256")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_GROUP = 5000


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a list: what it holds, and the SHA-256 that a ban on it may go by; none of them: it is refused."""

    line: int
    text: str
    sha256: tuple[bytes, ...]
    """Of the address case-folded, then, where that differs, as written; or the one that the line itself is."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class BanList:
    """What a file forbids: the SHA-256 of each address once, in the order of the file, and what was refused."""

    sha256: tuple[bytes, ...]
    refused: tuple[Refusal, ...]

    def groups(self) -> Iterator[tuple[bytes, ...]]:
        """The bans in pieces that one transaction takes in within a second or so."""
        rest = iter(self.sha256)
        while part := tuple(islice(rest, _GROUP)):
            yield part


@dataclass(frozen=True, slots=True)
class Found:
    """What is forbidden for one line of a list."""

    row: Row
    channels: tuple[str, ...]


def rows(data: bytes) -> Iterator[Row]:
    """The lines of a list. Raises BadInput, also on the way, when the file as a whole can't be read."""
    column = None
    if len(data) > MAX_BYTES:
        raise BadInput(f"The list is larger than {MAX_BYTES // 2**20} MB: split it.")
    # It is not sorted as a file of people is: its lines have no limit of their own.
    for line, cells in sheet.records(sheet.decoded(data, limited=False), limited=False):
        if column is None:
            column = _column(cells)
            if column is not None:
                continue
            column = 0
        text = (cells[column] if column < len(cells) else "").strip()
        if _SHA256.fullmatch(text):
            yield Row(line, text, (bytes.fromhex(text),))
            continue
        try:
            found = address.parse(text)
        except BadAddress as error:
            yield Row(line, text, (), f"neither an address nor a SHA-256: {error}")
            continue
        spellings = dict.fromkeys((found.folded, found.mailbox))
        yield Row(line, text, tuple(hashlib.sha256(each.encode()).digest() for each in spellings))


def read(data: bytes) -> BanList:
    """The bans in a file. Addresses are taken case-folded. Raises BadInput when the file as a whole can't be taken."""
    found: dict[bytes, None] = {}
    refused: list[Refusal] = []
    for row in rows(data):
        if row.sha256:
            found[row.sha256[0]] = None
        else:
            refused.append(Refusal(row.line, row.reason))
    return BanList(tuple(found), tuple(refused))


def take_in(
    session: Session, sha256: Iterable[bytes], channels: Sequence[Channel], *, source: str, now: datetime
) -> int:
    """Forbid `channels` for the addresses of these SHA-256. Returns for how many something was new.

    Raises BadInput (no source), RegisterUnsound.
    """
    keys = keys_of(session)
    return bans.add_many(session, [keys.digest_of_sha256(each) for each in sha256], channels, source=source, now=now)


def look_up(session: Session, found: Iterable[Row]) -> Iterator[Found]:
    """What is forbidden for each line that was not refused, in their order. Raises RegisterUnsound.

    In groups, in bounded memory: the session has to stay open while it is read.
    """
    assert_sound(session)
    keys = keys_of(session)
    rest = (row for row in found if row.sha256)
    while part := list(islice(rest, _GROUP)):
        digests = [[keys.digest_of_sha256(each) for each in row.sha256] for row in part]
        held: dict[bytes, set[str]] = {}
        wanted = {digest for each in digests for digest in each}
        in_force = select(Ban.digest, Ban.channel).where(Ban.digest.in_(wanted), Ban.lifted_at.is_(None))
        for digest, channel in session.execute(in_force):
            held.setdefault(digest, set()).add(channel)
        for row, own in zip(part, digests, strict=True):
            names = set[str]().union(*(held.get(digest, ()) for digest in own))
            yield Found(row, tuple(channel.value for channel in Channel if channel.value in names))


def table(found: Iterable[Found]) -> Iterator[str]:
    """The answers as CSV, in pieces (RFC 4180): line, what it holds, yes or no, and the channels."""
    yield export.written([("line", "given", "banned", "channels")])
    rest = iter(found)
    while part := list(islice(rest, _GROUP)):
        yield export.written(
            (str(each.row.line), export.cell(each.row.text), "yes" if each.channels else "no", " ".join(each.channels))
            for each in part
        )


def _column(first: Sequence[str]) -> int | None:
    """Which column holds the bans; None where the first line is one itself, and there is only one column.

    Raises BadInput.
    """
    names = [sheet.column_name(cell) for cell in first]
    named = [at for at, name in enumerate(names) if name in _COLUMNS]
    if len(named) > 1:
        raise BadInput("The file has more than one column of addresses or SHA-256: leave one.")
    if named:
        return named[0]
    if len(first) > 1:
        raise BadInput("The first line names no column “email”, “address” or “sha256”.")
    return None
