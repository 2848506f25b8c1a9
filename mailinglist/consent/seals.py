"""Seals: what the whole ledger was at one moment, under a signature (RFC 6962 §2.1, RFC 8032). Their only writer.

A seal binds two things. The *root* of a Merkle tree over the head of each chain (chain, number of entries, last hash),
in the order of the chains: with a short path from it anybody can see how many entries a person's chain had, and which.
And the *history*: a hash that runs over the number and hash of every entry, in the order of their numbers: a later seal
goes on from it, so one look through the ledger holds all seals against it, and shows that nothing before them was
changed, taken out or put in.

An entry is bound once nothing can appear before it any more, so both can be made again from the ledger at any time. A
seal names the one before it.
"""

from __future__ import annotations

import hashlib
import json
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from .. import db, moments
from ..errors import Fault
from ..observe import logger
from . import ledger, merkle, signing
from .ledger import START
from .tables import LedgerEntry, Seal

BLOCK = 1024
"""Leaves of the tree that share one entry of `Seal.blocks`."""

_CHAIN, _HASH = 16, 32  # bytes
_ROWS = 5000
_PATIENCE = timedelta(minutes=5)
_NAP = 0.1  # seconds
_LATELY = 10
"""Seals that are looked at for a date that was wrong: there is one a day."""

_log = logger(__name__)

Leaf = tuple[bytes, int, bytes]
"""A chain, how many entries it has, and the hash of the last."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a seal says; its content is canonical JSON of this, digests in hex."""

    number: int
    at: datetime
    previous: bytes
    """SHA-256 of the content of the seal before; zeros for the first."""
    through: int
    """The number of the last entry that it binds."""
    entries: int
    """How many entries there were up to it."""
    history: bytes
    """See `run_on`."""
    chains: int
    """How many leaves the tree has."""
    root: bytes
    """The tree's root."""

    def content(self) -> bytes:
        """The bytes that are signed."""
        return ledger.canonical(
            {
                "v": 1, "number": self.number, "at": ledger.moment(self.at), "previous": self.previous.hex(),
                "through": self.through, "entries": self.entries, "history": self.history.hex(),
                "chains": self.chains, "root": self.root.hex(),
            }
        )  # fmt: skip


def read(content: bytes) -> Said:
    """What these bytes say. Raises ValueError when they are no seal's."""
    try:
        told = json.loads(content)
        said = Said(
            told["number"], datetime.fromisoformat(told["at"]), bytes.fromhex(told["previous"]), told["through"],
            told["entries"], bytes.fromhex(told["history"]), told["chains"], bytes.fromhex(told["root"]),
        )  # fmt: skip
        whole = said.content() == content
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise ValueError("not a seal") from error
    if not whole:
        raise ValueError("not a seal of this version")
    return said


def newest_said(session: Session) -> Said | None:
    """What the last seal says. Raises Fault: it can't be read any more, so nothing can go on from it."""
    last = newest(session)
    try:
        return read(last.content) if last else None
    except ValueError as error:
        raise Fault("The last seal was altered: `mailinglist ledger verify` says more.") from error


def digest(content: bytes) -> bytes:
    """What the next seal names this one by."""
    return hashlib.sha256(content).digest()


def run_on(history: bytes, number: int, entry_hash: bytes) -> bytes:
    """The history with one more entry: SHA-256 over the history so far (at first zeros), the entry's number in eight
    bytes, and its hash."""
    return hashlib.sha256(history + number.to_bytes(8, "big", signed=True) + entry_hash).digest()


def leaf_of(leaf: Leaf) -> bytes:
    """The hash of a chain's leaf: over chain, count in eight bytes, last hash."""
    chain, count, last = leaf
    return merkle.leaf(chain + count.to_bytes(8, "big") + last)


class Blocks:
    """The tree as it is built: each `BLOCK` leaves become one, so that a million of them take little room."""

    def __init__(self) -> None:
        self.size = 0
        self._done: list[tuple[bytes, bytes]] = []
        self._first = b""
        self._open: list[bytes] = []

    @classmethod
    def of(cls, leaves: Iterable[Leaf]) -> Blocks:
        """The tree of these leaves, which come in the order of their chains."""
        blocks = cls()
        for leaf in leaves:
            blocks.add(leaf)
        return blocks

    def add(self, leaf: Leaf) -> None:
        """Take in the next leaf."""
        if not self._open:
            self._first = leaf[0]
        self._open.append(leaf_of(leaf))
        self.size += 1
        if len(self._open) == BLOCK:
            self._close()

    def _close(self) -> None:
        self._done.append((self._first, merkle.root(self._open)))
        self._open = []

    def pack(self) -> bytes:
        """As they are kept in `Seal.blocks`."""
        if self._open:
            self._close()
        return b"".join(first + above for first, above in self._done)


def unpack(blocks: bytes) -> list[tuple[bytes, bytes]]:
    """First chain and root of each block. Raises ValueError."""
    width = _CHAIN + _HASH
    if len(blocks) % width:
        raise ValueError("the blocks of a seal have another length")
    parts = [blocks[start : start + width] for start in range(0, len(blocks), width)]
    return [(part[:_CHAIN], part[_CHAIN:]) for part in parts]


def root_of(blocks: bytes) -> bytes:
    """The root above these blocks. Raises ValueError."""
    return merkle.root([above for _, above in unpack(blocks)])


# ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def newest(session: Session) -> Seal | None:
    """The last seal."""
    return session.scalar(select(Seal).order_by(Seal.number.desc()).limit(1))


def behind(session: Session) -> datetime | None:
    """Since when there is an entry that no seal binds; None: all are sealed."""
    last = newest_said(session)
    through = last.through if last else 0
    body = session.scalar(
        select(LedgerEntry.body).where(LedgerEntry.id > through).order_by(LedgerEntry.id).limit(1)
    )  # fmt: skip
    return datetime.fromisoformat(json.loads(body)["at"]) if body else None


def wrongly_dated(session: Session, *, now: datetime, told_for: timedelta) -> datetime | None:
    """The date of a seal that is later than now: a clock was wrong. None: there is none, or the one that was made next
    is older than `told_for`, so that it has been told."""
    seen: datetime | None = None
    for content in session.scalars(select(Seal.content).order_by(Seal.number.desc()).limit(_LATELY)):
        try:
            at = read(content).at
        except ValueError:
            return None  # `verify` tells of that
        if moments.ahead(at, now):
            return at if seen is None or moments.recent(seen, now, told_for) else None
        seen = at
    return None


def leaves(session: Session, through: int, *, start: bytes = b"", end: bytes | None = None) -> Iterator[Leaf]:
    """The heads of all chains as they were with entry `through`, from chain `start` to before `end`, in order."""
    wanted = select(LedgerEntry.chain, LedgerEntry.seq, LedgerEntry.hash).where(LedgerEntry.id <= through)
    if start:
        wanted = wanted.where(LedgerEntry.chain >= start)
    if end is not None:
        wanted = wanted.where(LedgerEntry.chain < end)
    if session.get_bind().dialect.name == "postgresql":  # the database picks the last of each chain
        ordered = wanted.ext(distinct_on(LedgerEntry.chain)).order_by(LedgerEntry.chain, LedgerEntry.seq.desc())
    else:
        ordered = wanted.order_by(LedgerEntry.chain, LedgerEntry.seq)
    head: Leaf | None = None
    for chain, seq, last in session.execute(ordered, execution_options={"yield_per": _ROWS}):
        if head is not None and head[0] != chain:
            yield head
        head = (chain, seq, last)
    if head is not None:
        yield head


@dataclass(frozen=True, slots=True)
class Place:
    """Where a chain's head stands in the tree of a seal."""

    leaf: Leaf
    index: int
    size: int
    path: tuple[bytes, ...]
    """The audit path (RFC 6962 §2.1.1), from below."""


def place(session: Session, seal: Seal, chain: bytes) -> Place | None:
    """Where the chain stands in the seal; None: it was not there yet. Raises Fault: the ledger is not what it was."""
    said = read(seal.content)
    blocks = unpack(seal.blocks)
    number = bisect_right([first for first, _ in blocks], chain) - 1
    if number < 0:
        return None
    end = blocks[number + 1][0] if number + 1 < len(blocks) else None
    held = list(leaves(session, said.through, start=blocks[number][0], end=end))
    beside = [leaf_of(leaf) for leaf in held]
    index = next((index for index, leaf in enumerate(held) if leaf[0] == chain), None)
    if index is None:
        return None
    way = (*merkle.path(beside, index), *merkle.path([above for _, above in blocks], number))
    found = Place(held[index], number * BLOCK + index, said.chains, way)
    if merkle.root_by_path(beside[index], found.index, found.size, way) != said.root:
        raise Fault(f"The ledger does not fit seal {said.number}: `mailinglist ledger verify` says more.")
    return found


# ── sealing ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def make(
    *, stop: Callable[[], bool] = lambda: False, patience: timedelta = _PATIENCE
) -> Said | None:  # fmt: skip
    """Seal what the ledger has now, in transactions of its own; writers wait for none of it but the last moment.

    None: there is nothing new; or `stop`; or a transaction from before is still writing after `patience`, or another
    process has just sealed (so the next time will do). Raises RegisterUnsound, SettingsError (no key).
    """
    begun = time.monotonic()
    through = _settled(stop, begun + patience.total_seconds())
    if through is None:
        return None
    with db.reading() as session:
        before = newest_said(session)
        if before is not None and before.through >= through:
            return None
        number, previous = (before.number + 1, digest(before.content())) if before else (1, START)
        entries, history = _history(session, before, through)
        blocks = Blocks.of(leaves(session, through))
    packed = blocks.pack()
    said = Said(number, db.utcnow(), previous, through, entries, history, blocks.size, root_of(packed))
    content = said.content()
    with db.transaction() as session:
        if not ledger.count_seal(session, number, digest(content)):
            return None
        signer = signing_of(session)
        signature = signer.sign(signing.SEAL, content)
        session.add(Seal(number=number, content=content, signature=signature, key=signer.public, blocks=packed))
    _log.info(
        "ledger_sealed", seal=number, entries=entries, chains=said.chains, seconds=round(time.monotonic() - begun, 1)
    )
    return said


def signing_of(session: Session) -> signing.Signing:
    """The signing keys that the session carries."""
    found: signing.Signing = session.info["signing"]
    return found


def _history(session: Session, before: Said | None, through: int) -> tuple[int, bytes]:
    entries, history, since = (before.entries, before.history, before.through) if before else (0, START, 0)
    rows = session.execute(
        select(LedgerEntry.id, LedgerEntry.hash)
        .where(LedgerEntry.id > since, LedgerEntry.id <= through)
        .order_by(LedgerEntry.id),
        execution_options={"yield_per": _ROWS},
    )
    for number, entry_hash in rows:
        history = run_on(history, number, entry_hash)
        entries += 1
    return entries, history


def _settled(stop: Callable[[], bool], until: float) -> int | None:
    """The number of the last entry, once none with a lower one can appear any more; None: nothing is new, or it took
    too long.

    PostgreSQL gives numbers out before the commit; `growth` tells why waiting for the transactions of then is enough.
    """
    with db.reading() as session:
        last = newest_said(session)
        through = session.scalar(select(func.max(LedgerEntry.id))) or 0
        if through <= (last.through if last else 0):
            return None
        if session.get_bind().dialect.name == "sqlite":
            return through  # one writer at a time: numbers come in the order of the commits
    with db.transaction() as session:
        fence: int = session.scalars(text("SELECT pg_current_xact_id()::text::bigint")).one()
    while True:
        with db.reading() as session:
            lowest: int = session.scalars(text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")).one()
        if lowest > fence:
            return through
        if stop() or time.monotonic() > until:
            _log.warning("seal_waits_for_a_transaction")
            return None
        time.sleep(_NAP)
