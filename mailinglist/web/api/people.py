"""Other systems hand over people: customers, under the rules of an import (T5.1, T5.4, T6), and visitors of another
site who asked to join, as by our own form."""

from __future__ import annotations

import hashlib

from flask import request

from ... import db, pace
from ...consent import intake, lists, transfer
from ...consent.address import parse
from ...consent.transfer import BY_PROGRAM
from ...i18n import LANGUAGES
from ...staff.programs import Scope
from . import door
from .call import Call
from .problem import Wrong
from .shapes import (
    Done,
    Fault,
    PeopleGiven,
    PeopleTaken,
    PersonRefused,
    PersonRemark,
    RequestGiven,
    TextInForce,
    TextsTold,
)


def take_in(asked: PeopleGiven, slug: str) -> PeopleTaken:
    """POST: put people on the list, active at once and without a letter; in one transaction."""
    digest = hashlib.sha256(request.get_data()).hexdigest()
    given = [each.model_dump(exclude_none=True) for each in asked.people]
    consignment = transfer.handed_over(
        given, basis=asked.basis, source=asked.source, system=door.token().name, digest=digest
    )
    with db.transaction() as session:
        row = door.the_list(session, slug)
        report = transfer.take_in(session, row, consignment, who=door.actor().who, now=db.utcnow())
        door.note(
            session, "api_people_taken_in", about=f"list {row.id}", added=report.added, updated=report.updated,
            unchanged=report.unchanged, refused=len(report.refused),
        )  # fmt: skip
    return PeopleTaken(
        added=report.added,
        updated=report.updated,
        unchanged=report.unchanged,
        refused=[PersonRefused(index=each.line, reason=each.reason) for each in report.refused],
        remarks=[PersonRemark(index=each.line, words=list(each.words)) for each in report.remarks],
    )


def ask(asked: RequestGiven, slug: str) -> Done:
    """POST: write a request to join down. Nobody is looked up: who it is makes no difference."""
    now, address = db.utcnow(), parse(asked.email)
    with db.reading() as session:
        door.the_list(session, slug)  # before the visitor is counted: a token for another list spends nobody's limit
    if asked.client is not None:
        door.spend_as(pace.JOINING, asked.client)
    with db.transaction() as session:
        row = door.the_list(session, slug)
        language = asked.language or lists.settings_of(row).language
        digest = asked.text.lower() if asked.text else None
        text = lists.shown_text(session, row, language, digest)
        if digest is not None and text.digest.hex() != digest:
            words = "This list has never had a consent text with this digest."
            raise Wrong.about([Fault(pointer="#/text", detail=words)])
        origin = {
            "how": BY_PROGRAM, "client": asked.client, "user_agent": asked.agent or "", "language": language,
            **door.handed_on(),
        }  # fmt: skip
        # No proof of work comes with it: while one is asked for, it waits like a form's without.
        slow = intake.proof_wanted(session, row, now=now)
        intake.write_down(
            session, row, address, entrance=BY_PROGRAM, language=language, text=text, origin=origin,
            name=asked.name or None, slow=slow, now=now,
        )  # fmt: skip
        door.note(session, "api_request_written_down", about=f"list {row.id}")
    return Done()


def texts(slug: str) -> TextsTold:
    """GET: the consent texts that are in force."""
    with db.reading() as session:
        row = door.the_list(session, slug)
        found = [lists.current_text(session, row, language) for language in LANGUAGES]
        told = [TextInForce(language=each.language, text=each.body, digest=each.digest.hex()) for each in found]  # type: ignore[arg-type]
        return TextsTold(list=row.slug, name=row.name, texts=told)


CALLS = (
    Call(
        "POST", "/lists/<slug:slug>/people", take_in, Scope.PEOPLE_WRITE,
        "Hand over people. Up to 1,000, under the rules of an import: on the list at once, without a letter. Who has "
        "forbidden it, has left, or has restricted the use of their data is refused, and so is each with a fault; the "
        "others are taken in. Any other field refuses the whole call. Repeated, it changes nothing.",
        PeopleTaken, PeopleGiven,
    ),
    Call(
        "POST", "/lists/<slug:slug>/requests", ask, Scope.REQUESTS_WRITE,
        "Hand on a request to join. A visitor of another site asked for it, and is on the list once they have answered "
        "the confirmation letter. The answer is the same whoever's address it is. Repeated, it is a further request; "
        "the limits of letters per address hold.",
        Done, RequestGiven, status=202,
    ),
    Call(
        "GET", "/lists/<slug:slug>/texts", texts, Scope.REQUESTS_WRITE,
        "The consent texts in force. A form on another site has to show them as they are.",
        TextsTold,
    ),
)  # fmt: skip
