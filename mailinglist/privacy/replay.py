"""After a restore: what the journals tell of and the register does not know is done again (REQUIREMENTS 2.6).

A line is known when the register's ledger has its entry: same subject, same event, same moment. So it does not matter
how near to the backup a line was written, and whoever came back before the backup is not taken off again. What is not
known is done by the register's own verbs, in the order of the lines, and stands in the ledger with the source
`journal`.

An address that was corrected since is not in the copy, only its keyed digest: the person is taken off under the old
one, and what the new one's owner asked for afterwards counts for them too. Joins, and bans that were lifted, are not
done again: they are reported.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..consent import bans, journal_file, ledger, register, restriction
from ..consent.journal_file import Line
from ..consent.states import Channel, Event, State
from ..consent.tables import LedgerEntry, MailingList, Person, Subscription
from . import rights

MARGIN = timedelta(hours=1)
"""How long before its backup a line may have been written, and not be in it: its transaction was still open."""
ON_THEIR_WAY = 1000
"""The same, in lines."""
MOST_TOLD = 200
"""Joins and lifted bans that a report names one by one."""
_GROUP = 500

_OF_BANS = (journal_file.BANNED, journal_file.LIFTED)

Known = set[tuple[bytes, str, str, str | None]]
"""Subject, event, moment, list (None: whatever list) of entries in the register's ledger."""


@dataclass(slots=True)
class Replayed:
    """What was done again, and what was not."""

    counts: Counter[str] = field(default_factory=Counter)
    """left, banned, erased, corrected, restricted, muted: persons or addresses for whom something changed; `joins`,
    `lifts`: what is not in the copy, and was not done again; `lists`: opt-outs from lists that the copy does not
    have."""
    missing: list[dict[str, Any]] = field(default_factory=list)
    """The first joins and lifts, each as {"what", "at", "list", "channels", "person", "digest"}; `person` is the number
    of somebody who is in the copy."""

    def report(self) -> dict[str, Any]:
        """For keeping and showing."""
        return {"replayed": dict(self.counts), "missing": self.missing}


def replay(
    session: Session,
    readings: Iterable[journal_file.Reading],
    *,
    copy_of: datetime,
    positions: Mapping[str, int],
    now: datetime,
) -> Replayed:
    """Do again what was taken from us after the backup of `copy_of`, when the journals had come as far as `positions`
    says, by their names. The session may write to a register that is held (`keys.replaying`)."""
    lines = sorted(
        (line for reading in readings for line in since(reading, copy_of, positions)),
        key=lambda line: (line.written, line.journal, line.number),
    )
    return _Replay(session, lines, now).done()


def since(reading: journal_file.Reading, copy_of: datetime, positions: Mapping[str, int]) -> list[Line]:
    """The lines of a journal that a backup may not know: by their numbers, since a clock may have been wrong, and by
    their time. Too many do no harm: what the copy's ledger has is not done again."""
    return [
        line
        for line in reading.lines
        if line.number > positions.get(line.journal, 0) - ON_THEIR_WAY or line.written >= copy_of - MARGIN
    ]


class _Replay:
    def __init__(self, session: Session, lines: Sequence[Line], now: datetime) -> None:
        self._session, self._lines, self._now = session, lines, now
        self._known = _entries(session, {digest for line in lines for digest in line.who})
        self._lists = {row.slug: row for row in session.scalars(select(MailingList))}
        self._formerly: dict[bytes, bytes] = {}
        """The digest that the copy knows somebody by, by that of the address that they got since."""
        self._erased = {
            (digest, line.given) for line in lines if line.what == journal_file.ERASED for digest in line.who
        }
        self._over: dict[tuple[bytes, str | None], datetime] = {}
        """When somebody last left a list, or (None) was erased."""
        for line in lines:
            if line.what in (journal_file.LEFT, journal_file.DISOWNED, journal_file.ERASED):
                for digest in line.who:
                    self._over[digest, line.list] = max(line.given, self._over.get((digest, line.list), line.given))
        self._outcome = Replayed()

    def done(self) -> Replayed:
        verbs = {
            journal_file.LEFT: self._leave, journal_file.DISOWNED: self._leave, journal_file.BANNED: self._ban,
            journal_file.ERASED: self._erase, journal_file.MOVED: self._move, journal_file.MUTED: self._mute,
            journal_file.RESTRICTED: self._restrict,
        }  # fmt: skip
        for line in self._lines:
            news = [digest for digest in line.who if not self._is_known(line, digest)]
            if not news:
                continue
            if line.what in verbs:
                verbs[line.what](line, news)
            else:
                self._tell(line, news)
        self._outcome.counts = +self._outcome.counts  # without what came to nothing
        return self._outcome

    def _is_known(self, line: Line, digest: bytes) -> bool:
        return (digest, line.what, ledger.moment(line.given), line.list) in self._known

    def _here(self, digest: bytes) -> bytes:
        """The digest by which the copy knows whoever has this one."""
        return self._formerly.get(digest, digest)

    def _person(self, digest: bytes) -> Person | None:
        return self._session.scalar(select(Person).where(Person.digest == self._here(digest)).with_for_update())

    # ── what was taken from us ────────────────────────────────────────────────────────────────────────────────────

    def _leave(self, line: Line, digests: Sequence[bytes]) -> None:
        row = self._lists.get(line.list or "")
        for digest in digests:
            if row is None:
                self._outcome.counts["lists"] += 1
                continue
            changed = register.left_since(
                self._session, self._here(digest), row, Event(line.what), origin=_origin(line), now=self._now
            )
            if line.what == journal_file.DISOWNED:
                self._mute(line, [digest], counted=False)
            # Who is erased leaves first: that is one wish, and counted once.
            self._outcome.counts["left"] += changed and (digest, line.given) not in self._erased

    def _ban(self, line: Line, digests: Sequence[bytes]) -> None:
        channels = [Channel(name) for name in line.channels]
        only = self._lists.get(line.list) if line.list else None
        if line.list and only is None:
            self._outcome.counts["lists"] += len(digests)
            return
        both = list(dict.fromkeys([*digests, *(self._here(digest) for digest in digests)]))
        self._outcome.counts["banned"] += bans.add_many(
            self._session, both, channels, only=only, source="journal of opt-outs", now=self._now
        )

    def _erase(self, line: Line, digests: Sequence[bytes]) -> None:
        for digest in digests:
            person = self._person(digest)
            if person is None:
                continue
            # Whatever they were on when they were erased, they have left: those lines came before this one.
            if self._on_some_list(person):
                register.withdraw(self._session, person, source="journal", now=self._now)
                self._session.flush()
            rights.forget(self._session, person, self._now, source=line.source or "journal")
            self._outcome.counts["erased"] += 1

    def _on_some_list(self, person: Person) -> bool:
        on = (State.ACTIVE.value, State.UNDELIVERABLE.value)
        wanted = select(Subscription.list_id).where(Subscription.person_id == person.id, Subscription.state.in_(on))
        return self._session.scalar(wanted.limit(1)) is not None

    def _move(self, line: Line, digests: Sequence[bytes]) -> None:
        for digest in digests:
            if line.to is not None:
                self._formerly[line.to] = self._here(digest)
            person = self._person(digest)
            if person is not None:
                register.withdraw(self._session, person, source="journal", now=self._now)
                self._outcome.counts["corrected"] += 1

    def _mute(self, line: Line, digests: Sequence[bytes], *, counted: bool = True) -> None:
        for digest in digests:
            person = self._person(digest)
            if person is not None and (person.muted_until is None or person.muted_until < self._now):
                register.mute(self._session, person, line.list, now=line.given)
                self._outcome.counts["muted"] += counted

    def _restrict(self, line: Line, digests: Sequence[bytes]) -> None:
        for digest in digests:
            person = self._person(digest)
            if person is not None:
                self._outcome.counts["restricted"] += restriction.restrict(
                    self._session, person, source="journal", origin=_origin(line), now=self._now
                )

    # ── what is only told ─────────────────────────────────────────────────────────────────────────────────────────

    def _tell(self, line: Line, digests: Sequence[bytes]) -> None:
        what = "joins" if line.what in (journal_file.CONFIRMED, journal_file.IMPORTED) else "lifts"
        digests = [digest for digest in digests if not self._taken_back(line, digest)]
        self._outcome.counts[what] += len(digests)
        room = max(0, MOST_TOLD - len(self._outcome.missing))
        for digest in digests[:room]:
            person = self._person(digest)
            told = {
                "what": line.what, "at": ledger.moment(line.given), "list": line.list, "channels": list(line.channels),
                "person": person.id if person else None, "digest": digest.hex(),
            }  # fmt: skip
            self._outcome.missing.append(told)

    def _taken_back(self, line: Line, digest: bytes) -> bool:
        """Whether they left again, or were erased, since: then nothing is missing."""
        left = self._over.get((digest, line.list), line.given) if line.what not in _OF_BANS else line.given
        last = max(left, self._over.get((digest, None), line.given))
        return last > line.given


def _entries(session: Session, subjects: Collection[bytes]) -> Known:
    known: Known = set()
    wanted = list(subjects)
    for start in range(0, len(wanted), _GROUP):
        rows = session.execute(
            select(LedgerEntry.subject, LedgerEntry.body).where(LedgerEntry.subject.in_(wanted[start : start + _GROUP]))
        )
        for subject, body in rows:
            fact = json.loads(body)
            # A line of a correction names no list, its entries do; a line of a ban without a list is about all.
            slugs = {fact.get("list")} if fact["event"] in _OF_BANS else {fact.get("list"), None}
            known.update((subject, fact["event"], fact["at"], slug) for slug in slugs)
    return known


def _origin(line: Line) -> register.Origin:
    return {"how": "journal", "asked_at": ledger.moment(line.given), "line": line.number}
