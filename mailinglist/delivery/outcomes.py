"""What became of a bulletin's mails, for the page that watches it and for its report. It reads only.

Everything is counted from the rows that are kept, so a report is the same in a year. What servers and the gate said of
somebody goes when they are erased: such rows are counted without their reason.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, literal_column, select
from sqlalchemy.orm import Session

from .. import db
from ..consent.states import State
from ..consent.tables import Evidence, Person, Subscription
from .handoffs import BULLETIN
from .tables import Handoff

LISTED = ("uncertain", "rejected")
"""States whose recipients may be looked at, by address."""

_WINDOW = timedelta(seconds=10)
# As the partial indexes have them: a database uses one only where it sees that the query is within it.
_RARE = Handoff.state.in_([literal_column(f"'{state}'") for state in ("deferred", "rejected", "excluded", "uncertain")])
_ACCEPTED = Handoff.state == literal_column("'accepted'")
_KINDS = 2000
"""Different answers that are told apart."""
_TOLD_APART = 80  # characters at the beginning of an answer
_ONE_OFF = re.compile(r"\S*[0-9]\S*")
"""Numbers of queues and sessions, links, addresses: what makes the same answer different each time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A kind of answer with which servers refused mails."""

    code: int | None
    """The reply code; none: no server was reached in time."""
    number: int
    words: str | None
    """What one of the servers said; none: it is not kept any more, or these are all the rarer answers together."""
    rare: bool = False
    """These are all the rarer answers together."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One person's mail."""

    id: int
    """The key to page by."""
    person_id: int
    address: str | None
    """None: erased."""
    at: datetime | None
    attempts: int
    code: int | None
    reply: str | None


def answers(
    session: Session, bulletin_id: int, state: str = "rejected", *, total: int, limit: int = 50
) -> list[Answer]:
    """How servers refused (`rejected`) or put off (`deferred`) mails of a bulletin, alike answers together; the
    commonest first, and last, in one, what is rarer than `limit` others. `total`: how many there are."""
    begin = func.substr(Handoff.reply, 1, _TOLD_APART)
    rows = session.execute(
        select(Handoff.code, begin, func.count(), func.min(Handoff.reply))
        .where(*_of(bulletin_id), _RARE, Handoff.state == state)
        .group_by(Handoff.code, begin)
        .order_by(func.count().desc(), Handoff.code, begin)
        .limit(_KINDS)
    )
    numbers: Counter[tuple[int | None, str]] = Counter()
    words: dict[tuple[int | None, str], str] = {}
    for code, start, number, reply in rows:
        key = (code, alike(start or ""))
        numbers[key] += number
        words.setdefault(key, reply)
    found = [Answer(key[0], number, words[key]) for key, number in numbers.most_common(limit)]
    rest = total - sum(each.number for each in found)
    return [*found, Answer(None, rest, None, rare=True)] if rest > 0 else found


def alike(words: str) -> str:
    """What a server said without what is different each time: numbers, links, addresses."""
    return _ONE_OFF.sub("…", words)


def excluded(session: Session, bulletin_id: int) -> list[tuple[str | None, int]]:
    """Why people of the audience were left out, each reason with how many; the commonest first. None: the reason is
    not kept any more. Who has no row yet is not among them."""
    rows = session.execute(
        select(Handoff.reply, func.count())
        .where(*_of(bulletin_id), _RARE, Handoff.state == "excluded")
        .group_by(Handoff.reply)
        .order_by(func.count().desc(), Handoff.reply)
        .limit(100)
    )
    return [(reason, number) for reason, number in rows]


def rate(session: Session, bulletin_id: int, *, now: datetime) -> float:
    """Mails a second that servers took in the last ten seconds, or since the first, where that is less."""
    since = now - _WINDOW
    lately = (*_of(bulletin_id), _ACCEPTED, Handoff.settled_at > since)
    number, first = session.execute(select(func.count(), func.min(Handoff.settled_at)).where(*lately)).one()
    if not number or first is None:
        return 0.0
    if first - since > timedelta(seconds=1):  # it may have begun, or gone on, within the window
        earlier = select(Handoff.id).where(*_of(bulletin_id), _ACCEPTED, Handoff.settled_at <= since).limit(1)
        if session.scalar(earlier) is None:
            since = first
    return number / max(1.0, (now - since).total_seconds())


def left_by_link(session: Session, bulletin_id: int, list_id: int, *, since: datetime) -> int:
    """How many have left the list by this bulletin's own link, and are still away. Known while the evidence of their
    leaving is kept: not of who was erased."""
    away = select(Subscription.person_id).where(
        Subscription.list_id == list_id, Subscription.state == State.LEFT.value, Subscription.since >= since
    )
    filed = select(Evidence.person_id, Evidence.content).where(
        Evidence.person_id.in_(away), Evidence.created_at >= since
    )
    return len({person for person, content in session.execute(filed) if _came_from(content, bulletin_id)})


def recipients(
    session: Session, bulletin_id: int, state: str, *, after_id: int = 0, limit: int = 50
) -> Sequence[Recipient]:
    """Who is in one of the states LISTED, in the order of their rows' ids, above an id."""
    assert state in LISTED
    rows = session.execute(
        select(
            Handoff.id, Handoff.person_id, Person.mailbox, Handoff.settled_at, Handoff.attempts, Handoff.code,
            Handoff.reply,
        )
        .outerjoin(Person, Person.id == Handoff.person_id)
        .where(*_of(bulletin_id), _RARE, Handoff.state == state, Handoff.id > after_id)
        .order_by(Handoff.id)
        .limit(limit)
    )  # fmt: skip
    return [Recipient(*row) for row in rows]


def still_uncertain(session: Session, bulletin_id: int, rows: Collection[int]) -> list[int]:
    """Which of these rows are uncertain mails of the bulletin, in the order of their ids."""
    wanted = select(Handoff.id).where(
        *_of(bulletin_id), _RARE, Handoff.state == "uncertain", db.among(Handoff.id, rows)
    )  # fmt: skip
    return list(session.scalars(wanted.order_by(Handoff.id)))


def _of(bulletin_id: int) -> tuple[ColumnElement[bool], ...]:
    return (Handoff.kind == BULLETIN, Handoff.about == bulletin_id)


def _came_from(content: bytes, bulletin_id: int) -> bool:
    try:
        found = json.loads(content)
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("dispatch") == bulletin_id
