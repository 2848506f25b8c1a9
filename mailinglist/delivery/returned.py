"""What came back, as it is shown: by bulletin, by domain, by what servers said, and of one person. It reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from ..bulletins.tables import Bulletin
from ..consent.states import State
from ..consent.tables import MailingList, Person, Subscription
from ..db import among
from . import bounces, outcomes
from .tables import Bounce, Complaint, Dispatch
from .verdicts import Verdict

_KINDS = 2000
"""Different answers that are told apart."""
_TOLD_APART = 80  # characters at the beginning of an answer


# ── of one person ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Failed:
    """A mail to somebody that failed."""

    mailed_at: datetime
    list: str | None
    subject: str | None
    """Of a bulletin; none: a letter."""
    verdict: str
    code: int | None
    status: str | None
    words: str | None
    """What the mail server said, while it is kept."""


@dataclass(frozen=True, slots=True)
class Complained:
    """A mail that somebody told their mailbox provider is unwanted."""

    at: datetime
    list: str | None
    subject: str | None
    provider: str


def failed(session: Session, person_id: int, *, limit: int | None = None) -> list[Failed]:
    """The person's mails that failed, newest first."""
    rows = session.execute(
        select(
            Bounce.mailed_at, MailingList.slug, Bulletin.subject, Bounce.verdict, Bounce.code, Bounce.status,
            Bounce.words,
        )
        .outerjoin(MailingList, MailingList.id == Bounce.list_id)
        .outerjoin(Bulletin, and_(Bounce.bulletin_id > 0, Bulletin.id == Bounce.bulletin_id))
        .where(Bounce.person_id == person_id)
        .order_by(Bounce.mailed_at.desc(), Bounce.id.desc())
        .limit(limit)
    )  # fmt: skip
    return [Failed(*row) for row in rows]


def complained(session: Session, person_id: int) -> list[Complained]:
    """What the person complained about, newest first."""
    rows = session.execute(
        select(Complaint.at, MailingList.slug, Bulletin.subject, Complaint.provider)
        .outerjoin(MailingList, MailingList.id == Complaint.list_id)
        .outerjoin(Bulletin, and_(Complaint.bulletin_id > 0, Bulletin.id == Complaint.bulletin_id))
        .where(Complaint.person_id == person_id)
        .order_by(Complaint.id.desc())
    )
    return [Complained(*row) for row in rows]


# ── who can't be reached ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Unreached:
    """Somebody on a list who can't be reached."""

    person_id: int
    address: str
    since: datetime
    verdict: str | None
    """What the last mail that failed said; None: no such mail is on record."""
    words: str | None


def unreached(session: Session, list_id: int, *, after: int = 0, limit: int = 50) -> list[Unreached]:
    """Who on a list can't be reached, in the order of their numbers, above one."""
    rows = session.execute(
        select(Person.id, Person.mailbox, Subscription.since)
        .join(Subscription, Subscription.person_id == Person.id)
        .where(
            Subscription.list_id == list_id, Subscription.state == State.UNDELIVERABLE.value, Person.id > after
        )
        .order_by(Person.id)
        .limit(limit)
    ).all()  # fmt: skip
    last = _last_words(session, [row.id for row in rows])
    return [Unreached(number, address, since, *last.get(number, (None, None))) for number, address, since in rows]


def _last_words(session: Session, persons: Collection[int]) -> Mapping[int, tuple[str, str | None]]:
    rows = session.execute(
        select(Bounce.person_id, Bounce.verdict, Bounce.words)
        .where(among(Bounce.person_id, persons), Bounce.verdict != Verdict.SENDER.value)
        .order_by(Bounce.mailed_at, Bounce.id)
    )
    return {person: (verdict, words) for person, verdict, words in rows}


# ── counted ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class OfBulletin:
    """What came back of one bulletin."""

    id: int
    subject: str
    began_at: datetime
    audience: int
    dead: int
    mailbox: int
    sender: int
    complaints: int

    @property
    def failed(self) -> int:
        """Mails that failed, for whatever reason."""
        return self.dead + self.mailbox + self.sender


def by_bulletin(session: Session, list_id: int, *, limit: int = 10) -> list[OfBulletin]:
    """The latest bulletins of a list that were sent, the newest first."""
    sent = session.execute(
        select(Dispatch.bulletin_id, Bulletin.subject, Dispatch.began_at, Dispatch.audience)
        .join(Bulletin, Bulletin.id == Dispatch.bulletin_id)
        .where(Dispatch.list_id == list_id, Dispatch.began_at.is_not(None))
        .order_by(Dispatch.began_at.desc())
        .limit(limit)
    ).all()
    numbers = [row.bulletin_id for row in sent]
    counted = {
        (bulletin, verdict): number
        for bulletin, verdict, number in session.execute(
            select(Bounce.bulletin_id, Bounce.verdict, func.count())
            .where(Bounce.bulletin_id.in_(numbers))
            .group_by(Bounce.bulletin_id, Bounce.verdict)
        )
    }
    unwanted = dict(
        session.execute(
            select(Complaint.bulletin_id, func.count())
            .where(Complaint.bulletin_id.in_(numbers))
            .group_by(Complaint.bulletin_id)
        ).all()
    )
    return [
        OfBulletin(
            number, subject, began_at, audience or 0, counted.get((number, Verdict.DEAD.value), 0),
            counted.get((number, Verdict.MAILBOX.value), 0), counted.get((number, Verdict.SENDER.value), 0),
            unwanted.get(number, 0),
        )
        for number, subject, began_at, audience in sent
        if began_at is not None
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Later:
    """What came of one bulletin's mails after servers had taken them."""

    reported: int
    """Came back."""
    complaints: int


def of_bulletin(session: Session, bulletin_id: int) -> Later:
    """What came of one bulletin's mails after servers had taken them."""
    came = (Bounce.bulletin_id == bulletin_id, Bounce.origin == bounces.REPORT)
    return Later(
        session.scalar(select(func.count()).select_from(Bounce).where(*came)) or 0,
        session.scalar(select(func.count()).select_from(Complaint).where(Complaint.bulletin_id == bulletin_id)) or 0,
    )


@dataclass(frozen=True, slots=True)
class OfDomain:
    """What came back from one domain."""

    domain: str
    """Empty: of persons who are erased."""
    counts: Mapping[str, int]
    """By verdict."""

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts.values())


def by_domain(session: Session, list_id: int, *, since: datetime, limit: int = 20) -> list[OfDomain]:
    """The domains from which most came back since then."""
    rows = session.execute(
        select(Bounce.domain, Bounce.verdict, func.count())
        .where(Bounce.list_id == list_id, Bounce.at > since)
        .group_by(Bounce.domain, Bounce.verdict)
    )
    found: dict[str, dict[str, int]] = {}
    for domain, verdict, number in rows:
        found.setdefault(domain, {})[verdict] = number
    every = sorted((OfDomain(domain, counts) for domain, counts in found.items()), key=lambda each: -each.total)
    return every[:limit]


@dataclass(frozen=True, slots=True)
class Said:
    """A kind of answer with which servers refused mails, or reports told of it."""

    verdict: str
    code: str
    """The enhanced status code, else the reply code; empty: neither."""
    number: int
    words: str | None
    """What one of the servers said; none: it is not kept any more."""


def by_answer(session: Session, list_id: int, *, since: datetime, limit: int = 30) -> Sequence[Said]:
    """What servers said since then, alike answers together, the commonest first."""
    begin = func.substr(Bounce.words, 1, _TOLD_APART)
    rows = session.execute(
        select(Bounce.verdict, Bounce.status, Bounce.code, begin, func.count(), func.min(Bounce.words))
        .where(Bounce.list_id == list_id, Bounce.at > since)
        .group_by(Bounce.verdict, Bounce.status, Bounce.code, begin)
        .order_by(func.count().desc())
        .limit(_KINDS)
    )
    numbers: Counter[tuple[str, str, str]] = Counter()
    words: dict[tuple[str, str, str], str | None] = {}
    for verdict, status, code, start, number, example in rows:
        key = (verdict, status or str(code or ""), outcomes.alike(start or ""))
        numbers[key] += number
        words.setdefault(key, example)
    return [Said(key[0], key[1], number, words[key]) for key, number in numbers.most_common(limit)]
