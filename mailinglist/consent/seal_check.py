"""Part of `verification`: do the seals fit each other, their files outside, and the ledger as it is now?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from . import seals, seals_outside, signing
from .findings import Problem, octets
from .ledger import SEALS, START
from .tables import ChainHead, LedgerEntry, Seal

_STREAMED = {"yield_per": 5000}
_GAPS = 5  # that are told


def rows(session: Session, sealed: list[seals.Said]) -> Iterator[Problem]:
    """The rows by themselves: numbers, signatures, each naming the one before; `sealed` gets what they say."""
    known = seals.signing_of(session).known
    before, last, expected = START, 0, 1
    found = session.execute(
        select(Seal.number, *map(octets, (Seal.content, Seal.signature, Seal.key, Seal.blocks))).order_by(Seal.number),
        execution_options={"yield_per": 50},
    )
    for number, content, signature, key, blocks in found:
        if number != expected:
            yield Problem(f"seals {expected} to {number - 1} are missing", seal=number)
        if number == expected and (said_before(content) or before) != before:
            yield Problem("the seal does not name the one before it: one of them was exchanged", seal=number)
        expected, before = number + 1, seals.digest(content)
        if not signing.fits(key, signature, signing.SEAL, content):
            yield Problem("the seal was altered: its signature does not fit", seal=number)
            continue
        if key not in known:
            yield Problem("the seal is signed with a key that is not among MAILINGLIST_SEAL_KEY", seal=number)
        try:
            said = seals.read(content)
            root = seals.root_of(blocks)
        except ValueError:
            yield Problem("the seal can't be read", seal=number)
            continue
        if said.number != number or said.through < last:
            yield Problem("the seal stands in a place that is not its own", seal=number)
            continue
        if root != said.root:
            yield Problem("the blocks of the seal were altered: they do not fit its root", seal=number)
        last = said.through
        sealed.append(said)
    yield from _head(session, expected - 1, before)


def said_before(content: bytes) -> bytes | None:
    """The digest by which a seal names the one before it; None: it can't be read."""
    try:
        return seals.read(content).previous
    except ValueError:
        return None


def _head(session: Session, count: int, last: bytes) -> Iterator[Problem]:
    head = session.execute(
        select(ChainHead.count, ChainHead.last_hash).where(ChainHead.chain == SEALS)
    ).one_or_none()  # fmt: skip
    counted, named = head or (0, START)
    if counted > count:
        yield Problem(f"the last {counted - count} of {counted} seals are missing")
    elif counted < count:
        yield Problem(f"there are {count - counted} seals more than their head says")
    elif named != last:
        yield Problem("the last seal does not fit the head of the seals", seal=count or None)


def files(session: Session, folder: Path) -> Iterator[Problem]:
    """The files outside: what was sealed must be in the database."""
    held = dict(session.execute(select(Seal.number, Seal.content)).all())
    for kept in seals_outside.kept(folder):
        if not kept.content:
            yield Problem(f"the file {kept.path.name} of the seal can't be read", seal=kept.number)
        elif kept.number not in held:
            words = f"the seal is not in the database any more, but in the file {kept.path.name}"
            yield Problem(words, seal=kept.number)
        elif held[kept.number] != kept.content:
            yield Problem(f"the seal is another one than that in the file {kept.path.name}", seal=kept.number)


# ── against the ledger ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Stretch:
    """The entries between two seals, as they are now."""

    since: int
    history: bytes
    entries: int
    gaps: list[str] = field(default_factory=list)

    def skip(self, last: int, number: int) -> None:
        """Note that numbers between these two are not there."""
        if number > last + 1 and len(self.gaps) <= _GAPS:
            gone = f"{last + 1} to {number - 1}" if number > last + 2 else str(last + 1)
            self.gaps.append(gone if len(self.gaps) < _GAPS else "…")


def history(session: Session, sealed: list[seals.Said]) -> Iterator[Problem]:
    """One look through the entries by number: at each seal they must be those that it bound, and so later seals go on
    from earlier ones."""
    if not sealed:
        return
    found = session.execute(
        select(LedgerEntry.id, octets(LedgerEntry.hash))
        .where(LedgerEntry.id <= sealed[-1].through)
        .order_by(LedgerEntry.id),
        execution_options=_STREAMED,
    )
    waiting = iter(sealed)
    said: seals.Said | None = next(waiting)
    stretch = _Stretch(0, START, 0)
    last = 0
    for number, entry_hash in found:
        while said is not None and number > said.through:
            stretch.skip(last, said.through + 1)
            yield from _judge(stretch, said)
            last = said.through
            stretch, said = _Stretch(said.through, said.history, said.entries), next(waiting, None)
        stretch.skip(last, number)
        last = number
        stretch.history = seals.run_on(stretch.history, number, entry_hash)
        stretch.entries += 1
    while said is not None:
        stretch.skip(last, said.through + 1)
        yield from _judge(stretch, said)
        last = max(last, said.through)
        stretch, said = _Stretch(said.through, said.history, said.entries), next(waiting, None)


def _judge(stretch: _Stretch, said: seals.Said) -> Iterator[Problem]:
    if (stretch.history, stretch.entries) == (said.history, said.entries):
        return
    where = f"of the entries {stretch.since + 1} to {said.through} that the seal binds"
    apart = said.entries - stretch.entries
    if apart > 0:
        named = f" (there is no {', '.join(stretch.gaps)})" if stretch.gaps else ""
        words = f"{where}, {apart} {'is' if apart == 1 else 'are'} missing{named}"
    elif apart < 0:
        words = f"{where}, {-apart} {'was' if apart == -1 else 'were'} put in later"
    else:
        words = f"{where}, some were altered or exchanged"
    yield Problem(words, seal=said.number)


def tree(session: Session, said: seals.Said, found: seals.Blocks) -> Iterator[Problem]:
    """The tree of the newest seal, made anew from the ledger."""
    made = found.pack()
    if (seals.root_of(made), found.size) == (said.root, said.chains):
        return
    words = f"the seal binds {said.chains:,} chains, and these are {found.size:,} others"
    held = session.scalar(select(Seal.blocks).where(Seal.number == said.number)) or b""
    for before, now in zip(seals.unpack(held), seals.unpack(made), strict=False):
        if before != now:
            words += f": the first that differ are in the block that begins with chain {before[0].hex()}"
            break
    yield Problem(words, seal=said.number)


def standing(session: Session) -> tuple[int, int]:
    """How many seals there are, and how many entries none of them binds yet. Raises Fault."""
    last = seals.newest_said(session)
    through = last.through if last else 0
    newer = session.scalar(select(func.count()).select_from(LedgerEntry).where(LedgerEntry.id > through)) or 0
    return last.number if last else 0, newer
