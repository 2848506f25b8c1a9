"""Part of `register`, with the same rows and rules: its verb for many persons at once, `admit`, behind an import.

One by one, with the verbs of `register`, a hundred thousand persons take minutes; here each group of a thousand takes a
dozen statements. The table of moves decides here too, and each change has its ledger entry in the same transaction.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from .. import db
from ..errors import NotAllowed
from . import gate, journal, journal_file, ledger, lists
from .keys import assert_sound, keys_of
from .sheet import Entry, Refusal, Remark
from .states import Basis, Event, State, move
from .tables import Ban, LedgerEntry, MailingList, Person, Subscription

GROUP = 1000
"""Persons in one group: SQLite takes 32,766 parameters in a statement, and a person's row has eight."""

CORRECTION = "correction"
"""Source of the entry of an import that put nobody on the list, and only corrected what is held of them."""
_HELD = (
    Person.id, Person.folded, Person.chain, Person.digest, Person.name, Person.language, Person.restricted_at,
)  # fmt: skip
_BANNED = "banned: marketing to this address is forbidden"
_RESTRICTED = "restricted: this person asked that their data be kept and not used (GDPR 18)"
_CLOSED = "refused: this person can't be put on the list; staff can see why"
_NEW_NAME, _NEW_LANGUAGE, _NEW_BASIS, _NEW_SALE = "new name", "new language", "new basis", "new sale reference"
_PENDING = "waited for a confirmation, and is put on the list"
_UNKNOWN_LANGUAGE = {
    "fi": "unknown language: mails go out in Finnish",
    "sv": "unknown language: mails go out in Swedish",
    "en": "unknown language: mails go out in English",
}
"""By the person's own, which for who is new is the list's."""
_GONE = "left: who has this address left the list, and was erased or moved since; only they can come back, by the form"


@dataclass(frozen=True, slots=True)
class Warrant:
    """What an admission rests on: its legal basis, where the people come from, the evidence filed for it."""

    basis: Basis
    source: str
    evidence: bytes
    how: str = "import"
    """What the ledger says of how they came."""
    of_this_list: bool = False
    """Of somebody who is not on the list it corrects nothing, and tells nothing: whoever acts for one list only must
    not change or learn what the others know of them."""


@dataclass(slots=True)
class Admission:
    """What became of the entries."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: list[Refusal] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    """Of lines that were taken: those that correct something, and those with an unknown language."""


def admit(
    session: Session,
    row: MailingList,
    entries: Iterable[Entry],
    warrant: Warrant,
    *,
    now: datetime,
    progress: Callable[[int], None] = lambda _: None,
    rehearsal: bool = False,
) -> Admission:
    """Put people on a list as active, without a letter. The entries' case-folded addresses must differ.

    Refused: who is banned, has left, has restricted the use of their data, or can't be reached. Who is on the list
    already has at most their name, language or sale corrected (T6): no ban is lifted, and consent that a person gave is
    not turned into anything else. `progress` hears how many more are done. A `rehearsal` only reads, and says what
    would become of each. Raises RegisterUnsound.
    """
    assert_sound(session)
    outcome = Admission()
    ordered = in_order(entries)
    for start in range(0, len(ordered), GROUP):
        group = ordered[start : start + GROUP]
        _Group(session, row, warrant, now, outcome, rehearsal).admit(group)
        progress(len(group))
    return outcome


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """In the order in which persons are locked, also by `requests.take`: so an import and the worker can't wait for
    each other."""
    return sorted(entries, key=lambda entry: entry.address.folded)


@dataclass(slots=True)
class _Entrant:
    """One entry on its way in."""

    entry: Entry
    digest: bytes
    exact_digest: bytes
    chain: bytes | None = None
    """A chain of the ledger that waits for them: they were erased, or a ban named them before they came. Else, once
    they are to be entered, a fresh one."""
    seen: int = 0
    """How many entries of the ledger named them, when nobody in the register had their address."""


@dataclass(frozen=True, slots=True)
class _Newcomer:
    """Somebody whom a rehearsal would enter."""

    digest: bytes
    name: str | None
    language: str
    id: int = 0
    chain: bytes = b""
    restricted_at: datetime | None = None


class _Group:
    """One group on its way in: who they are, what becomes of each, and then all of it written at once."""

    def __init__(
        self,
        session: Session,
        row: MailingList,
        warrant: Warrant,
        now: datetime,
        outcome: Admission,
        rehearsal: bool,
    ) -> None:
        self._session, self._row, self._warrant, self._now, self._outcome = session, row, warrant, now, outcome
        self._rehearsal = rehearsal
        self._language = lists.settings_of(row).language
        """Of those who are new and have none."""
        self._refused: list[Refusal] = []
        self._fresh: list[dict[str, Any]] = []
        self._changed: list[dict[str, Any]] = []
        self._corrected: list[dict[str, Any]] = []
        self._facts: list[tuple[bytes, bytes, ledger.Fact]] = []

    def admit(self, group: Sequence[Entry]) -> None:
        entrants = self._admissible(group)
        if self._rehearsal:
            persons = self._met(entrants)
        else:
            # Who was looked at before they were locked may have been erased, or have got another address, meanwhile:
            # then they would be entered as somebody new. So the group is looked at again, until it is as it was seen.
            while (found := self._entered_as_seen(entrants)) is None:
                entrants = self._admissible(group)
            persons = found
        self._outcome.refused.extend(self._refused)
        if not entrants:
            return
        standings = self._standings([person.id for person in persons.values()])
        for entrant in entrants:
            person = persons[entrant.entry.address.folded]
            self._place(entrant.entry, person, standings.get(person.id))
        if not self._rehearsal:
            self._write()

    def _admissible(self, group: Sequence[Entry]) -> list[_Entrant]:
        """The group without those who can't be admitted; these are in `_refused`."""
        keys = keys_of(self._session)
        self._refused.clear()
        entrants = [_Entrant(e, keys.digest(e.address.folded), keys.digest(e.address.mailbox)) for e in group]
        return self._without_left_and_erased(self._without_banned(entrants))

    # ── who they are ──────────────────────────────────────────────────────────────────────────────────────────────

    def _without_banned(self, entrants: Sequence[_Entrant]) -> list[_Entrant]:
        banned: set[bytes] = set()
        # Who is known may be written in another way here than in the register, by which a ban may name them.
        known = select(Person.digest, Person.exact_digest).where(Person.digest.in_([e.digest for e in entrants]))
        spelt = dict(self._session.execute(known.where(Person.exact_digest != Person.digest)).all())
        named = {e.digest: {e.digest, e.exact_digest, spelt.get(e.digest, e.digest)} for e in entrants}
        for part in _parts([digest for each in named.values() for digest in each]):
            banned.update(
                self._session.scalars(select(Ban.digest).where(Ban.digest.in_(part), gate.against_mail(self._row.id)))
            )
        refused = {digest for digest, each in named.items() if not banned.isdisjoint(each)}
        return self._sifted(entrants, refused, _BANNED)

    def _without_left_and_erased(self, entrants: Sequence[_Entrant]) -> list[_Entrant]:
        """Erasure takes the row that says `left`; the ledger still knows it (REQUIREMENTS 2.3)."""
        digests = [entrant.digest for entrant in entrants]
        known = set(self._session.scalars(select(Person.digest).where(Person.digest.in_(digests))))
        entries = self._session.execute(
            select(LedgerEntry.subject, LedgerEntry.chain)
            .where(LedgerEntry.subject.in_([digest for digest in digests if digest not in known]))
            .order_by(LedgerEntry.id)
        )
        named = entries.all()
        latest = dict(named)  # the latest entry's chain wins
        seen = Counter(digest for digest, _ in named)
        # A chain may have gone along with somebody whose address changed: then it is theirs.
        taken = set(self._session.scalars(select(Person.chain).where(Person.chain.in_(list(latest.values())))))
        digest_of = {chain: digest for digest, chain in latest.items() if chain not in taken}
        states = self._last_states(list(digest_of))
        chain_of = {digest: chain for chain, digest in digest_of.items()}
        for entrant in entrants:
            entrant.chain, entrant.seen = chain_of.get(entrant.digest), seen[entrant.digest]
        left = {digest for chain, digest in digest_of.items() if states.get(chain) == State.LEFT.value}
        return self._sifted(entrants, left, _GONE)

    def _last_states(self, chains: Sequence[bytes]) -> dict[bytes, str]:
        """The state that each chain last gave a person on this list."""
        states: dict[bytes, str] = {}
        rows = self._session.execute(
            select(LedgerEntry.chain, LedgerEntry.body).where(LedgerEntry.chain.in_(chains)).order_by(LedgerEntry.id)
        )
        for chain, body in rows:
            fact = json.loads(body)
            if fact.get("list") == self._row.slug and "state" in fact:
                states[chain] = fact["state"]
        return states

    def _sifted(self, entrants: Sequence[_Entrant], refused: set[bytes], reason: str) -> list[_Entrant]:
        self._refused.extend(Refusal(e.entry.line, reason) for e in entrants if e.digest in refused)
        return [entrant for entrant in entrants if entrant.digest not in refused]

    def _entered_as_seen(self, entrants: Sequence[_Entrant]) -> dict[str, Any] | None:
        """`_entered`; None, and nobody is entered or locked: it was not as the entrants were seen."""
        if not entrants:
            return {}
        with self._session.begin_nested() as attempt:
            persons = self._entered(entrants)
            if self._as_seen(entrants, persons):
                return persons
            attempt.rollback()
        return None

    def _as_seen(self, entrants: Sequence[_Entrant], persons: Mapping[str, Any]) -> bool:
        """Of whom we have just entered, the ledger says no more than it did. They are ours now: whoever had the address
        has gone for good, and nobody else comes."""
        new = {e.digest: e.seen for e in entrants if persons[e.entry.address.folded].chain == e.chain}
        found = self._session.execute(
            select(LedgerEntry.subject, func.count()).where(LedgerEntry.subject.in_(new)).group_by(LedgerEntry.subject)
        )
        return dict(found.all()) == {digest: seen for digest, seen in new.items() if seen}

    def _entered(self, entrants: Sequence[_Entrant]) -> dict[str, Any]:
        """The persons, by case-folded address: entered where they are new, all locked, in the order of the group."""
        for entrant in entrants:
            entrant.chain = entrant.chain or secrets.token_bytes(16)
        rows = [
            {
                "mailbox": entrant.entry.address.mailbox, "folded": entrant.entry.address.folded,
                "digest": entrant.digest, "exact_digest": entrant.exact_digest,
                "chain": entrant.chain, "name": entrant.entry.name,
                "language": entrant.entry.language or self._language, "created_at": self._now,
            }
            for entrant in entrants
        ]  # fmt: skip
        statement = db.insert_new(self._session, Person)
        # An update that changes nothing, for its lock: so one statement enters and locks, in one order.
        upsert = statement.on_conflict_do_update(index_elements=["folded"], set_={"folded": statement.excluded.folded})
        found = self._session.execute(upsert.returning(*_HELD), rows)
        return {person.folded: person for person in found}

    def _met(self, entrants: Sequence[_Entrant]) -> dict[str, Any]:
        """The persons, by case-folded address; those who are new as they would be entered."""
        found = self._session.execute(select(*_HELD).where(Person.digest.in_([entrant.digest for entrant in entrants])))
        persons: dict[str, Any] = {person.folded: person for person in found}
        for entrant in entrants:
            entry = entrant.entry
            newcomer = _Newcomer(entrant.digest, entry.name, entry.language or self._language)
            persons.setdefault(entry.address.folded, newcomer)
        return persons

    def _standings(self, persons: Sequence[int]) -> dict[int, Any]:
        # By person alone: with the list in it as well, PostgreSQL, without statistics of rows this young, may read the
        # whole list for each group (measured: 0.4 s a group at 30,000 persons, and growing).
        found = self._session.execute(
            select(
                Subscription.person_id,
                Subscription.list_id,
                Subscription.state,
                Subscription.basis,
                Subscription.sale_reference,
            ).where(Subscription.person_id.in_(persons))
        )
        return {standing.person_id: standing for standing in found if standing.list_id == self._row.id}

    # ── what becomes of each ──────────────────────────────────────────────────────────────────────────────────────

    def _place(self, entry: Entry, person: Any, standing: Any) -> None:
        stranger = standing is None and self._warrant.of_this_list
        if person.restricted_at is not None:
            self._outcome.refused.append(Refusal(entry.line, _CLOSED if stranger else _RESTRICTED))
            return
        before = State(standing.state) if standing else State.NONE
        try:
            after = move(before, Event.IMPORT)
        except NotAllowed as refusal:
            self._outcome.refused.append(Refusal(entry.line, f"{before}: {refusal}"))
            return
        corrected = [] if stranger else self._correct(entry, person)
        if before is after:
            corrected += self._correct_basis(entry, standing)
        elif standing:
            corrected.append(_PENDING)
        remarks = [*corrected, *([_UNKNOWN_LANGUAGE[person.language]] if entry.language_unknown else [])]
        if remarks:
            self._outcome.remarks.append(Remark(entry.line, tuple(remarks)))
        if before is after:
            basis = self._warrant.basis if Basis(standing.basis) is not Basis.CONSENT else Basis.CONSENT
            if not corrected:
                self._outcome.unchanged += 1
                return
        else:
            basis = self._warrant.basis
            values = self._values(entry, person.id)
            (self._changed if standing else self._fresh).append({**values, "state": after.value, "since": self._now})
        if standing:
            self._outcome.updated += 1
        else:
            self._outcome.added += 1
        fact = ledger.Fact(
            Event.IMPORT, list=self._row.slug, state=after.value, before=before.value, basis=basis.value,
            source=self._warrant.how if before is not after else CORRECTION, evidence=self._warrant.evidence,
        )  # fmt: skip
        self._facts.append((person.chain, person.digest, fact))

    def _correct(self, entry: Entry, person: Any) -> list[str]:
        """What is different of them now, in words."""
        name, language = entry.name or person.name, entry.language or person.language
        corrected = [*([_NEW_NAME] if name != person.name else []),
                     *([_NEW_LANGUAGE] if language != person.language else [])]  # fmt: skip
        if corrected:
            self._corrected.append({"id": person.id, "name": name, "language": language})
        return corrected

    def _correct_basis(self, entry: Entry, standing: Any) -> list[str]:
        """For somebody who is on the list already. Consent stands: an import knows nothing better (T6)."""
        sale = entry.sale_reference or standing.sale_reference
        if Basis(standing.basis) is Basis.CONSENT:
            return []
        corrected = [*([_NEW_BASIS] if standing.basis != self._warrant.basis.value else []),
                     *([_NEW_SALE] if standing.sale_reference != sale else [])]  # fmt: skip
        if corrected:
            self._changed.append({**self._values(entry, standing.person_id), "sale_reference": sale})
        return corrected

    def _values(self, entry: Entry, person_id: int) -> dict[str, Any]:
        return {
            "person_id": person_id, "list_id": self._row.id, "basis": self._warrant.basis.value,
            "source": self._warrant.source[:200], "sale_reference": entry.sale_reference,
        }  # fmt: skip

    def _write(self) -> None:
        if self._fresh:
            self._session.execute(insert(Subscription), self._fresh)
        # Rows that set the same columns go into one statement.
        for with_state in (True, False):
            alike = [values for values in self._changed if ("state" in values) is with_state]
            if alike:
                self._session.execute(update(Subscription), alike)
        if self._corrected:
            self._session.execute(update(Person), self._corrected)
        if self._facts:
            ledger.append_many(self._session, self._facts, now=self._now)
            joined = [digest for _, digest, fact in self._facts if fact.source != CORRECTION]
            journal.note_many(self._session, journal_file.IMPORTED, joined, list_slug=self._row.slug, now=self._now)


def _parts(digests: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(digests), GROUP):
        yield digests[start : start + GROUP]
