"""What needs a person, list by list: shown on the first page, and mailed to the list's owner once a day. It only reads.

Each question is a look-up in an index, or a count of rows that are few: none grows with the number of subscribers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from ..bulletins import drafts, setting
from ..bulletins.tables import Bulletin
from ..consent import growth, import_jobs, requests
from ..consent.tables import FOREMOST, ImportJob, MailingList, Request
from ..letters import desk
from ..observe import redact
from ..stationery.sentences import Sentence
from ..stationery.sentences import noted as _
from . import bounces, complaints, dispatch, handoffs, troubles
from .tables import Bounce, Complaint, Dispatch, Handoff

LATE = timedelta(minutes=10)
"""A letter that nobody has tried to hand over for so long: somebody is waiting at a screen."""
VAIN = timedelta(hours=1)
"""A letter that servers have put off for so long."""
WEEK = timedelta(days=7)
"""How far back letters that failed are told."""
RECENT = timedelta(days=30)
"""How far back what failed is told; a person who has not looked in this time has decided."""

# Rejections: a bulletin counts from so many recipients on; worth a look from this share on, or at twice the usual one.
_MOST_BULLETINS, _FEWEST, _MUCH, _SOME = 6, 50, 0.05, 0.02
# Failures of addresses on a list: worth a look from so many in a week on, at twice the usual number.
_FEWEST_FAILURES = 10

# Servers' answers may come a while after a bulletin has begun.
_A_DAY = timedelta(days=1)


class Place(StrEnum):
    """Which page of the console a need is met on."""

    BULLETIN = "bulletin"
    IMPORT = "import"
    LIST = "list"
    TASKS = "tasks"
    BOUNCES = "bounces"
    """What came back."""
    COMPLAINTS = "complaints"
    MAIL = "mail"
    """Mails to the list's addresses that wait for a person."""
    PROGRAMS = "programs"
    """Which other systems may call the API."""


@dataclass(frozen=True, slots=True)
class Need:
    """Something that a person has to see to. Names no person."""

    what: Sentence
    mend: Sentence
    place: Place
    about: int
    """The bulletin, the import or the list; of tasks, the list whose owner is told."""
    grave: bool = False
    """Mail doesn't go out, or may have gone twice."""


def of_list(session: Session, row: MailingList, *, now: datetime, since: datetime | None = None) -> list[Need]:
    """What needs a person on one list now, the gravest first.

    What has happened, and nobody can undo, is told for some days; with `since`, only what has happened from then on.
    """
    found = [
        *_held(session, row),
        *_opt_outs(session, row, now),
        *_letters(session, row, now, since or now - WEEK),
        *_stuck(session, row, now),
        *_uncertain(session, row),
        *_approvals(session, row),
        *_imports(session, row, now),
        *_failed(session, row, since - _A_DAY if since else now - 2 * WEEK),
        *_failing(session, row, now),
        *_complained(session, row, now, since or now - complaints.SPAN),
    ]
    return sorted(found, key=lambda need: not need.grave)


# ── bulletins ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _approvals(session: Session, row: MailingList) -> Iterator[Need]:
    for bulletin in drafts.waiting(session, row.id):
        yield Need(
            Sentence(_("“%(subject)s” waits for an approval."), {"subject": _title(bulletin.subject)}),
            Sentence(_("Read it through, and approve it or tell its writer what to change.")),
            Place.BULLETIN,
            bulletin.id,
        )


def _stuck(session: Session, row: MailingList, now: datetime) -> Iterator[Need]:
    if complaints.held(session, row.id) is None:
        yield from _not_moving(session, row, now)
    yield from _paused(session, row)


def _paused(session: Session, row: MailingList) -> Iterator[Need]:
    """By the program itself, which says why; or by somebody, who may have forgotten it."""
    by_hand = session.execute(
        select(Bulletin.id, Bulletin.subject, Dispatch.began_at)
        .join(Dispatch, Dispatch.bulletin_id == Bulletin.id)
        .where(Dispatch.list_id == row.id, Dispatch.state == "paused", Dispatch.trouble.is_(None))
        .order_by(Dispatch.due_at)
    )
    for number, subject, began_at in by_hand:
        what = Sentence(_("“%(subject)s” is paused: nobody has got it yet."), {"subject": _title(subject)})
        if began_at is not None:
            status = dispatch.status(session, number)
            values: dict[str, str | int] = {"subject": _title(subject), "number": status.pending + status.deferred}
            what = Sentence(_("“%(subject)s” is paused. Recipients who wait for it: %(number)s."), values)
        mend = Sentence(_("Let it go on, or cancel it. It stays paused until somebody decides."))
        yield Need(what, mend, Place.BULLETIN, number)
    paused = session.execute(
        select(Bulletin.id, Bulletin.subject, Dispatch.trouble)
        .join(Dispatch, Dispatch.bulletin_id == Bulletin.id)
        .where(Dispatch.list_id == row.id, Dispatch.state == "paused", Dispatch.trouble.is_not(None))
        .order_by(Dispatch.due_at)
    )
    for number, subject, trouble in paused:
        known = troubles.read(trouble or "")
        yield Need(
            known.of(_title(subject))
            if known is not None
            else Sentence(
                _("“%(subject)s” stands still: %(trouble)s"),
                {"subject": _title(subject), "trouble": redact(trouble or "")},
            ),
            Sentence(_("See to what it says, and then let it go on. Nothing is lost.")),
            Place.BULLETIN,
            number,
            grave=True,
        )


def _not_moving(session: Session, row: MailingList, now: datetime) -> Iterator[Need]:
    late = (Dispatch.state == "scheduled") & (Dispatch.due_at < now - LATE)
    moving = Dispatch.state.in_(("scheduled", "sending")) & Dispatch.trouble.is_not(None)
    rows = session.execute(
        select(Bulletin.id, Bulletin.subject, Dispatch)
        .join(Dispatch, Dispatch.bulletin_id == Bulletin.id)
        .where(Dispatch.list_id == row.id, Dispatch.state.in_(("scheduled", "sending")), or_(late, moving))
        .order_by(Dispatch.due_at)
    )
    for number, subject, given in rows:
        trouble = given.trouble
        if not trouble and dispatch.ready_at(session, given) >= now - LATE:
            continue
        what = (
            Sentence(
                _("“%(subject)s” doesn't move: %(trouble)s"), {"subject": _title(subject), "trouble": redact(trouble)}
            )
            if trouble
            else Sentence(_("“%(subject)s” should be on its way, and nobody has begun."), {"subject": _title(subject)})
        )
        mend = Sentence(_("Pause it, or tell who looks after the program and the mail server. Nothing is lost."))
        yield Need(what, mend, Place.BULLETIN, number, grave=True)


def _uncertain(session: Session, row: MailingList) -> Iterator[Need]:
    of_this = select(Dispatch.bulletin_id).where(Dispatch.list_id == row.id)
    rows = session.execute(
        select(Handoff.about, Bulletin.subject, func.count())
        .join(Bulletin, Bulletin.id == Handoff.about)
        .where(Handoff.kind == handoffs.BULLETIN, Handoff.about.in_(of_this))
        .where(handoffs.RARE, Handoff.state == "uncertain")
        .group_by(Handoff.about, Bulletin.subject)
        .order_by(Handoff.about.desc())
    )
    for number, subject, count in rows:
        values: dict[str, str | int] = {"subject": _title(subject), "number": count}
        yield Need(
            Sentence(_("“%(subject)s”: mails of which nobody knows whether they arrived: %(number)s."), values),
            Sentence(_("Decide whether they count as sent, or go once more. Some would then get it twice.")),
            Place.BULLETIN,
            number,
            grave=True,
        )


def _failed(session: Session, row: MailingList, since: datetime) -> Iterator[Need]:
    """The newest bulletin, beside those before it: what was refused, and what came back afterwards."""
    sent = [
        (number, audience or 0, subject, began)
        for number, audience, subject, began in session.execute(
            select(Dispatch.bulletin_id, Dispatch.audience, Bulletin.subject, Dispatch.began_at)
            .join(Bulletin, Bulletin.id == Dispatch.bulletin_id)
            .where(Dispatch.list_id == row.id, Dispatch.began_at.is_not(None), Dispatch.audience >= _FEWEST)
            .order_by(Dispatch.began_at.desc())
            .limit(_MOST_BULLETINS)
        )
    ]
    if not sent or sent[0][3] is None or sent[0][3] < since:
        return
    counted = (
        select(Handoff.about, func.count())
        .where(Handoff.kind == handoffs.BULLETIN, Handoff.about.in_([number for number, *_rest in sent]))
        .where(handoffs.RARE, Handoff.state == "rejected")
        .group_by(Handoff.about)
    )
    failed = Counter(dict(session.execute(counted).all()))
    reported = (
        select(Bounce.bulletin_id, func.count())
        .where(Bounce.bulletin_id.in_([number for number, *_rest in sent]), Bounce.origin == bounces.REPORT)
        .group_by(Bounce.bulletin_id)
    )
    failed.update(dict(session.execute(reported).all()))
    shares = [failed[number] / audience for number, audience, *_rest in sent]
    usual = sum(shares[1:]) / len(shares[1:]) if shares[1:] else _MUCH / 2
    if shares[0] >= _MUCH or (shares[0] >= _SOME and shares[0] >= 2 * usual):
        number, audience, subject, _began = sent[0]
        values: dict[str, str | int] = {
            "subject": _title(subject), "number": failed[number], "audience": audience,
        }  # fmt: skip
        yield Need(
            Sentence(_("“%(subject)s”: %(number)s of %(audience)s could not be delivered, more than usual."), values),
            Sentence(_("Look at the servers' answers: addresses may be gone, or our mail may be taken for spam.")),
            Place.BULLETIN,
            number,
        )


def _held(session: Session, row: MailingList) -> Iterator[Need]:
    hold = complaints.held(session, row.id)
    if hold is not None:
        values: dict[str, str | int] = {"complaints": hold.complaints, "mails": hold.mails}
        yield Need(
            Sentence(
                _("Sending is held: %(complaints)s of %(mails)s recipients reported our mail as unwanted."), values
            ),
            Sentence(_("Find out why, and then let it go on. Mailbox providers refuse those of whom many complain.")),
            Place.COMPLAINTS,
            row.id,
            grave=True,
        )


def _complained(session: Session, row: MailingList, now: datetime, since: datetime) -> Iterator[Need]:
    """Of the last 30 days; told again only when there are new ones."""
    newest = session.scalar(
        select(Complaint.at).where(Complaint.list_id == row.id).order_by(Complaint.at.desc()).limit(1)
    )
    if newest is None or newest <= since or complaints.held(session, row.id) is not None:
        return
    found = complaints.in_span(session, row.id, now=now)
    if found.warns:
        values: dict[str, str | int] = {"complaints": found.complaints, "mails": found.mails}
        yield Need(
            Sentence(
                _("Of %(mails)s mails in 30 days, %(complaints)s were reported as unwanted: more than 1 in 1,000."),
                values,
            ),
            Sentence(_("Did they want it, and is the link to leave easy to find? At 3 in 1,000 sending is held.")),
            Place.COMPLAINTS,
            row.id,
        )


def _opt_outs(session: Session, row: MailingList, now: datetime) -> Iterator[Need]:
    """Of every list: whom they are about only their tokens say."""
    if number := requests.stuck(session, before=now - LATE):
        yield Need(
            Sentence(
                _("People who were told that they have left, and are not entered yet: %(number)s. No bulletin goes."),
                {"number": number},
            ),
            Sentence(_("Tell who looks after the program: the worker's log says why.")),
            Place.LIST,
            row.id,
            grave=True,
        )


# ── letters ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _letters(session: Session, row: MailingList, now: datetime, since: datetime) -> Iterator[Need]:
    waiting = session.scalar(
        select(func.count()).where(
            Request.taken_at.is_(None),
            Request.not_before < now - LATE,
            Request.not_before > FOREMOST,  # an opt-out that is kept brings no letter
            Request.list_id == row.id,
        )
    )  # fmt: skip
    ours = (Handoff.kind.in_(desk.KINDS), Handoff.list_id == row.id)
    untried = Handoff.first_tried_at.is_(None) & (Handoff.not_before < now - LATE)
    late = session.scalar(
        select(func.count()).where(*ours, handoffs.OPEN, or_(untried, Handoff.first_tried_at < now - VAIN))
    )
    if number := (waiting or 0) + (late or 0):
        yield Need(
            Sentence(_("Letters that don't leave: %(number)s. People wait for them."), {"number": number}),
            Sentence(_("Tell who looks after the program: the worker or the mail server may have stopped.")),
            Place.LIST,
            row.id,
            grave=True,
        )
    failed = session.execute(
        select(Handoff.state, func.count())
        .where(*ours, handoffs.RARE, Handoff.state.in_(("rejected", "uncertain")), Handoff.settled_at > since)
        .group_by(Handoff.state)
    )
    words = {
        "rejected": _("Letters that mail servers rejected lately: %(number)s."),
        "uncertain": _("Letters sent lately of which nobody knows whether they arrived: %(number)s."),
    }
    for state, count in failed:
        yield Need(
            Sentence(words[state], {"number": count}),
            Sentence(_("Most are mistyped addresses. Who asks again gets a new letter; many at once want a look.")),
            Place.LIST,
            row.id,
        )


# ── the register ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _imports(session: Session, row: MailingList, now: datetime) -> Iterator[Need]:
    ours = (ImportJob.list_id == row.id, ImportJob.created_at > now - RECENT)
    failed = session.scalars(select(ImportJob.id).where(*ours, ImportJob.state == import_jobs.FAILED))
    for number in failed:
        yield Need(
            Sentence(_("Import %(number)s failed."), {"number": number}),
            Sentence(_("Its page says why. Mend the file, and take it in again.")),
            Place.IMPORT,
            number,
        )
    undecided = select(ImportJob.id).where(
        *ours, ImportJob.state == import_jobs.CHECKED, ImportJob.created_at < now - timedelta(days=1)
    )
    for number in session.scalars(undecided):
        yield Need(
            Sentence(_("Import %(number)s has been looked through, and nobody has taken it in."), {"number": number}),
            Sentence(_("Take it in, or give it up: until then the file with its addresses lies here.")),
            Place.IMPORT,
            number,
        )


def _failing(session: Session, row: MailingList, now: datetime) -> Iterator[Need]:
    today = now.date()
    days = growth.by_day(session, row.id, since=today - timedelta(days=34), until=today)
    failures = [day.undeliverable for day in days]
    week, usual = sum(failures[-7:]), sum(failures[:-7]) / 4
    if week >= _FEWEST_FAILURES and week >= 2 * usual:
        values: dict[str, str | int] = {"number": week, "usual": round(usual)}
        yield Need(
            Sentence(
                _("Addresses that became undeliverable in the last 7 days: %(number)s; usually %(usual)s a week."),
                values,
            ),
            Sentence(_("Look at the reports of the last bulletins. A mail server may be refusing all our mail.")),
            Place.BOUNCES,
            row.id,
        )


def _title(subject: str) -> str:
    """A subject for a sentence: short, and never nothing."""
    title = setting.title(subject)
    return (title[:77] + "…" if len(title) > 78 else title) or "–"
