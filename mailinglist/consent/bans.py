"""The marketing bans: their only writer. By keyed digest, channel by channel; they outlive the person (REQUIREMENTS
2.5).

A ban needs no form and no reason (GDPR 21(2)–(4)). It is lifted by the person or on evidence, never by an import.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from ..db import insert_new
from ..errors import BadInput, NotAllowed
from . import journal, ledger
from .address import Address
from .keys import assert_sound, keys_of
from .states import Channel
from .tables import Ban, Person

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of an address."""

    known: bool
    """A person with this address is in the register, or a ban names it."""
    channels: tuple[str, ...]
    """Channels that are banned."""


def digests(session: Session, address: Address) -> tuple[bytes, ...]:
    """The keyed digests that a ban on this address may have: as written, and case-folded."""
    keys = keys_of(session)
    return tuple(dict.fromkeys((keys.digest(address.folded), keys.digest(address.mailbox))))


def in_force(session: Session, wanted: Sequence[bytes]) -> tuple[str, ...]:
    """Channels banned for any of these digests, in a fixed order. Raises RegisterUnsound when bans can't be read."""
    assert_sound(session)
    found = set(session.scalars(select(Ban.channel).where(Ban.digest.in_(wanted), Ban.lifted_at.is_(None))))
    return tuple(channel.value for channel in Channel if channel.value in found)


def forbids_mail(session: Session, wanted: Sequence[bytes]) -> bool:
    """Whether an e-mail ban is in force for any of these digests. `gate.banned` says the same in SQL."""
    return Channel.EMAIL.value in in_force(session, wanted)


def check(session: Session, address: Address) -> Standing:
    """Whether marketing to this address is forbidden, by channel."""
    wanted = digests(session, address)
    channels = in_force(session, wanted)
    known = bool(channels) or session.scalar(select(Person.id).where(Person.folded == address.folded)) is not None
    return Standing(known=known, channels=channels)


def add(
    session: Session,
    digest: bytes,
    channels: Iterable[Channel],
    *,
    source: str,
    now: datetime,
    evidence: bytes | None = None,
) -> tuple[Channel, ...]:
    """Forbid `channels` for the address of this case-folded keyed digest. Returns those that were not banned yet.

    Only new ones make a ledger entry: saying it twice is one ban. Raises RegisterUnsound, BadInput.
    """
    if not source.strip():
        raise BadInput("A ban needs its source: who forbade it, and how.")
    assert_sound(session)
    rows = [{"digest": digest, "channel": c.value, "source": source[:200], "given_at": now} for c in channels]
    # Two clicks at once: the second finds the first one's row, and adds nothing.
    statement = insert_new(session, Ban).values(rows).on_conflict_do_nothing().returning(Ban.channel)
    fresh = tuple(Channel(name) for name in sorted(session.scalars(statement)))
    if fresh:
        chain = _chain(session, digest)
        fact = ledger.Fact("banned", channels=[c.value for c in fresh], evidence=evidence)
        ledger.append(session, chain, digest, fact, now=now)
        journal.note(session, journal.BANNED, digest, channels=fresh, now=now)
    return fresh


def add_many(
    session: Session, wanted: Sequence[bytes], channels: Sequence[Channel], *, source: str, now: datetime
) -> int:
    """Forbid `channels` for many digests; set-based. Returns for how many something was new."""
    assert_sound(session)
    if not source.strip():
        raise BadInput("A ban needs its source: who forbade it, and how.")
    changed = 0
    for start in range(0, len(wanted), _CHUNK):
        part = list(dict.fromkeys(wanted[start : start + _CHUNK]))
        rows = [
            {"digest": digest, "channel": c.value, "source": source[:200], "given_at": now}
            for digest in part
            for c in channels
        ]
        statement = insert_new(session, Ban).values(rows).on_conflict_do_nothing().returning(Ban.digest, Ban.channel)
        fresh: dict[bytes, list[str]] = {}
        for digest, channel in session.execute(statement):
            fresh.setdefault(digest, []).append(channel)
        if not fresh:
            continue
        chains = ledger.chains_of(session, list(fresh))
        chains |= dict(session.execute(select(Person.digest, Person.chain).where(Person.digest.in_(list(fresh)))).all())
        facts = [(chains[digest], digest, ledger.Fact("banned", channels=found)) for digest, found in fresh.items()]
        ledger.append_many(session, facts, now=now)
        for together in {tuple(sorted(found)) for found in fresh.values()}:
            alike = [digest for digest, found in fresh.items() if tuple(sorted(found)) == together]
            journal.note_many(session, journal.BANNED, alike, channels=together, now=now)
        changed += len(fresh)
    return changed


def lift(
    session: Session, address: Address, channels: Iterable[Channel], *, evidence: str, who: str, now: datetime
) -> tuple[str, ...]:
    """Lift bans on evidence that the person wants it. Returns the channels lifted. Raises NotAllowed, BadInput."""
    if not evidence.strip():
        raise BadInput("Lifting a ban needs evidence: what the person said, when, and to whom.")
    person = session.scalar(select(Person.id).where(Person.digest == keys_of(session).digest(address.folded)))
    content = {"lifted_by": who, "evidence": evidence}
    lifted = _lift(
        session, digests(session, address), channels, words=evidence, source="staff", evidence=content,
        person_id=person, now=now,
    )  # fmt: skip
    if not lifted:
        raise NotAllowed("No such ban is in force for this address.")
    return lifted


def lift_by_key(
    session: Session,
    wanted: Sequence[bytes],
    channels: Iterable[Channel],
    *,
    person_id: int | None,
    origin: dict[str, Any],
    now: datetime,
) -> tuple[str, ...]:
    """Lift bans for whoever holds a key that was mailed to the address of these digests: that is the evidence
    (REQUIREMENTS 2.1). Returns the channels lifted; none, where there was nothing to lift. Raises RegisterUnsound."""
    words = "by the person, with a key that was mailed to the address"
    return _lift(
        session, wanted, channels, words=words, source="own page", evidence=origin, person_id=person_id, now=now
    )


def _lift(
    session: Session,
    wanted: Sequence[bytes],
    channels: Iterable[Channel],
    *,
    words: str,
    source: str,
    evidence: dict[str, Any],
    person_id: int | None,
    now: datetime,
) -> tuple[str, ...]:
    names = [channel.value for channel in channels]
    assert_sound(session)
    in_question = (Ban.digest.in_(wanted), Ban.channel.in_(names), Ban.lifted_at.is_(None))
    found: dict[bytes, list[str]] = {}
    for digest, channel in session.execute(select(Ban.digest, Ban.channel).where(*in_question).with_for_update()):
        found.setdefault(digest, []).append(channel)
    if not found:
        return ()
    session.execute(update(Ban).where(*in_question).values(lifted_at=now, lifted_by=words[:500]))
    filed = ledger.file_evidence(session, evidence, person_id=person_id, now=now)
    for digest, lifted in found.items():
        fact = ledger.Fact("ban_lifted", channels=lifted, source=source, evidence=filed)
        ledger.append(session, _chain(session, digest), digest, fact, now=now)
        journal.note(session, journal.LIFTED, digest, channels=lifted, now=now)
    return tuple(name for name in (c.value for c in Channel) if any(name in lifted for lifted in found.values()))


def forget_words(session: Session, wanted: Sequence[bytes]) -> None:
    """An erasure's share: the bans of these digests stay, without words that may name the person."""
    session.execute(update(Ban).where(Ban.digest.in_(list(wanted))).values(source="erased", lifted_by=None))


def _chain(session: Session, digest: bytes) -> bytes:
    chain = session.scalar(select(Person.chain).where(Person.digest == digest))
    return chain or ledger.chain_of(session, digest)
