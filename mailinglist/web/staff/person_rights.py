"""A person's rights, when they ask staff: their data as a file (GDPR 15, 20), and erasure (GDPR 17). Both ask for both
factors anew."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Response, request, url_for

from ... import db
from ...consent.address import Address, fold
from ...privacy import access, rights
from ...privacy.rights import Erasure
from ...staff import audit
from ...staff.levels import Right
from .. import pages
from ..guards import Guard, Route
from . import frame, person, persons


def export_form(number: int) -> Response:
    """GET: what the file will hold."""
    held = persons.seen(number)
    return frame.page(
        "registry/export_person", here="persons", number=number, address=held.mailbox,
        crumbs=person.crumbs(number, held.mailbox),
    )  # fmt: skip


def export(number: int) -> Response:
    """POST: the file."""
    now = db.utcnow()
    with frame.looking() as session:
        text = access.written(access.document(session, persons.known_person(session, number), now=now))
    with db.transaction() as session:
        audit.note(session, "person_exported", by=frame.actor(), about=f"person {number}", now=now)
    response = Response(text, content_type="application/json; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="person-{number}.json"'
    return response


def erase_form(number: int) -> Response:
    """GET: what goes, what stays and why, and the address to be typed."""
    return _erase_form(number, persons.seen(number).mailbox)


def erase(number: int) -> Response:
    """POST: erased, where the address was typed."""
    with frame.looking() as session:
        held = persons.known_person(session, number)
        mailbox, folded = held.mailbox, held.folded
    typed = request.form.get("address", "").strip()
    if fold(typed) != folded:
        persons.seen(number)
        return _erase_form(number, mailbox, typed, {"address": pages.say("Type the address as it stands above.")})
    with db.transaction() as session:
        erasure = rights.erase(session, Address(mailbox, folded), db.utcnow(), source="staff")
        audit.note(session, "person_erased", by=frame.actor(), about=f"person {number}", now=db.utcnow())
    return frame.page(
        "registry/erased", here="persons", deleted=_deleted(erasure), kept=_kept(erasure),
        recipients=erasure.recipients, until=erasure.backups_until,
        crumbs=[(pages.say("Persons"), url_for("persons.index"))],
    )  # fmt: skip


def _erase_form(number: int, mailbox: str, typed: str = "", errors: Mapping[str, str] | None = None) -> Response:
    return frame.page(
        "registry/erase", 422 if errors else 200, here="persons", errors=errors or {}, number=number, address=mailbox,
        typed=typed, kept=_reasons(), crumbs=person.crumbs(number, mailbox),
    )  # fmt: skip


def _deleted(erasure: Erasure) -> list[tuple[str, int]]:
    words = {
        "persons": pages.say("Address, name and language"),
        "subscriptions": pages.say("Subscriptions"),
        "confirmations": pages.say("Confirmation links"),
        "requests": pages.say("Requests"),
        "evidence": pages.say("Evidence"),
        "notes": pages.say("Notes and contacts"),
        "tasks": pages.say("What they asked for"),
        "imports": pages.say("Uploaded files that named them"),
    }
    return [(words.get(name, name), number) for name, number in erasure.deleted.items() if number]


def _kept(erasure: Erasure) -> list[tuple[str, int, str]]:
    known = dict(_reasons())
    names = {
        "ledger": pages.say("Entries of the consent history"),
        "bans": pages.say("Marketing bans"),
        "mails": pages.say("Count of mails handed over"),
        "disclosures": pages.say("Disclosures"),
    }
    found = []
    for kept in erasure.kept:
        key = "bans" if kept.what.startswith("marketing bans") else kept.what.partition(" ")[0]
        name = names.get(key, kept.what)
        found.append((name, kept.count, known.get(name, kept.why)))
    return found


def _reasons() -> list[tuple[str, str]]:
    """What an erasure keeps, and why."""
    return [
        (
            pages.say("Marketing bans"),
            pages.say(
                "As keyed hashes of the address and of the name, if it was known, so that no later import or sign-up "
                "is mailed, and other systems that ask by name are told (GDPR 21(3))."
            ),
        ),
        (
            pages.say("Entries of the consent history"),
            pages.say(
                "With keyed digests for the address: they show that what was sent was allowed (GDPR 17(3)(e)), and "
                "keep an import from bringing back somebody who left."
            ),
        ),
        (
            pages.say("Count of mails handed over"),
            pages.say(
                "Under a number that is never used again, without what mail servers said: the count of each mailing "
                "adds up."
            ),
        ),
        (
            pages.say("Disclosures"),
            pages.say("To whom data were given, under a number that is never used again (GDPR 5(2), 19)."),
        ),
    ]


_STAFF, _PERSONS = Guard.STAFF, Right.PERSONS
ROUTES = (
    Route("GET", "/staff/persons/<int:number>/export", export_form, _STAFF, right=_PERSONS, fresh=True),
    Route("POST", "/staff/persons/<int:number>/export", export, _STAFF, right=_PERSONS, fresh=True),
    Route("GET", "/staff/persons/<int:number>/erase", erase_form, _STAFF, right=_PERSONS, fresh=True),
    Route("POST", "/staff/persons/<int:number>/erase", erase, _STAFF, right=_PERSONS, fresh=True),
)
