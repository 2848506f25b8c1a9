"""Whose mails are uncertain or were rejected, by address; and what is done about the uncertain ones.

A look at addresses is a look at personal data: each page that is opened stands in the audit, with how many it showed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Response, request, url_for

from ... import db
from ...delivery import dispatch, outcomes
from ...delivery.dispatch import Status
from ...errors import NotAllowed, Unknown
from ...staff import audit
from ...staff.levels import Right
from ...stationery.sentences import noted as _
from .. import figures, pages
from ..guards import Guard, Route
from . import asked, frame, outbox, writing

_A_PAGE = 50


def look(number: int, state: str) -> Response:
    """GET: a page of them."""
    if state not in outcomes.LISTED:
        raise Unknown(_("There is no such bulletin."))
    after = asked.row("after", largest=asked.LONG_ROW)
    with frame.looking() as session:
        bulletin, row = outbox.find(session, number)
        status = dispatch.status(session, number)
        found = outcomes.recipients(session, number, state, after_id=after or 0, limit=_A_PAGE + 1)
    shown = found[:_A_PAGE]
    if shown:
        with db.transaction() as session:
            audit.note(
                session, "recipients_seen", by=frame.actor(), about=f"bulletin {number}", now=db.utcnow(), state=state,
                number=len(shown),
            )  # fmt: skip
    more = len(found) > _A_PAGE
    return frame.page(
        "sending/recipients", here="bulletins", bulletin=bulletin, subject=writing.title_of(bulletin), state=state,
        title=outbox.count_words(state), total=figures.number(getattr(status, state)), recipients=shown,
        words=outbox.reason_words, zone=outbox.zone_of(row).key,
        next_url=url_for("recipients.look", number=number, state=state, after=shown[-1].id) if more else None,
        first_url=url_for("recipients.look", number=number, state=state) if after is not None else None,
        crumbs=outbox.crumbs(bulletin),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Matter:
    """What is decided about: all of a bulletin's uncertain mails, or those that were chosen."""

    status: Status
    rows: list[int] | None
    """None: all."""

    @property
    def number(self) -> int:
        return self.status.uncertain if self.rows is None else len(self.rows)


def ask_decide(number: int) -> Response:
    """GET: the decision, and what each way of it means; about all, or (`chosen`) about the rows of the address."""
    matter = _matter(number, request.args)
    if not matter.status.uncertain:
        return frame.go_to("sending.look", pages.say("Nothing is uncertain any more."), number=number)
    if not matter.number:
        said = pages.say("Tick those that you want to decide about.")
        return frame.go_to("recipients.look", said, number=number, state="uncertain")
    return _decide(number, matter)


def decide(number: int) -> Response:
    """POST: they count as accepted, or go once more."""
    decision = request.form.get("decision", "")
    matter = _matter(number, request.form)
    if decision not in ("accepted", "resend"):
        return _decide(number, matter, pages.say("Say what is to be done with them."))
    if request.form.get("seen") != str(matter.number) or not matter.number:
        return _decide(number, matter, pages.say("Their number has changed meanwhile. Decide anew."))
    now = db.utcnow()
    with db.transaction() as session:
        done = dispatch.resolve(
            session, number, resend=decision == "resend", by=frame.actor().who, only=matter.rows, now=now
        )
        if done > matter.number or (matter.rows is not None and done < matter.number):
            raise NotAllowed(_("Their number has changed meanwhile. Decide anew."))
        which = {} if matter.rows is None else {"rows": matter.rows}
        audit.note(
            session, "uncertain_settled", by=frame.actor(), about=f"bulletin {number}", now=now, decision=decision,
            number=done, **which,
        )  # fmt: skip
    said = (
        pages.say("Sent once more: %(number)s.", number=figures.number(done))
        if decision == "resend"
        else pages.say("Counted as accepted: %(number)s.", number=figures.number(done))
    )
    return frame.go_to("sending.look", said, number=number)


def _matter(number: int, said: Any) -> _Matter:
    with frame.looking() as session:
        outbox.find(session, number)
        status = dispatch.status(session, number)
        if "chosen" not in said:
            return _Matter(status, None)
        named = (asked.whole(each, largest=asked.LONG_ROW) for each in said.getlist("row"))
        rows = {each for each in named if each is not None}
        return _Matter(status, outcomes.still_uncertain(session, number, rows) if rows else [])


def _decide(number: int, matter: _Matter, error: str = "") -> Response:
    with frame.looking() as session:
        bulletin, _row = outbox.find(session, number)
    return frame.page(
        "sending/decide", 422 if error else 200, here="bulletins", bulletin=bulletin,
        subject=writing.title_of(bulletin), seen=matter.number, rows=matter.rows,
        shown=figures.number(matter.number), every=figures.number(matter.status.uncertain),
        may_resend=matter.status.state != "cancelled", errors={"decision-accepted": error} if error else {},
        crumbs=outbox.crumbs(bulletin),
    )  # fmt: skip


_STAFF = Guard.STAFF
ROUTES = (
    Route("GET", "/staff/bulletins/<int:number>/recipients/<state>", look, _STAFF, right=Right.RECIPIENTS),
    Route("GET", "/staff/bulletins/<int:number>/uncertain", ask_decide, _STAFF, right=Right.SEND, fresh=True),
    Route("POST", "/staff/bulletins/<int:number>/uncertain", decide, _STAFF, right=Right.SEND, fresh=True),
)
