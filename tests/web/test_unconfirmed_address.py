"""An address that staff corrected may be a slip: until it is confirmed, its key opens nothing of whose address it was
before."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

import making
from mailinglist import db
from mailinglist.consent import (
    bans,
    confirming,
    lists,
    notes,
    own_page,
    proof,
    register,
    registrar,
    requests,
    restriction,
    verification,
)
from mailinglist.consent.address import parse
from mailinglist.consent.states import Channel, State
from mailinglist.consent.tables import Person
from mailinglist.privacy import access, rights, tasks

RIGHT, SLIP = "Anna@example.fi", "anne@example.fi"
SECRET = ("Anna Virtanen", "rang about her divorce", "192.0.2.7", "owes us money", "Anna@", "anna@")
TOLD = registrar.Told("phone", "her address is misspelt", date(2026, 11, 2), "Maija")


def token(mailbox: str) -> str:
    with db.reading() as session:
        keys, address = session.info["keys"], parse(mailbox)
        made = own_page.Key(keys.digest(address.folded), keys.digest(address.mailbox), db.utcnow())
        return made.token(register.tokens_of(session))


def path(mailbox: str = SLIP) -> str:
    return f"/preferences/{token(mailbox)}"


def anna(session: Session) -> Person:
    found = register.find(session, parse(SLIP)) or register.find(session, parse(RIGHT))
    assert found is not None
    return found


def corrected(session: Session, to: str = SLIP, *, now: datetime | None = None) -> None:
    registrar.correct_address(session, anna(session).id, parse(to), TOLD, now=now or db.utcnow())


def confirm(mailbox: str) -> None:
    """The letter that the correction brought about is answered."""
    with db.transaction() as session:
        requests.take(session, now=db.utcnow())
        request = [each for each in requests.letters_due(session, limit=50) if each.person_id == anna(session).id][-1]
        assert anna(session).mailbox == mailbox
        link, _ = making.letter(session, request, now=db.utcnow())
        confirming.confirm(session, link, origin=making.ORIGIN, now=db.utcnow())


@pytest.fixture
def slipped(app: Flask) -> int:
    """Anna, with a name, a note, a wish and a ban, at an address that is not hers."""
    with db.transaction() as session:
        then = db.utcnow() - timedelta(days=10)
        person = making.person(session, RIGHT, now=then)
        registrar.correct_details(session, person.id, TOLD, name="Anna Virtanen", language="sv", now=then)
        notes.add(session, person.id, "note", "rang about her divorce", on=then, who="Maija", now=then)
        due = tasks.in_a_month(then)
        tasks.open(session, tasks.OTHER, person_id=person.id, words="owes us money", due_at=due, now=then)
        bans.add(session, person.digest, [Channel.PHONE], source="phone", now=then)
        corrected(session)
        return person.id


def test_its_page_shows_what_is_held_under_the_address_and_nothing_else(client: FlaskClient, slipped: int) -> None:
    page = client.get(f"{path()}?lang=en")
    assert page.status_code == 200
    assert SLIP in page.text
    assert "not confirmed yet" in page.text
    assert "Forbidden since" in page.text
    for words in SECRET:
        assert words not in page.text, words
    for part in ("data", "data.json"):
        answer = client.get(f"{path()}/{part}")
        assert answer.status_code == 303
        assert not any(words in answer.text for words in SECRET)
    forms = (
        {"act": "correct", "name": "X", "language": "fi"}, {"act": "address", "email": "x@example.fi"},
        {"act": "other", "words": "Who?"}, {"act": "restrict"}, {"act": "unrestrict"},
        {"act": "lift", "channel": "phone"}, {"act": "lift", "channel": "all"},
    )  # fmt: skip
    for form in forms:
        answer = client.post(f"{path()}?lang=en", data=form)
        assert answer.status_code == 409, form
        assert "has to be confirmed first" in answer.text
        assert not any(words in answer.text for words in SECRET)
    with db.reading() as session:
        assert (anna(session).name, anna(session).restricted_at) == ("Anna Virtanen", None)
        assert [str(each) for each in bans.check(session, parse(SLIP)).channels] == ["phone"]
        assert [task.kind for task in tasks.of(session, slipped)] == ["other"]


def test_whoever_has_it_can_leave_forbid_and_ask_for_erasure(client: FlaskClient, slipped: int) -> None:
    for _ in range(2):
        asked = client.post(f"{path()}?lang=en", data={"act": "erase", "sure": "1"})
        assert asked.status_code == 303
    assert "within a month" in client.get(asked.location).text
    with db.reading() as session:
        assert [task.kind for task in tasks.of(session, slipped)] == ["other", "erase"], "once, and by hand"
    assert client.post(path(), data={"act": "ban", "channel": "all"}).status_code == 303
    assert client.post(path(), data={"act": "leave", "list": lists.DEFAULT_SLUG}).status_code == 303
    with db.reading() as session:
        assert len(bans.check(session, parse(SLIP)).channels) == 4
        standing = register.subscription(session, slipped, making.the_list(session).id)
        assert standing is not None
        assert standing.standing is State.LEFT
        assert not proof.confirmed(session, anna(session)), "leaving shows no more than the key does"
        assert list(verification.verify(session)) == []


def test_a_confirmation_letter_answered_from_it_opens_all(client: FlaskClient, slipped: int) -> None:
    assert client.post(path(), data={"act": "join", "list": lists.DEFAULT_SLUG}).status_code == 303
    confirm(SLIP)
    page = client.get(f"{path()}?lang=en")
    assert "Anna Virtanen" in page.text
    assert "owes us money" in page.text
    data = client.get(f"{path()}/data.json")
    assert data.status_code == 200
    told = [entry["event"] for entry in data.json["register"]["history"]]
    assert told[0] == "asked", "from before the correction, too"
    assert "rang about her divorce" in data.text


def test_a_correction_back_opens_all_at_once(client: FlaskClient, slipped: int) -> None:
    with db.transaction() as session:
        corrected(session, RIGHT)
        told = [entry["event"] for entry in proof.prove(session, RIGHT.lower())]
    assert told.count("asked") == 1
    assert told[:3] == ["asked", "confirmed", "corrected"]
    assert told[-1] == "readdressed"
    page = client.get(f"{path(RIGHT)}?lang=en")
    assert "Anna Virtanen" in page.text
    assert client.get(f"{path()}?lang=en").text.count("Anna") == 0, "nobody has the wrong one any more"


def test_nobody_sees_what_another_did_at_the_same_address(app: Flask) -> None:
    """Through the addresses that somebody had, and only while they had them."""
    at = db.utcnow() - timedelta(days=20)
    with db.transaction() as session:
        first = making.person(session, "shared@example.fi", now=at)
        registrar.correct_address(session, first.id, parse("first@example.fi"), TOLD, now=at + timedelta(days=1))
        second = making.person(session, "shared@example.fi", now=at + timedelta(days=2))
        registrar.correct_address(session, second.id, parse("second@example.fi"), TOLD, now=at + timedelta(days=3))
        third = making.person(session, "shared@example.fi", now=at + timedelta(days=4), state=State.LEFT)
        events = {
            each.mailbox: [(entry["event"], entry["at"][:10]) for entry in proof.prove(session, each.folded)]
            for each in (first, second, third)
        }
    days = [(at + timedelta(days=day)).date().isoformat() for day in range(5)]
    there = ["asked", "confirmed", "moved", "readdressed"]
    assert events["first@example.fi"][:4] == list(zip(there, [days[0]] * 2 + [days[1]] * 2, strict=True))
    assert events["second@example.fi"][:4] == list(zip(there, [days[2]] * 2 + [days[3]] * 2, strict=True))
    assert events["shared@example.fi"] == [(event, days[4]) for event in ("asked", "confirmed", "left")]


def test_there_back_and_there_again(app: Flask) -> None:
    at = db.utcnow() - timedelta(days=20)
    with db.transaction() as session:
        made = making.person(session, RIGHT, now=at)
        for day, mailbox in enumerate((SLIP, RIGHT, SLIP, "third@example.fi", RIGHT), 1):
            registrar.correct_address(session, made.id, parse(mailbox), TOLD, now=at + timedelta(days=day))
            assert proof.confirmed(session, made) is (mailbox == RIGHT), mailbox
            found = [entry["event"] for entry in proof.prove(session, made.folded)]
            assert found == ["asked", "confirmed", *["moved", "readdressed"] * day]
        assert "asked" in str(access.document(session, made, now=db.utcnow())["register"]["history"])


def test_who_was_erased_there_and_comes_back_came_by_themselves(app: Flask, slipped: int) -> None:
    with db.transaction() as session:
        rights.erase(session, parse(SLIP), db.utcnow())
        again = making.person(session, SLIP, now=db.utcnow())
        assert proof.confirmed(session, again)
        assert not any(RIGHT.lower() in str(entry) for entry in proof.prove(session, SLIP))
        first = [entry for entry in proof.prove(session, SLIP) if entry["event"] == "asked"]
        assert len(first) == 1, "and see nothing of what was before at another address"


def test_a_restriction_is_not_told_and_not_ended(client: FlaskClient, slipped: int) -> None:
    with db.transaction() as session:
        restriction.restrict(session, anna(session), source="staff", origin={}, now=db.utcnow())
    assert client.post(path(), data={"act": "unrestrict"}).status_code == 409
    with db.reading() as session:
        assert anna(session).restricted_at is not None
        assert list(verification.verify(session)) == []
