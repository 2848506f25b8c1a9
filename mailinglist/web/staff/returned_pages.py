"""What came back: by bulletin, by domain and by what servers said, with what to do about it; and who can't be reached.

Domains and servers' words can name somebody: so these pages are for those who may see recipients. Who can't be reached
is a look at persons, and stands in the audit.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from flask import Response, url_for

from ... import db
from ...bulletins import setting
from ...delivery import returned
from ...delivery.verdicts import Verdict
from ...staff import audit
from ...staff.levels import Right
from .. import figures, pages, registry_words
from ..guards import Guard, Route
from . import asked, frame, persons

_A_PAGE = 50
_SPAN = timedelta(days=60)


def bounces() -> Response:
    """GET: mails of the list that failed lately."""
    with frame.looking() as session:
        row = frame.current_list(session)
        since = db.utcnow() - _SPAN
        bulletins = returned.by_bulletin(session, row.id)
        domains = returned.by_domain(session, row.id, since=since)
        answers = returned.by_answer(session, row.id, since=since)
        name = persons.list_name(row)
    return frame.page(
        "returned/bounces", here="returned", tabs_of=ways(row.slug), list_name=name, days=_SPAN.days,
        bulletins=[(setting.title(each.subject), each) for each in bulletins], number=figures.number,
        share=figures.share, domains=domains, answers=answers, verdicts=registry_words.verdicts(), mends=mends(),
    )  # fmt: skip


def unreached() -> Response:
    """GET: who on the list can't be reached, and why."""
    after = asked.row("after") or 0
    with frame.looking() as session:
        row = frame.current_list(session)
        found = returned.unreached(session, row.id, after=after, limit=_A_PAGE + 1)
        name = persons.list_name(row)
    shown = found[:_A_PAGE]
    if shown:
        with db.transaction() as session:
            audit.note(
                session, "persons_seen", by=frame.actor(), now=db.utcnow(), number=len(shown), list=row.slug,
                state="undeliverable",
            )  # fmt: skip
    more = len(found) > _A_PAGE
    return frame.page(
        "returned/unreached", here="returned", tabs_of=ways(row.slug), list_name=name, slug=row.slug, persons=shown,
        reasons=reasons(),
        next_url=url_for("returned_pages.unreached", list=row.slug, after=shown[-1].person_id) if more else None,
        first_url=url_for("returned_pages.unreached", list=row.slug) if after else None,
    )  # fmt: skip


def ways(slug: str) -> list[tuple[str, str, str]]:
    """The pages about what came back of a list, for who may see each."""
    every = (
        ("bounces", pages.say("Mails that failed"), "returned_pages.bounces", Right.RECIPIENTS),
        ("complaints", pages.say("Complaints"), "complaint_pages.look", Right.SEE),
        ("unreached", pages.say("Who can't be reached"), "returned_pages.unreached", Right.PERSONS),
    )
    return [(key, words, url_for(place, list=slug)) for key, words, place, right in every if frame.may(right)]


def reasons() -> Mapping[str | None, str]:
    """Why somebody can't be reached."""
    return {
        Verdict.DEAD.value: pages.say("Two bulletins, a day or more apart, came back: there is no such address."),
        Verdict.MAILBOX.value: pages.say("Five bulletins within 60 days came back: the mailbox took none of them."),
        None: pages.say("Mail to the address failed before it came into this register."),
    }


def mends() -> Mapping[str, str]:
    """What to do about each kind of failure."""
    return {
        Verdict.DEAD.value: pages.say(
            "Nothing: who is named so by two bulletins is not mailed any more. If you know a newer address, correct it."
        ),
        Verdict.MAILBOX.value: pages.say(
            "Nothing for now: mailboxes that are full or closed for a while often open again. After five "
            "bulletins in 60 days the person is not mailed any more."
        ),
        Verdict.SENDER.value: pages.say(
            "Show it to whoever looks after the mail server: it may be on a block list, or SPF, DKIM or DMARC may be "
            "wrong. The persons are not to blame, and stay on the list."
        ),
    }


ROUTES = (
    Route("GET", "/staff/bounces", bounces, Guard.STAFF, right=Right.RECIPIENTS),
    Route("GET", "/staff/unreached", unreached, Guard.STAFF, right=Right.PERSONS),
)
