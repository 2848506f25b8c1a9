"""Evidence that is no longer relied on, and goes (GDPR 5(1)(e), REQUIREMENTS 2.4).

Evidence is filed by `ledger.file_evidence`, and bound by the entry that names its digest. What a person's consent
rests on stays as long as they are on the list. Of somebody who left and came back, what lies before the leave is no
longer relied on from then; it goes when its period is over. So `verification` may find evidence missing for two
reasons, and for no other: the chain says that the person was erased, or the entry is older than
`periods.EVIDENCE_AT_LEAST`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from ..db import NO_OBJECTS, changed
from . import ledger
from .ledger import OF_BANS
from .states import Event, State
from .tables import Evidence, LedgerEntry, Person, Subscription

_ENDED = (State.LEFT.value, State.NONE.value)
_PERSONAL = {"client", "headers"}
"""In evidence that names nobody: the network address, or the mail, that it came from."""
_PERSONS = 200


def unneeded(session: Session, *, before: datetime, limit: int) -> list[bytes]:
    """Up to `limit` digests of evidence that nothing has rested on since before this moment. Reads only.

    Of somebody who is on a list again: what was before they left it last. And what names nobody but a client's address,
    or a mail: a ban that somebody gave whom we did not know. What an import rests on names nobody, and stays.
    """
    found: list[bytes] = []
    last: int | None = 0
    while last is not None and len(found) < limit:
        digests, last = unneeded_after(session, last, before=before, persons=_PERSONS)
        found += digests
    return found[:limit]


def unneeded_after(session: Session, after: int, *, before: datetime, persons: int) -> tuple[list[bytes], int | None]:
    """The same of up to `persons` persons whose number is beyond `after`; and the last of them, to go on from. None:
    there is nobody beyond, and what names nobody is among the digests."""
    last, came_back = _came_back(session, after, before, persons)
    held = set(session.scalars(select(Evidence.digest).where(Evidence.person_id.in_([each[0] for each in came_back]))))
    facts: dict[bytes, list[dict[str, Any]]] = {chain: [] for _, chain in came_back}
    for chain, body in session.execute(
        select(LedgerEntry.chain, LedgerEntry.body)
        .where(LedgerEntry.chain.in_(list(facts)))
        .order_by(LedgerEntry.chain, LedgerEntry.seq)
    ):
        facts[chain].append(json.loads(body))
    found = [digest for told in facts.values() for digest in _overtaken(told, before) if digest in held]
    if last is not None:
        return found, last
    nobodys = session.execute(
        select(Evidence.digest, Evidence.content)
        .where(Evidence.person_id.is_(None), Evidence.created_at < before)
        .order_by(Evidence.id)
    )
    return found + [digest for digest, content in nobodys if _PERSONAL & json.loads(content).keys()], None


def let_go(session: Session, digests: Sequence[bytes]) -> int:
    """Delete this evidence. Returns how much."""
    return _deleted(session, Evidence.digest.in_(list(digests)))


def forget_of_bans(session: Session, subjects: Sequence[bytes], *, after: int = 0, before: int | None = None) -> int:
    """Delete the evidence of bans that were given or lifted under these keyed digests while nobody was known by them:
    of entries between those of two numbers.

    An erasure's share; the bans stay. Returns how much.
    """
    facts = ledger.of_bans(session, subjects, after=after, before=before)
    bound = [bytes.fromhex(fact["evidence"]) for fact in facts if "evidence" in fact]
    return _deleted(session, Evidence.digest.in_(bound) & Evidence.person_id.is_(None)) if bound else 0


def _came_back(
    session: Session, after: int, before: datetime, limit: int
) -> tuple[int | None, list[tuple[int, bytes]]]:
    """Of the next persons who are on a list that they left once, those of whom old evidence is held: number and chain.
    Before that the last of all; None: there are no more."""
    # By the subscriptions' key, so that only the next ones are read, however many there are.
    once_left = (Subscription.person_id > after, Subscription.epoch > 0, Subscription.state != State.LEFT.value)
    numbers = session.scalars(
        select(Subscription.person_id).where(*once_left).distinct().order_by(Subscription.person_id).limit(limit)
    ).all()
    old = select(Evidence.id).where(Evidence.person_id == Person.id, Evidence.created_at < before).exists()
    rows = session.execute(
        select(Person.id, Person.chain)
        .where(Person.id.in_(numbers), Person.restricted_at.is_(None), old)
        .order_by(Person.id)
    )
    return numbers[-1] if len(numbers) == limit else None, [(number, chain) for number, chain in rows]


def _overtaken(facts: Iterable[dict[str, Any]], before: datetime) -> list[bytes]:
    """What entries of one chain rest on that a leave before this moment ended, list by list. A leave ends no ban."""
    open_: dict[str, list[bytes]] = {}
    over: list[bytes] = []
    for fact in facts:
        slug = fact.get("list")
        if slug is None or fact["event"] in OF_BANS or datetime.fromisoformat(fact["at"]) >= before:
            continue
        if "evidence" in fact:
            open_.setdefault(slug, []).append(bytes.fromhex(fact["evidence"]))
        # Who left and asks again stays `left` until they answer: that ends nothing.
        if fact.get("state") in _ENDED and fact["event"] != Event.ASK.value:
            over += open_.pop(slug, [])
    return over


def withdraw(session: Session, digest: bytes) -> None:
    """Delete what was filed in this transaction, and no entry has come to rest on."""
    _deleted(session, Evidence.digest == digest)


def _deleted(session: Session, which: object) -> int:
    statement = delete(Evidence).where(which)  # type: ignore[arg-type]
    return changed(session.execute(statement, execution_options=NO_OBJECTS))
