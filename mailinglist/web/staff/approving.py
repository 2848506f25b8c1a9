"""Approval: asked for, given and taken back, each about the very revision that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import Response, request
from sqlalchemy.orm import Session

from ... import db, preflight
from ...bulletins import drafts
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
    """Whether who looks has a hand in it."""
    others: list[str]
    """Who else may approve, by name."""


def standing(session: Session, bulletin: Bulletin, row: MailingList, *, now: datetime) -> Standing:
    """Where the approval of a bulletin of the list `row` stands."""
    able = accounts.publishers(session, now=now)
    me = frame.standing().account.id
    approval = drafts.approval_of(session, bulletin.id)
    latest = next(iter(drafts.approvals(session, bulletin.id)), None)
    void = latest if approval is None and latest is not None else None
    asked = next((each.name for each in accounts.every(session) if each.id == bulletin.asked_by), "")
    return Standing(
        approval=approval,
        void=void,
        changes=words_of_bulletins.changes(drafts.changed_since(session, void)) if void else [],
        asked_by=asked if bulletin.asked_at else "",
        second=drafts.wants_second(row, second_person=len(able) > 1),
        own=drafts.has_hand(session, bulletin, me),
        others=[each.name for each in able if each.id != me and not drafts.has_hand(session, bulletin, each.id)],
    )


def ask(number: int) -> Response:
    """POST: say that it is ready."""
    now = db.utcnow()
    with db.transaction() as session:
        drafts.ask_approval(session, writing.find(session, number), by=writing.author(), now=now)
        writing.note(session, "approval_asked", number, now=now)
    return frame.go_to(_DESK, pages.say("Approval is asked for. Publishers see it on their first page."), number=number)


def approve(number: int) -> Response:
    """POST: freeze content and audience, as they were looked at. Every error keeps it from that, and so does every
    warning that was not acknowledged; links and domains are asked once more, outside of any transaction."""
    seen, acknowledged = request.form.get("revision", ""), request.form.getlist("acknowledged")
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
        drafts.approve(
            session, bulletin, sender=drafts.sender_of(row, pages.settings().mail_from), by=writing.author(),
            acknowledged=[each.key for each in found],
            second_person=len(accounts.publishers(session, now=now)) > 1, now=now,
        )  # fmt: skip
        if {str(bulletin.revision), str(examined)} != {seen}:  # as it is under the lock that `approve` took
            raise NotAllowed(
                _("This bulletin was changed while you looked at it. Look at it again before you approve.")
            )
        writing.note(
            session, "bulletin_approved", number, now=now, revision=examined, acknowledged=[each.key for each in found]
        )
    return frame.go_to(_DESK, pages.say("Approved. Any change makes the approval void."), number=number)


def withdraw(number: int) -> Response:
    """POST: take the approval back."""
    now = db.utcnow()
    with db.transaction() as session:
        drafts.withdraw_approval(session, writing.find(session, number), now=now)
        writing.note(session, "approval_withdrawn", number, now=now)
    return frame.go_to(_DESK, pages.say("The approval is taken back."), number=number)


def _assert_may(session: Session, bulletin: Bulletin, now: datetime) -> None:
    """Said before the check, which takes seconds; `drafts.approve` has the last word. Raises NotAllowed."""
    if drafts.approval_of(session, bulletin.id) is not None:
        raise NotAllowed(_("This bulletin is approved already."))
    me, able = frame.standing().account.id, accounts.publishers(session, now=now)
    drafts.assert_second(session, bulletin, me, second_person=len(able) > 1)


_SEND = Right.SEND
ROUTES = (
    Route("POST", "/staff/bulletins/<int:number>/ask", ask, Guard.STAFF, right=Right.WRITE),
    Route("POST", "/staff/bulletins/<int:number>/approve", approve, Guard.STAFF, right=_SEND),
    Route("POST", "/staff/bulletins/<int:number>/withdraw", withdraw, Guard.STAFF, right=_SEND),
)
