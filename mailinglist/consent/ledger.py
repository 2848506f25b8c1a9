"""The consent ledger: its only writer (GDPR 7(1)). `verification` checks it, `proof` tells one person's part of it.

Entries chain per person, so that two sign-ups never wait for each other. An entry's hash is SHA-256 over the previous
hash and its body; the body is canonical JSON and is stored as the bytes that were hashed, so that no migration can
alter it. A head per chain, under a MAC, lies in another table and shows a missing tail. Bodies hold no personal data:
keyed digests, digests of texts and of evidence.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from .. import db
from .keys import assert_sound, keys_of
from .states import Event
from .tables import ChainHead, ConsentText, Evidence, LedgerEntry

START = bytes(32)
"""What stands for the hash before a chain's first entry."""

SEALS = b"the ledger seals"
"""The chain whose head counts the seals, so that a missing last seal shows. It has no entries."""

MOVED, READDRESSED = "moved", Event.READDRESS.value
"""A corrected address: the old address's chain ends its states, and the new one's goes on from there."""

BANNED, BAN_LIFTED = "banned", "ban_lifted"
OF_BANS = (BANNED, BAN_LIFTED)
"""Of the digest that they name, whoever has that address; they may come after all else."""

CORRECTED, ERASED = "corrected", "erased"
RESTRICTED, UNRESTRICTED = "restricted", "unrestricted"
"""GDPR 16, 17 and 18. The last two change no state: a subscription stands where it stood."""


class NameKept(NamedTuple):
    """A ban that keeps the name of who is erased, by its keyed digest."""

    subject: bytes
    """The keyed digest of the address that the ban names."""
    channel: str
    list: str | None
    name_digest: bytes
    """`Keys.name_kept`: no entry holds what can be asked by."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One event for the ledger. `list` is a slug; `state` the subscription's state after it, `before` the one that it
    ended."""

    event: str
    list: str | None = None
    state: str | None = None
    before: str | None = None
    basis: str | None = None
    text: ConsentText | None = None
    notice: bytes | None = None
    """Digest of the privacy notice that was in force."""
    source: str | None = None
    source_digest: bytes | None = None
    """Of a ban: `Keys.source` of what its row says, which may be words about somebody, and no entry holds those."""
    name_digest: bytes | None = None
    """Of a ban: `Keys.name_kept` of the name that it has from another one of the same address."""
    names_kept: Sequence[NameKept] = ()
    """Of an erasure: the bans that keep the name."""
    channels: Sequence[str] = ()
    evidence: bytes | None = None
    other_chain: bytes | None = None
    """The chain of the same person under another address: where they went (MOVED), or came from (READDRESSED)."""
    written: bytes | None = None
    """Of an address that was corrected: the keyed digest of how it was written, where bans may go by that. Who is
    erased later on is still found by it."""


def moment(at: datetime) -> str:
    """RFC 3339 in UTC, microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def canonical(value: dict[str, Any]) -> bytes:
    """Canonical JSON: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def file_evidence(session: Session, content: dict[str, Any], *, person_id: int | None, now: datetime) -> bytes:
    """Put evidence aside and return its digest, which an entry binds. Whose it is, is locked: of somebody who is being
    erased at this moment it would stay."""
    stored = canonical({**content, "at": moment(now), "salt": secrets.token_hex(16)})
    digest = hashlib.sha256(stored).digest()
    session.execute(insert(Evidence).values(digest=digest, person_id=person_id, content=stored, created_at=now))
    return digest


def append(session: Session, chain: bytes, subject: bytes, fact: Fact, *, now: datetime) -> None:
    """Add `fact` to a person's chain, in the transaction of the change that it records.

    The head is locked, so that two entries of one person follow each other; entries of others don't wait.
    """
    append_many(session, [(chain, subject, fact)], now=now)


def chain_of(session: Session, subject: bytes) -> bytes:
    """The chain of whoever has this keyed digest: the latest that names it, else a fresh one.

    So a ban on an unknown address and an erased person's history go on in the chain of the same address.
    """
    return chains_of(session, [subject])[subject]


def chains_of(session: Session, subjects: Sequence[bytes]) -> dict[bytes, bytes]:
    """`chain_of` for many."""
    found = session.execute(
        select(LedgerEntry.subject, LedgerEntry.chain)
        .where(LedgerEntry.subject.in_(list(subjects)))
        .order_by(LedgerEntry.id)
    )
    latest = dict(found.all())
    return {subject: latest.get(subject) or secrets.token_bytes(16) for subject in subjects}


def append_many(session: Session, facts: Sequence[tuple[bytes, bytes, Fact]], *, now: datetime) -> None:
    """Add one fact each to many chains, as (chain, subject, fact), with four statements in all. Chains must differ."""
    assert_sound(session)  # a head that is signed with a wrong key looks forged for ever
    keys = keys_of(session)
    chains = [chain for chain, _, _ in facts]
    assert len(set(chains)) == len(chains), "two facts for one chain"
    heads = {
        head.chain: head
        for head in session.scalars(
            select(ChainHead).where(ChainHead.chain.in_(chains)).order_by(ChainHead.chain).with_for_update(),
            execution_options={"populate_existing": True},
        )
    }
    entries, fresh = [], []
    for chain, subject, fact in facts:
        head = heads.get(chain)
        count, last = (head.count, head.last_hash) if head else (0, START)
        row, count, last = _entry(chain, count, last, subject, fact, now)
        entries.append(row)
        mac = keys.head_mac(chain, count, last)
        if head is None:
            fresh.append({"chain": chain, "count": count, "last_hash": last, "mac": mac})
        else:
            head.count, head.last_hash, head.mac = count, last, mac
    if entries:
        session.execute(insert(LedgerEntry), entries)
    if fresh:
        session.execute(insert(ChainHead), fresh)
    session.flush()


def _entry(
    chain: bytes, count: int, last: bytes, subject: bytes, fact: Fact, now: datetime
) -> tuple[dict[str, Any], int, bytes]:
    body = canonical(
        {
            "v": 1,
            "chain": chain.hex(),
            "seq": count + 1,
            "at": moment(now),
            "subject": subject.hex(),
            "event": fact.event,
            **({"list": fact.list} if fact.list else {}),
            **({"state": fact.state} if fact.state else {}),
            **({"before": fact.before} if fact.before else {}),
            **({"basis": fact.basis} if fact.basis else {}),
            **({"text": fact.text.digest.hex(), "text_version": fact.text.version} if fact.text else {}),
            **({"language": fact.text.language} if fact.text else {}),
            **({"notice": fact.notice.hex()} if fact.notice else {}),
            **({"source": fact.source} if fact.source else {}),
            **({"source_digest": fact.source_digest.hex()} if fact.source_digest else {}),
            **({"name_digest": fact.name_digest.hex()} if fact.name_digest else {}),
            **({"names_kept": _in_words(fact.names_kept)} if fact.names_kept else {}),
            **({"channels": sorted(fact.channels)} if fact.channels else {}),
            **({"evidence": fact.evidence.hex()} if fact.evidence else {}),
            **({"other_chain": fact.other_chain.hex()} if fact.other_chain else {}),
            **({"written": fact.written.hex()} if fact.written else {}),
        }
    )
    digest = hashlib.sha256(last + body).digest()
    row = {"chain": chain, "seq": count + 1, "subject": subject, "body": body, "hash": digest}
    return row, count + 1, digest


def _in_words(kept: Sequence[NameKept]) -> list[dict[str, str]]:
    return [
        {
            "subject": each.subject.hex(),
            "channel": each.channel,
            **({"list": each.list} if each.list else {}),
            "name_digest": each.name_digest.hex(),
        }
        for each in sorted(kept, key=lambda each: (each.subject, each.channel, each.list or ""))
    ]


def count_seal(session: Session, number: int, digest: bytes) -> bool:
    """Move the head of the seals on to seal `number`. False: that is not the next one, since somebody else sealed."""
    assert_sound(session)
    found = select(ChainHead).where(ChainHead.chain == SEALS).with_for_update()
    head = session.scalar(found, execution_options={"populate_existing": True})
    if (head.count if head else 0) != number - 1:
        return False
    mac = keys_of(session).head_mac(SEALS, number, digest)
    if head is None:
        fresh = db.insert_new(session, ChainHead).values(chain=SEALS, count=number, last_hash=digest, mac=mac)
        return session.scalar(fresh.on_conflict_do_nothing().returning(ChainHead.count)) is not None
    head.count, head.last_hash, head.mac = number, digest, mac
    session.flush()
    return True


def moved_to(session: Session, subject: bytes) -> bytes | None:
    """The chain of the person who had the address of this keyed digest, when it was corrected since; None: it was not.

    For the links in mails that went to the earlier address.
    """
    chain = session.scalar(
        select(LedgerEntry.chain).where(LedgerEntry.subject == subject).order_by(LedgerEntry.id.desc()).limit(1)
    )
    goal, seen = None, set()
    while chain is not None and chain not in seen:
        seen.add(chain)
        chain = _moved_on(session, chain)
        goal = chain or goal
    return goal


def moved(session: Session, subjects: Collection[bytes]) -> dict[bytes, bytes]:
    """`moved_to` for many, of those whose address was corrected. Few are, and only these are looked at one by one."""
    if not subjects:
        return {}
    said = f'"event":"{MOVED}"'.encode()
    told = func.instr(LedgerEntry.body, said) > 0
    if session.get_bind().dialect.name == "postgresql":
        told = LedgerEntry.body.op("LIKE", is_comparison=True)(b"%" + said + b"%")
    named = select(LedgerEntry.subject).where(db.among_digests(session, LedgerEntry.subject, subjects), told).distinct()
    found = {subject: moved_to(session, subject) for subject in session.scalars(named)}
    return {subject: chain for subject, chain in found.items() if chain is not None}


def _moved_on(session: Session, chain: bytes) -> bytes | None:
    bodies = session.scalars(
        select(LedgerEntry.body).where(LedgerEntry.chain == chain).order_by(LedgerEntry.seq.desc())
    )
    for body in bodies:
        fact = json.loads(body)
        if fact["event"] not in OF_BANS:  # these may still come after
            return bytes.fromhex(fact["other_chain"]) if fact["event"] == MOVED else None
    return None


def of_bans(
    session: Session, subjects: Sequence[bytes], *, after: int = 0, before: int | None = None
) -> list[dict[str, Any]]:
    """What entries tell of bans on these keyed digests; with `after` and `before` those between these two."""
    wanted = select(LedgerEntry.body).where(LedgerEntry.subject.in_(list(subjects)), LedgerEntry.id > after)
    if before is not None:
        wanted = wanted.where(LedgerEntry.id < before)
    facts = (json.loads(body) for body in session.scalars(wanted.order_by(LedgerEntry.id)))
    return [fact for fact in facts if fact["event"] in OF_BANS]


def last_state(session: Session, subject: bytes, slug: str) -> str | None:
    """The state that the ledger last gave whoever has this keyed digest on a list; None: it tells of none."""
    bodies = session.scalars(
        select(LedgerEntry.body).where(LedgerEntry.subject == subject).order_by(LedgerEntry.id.desc())
    )
    for body in bodies:
        fact = json.loads(body)
        if fact.get("list") == slug and "state" in fact:
            state: str = fact["state"]
            return state
    return None


def erased_since(session: Session, subjects: Sequence[bytes], since: datetime) -> bool:
    """Whether whoever has one of these keyed digests was erased after this moment."""
    bodies = session.scalars(select(LedgerEntry.body).where(LedgerEntry.subject.in_(list(subjects))))
    needle = f'"{ERASED}"'.encode()
    facts = (json.loads(body) for body in bodies if needle in body)
    return any(fact["event"] == ERASED and fact["at"] > moment(since) for fact in facts)


def text_digest(language: str, body: str) -> bytes:
    """The digest by which a consent text is known: SHA-256 of language, newline, body."""
    return hashlib.sha256(f"{language}\n{body}".encode()).digest()
