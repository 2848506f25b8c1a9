"""The registrar's desk: finding persons, everything about one, and what staff write down for them."""

from __future__ import annotations

import html
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

import staffing
from conftest import NOW
from mailinglist import db
from mailinglist.consent import address, bans, gate, lists, notes, proof, register, requests, verification
from mailinglist.consent.states import Channel, State
from mailinglist.consent.tables import Evidence, Note, Person, Request, Subscription
from mailinglist.staff.levels import Level
from mailinglist.staff.tables import AuditEntry
from making import person, the_list

XSS = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
TOLD = {"how": "phone", "on": "2026-11-02", "words": "Call 17, asked for it"}
DATA = "/staff/persons/{}"


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "utcnow", lambda: NOW)


@pytest.fixture
def desk(app: Flask) -> staffing.Signed:
    """A registrar at the desk."""
    return staffing.signed_in(app, Level.REGISTRAR, name="Riitta Rekisteri")


@pytest.fixture
def matti(app: Flask) -> int:
    """Somebody on the list."""
    return make("Matti@example.fi")


def make(mailbox: str, state: State = State.ACTIVE) -> int:
    with db.transaction() as session:
        return person(session, mailbox, now=NOW - timedelta(days=1), state=state).id


def audited() -> list[tuple[str, str, dict[str, object]]]:
    with db.reading() as session:
        return [(row.act, row.about, row.detail) for row in session.scalars(select(AuditEntry).order_by(AuditEntry.id))]


def state_of(number: int) -> str:
    with db.reading() as session:
        return session.scalars(select(Subscription.state).where(Subscription.person_id == number)).one()


def channels(mailbox: str) -> tuple[str, ...]:
    with db.reading() as session:
        return bans.check(session, address.parse(mailbox)).channels


def found_in(text: str) -> list[str]:
    return re.findall(r'<th scope="row"><a href="/staff/persons/\d+">([^<]*)</a>', text)


# ── finding ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_finds_by_the_start_of_the_address_and_by_the_domain(desk: staffing.Signed, matti: int) -> None:
    assert "Matti@example.fi" not in desk.get("/staff/persons").text, "nobody is shown before something is asked for"
    assert audited() == []
    make("mari@other.fi", State.LEFT)
    assert found_in(desk.get("/staff/persons?q=ma").text) == ["mari@other.fi", "Matti@example.fi"]
    assert found_in(desk.get("/staff/persons?q=MATTI").text) == ["Matti@example.fi"]
    assert found_in(desk.get("/staff/persons?q=@other.fi").text) == ["mari@other.fi"]
    assert found_in(desk.get("/staff/persons?q=&state=left").text) == ["mari@other.fi"]
    assert found_in(desk.get("/staff/persons?list=tector-tiedottaa&state=active").text) == ["Matti@example.fi"]
    assert audited()[0] == ("persons_seen", "", {"number": 2})
    assert audited()[-1] == ("persons_seen", "", {"number": 1, "list": "tector-tiedottaa", "state": "active"})


def test_pages_go_by_key_with_the_filters_kept_and_without_addresses(desk: staffing.Signed) -> None:
    with db.transaction() as session:
        for number in range(55):
            register.enter(session, address.parse(f"p{number:02}@example.fi"), language="fi", name=None, now=NOW)
    first = desk.get("/staff/persons?q=p")
    onward = html.unescape(re.search(r'rel="next" href="([^"]+)"', first.text)[1])
    assert re.fullmatch(r"/staff/persons\?q=p&after=\d+", onward)
    second = desk.get(onward)
    every = found_in(first.text) + found_in(second.text)
    assert every == [f"p{number:02}@example.fi" for number in range(55)]
    assert 'rel="next"' not in second.text
    assert 'href="/staff/persons?q=p"' in second.text


def test_what_can_not_be_looked_for_is_said_and_there_is_no_page_after_nobody(desk: staffing.Signed) -> None:
    for query in ("state=nonsense", "list=nowhere", "q=" + "x" * 390):
        answer = desk.get(f"/staff/persons?{query}")
        assert answer.status_code == 422, query
        assert 'role="alert"' in answer.text, query
    for after in ("x", "-1", "9" * 30, "4294967296", "999"):
        assert desk.get(f"/staff/persons?q=&after={after}").status_code == 404, after
    assert "Search again" in desk.get("/staff/persons?q=&after=999").text


def test_an_address_that_nobody_has_can_be_entered(desk: staffing.Signed, matti: int) -> None:
    answer = desk.get("/staff/persons?q=new@example.fi")
    assert "new@example.fi is not in the register" in answer.text
    assert "is not in the register" not in desk.get("/staff/persons?q=matti@EXAMPLE.fi").text
    form = desk.get("/staff/persons/new?address=new@example.fi")
    assert 'value="new@example.fi"' in form.text


# ── one person ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_page_tells_everything_with_the_exact_text_and_is_audited(desk: staffing.Signed, matti: int) -> None:
    with db.transaction() as session:
        text = lists.current_text(session, the_list(session), "fi").body
        notes.add(session, matti, "contact", "Rang about shoes", on=NOW, who="maija", now=NOW)
    shown = desk.get(DATA.format(matti))
    assert shown.status_code == 200
    for words in ("Matti@example.fi", "On the list", "Confirmed", "Asked to join", "192.0.2.7", "Rang about shoes"):
        assert words in shown.text, words
    assert html.escape(text, quote=False).replace("“", "“") in html.unescape(shown.text).replace("&#34;", '"')
    assert audited() == [("person_seen", f"person {matti}", {})]
    assert shown.headers["Cache-Control"] == "no-store"


def test_each_form_about_a_person_is_a_look(desk: staffing.Signed, matti: int) -> None:
    for number in ("0", "99999999999999999999"):
        for below in ("", "/leave", "/details", "/address", "/ban", "/lift", "/export", "/erase"):
            assert desk.get(DATA.format(number) + below).status_code == 404, below
    assert audited() == []
    for below in ("leave", "details", "address", "ban", "lift", "export", "erase"):
        assert "Matti@example.fi" in desk.get(f"/staff/persons/{matti}/{below}").text
    assert "Matti@example.fi" in desk.get(f"/staff/persons/new?person={matti}").text
    assert audited() == [("person_seen", f"person {matti}", {})] * 8


def test_nothing_that_was_stored_runs(desk: staffing.Signed, matti: int) -> None:
    details = {"name": XSS, "language": "sv", **TOLD, "words": XSS}
    assert desk.post(f"/staff/persons/{matti}/details", details).status_code == 303
    assert (
        desk.post(f"/staff/persons/{matti}/notes", {"kind": "note", "on": "2026-11-01", "words": XSS}).status_code
        == 303
    )
    assert desk.post(f"/staff/persons/{matti}/ban", {"channels": "post", **TOLD, "words": XSS}).status_code == 303
    looks = [
        desk.get(DATA.format(matti)), desk.get("/staff/persons?q=m"), desk.get(f"/staff/persons?q={XSS}"),
        desk.get(f"/staff/persons/{matti}/details"), desk.get(f"/staff/bans?address={XSS}"),
        desk.post(f"/staff/persons/{matti}/details", {**details, "how": XSS, "on": XSS}),
    ]  # fmt: skip
    assert "&lt;script&gt;" in looks[0].text
    for look in looks:
        assert "<script>alert" not in look.text
        assert "<img src=x" not in look.text


# ── what staff write down ─────────────────────────────────────────────────────────────────────────────────────────────


def join(desk: staffing.Signed, **fields: str) -> Any:
    values = {"address": "new@example.fi", "list": "tector-tiedottaa", "name": "Uusi", "language": "sv", **TOLD}
    return desk.post("/staff/persons/new", {**values, **fields})


def test_a_join_goes_through_the_letter(desk: staffing.Signed) -> None:
    assert join(desk).status_code == 303
    with db.transaction() as session:
        request = session.scalars(select(Request)).one()
        assert (request.entrance, request.language, request.name) == ("staff", "sv", "Uusi")
        assert request.origin is not None
        assert request.origin["recorded_by"] == "Riitta Rekisteri"
        requests.take(session, now=NOW)
        found = register.find(session, address.parse("new@example.fi"))
        assert found is not None
        number = found.id
    assert state_of(number) == "pending"
    assert audited() == [("join_entered", "", {"how": "phone", "list": 1})]
    shown = desk.get(DATA.format(number)).text
    assert "Awaits the answer" in shown
    assert "Call 17, asked for it" in shown


def test_a_join_that_lacks_something_is_not_written_down(desk: staffing.Signed) -> None:
    for field, value in (
        ("address", "nonsense"), ("list", "nowhere"), ("language", "de"), ("how", "rumour"), ("words", " "),
        ("on", "2026-11-03"), ("on", "yesterday"), ("words", "x" * 2001), ("name", "x" * 201),
    ):  # fmt: skip
        assert join(desk, **{field: value}).status_code == 422, field
    with db.reading() as session:
        assert session.scalar(select(Request.id)) is None
    assert audited() == []


def test_a_join_against_a_ban_or_of_who_is_on_the_list_is_refused(desk: staffing.Signed, matti: int) -> None:
    assert "This person is on the list already." in join(desk, address="matti@example.fi").text
    with db.transaction() as session:
        digest = bans.digests(session, address.parse("new@example.fi"))[0]
        bans.add(session, digest, [Channel.EMAIL], source="x", now=NOW)
    assert "The ban has to be lifted first." in join(desk).text


def test_a_leave(desk: staffing.Signed, matti: int) -> None:
    where = f"/staff/persons/{matti}/leave"
    assert desk.post(where, {"list": "tector-tiedottaa", **TOLD, "words": ""}).status_code == 422
    assert state_of(matti) == "active"
    assert desk.post(where, {"list": "tector-tiedottaa", **TOLD}).status_code == 303
    assert state_of(matti) == "left"
    assert desk.post(where, {"list": "nowhere", **TOLD}).status_code == 422
    with db.reading() as session:
        entry = proof.prove(session, "matti@example.fi")[-1]
    assert entry["evidence_content"]["evidence"] == TOLD["words"]
    seen: tuple[str, str, dict[str, Any]] = ("person_seen", f"person {matti}", {})
    assert audited() == [seen, ("leave_entered", f"person {matti}", {"how": "phone", "list": 1}), seen]


def test_a_restriction_and_its_end(desk: staffing.Signed, matti: int) -> None:
    where = f"/staff/persons/{matti}/restriction"

    def may_be_mailed() -> bool:
        with db.reading() as session:
            return not gate.refusals(session, gate.Mail.BULLETIN, list_id=1, persons=[matti], now=db.utcnow())

    assert may_be_mailed()
    assert desk.post(where, {**TOLD, "words": ""}).status_code == 422
    assert may_be_mailed()
    assert desk.post(where, TOLD).status_code == 303
    assert not may_be_mailed()
    assert "End the restriction" in desk.get(where).text
    assert desk.post(where + "/end", TOLD).status_code == 303
    assert may_be_mailed()
    with db.reading() as session:
        began, ended = proof.prove(session, "matti@example.fi")[-2:]
        assert not list(verification.verify(session))
    assert (began["event"], ended["event"]) == ("restricted", "unrestricted")
    assert ended["evidence_content"]["evidence"] == TOLD["words"]
    acts = [act for act, _about, _detail in audited()]
    assert [each for each in acts if each != "person_seen"] == ["person_restricted", "person_unrestricted"]


def test_who_could_not_be_reached_may_be_mailed_again(desk: staffing.Signed) -> None:
    number = make("fails@example.fi", State.UNDELIVERABLE)
    assert "Mail them again" in desk.get(DATA.format(number)).text
    assert desk.post(f"/staff/persons/{number}/restore", {"list": "tector-tiedottaa"}).status_code == 303
    assert state_of(number) == "active"
    gone = make("gone@example.fi", State.LEFT)
    assert desk.post(f"/staff/persons/{gone}/restore", {"list": "tector-tiedottaa"}).status_code == 409
    assert state_of(gone) == "left"


def test_corrections(desk: staffing.Signed, matti: int) -> None:
    where = f"/staff/persons/{matti}/details"
    assert desk.post(where, {"name": "Matti M", "language": "sv", **TOLD}).status_code == 303
    assert desk.post(where, {"name": "Matti M", "language": "de", **TOLD}).status_code == 422
    where = f"/staff/persons/{matti}/address"
    taken = make("taken@example.fi")
    assert "has its own entry" in desk.post(where, {"address": "taken@example.fi", **TOLD}).text
    assert desk.post(where, {"address": "nonsense", **TOLD}).status_code == 422
    assert desk.post(where, {"address": "matti.uusi@example.fi", **TOLD}).status_code == 303
    with db.reading() as session:
        held = session.get_one(Person, matti)
        assert (held.mailbox, held.name, held.language) == ("matti.uusi@example.fi", "Matti M", "sv")
        assert list(verification.verify(session)) == []
    assert (state_of(matti), state_of(taken)) == ("pending", "active")
    assert [line for line in audited() if line[0] != "person_seen"] == [
        ("person_corrected", f"person {matti}", {"how": "phone", "fields": ["name", "language"]}),
        ("person_corrected", f"person {matti}", {"how": "phone", "fields": ["address"], "letters": 1}),
    ]
    assert "Came here from a corrected address" in desk.get(DATA.format(matti)).text


def test_notes_come_and_go(desk: staffing.Signed, matti: int) -> None:
    where = f"/staff/persons/{matti}/notes"
    for wrong in ({"words": ""}, {"on": "2026-11-03"}, {"on": "0001-01-01"}, {"kind": "rumour"}, {"words": "x" * 4001}):
        assert desk.post(where, {"kind": "note", "on": "2026-11-02", "words": "Called", **wrong}).status_code == 422
    assert desk.post(where, {"kind": "meeting", "on": "2026-11-02", "words": "Met\nat the fair"}).status_code == 303
    with db.reading() as session:
        note = session.scalars(select(Note)).one()
        noted = note.id
        assert (note.who, note.words) == ("Riitta Rekisteri", "Met\nat the fair")
    other = make("other@example.fi")
    assert desk.post(f"/staff/persons/{other}/notes/{noted}/remove").status_code == 404
    assert desk.post(f"{where}/99999999999999999999/remove").status_code == 404
    assert desk.post(f"{where}/{noted}/remove").status_code == 303
    with db.reading() as session:
        assert session.scalar(select(Note.id)) is None
    assert [act for act, *_ in audited() if act != "person_seen"] == ["note_added", "note_removed"]


# ── bans ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_ban_for_an_address_that_is_in_no_register(desk: staffing.Signed) -> None:
    fields = {"address": "stranger@example.fi", "channels": ["email", "post"], **TOLD}
    assert desk.post("/staff/bans/add", {**fields, "channels": []}).status_code == 422
    assert desk.post("/staff/bans/add", {**fields, "words": ""}).status_code == 422
    assert desk.post("/staff/bans/add", fields).status_code == 303
    assert channels("stranger@example.fi") == ("email", "post")
    shown = desk.get("/staff/bans?address=Stranger@example.fi")
    assert "Marketing by e-mail" in shown.text
    assert "Nobody with this address" in shown.text
    assert audited() == [
        ("ban_added", "", {"channels": ["email", "post"], "how": "phone"}), ("ban_checked", "", {}),
    ]  # fmt: skip
    assert "No ban is in force" in desk.get("/staff/bans?address=other@example.fi").text
    assert desk.get("/staff/bans?address=nonsense").status_code == 422


def test_a_ban_of_a_person_and_its_lifting(desk: staffing.Signed, matti: int) -> None:
    where = f"/staff/persons/{matti}/ban"
    assert desk.post(where, {"channels": ["email", "post", "phone", "disclosure"], **TOLD}).status_code == 303
    assert channels("matti@example.fi") == ("email", "post", "phone", "disclosure")
    again = desk.post(where, {"channels": "email", **TOLD}, follow_redirects=True)
    assert "That was forbidden already." in again.text
    assert again.text.count("In force") == 4
    where = f"/staff/persons/{matti}/lift"
    assert desk.post(where, {"channels": "post", **TOLD, "words": ""}).status_code == 422
    assert desk.post(where, {**TOLD}).status_code == 422
    assert desk.post(where, {"channels": "post", **TOLD}).status_code == 303
    assert channels("matti@example.fi") == ("email", "phone", "disclosure")
    assert "No such ban is in force" in desk.post(where, {"channels": "post", **TOLD}).text
    assert ("ban_lifted", f"person {matti}", {"channels": ["post"], "how": "phone"}) in audited()


def test_lifting_asks_for_a_fresh_sign_in(app: Flask, matti: int) -> None:
    with db.transaction() as session:
        bans.add(
            session, bans.digests(session, address.parse("matti@example.fi"))[0], [Channel.EMAIL], source="x", now=NOW
        )
    stale = staffing.signed_in(app, Level.REGISTRAR, fresh=False)
    for where in (f"/staff/persons/{matti}/lift", "/staff/bans/lift"):
        answer = stale.post(where, {"address": "matti@example.fi", "channels": "email", **TOLD})
        assert answer.location == "/staff/again?pressed=1"
    assert channels("matti@example.fi") == ("email",)


# ── rights ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_person_gets_their_data_without_who_of_the_staff_wrote_it(desk: staffing.Signed, matti: int) -> None:
    desk.post(f"/staff/persons/{matti}/notes", {"kind": "note", "on": "2026-11-02", "words": "Called"})
    desk.post(f"/staff/persons/{matti}/ban", {"channels": "post", **TOLD})
    answer = desk.post(f"/staff/persons/{matti}/export")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="person-{matti}.json"'
    held = json.loads(answer.text)
    register = held["register"]
    assert (register["address"], register["notes"][0]["words"]) == ("Matti@example.fi", "Called")
    assert [entry["event"] for entry in register["history"]] == ["asked", "confirmed", "banned"]
    assert register["history"][0]["text_shown"]
    assert register["history"][2]["evidence"]["evidence"] == TOLD["words"]
    assert "Riitta" not in answer.text
    assert "salt" not in answer.text
    assert audited()[-1] == ("person_exported", f"person {matti}", {})


def test_erasure_needs_the_address_typed_and_says_what_is_kept(desk: staffing.Signed, matti: int) -> None:
    where = f"/staff/persons/{matti}/erase"
    desk.post(f"/staff/persons/{matti}/ban", {"channels": "email", **TOLD})
    for typed in ("", "other@example.fi"):
        assert desk.post(where, {"address": typed}).status_code == 422
    assert state_of(matti) == "active"
    done = desk.post(where, {"address": " matti@EXAMPLE.fi "})
    assert done.status_code == 200
    for words in ("Marketing bans", "Entries of the consent history", "Subscriptions"):
        assert words in done.text, words
    with db.reading() as session:
        assert session.scalar(select(Person.id)) is None
        assert session.scalar(select(Evidence.id)) is None
        assert list(verification.verify(session)) == []
    assert channels("matti@example.fi") == ("email",)
    assert audited()[-1] == ("person_erased", f"person {matti}", {})
    assert desk.get(DATA.format(matti)).status_code == 404


def test_the_audit_holds_no_address(desk: staffing.Signed, matti: int) -> None:
    desk.get("/staff/persons?q=matti@example.fi")
    desk.get(DATA.format(matti))
    desk.get("/staff/bans?address=matti@example.fi")
    join(desk, address="matti2@example.fi")
    with db.reading() as session:
        for row in session.scalars(select(AuditEntry)):
            assert "matti" not in f"{row.about}{row.detail}{row.who}"


def test_who_is_on_the_list_and_banned_is_not_shown_as_mailed(desk: staffing.Signed, matti: int) -> None:
    words = "On the list, but banned: nothing is mailed"
    assert words not in desk.get(f"/staff/persons/{matti}").text
    with db.transaction() as session:
        digest = bans.digests(session, address.parse("matti@example.fi"))[0]
        bans.add(session, digest, [Channel.EMAIL], source="letter", now=db.utcnow())
    assert words in desk.get(f"/staff/persons/{matti}").text


def test_how_they_told_us_is_chosen_by_whoever_writes_it_down(desk: staffing.Signed, matti: int) -> None:
    page = desk.get(f"/staff/persons/{matti}/leave?list=tector-tiedottaa").text
    chosen = re.findall(r'<option value="([^"]*)" selected', page[page.index('id="how"') :])
    assert chosen[0] == ""
