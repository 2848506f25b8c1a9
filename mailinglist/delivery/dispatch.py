"""A bulletin on its way: scheduled, sending, paused, sent, cancelled; its audience and its account. The only writer
of dispatches.

audience = accepted + deferred + rejected + excluded + uncertain + pending

The audience is written down when the sending begins; the others but `accepted` are counted, each in an index of few
rows, and accepted is what remains. So a look at a million costs what it has of exceptions. Rows are never deleted, and
`finish` counts every one of them, once: were one missing, the bulletin's trouble would say so.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import exists, func, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from .. import db, observe
from ..bulletins import approvals, drafts
from ..consent import gate
from ..consent.tables import MailingList
from ..errors import Fault, MailinglistError, NotAllowed
from ..stationery.sentences import Sentence
from ..stationery.sentences import noted as _
from . import account, audience_query, handoffs, troubles
from .tables import RARE_STATES, Dispatch, Hold

_log = observe.logger(__name__)

_CALLED_OFF_AT_ONCE = 20_000
"""Rows of a cancelled bulletin that one sweep makes: a quarter of a second on a quiet machine."""

_HELD = exists().where(Hold.list_id == Dispatch.list_id, Hold.lifted_at.is_(None))
"""SQL: too many complained of the list's bulletins; `complaints` writes that down, and lets them go on."""

_MOVES = {
    "pause": (("scheduled", "sending"), "paused"),
    "cancel": (("scheduled", "sending", "paused"), "cancelled"),
}


@dataclass(frozen=True, slots=True)
class Status:
    """A bulletin's state and its account."""

    state: str
    audience: int
    accepted: int
    deferred: int
    rejected: int
    excluded: int
    uncertain: int
    pending: int
    first_at: datetime | None
    last_at: datetime | None
    due_at: datetime | None
    trouble: str | None
    held: bool = False
    """It stands still, with all of its list, since too many complained."""
    ready_at: datetime | None = None
    """Since when nothing but the worker has kept it from beginning (`ready_at`)."""


def send(
    session: Session,
    bulletin_id: int,
    *,
    sender: str,
    by: str,
    at: datetime | None,
    publishers: Collection[int],
    now: datetime,
) -> Dispatch:
    """Approve (if that is still to be done) and schedule a bulletin; `at` None or past: at once.

    `sender` is From, where the list has none of its own; `publishers`: the accounts that may approve. The rule of the
    second person holds now, whatever it was at the approval. Raises Unknown, NotAllowed.
    """
    bulletin = drafts.find(session, bulletin_id)
    if session.get(Dispatch, bulletin_id) is not None:
        raise NotAllowed(f"Bulletin {bulletin_id} has been given to be sent already.")
    if approvals.issue_of(session, bulletin_id) is None:
        row = session.get_one(MailingList, bulletin.list_id)
        approvals.approve(
            session, bulletin, sender=drafts.sender_of(row, sender), by=by, publishers=publishers, now=now
        )
    approvals.give_out(session, bulletin_id, now=now)
    approval = approvals.approval_of(session, bulletin_id)
    row = session.get_one(MailingList, bulletin.list_id)
    if approvals.wants_second(row, publishers) and (
        approval is None or approvals.only_seen_by(session, bulletin, approval.account_id, publishers)
    ):
        raise NotAllowed(_("Have it approved by somebody else."))
    # `begin_due` goes by the database's clock: one that is ahead of it must not make “at once” a while.
    at_once = min(now, db.clock(session))
    dispatch = Dispatch(bulletin_id=bulletin_id, list_id=bulletin.list_id, state="scheduled", due_at=at or at_once)
    session.add(dispatch)
    session.flush()
    db.ring(session, db.BULLETINS)
    return dispatch


def begin_due(session: Session, *, now: datetime) -> list[int]:
    """Begin what is scheduled and due: its audience is written down. Returns the bulletins begun."""
    due = session.scalars(
        select(Dispatch)
        .where(Dispatch.state == "scheduled", Dispatch.due_at <= now, ~_HELD)
        .order_by(Dispatch.due_at)
        .with_for_update(skip_locked=True)
    ).all()
    begun = []
    for dispatch in due:
        # One that can't begin holds up no other, and says why; a savepoint each, so that nothing of it stays behind.
        try:
            with session.begin_nested():
                _begin(session, dispatch, now=now)
        except OperationalError:  # the database's trouble, not this bulletin's: tried again
            raise
        except MailinglistError as error:
            dispatch.trouble = str(error)[:500]
        except Exception as error:
            _log.error("bulletin_cannot_begin", bulletin=dispatch.bulletin_id, exc_info=error)
            # Its name only: what an exception says can hold what is in the register.
            dispatch.trouble = f"It could not begin ({type(error).__name__}): the worker's log says more."
        else:
            begun.append(dispatch.bulletin_id)
    session.flush()
    return begun


def _begin(session: Session, dispatch: Dispatch, *, now: datetime) -> None:
    issue = approvals.issue_of(session, dispatch.bulletin_id)
    if issue is None:
        raise Fault(f"Bulletin {dispatch.bulletin_id} is not approved.")
    row = session.get_one(MailingList, dispatch.list_id)
    zone = approvals.issue_imprint(issue, row).get("time_zone")
    members = audience_query.members_of(session, dispatch.list_id, issue.audience, zone=zone)
    dispatch.audience = handoffs.fan_out(
        session, bulletin_id=dispatch.bulletin_id, list_id=dispatch.list_id, members=members
    )
    dispatch.state, dispatch.began_at = "sending", now
    session.flush()


def call_off_cancelled(session: Session, *, now: datetime) -> None:
    """What came back to a cancelled bulletin while it was being cancelled does not wait for another try; and who had no
    row yet gets one, some at each call."""
    rows = session.scalars(
        select(Dispatch.bulletin_id).where(Dispatch.state == "cancelled", account.open_rows(Dispatch.bulletin_id))
    )
    for bulletin_id in rows.all():
        handoffs.call_off(session, bulletin_id, now=now)
        handoffs.call_off_parts(session, bulletin_id, most=_CALLED_OFF_AT_ONCE, now=now)
    uncounted = (Dispatch.state == "cancelled", Dispatch.rows.is_(None), Dispatch.audience.is_not(None))
    for dispatch in session.scalars(select(Dispatch).where(*uncounted).with_for_update(skip_locked=True)).all():
        if not account.unfinished(session, dispatch.bulletin_id):
            _count(session, dispatch)


_WAITS = "Nothing goes until opt-outs that were answered are entered: the worker does that, or its log says why not."
_STANDS = "Its list is held: too many recipients complained. A publisher looks into it, and lets it go on."


def come_back(session: Session, copy_of: datetime, *, now: datetime) -> tuple[int, int]:
    """After a restore: every bulletin that was scheduled or being sent is paused, and says why; what was open of all
    mails is uncertain. A person decides. Returns how many bulletins, and how many mails."""
    cancelled = session.scalars(select(Dispatch.bulletin_id).where(Dispatch.state == "cancelled")).all()
    uncertain = handoffs.come_back(session, cancelled, now=now)
    trouble = troubles.restored(f"{copy_of:%Y-%m-%d %H:%M} UTC")
    paused = session.execute(
        update(Dispatch).where(Dispatch.state.in_(("scheduled", "sending", "paused"))).values(trouble=trouble)
    )
    session.execute(update(Dispatch).where(Dispatch.state.in_(("scheduled", "sending"))).values(state="paused"))
    return db.changed(paused), uncertain


def moving(session: Session) -> list[int]:
    """Bulletins with rows that may go: those being sent, and those sent that still have deferred rows. Of a list that
    is held, only those that have nothing left to go, so that they come to their end."""
    return list(
        session.scalars(
            select(Dispatch.bulletin_id)
            .where(
                (Dispatch.state == "sending") | ((Dispatch.state == "sent") & account.open_rows(Dispatch.bulletin_id)),
                ~_HELD | ~account.open_rows(Dispatch.bulletin_id),
            )
            .order_by(Dispatch.due_at)
        )
    )


def state_of(session: Session, bulletin_id: int) -> str | None:
    """The dispatch's state as it is now."""
    return session.scalar(select(Dispatch.state).where(Dispatch.bulletin_id == bulletin_id))


def goes_on(session: Session, bulletin_id: int) -> bool:
    """Whether mails of the bulletin may go now: it is neither paused nor cancelled, its list is not held, and no
    opt-out that was answered waits to be entered."""
    wanted = select(Dispatch.state).where(Dispatch.bulletin_id == bulletin_id, ~_HELD, ~gate.opt_outs_wait())
    return session.scalar(wanted) in ("sending", "sent")


def finish(session: Session, bulletin_id: int, *, now: datetime) -> bool:
    """`sent`, once nothing is pending. Returns whether it came to that now."""
    dispatch = _locked(session, bulletin_id)
    if dispatch.state != "sending" or account.unfinished(session, bulletin_id):
        return False
    _count(session, dispatch)
    dispatch.state, dispatch.ended_at, dispatch.trouble = "sent", now, None
    return True


def _count(session: Session, dispatch: Dispatch) -> None:
    """Everybody has a row now: count them, each."""
    dispatch.rows = account.recount(session, dispatch.bulletin_id)
    if dispatch.rows != dispatch.audience:
        _log.error(
            "account_does_not_add_up", bulletin=dispatch.bulletin_id, rows=dispatch.rows, audience=dispatch.audience
        )


def note_trouble(session: Session, bulletin_id: int, trouble: str | None) -> None:
    """Why the bulletin doesn't move, in words; None: it does. Why one was paused stays as it is."""
    session.execute(
        update(Dispatch)
        .where(Dispatch.bulletin_id == bulletin_id, Dispatch.state != "paused")
        .values(trouble=trouble[:500] if trouble else None)
    )


def pause(session: Session, bulletin_id: int, *, trouble: str | None = None) -> None:
    """Stop until `resume`; what is being handed over is settled. `trouble`: why the program itself does so
    (`troubles`). Raises Unknown, NotAllowed."""
    _move(session, bulletin_id, "pause").trouble = trouble[:500] if trouble else None


def cancel(session: Session, bulletin_id: int, *, now: datetime) -> None:
    """Stop for good: who has not been mailed is excluded. Takes effect at once, however many that is: rows that are
    there are excluded here, and the others are made by the sweep. Raises Unknown, NotAllowed."""
    _move(session, bulletin_id, "cancel").ended_at = now
    handoffs.call_off(session, bulletin_id, now=now)


def resume(session: Session, bulletin_id: int, *, now: datetime) -> None:
    """Go on after `pause`. Raises Unknown, NotAllowed."""
    dispatch = _existing(session, bulletin_id)
    if dispatch.state != "paused":
        raise NotAllowed(f"Bulletin {bulletin_id} is {dispatch.state}, not paused.")
    dispatch.state = "sending" if dispatch.began_at else "scheduled"
    dispatch.resumed_at, dispatch.trouble = now, None
    session.flush()
    db.ring(session, db.BULLETINS)


def resolve(
    session: Session, bulletin_id: int, *, resend: bool, by: str, only: Collection[int] | None = None, now: datetime
) -> int:
    """Decide about a bulletin's uncertain mails, or `only` the rows with these ids: they count as accepted, or go once
    more. Returns how many.

    Who may have it already gets it twice by `resend`: that is why a person decides. Raises Unknown, NotAllowed.
    """
    dispatch = _existing(session, bulletin_id)
    if resend and dispatch.state == "cancelled":
        raise NotAllowed(f"Bulletin {bulletin_id} is cancelled: nothing of it is sent again.")
    number = account.resolve(session, bulletin_id, resend=resend, by=by, only=only, now=now)
    if resend and number and dispatch.state == "sent":
        dispatch.state, dispatch.ended_at = "sending", None
        db.ring(session, db.BULLETINS)
    _log.warning("uncertain_resolved", bulletin=bulletin_id, rows=number, resend=resend, by=by)
    return number


def status(session: Session, bulletin_id: int) -> Status:
    """Where a bulletin stands. Raises Unknown."""
    drafts.find(session, bulletin_id)
    dispatch = session.get(Dispatch, bulletin_id)
    if dispatch is None:
        state = "draft" if approvals.issue_of(session, bulletin_id) is None else "approved"
        return Status(state, 0, 0, 0, 0, 0, 0, 0, None, None, None, None)
    found = account.counts(session, bulletin_id)
    first, last = account.acceptances(session, bulletin_id)
    audience = dispatch.audience or 0
    held = (
        dispatch.state in ("scheduled", "sending")
        and session.scalar(select(exists().where(Hold.list_id == dispatch.list_id, Hold.lifted_at.is_(None)))) is True
    )
    waiting, underway = found.pop("waiting"), found.pop("pending") + found.pop("handing")
    counted = {name: found.get(name, 0) for name in RARE_STATES}
    if dispatch.state == "cancelled":
        counted["excluded"] += waiting  # `cancel` said so; the sweep makes their rows
    else:
        underway += waiting
    return Status(
        state=dispatch.state,
        audience=audience,
        accepted=(audience if dispatch.rows is None else dispatch.rows) - underway - sum(counted.values()),
        pending=underway,
        first_at=first,
        last_at=last,
        due_at=dispatch.due_at,
        trouble=_trouble(session, dispatch, held=held),
        held=held,
        ready_at=ready_at(session, dispatch),
        **counted,
    )


def _trouble(session: Session, dispatch: Dispatch, *, held: bool) -> str | None:
    known = _shortfall(dispatch) or troubles.in_english(dispatch.trouble or "")
    if known or held:
        return known or _STANDS
    going = dispatch.state in ("scheduled", "sending")
    return _WAITS if going and session.scalar(select(gate.opt_outs_wait())) else None


def ready_at(session: Session, dispatch: Dispatch) -> datetime:
    """From when on a scheduled bulletin may begin: its time; or when somebody let it, or its list, go on, if that came
    later. Before that nobody is late."""
    lifted = session.scalar(select(func.max(Hold.lifted_at)).where(Hold.list_id == dispatch.list_id))
    return max(filter(None, (dispatch.due_at, dispatch.resumed_at, lifted)))


def reason(session: Session, bulletin_id: int) -> Sentence | None:
    """The trouble of `status`, where it can be said in any language; None: only in those words, or there is none."""
    dispatch = session.get(Dispatch, bulletin_id)
    if dispatch is None or _shortfall(dispatch) is not None:
        return None
    known = troubles.read(dispatch.trouble or "")
    return known.sentence if known is not None else None


def _shortfall(dispatch: Dispatch) -> str | None:
    if dispatch.rows is None or dispatch.rows == dispatch.audience:
        return None
    return f"the account does not add up: {dispatch.rows} rows for an audience of {dispatch.audience}"


def _move(session: Session, bulletin_id: int, verb: str) -> Dispatch:
    dispatch = _existing(session, bulletin_id)
    sources, target = _MOVES[verb]
    # `sent` may have deferred rows, which go on for four days: that can be cancelled too.
    lingering = verb == "cancel" and dispatch.state == "sent" and session.scalar(select(account.open_rows(bulletin_id)))
    if dispatch.state not in sources and not lingering:
        raise NotAllowed(f"Bulletin {bulletin_id} is {dispatch.state}: there is nothing to {verb}.")
    dispatch.state = target
    session.flush()
    return dispatch


def _existing(session: Session, bulletin_id: int) -> Dispatch:
    drafts.find(session, bulletin_id)
    if session.get(Dispatch, bulletin_id) is None:
        raise NotAllowed(f"Bulletin {bulletin_id} has not been given to be sent yet.")
    return _locked(session, bulletin_id)


def _locked(session: Session, bulletin_id: int) -> Dispatch:
    return session.get_one(Dispatch, bulletin_id, with_for_update=True, populate_existing=True)
