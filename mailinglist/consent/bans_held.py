"""The bans in force as staff see them: the newest first, by channel, list and source. Reads only.

Of whose ban it is the program holds a keyed digest. Only where somebody in the register has that very address (in small
letters) it can be said who; else nobody can.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from . import bans, ledger, lists
from .keys import assert_sound
from .states import Channel
from .tables import ALL_LISTS, Ban, Evidence, LedgerEntry, Person

A_PAGE = 50


@dataclass(frozen=True, slots=True)
class Held:
    """One ban in force."""

    id: int
    channel: str
    list: str | None
    """The one list that it is about, by its slug; None: all lists."""
    source: str
    given_at: datetime
    note: str
    """What was said or signed, as far as that is still kept."""
    recorded_by: str
    """Who wrote it down, as far as that is still kept."""
    person_id: int | None
    """Whose it is, if that can be said."""
    address: str


def newest(
    session: Session,
    *,
    channel: Channel | None = None,
    list_id: int | None = None,
    source: Collection[str] = (),
    before_id: int | None = None,
    limit: int = A_PAGE,
) -> list[Held]:
    """Bans in force, the newest first; `before_id` pages on.

    `list_id`: of this list alone, ALL_LISTS: of all lists; `source`: those that hold one of these words in it. Raises
    RegisterUnsound.
    """
    assert_sound(session)
    wanted: list[ColumnElement[bool]] = [Ban.lifted_at.is_(None)]
    if channel is not None:
        wanted.append(Ban.channel == channel.value)
    if list_id is not None:
        wanted.append(Ban.list_id == list_id)
    if source:
        wanted.append(or_(*(Ban.source.icontains(words, autoescape=True) for words in source)))
    if before_id is not None:
        wanted.append(Ban.id < before_id)
    rows = session.scalars(select(Ban).where(*wanted).order_by(Ban.id.desc()).limit(limit)).all()
    slugs = lists.slugs(session)
    digests = list({row.digest for row in rows})
    known = {
        digest: (number, mailbox)
        for digest, number, mailbox in session.execute(
            select(Person.digest, Person.id, Person.mailbox).where(Person.digest.in_(digests))
        )
    }
    notes = _notes(session, digests)
    found = []
    for row in rows:
        slug = None if row.list_id == ALL_LISTS else bans.name_of(row.list_id, slugs.get(row.list_id))
        number, mailbox = known.get(row.digest, (None, ""))
        said, by = notes.get((row.digest, row.channel, slug, ledger.moment(row.given_at)), ("", ""))
        found.append(Held(row.id, row.channel, slug, row.source, row.given_at, said, by, number, mailbox))
    return found


def _notes(session: Session, digests: Sequence[bytes]) -> dict[tuple[bytes, str, str | None, str], tuple[str, str]]:
    """What was said and who wrote it down, by digest, channel, list and moment: the ban's entry in the ledger names the
    evidence that has it."""
    bound: dict[bytes, list[tuple[bytes, str, str | None, str]]] = {}
    entries = session.execute(select(LedgerEntry.subject, LedgerEntry.body).where(LedgerEntry.subject.in_(digests)))
    for subject, body in entries:
        fact = json.loads(body)
        if fact["event"] == ledger.BANNED and "evidence" in fact:
            places = [(subject, channel, fact.get("list"), fact["at"]) for channel in fact["channels"]]
            bound.setdefault(bytes.fromhex(fact["evidence"]), []).extend(places)
    kept = session.execute(select(Evidence.digest, Evidence.content).where(Evidence.digest.in_(list(bound))))
    notes = {}
    for digest, content in kept:
        said = json.loads(content)
        told = (str(said.get("evidence") or ""), str(said.get("recorded_by") or ""))
        notes.update(dict.fromkeys(bound[digest], told))
    return notes
