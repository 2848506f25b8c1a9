"""A bulletin on its way: watched without reloading, paused, resumed, cancelled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from flask import Response, request, url_for
from sqlalchemy.orm import Session

from ... import db
from ...bulletins.tables import Bulletin
from ...consent.tables import MailingList
from ...delivery import dispatch, outcomes
from ...delivery.dispatch import Status
from ...errors import NotAllowed
from ...staff import accounts
from ...staff.levels import Right
from ...stationery.sentences import noted as _
from .. import figures, pages
from ..guards import Guard, Route
from . import frame, outbox, words_of_bulletins, writing

_SOON, _SELDOM = "every 1s", "every 10s"


@dataclass(frozen=True, slots=True)
class Watched:
    """What the page shows of a bulletin on its way."""

    state: str
    badge: tuple[str, str]
    audience: int
    gone: int
    """Those of the audience who are not pending."""
    share: str
    counts: list[tuple[str, str, str, str]]
    """Each part of the account: its key, its name, its number, and where it is explained (empty: nowhere)."""
    rate: str
    left: str
    due_at: datetime | None
    first_at: datetime | None
    last_at: datetime | None
    soon: bool
    """Its time has come, and it begins in a moment."""
    late: bool
    """It should have begun, and has not."""
    uncertain: int
    held: str
    """Its list, where all of that stands still since too many complained; empty: it doesn't."""
    may_go_on: list[str]
    """Who may let a held list go on, by name."""
    trouble: str
    in_english: bool
    """`trouble` is in words that nobody translated."""
    again: str
    """How often the page looks again; empty: never."""
    zone: str

    @property
    def shown(self) -> str:
        """Stands for what is shown around the account."""
        return f"{self.state}-held" if self.held else self.state


def watched(session: Session, bulletin: Bulletin, status: Status, *, now: datetime) -> Watched:
    """The account of a bulletin that was given to be sent."""
    row = session.get_one(MailingList, bulletin.list_id)
    per_second = outcomes.rate(session, bulletin.id, now=now) if status.state == "sending" and not status.held else 0.0
    gone = status.audience - status.pending
    said = dispatch.reason(session, bulletin.id)
    due, ready = status.due_at, status.ready_at
    return Watched(
        state=status.state,
        badge=words_of_bulletins.state(status.state, held=status.held),
        audience=status.audience,
        gone=gone,
        share=figures.share(gone, status.audience),
        counts=_counts(bulletin.id, status),
        rate=pages.say("%(number)s a second", number=figures.rate(per_second)) if per_second else "",
        left=figures.lasting(status.pending / per_second) if per_second and status.pending else "",
        due_at=due,
        first_at=status.first_at,
        last_at=status.last_at,
        soon=status.state == "scheduled"
        and not status.held
        and ready is not None
        and 0 <= (now - ready).total_seconds() <= 15,
        late=status.state == "scheduled"
        and not status.held
        and ready is not None
        and (now - ready).total_seconds() > 15,
        uncertain=status.uncertain,
        held=row.slug if status.held else "",
        may_go_on=[each.name for each in accounts.publishers(session, now=now)] if status.held else [],
        trouble="" if status.held else pages.say(said.words, **said.values) if said else status.trouble or "",
        in_english=said is None,
        again=_again(status),
        zone=outbox.zone_of(row).key,
    )


def progress(number: int) -> Response:
    """GET: the part of the page that moves; with a new state, what stands around it too."""
    if "HX-Request" not in request.headers:
        return frame.go_to("sending.look", number=number)
    with frame.looking() as session:
        bulletin, _row = outbox.find(session, number)
        status = dispatch.status(session, number)
        found = watched(session, bulletin, status, now=db.utcnow())
    changed = request.args.get("shown") != found.shown
    return frame.part(
        "sending/progress", bulletin=bulletin, watched=found, changed=changed, number=figures.number
    )  # fmt: skip


def pause(number: int) -> Response:
    """POST: stop until it is resumed."""
    with _moved(number, "bulletin_paused") as session:
        dispatch.pause(session, number)
    return frame.go_to("sending.look", pages.say("Paused. What was being handed over is finished."), number=number)


def resume(number: int) -> Response:
    """POST: go on."""
    with _moved(number, "bulletin_resumed") as session:
        dispatch.resume(session, number, now=db.utcnow())
    return frame.go_to("sending.look", pages.say("It goes on."), number=number)


def ask_cancel(number: int) -> Response:
    """GET: whether one means it."""
    with frame.looking() as session:
        bulletin, _row = outbox.find(session, number)
        status = dispatch.status(session, number)
    if status.state in ("draft", "approved"):
        raise NotAllowed(_("This bulletin has not been given to be sent yet."))
    return frame.page(
        "sending/cancel", here="bulletins", bulletin=bulletin, subject=writing.title_of(bulletin), status=status,
        waiting=figures.number(status.pending + status.deferred), accepted=figures.number(status.accepted),
        crumbs=outbox.crumbs(bulletin),
    )  # fmt: skip


def cancel(number: int) -> Response:
    """POST: stop for good."""
    with _moved(number, "bulletin_cancelled") as session:
        dispatch.cancel(session, number, now=db.utcnow())
    return frame.go_to("sending.look", pages.say("Cancelled. Nobody else gets it."), number=number)


@contextmanager
def _moved(number: int, act: str) -> Iterator[Session]:
    """A transaction in which the bulletin moves on, and the audit says so. Raises NotAllowed where it can't."""
    with db.transaction() as session:
        outbox.find(session, number)
        try:
            yield session
        except NotAllowed:
            raise NotAllowed(
                _("The bulletin has moved on meanwhile, so nothing was done. Look where it stands now.")
            ) from None
        writing.note(session, act, number, now=db.utcnow())


def _counts(number: int, status: Status) -> list[tuple[str, str, str, str]]:
    lines = []
    for key in ("accepted", "pending", "deferred", "rejected", "excluded", "uncertain"):
        value = getattr(status, key)
        address = ""
        if value and key in outcomes.LISTED and frame.may("recipients"):
            address = url_for("recipients.look", number=number, state=key)
        lines.append((key, outbox.count_words(key), figures.number(value), address))
    return lines


def _again(status: Status) -> str:
    if status.state in ("scheduled", "sending", "paused") or status.pending:
        return _SOON
    return _SELDOM if status.deferred else ""


_STAFF, _SEND = Guard.STAFF, Right.SEND
ROUTES = (
    Route("GET", "/staff/bulletins/<int:number>/progress", progress, _STAFF, right=Right.SEE, polled=True),
    Route("POST", "/staff/bulletins/<int:number>/pause", pause, _STAFF, right=_SEND),
    Route("POST", "/staff/bulletins/<int:number>/resume", resume, _STAFF, right=_SEND),
    Route("GET", "/staff/bulletins/<int:number>/cancel", ask_cancel, _STAFF, right=_SEND),
    Route("POST", "/staff/bulletins/<int:number>/cancel", cancel, _STAFF, right=_SEND),
)
