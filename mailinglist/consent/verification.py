"""Is the ledger whole, do its seals fit it, and does the register say what its ledger says? Reads only.

Everything is read in the order of the chains, side by side, so that a million persons take little memory. What is wrong
is named: the entry by its number, else the chain, the seal, the row.

Evidence may be gone for two reasons. The person was erased: a later entry of their chain says so, or, where their
address was corrected, one of the chain that it leads to. Or it is older than evidence is kept at least
(`periods.EVIDENCE_AT_LEAST`). A chain that only tells of bans may be of somebody whose name nobody knows; there any
erasure since explains it. Evidence that is gone otherwise was taken away.

A ban in force is held against the last entry about it: channel, list, digest, when it was given, and, by their keyed
digest, the words that say who gave it. An erasure takes these words, for the same reasons. Entries of earlier versions
bind no words, so there a change of them is not found. The name that a ban keeps after an erasure is held against what
the entry of the erasure binds of it, or that of the ban, if it was given since; where neither binds one, a name is not
looked at. A ban that was lifted is held against the entry about that, in the same way; on what evidence it was lifted
stands with the entry's evidence, and the words of its row are not looked at. Where the ban was given in another chain
than it was lifted in, its date and words are not looked at either.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from .. import db
from ..periods import EVIDENCE_AT_LEAST
from . import lists, seal_check, seals
from .address import fold
from .bans import FORGOTTEN, name_of
from .chain_state import NOWHERE, Banned, ChainState, LastWord, Restricted, Stand, banned
from .findings import Problem, octets
from .keys import keys_of
from .ledger import ERASED, SEALS, START, text_digest
from .states import State
from .tables import Ban, ChainHead, ConsentText, Evidence, LedgerEntry, MailingList, Notice, Person, Subscription
from .triggers import missing_triggers

__all__ = ["Problem", "verify"]

_STREAMED = {"yield_per": 2000}
_SOURCES = 10_000
"""Of so many sources of bans the digest is remembered: those of an import are all alike."""


def verify(session: Session, *, outside: Path | None = None, now: datetime | None = None) -> Iterator[Problem]:
    """Everything that is wrong with the ledger; nothing when it is whole.

    `outside`: the folder with the files of the seals. `now`: this moment if not given. What is kept while it reads is
    bans, and eight bytes of each piece of evidence.
    """
    for name in missing_triggers(session):
        yield Problem(f"the trigger {name}, which keeps the ledger append-only, is missing or altered")
    texts = _Texts(session)
    yield from texts.problems
    sealed: list[seals.Said] = []
    yield from seal_check.rows(session, sealed)
    if outside is not None:
        yield from seal_check.files(session, outside)
    yield from seal_check.history(session, sealed)
    before = (now or db.utcnow()) - timedelta(days=EVIDENCE_AT_LEAST)
    yield from _Reading(session, texts, sealed[-1] if sealed else None, before).problems()
    yield from _verify_persons(session)
    yield from _verify_evidence(session)


class _Texts:
    """The consent texts and privacy notices that there are, by digest."""

    def __init__(self, session: Session) -> None:
        self.problems: list[Problem] = []
        self.consent, self.notices = (
            self._held(session, name, table)
            for name, table in (("consent text", ConsentText), ("privacy notice", Notice))
        )

    def _held(self, session: Session, name: str, table: type[ConsentText] | type[Notice]) -> set[str]:
        held = set()
        for number, language, body, digest in session.execute(
            select(table.id, table.language, table.body, octets(table.digest)).order_by(table.id)
        ):
            held.add(digest.hex())
            if text_digest(language, body) != digest:
                self.problems.append(Problem(f"{name} {number} was altered: it does not fit its digest"))
        return held


# ── the ledger ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Missing:
    """An entry whose evidence is gone."""

    entry: int
    chain: bytes
    seq: int


class _ByChain:
    """Rows of a query in the order of their chains, taken along with the heads."""

    def __init__(self, session: Session, query: Any) -> None:
        self._rows = iter(session.execute(query, execution_options=_STREAMED))
        self._next: Any = next(self._rows, None)

    def of(self, chain: bytes) -> Iterator[Any]:
        """The rows of this chain."""
        while self._next is not None and self._next.chain == chain:
            row, self._next = self._next, next(self._rows, None)
            yield row

    def before(self, chain: bytes | None) -> Iterator[Any]:
        """The rows of chains before this one that nobody asked for; None: all that are left."""
        while self._next is not None and (chain is None or self._next.chain < chain):
            row, self._next = self._next, next(self._rows, None)
            yield row


_ENTRIES = select(
    LedgerEntry.id,
    LedgerEntry.seq,
    *map(octets, (LedgerEntry.chain, LedgerEntry.body, LedgerEntry.hash, LedgerEntry.subject)),
).order_by(LedgerEntry.chain, LedgerEntry.seq)

_HEADS = select(
    ChainHead.chain, ChainHead.count, octets(ChainHead.last_hash), octets(ChainHead.mac)
).order_by(ChainHead.chain)  # fmt: skip

_STANDINGS = (
    select(
        Person.chain, Person.id, Person.digest, Person.restricted_at, MailingList.slug, Subscription.state,
        Subscription.basis, Subscription.since, ConsentText.digest.label("text"),
    )
    .select_from(Person)
    .outerjoin(Subscription, Subscription.person_id == Person.id)
    .outerjoin(MailingList, MailingList.id == Subscription.list_id)
    .outerjoin(ConsentText, ConsentText.id == Subscription.text_id)
    .order_by(Person.chain)
)  # fmt: skip


class _Reading:
    """One look through entries, heads and subscriptions, side by side."""

    def __init__(self, session: Session, texts: _Texts, sealed: seals.Said | None, before: datetime) -> None:
        self._session, self._texts, self._sealed = session, texts, sealed
        self._before = before
        self._kept = _digests(session)
        self._tree = seals.Blocks()
        self._missing: list[_Missing] = []
        self._goals: dict[bytes, set[bytes]] = {}
        self._erased: set[bytes] = set()
        self._last_erasure = 0
        self._gone: dict[tuple[bytes, bytes], list[Restricted]] = {}
        self._restrictions: list[tuple[bytes, bool, tuple[bytes, int]]] = []
        self._bans: dict[bytes, dict[Banned, LastWord]] = {}
        self._lifted: dict[tuple[bytes, Banned, datetime], list[LastWord]] = {}
        self._names_kept: dict[tuple[bytes, Banned], tuple[int, str]] = {}
        self._source_digest = lru_cache(_SOURCES)(lambda words: keys_of(session).source(words).hex())

    def problems(self) -> Iterator[Problem]:
        keys = keys_of(self._session)
        entries, standings = _ByChain(self._session, _ENTRIES), _ByChain(self._session, _STANDINGS)
        for chain, count, last_hash, mac in self._session.execute(_HEADS, execution_options=_STREAMED):
            if not hmac.compare_digest(mac, keys.head_mac(chain, count, last_hash)):
                yield Problem("the head of the chain was altered: its MAC does not fit", chain=chain.hex())
            if chain == SEALS:
                continue
            yield from self._strays(entries.before(chain))
            yield from _unknown(standings.before(chain))
            told = ChainState()
            yield from self._verify_chain(entries.of(chain), chain, count, last_hash, told)
            rows = list(standings.of(chain))
            yield from _verify_register(rows, chain, told)
            if rows and not told.erased:
                yield from self._verify_restriction(rows[0], chain, told)
            for goal, restricted in told.gone:
                self._gone.setdefault((chain, goal), []).append(restricted)
            for digest, held, word in told.lifted:
                self._lifted.setdefault((digest, held, word.at), []).append(word)
            for ban, name in told.names_kept.items():
                self._names_kept[ban] = max(name, self._names_kept.get(ban, name))
            for digest, said in told.last_words(chain).items():
                last = self._bans.setdefault(digest, said)
                last.update(
                    {held: said[held] for held in said if held not in last or said[held].entry > last[held].entry}
                )
        yield from self._strays(entries.before(None))
        yield from _unknown(standings.before(None))
        yield from self._verify_bans()
        yield from self._verify_lifted()
        yield from self._verify_restrictions()
        yield from self._verify_missing()
        if self._sealed is not None:
            yield from seal_check.tree(self._session, self._sealed, self._tree)

    def _strays(self, rows: Iterator[Any]) -> Iterator[Problem]:
        for row in rows:
            yield Problem("the entry's chain has no head", entry=row.id, chain=row.chain.hex())

    def _verify_chain(
        self, rows: Iterator[Any], chain: bytes, count: int, last_hash: bytes, told: ChainState
    ) -> Iterator[Problem]:
        last, seen = START, 0
        missing: list[_Missing] = []
        sealed: seals.Leaf | None = None
        for row in rows:
            seen += 1
            if row.seq != seen:
                yield Problem(f"entries {seen} to {row.seq - 1} of the chain are missing", row.id, chain.hex())
                seen = row.seq
            if hashlib.sha256(last + row.body).digest() != row.hash:
                yield Problem("the entry was altered, or one before it is missing", row.id, chain.hex())
            last = row.hash
            if self._sealed is not None and row.id <= self._sealed.through:
                sealed = (chain, row.seq, row.hash)
            try:
                body = json.loads(row.body)
                fits = (body["chain"], body["seq"], body["subject"]) == (chain.hex(), row.seq, row.subject.hex())
                if not fits:
                    yield Problem("the entry stands in a place that is not its own", row.id, chain.hex())
                told.hear(body, row.id)
                recent = datetime.fromisoformat(body["at"]) > self._before
                if recent and "evidence" in body and not _among(self._kept, bytes.fromhex(body["evidence"])):
                    missing.append(_Missing(row.id, chain, row.seq))
            except (ValueError, KeyError, TypeError, AttributeError):
                yield Problem("the entry can't be read", row.id, chain.hex())
                continue
            if "text" in body and body["text"] not in self._texts.consent:
                yield Problem("the consent text of the entry is gone", row.id, chain.hex())
            if "notice" in body and body["notice"] not in self._texts.notices:
                yield Problem("the privacy notice of the entry is gone", row.id, chain.hex())
            if body["event"] == ERASED:
                self._last_erasure = max(self._last_erasure, row.id)
        if seen < count:
            yield Problem(f"the last {count - seen} of {count} entries of the chain are missing", chain=chain.hex())
        elif seen > count:
            yield Problem(f"the chain has {seen - count} entries more than its head says", chain=chain.hex())
        elif last != last_hash:
            yield Problem("the last entry does not fit the head of the chain", chain=chain.hex())
        if sealed is not None:
            self._tree.add(sealed)
        if told.erased_at:
            self._erased.add(chain)
        if told.goals:
            self._goals[chain] = told.goals
        for each in missing:
            if each.seq > told.erased_at:
                self._missing.append(_Missing(each.entry, chain, -1 if told.of_bans else each.seq))

    def _verify_missing(self) -> Iterator[Problem]:
        for each in self._missing:
            if each.seq < 0 and each.entry < self._last_erasure:
                continue
            if not self._was_erased(each.chain):
                yield Problem(
                    "the evidence of the entry is gone, and nothing explains it", each.entry, each.chain.hex()
                )

    def _was_erased(self, chain: bytes) -> bool:
        """Whether one of those who were corrected away from this chain was erased later on."""
        seen = {chain}
        ahead = list(self._goals.get(chain, ()))
        while ahead:
            goal = ahead.pop()
            if goal in self._erased:
                return True
            if goal not in seen:
                seen.add(goal)
                ahead += self._goals.get(goal, ())
        return False

    def _words_went(self, word: LastWord) -> bool:
        """Whether an erasure explains that the words which say who gave the ban are gone."""
        if word.erased or (word.of_bans and word.entry < self._last_erasure):
            return True
        return bool(word.gone_on) and self._was_erased(word.gone_on)

    def _verify_restriction(self, row: Any, chain: bytes, told: ChainState) -> Iterator[Problem]:
        """Whether the use is restricted (GDPR 18) as the chain says; if another one knows, that is seen at the end."""
        restricted = row.restricted_at is not None
        if not isinstance(told.restricted, bool):
            self._restrictions.append((chain, restricted, told.restricted))
        elif restricted is not told.restricted:
            yield _not_as_told(chain, restricted=restricted)

    def _verify_restrictions(self) -> Iterator[Problem]:
        for chain, restricted, where in self._restrictions:
            here = chain
            told: Restricted = where
            seen = set()
            while not isinstance(told, bool) and (here, told) not in seen:
                seen.add((here, told))
                before, number = told
                of_it = self._gone.get((before, here), [])
                # What is missing there is a problem of its own.
                here, told = before, of_it[number - 1] if number <= len(of_it) else restricted
            if restricted is not told:
                yield _not_as_told(chain, restricted=restricted)

    def _verify_bans(self) -> Iterator[Problem]:
        """The bans in force must be those that the ledger tells of."""
        slugs = lists.slugs(self._session)
        rows = self._session.execute(
            select(
                Ban.id,
                octets(Ban.digest),
                Ban.channel,
                Ban.list_id,
                Ban.source,
                Ban.given_at,
                octets(Ban.name_digest),
                Ban.lifted_by,
            )
            .where(Ban.lifted_at.is_(None))
            .order_by(Ban.id),
            execution_options=_STREAMED,
        )
        for number, digest, channel, list_id, source, given_at, name, lifted_by in rows:
            held = banned(channel, name_of(list_id, slugs.get(list_id)))
            word = self._bans.get(digest, {}).pop(held, None)
            if word is None or word.lifted:
                yield Problem(f"ban {number}, on {_said(held)}, is in force, and the ledger does not know it")
                continue
            if given_at != word.at:
                yield Problem(f"ban {number} says that it was given at another time than the ledger tells", word.entry)
            entry, bound = max((word.entry, word.name_digest), self._names_kept.get((digest, held), (0, "")))
            if bound and (name is None or keys_of(self._session).name_kept(digest, name).hex() != bound):
                yield Problem(f"the name that ban {number} is found by was altered, or is gone", entry)
            if lifted_by is not None:
                yield Problem(f"ban {number} is in force, and says on what evidence it was lifted", word.entry)
            yield from self._verify_source(number, source, word)
        for told in self._bans.values():
            for held in sorted((held for held, word in told.items() if not word.lifted), key=_said):
                yield Problem(f"a ban on {_said(held)} that the ledger tells of is not in force", told[held].entry)

    def _verify_lifted(self) -> Iterator[Problem]:
        """The bans that were lifted must be those of which the ledger tells that."""
        slugs = lists.slugs(self._session)
        rows = self._session.execute(
            select(
                Ban.id, octets(Ban.digest), Ban.channel, Ban.list_id, Ban.source, Ban.given_at, Ban.lifted_at,
                octets(Ban.name_digest),
            )
            .where(Ban.lifted_at.is_not(None))
            .order_by(Ban.id),
            execution_options=_STREAMED,
        )  # fmt: skip
        for number, digest, channel, list_id, source, given_at, lifted_at, name in rows:
            held = banned(channel, name_of(list_id, slugs.get(list_id)))
            said = self._lifted.get((digest, held, lifted_at), [])
            fitting = (at for at, word in enumerate(said) if word.given is None or word.given.at == given_at)
            at = next(fitting, 0)
            if not said:
                yield Problem(f"ban {number}, on {_said(held)}, is lifted, and the ledger does not know it")
                continue
            word = said.pop(at)
            if name is not None:
                yield Problem(f"ban {number} was lifted, and is found by a name", word.entry)
            if word.given is None:
                continue
            if given_at != word.given.at:
                words = f"ban {number} says that it was given at another time than the ledger tells"
                yield Problem(words, word.given.entry)
            yield from self._verify_source(number, source, word.given)
        for (_digest, held, _at), said in self._lifted.items():
            for word in said:
                yield Problem(f"a ban on {_said(held)} whose lifting the ledger tells of is gone", word.entry)

    def _verify_source(self, number: int, source: str, word: LastWord) -> Iterator[Problem]:
        """The words that say who gave ban `number` are those that its entry binds; or an erasure took them."""
        if not word.source_digest or self._source_digest(source) == word.source_digest:
            return
        if source != FORGOTTEN:
            yield Problem(f"the source of ban {number} was altered", word.entry)
        elif not self._words_went(word):
            yield Problem(f"the source of ban {number} is gone, and no erasure explains it", word.entry)


# ── the register ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _not_as_told(chain: bytes, *, restricted: bool) -> Problem:
    says = "restricted" if restricted else "not restricted"
    words = f"the use of the person's data is {says} in the register, and the ledger says otherwise"
    return Problem(words, chain=chain.hex())


def _said(ban: Banned) -> str:
    channel, slug = ban
    return f"{channel} of list {slug} alone" if slug else channel


def _unknown(rows: Iterator[Any]) -> Iterator[Problem]:
    for row in rows:
        yield Problem("a person has no ledger entries any more", chain=row.chain.hex())


def _verify_register(rows: list[Any], chain: bytes, told: ChainState) -> Iterator[Problem]:
    """The register must say what the chain says."""
    if rows and told.erased:
        yield Problem("a person whom the ledger says was erased is in the register", chain=chain.hex())
        return
    if rows and told.subject != rows[0].digest:
        yield Problem("the ledger tells of another address than the register has", chain=chain.hex())
    stands = dict(told.stands)
    for row in rows:
        if row.slug is not None:
            # Each subscription is ticked off; what stays was in the ledger, and is not in the register.
            yield from _verify_standing(row, chain, stands.pop(row.slug, NOWHERE))
    for slug, stand in stands.items():
        if stand.state != State.NONE:
            words = f"the ledger says “{stand.state}” on list {slug}, the register nothing"
            yield Problem(words, chain=chain.hex())


def _verify_standing(row: Any, chain: bytes, stand: Stand) -> Iterator[Problem]:
    if row.state != stand.state:
        words = f"the register says “{row.state}” on list {row.slug}, the ledger “{stand.state}”"
        yield Problem(words, chain=chain.hex())
        return
    if stand.basis is not None and row.basis != stand.basis:
        words = f"the basis on list {row.slug} is “{row.basis}” in the register, “{stand.basis}” in the ledger"
        yield Problem(words, chain=chain.hex())
    if stand.since is not None and row.since != datetime.fromisoformat(stand.since):
        words = f"on list {row.slug} the register says since {row.since.isoformat()}, the ledger {stand.since}"
        yield Problem(words, chain=chain.hex())
    if stand.text is not None and (row.text.hex() if row.text else "") != stand.text:
        words = f"on list {row.slug} the register names another consent text than the ledger"
        yield Problem(words, chain=chain.hex())


def _verify_persons(session: Session) -> Iterator[Problem]:
    """An address that was exchanged would be mailed what another one agreed to, and its bans would not be found."""
    keys = keys_of(session)
    rows = session.execute(
        select(Person.id, Person.mailbox, Person.folded, Person.digest, Person.exact_digest),
        execution_options=_STREAMED,
    )
    for number, mailbox, folded, digest, exact in rows:
        if fold(mailbox) != folded or keys.digest(folded) != digest or keys.digest(mailbox) != exact:
            yield Problem(f"the address of person {number} was altered: it does not fit its digests")


# ── evidence ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _verify_evidence(session: Session) -> Iterator[Problem]:
    rows = session.execute(
        select(Evidence.id, Evidence.digest, octets(Evidence.content)), execution_options=_STREAMED
    )  # fmt: skip
    for number, digest, content in rows:
        if hashlib.sha256(content).digest() != digest:
            yield Problem(f"evidence {number} was altered: it does not fit its digest")


def _digests(session: Session) -> array[int]:
    """Eight bytes of the digest of each piece of evidence, in order: 8 MB for a million, where a set takes 100."""
    rows = session.scalars(select(octets(Evidence.digest)).order_by(Evidence.digest), execution_options=_STREAMED)
    return array("Q", (_short(digest) for digest in rows))


def _among(kept: array[int], digest: bytes) -> bool:
    at = bisect_left(kept, _short(digest))
    return at < len(kept) and kept[at] == _short(digest)


def _short(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "big")
