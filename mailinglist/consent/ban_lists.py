"""Lists from outside, of addresses or of their SHA-256 in hex (REQUIREMENTS 2.5), one a line or in a CSV column.

Taken in as bans; or looked up, so that another system can clean its own list before it writes to anybody. Names can't
be looked up: of who is banned the program holds a keyed digest of the address, and no name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sqlalchemy import ARRAY, ColumnElement, LargeBinary, Text, any_, cast, literal, select
from sqlalchemy.orm import Session

from ..errors import BadAddress, BadInput
from . import address, bans, export, gate, sheet
from .bans import Forbidden
from .keys import assert_sound, keys_of
from .sheet import Refusal
from .states import ALL_CHANNELS, Channel
from .tables import Ban, MailingList

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
    forbidden: tuple[Forbidden, ...]

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels, each once."""
        return bans.channels_of(self.forbidden)

    @property
    def narrow(self) -> tuple[str, ...]:
        """Of them what is forbidden on one list alone, as `channel:list`."""
        everywhere = {each.channel for each in self.forbidden if each.list is None}
        return tuple(
            f"{each.channel}:{each.list}" for each in self.forbidden if each.list and each.channel not in everywhere
        )


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
    session: Session,
    sha256: Iterable[bytes],
    channels: Sequence[Channel],
    *,
    only: MailingList | None = None,
    source: str,
    now: datetime,
) -> int:
    """Forbid `channels` for the addresses of these SHA-256, on all lists or on one `only`. Returns for how many
    something was new.

    Raises BadInput (no source), RegisterUnsound.
    """
    keys = keys_of(session)
    digests = [keys.digest_of_sha256(each) for each in sha256]
    return bans.add_many(session, digests, channels, only=only, source=source, now=now)


def look_up(
    session: Session, found: Iterable[Row], only: MailingList | None = None, channels: Iterable[Channel] = ALL_CHANNELS
) -> Iterator[Found]:
    """What of `channels` is forbidden for each line that was not refused, in their order: by any ban, or by those that
    count for one list `only`. Raises RegisterUnsound.

    In groups, in bounded memory: the session has to stay open while it is read.
    """
    assert_sound(session)
    keys = keys_of(session)
    slugs = dict(session.execute(select(MailingList.id, MailingList.slug)).all())
    counts: list[ColumnElement[bool]] = [
        Ban.lifted_at.is_(None),
        Ban.channel.in_([channel.value for channel in channels]),
    ]
    if only is not None:
        counts.append(gate.reaches(only.id))
    rest = (row for row in found if row.sha256)
    spelt = bans.by_spelling(session)
    while part := list(islice(rest, _GROUP)):
        digests = [[keys.digest_of_sha256(each) for each in row.sha256] for row in part]
        for each in digests if spelt else ():
            each += [spelt[digest] for digest in each if digest in spelt]
        held: dict[bytes, set[Forbidden]] = {}
        wanted = list({digest for each in digests for digest in each})
        in_force = select(Ban.digest, Ban.channel, Ban.list_id).where(_named(session, wanted), *counts)
        for digest, channel, list_id in session.execute(in_force):
            ban = Forbidden(Channel(channel), bans.name_of(list_id, slugs.get(list_id)))
            held.setdefault(digest, set()).add(ban)
        for row, own in zip(part, digests, strict=True):
            forbidden = [held[digest] for digest in own if digest in held]
            yield Found(row, bans.in_order(set[Forbidden]().union(*forbidden)) if forbidden else ())


def _named(session: Session, digests: Sequence[bytes]) -> ColumnElement[bool]:
    """SQL: the row's Ban names one of these. One parameter for PostgreSQL: five thousand cost psycopg and the server's
    parser more than the look-up does."""
    if session.get_bind().dialect.name == "sqlite":
        return Ban.digest.in_(digests)
    array = ",".join(f'"\\\\x{digest.hex()}"' for digest in digests)
    return Ban.digest == any_(cast(literal(f"{{{array}}}", Text), ARRAY(LargeBinary)))


def table(found: Iterable[Found]) -> Iterator[str]:
    """The answers as CSV, in pieces (RFC 4180): line, what it holds, yes or no, the channels, and which of them on one
    list alone."""
    yield export.written([("line", "given", "banned", "channels", "one_list")])
    rest = iter(found)
    while part := list(islice(rest, _GROUP)):
        yield export.written(
            (
                str(each.row.line),
                export.cell(each.row.text),
                "yes" if each.forbidden else "no",
                " ".join(each.channels),
                " ".join(each.narrow),
            )
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
