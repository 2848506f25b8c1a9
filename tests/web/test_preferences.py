"""One's own page: the form for a key, the letter, the page, and each act of it."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, func, select, update
from sqlalchemy.orm import Session

import making
from catching import Caught, html_of, text_of
from conftest import NOW
from mailinglist import db
from mailinglist.consent import (
    bans,
    export,
    gate,
    journal,
    journal_file,
    lists,
    notes,
    own_page,
    proof,
    register,
    requests,
    restriction,
    verification,
)
from mailinglist.consent.address import parse
from mailinglist.consent.states import ALL_CHANNELS, Channel, State
from mailinglist.consent.tables import Ban, KeyCheck, LedgerEntry, Person, Request
from mailinglist.delivery import post
from mailinglist.delivery.tables import Handoff
from mailinglist.privacy import disclosures, rights, tasks
from mailinglist.privacy.tables import Task
from mailinglist.staff import audit
from mailinglist.staff.audit import Actor

PAGE = "/preferences"
MATTI = "Matti@example.fi"
NAMED = ("new", "pending", "active", "left", "gone", "banned", "restricted")
KEY_SUBJECT = "A link to your own page"


@pytest.fixture
def extra_settings(caught: Caught) -> dict[str, str]:
    return {"smtp_url": caught.url}


def known(state: State = State.ACTIVE, mailbox: str = MATTI) -> int:
    """Somebody on the default list since yesterday; their id."""
    with db.transaction() as session:
        return making.person(session, mailbox, now=db.utcnow() - timedelta(days=1), state=state).id


def token(mailbox: str = MATTI, *, at: datetime | None = None) -> str:
    """A key to the page of this address, as the letter would have it."""
    with db.reading() as session:
        keys = session.info["keys"]
        address = parse(mailbox)
        key = own_page.Key(keys.digest(address.folded), keys.digest(address.mailbox), at or db.utcnow())
        return key.token(register.tokens_of(session))


def forbid(mailbox: str, *channels: Channel, source: str = "phone") -> None:
    with db.transaction() as session:
        digest = session.info["keys"].digest(parse(mailbox).folded)
        bans.add(session, digest, channels or ALL_CHANNELS, source=source, now=db.utcnow())


def erase(mailbox: str) -> None:
    with db.transaction() as session:
        rights.erase(session, parse(mailbox), db.utcnow())


def person(session: Session, mailbox: str = MATTI) -> Person:
    found = register.find(session, parse(mailbox))
    assert found is not None
    return found


def state() -> str:
    with db.reading() as session:
        standing = register.subscription(session, person(session).id, making.the_list(session).id)
        assert standing is not None
        return standing.state


def sound() -> None:
    """The register says what its ledger says."""
    with db.reading() as session:
        assert list(verification.verify(session)) == []


# ── asking for a key ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_answers_everybody_alike_with_the_same_work(client: FlaskClient, caught: Caught) -> None:
    for state in (State.PENDING, State.ACTIVE, State.LEFT):
        known(state, f"{state.value}@example.fi")
    known(mailbox="restricted@example.fi")
    with db.transaction() as session:
        who = person(session, "restricted@example.fi")
        restriction.restrict(session, who, source="own page", origin={}, now=db.utcnow())
    known(mailbox="banned@example.fi")
    known(mailbox="gone@example.fi")
    forbid("gone@example.fi")
    erase("gone@example.fi")
    forbid("banned@example.fi")
    statements: list[str] = []

    @event.listens_for(db.db.engine, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    seen = set()
    for kind in NAMED:
        statements.clear()
        answer = client.post(PAGE, data={"email": f"{kind}@example.fi", "lang": "en"})
        seen.add((answer.status_code, str(answer.headers), answer.data, tuple(statements)))
    event.remove(db.db.engine, "before_cursor_execute", note)
    assert len(seen) == 1
    assert len([each for each in statements if each.startswith("INSERT")]) == 1
    assert not caught.mails, "the request mails nothing, and makes nothing due"
    with db.reading() as session:
        assert session.scalar(select(func.count()).select_from(Handoff).where(Handoff.kind == "key")) == 0
        assert session.scalar(select(func.count()).where(Request.kind == "key", Request.taken_at.is_(None))) == 7
    post.letters(stop=lambda: False)
    with db.reading() as session:
        letters = session.execute(select(Request.outcome, Request.letter_due).where(Request.kind == "key")).all()
    assert sorted(letters) == [("key", False)] * 6 + [("unknown", False)]
    got = sorted(n for n in NAMED if KEY_SUBJECT in [mail["Subject"] for mail in caught.to(f"{n}@example.fi")])
    assert got == ["active", "banned", "gone", "left", "pending", "restricted"], "from the worker alone"
    assert (answer.status_code, answer.location) == (303, f"{PAGE}/check-mail?lang=en")
    assert "Set-Cookie" not in answer.headers
    assert client.get(answer.location).status_code == 200
    assert client.get(PAGE).status_code == 200


def test_a_malformed_address_gets_the_form_back_and_a_robot_nothing(client: FlaskClient) -> None:
    page = client.post(PAGE, data={"email": "a@@example.fi", "lang": "en"})
    assert page.status_code == 422
    assert "<title>Error: " in page.text
    assert client.post(PAGE, data={"email": "a@example.fi", "website": "x"}).status_code == 303
    with db.reading() as session:
        assert session.scalar(select(Request)) is None
    statuses = [client.post(PAGE, data={"email": "a@example.fi"}).status_code for _ in range(9)]
    assert statuses == [303] * 8 + [429]


def test_the_letter_goes_to_whoever_is_known_or_banned_and_its_link_opens_the_page(
    client: FlaskClient, caught: Caught
) -> None:
    known()
    forbid(MATTI)
    known(mailbox="gone@example.fi")
    forbid("gone@example.fi")
    erase("gone@example.fi")
    for mailbox in (MATTI, "gone@example.fi", "nobody@example.fi"):
        client.post(PAGE, data={"email": mailbox, "lang": "en"})
    post.letters(stop=lambda: False)
    assert sorted(recipient for _, recipient, _ in caught.mails) == [MATTI, "gone@example.fi"]
    [letter] = caught.to(MATTI)
    assert letter["Subject"] == "A link to your own page"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert "one hour" in text_of(letter)
    found = re.search(r"http://127\.0\.0\.1:8000(/preferences/[^\s?]+)", text_of(letter))
    assert found
    assert "matti" not in found[1].lower()
    assert found[1] in html_of(letter)
    page = client.get(found[1])
    assert page.status_code == 200
    assert MATTI in page.text
    [other] = caught.to("gone@example.fi")
    again = re.search(r"http://127\.0\.0\.1:8000(/preferences/[^\s?]+)", text_of(other))
    assert again
    assert len(again[1]) == len(found[1])
    page = client.get(f"{again[1]}?lang=en")
    assert "Your address is in no register of ours" in page.text
    assert page.text.count("Lift the ban") == 4
    with db.reading() as session:
        assert session.scalars(select(Handoff.state).where(Handoff.kind == "key")).all() == ["accepted"] * 2
        outcomes = session.execute(select(Request.outcome, Request.mailbox).where(Request.kind == "key")).all()
    assert sorted(map(tuple, outcomes), key=str) == [
        ("key", "gone@example.fi"), ("key", None), ("unknown", None),
    ]  # fmt: skip


def test_letters_are_few_and_the_address_of_nobody_is_let_go(app: Flask) -> None:
    """One in ten minutes, ten a day, for who is known by a ban only as well."""
    forbid("gone@example.fi")
    known()
    at = db.utcnow()
    outcomes = []
    for minutes in (0, 5, *range(11, 101, 11), 110, 24 * 60 + 1):
        for mailbox in ("gone@example.fi", MATTI):
            with db.transaction() as session:
                now = at + timedelta(minutes=minutes)
                outcomes.append(making.ask(session, mailbox, kind=requests.KEY, now=now).outcome)
    assert outcomes[::2] == outcomes[1::2] == ["key", "limited", *["key"] * 9, "limited", "key"]
    with db.transaction() as session:
        requests.take(session, now=at + timedelta(days=2))
        assert session.scalars(select(Request.mailbox).where(Request.mailbox.is_not(None))).all() == []
        assert session.scalar(select(func.count()).where(Request.digest.is_not(None), Request.domain != "")) == 0


def test_a_stranger_shuts_nobody_out(client: FlaskClient) -> None:
    """Ten keys that somebody else asked for: the newest leads on to a fresh one, once for each key."""
    known()
    forbid("gone@example.fi")

    def asked(mailbox: str, at: datetime) -> str | None:
        with db.transaction() as session:
            return making.ask(session, mailbox, kind=requests.KEY, now=at).outcome

    now = db.utcnow()
    times = [now - timedelta(minutes=11 * n) for n in range(20, 10, -1)]
    for mailbox in (MATTI, "gone@example.fi"):
        assert [asked(mailbox, at) for at in times] == ["key"] * 10
        assert asked(mailbox, now) == "limited"
    newest = times[-1] + timedelta(seconds=2)

    # Mail filters open the links of each mail: were that enough, there would be no limit.
    client.get(f"{PAGE}/{token(at=newest)}")
    assert asked(MATTI, now) == "limited"

    fresh = []
    for _ in range(2):
        assert client.post(f"{PAGE}/{token(at=newest)}", data={"fresh": "1"}).status_code == 303
        with db.transaction() as session:
            requests.take(session, now=db.utcnow())
            fresh.append(session.scalars(select(Request.outcome).order_by(Request.id.desc()).limit(1)).one())
    assert fresh == ["key", "limited"], "pressed twice, mailed once"

    # The address of who is known by a ban only is kept for some hours; later they give it anew.
    client.post(f"{PAGE}/{token('gone@example.fi', at=newest)}", data={"fresh": "1"})
    with db.transaction() as session:
        requests.take(session, now=db.utcnow())
        assert session.scalars(select(Request.outcome).order_by(Request.id.desc()).limit(1)).one() == "key"
    assert asked("gone@example.fi", now + timedelta(minutes=11)) == "key"


def test_what_is_done_on_the_page_frees_the_next_key(client: FlaskClient) -> None:
    known()
    with db.transaction() as session:
        assert making.ask(session, MATTI, kind=requests.KEY, now=db.utcnow()).outcome == "key"
    assert client.post(f"{PAGE}/{token()}", data={"act": "restrict"}).status_code == 303
    with db.transaction() as session:
        assert making.ask(session, MATTI, kind=requests.KEY, now=db.utcnow()).outcome == "key"
        assert making.ask(session, MATTI, kind=requests.KEY, now=db.utcnow()).outcome == "limited"


# ── the page ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_shows_what_is_held_and_why_and_is_kept_by_nobody(client: FlaskClient) -> None:
    number = known()
    with db.transaction() as session:
        notes.add(session, number, "contact", "rang about the price", on=NOW, who="Maija", now=NOW)
        consent = lists.current_text(session, making.the_list(session), "fi").body
        before = _everything(session)
    page = client.get(f"{PAGE}/{token()}?lang=en")
    assert page.status_code == 200
    assert "Your consent (GDPR 6(1)(a))." in page.text
    assert consent.splitlines()[0] in page.text.replace("&#34;", '"')
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert "Set-Cookie" not in page.headers
    assert "script" not in page.headers["Content-Security-Policy"]
    data = client.get(f"{PAGE}/{token()}/data?lang=en")
    assert "rang about the price" in data.text
    assert "Maija" not in data.text
    assert "<dt>List</dt><dd>Tector tiedottaa</dd>" in data.text
    assert "<dd>tector-tiedottaa</dd>" not in data.text
    file = client.get(f"{PAGE}/{token()}/data.json")
    assert file.headers["Content-Disposition"] == 'attachment; filename="my-data.json"'
    assert file.headers["Cache-Control"] == "no-store"
    assert json.loads(file.data)["register"]["address"] == MATTI
    with db.reading() as session:
        assert _everything(session) == before, "GET changes nothing"


def _everything(session: Session) -> list[int]:
    tables = (Request, Ban, LedgerEntry, Person, Task, Handoff)
    return [session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]


def test_an_expired_key_shows_nothing_and_gives_way_to_a_fresh_one(client: FlaskClient) -> None:
    known()
    old = token(at=db.utcnow() - timedelta(hours=1))
    for path in (f"{PAGE}/{old}", f"{PAGE}/{old}/data", f"{PAGE}/{old}/data.json"):
        page = client.get(path)
        assert page.status_code == 410
        assert MATTI not in page.text
        assert 'name="fresh"' in page.text
    for act in ("erase", "leave", "ban"):
        data = {"act": act, "sure": "1", "list": lists.DEFAULT_SLUG, "channel": "all"}
        assert client.post(f"{PAGE}/{old}", data=data).status_code == 410
    assert state() == "active"
    answers = [client.post(f"{PAGE}/{each}", data={"fresh": "1"}) for each in (old, token("nobody@example.fi"))]
    assert {(answer.status_code, answer.location.partition("?")[0]) for answer in answers} == {
        (303, f"{PAGE}/check-mail")
    }
    with db.transaction() as session:
        requests.take(session, now=db.utcnow())
        assert session.scalars(select(Request.outcome).where(Request.kind == "key")).all() == ["key"]


def test_a_forged_key_and_one_of_another_purpose_are_404(client: FlaskClient) -> None:
    known()
    with db.reading() as session:
        foreign = making.leave_token(session, person(session))
    good = token()
    cut = good[:-2] + ("AA" if good[-2:] != "AA" else "BB")
    for bad in (foreign, cut, good.partition(".")[0], "x"):
        for path in (f"{PAGE}/{bad}", f"{PAGE}/{bad}/data", f"{PAGE}/{bad}/data.json"):
            assert client.get(path).status_code == 404
        assert client.post(f"{PAGE}/{bad}", data={"act": "erase", "sure": "1"}).status_code == 404
        assert client.post(f"{PAGE}/{bad}", data={"fresh": "1"}).status_code == 404
    assert state() == "active"


def test_a_key_opens_its_own_address_only(client: FlaskClient) -> None:
    known()
    known(mailbox="maija@example.fi")
    page = client.get(f"{PAGE}/{token('maija@example.fi')}")
    assert "maija@example.fi" in page.text
    assert MATTI not in page.text


# ── acts ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def act(client: FlaskClient, name: str, *, key: str | None = None, **fields: str) -> str:
    """Press a button, twice; what the page then says."""
    path = f"{PAGE}/{key or token()}?lang=en"
    for _ in range(2):
        answer = client.post(path, data={"act": name, **fields})
        assert answer.status_code == 303, answer.text
    shown = client.get(answer.location)
    found = re.search(r'role="status">([^<]+)<', shown.text)
    return found[1] if found else ""


def test_leaving_and_joining_again_by_a_letter(client: FlaskClient, caught: Caught) -> None:
    known()
    assert act(client, "leave", list=lists.DEFAULT_SLUG).startswith("You have left")
    assert state() == "left"
    said = act(client, "join", list=lists.DEFAULT_SLUG)
    assert "once you have confirmed" in said
    post.letters(stop=lambda: False)
    assert state() == "left", "never active at once"
    [letter] = caught.to(MATTI)
    link = re.search(r"http://127\.0\.0\.1:8000(/confirm/\S+)", text_of(letter))
    assert link
    assert client.post(link[1]).status_code == 200
    assert state() == "active"
    sound()


def test_forbidding_and_lifting_by_the_key_with_that_as_evidence(client: FlaskClient) -> None:
    number = known()
    assert act(client, "ban", channel="phone") == "The ban is in force from this moment."
    act(client, "ban", channel="all")
    with db.reading() as session:
        row = making.the_list(session)
        asked: dict[str, Any] = {"list_id": row.id, "persons": [number], "now": db.utcnow()}
        assert gate.refusals(session, gate.Mail.BULLETIN, **asked) == {number: "banned"}
        assert gate.refusals(session, gate.Mail.SERVICE, **asked) == {}
    answer = client.post(f"{PAGE}/{token()}?lang=en", data={"act": "join", "list": lists.DEFAULT_SLUG})
    assert answer.status_code == 409
    assert "Lift the ban first" in answer.text
    act(client, "lift", channel="email")
    with db.reading() as session:
        assert bans.check(session, parse(MATTI)).channels == ("post", "phone", "disclosure")
        [told] = [entry for entry in people_history(session) if entry["event"] == "ban_lifted"]
    assert told["source"] == "own page"
    assert told["channels"] == ["email"]
    assert "key that was mailed" in told["evidence_content"]["evidence"]
    act(client, "lift", channel="all")
    with db.reading() as session:
        assert bans.check(session, parse(MATTI)).channels == ()
    sound()


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_who_is_on_the_list_and_has_forbidden_mail_is_told_that_none_is_sent(client: FlaskClient) -> None:
    known()
    told = "nothing is sent to you, since you have forbidden marketing"

    def page() -> str:
        return client.get(f"{PAGE}/{token()}?lang=en").text

    act(client, "ban", channel="phone")
    assert ("You are on the list." in page(), told in page()) == (True, False)
    act(client, "ban", channel="all")
    assert ("You are on the list." in page(), told in page()) == (False, True)
    act(client, "lift", channel="all")
    with db.transaction() as session:
        row, digest = making.the_list(session), person(session).digest
        bans.add(session, digest, [Channel.EMAIL], only=row, source="told", now=db.utcnow())
    assert ("You are on the list." in page(), told in page()) == (False, True), "on this list alone"


def people_history(session: Session) -> list[dict[str, Any]]:
    from mailinglist.consent import people

    return list(people.whole(session, person(session).id).history)


def test_who_was_erased_finds_their_bans_and_lifts_them(client: FlaskClient) -> None:
    known()
    forbid(MATTI)
    erase(MATTI)
    key = token()
    page = client.get(f"{PAGE}/{key}?lang=en")
    assert MATTI not in page.text
    for name in ("leave", "correct", "restrict", "other", "erase"):
        answer = client.post(
            f"{PAGE}/{key}", data={"act": name, "list": lists.DEFAULT_SLUG, "words": "x", "language": "fi"}
        )
        assert answer.status_code == 303
    assert act(client, "lift", key=key, channel="all").startswith("The ban is lifted.")
    with db.reading() as session:
        assert bans.check(session, parse(MATTI)).channels == ()
    assert "no ban is kept for it" in client.get(f"{PAGE}/{key}?lang=en").text
    sound()


def test_correcting_name_and_language(client: FlaskClient) -> None:
    known()
    key = token()
    answer = client.post(f"{PAGE}/{key}", data={"act": "correct", "name": " Matti Meikäläinen ", "language": "sv"})
    assert answer.status_code == 303
    page = client.get(answer.location)
    assert 'lang="sv"' in page.text
    assert "Matti Meikäläinen" in page.text
    with db.reading() as session:
        assert (person(session).name, person(session).language) == ("Matti Meikäläinen", "sv")
    wrong = client.post(f"{PAGE}/{key}?lang=en", data={"act": "correct", "name": "x" * 201, "language": "sv"})
    assert wrong.status_code == 422
    assert 'aria-describedby="correct-error"' in wrong.text
    assert client.post(f"{PAGE}/{key}", data={"act": "correct", "name": "", "language": "de"}).status_code == 422
    sound()


def test_restricting_holds_marketing_and_keeps_the_data(client: FlaskClient) -> None:
    number = known()
    with db.reading() as session:
        assert "matti" in "".join(export.lines(session, making.the_list(session), names=False)).lower()
    assert act(client, "restrict").startswith("From this moment")
    with db.reading() as session:
        row = making.the_list(session)
        asked: dict[str, Any] = {"list_id": row.id, "persons": [number], "now": db.utcnow()}
        for kind in (gate.Mail.BULLETIN, gate.Mail.WELCOME, gate.Mail.ALREADY):
            assert gate.refusals(session, kind, **asked) == {number: "restricted"}
        assert gate.refusals(session, gate.Mail.SERVICE, **asked) == {}
        assert "matti" not in "".join(export.lines(session, row, names=False)).lower()
    answer = client.post(f"{PAGE}/{token()}?lang=en", data={"act": "join", "list": lists.DEFAULT_SLUG})
    assert answer.status_code == 409
    sound()
    assert act(client, "unrestrict") == "The restriction has ended."
    with db.reading() as session:
        assert gate.refusals(session, gate.Mail.BULLETIN, **asked) == {}
        events = [entry["event"] for entry in people_history(session)]
    assert events[-2:] == ["restricted", "unrestricted"]
    sound()


def test_what_a_person_of_ours_has_to_do_becomes_a_task(client: FlaskClient) -> None:
    number = known()
    key = token()
    for fields in ({"act": "address", "email": "uusi@example.fi"}, {"act": "other", "words": "Kuka <b>soitti</b>?"}):
        assert client.post(f"{PAGE}/{key}", data=fields).status_code == 303
    page = client.get(f"{PAGE}/{key}?lang=en").text
    assert "uusi@example.fi" in page
    assert "Kuka &lt;b&gt;soitti&lt;/b&gt;?" in page
    with db.reading() as session:
        found = tasks.of(session, number)
        assert [(task.kind, task.words) for task in found] == [
            ("address", "uusi@example.fi"), ("other", "Kuka <b>soitti</b>?"),
        ]  # fmt: skip
        assert all(task.due_at == tasks.in_a_month(task.opened_at) for task in found)
    for fields, status in (
        ({"act": "address", "email": MATTI}, 422), ({"act": "address", "email": "a@@b"}, 422),
        ({"act": "other", "words": " "}, 422), ({"act": "other", "words": "x" * 4001}, 422),
    ):  # fmt: skip
        assert client.post(f"{PAGE}/{key}?lang=en", data=fields).status_code == status
    for _ in range(3):
        assert client.post(f"{PAGE}/{key}", data={"act": "other", "words": "lisää"}).status_code == 303
    assert client.post(f"{PAGE}/{key}", data={"act": "other", "words": "lisää"}).status_code == 409


def test_erasing_is_asked_once_more_and_done_at_once(client: FlaskClient) -> None:
    number = known()
    forbid(MATTI, Channel.EMAIL)
    key = token()
    client.post(f"{PAGE}/{key}", data={"act": "other", "words": "a secret wish"})
    asked = client.post(f"{PAGE}/{key}?lang=en", data={"act": "erase"})
    assert asked.status_code == 200
    assert "Shall we erase your data?" in asked.text
    assert "GDPR 21(3)" in asked.text
    assert state() == "active"
    done = client.post(f"{PAGE}/{key}?lang=en", data={"act": "erase", "sure": "1"})
    assert done.status_code == 200
    assert "Your data are erased" in done.text
    assert MATTI not in done.text
    with db.reading() as session:
        assert register.find(session, parse(MATTI)) is None
        assert bans.check(session, parse(MATTI)).channels == ("email",)
        [task] = tasks.of(session, number)
        assert (task.words, task.done_at is not None) == ("", True)
        told = [entry for entry in proof.prove(session, MATTI.lower()) if entry["event"] in ("left", "erased")]
        assert [(entry["event"], entry["source"]) for entry in told] == [("left", "own page"), ("erased", "own page")]
        lines = journal_file.read(journal.journal_of(session)).lines
        assert [line.source for line in lines if line.what == journal_file.ERASED] == ["own page"]
        [act] = audit.search(session, about=f"person {number}")
        assert (act.act, act.who, act.account_id, act.client) == ("erased_on_own_page", "own page", None, "")
        assert datetime.fromisoformat(act.detail["key_mailed_at"]) == own_page.named(session, key).issued_at
    again = client.post(f"{PAGE}/{key}?lang=en", data={"act": "erase", "sure": "1"})
    assert again.status_code == 303
    assert "Your address is in no register of ours" in client.get(again.location).text
    sound()


def test_no_such_act_changes_nothing(client: FlaskClient) -> None:
    known()
    assert client.post(f"{PAGE}/{token()}", data={"act": "become-administrator"}).status_code == 422
    assert client.post(f"{PAGE}/{token()}", data={"act": "ban", "channel": "radio"}).status_code == 422
    assert client.post(f"{PAGE}/{token()}", data={}).status_code == 422
    assert state() == "active"


@pytest.mark.parametrize("language", ["fi", "sv", "en"])
def test_each_mail_has_the_way_to_it(language: str) -> None:
    from mailinglist.stationery import wording

    for name in ("letter_footer", "bulletin_footer"):
        assert "{own_page_url}" in wording.source_of(name, language)[1] + wording.source_of(name, language)[0]


@pytest.mark.parametrize("form", [{"act": "correct", "name": "Matti M", "language": "fi"}, {"act": "restrict"}])
def test_who_got_the_data_is_to_be_told_once(app: Flask, client: FlaskClient, form: dict[str, str]) -> None:
    """GDPR 19."""
    number = known()
    with db.transaction() as session:
        disclosures.note(
            session, [number], recipient="Tax office", basis="Act 1558/1995, section 19", fields=["name"],
            by=Actor(None, "test", ""), now=db.utcnow(),
        )  # fmt: skip
    for _ in range(2):
        assert client.post(f"{PAGE}/{token()}", data=form).status_code == 303
    with db.reading() as session:
        assert [task.kind for task in session.scalars(select(Task))] == [tasks.TELL_RECIPIENT]


def test_and_once_more_for_a_second_correction_while_the_first_waits(client: FlaskClient) -> None:
    """Whoever has the first task in hand may have told the recipient already."""
    number = known()
    with db.transaction() as session:
        disclosures.note(
            session, [number], recipient="Tax office", basis="Act 1558/1995, section 19", fields=["name", "language"],
            by=Actor(None, "test", ""), now=db.utcnow(),
        )  # fmt: skip
    for name, language in (("Matti M", "fi"), ("Matti N", "fi"), ("Matti N", "sv")):
        form = {"act": "correct", "name": name, "language": language}
        assert client.post(f"{PAGE}/{token()}", data=form).status_code == 303
    with db.transaction() as session:
        told = tasks.waiting(session)
        assert [task.kind for task in told] == [tasks.TELL_RECIPIENT] * 3
        tasks.done(session, told[0].id, who="Maija", words="rang them", now=db.utcnow())
        assert len(tasks.waiting(session)) == 2
        rights.erase(session, parse(MATTI), db.utcnow())
        assert "were erased on" in tasks.waiting(session)[-1].words


@pytest.mark.parametrize("form", [{"act": "leave", "list": "tector-tiedottaa"}, {"act": "ban", "channel": "all"}])
def test_a_leave_or_a_ban_is_kept_while_the_ban_key_is_wrong(
    app: Flask, client: FlaskClient, form: dict[str, str]
) -> None:
    """Nothing is mailed meanwhile, and the worker enters it once the key is right."""
    known()
    path = f"{PAGE}/{token()}?lang=en"
    with db.transaction() as session:
        right = session.get_one(KeyCheck, "ban").value
        session.execute(update(KeyCheck).values(value=b"another"))
    answer = client.post(path, data=form)
    assert answer.status_code == 200
    assert "You have left" in answer.text
    assert client.post(path, data={"act": "restrict"}).status_code == 503
    with db.transaction() as session:
        session.execute(update(KeyCheck).where(KeyCheck.name == "ban").values(value=right))
    with db.transaction() as session:
        requests.take(session, now=db.utcnow())
    assert state() == "left"
    with db.reading() as session:
        assert bool(bans.check(session, parse(MATTI)).channels) is (form["act"] == "ban")
    sound()


def test_acts_are_limited_but_leaving_and_forbidding(client: FlaskClient) -> None:
    known()
    path = f"{PAGE}/{token()}?lang=en"
    answers = [client.post(path, data={"act": "restrict"}).status_code for _ in range(31)]
    assert (answers[0], answers[-1]) == (303, 429)
    assert client.post(path, data={"act": "ban", "channel": "all"}).status_code == 303
    assert client.post(path, data={"act": "leave", "list": "tector-tiedottaa"}).status_code == 303
