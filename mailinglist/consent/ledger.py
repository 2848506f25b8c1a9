"""The consent ledger: append, verify, prove (GDPR 7(1)).

Entries chain per person, so that two sign-ups never wait for each other. An entry's hash is SHA-256 over the previous
hash and its body; the body is canonical JSON and is stored as the bytes that were hashed, so that no migration can
alter it. A head per chain, under a MAC, lies in another table and shows a missing tail. Bodies hold no personal data:
keyed digests, digests of texts and of evidence. `verify` also replays the events and holds the register against the
outcome.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import LargeBinary, cast, insert, select
from sqlalchemy.orm import Session

from .address import fold
from .keys import Keys, assert_sound, keys_of
from .states import Event, State
from .tables import Ban, ChainHead, ConsentText, Evidence, LedgerEntry, MailingList, Person, Subscription
from .triggers import missing_triggers

_START = bytes(32)
_ERASED = "*"  # no slug

MOVED, READDRESSED = "moved", Event.READDRESS.value
"""A corrected address: the old address's chain ends its states, and the new one's goes on from there."""


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
    source: str | None = None
    channels: Sequence[str] = ()
    evidence: bytes | None = None
    other_chain: bytes | None = None
    """The chain of the same person under another address: where they went (MOVED), or came from (READDRESSED)."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that `verify` found; `entry` is the ledger row's id where there is one."""

    what: str
    entry: int | None = None
    chain: str | None = None


def moment(at: datetime) -> str:
    """RFC 3339 in UTC, microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def canonical(value: dict[str, Any]) -> bytes:
    """Canonical JSON: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def file_evidence(session: Session, content: dict[str, Any], *, person_id: int | None, now: datetime) -> bytes:
    """Put evidence aside and return its digest, which an entry binds."""
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
        count, last = (head.count, head.last_hash) if head else (0, _START)
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
            **({"source": fact.source} if fact.source else {}),
            **({"channels": sorted(fact.channels)} if fact.channels else {}),
            **({"evidence": fact.evidence.hex()} if fact.evidence else {}),
            **({"other_chain": fact.other_chain.hex()} if fact.other_chain else {}),
        }
    )
    digest = hashlib.sha256(last + body).digest()
    row = {"chain": chain, "seq": count + 1, "subject": subject, "body": body, "hash": digest}
    return row, count + 1, digest


# ── verify ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def verify(session: Session) -> Iterator[Problem]:
    """Everything that is wrong with the ledger; nothing when it is whole.

    Reads all of it, a chain at a time; what each chain says of the register is kept: about 300 MB for a million people.
    """
    for name in missing_triggers(session):
        yield Problem(f"the trigger {name}, which keeps the ledger append-only, is missing or altered")
    keys = keys_of(session)
    texts = {row.digest.hex(): row for row in session.scalars(select(ConsentText))}
    yield from _verify_texts(texts)
    known: dict[bytes, _Told] = {}
    heads = session.execute(
        select(ChainHead.chain, ChainHead.count, _octets(ChainHead.last_hash), _octets(ChainHead.mac)).order_by(
            ChainHead.chain
        ),
        execution_options={"yield_per": 2000},
    )
    entries = _Chains(session)
    for chain, count, last_hash, mac in heads:
        yield from entries.strays_before(chain)
        told = _Told()
        yield from _verify_chain(entries.of(chain), chain, count, last_hash, told, texts)
        if not hmac.compare_digest(mac, keys.head_mac(chain, count, last_hash)):
            yield Problem("the head of the chain was altered: its MAC does not fit", chain=chain.hex())
        known[chain] = told
    yield from entries.strays_before(None)
    yield from _verify_persons(session)
    yield from _verify_register(session, known)
    yield from _verify_bans(session, known.values())
    yield from _verify_evidence(session)


def _octets(column: Any) -> Any:
    """A column's bytes, also where somebody put a text in: SQLite lets them, and `verify` must not fall over that."""
    return cast(column, LargeBinary).label(column.key)


def _verify_texts(texts: dict[str, ConsentText]) -> Iterator[Problem]:
    for digest, row in texts.items():
        if text_digest(row.language, row.body).hex() != digest:
            yield Problem(f"consent text {row.id} was altered: it does not fit its digest")


@dataclass(slots=True)
class _Told:
    """What one chain says of the register."""

    states: dict[str, str] = field(default_factory=dict)
    bans: dict[bytes, set[str]] = field(default_factory=dict)
    """Channels forbidden, by the digest that the ban names."""
    subject: bytes = b""
    """The digest that the last entry names."""

    def hear(self, body: dict[str, Any]) -> None:
        """Take in one entry."""
        self.subject = bytes.fromhex(body["subject"])
        event = body.get("event")
        if event in ("banned", "ban_lifted"):
            forbidden = self.bans.setdefault(self.subject, set())
            (forbidden.update if event == "banned" else forbidden.difference_update)(body.get("channels", ()))
            return
        self.states.pop(_ERASED, None)
        if event == "erased":
            self.states.clear()
            self.states[_ERASED] = "erased"
        elif event == MOVED:
            self.states.clear()  # nobody has this address now; the person is told of in another chain
        elif "state" in body and "list" in body:
            self.states[body["list"]] = body["state"]


class _Chains:
    """All entries by chain, streamed in the order of the heads."""

    def __init__(self, session: Session) -> None:
        self._rows = iter(
            session.execute(
                select(LedgerEntry.id, LedgerEntry.seq, *map(_octets, (LedgerEntry.chain, LedgerEntry.body,
                       LedgerEntry.hash, LedgerEntry.subject))).order_by(LedgerEntry.chain, LedgerEntry.seq),
                execution_options={"yield_per": 2000},
            )
        )  # fmt: skip
        self._next: Any = next(self._rows, None)

    def of(self, chain: bytes) -> Iterator[Any]:
        while self._next is not None and self._next.chain == chain:
            row, self._next = self._next, next(self._rows, None)
            yield row

    def strays_before(self, chain: bytes | None) -> Iterator[Problem]:
        """Entries of chains that have no head."""
        while self._next is not None and (chain is None or self._next.chain < chain):
            row, self._next = self._next, next(self._rows, None)
            yield Problem("the entry's chain has no head", entry=row.id, chain=row.chain.hex())


def _verify_chain(
    rows: Iterator[Any],
    chain: bytes,
    count: int,
    last_hash: bytes,
    told: _Told,
    texts: dict[str, ConsentText],
) -> Iterator[Problem]:
    last, seen = _START, 0
    for row in rows:
        seen += 1
        if row.seq != seen:
            yield Problem(f"entries {seen} to {row.seq - 1} of the chain are missing", entry=row.id, chain=chain.hex())
            seen = row.seq
        if hashlib.sha256(last + row.body).digest() != row.hash:
            yield Problem("the entry was altered, or one before it is missing", entry=row.id, chain=chain.hex())
        last = row.hash
        try:
            body = json.loads(row.body)
            fits = (body["chain"], body["seq"], body["subject"]) == (chain.hex(), row.seq, row.subject.hex())
        except (ValueError, KeyError, TypeError):
            yield Problem("the entry can't be read", entry=row.id, chain=chain.hex())
            continue
        if not fits:
            yield Problem("the entry stands in a place that is not its own", entry=row.id, chain=chain.hex())
        if "text" in body and body["text"] not in texts:
            yield Problem("the consent text of the entry is gone", entry=row.id, chain=chain.hex())
        told.hear(body)
    if seen < count:
        yield Problem(f"the last {count - seen} of {count} entries of the chain are missing", chain=chain.hex())
    elif seen > count:
        yield Problem(f"the chain has {seen - count} entries more than its head says", chain=chain.hex())
    elif last != last_hash:
        yield Problem("the last entry does not fit the head of the chain", chain=chain.hex())


def _verify_persons(session: Session) -> Iterator[Problem]:
    """An address that was exchanged would be mailed what another one agreed to, and its bans would not be found."""
    keys = keys_of(session)
    rows = session.execute(
        select(Person.id, Person.mailbox, Person.folded, Person.digest, Person.exact_digest),
        execution_options={"yield_per": 2000},
    )
    for number, mailbox, folded, digest, exact in rows:
        if fold(mailbox) != folded or keys.digest(folded) != digest or keys.digest(mailbox) != exact:
            yield Problem(f"the address of person {number} was altered: it does not fit its digests")


def _verify_bans(session: Session, told: Iterable[_Told]) -> Iterator[Problem]:
    """The bans in force must be those that the ledger tells of."""
    wanted: dict[bytes, set[str]] = {}
    for chain in told:
        for digest, channels in chain.bans.items():
            wanted.setdefault(digest, set()).update(channels)
    rows = session.execute(
        select(Ban.digest, Ban.channel).where(Ban.lifted_at.is_(None)), execution_options={"yield_per": 2000}
    )
    for digest, channel in rows:
        forbidden = wanted.get(digest, set())
        if channel not in forbidden:
            yield Problem(f"a ban on {channel} is in force that the ledger does not know")
        forbidden.discard(channel)
    for channels in wanted.values():
        for channel in sorted(channels):
            yield Problem(f"a ban on {channel} that the ledger tells of is not in force")


def _verify_register(session: Session, known: dict[bytes, _Told]) -> Iterator[Problem]:
    """The register must say what its ledger says."""
    rows = session.execute(
        select(Person.chain, Person.digest, MailingList.slug, Subscription.state)
        .select_from(Person)
        .outerjoin(Subscription, Subscription.person_id == Person.id)
        .outerjoin(MailingList, MailingList.id == Subscription.list_id),
        execution_options={"yield_per": 2000},
    )
    for chain, digest, slug, state in rows:
        told = known.get(chain)
        if told is None:
            yield Problem("a person has no ledger entries any more", chain=chain.hex())
            continue
        states = told.states
        if _ERASED in states:
            yield Problem("a person whom the ledger says was erased is in the register", chain=chain.hex())
            continue
        if told.subject != digest:
            yield Problem("the ledger tells of another address than the register has", chain=chain.hex())
        # Each subscription is ticked off; what stays was in the ledger, and is not in the register.
        expected = states.pop(slug, State.NONE) if slug else State.NONE
        if slug and expected != state:
            words = f"the register says “{state}” on list {slug}, the ledger “{expected}”"
            yield Problem(words, chain=chain.hex())
    for chain, told in known.items():
        for slug, state in told.states.items():
            if slug != _ERASED and state != State.NONE:
                yield Problem(f"the ledger says “{state}” on list {slug}, the register nothing", chain=chain.hex())


def _verify_evidence(session: Session) -> Iterator[Problem]:
    rows = session.execute(
        select(Evidence.id, Evidence.digest, _octets(Evidence.content)), execution_options={"yield_per": 2000}
    )
    for number, digest, content in rows:
        if hashlib.sha256(content).digest() != digest:
            yield Problem(f"evidence {number} was altered: it does not fit its digest")


# ── prove ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def prove(session: Session, folded: str) -> list[dict[str, Any]]:
    """One person's consent history, oldest first, with the exact texts and what evidence is still kept.

    `folded` is the case-folded address. What was agreed to under an earlier address that was corrected is in it. Also
    finds the history of somebody who was erased since. Empty: nothing known.
    """
    keys: Keys = keys_of(session)
    named = select(LedgerEntry.chain).where(LedgerEntry.subject == keys.digest(folded)).distinct()
    bodies = _bodies(session, list(session.scalars(named)))
    known = {body["chain"] for _, body in bodies}
    earlier = bodies
    while origins := _origins(earlier, known):
        known |= origins.keys()
        # The earlier address may be somebody else's since: only what was before it was corrected.
        earlier = [
            (row, body)
            for row, body in _bodies(session, [bytes.fromhex(chain) for chain in origins])
            if row.id < origins[body["chain"]]
        ]
        bodies = sorted([*bodies, *earlier], key=lambda found: found[0].id)
    texts = {row.digest.hex(): row for row in session.scalars(select(ConsentText))}
    wanted = [bytes.fromhex(body["evidence"]) for _, body in bodies if "evidence" in body]
    evidence = {
        row.digest.hex(): json.loads(row.content)
        for row in session.execute(select(Evidence.digest, Evidence.content).where(Evidence.digest.in_(wanted)))
    }
    history = []
    for row, body in bodies:
        shown = texts.get(body.get("text", ""))
        item = {"entry": row.id, "hash": row.hash.hex(), **body}
        if shown is not None:
            item["text_shown"] = shown.body
        if "evidence" in body:
            item["evidence_content"] = evidence.get(body["evidence"])
        history.append(item)
    return history


def _bodies(session: Session, chains: Sequence[bytes]) -> list[tuple[Any, dict[str, Any]]]:
    rows = session.execute(
        select(LedgerEntry.id, LedgerEntry.body, LedgerEntry.hash)
        .where(LedgerEntry.chain.in_(chains))
        .order_by(LedgerEntry.id)
    )
    return [(row, json.loads(row.body)) for row in rows]


def _origins(bodies: Iterable[tuple[Any, dict[str, Any]]], known: set[str]) -> dict[str, int]:
    """Chains that these entries go on from and that are not known yet, each with the entry that says so."""
    return {
        body["other_chain"]: row.id
        for row, body in bodies
        if body["event"] == READDRESSED and body["other_chain"] not in known
    }


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


def _moved_on(session: Session, chain: bytes) -> bytes | None:
    bodies = session.scalars(
        select(LedgerEntry.body).where(LedgerEntry.chain == chain).order_by(LedgerEntry.seq.desc())
    )
    for body in bodies:
        fact = json.loads(body)
        if fact["event"] not in ("banned", "ban_lifted"):  # these may still come after
            return bytes.fromhex(fact["other_chain"]) if fact["event"] == MOVED else None
    return None


def text_digest(language: str, body: str) -> bytes:
    """The digest by which a consent text is known: SHA-256 of language, newline, body."""
    return hashlib.sha256(f"{language}\n{body}".encode()).digest()
