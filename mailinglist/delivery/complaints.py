"""Complaints: somebody told their mailbox provider that a mail is unwanted (RFC 5965, 6650). The only writer of
complaints and holds.

Who complains has left, at once: it is how many people unsubscribe. Providers want fewer than 1 in 1,000, and never 3:
at 0.3 % (and at least five complaints) of one bulletin, or of a list's mails in 30 days, the list is *held*: what is
being sent stands, what is scheduled does not begin, until a publisher lets it go on. From then on only new complaints
count.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from .. import db, observe
from ..consent import register
from ..consent.register import Origin
from ..consent.states import Event
from ..consent.tables import Confirmation, MailingList, Person
from ..errors import NotAllowed
from ..letters import desk
from ..stationery.sentences import noted as _
from . import dispatch, failures
from .handoffs import BULLETIN
from .tables import Complaint, Dispatch, Handoff, Hold

_log = observe.logger(__name__)

WARNED, HELD = 0.001, 0.003
"""Shares of the accepted mails, from which on it is told, and sending is held."""
FEWEST = 5
"""Complaints, below which nothing is held: of 100 recipients, one is 1 %."""
SPAN = timedelta(days=30)

NOTED = "noted"
HOLDS = "held"
"""Noted; and the list is held from now on."""
AGAIN = "again"
"""It had been noted; if the person has joined again since, they stay."""
OLD = "old"
"""The mail is from so long ago that it doesn't count. The person has left all the same."""
UNKNOWN = "unknown"
"""There is no such mail, or it went to nobody in the register."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How many complained, of how many mails that servers took."""

    complaints: int
    mails: int

    @property
    def share(self) -> float:
        """Complaints by mails; 0 where there is none."""
        return self.complaints / self.mails if self.mails else 0.0

    @property
    def warns(self) -> bool:
        """It is worth telling somebody."""
        return self.complaints > 0 and self.share >= WARNED

    @property
    def too_many(self) -> bool:
        """Providers refuse such a sender."""
        return self.complaints > 0 and self.share >= HELD

    @property
    def holds(self) -> bool:
        """Sending has to stop."""
        return self.complaints >= FEWEST and self.too_many


# ── noting ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def note(session: Session, handoff_id: int, provider: str, *, evidence: Origin, now: datetime) -> str:
    """The person whom this mail went to complained about it: they leave its list at once, and it is counted.

    `evidence` is what the report says, without addresses. From a letter that asked for a confirmation it says, too,
    that they did not ask for it: no such letter goes to them for a year. Returns what came of it.
    """
    mail = session.execute(
        select(Handoff.kind, Handoff.about, Handoff.list_id, Handoff.person_id, Handoff.settled_at).where(
            Handoff.id == handoff_id
        )
    ).one_or_none()
    row = session.get(MailingList, mail.list_id) if mail is not None else None
    if mail is None or row is None or not mail.person_id:
        return UNKNOWN
    person = register.locked(session, mail.person_id)
    if session.scalar(select(Complaint.id).where(Complaint.handoff_id == handoff_id)) is not None:
        return AGAIN
    if person is not None:
        if mail.kind == desk.CONFIRM:
            register.mute(session, person, row.slug, now=now)
        register.end(
            session, person, row, Event.LEAVE, source="complaint", origin={"how": "complaint", **evidence},
            by_link=False, now=now,
        )  # fmt: skip
    if mail.settled_at is not None and mail.settled_at < now - failures.REPORTED_WITHIN:
        return OLD
    bulletin_id = mail.about if mail.kind == BULLETIN else 0
    added = (
        db.insert_new(session, Complaint)
        .values(
            handoff_id=handoff_id, bulletin_id=bulletin_id, list_id=row.id, person_id=mail.person_id,
            provider=observe.redact(provider)[:100], at=now,
        )
        .on_conflict_do_nothing()
        .returning(Complaint.id)
    )  # fmt: skip
    if session.scalar(added) is None:
        return AGAIN
    observe.count("complaints")
    return HOLDS if bulletin_id and _hold_if_many(session, row, bulletin_id, now=now) else NOTED


# ── rates ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def of_bulletin(session: Session, bulletin_id: int, *, since: datetime | None = None) -> Rate:
    """How many complained about one bulletin (since then), of all its mails that servers took."""
    wanted = select(func.count()).select_from(Complaint).where(Complaint.bulletin_id == bulletin_id)
    if since is not None:
        wanted = wanted.where(Complaint.at > since)
    return Rate(session.scalar(wanted) or 0, _accepted(session, bulletin_id))


def in_span(session: Session, list_id: int, *, now: datetime) -> Rate:
    """How many persons complained about a list's bulletins in SPAN, of the mails of the bulletins that began in it."""
    # Persons, not reports: whoever has five bulletins could else hold a small list alone.
    wanted = select(func.count(Complaint.person_id.distinct())).where(
        Complaint.list_id == list_id, Complaint.at > _from(session, list_id, now), Complaint.bulletin_id > 0
    )
    mails = 0
    if number := session.scalar(wanted) or 0:
        begun = select(Dispatch.bulletin_id).where(Dispatch.list_id == list_id, Dispatch.began_at > now - SPAN)
        mails = sum(_accepted(session, each) for each in session.scalars(begun).all())
    return Rate(number, mails)


def _accepted(session: Session, bulletin_id: int) -> int:
    known = session.get(Dispatch, bulletin_id) is not None
    return dispatch.status(session, bulletin_id).accepted if known else 0


def count_of(session: Session, person_id: int) -> int:
    """How many complaints came from this person: numbers, which an erasure leaves."""
    return session.scalar(select(func.count()).select_from(Complaint).where(Complaint.person_id == person_id)) or 0


@dataclass(frozen=True, slots=True)
class Complainant:
    """Who complained, and since when they had been on the list."""

    person_id: int
    address: str | None
    """None: they are erased."""
    at: datetime
    joined: datetime | None
    """When they last confirmed, else when they came into the register; None: they are erased."""
    confirmed: bool
    """Whether they confirmed by a letter; else they were imported."""
    provider: str


def complainants(session: Session, hold: Hold, *, limit: int = 50) -> list[Complainant]:
    """Whose complaints hold a list, and who complained since, newest first: each person once for each mail."""
    confirmed = (
        select(func.max(Confirmation.used_at))
        .where(Confirmation.person_id == Complaint.person_id, Confirmation.list_id == hold.list_id)
        .scalar_subquery()
    )
    rows = session.execute(
        select(Complaint.person_id, Person.mailbox, Complaint.at, confirmed, Person.created_at, Complaint.provider)
        .outerjoin(Person, Person.id == Complaint.person_id)
        .where(
            Complaint.list_id == hold.list_id,
            Complaint.at > _from(session, hold.list_id, hold.since),
            Complaint.bulletin_id == hold.bulletin_id if hold.bulletin_id else Complaint.bulletin_id > 0,
        )
        .order_by(Complaint.at.desc(), Complaint.id.desc())
        .limit(limit)
    )
    return [
        Complainant(number, address, at, used or entered, used is not None, provider)
        for number, address, at, used, entered, provider in rows
    ]


# ── holds ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def held(session: Session, list_id: int) -> Hold | None:
    """What holds the list's bulletins now."""
    return session.scalar(select(Hold).where(Hold.list_id == list_id, Hold.lifted_at.is_(None)))


def go_on(session: Session, list_id: int, *, by: str, now: datetime) -> Hold:
    """A publisher has looked into it, and lets the list's bulletins go on. Raises NotAllowed: nothing holds them."""
    hold = session.scalar(select(Hold).where(Hold.list_id == list_id, Hold.lifted_at.is_(None)).with_for_update())
    if hold is None:
        raise NotAllowed(_("Nothing holds the list."))
    hold.lifted_at, hold.lifted_by = now, by[:200]
    session.flush()
    _log.warning("hold_lifted", list=list_id, hold=hold.id)
    db.ring(session, db.BULLETINS)
    return hold


def _from(session: Session, list_id: int, now: datetime) -> datetime:
    """From when on complaints count: SPAN, or since somebody last let the list go on."""
    lifted = session.scalar(select(func.max(Hold.lifted_at)).where(Hold.list_id == list_id))
    return max(now - SPAN, lifted) if lifted else now - SPAN


def _hold_if_many(session: Session, row: MailingList, bulletin_id: int, *, now: datetime) -> bool:
    """Whether the list is held from now on."""
    since = _from(session, row.id, now)
    found = of_bulletin(session, bulletin_id, since=since)
    about = bulletin_id
    if not found.holds:
        found, about = in_span(session, row.id, now=now), 0
    if not found.holds:
        return False
    added = (
        db.insert_new(session, Hold)
        .values(list_id=row.id, bulletin_id=about, complaints=found.complaints, mails=found.mails, since=now)
        .on_conflict_do_nothing()
        .returning(Hold.id)
    )
    if session.scalar(added) is None:
        return False
    _log.warning("list_held", list=row.id, bulletin=about, complaints=found.complaints, mails=found.mails)
    observe.count("lists_held")
    return True
