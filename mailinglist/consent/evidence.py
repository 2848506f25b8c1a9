"""Evidence that is no longer relied on, and goes (GDPR 5(1)(e), REQUIREMENTS 2.4).

Evidence is filed by `ledger.file_evidence`, and bound by the entry that names its digest. What a person's consent
rests on stays as long as they are on the list. Of somebody who left and came back, what lies before the leave is no
longer relied on from then; it goes when its period is over. So `verification` may find evidence missing for two
reasons, and for no other: the chain says that the person was erased, or the entry is older than
`periods.EVIDENCE_AT_LEAST`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from ..db import changed
from .states import Event, State
from .tables import Evidence, LedgerEntry, Person, Subscription

_BANS = ("banned", "ban_lifted")
_ENDED = (State.LEFT.value, State.NONE.value)
_CLIENT = "client"


def unneeded(session: Session, *, before: datetime, limit: int) -> list[bytes]:
    """Up to `limit` digests of evidence that nothing has rested on since before this moment. Reads only.

    Of somebody who is on a list again: what was before they left it last. And what names nobody but a client's address:
    a ban that somebody gave whom we did not know. What an import rests on names nobody, and stays.
    """
    found: list[bytes] = []
    for person_id, chain in _came_back(session, before):
        held = set(session.scalars(select(Evidence.digest).where(Evidence.person_id == person_id)))
        found += [digest for digest in _overtaken(session, chain, before) if digest in held]
        if len(found) >= limit:
            return found[:limit]
    nobodys = session.execute(
        select(Evidence.digest, Evidence.content)
        .where(Evidence.person_id.is_(None), Evidence.created_at < before)
        .order_by(Evidence.id)
    )
    found += [digest for digest, content in nobodys if _CLIENT in json.loads(content)]
    return found[:limit]


def let_go(session: Session, digests: Sequence[bytes]) -> int:
    """Delete this evidence. Returns how much."""
    return _deleted(session, Evidence.digest.in_(list(digests)))


def forget_of_bans(session: Session, subjects: Sequence[bytes]) -> int:
    """Delete the evidence of bans that were given or lifted under these keyed digests while nobody was known by them.

    An erasure's share; the bans stay. Returns how much.
    """
    bodies = session.scalars(select(LedgerEntry.body).where(LedgerEntry.subject.in_(list(subjects))))
    facts = [json.loads(body) for body in bodies]
    bound = [bytes.fromhex(fact["evidence"]) for fact in facts if fact["event"] in _BANS and "evidence" in fact]
    return _deleted(session, Evidence.digest.in_(bound) & Evidence.person_id.is_(None)) if bound else 0


def _came_back(session: Session, before: datetime) -> Iterator[tuple[int, bytes]]:
    """Persons who are on a list that they left once, and of whom old evidence is held: number and chain."""
    old = select(Evidence.id).where(Evidence.person_id == Person.id, Evidence.created_at < before).exists()
    rows = session.execute(
        select(Person.id, Person.chain)
        .join(Subscription, Subscription.person_id == Person.id)
        .where(Subscription.epoch > 0, Subscription.state != State.LEFT.value, Person.restricted_at.is_(None), old)
        .group_by(Person.id, Person.chain)
        .order_by(Person.id)
    )
    for row in rows:
        yield row[0], row[1]


def _overtaken(session: Session, chain: bytes, before: datetime) -> list[bytes]:
    """What entries of this chain rest on that a leave before this moment ended, list by list."""
    bodies = session.scalars(select(LedgerEntry.body).where(LedgerEntry.chain == chain).order_by(LedgerEntry.seq))
    open_: dict[str, list[bytes]] = {}
    over: list[bytes] = []
    for fact in map(json.loads, bodies):
        slug = fact.get("list")
        if slug is None or datetime.fromisoformat(fact["at"]) >= before:
            continue
        if "evidence" in fact:
            open_.setdefault(slug, []).append(bytes.fromhex(fact["evidence"]))
        # Who left and asks again stays `left` until they answer: that ends nothing.
        if fact.get("state") in _ENDED and fact["event"] != Event.ASK.value:
            over += open_.pop(slug, [])
    return over


def _deleted(session: Session, which: object) -> int:
    statement = delete(Evidence).where(which)  # type: ignore[arg-type]
    return changed(session.execute(statement, execution_options={"synchronize_session": False}))
