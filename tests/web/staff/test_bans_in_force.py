"""The console's page of bans: what is in force, of which list, by whom and on what; and bans of one list alone."""

from __future__ import annotations

import html
import re

import pytest
from flask import Flask
from sqlalchemy import select

import staffing
from conftest import NOW
from mailinglist import db
from mailinglist.consent import address, ban_lists, bans, bans_held, keys, lists
from mailinglist.consent.bans import Forbidden
from mailinglist.consent.states import Channel
from mailinglist.staff.levels import Level
from mailinglist.staff.tables import AuditEntry
from mailinglist.web import registry_words
from making import named, person

TOLD = {"how": "phone", "on": "2026-11-02", "words": "Call 17, asked for it"}


@pytest.fixture
def desk(app: Flask, monkeypatch: pytest.MonkeyPatch) -> staffing.Signed:
    """A registrar at the desk, and two lists."""
    monkeypatch.setattr(db, "utcnow", lambda: NOW)
    with db.transaction() as session:
        lists.add(session, "toinen", "Toinen <lista>", now=NOW)
    return staffing.signed_in(app, Level.REGISTRAR, name="Riitta Rekisteri")


def rows(text: str) -> list[list[str]]:
    """The table's cells, as plain text."""
    body = text.partition("<tbody>")[2].partition("</tbody>")[0]
    found = re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", each, re.DOTALL) for each in found]
    return [[html.unescape(re.sub(r"<[^>]+>", "", cell.replace("<br>", "|"))).strip() for cell in row] for row in cells]


def forbidden(mailbox: str) -> tuple[Forbidden, ...]:
    with db.reading() as session:
        return bans.check(session, address.parse(mailbox)).forbidden


def test_a_ban_of_one_list_is_given_shown_and_lifted(desk: staffing.Signed) -> None:
    form = {"address": "kielto@example.fi", "channels": ["email", "post"], "list": "toinen", **TOLD}
    assert "Only Toinen &lt;lista&gt;" in desk.get("/staff/bans/add").text
    assert desk.post("/staff/bans/add", {**form, "list": "no-such"}).status_code == 422
    assert desk.post("/staff/bans/add", form).status_code == 303
    assert desk.post("/staff/bans/add", {**form, "list": "", "channels": ["email"]}).status_code == 303
    held = (Forbidden(Channel.EMAIL), Forbidden(Channel.EMAIL, "toinen"), Forbidden(Channel.POST, "toinen"))
    assert forbidden("kielto@example.fi") == held
    narrow = "Marketing by e-mail: only the list “Toinen <lista>”"
    assert narrow in html.unescape(desk.get("/staff/bans?address=kielto@example.fi").text)
    shown = desk.get("/staff/bans/lift?address=kielto@example.fi").text
    assert re.findall(r'name="channels" value="([^"]*)"', shown) == ["email", "email:toinen", "post:toinen"]
    lift = {"address": "kielto@example.fi", **TOLD}
    assert desk.post("/staff/bans/lift", {**lift, "channels": ["nonsense", "email:elsewhere"]}).status_code == 422
    assert desk.post("/staff/bans/lift", {**lift, "channels": ["email:toinen"]}).status_code == 303
    assert forbidden("kielto@example.fi") == (held[0], held[2])
    with db.reading() as session:
        noted = session.execute(select(AuditEntry.act, AuditEntry.detail).order_by(AuditEntry.id)).all()
    details = [detail for act, detail in noted if act in ("ban_added", "ban_lifted")]
    assert [(each.get("list"), each["channels"]) for each in details] == [
        (2, ["email", "post"]), (None, ["email"]), (None, ["email:toinen"])
    ]  # fmt: skip


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_a_ban_that_another_system_handed_on_names_the_system(desk: staffing.Signed) -> None:
    with db.transaction() as session:
        origin = {"how": "api", "source": "rang", "system": "Web shop", "recorded_by": "program Web shop (3)"}
        digest = keys.keys_of(session).digest("x@example.fi")
        bans.add(session, digest, [Channel.POST], source="api: rang", origin=origin, now=NOW)
        by_hand = {**origin, "recorded_by": "Riitta Rekisteri"}
        digest = keys.keys_of(session).digest("y@example.fi")
        bans.add(session, digest, [Channel.POST], source="staff", origin=by_hand, now=NOW)
    sources = [row[2] for row in rows(desk.get("/staff/bans?channel=").text)]
    assert [source.split("|")[1:] for source in sources] == [[], ["System Web shop (3)"]], "not who of the staff"


def test_bans_are_listed_with_scope_and_words_once_asked_for(desk: staffing.Signed) -> None:
    with db.transaction() as session:
        made = person(session, "Matti@example.fi", now=NOW)
    form = {"channels": ["email"], "list": "toinen", **TOLD, "words": "Call 17: <b>no more</b>"}
    desk.post(f"/staff/persons/{made.id}/ban", form)
    with db.transaction() as session:
        stranger = keys.keys_of(session).digest("x@example.fi")
        bans.add(session, stranger, [Channel.POST], source="list robinson.csv", now=NOW)
        bans.lift(session, address.parse("x@example.fi"), [Channel.POST], evidence="rang", who="M", now=NOW)
        bans.add(session, stranger, [Channel.PHONE], source="list 100%_sure.csv", now=NOW)
    assert rows(desk.get("/staff/bans").text) == [], "nobody is shown before something is asked for"
    mine = ["Marketing by e-mail|Only Toinen <lista>", "Matti@example.fi", "By staff: By phone|Call 17: <b>no more</b>"]
    theirs = ["Marketing by phone|All lists", "Not in the register", "list 100%_sure.csv"]
    for query, expected in (
        ("channel=", [theirs, mine]), ("channel=email", [mine]), ("channel=post", []), ("list=toinen", [mine]),
        ("list=all+lists", [theirs]), ("source=by+PHONE", [mine]), ("source=100%25_SURE", [theirs]),
        ("source=1%25s", []),        ("channel=phone&list=toinen", []), ("channel=nonsense", [theirs, mine]),
    ):  # fmt: skip
        answer = desk.get(f"/staff/bans?{query}")
        assert [row[:3] for row in rows(answer.text)] == expected, query
    assert desk.get("/staff/bans?list=no-such").status_code == 404
    with db.reading() as session:
        seen = session.scalars(select(AuditEntry.detail).where(AuditEntry.act == "bans_seen")).all()
    assert seen[:2] == [{"number": 2}, {"number": 1, "channel": "email"}]
    assert all("source" not in each for each in seen), "it may name somebody"


def test_a_ban_given_in_an_answer_is_found_by_how_it_was_given(desk: staffing.Signed) -> None:
    with db.transaction() as session:
        bans.add(session, keys.keys_of(session).digest("x@example.fi"), [Channel.EMAIL], source="answer", now=NOW)
    [row] = rows(desk.get("/staff/bans?source=by+answering").text)
    assert row[2] == "By answering the letter"


def test_what_a_restore_did_again_is_said_in_words(app: Flask) -> None:
    with app.test_request_context("/staff/"):
        assert registry_words.way("journal") == registry_words.way("journal of opt-outs") != "journal of opt-outs"


def test_somebody_of_a_name_is_looked_up_and_the_answer_says_what_that_means(desk: staffing.Signed) -> None:
    with db.transaction() as session:
        named(session, ("matti@example.fi", "Matti <Virtanen>"), ("maija@example.fi", "Maija Mäki"), now=NOW)
        bans.add(session, keys.keys_of(session).digest("matti@example.fi"), [Channel.POST], source="letter", now=NOW)
    for name, said in (
        ("<VIRTANEN>, matti", "Somebody of this name has forbidden marketing"),
        ("Maija Mäki", "No ban is known by this name"),
        ("Nemo", "No ban is known by this name"),
    ):
        text = html.unescape(desk.get("/staff/bans", query_string={"name": name}).text)
        assert said in text
        assert ("It may be another person of the same name" in text) is ("Virtanen" in name.title())
        assert "no name stops it" in text
    wrong = desk.get("/staff/bans", query_string={"name": "matti@example.fi"})
    assert (wrong.status_code, "Write the name of a person" in wrong.text) == (422, True)
    with db.reading() as session:
        noted = session.execute(select(AuditEntry.about, AuditEntry.detail).where(AuditEntry.act == "ban_checked"))
        assert noted.all() == [("", {})] * 3, "a name is in no audit"


def test_bans_are_paged_by_their_numbers(desk: staffing.Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bans_held, "A_PAGE", 3)
    found = ban_lists.read("\n".join(f"p{n}@example.fi" for n in range(7)).encode())
    with db.transaction() as session:
        ban_lists.take_in(session, found.sha256, [Channel.EMAIL], source="a & b", now=NOW)
    path, pages = "/staff/bans?source=a+%26+b", []
    while path:
        answer = desk.get(path).text
        pages.append(len(rows(answer)))
        following = re.search(r'rel="next" href="([^"]*)"', answer)
        path = html.unescape(following[1]) if following else ""
    assert pages == [3, 3, 1]
