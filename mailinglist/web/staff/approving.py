"""Approval: asked for, given and taken back, each about the very revision that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import Response, request
from sqlalchemy.orm import Session

from ... import db, preflight
from ...bulletins import approvals, drafts, imprint
from ...bulletins.tables import Approval, Bulletin
from ...consent.tables import MailingList
from ...errors import NotAllowed
from ...staff import accounts
from ...staff.levels import Right
from ...stationery.sentences import noted as _
from .. import pages
from ..guards import Guard, Route
from . import frame, words_of_bulletins, writing
from .words_of_bulletins import Shown

_DESK = "sending.look"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the approval of a bulletin stands, for who looks at it."""

    approval: Approval | None
    """The one in force."""
    void: Approval | None
    """The latest, when a change made it void."""
    changes: list[Shown]
    """What changed since that one."""
    asked_by: str
    """Who asked for it; empty: nobody by name."""
    second: bool
    """Whether another person than who wrote in it has to approve."""
    own: bool
    """Whether who looks changed it, and nobody else who may approve did so since."""
    others: list[str]
    """Who else may approve, by name."""
    writer: tuple[str, str] | None
    """Name and address of the colleague who asked for the approval, else of who changed it last; None: it is whoever
    looks, or nobody who works here now."""
    shown: str
    """Stands for what of the list's settings an approval would freeze."""


def standing(session: Session, bulletin: Bulletin, row: MailingList, *, now: datetime) -> Standing:
    """Where the approval of a bulletin of the list `row` stands."""
    able = accounts.publishers(session, now=now)
    publishers = [each.id for each in able]
    me = frame.standing().account.id
    approval = approvals.approval_of(session, bulletin.id)
    latest = next(iter(approvals.approvals(session, bulletin.id)), None)
    void = latest if approval is None and latest is not None else None
    everybody = {each.id: each for each in accounts.every(session)}
    asked = everybody[bulletin.asked_by].name if bulletin.asked_by in everybody else ""
    wrote = everybody.get((bulletin.asked_by if bulletin.asked_at else None) or bulletin.changed_by or 0)
    theirs = wrote is not None and wrote.id != me and accounts.usable(wrote, now)
    return Standing(
        approval=approval,
        void=void,
        changes=words_of_bulletins.changes(approvals.changed_since(session, void)) if void else [],
        asked_by=asked if bulletin.asked_at else "",
        second=approvals.wants_second(row, publishers),
        own=approvals.only_seen_by(session, bulletin, me, publishers),
        others=[
            each.name
            for each in able
            if each.id != me and not approvals.only_seen_by(session, bulletin, each.id, publishers)
        ],
        writer=(wrote.name, wrote.address) if wrote is not None and theirs else None,
        shown=imprint.digest(approvals.imprint_now(session, bulletin)),
    )


def ask(number: int) -> Response:
    """POST: say that it is ready."""
    now = db.utcnow()
    with db.transaction() as session:
        approvals.ask_approval(session, writing.find(session, number), by=writing.author(), now=now)
        writing.note(session, "approval_asked", number, now=now)
    return frame.go_to(_DESK, pages.say("Approval is asked for. Publishers see it on their first page."), number=number)


def approve(number: int) -> Response:
    """POST: freeze content, audience and what of the list's settings shows, as they were looked at.

    Every error keeps it from that, and so does every warning that was not acknowledged; links and domains are asked
    once more, outside of any transaction.
    """
    # One box stands for what was found alike in several versions: its value holds all their keys.
    seen, acknowledged = request.form.get("revision", ""), " ".join(request.form.getlist("acknowledged")).split()
    with frame.looking() as session:
        bulletin = writing.find(session, number)
        examined = bulletin.revision
        _assert_may(session, bulletin, db.utcnow())
        matter = preflight.gather(session, bulletin, settings=pages.settings())
    found = preflight.examine(matter, settings=pages.settings())
    if preflight.hinders(found, acknowledged):
        said = pages.say("It is not approved yet: look at what the check found.")
        return frame.go_to("preflight_pages.look", said, number=number, now=1)
    now = db.utcnow()
    with db.transaction() as session:
        bulletin = writing.find(session, number)
        row = session.get_one(MailingList, bulletin.list_id)
        approvals.approve(
            session, bulletin, sender=drafts.sender_of(row, pages.settings().mail_from), by=writing.author(),
            acknowledged=[each.key for each in found],
            publishers=[each.id for each in accounts.publishers(session, now=now)], now=now,
        )  # fmt: skip
        if {str(bulletin.revision), str(examined)} != {seen}:  # as it is under the lock that `approve` took
            raise NotAllowed(
                _("This bulletin was changed while you looked at it. Look at it again before you approve.")
            )
        if imprint.digest(approvals.imprint_now(session, bulletin)) != request.form.get("imprint"):
            raise NotAllowed(_("The list's settings were changed while you looked at the bulletin. Look at it again."))
        writing.note(
            session, "bulletin_approved", number, now=now, revision=examined, acknowledged=[each.key for each in found]
        )
    return frame.go_to(_DESK, pages.say("Approved. Any change makes the approval void."), number=number)


def withdraw(number: int) -> Response:
    """POST: take the approval back."""
    now = db.utcnow()
    with db.transaction() as session:
        approvals.withdraw_approval(session, writing.find(session, number), now=now)
        writing.note(session, "approval_withdrawn", number, now=now)
    return frame.go_to(_DESK, pages.say("The approval is taken back."), number=number)


def _assert_may(session: Session, bulletin: Bulletin, now: datetime) -> None:
    """Said before the check, which takes seconds; `approvals.approve` has the last word. Raises NotAllowed."""
    if approvals.approval_of(session, bulletin.id) is not None:
        raise NotAllowed(_("This bulletin is approved already."))
    me, able = frame.standing().account.id, accounts.publishers(session, now=now)
    approvals.assert_second(session, bulletin, me, publishers=[each.id for each in able])


_SEND = Right.SEND
ROUTES = (
    Route("POST", "/staff/bulletins/<int:number>/ask", ask, Guard.STAFF, right=Right.WRITE),
    Route("POST", "/staff/bulletins/<int:number>/approve", approve, Guard.STAFF, right=_SEND),
    Route("POST", "/staff/bulletins/<int:number>/withdraw", withdraw, Guard.STAFF, right=_SEND),
)
