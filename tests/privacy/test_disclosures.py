"""Disclosures: refused without a basis or against a ban; remembered, told of, and gone with the last of the persons."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

import staffing
from conftest import NOW
from mailinglist import db
from mailinglist.consent import address, bans
from mailinglist.consent.states import Channel
from mailinglist.errors import BadInput, Banned, Unknown
from mailinglist.privacy import disclosures, rights, tasks
from mailinglist.privacy.tables import DisclosedPerson, Disclosure
from mailinglist.staff.audit import Actor, search
from mailinglist.staff.levels import Level
from making import person

BY = Actor(3, "Riitta Rekisteri", "")
GIVEN: dict[str, Any] = {
    "recipient": "Tax office", "basis": "Act 1558/1995, section 19", "fields": ["address"], "by": BY, "now": NOW,
}  # fmt: skip


def matti(session: Session) -> int:
    return person(session, "Matti@example.fi", now=NOW).id


@pytest.mark.parametrize(
    "wrong",
    [{"basis": ""}, {"basis": " law "}, {"recipient": " "}, {"fields": []}, {"fields": ["address", "salary"]},
     {"recipient": "x" * 201}, {"basis": "y" * 501}],
)  # fmt: skip
def test_what_lacks_something_is_refused(app: Flask, wrong: dict[str, Any]) -> None:
    with db.transaction() as session:
        number = matti(session)
        with pytest.raises(BadInput):
            disclosures.note(session, [number], **(GIVEN | wrong))
        assert session.scalar(select(func.count()).select_from(Disclosure)) == 0


def test_a_ban_on_disclosure_stands_against_it_for_all_at_once(app: Flask) -> None:
    with db.transaction() as session:
        number, other = matti(session), person(session, "other@example.fi", now=NOW)
        bans.add(session, other.digest, [Channel.DISCLOSURE], source="letter", now=NOW)
        with pytest.raises(Banned):
            disclosures.note(session, [number, other.id], **GIVEN)
        with pytest.raises(Unknown):
            disclosures.note(session, [number, 4711], **GIVEN)
        with pytest.raises(BadInput):
            disclosures.note(session, [], **GIVEN)
        assert disclosures.recipients_of(session, number) == []
        bans.add(session, address_digest(session), [Channel.EMAIL], source="letter", now=NOW)
        assert disclosures.note(session, [number, number], **GIVEN).number == 1, "marketing is another matter"


def address_digest(session: Session) -> bytes:
    return bans.digests(session, address.parse("matti@example.fi"))[0]


def test_recipients_are_told_and_outlive_the_person_by_their_period(app: Flask) -> None:
    with db.transaction() as session:
        number, other = matti(session), person(session, "other@example.fi", now=NOW).id
        first = disclosures.note(session, [number, other], reference="T/17", **GIVEN)
        disclosures.note(session, [number], **(GIVEN | {"recipient": "Police", "fields": ["mails"]}))
        assert [each.recipient for each in disclosures.recipients_of(session, number)] == ["Police", "Tax office"]
        assert first.who == "Riitta Rekisteri"
        assert disclosures.tell(session, number, disclosures.CORRECTED, now=NOW) == ("Police", "Tax office")
        assert rights.erase(session, address.parse("matti@example.fi"), NOW).recipients == ("Police", "Tax office")
        told = [(task.kind, task.person_id, task.due_at, task.words) for task in tasks.waiting(session, 10)]
        assert [kind for kind, *_ in told] == ["tell_recipient"] * 4
        assert told[-1][1:3] == (number, tasks.in_a_month(NOW))
        assert told[-1][3] == (
            f"Tell Tax office that the data were erased: person {number}, disclosure {first.id} of 2026-11-02, their "
            "reference T/17."
        )
        later = NOW + timedelta(days=4 * 365)
        assert disclosures.over(session, before=later) == disclosures.clear(session, before=later, limit=10) == 1
        assert [each.recipient for each in disclosures.newest(session)] == ["Tax office"], "of somebody who is here"
        assert session.scalar(select(func.count()).select_from(DisclosedPerson)) == 2


# ── at the desk ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_registrar_gives_what_was_chosen_and_it_is_written_down(app: Flask) -> None:
    desk = staffing.signed_in(app, Level.REGISTRAR, name="Riitta Rekisteri")
    with db.transaction() as session:
        number = matti(session)
    where = f"/staff/persons/{number}/disclose"
    assert "Matti@example.fi" in desk.get(where).text
    form: dict[str, object] = {
        "recipient": "Police", "basis": "Act 872/2011, chapter 4", "fields": ["address", "history"], "reference": "R/1",
    }  # fmt: skip
    for wrong in ({"basis": ""}, {"recipient": ""}, {"fields": []}):
        answer = desk.post(where, form | wrong)
        assert (answer.status_code, answer.mimetype) == (422, "text/html"), wrong
    given = desk.post(where, form)
    assert given.mimetype == "application/json"
    assert set(given.json) == {"address", "history"}
    assert given.json["address"] == "Matti@example.fi"
    assert "Riitta" not in given.text
    listed = desk.get("/staff/disclosures").text
    for words in ("Police", "R/1", "Act 872/2011, chapter 4", "E-mail address, Consent history", "Riitta Rekisteri"):
        assert words in listed, words
    with db.reading() as session:
        [line] = search(session, act="data_disclosed")
        assert (line.about, line.detail["fields"]) == (f"person {number}", ["address", "history"])
    desk.post(
        f"/staff/persons/{number}/details",
        {"name": "Matti", "language": "sv", "how": "phone", "on": "2026-11-02", "words": "call 17"},
    )
    with db.reading() as session:
        assert "Tell Police that the data were corrected" in tasks.waiting(session, 10)[0].words


def test_a_ban_is_said_in_words(app: Flask) -> None:
    desk = staffing.signed_in(app, Level.REGISTRAR)
    with db.transaction() as session:
        number = matti(session)
        bans.add(session, address_digest(session), [Channel.DISCLOSURE], source="letter", now=NOW)
    form: dict[str, object] = {"recipient": "Police", "basis": "Act 872/2011", "fields": ["address"]}
    refused = desk.post(f"/staff/persons/{number}/disclose", form)
    assert refused.status_code == 422
    assert "has forbidden that data about them are given" in refused.text
