"""Lists from outside, of addresses or of their SHA-256 in hex (REQUIREMENTS 2.5), one a line or in a CSV column.

Taken in as bans; or looked up, so that another system can clean its own list before it writes to anybody. Systems that
hold no e-mail address ask by name (`bans_by_name`), in a column of names or, where the caller says so, one a line. A
line that can't be read is refused, and never told that it is free. Names are not taken in: a ban by a name alone could
not be matched to any address, and would stop no mail.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Literal

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from .. import db
from ..errors import BadAddress, BadInput
from . import address, bans, bans_by_name, export, gate, lists, names, readdressed, sheet
from .bans import Forbidden
from .keys import keys_of
from .sheet import Refusal
from .states import ALL_CHANNELS, Channel
from .tables import Ban, MailingList

MAX_BYTES = 256 * 2**20

_COLUMNS = ("email", "address", "sha256", "sha_256")
_NAMES = ("name", "nimi", "namn", "full_name")
_HALF_NAME = re.compile(
    "etunim|sukunim|kutsumanim|f[öo]rnamn|efternamn|tilltalsnamn|sur_?name|fore_?name|(first|given|last|family)_?name"
    "|^(first|last)$"
)
_GROUP = 5000

By = Literal["address", "name"]
"""By what a ban was found."""

# “Virtanen, Matti” without quotes, say: half of a name would be told that it is free.
_TOO_MANY = "more cells than the first line has columns"
_TOO_FEW = "fewer cells than the first line has columns"
_HALF = "maybe half of a name: one with a comma in it belongs in quotes"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a list: what it holds, and what a ban may be found by. Without any, it is refused."""

    line: int
    text: str
    """The address or the SHA-256 as it stands there; where there is none, the name."""
    sha256: tuple[bytes, ...]
    """Of the address case-folded, then, where that differs, as written; or the one that the line itself is."""
    reason: str = ""
    """Why it is refused; empty: it is not."""
    name: str = ""
    """What the name is compared by (`names.key`)."""


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
    by: tuple[By, ...] = ()
    """By what it was found. By the name it may be somebody else's."""

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


def rows(data: bytes, *, named: bool = False) -> Iterator[Row]:
    """The lines of a list. Raises BadInput, also on the way, when the file as a whole can't be read.

    `named`: where no first line names the columns, each line is a name. Without that it is an address or a SHA-256: an
    address that was mistyped must not be taken for a name that nobody bears.
    """
    return _rows(data, _heading_of_names if named else _heading)


def _rows(data: bytes, of_first: Callable[[Sequence[str]], _Columns]) -> Iterator[Row]:
    columns = None
    if len(data) > MAX_BYTES:
        raise BadInput(f"The list is larger than {MAX_BYTES // 2**20} MB: split it.")
    # It is not sorted as a file of people is: its lines have no limit of their own.
    for line, cells in sheet.records(sheet.decoded(data, limited=False), limited=False):
        if columns is None:
            columns = of_first(cells)
            if columns.heading:
                continue
        if columns.address is None:
            yield _row_of_name(line, cells, columns)
            continue
        text = cells[columns.address].strip() if columns.address < len(cells) else ""
        if columns.name is None:
            yield _row_of_address(line, text)
            continue
        name = cells[columns.name].strip() if columns.name < len(cells) else ""
        if fault := _split(cells, columns, columns.name):
            yield Row(line, text or name, (), fault)
        elif text:
            found = _row_of_address(line, text)
            # What is no name is as none here: the address is asked about, and in many a file stands for the name, too.
            if not found.reason and not names.is_none(name):
                fault = names.fault(name)
                found = Row(line, text, (), fault) if fault else replace(found, name=names.key(name))
            yield found
        else:
            yield row(line, name=name)


def row(line: int, *, email: str | None = None, sha256: str | None = None, name: str | None = None) -> Row:
    """One line of a list from its parts, as a program gives them; what is None or blank is not asked about. Refused
    (`Row.reason`) if one of them can't be read, or all are blank."""
    email, sha256, name = (part.strip() if part else "" for part in (email, sha256, name))
    text = email or sha256 or name
    if not text:
        return Row(line, "", (), "neither an address, a SHA-256 nor a name")
    digests: tuple[bytes, ...] = ()
    if email:
        try:
            digests = _spellings(email)
        except BadAddress as error:
            return Row(line, text, (), f"not an address: {error}")
    if sha256:
        if not address.SHA256.fullmatch(sha256):
            return Row(line, text, (), "not a SHA-256, which has 64 digits in hex")
        digests = tuple(dict.fromkeys((*digests, bytes.fromhex(sha256))))
    if name and (fault := names.fault(name)):
        return Row(line, text, (), fault)
    return Row(line, text, digests, name=names.key(name))


def _row_of_address(line: int, text: str) -> Row:
    if address.SHA256.fullmatch(text):
        return Row(line, text, (bytes.fromhex(text),))
    try:
        return Row(line, text, _spellings(text))
    except BadAddress as error:
        return Row(line, text, (), f"neither an address nor a SHA-256: {error}")


def _row_of_name(line: int, cells: Sequence[str], columns: _Columns) -> Row:
    if columns.number > 1:
        text = cells[columns.name or 0].strip() if (columns.name or 0) < len(cells) else ""
        fault = _split(cells, columns, columns.name or 0)
        return Row(line, text, (), fault) if fault else row(line, name=text)
    # The only column: a comma is a part of the name, as in “Virtanen, Matti”.
    parts = [cell.strip() for cell in cells if cell.strip()]
    text = ", ".join(parts)
    if len(parts) > 2 or not all(map(names.key, parts)):
        return Row(line, text, (), names.fault(text) or "more than a name")
    return row(line, name=text)


def _split(cells: Sequence[str], columns: _Columns, at: int) -> str:
    """Why it may be that the cell of the name, `at`, holds half of one; empty: it does not seem so."""
    if any(map(str.strip, cells[columns.number :])):
        return _TOO_MANY
    if len(cells) < columns.number and any(map(str.strip, cells[at:])):
        return _TOO_FEW
    # “Virtanen, Matti” takes up two columns. Who writes a table leaves no blank after a comma, and people do. A known
    # limit: without that blank the second word can't be told from what belongs into the second column.
    after = cells[at + 1] if at + 1 < len(cells) else ""
    alone = after[:1].isspace() and " " not in names.key(cells[at]) and names.key(cells[at])
    return _HALF if alone and not names.fault(after) else ""


def _spellings(text: str) -> tuple[bytes, ...]:
    """The SHA-256 that a ban on an address may go by. Raises BadAddress."""
    found = address.parse(text)
    return tuple(hashlib.sha256(each.encode()).digest() for each in dict.fromkeys((found.folded, found.mailbox)))


def read(data: bytes) -> BanList:
    """The bans in a file. Addresses are taken case-folded, and names are not read. Raises BadInput when the file as a
    whole can't be taken."""
    found: dict[bytes, None] = {}
    refused: list[Refusal] = []
    for each in _rows(data, _heading_of_bans):
        if each.sha256:
            found[each.sha256[0]] = None
        else:
            refused.append(Refusal(each.line, each.reason))
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
    something was new. Of an address that was corrected since, also for the present one (`readdressed`).

    Raises BadInput (no source), RegisterUnsound.
    """
    keys = keys_of(session)
    digests = [keys.digest_of_sha256(each) for each in sha256]
    return bans.add_many(session, digests, channels, only=only, source=source, now=now)


def look_up(
    session: Session, found: Iterable[Row], only: MailingList | None = None, channels: Iterable[Channel] = ALL_CHANNELS
) -> Iterator[Found]:
    """What of `channels` is forbidden for each line that was not refused, in their order: by any ban, or by those that
    count for one list `only`. Raises RegisterUnsound, OptOutsWait; neither once it is being read.

    In groups: the session has to stay open while it is read. In bounded memory, but for the names of who is banned,
    which are read once, where a line has a name (`bans_by_name.forbidden`).
    """
    gate.assert_entered(session)
    return _look_up(session, found, only, channels)


def _look_up(
    session: Session, found: Iterable[Row], only: MailingList | None, channels: Iterable[Channel]
) -> Iterator[Found]:
    keys = keys_of(session)
    slugs = lists.slugs(session)
    counts: list[ColumnElement[bool]] = [
        Ban.lifted_at.is_(None),
        Ban.channel.in_([channel.value for channel in channels]),
    ]
    if only is not None:
        counts.append(gate.reaches(only.id))
    rest = (row for row in found if row.sha256 or row.name)
    by_name: Mapping[bytes, frozenset[Forbidden]] | None = None
    spelt = bans.by_spelling(session)
    while part := list(islice(rest, _GROUP)):
        digests = [[keys.digest_of_sha256(each) for each in row.sha256] for row in part]
        for each in digests if spelt else ():
            each += [spelt[digest] for digest in each if digest in spelt]
        # Who asks by an address that was corrected since is told what is forbidden for the present one, and not which
        # that is.
        went = readdressed.owners(session, {digest for each in digests for digest in each})
        for each in digests if went else ():
            each += [digest for old in each if old in went for digest in went[old][1:]]
        held: dict[bytes, set[Forbidden]] = {}
        wanted = list({digest for each in digests for digest in each})
        in_force = select(Ban.digest, Ban.channel, Ban.list_id).where(
            db.among_digests(session, Ban.digest, wanted), *counts
        )
        for digest, channel, list_id in session.execute(in_force) if wanted else ():
            ban = Forbidden(Channel(channel), bans.name_of(list_id, slugs.get(list_id)))
            held.setdefault(digest, set()).add(ban)
        of_names = [keys.name_digest(row.name) if row.name else b"" for row in part]
        if by_name is None and any(of_names):
            # Of a short list only its own names are looked for.
            few = {row.name for row in part if row.name} if len(part) < _GROUP else None
            by_name = bans_by_name.forbidden(session, counts, few)
        for row, own, name in zip(part, digests, of_names, strict=True):
            forbidden: list[Set[Forbidden]] = [held[digest] for digest in own if digest in held]
            by: tuple[By, ...] = ("address",) if forbidden else ()
            if by_name and name in by_name:
                forbidden.append(by_name[name])
                by = (*by, "name")
            yield Found(row, bans.in_order(frozenset[Forbidden]().union(*forbidden)) if forbidden else (), by)


def table(found: Iterable[Found]) -> Iterator[str]:
    """The answers as CSV, in pieces (RFC 4180): line, what it holds, yes or no, the channels, which of them on one list
    alone, and by what it was found."""
    rest = iter(found)
    part = list(islice(rest, _GROUP))  # first, since a table without lines would say that a bad file has nobody banned
    yield export.written([("line", "given", "banned", "channels", "one_list", "by")])
    while part:
        yield export.written(
            (
                str(each.row.line),
                export.cell(each.row.text),
                "yes" if each.forbidden else "no",
                " ".join(each.channels),
                " ".join(each.narrow),
                " ".join(each.by),
            )
            for each in part
        )
        part = list(islice(rest, _GROUP))


@dataclass(frozen=True, slots=True)
class _Columns:
    """What a file's columns are."""

    number: int
    address: int | None = None
    name: int | None = None
    heading: bool = True
    """The first line says so itself."""


def _heading(first: Sequence[str]) -> _Columns:
    """What the first line says. Where it names no column it is a line itself, if there is only one column.

    Raises BadInput.
    """
    addresses, of_names = _named_so(first, _COLUMNS), _named_so(first, _NAMES)
    if len(addresses) > 1:
        raise BadInput("The file has more than one column of addresses or SHA-256: leave one.")
    if len(of_names) > 1:
        raise BadInput("The file has more than one column of names: leave one.")
    _assert_whole(first, addresses, of_names)
    if addresses or of_names:
        asked = [found[0] if found else None for found in (addresses, of_names)]
        return _Columns(len(first), address=asked[0], name=asked[1])
    if len(first) > 1:
        raise BadInput("The first line names no column “email”, “address”, “sha256” or “name”.")
    return _Columns(1, address=0, heading=False)


def _heading_of_names(first: Sequence[str]) -> _Columns:
    """The same, of a file that is said to hold one name a line, where its first line does not say otherwise."""
    if _named_so(first, (*_COLUMNS, *_NAMES)) or _half_names(first):
        return _heading(first)
    return _Columns(1, name=0, heading=False)


def _heading_of_bans(first: Sequence[str]) -> _Columns:
    """The same, of a file whose lines are to be forbidden; a column of names is not read. Raises BadInput."""
    of_names = [*_named_so(first, _NAMES), *_half_names(first)]
    if of_names and not _named_so(first, _COLUMNS):
        raise BadInput(
            "The file has names and no addresses. A ban by a name alone can't be taken in: it could not be matched to "
            "an address, and would stop no mail. Ask where the list comes from for the addresses, or their SHA-256."
        )
    return replace(_heading(["" if at in of_names else cell for at, cell in enumerate(first)]), name=None)


def _assert_whole(first: Sequence[str], addresses: Sequence[int], of_names: Sequence[int]) -> None:
    """Half of a name would be told that it is free: of “nimi, sukunimi”, too. Raises BadInput."""
    if _half_names(first) and (of_names or not addresses):
        raise BadInput("Half of a name can't be asked about: put first and last names together into one column “name”.")


def _half_names(first: Sequence[str]) -> list[int]:
    return [at for at, cell in enumerate(first) if _HALF_NAME.search(sheet.column_name(cell))]


def _named_so(first: Sequence[str], known: Collection[str]) -> list[int]:
    return [at for at, cell in enumerate(first) if sheet.column_name(cell) in known]
