"""Disclosures: refused without a basis or against a ban; remembered, told of, and gone with the last of the persons."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

import staffing
from conftest import NOW
from mailinglist import db
from mailinglist.consent import address, bans, restriction, transfer
from mailinglist.consent.states import Basis, Channel
from mailinglist.errors import BadInput, Banned, NotAllowed, Unknown
from mailinglist.privacy import disclosures, rights, tasks
from mailinglist.privacy.tables import DisclosedPerson, Disclosure
from mailinglist.staff.audit import Actor, search
from mailinglist.staff.levels import Level
from making import person, the_list

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


def test_restricted_data_are_given_on_a_named_ground_only(app: Flask) -> None:
    """GDPR 18(2)."""
    with db.transaction() as session:
        made, other = person(session, "Matti@example.fi", now=NOW), person(session, "other@example.fi", now=NOW)
        restriction.restrict(session, other, source="own page", origin={}, now=NOW)
        with pytest.raises(NotAllowed, match="name the ground"):
            disclosures.note(session, [made.id, other.id], **GIVEN)
        with pytest.raises(BadInput):
            disclosures.note(session, [other.id], ground="marketing", **GIVEN)
        assert session.scalar(select(func.count()).select_from(Disclosure)) == 0
        given = disclosures.note(session, [made.id, other.id], ground="claims", **GIVEN)
        assert given.basis == "Act 1558/1995, section 19 (restricted data, GDPR 18(2): legal claims)"
        assert disclosures.note(session, [made.id], ground="claims", **GIVEN).basis == GIVEN["basis"]
        bans.add(session, other.digest, [Channel.DISCLOSURE], source="letter", now=NOW)
        with pytest.raises(Banned):
            disclosures.note(session, [other.id], ground="consent", **GIVEN)


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
        said = f"erased on {NOW.date().isoformat()}: person {number}, disclosure {first.id}"
        assert [kind for kind, *_ in told] == ["tell_recipient"] * 4
        assert told[-1][1:3] == (number, tasks.in_a_month(NOW))
        assert told[-1][3] == (f"Tell Tax office that the data were {said} of 2026-11-02, their reference T/17.")
        later = NOW + timedelta(days=4 * 365)
        assert disclosures.over(session, before=later) == disclosures.clear(session, before=later, limit=10) == 1
        assert [each.recipient for each in disclosures.newest(session)] == ["Tax office"], "of somebody who is here"
        assert session.scalar(select(func.count()).select_from(DisclosedPerson)) == 2


def test_what_a_file_of_people_corrects_is_told_too_and_once(app: Flask) -> None:
    def take_in(session: Session, name: str, now: datetime) -> None:
        people = f"email,name\nmatti@example.fi,{name}\nother@example.fi,{name}\n".encode()
        consignment = transfer.read(people, basis=Basis.CONSENT, source="old", file="x.csv")
        transfer.take_in(session, the_list(session), consignment, who="Maija", now=now)

    hour = timedelta(hours=1)
    with db.transaction() as session:
        number = matti(session)
        person(session, "other@example.fi", now=NOW)
        take_in(session, "Before", NOW + hour)
        disclosures.note(session, [number], **(GIVEN | {"now": NOW + 2 * hour}))
        assert disclosures.tell_of_imports(session, now=NOW + 3 * hour) == 0, "they were given what held then"
        take_in(session, "Matti", NOW + 4 * hour)
        assert disclosures.tell_of_imports(session, now=NOW + 5 * hour) == 1
        assert disclosures.tell_of_imports(session, now=NOW + 6 * hour) == 0
        take_in(session, "Matti", NOW + 7 * hour)
        assert disclosures.tell_of_imports(session, now=NOW + 8 * hour) == 0, "nothing was different"
        take_in(session, "Matti M", NOW + 9 * hour)
        assert disclosures.tell_of_imports(session, now=NOW + 10 * hour) == 1
        assert [task.person_id for task in tasks.waiting(session)] == [number] * 2


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
    for field, wrong in (("basis", ""), ("recipient", ""), ("fields", [])):
        answer = desk.post(where, form | {field: wrong})
        assert (answer.status_code, answer.mimetype) == (422, "text/html"), field
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


def test_the_desk_asks_for_the_ground_and_the_persons_page_tells_of_all(app: Flask) -> None:
    desk = staffing.signed_in(app, Level.REGISTRAR)
    with db.transaction() as session:
        made = person(session, "Matti@example.fi", now=NOW)
        number, where = made.id, f"/staff/persons/{made.id}/disclose"
        assert 'name="ground"' not in desk.get(where).text
        restriction.restrict(session, made, source="own page", origin={}, now=NOW)
    assert 'name="ground"' in desk.get(where).text
    form: dict[str, object] = {"recipient": "Police", "basis": "Act 872/2011", "fields": ["address"]}
    refused = desk.post(where, form)
    assert (refused.status_code, refused.mimetype) == (422, "text/html")
    assert "name the ground" in refused.text
    assert desk.post(where, form | {"ground": "claims"}).mimetype == "application/json"
    with db.transaction() as session:
        tasks.open(session, tasks.OTHER, person_id=number, words="Who rang?", due_at=tasks.in_a_month(NOW), now=NOW)
        waiting = tasks.open(session, tasks.ERASE, person_id=number, words="x", due_at=tasks.in_a_month(NOW), now=NOW)
        tasks.done(session, tasks.of(session, number)[0].id, who="Maija", words="nobody", now=NOW)
        [given] = disclosures.recipients_of(session, number)
        done, open_ = tasks.of(session, number)[0].id, waiting.id
    page = desk.get(f"/staff/persons/{number}").text
    for words in ("Use restricted since", "Police", "GDPR 18(2): legal claims", "Who rang?", "nobody"):
        assert words in page, words
    assert f"/staff/disclosures?before={given.id + 1}" in page
    assert f"/staff/tasks#task-{open_}" in page
    assert f"#task-{done}" not in page
    assert f'id="task-{open_}"' in desk.get("/staff/tasks").text
    assert f"/staff/persons/{number}/erase" in desk.get("/staff/tasks").text


def test_a_ban_is_said_in_words(app: Flask) -> None:
    desk = staffing.signed_in(app, Level.REGISTRAR)
    with db.transaction() as session:
        number = matti(session)
        bans.add(session, address_digest(session), [Channel.DISCLOSURE], source="letter", now=NOW)
    form: dict[str, object] = {"recipient": "Police", "basis": "Act 872/2011", "fields": ["address"]}
    refused = desk.post(f"/staff/persons/{number}/disclose", form)
    assert refused.status_code == 422
    assert "has forbidden that data about them are given" in refused.text
