"""Disclosures: who outside was given data about whom, and on what ground. The only writer of these rows.

There is no other way out for an address: a list that is exported is for the controller's own use, and bulletins go to
one recipient each. A disclosure without a legal basis is refused, and so is one of a person who has forbidden it (a
`disclosure` ban). Of somebody who has restricted the use of their data nothing is given either, unless one of the
grounds of GDPR 18(2) is named. Recipients are remembered, so that the person can be told of them (GDPR 15(1)(c)), and
they of a correction or an erasure (19).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, delete, func, select
from sqlalchemy.orm import Session

from ..consent import bans, gate
from ..consent.states import Channel, Event
from ..consent.tables import LedgerEntry, Person
from ..errors import BadInput, Banned, NotAllowed, Unknown
from ..staff.audit import Actor
from . import tasks
from .tables import DisclosedPerson, Task
from .tables import Disclosure as Row

FIELDS: tuple[str, ...] = ("address", "name", "language", "subscriptions", "history", "bans", "notes", "mails")
"""What can be handed over. Each is a part of the person's document (`access`)."""
_LONGEST_RECIPIENT, _LONGEST_BASIS, _LONGEST_REFERENCE = 200, 500, 200
SHORTEST_BASIS = 5
"""Characters: what is shorter names no law."""
GROUNDS: Mapping[str, str] = {
    "consent": "the person's consent",
    "claims": "legal claims",
    "others": "protection of the rights of another person",
    "public": "important public interest",
}
"""On what restricted data may be given nevertheless (GDPR 18(2)); the words stand behind the legal basis."""
CORRECTED, ERASED, RESTRICTED = "corrected", "erased", "restricted"
"""What recipients are told of (GDPR 19)."""
_LOOKED_BACK = timedelta(days=25)
RESTRICTED_DATA = "This person has restricted the use of their data: name the ground on which they may be given."
_TOLD: Mapping[str, str] = {
    CORRECTED: "the data were corrected",
    ERASED: "the data were erased",
    RESTRICTED: "the use of the data was restricted",
}


@dataclass(frozen=True, slots=True)
class Disclosure:
    """One disclosure, for show."""

    id: int
    at: datetime
    recipient: str
    basis: str
    fields: tuple[str, ...]
    reference: str
    """The recipient's own case number; empty: none."""
    number: int
    """Of how many persons."""
    who: str


def recipients_of(session: Session, person_id: int) -> list[Disclosure]:
    """Disclosures of this person, newest first. Also of somebody who was erased since."""
    rows = session.scalars(
        select(Row)
        .join(DisclosedPerson, DisclosedPerson.disclosure_id == Row.id)
        .where(DisclosedPerson.person_id == person_id)
        .order_by(Row.id.desc())
    )
    return [_shown(row) for row in rows]


def _shown(row: Row) -> Disclosure:
    return Disclosure(
        row.id, row.at, row.recipient, row.basis, tuple(row.fields), row.reference, row.number, row.who
    )  # fmt: skip


def note(
    session: Session,
    persons: Collection[int],
    *,
    recipient: str,
    basis: str,
    fields: Collection[str],
    reference: str = "",
    ground: str = "",
    by: Actor,
    now: datetime,
) -> Disclosure:
    """Write down that these persons' `fields` are given to `recipient`: before that is done.

    `reference` is the recipient's own case number; `ground` one of GROUNDS, where one of the persons has restricted the
    use of their data. Raises BadInput (no recipient, basis, field or person); Unknown (one of the persons is not in the
    register); Banned (one of them has forbidden disclosure); NotAllowed (one is restricted, and no ground named);
    RegisterUnsound, OptOutsWait.
    """
    recipient, reference = _line(recipient, _LONGEST_RECIPIENT), _line(reference, _LONGEST_REFERENCE)
    basis = _line(basis, _LONGEST_BASIS)
    if not recipient:
        raise BadInput("A disclosure needs its recipient: who gets the data.")
    if len(basis) < SHORTEST_BASIS:
        raise BadInput("A disclosure needs its legal basis: the law or decision that allows it.")
    chosen = [field for field in FIELDS if field in fields]
    if not chosen or len(chosen) != len(set(fields)):
        raise BadInput("Say which data are given: there are address, name, language, subscriptions, history, bans, "
                       "notes and mails.")  # fmt: skip
    if not persons:
        raise BadInput("A disclosure is about somebody.")
    if ground and ground not in GROUNDS:
        raise BadInput("There is no such ground (GDPR 18(2)).")
    gate.assert_entered(session)
    restricted = [_assert_allowed(session, person_id) for person_id in sorted(persons)]
    if any(restricted):
        if not ground:
            raise NotAllowed(RESTRICTED_DATA)
        basis = _line(f"{basis} (restricted data, GDPR 18(2): {GROUNDS[ground]})", _LONGEST_BASIS)
    row = Row(
        at=now, recipient=recipient, basis=basis, fields=chosen, reference=reference, number=len(set(persons)),
        account_id=by.account_id, who=by.who[:200],
    )  # fmt: skip
    session.add(row)
    session.flush()
    session.add_all(DisclosedPerson(disclosure_id=row.id, person_id=person_id) for person_id in sorted(set(persons)))
    session.flush()
    return _shown(row)


def newest(session: Session, *, before_id: int | None = None, limit: int = 50) -> list[Disclosure]:
    """Disclosures, newest first; `before_id` pages on."""
    wanted = select(Row).order_by(Row.id.desc()).limit(limit)
    if before_id is not None:
        wanted = wanted.where(Row.id < before_id)
    return [_shown(row) for row in session.scalars(wanted)]


def part(document: Mapping[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """What of a person's document (`access.document`) is given, by its fields."""
    register = {name: document["register"][name] for name in FIELDS if name in fields and name != "mails"}
    return {**register, **({"mails": document["mails"]} if "mails" in fields else {})}


def tell(session: Session, person_id: int, what: str, *, now: datetime) -> tuple[str, ...]:
    """Open a task for each recipient of this person's data, who is to be told of `what` (GDPR 19). Returns their
    names.

    To be called in the transaction that corrects, erases or restricts; each time opens tasks of its own, since whoever
    has an earlier one in hand may have told the recipient already. The task names the disclosure and the
    recipient's own case number, and no address: of somebody who was erased there is none any more.
    """
    given = recipients_of(session, person_id)
    for each in given:
        reference = f", their reference {each.reference}" if each.reference else ""
        words = (
            f"Tell {each.recipient} that {_TOLD[what]} on {now.date().isoformat()}: person {person_id}, disclosure "
            f"{each.id} of {each.at.date().isoformat()}{reference}."
        )
        tasks.open(
            session, tasks.TELL_RECIPIENT, person_id=person_id, words=words, due_at=tasks.in_a_month(now), now=now
        )
    return tuple(dict.fromkeys(each.recipient for each in given))


def tell_of_imports(session: Session, *, now: datetime) -> int:
    """`tell` of what files of people corrected: imports are taken in on a floor that knows nothing of disclosures, so
    it is read from the ledger afterwards, once a day. Returns of how many persons.

    What was told of since is passed over, by the tasks that were opened for it; these are kept for thirty days at
    least.
    """
    since = now - _LOOKED_BACK
    last = (
        select(func.max(Task.opened_at))
        .where(Task.person_id == Person.id, Task.kind == tasks.TELL_RECIPIENT)
        .scalar_subquery()
    )
    persons = session.execute(
        select(Person.id, Person.chain, func.min(Row.at), last)
        .join(DisclosedPerson, DisclosedPerson.person_id == Person.id)
        .join(Row, Row.id == DisclosedPerson.disclosure_id)
        .group_by(Person.id, Person.chain)
        .order_by(Person.id)
    ).all()
    told = 0
    for person_id, chain, given, opened in persons:
        after = max(given, since, opened or since)
        bodies = session.scalars(select(LedgerEntry.body).where(LedgerEntry.chain == chain))
        facts = (json.loads(body) for body in bodies)
        if any(fact["event"] == Event.IMPORT and datetime.fromisoformat(fact["at"]) > after for fact in facts):
            tell(session, person_id, CORRECTED, now=now)
            told += 1
    return told


def over(session: Session, *, before: datetime) -> int:
    """How many disclosures `clear` would delete."""
    return session.scalar(select(func.count()).select_from(_old(before).subquery())) or 0


def clear(session: Session, *, before: datetime, limit: int) -> int:
    """Delete up to `limit` disclosures from before this moment of which nobody is in the register any more. Returns how
    many went."""
    old = list(session.scalars(_old(before).limit(limit)))
    session.execute(delete(DisclosedPerson).where(DisclosedPerson.disclosure_id.in_(old)))
    session.execute(delete(Row).where(Row.id.in_(old)))
    return len(old)


def _old(before: datetime) -> Select[int]:
    still_here = (
        select(DisclosedPerson.person_id)
        .join(Person, Person.id == DisclosedPerson.person_id)
        .where(DisclosedPerson.disclosure_id == Row.id)
        .exists()
    )
    return select(Row.id).where(Row.at < before, ~still_here).order_by(Row.id)


def _assert_allowed(session: Session, person_id: int) -> bool:
    """Returns whether the person (locked) has restricted the use of their data."""
    person = session.get(Person, person_id, with_for_update=True, populate_existing=True)
    if person is None:
        raise Unknown("This person is not in the register any more.")
    # What is given is of no one list: a ban of one list alone forbids it too.
    forbidden = bans.in_force(session, [person.digest, person.exact_digest])
    if Channel.DISCLOSURE.value in bans.channels_of(forbidden):
        raise Banned("This person has forbidden that data about them are given to others.")
    return person.restricted_at is not None


def _line(text: str, longest: int) -> str:
    text = " ".join(text.split())
    if len(text) > longest or not text.isprintable():
        raise BadInput("That is too long, or holds control characters.")
    return text
