"""Lists of bans from outside: addresses, or their SHA-256 in hex (REQUIREMENTS 2.5), one a line or in a CSV column."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from ..errors import BadAddress, BadInput
from . import address, bans, sheet
from .keys import keys_of
from .sheet import Refusal
from .states import Channel

_COLUMNS = ("email", "address", "sha256", "sha_256")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_GROUP = 5000


@dataclass(frozen=True, slots=True)
class BanList:
    """What a file forbids: the SHA-256 of each address once, in the order of the file, and what was refused."""

    sha256: tuple[bytes, ...]
    refused: tuple[Refusal, ...]


def read(data: bytes) -> BanList:
    """The bans in a file. Addresses are taken case-folded. Raises BadInput when the file as a whole can't be taken."""
    found: dict[bytes, None] = {}
    refused: list[Refusal] = []
    column = None
    for line, cells in sheet.records(sheet.decoded(data)):
        if column is None:
            column = _column(cells)
            if column is not None:
                continue
            column = 0
        try:
            found[_sha256(cells[column] if column < len(cells) else "")] = None
        except BadAddress as error:
            refused.append(Refusal(line, f"neither an address nor a SHA-256: {error}"))
    return BanList(tuple(found), tuple(refused))


def take_in(
    session: Session,
    found: BanList,
    channels: Sequence[Channel],
    *,
    source: str,
    now: datetime,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Forbid `channels` for every address of a list. Returns for how many something was new.

    `progress` hears how many more are done. Raises BadInput (no source), RegisterUnsound.
    """
    keys = keys_of(session)
    added = 0
    for start in range(0, len(found.sha256), _GROUP):
        group = [keys.digest_of_sha256(sha256) for sha256 in found.sha256[start : start + _GROUP]]
        added += bans.add_many(session, group, channels, source=source, now=now)
        progress(len(group))
    return added


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


def _sha256(cell: str) -> bytes:
    cell = cell.strip()
    if _SHA256.fullmatch(cell):
        return bytes.fromhex(cell)
    return hashlib.sha256(address.parse(cell).folded.encode()).digest()
