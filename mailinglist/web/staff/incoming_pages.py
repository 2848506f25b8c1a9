"""Mails to the lists' addresses that wait for a person: what nobody but a person understands, and what could not be
handled. Each page that shows them is in the audit: they are personal data, and may be anything.

A mail is shown as text, never as HTML, and nothing of it is loaded from elsewhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from flask import Response, request, url_for
from sqlalchemy.orm import Session

from ... import db
from ...consent import address, lists, register
from ...consent.tables import Person
from ...errors import BadInput
from ...inbound import reading, spool, unseen
from ...inbound.tables import FAILED, Spooled
from ...staff import audit
from ...staff.levels import Right
from .. import pages
from ..guards import Guard, Route
from . import asked, frame, persons

_A_PAGE = 20
_MOST = 2000
"""Characters of a mail that are shown; its owner has been sent all of it."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A mail, in words."""

    id: int
    at: datetime
    list: str
    sender: str
    return_path: str
    """Where that is another address than the sender's; else empty."""
    subject: str
    text: str
    cut: bool
    person: int | None
    """Whose address it came from, as far as anybody can say: senders of mail can be made up."""
    failed: bool
    why: str
    forwarded: str
    digest: str
    """Of a mail that nobody reads, since workers died over it; else empty."""
    alike: Sequence[int] = ()
    """Which of this page are from the same sender, with this one: nobody is done with what they were not shown."""


def index() -> Response:
    """GET: a page of them, the newest first."""
    before = asked.row("before", largest=asked.LONG_ROW)
    with frame.looking() as session:
        names = {row.id: persons.list_name(row) for row in lists.every(session)}
        rows = unseen.page(session, before=before, limit=_A_PAGE + 1)
        shown = _together([_shown(session, row, names) for row in rows[:_A_PAGE]], rows)
    if shown:
        with db.transaction() as session:
            known = sorted({each.person for each in shown if each.person is not None})
            audit.note(session, "mails_seen", by=frame.actor(), now=db.utcnow(), number=len(shown), persons=known)
    more = len(rows) > _A_PAGE
    return frame.page(
        "returned/incoming", here="incoming", mails=shown, several=len(names) > 1,
        next_url=url_for("incoming_pages.index", before=shown[-1].id) if more else None,
        first_url=url_for("incoming_pages.index") if before is not None else None,
    )  # fmt: skip


def seen(number: int) -> Response:
    """POST: somebody has seen to it."""
    with db.transaction() as session:
        done = unseen.seen(session, number, now=db.utcnow())
        if done:
            audit.note(session, "mail_dealt_with", by=frame.actor(), now=db.utcnow(), mail=number)
    return _back(done, pages.say("Done."))


def seen_all(number: int) -> Response:
    """POST: somebody has seen to those mails from the sender of this one that their page showed."""
    named = request.form.get("mails", "").split(",")[:_A_PAGE]
    mails = [one for each in named if (one := asked.whole(each, largest=asked.LONG_ROW)) is not None]
    with db.transaction() as session:
        row = spool.get(session, number)
        done = unseen.seen_alike(session, row, mails, now=db.utcnow()) if row is not None else 0
        if done:
            audit.note(session, "mails_dealt_with", by=frame.actor(), now=db.utcnow(), mail=number, number=done)
    return _back(done > 0, pages.say("Done."))


def again(number: int) -> Response:
    """POST: the program tries it once more."""
    with db.transaction() as session:
        done = spool.again(session, number, now=db.utcnow())
        if done:
            audit.note(session, "mail_tried_again", by=frame.actor(), now=db.utcnow(), mail=number)
    return _back(done, pages.say("It is tried once more."))


def _back(done: bool, words: str) -> Response:
    return frame.go_to("incoming_pages.index", words if done else pages.say("Somebody has seen to it already."))


def _shown(session: Session, row: Spooled, names: Mapping[int, str]) -> Shown:
    deadly = row.outcome == spool.KILLS
    mail = reading.read(b"" if deadly else spool.content(session, row.id) or b"")
    sender = next(iter(mail.addresses("From")), row.sender)
    found = _person(session, row, sender)
    text = mail.text.strip()
    return_path = row.sender if address.fold(row.sender) != address.fold(sender) else ""
    return Shown(
        row.id, row.received_at, names.get(row.list_id or 0, ""), sender, return_path, mail.header("Subject") or "",
        text[:_MOST], len(text) > _MOST, found.id if found else None, row.state == FAILED, _why(row.outcome),
        _forwarded(row.forwarded), row.digest.hex() if deadly else "",
    )  # fmt: skip


def _together(shown: Sequence[Shown], rows: Sequence[Spooled]) -> list[Shown]:
    """The same, each with those that are from the same sender: by what the page shows, and by what is kept."""
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    keys = [
        (address.fold(each.sender), row.sender.lower(), row.writer or "")
        for each, row in zip(shown, rows, strict=False)
    ]
    for each, key in zip(shown, keys, strict=True):
        groups[key].append(each.id)
    return [replace(each, alike=groups[key] if any(key) else ()) for each, key in zip(shown, keys, strict=True)]


def _person(session: Session, row: Spooled, sender: str) -> Person | None:
    if row.person_id is not None:
        return session.get(Person, row.person_id)
    try:
        return register.find(session, address.parse(sender))
    except BadInput:
        return None


def _why(outcome: str | None) -> str:
    """Why it is for a person."""
    known = {
        "unclear": pages.say("It answers a letter of ours, and the program can't tell whether it says yes or no."),
        "for-a-person": pages.say("It is written to the list's owner."),
        "forbidden": pages.say("It asks to join, and marketing to its address is forbidden."),
        "spent": pages.say("It answers a letter of ours that is no longer good."),
        "no-address": pages.say("It asks for something, and comes from no address that can be answered."),
        "dmarc": pages.say(
            "It asks to leave the list, and the mail server says that its sender's address is forged. Mail that was "
            "forwarded can look like this, too."
        ),
        "unlisted": pages.say("It asks to leave, and comes from an address that is not on the list."),
        "no-letter": pages.say("It asks to leave, and no letter with a link could be sent to its address."),
        "unreadable-bounce": pages.say("A mail came back, and the program can't tell why."),
        "unnamed-bounce": pages.say("A mail came back, and it does not say which."),
        spool.KILLS: pages.say(
            "The program broke off each time that it looked at this mail, so it does not look any more. Nothing that "
            "it asks for has been done."
        ),
        spool.TOO_LARGE: pages.say("It is too large for the program. It lies in the mailbox, unread."),
        "unnamed-complaint": pages.say("Somebody complained about a mail, and the report does not say which."),
    }
    return known.get(outcome or "", "")


def _forwarded(state: str | None) -> str:
    """How far sending it on to the owner is."""
    known: Mapping[str, str] = {
        "pending": pages.say("It is about to be sent on to the list's owner."),
        "handing": pages.say("It is about to be sent on to the list's owner."),
        "accepted": pages.say("The list's owner was sent it."),
        "uncertain": pages.say("It was sent on to the list's owner; whether it arrived, nobody knows."),
        "failed": pages.say("It could not be sent on to the list's owner."),
        "withheld": pages.say(
            "It was not sent on: the list has no owner, or the owner has had many today, of all or of this sender."
        ),
    }
    return known.get(state or "", "")


_STAFF, _PERSONS = Guard.STAFF, Right.PERSONS
ROUTES: Sequence[Route] = (
    Route("GET", "/staff/mail", index, _STAFF, right=_PERSONS),
    Route("POST", "/staff/mail/<int:number>/done", seen, _STAFF, right=_PERSONS),
    Route("POST", "/staff/mail/<int:number>/done-with-sender", seen_all, _STAFF, right=_PERSONS),
    Route("POST", "/staff/mail/<int:number>/again", again, _STAFF, right=_PERSONS),
)
