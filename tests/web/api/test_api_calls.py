"""What each call of the API does, on both databases; what it leaves in the ledger and in the audit."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

import making
from calling import Program, program
from mailinglist import db, moments
from mailinglist.consent import (
    address,
    ban_lists,
    bans,
    intake,
    lists,
    proof,
    register,
    registrar,
    requests,
    restriction,
)
from mailinglist.consent.keys import Keys, keys_of
from mailinglist.consent.register import Ticket
from mailinglist.consent.states import ALL_CHANNELS, Channel, State
from mailinglist.consent.tables import Ban, ConsentText, Evidence, Person, Request, Subscription
from mailinglist.delivery import audience_query, dispatch
from mailinglist.errors import OptOutsWait
from mailinglist.staff.programs import Scope
from mailinglist.staff.tables import AuditEntry
from mailinglist.web.api import problem, shapes

SLUG = lists.DEFAULT_SLUG
ONE_DATABASE = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
NOW = db.utcnow() - timedelta(hours=2)


@pytest.fixture
def shop(app: Flask) -> Program:
    return program(app)


def person(mailbox: str, state: State = State.ACTIVE) -> int:
    with db.transaction() as session:
        return making.person(session, mailbox, now=NOW, state=state).id


def forbid(mailbox: str, *channels: Channel, slug: str | None = None) -> None:
    with db.transaction() as session:
        only = lists.find(session, slug) if slug else None
        digest = keys_of(session).digest(mailbox)
        bans.add(session, digest, channels or ALL_CHANNELS, only=only, source="letter", now=NOW)


def second_list() -> None:
    with db.transaction() as session:
        lists.add(session, "toinen", "Toinen", now=NOW)


def sha256(mailbox: str) -> str:
    return hashlib.sha256(mailbox.encode()).hexdigest()


def state(mailbox: str) -> State | None:
    with db.reading() as session:
        found = register.find(session, address.parse(mailbox))
        standing = register.subscription(session, found.id, making.the_list(session).id) if found else None
        return standing.standing if standing else None


def last_entry(mailbox: str) -> dict[str, Any]:
    """The newest entry of the ledger about the address, with its evidence."""
    with db.reading() as session:
        return proof.prove(session, mailbox)[-1]


def acts() -> list[tuple[str, str, dict[str, Any]]]:
    """What the program did, as the audit tells it; it is always said who."""
    with db.reading() as session:
        rows = session.scalars(select(AuditEntry).where(AuditEntry.who != "root").order_by(AuditEntry.id)).all()
        assert all(row.who.startswith("program Web shop (") and row.account_id is None for row in rows)
        assert not any("@" in f"{row.about}{row.detail}" for row in rows)
        return [(row.act, row.about, row.detail) for row in rows]


class TestBans:
    def test_are_told_in_the_order_of_the_items(self, shop: Program) -> None:
        second_list()
        forbid("banned@example.fi")
        forbid("narrow@example.fi", Channel.PHONE, slug="toinen")
        items = [
            {"email": "free@example.fi"}, {"email": "Banned@Example.fi"}, {"email": "no address"},
            {"sha256": sha256("banned@example.fi").upper()}, {"sha256": "f" * 63}, {"email": "narrow@example.fi"},
        ]  # fmt: skip
        answer = shop.post("/bans/check", {"items": items})
        assert answer.status_code == 200
        everything = {
            "banned": True,
            "channels": [each.value for each in ALL_CHANNELS],
            "in_force": [{"channel": each.value, "list": None} for each in ALL_CHANNELS],
            "by": ["address"],
        }
        free = {"banned": False, "channels": [], "in_force": [], "by": []}
        on_one = [{"channel": "phone", "list": "toinen"}]
        narrow = {"banned": True, "channels": ["phone"], "in_force": on_one, "by": ["address"]}
        told = answer.get_json()["answers"]
        assert [told[n] for n in (0, 1, 3, 5)] == [free, everything, everything, narrow]
        assert told[2] == {"error": "not an address: The address needs one @, with something before and after it."}
        assert "64 digits" in told[4]["error"]
        asked = {"items": [{"email": "narrow@example.fi"}]}
        here = shop.post("/bans/check", {**asked, "list": SLUG}).get_json()["answers"]
        email = shop.post("/bans/check", {**asked, "channel": "email"}).get_json()["answers"]
        assert here == email == [free]
        assert [detail for _act, _about, detail in acts()] == [
            {"asked": 4, "banned": 3}, {"asked": 1, "banned": 0, "list": 1}, {"asked": 1, "banned": 0},
        ]  # fmt: skip

    def test_are_told_by_name(self, shop: Program) -> None:
        with db.transaction() as session:
            making.named(session, ("matti@example.fi", "Matti Virtanen"), ("eeva@example.fi", "Eeva Virtanen"), now=NOW)
        forbid("matti@example.fi", Channel.POST)
        items = [
            {"name": "VIRTANEN, Matti"}, {"name": "Eeva Virtanen"}, {"name": "matti@example.fi"}, {"name": "0"},
            {"email": "eeva@example.fi", "name": "Matti Virtanen"},
        ]  # fmt: skip
        told = shop.post("/bans/check", {"items": items}).get_json()["answers"]
        assert [told[n].get("by") for n in range(5)] == [["name"], [], None, None, ["name"]]
        assert (told[0]["banned"], told[0]["channels"], told[1]["banned"]) == (True, ["post"], False)
        assert told[2] == {"error": "an address where a name belongs"}

    def test_match_as_the_register_writes_the_address(self, shop: Program) -> None:
        person("Matti@example.fi")
        with db.transaction() as session:
            digest = keys_of(session).digest("Matti@example.fi")
            bans.add(session, digest, [Channel.EMAIL], source="a list of hashes", now=NOW)
        told = shop.post("/bans/check", {"items": [{"email": "matti@example.fi"}]}).get_json()
        assert told["answers"][0]["channels"] == ["email"]

    def test_are_not_told_while_somebody_waits_to_be_entered(self, shop: Program) -> None:
        with db.transaction() as session:
            ticket = Ticket(making.the_list(session).id, keys_of(session).digest("a@example.fi"))
            row = making.the_list(session)
            intake.keep_exit(session, ticket, row, entrance="web", origin={"how": "page"}, ban=ALL_CHANNELS, now=NOW)
        body = {"items": [{"email": "a@example.fi"}]}
        answer = shop.post("/bans/check", body)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        with db.transaction() as session:
            requests.take(session, now=db.utcnow())
        assert shop.post("/bans/check", body).get_json()["answers"][0]["banned"] is True

    def test_are_given_once_however_often(self, shop: Program) -> None:
        number = person("Matti@example.fi")
        body = {"email": "matti@EXAMPLE.fi", "channels": ["phone", "email", "phone"], "source": "called the shop"}
        first, again = shop.post("/bans", body), shop.post("/bans", body)
        assert first.get_json() == {"added": ["email", "phone"], "channels": ["email", "phone"]}
        assert again.get_json() == {"added": [], "channels": ["email", "phone"]}
        wider = shop.post("/bans", {**body, "channels": "all"}).get_json()
        assert wider == {"added": ["post", "disclosure"], "channels": [each.value for each in ALL_CHANNELS]}
        assert acts() == [
            ("api_ban_given", f"person {number}", {"channels": ["email", "phone"]}),
            ("api_ban_given", f"person {number}", {"channels": ["post", "disclosure"]}),
        ]
        entry = last_entry("matti@example.fi")
        assert entry["event"] == "banned"
        kept = entry["evidence_content"]
        assert (kept["how"], kept["source"]) == ("api", "called the shop")
        assert kept["system"] == "Web shop"
        assert kept["recorded_by"].startswith("program Web shop (")
        with db.reading() as session:
            assert set(session.scalars(select(Ban.source))) == {"api: called the shop"}
            assert list(session.scalars(select(Ban.lifted_at))) == [None] * 4

    def test_are_given_by_a_hash_and_on_one_list(self, shop: Program) -> None:
        second_list()
        body = {"sha256": sha256("anna@example.fi"), "channels": ["email"], "source": "post office"}
        assert shop.post("/bans", {**body, "list": "toinen"}).get_json() == {"added": ["email"], "channels": ["email"]}
        assert shop.post("/bans", {**body, "list": SLUG}).get_json()["added"] == ["email"]
        assert shop.post("/bans", body).get_json() == {"added": ["email"], "channels": ["email"]}
        with db.reading() as session:
            found = bans.check(session, address.parse("Anna@example.fi"))
        assert [each.list for each in found.forbidden] == [None, SLUG, "toinen"]
        assert [detail.get("list") for _act, _about, detail in acts()] == [2, 1, None]


class TestLeaving:
    def test_takes_off_the_list_whoever_is_on_it_and_tells_nobody(self, shop: Program) -> None:
        number = person("on@example.fi")
        person("left@example.fi", State.LEFT)
        person("pending@example.fi", State.PENDING)
        answers = [
            shop.post(f"/lists/{SLUG}/leaves", {"email": mailbox, "source": "till 3"})
            for mailbox in ("ON@example.fi", "on@example.fi", "left@example.fi", "pending@example.fi", "x@example.fi")
        ]
        assert {(answer.status_code, answer.data) for answer in answers} == {(200, b'{"done":true}')}
        assert [state(f"{name}@example.fi") for name in ("on", "left", "pending", "x")] == [*[State.LEFT] * 3, None]
        assert acts()[0] == ("api_leave_given", f"person {number}", {"list": 1})
        entry = last_entry("on@example.fi")
        assert (entry["event"], entry["source"]) == ("left", "api")
        assert entry["evidence_content"]["source"] == "till 3"

    def test_follows_a_corrected_address(self, shop: Program) -> None:
        number = person("old@example.fi")
        with db.transaction() as session:
            told = registrar.Told("phone", "Call 1", NOW.date(), "Maija")
            registrar.correct_address(session, number, address.parse("new@example.fi"), told, now=NOW)
        assert state("new@example.fi") is State.PENDING
        shop.post(f"/lists/{SLUG}/leaves", {"email": "old@example.fi", "source": "till"})
        assert state("new@example.fi") is State.LEFT


class TestPeople:
    def test_are_taken_in_by_the_rules_of_an_import(self, shop: Program) -> None:
        person("left@example.fi", State.LEFT)
        person("consent@example.fi")
        forbid("banned@example.fi")
        people = [
            {"email": "Uusi@example.fi", "name": "Uusi Asiakas", "language": "svenska", "sale_reference": "T-1"},
            {"email": "left@example.fi", "sale_reference": "T-2"},
            {"email": "banned@example.fi", "sale_reference": "T-3"},
            {"email": "nosale@example.fi", "name": None},
            {"email": "not an address", "sale_reference": "T-4"},
            {"email": "uusi@example.fi", "sale_reference": "T-5"},
            {"email": "consent@example.fi", "sale_reference": "T-6"},
            {"email": "kieli@example.fi", "language": "Klingon", "sale_reference": "T-7"},
            {"email": "named@example.fi", "name": "x" * 201, "sale_reference": "T-8"},
        ]
        body = {"basis": "customer", "source": "Web shop, November", "people": people}
        answer = shop.post(f"/lists/{SLUG}/people", body)
        assert answer.status_code == 200
        told = answer.get_json()
        refused = {each["index"]: each["reason"] for each in told.pop("refused")}
        assert told == {
            "added": 2, "updated": 0, "unchanged": 1,
            "remarks": [{"index": 7, "words": ["unknown language: mails go out in Finnish"]}],
        }  # fmt: skip
        assert sorted(refused) == [1, 2, 3, 4, 5, 8]
        assert refused[3] == "a customer without a sale reference"
        assert refused[5] == "a duplicate: the same address is at 0"
        assert "banned" in refused[2]
        assert not any("@example" in reason for reason in refused.values())
        assert state("uusi@example.fi") is State.ACTIVE
        with db.reading() as session:
            found = register.find(session, address.parse("uusi@example.fi"))
            assert found is not None
            assert (found.mailbox, found.name, found.language) == ("Uusi@example.fi", "Uusi Asiakas", "sv")
            standing = session.scalars(select(Subscription).where(Subscription.person_id == found.id)).one()
            assert (standing.basis, standing.sale_reference) == ("customer", "T-1")
            assert standing.source == "api: Web shop, November"
            assert session.scalar(select(Request.id).where(Request.person_id == found.id)) is None, "no letter"
            assert "api: Web shop, November" in audience_query.sources(session, standing.list_id)
        assert state("left@example.fi") is State.LEFT
        entry = last_entry("uusi@example.fi")
        assert (entry["event"], entry["source"]) == ("imported", "api")
        kept = entry["evidence_content"]
        assert (kept["how"], kept["system"], kept["source"]) == ("api", "Web shop", "Web shop, November")
        assert "file" not in kept
        assert hashlib.sha256(json.dumps(body).encode()).hexdigest() not in str(kept)
        assert kept["recorded_by"].startswith("program Web shop (")
        assert acts() == [
            ("api_people_taken_in", "list 1", {"added": 2, "updated": 0, "unchanged": 1, "refused": 6})
        ]  # fmt: skip
        again = shop.post(f"/lists/{SLUG}/people", body).get_json()
        assert (again["added"], again["updated"], again["unchanged"]) == (0, 0, 3)
        with db.reading() as session:
            assert session.scalar(select(func.count(Evidence.id)).where(Evidence.person_id.is_(None))) == 1

    def test_are_not_changed_where_they_are_on_another_list(self, shop: Program) -> None:
        second_list()
        shut = person("shut@example.fi")
        with db.transaction() as session:
            making.named(session, ("matti@example.fi", "Matti"), now=NOW)
            restriction.restrict(
                session, session.get_one(Person, shut), source="own page", origin=making.ORIGIN, now=NOW
            )
        people = [{"email": each, "name": "Zz", "language": "sv"} for each in ("matti@example.fi", "shut@example.fi")]
        told = shop.post(
            "/lists/toinen/people", {"basis": "organisation", "source": "fair", "people": people}
        ).get_json()
        assert (told["added"], told["remarks"]) == (1, [])
        [refused] = told["refused"]
        assert refused == {"index": 1, "reason": "refused: this person can't be put on the list; staff can see why"}
        with db.reading() as session:
            matti = register.find(session, address.parse("matti@example.fi"))
            assert matti is not None
            assert (matti.name, matti.language) == ("Matti", "fi")

    def test_come_a_thousand_at_a_time(self, shop: Program) -> None:
        people = [{"email": f"p{n}@example.fi"} for n in range(1000)]
        answer = shop.post(f"/lists/{SLUG}/people", {"basis": "organisation", "source": "trade fair", "people": people})
        assert answer.get_json()["added"] == 1000


def test_the_zone_of_a_visitors_address_is_not_kept() -> None:
    given = shapes.RequestGiven(email="a@example.fi", client=f"fe80::1%{'x' * 3000}")
    assert given.client == "fe80::1"


class TestRequests:
    def test_are_written_down_whoever_it_is(self, shop: Program, bells: list[frozenset[str]]) -> None:
        person("on@example.fi")
        forbid("banned@example.fi")
        bells.clear()
        with db.reading() as session:
            taken = session.scalars(select(Request.id)).all()
        with db.reading() as session:
            shown = lists.current_text(session, making.the_list(session), "sv").digest.hex()
        body = {
            "language": "sv",
            "text": shown.upper(),
            "client": "192.0.2.9",
            "agent": "M\n" * 301,
            "name": " Aino ",
        }
        answers = [
            shop.post(f"/lists/{SLUG}/requests", {"email": mailbox, **body, "client": f"192.0.2.{n}"})
            for n, mailbox in enumerate(("on@example.fi", "banned@example.fi", "new@example.fi"))
        ]
        assert {(answer.status_code, answer.data) for answer in answers} == {(202, b'{"done":true}')}
        assert bells == [frozenset({db.REQUESTS})] * 3
        with db.reading() as session:
            rows = session.scalars(select(Request).where(Request.id.not_in(taken)).order_by(Request.id)).all()
            assert [row.mailbox for row in rows] == ["on@example.fi", "banned@example.fi", "new@example.fi"]
            last = rows[-1]
            assert (last.entrance, last.kind, last.language, last.name) == ("api", "join", "sv", "Aino")
            assert session.get_one(ConsentText, last.text_id).digest.hex() == shown
            origin = dict(last.origin or {})
        assert origin.pop("recorded_by").startswith("program Web shop (")
        kept = {"how": "api", "client": "192.0.2.2", "user_agent": "M" * 300, "language": "sv", "system": "Web shop"}
        assert origin == kept
        with db.transaction() as session:
            while requests.take(session, now=db.utcnow()):
                pass
        with db.reading() as session:
            rows = session.scalars(select(Request).where(Request.id.not_in(taken)).order_by(Request.id)).all()
            assert [row.outcome for row in rows] == ["already", "banned", "asked"]
            assert all(row.origin is None for row in rows), "like a form's, it goes once it is taken"
        entry = last_entry("new@example.fi")
        assert (entry["event"], entry["source"]) == ("asked", "api")
        assert entry["evidence_content"]["client"] == "192.0.2.2"
        assert {act for act, _about, _detail in acts()} == {"api_request_written_down"}

    def test_hold_to_the_limits_of_every_entrance(self, app: Flask, shop: Program) -> None:
        for _ in range(3):
            assert shop.post(f"/lists/{SLUG}/requests", {"email": "a@example.fi"}).status_code == 202
        app.test_client().post(f"/lists/{SLUG}", data={"email": "A@example.fi"})
        with db.transaction() as session:
            while requests.take(session, now=db.utcnow()):
                pass
            assert len(session.scalars(select(Request.id).where(Request.letter_due)).all()) == 1

    @ONE_DATABASE
    def test_are_counted_by_the_visitor_too(self, app: Flask, shop: Program) -> None:
        body = {"email": "a@example.fi", "client": "192.0.2.7"}
        found = [shop.post(f"/lists/{SLUG}/requests", body).status_code for _ in range(11)]
        assert found == [202] * 10 + [429]
        refused = shop.post(f"/lists/{SLUG}/requests", body)
        assert "“client”" in refused.get_json(force=True)["detail"]
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        here = {"REMOTE_ADDR": "192.0.2.7"}
        form = app.test_client().post(f"/lists/{SLUG}", data={"email": "b@example.fi"}, environ_overrides=here)
        assert form.status_code == 429
        assert shop.post(f"/lists/{SLUG}/requests", {**body, "client": "192.0.2.8"}).status_code == 202

    @ONE_DATABASE
    def test_for_a_list_that_the_token_is_not_good_for_count_for_no_visitor(self, app: Flask, shop: Program) -> None:
        second_list()
        with db.reading() as session:
            elsewhere = program(app, list_id=lists.find(session, "toinen").id)
        body = {"email": "a@example.fi", "client": "192.0.2.7"}
        assert {elsewhere.post(f"/lists/{SLUG}/requests", body).status_code for _ in range(11)} == {403}
        assert shop.post(f"/lists/{SLUG}/requests", body).status_code == 202

    @ONE_DATABASE
    def test_wait_while_a_proof_of_work_is_asked_for(self, shop: Program) -> None:
        with db.transaction() as session:
            lists.set_value(session, making.the_list(session), "proof-of-work", "on", now=NOW)
        shop.post(f"/lists/{SLUG}/requests", {"email": "a@example.fi"})
        with db.reading() as session:
            row = session.scalars(select(Request)).one()
            assert row.not_before - row.received_at == requests.WAIT

    @ONE_DATABASE
    def test_are_kept_while_the_ban_key_is_wrong(self, app: Flask, shop: Program) -> None:
        db.install(app, keys=Keys(b"another key, another key, another"))
        assert shop.post(f"/lists/{SLUG}/requests", {"email": "a@example.fi"}).status_code == 202

    @ONE_DATABASE
    def test_show_the_texts_that_are_in_force(self, shop: Program) -> None:
        told = shop.get(f"/lists/{SLUG}/texts").get_json()
        assert (told["list"], told["name"]) == (SLUG, "Tector tiedottaa")
        assert [each["language"] for each in told["texts"]] == ["fi", "sv", "en"]
        with db.reading() as session:
            text = lists.current_text(session, making.the_list(session), "en")
            assert told["texts"][2] == {"language": "en", "text": text.body, "digest": text.digest.hex()}


def test_a_bulletin_is_told_as_the_command_tells_it(app: Flask, shop: Program) -> None:
    person("a@example.fi")
    second_list()
    with db.transaction() as session:
        made = making.written(session, now=NOW, fi="Uutisia")
        other = lists.find(session, "toinen").id
    answer = shop.get(f"/bulletins/{made.id}")
    assert answer.get_json()["state"] == "draft"
    with db.transaction() as session:
        dispatch.send(session, made.id, sender="T <t@example.fi>", by="x", at=None, publishers=(), now=NOW)
        dispatch.begin_due(session, now=NOW)
    told = shop.get(f"/bulletins/{made.id}").get_json()
    with db.reading() as session:
        found = dispatch.status(session, made.id)
    assert told == {name: moments.exact(getattr(found, name)) for name in told}
    assert list(told) == list(found.__dataclass_fields__)
    assert (told["state"], told["audience"], told["pending"]) == ("sending", 1, 1)
    elsewhere = program(app, Scope.BULLETINS_READ, list_id=other)
    refused = [elsewhere.get(f"/bulletins/{made.id}")]
    refused += [one.get(f"/bulletins/{n}") for one in (shop, elsewhere) for n in (made.id + 1, 2**31, 10**20)]
    assert {answer.status_code for answer in refused} == {404}
    assert len({answer.data for answer in refused}) == 1, "which bulletins other lists have is not told"


def test_what_can_not_be_entered_is_not_lost_in_silence(app: Flask, shop: Program) -> None:
    """With a wrong ban key nobody would be found: whoever handed it over has to know that it is not in."""
    person("a@example.fi")
    right = app.extensions["mailinglist_session"]["info"]["keys"]
    db.install(app, keys=Keys(b"another key, another key, another"))
    calls = {
        "/bans": {"email": "a@example.fi", "channels": "all", "source": "x"},
        "/bans/check": {"items": [{"email": "a@example.fi"}]},
        f"/lists/{SLUG}/leaves": {"email": "a@example.fi", "source": "x"},
        f"/lists/{SLUG}/people": {"basis": "consent", "source": "x", "people": [{"email": "b@example.fi"}]},
    }
    for path, body in calls.items():
        answer = shop.post(path, body)
        assert (answer.status_code, answer.content_type, answer.headers["Retry-After"]) == (503, problem.TYPE, "60")
        assert "send it again" in answer.get_json(force=True)["detail"]
        assert "KEY" not in answer.text
    db.install(app, keys=right)
    assert acts() == []
    assert state("a@example.fi") is State.ACTIVE
    with db.reading() as session:
        assert session.scalar(select(Ban)) is None
    for path, body in calls.items():
        assert shop.post(path, body).status_code == 200
    assert state("a@example.fi") is State.LEFT


@ONE_DATABASE
def test_what_goes_wrong_inside_is_told_without_a_page_and_without_what_it_was(
    shop: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    body, unknown = {"items": [{"email": "a@example.fi"}]}, "may have been taken in or not"
    for error, status, words in (
        (ZeroDivisionError("a@example.fi"), 500, unknown),
        (OperationalError("SELECT", {"email": "a@example.fi"}, Exception("gone")), 503, unknown),
        (OptOutsWait("a@example.fi"), 503, "Nothing of what you sent was taken in"),
    ):

        def fails(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(ban_lists, "look_up", fails)
        answer = shop.post("/bans/check", body)
        assert (answer.status_code, answer.content_type) == (status, problem.TYPE)
        assert words in answer.text
        assert "keep it, and send it again" in answer.text
        assert "example.fi" not in answer.text
