"""Import from upload to result, and export, as the registrar meets them; and refusals in the page's language."""

from __future__ import annotations

import ast
import html
import io
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

import staffing
from conftest import NOW
from mailinglist import db
from mailinglist.consent import (
    address,
    bans,
    import_errand,
    import_jobs,
    notes,
    register,
    register_many,
    registrar,
    search,
    sheet,
    states,
)
from mailinglist.consent.states import Channel, State
from mailinglist.consent.tables import ImportJob, Subscription
from mailinglist.staff.levels import Level
from mailinglist.staff.tables import AuditEntry
from mailinglist.web import registry_words
from making import person

XSS = "<script>alert(1)</script>"
FILE = "Sähköposti;Nimi;Kenkä\nmatti@example.fi;=cmd|'/C calc'!A0;45\nnonsense;;\nleft@example.fi;Lassi;40\n".encode()
FIELDS = {
    "basis": "consent",
    "source": "the old program",
    "column-0": "email",
    "column-1": "name",
    "column-2": "ignore",
}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "utcnow", lambda: NOW)


@pytest.fixture
def desk(app: Flask) -> staffing.Signed:
    """A registrar at the desk."""
    return staffing.signed_in(app, Level.REGISTRAR, name="Riitta Rekisteri")


def upload(desk: staffing.Signed, data: bytes = FILE, name: str = "old.csv", **fields: str) -> Any:
    sent = {"list": "tector-tiedottaa", **fields, "file": (io.BytesIO(data), name)}
    return desk.post("/staff/imports", sent, content_type="multipart/form-data")


def work() -> None:
    while import_errand.go_on(stop=lambda: False, seconds=0.05):
        pass


def acts() -> list[tuple[str, str]]:
    with db.reading() as session:
        rows = session.scalars(select(AuditEntry).order_by(AuditEntry.id))
        return [(row.act, row.about) for row in rows]


def on_the_list() -> int:
    with db.reading() as session:
        return len(session.scalars(select(Subscription).where(Subscription.state == "active")).all())


def job_state() -> str:
    with db.reading() as session:
        return session.scalars(select(ImportJob.state)).one()


def test_from_upload_by_the_rehearsal_to_the_result(desk: staffing.Signed) -> None:
    with db.transaction() as session:
        person(session, "left@example.fi", now=NOW, state=State.LEFT)
    answer = upload(desk)
    assert (answer.status_code, answer.location) == (303, "/staff/imports/1")
    shown = desk.get("/staff/imports/1")
    assert "Kenkä" in shown.text
    assert html.escape("=cmd|'/C calc'!A0") in shown.text.replace("&#39;", "&#x27;")
    chosen = re.findall(r'<option value="(\w+)" selected>', shown.text)
    assert chosen == ["email", "name", "ignore"], "the guesses"
    assert desk.post("/staff/imports/1/start").status_code == 409, "not before it was looked through"

    assert desk.post("/staff/imports/1/check", {**FIELDS, "basis": ""}).status_code == 422
    assert desk.post("/staff/imports/1/check", {**FIELDS, "source": " "}).status_code == 422
    twice = desk.post("/staff/imports/1/check", {**FIELDS, "column-1": "email"})
    assert "Two columns can" in twice.text
    assert desk.post("/staff/imports/1/check", {**FIELDS, "basis": "customer"}).status_code == 422
    assert desk.post("/staff/imports/1/check", FIELDS).status_code == 303
    part = desk.get("/staff/imports/1/progress")
    assert "Is being looked through" in part.text
    assert "<html" not in part.text
    assert "HX-Refresh" not in part.headers
    work()
    assert desk.get("/staff/imports/1/progress").headers["HX-Refresh"] == "true"
    shown = desk.get("/staff/imports/1")
    assert "Nothing has been written yet." in shown.text
    assert "Import 1" in shown.text
    assert "Only they can come back, by the form and a fresh confirmation." in shown.text
    assert "bad address: The address needs one @" in shown.text
    assert on_the_list() == 0

    seen = {"seen": re.search(r'name="seen" value="(\w+)"', shown.text)[1]}
    assert desk.post("/staff/imports/1/start").status_code == 409, "who saw no result starts nothing"
    desk.post("/staff/imports/1/check", {**FIELDS, "source": "somewhere else"})
    work()
    changed = desk.post("/staff/imports/1/start", seen)
    assert changed.status_code == 409
    assert "Somebody has had this file looked through anew." in changed.text
    desk.post("/staff/imports/1/check", FIELDS)
    work()
    assert desk.post("/staff/imports/1/start", seen).status_code == 303, "the same result again"
    assert "Waits to be taken in" in desk.get("/staff/imports/1").text
    work()
    done = desk.get("/staff/imports/1").text
    assert "What became of the lines" in done
    assert "Import 1" not in done
    assert "calc" not in done, "no samples are kept"
    assert on_the_list() == 1
    assert acts() == [
        ("import_uploaded", "list 1"), *[("import_seen", "list 1")] * 5, ("import_rehearsed", "list 1"),
        ("import_seen", "list 1"), *[("import_rehearsed", "list 1")] * 2, ("people_imported", "list 1"),
        ("import_seen", "list 1"),
    ]  # fmt: skip
    assert "old.csv" in desk.get("/staff/imports").text


def test_a_file_is_dropped(desk: staffing.Signed) -> None:
    upload(desk)
    answer = desk.post("/staff/imports/1/give-up", follow_redirects=True)
    assert "Nobody was taken in from it." in answer.text
    assert "given up by Riitta Rekisteri" in answer.text
    assert job_state() == "failed"
    assert desk.post("/staff/imports/1/give-up").status_code == 409


def test_a_file_that_can_not_be_taken_is_refused_in_words(desk: staffing.Signed) -> None:
    for data, words in (
        (b"", "The file is empty."), (b"email,Password\na@example.fi,x\n", "holds passwords"),
        (b"email,nimi\na@example.fi,\xe4\n", "not in UTF-8"), (b"a@example.fi\n", "must name the columns"),
    ):  # fmt: skip
        answer = upload(desk, data)
        assert answer.status_code == 422, words
        assert words in answer.text
    assert acts() == []
    assert desk.post("/staff/imports", {"list": "tector-tiedottaa"}).status_code == 422
    assert upload(desk, list="nowhere").status_code == 422


def test_a_file_may_be_larger_than_any_other_form(desk: staffing.Signed) -> None:
    lines = b"email\n" + b"".join(b"p%d@example.fi\n" % n for n in range(20_000))
    assert len(lines) > 300_000
    assert upload(desk, lines).status_code == 303
    too_large = desk.post("/staff/imports/1/check", {**FIELDS, "source": "x" * 70_000})
    assert too_large.status_code == 413
    assert "larger than any form of ours" in too_large.text


def test_nothing_that_a_file_holds_runs(desk: staffing.Signed) -> None:
    data = f"email,{XSS}\na@example.fi,{XSS}\n{XSS},b\n".encode()
    assert upload(desk, data, name=f"{XSS}.csv").status_code == 303
    source = {**FIELDS, "source": XSS}
    looks = [
        desk.get("/staff/imports/1"),
        desk.get("/staff/imports"),
        desk.post("/staff/imports/1/check", {"source": XSS}),
    ]
    del source["column-2"]
    assert desk.post("/staff/imports/1/check", source).status_code == 303
    work()
    looks += [desk.get("/staff/imports/1"), desk.get("/staff/imports/1/progress")]
    assert "&lt;script&gt;" in looks[0].text
    assert all("<script>alert" not in look.text for look in looks)


def test_refusals_go_by_pages_and_there_is_no_other_import(desk: staffing.Signed) -> None:
    upload(desk, b"email\na@example.fi\n" + b"nonsense\n" * 150)
    desk.post("/staff/imports/1/check", FIELDS)
    work()
    first = desk.get("/staff/imports/1").text
    onward = html.unescape(re.search(r'rel="next" href="([^"]+)"', first)[1])
    assert onward == "/staff/imports/1?after=102#refusals"
    second = desk.get(onward).text
    assert (first.count("bad address"), second.count("bad address")) == (100, 50)
    for number in ("0", "7", "99999999999999999999"):
        assert desk.get(f"/staff/imports/{number}").status_code == 404
        assert desk.get(f"/staff/imports/{number}/progress").status_code == 404
        assert desk.post(f"/staff/imports/{number}/start").status_code == 404
        # A number that no row can have is no address of a page.
        assert desk.get(f"/staff/imports?before={number}").status_code == (200 if len(number) < 10 else 404)


def test_what_is_corrected_is_said_line_by_line(desk: staffing.Signed) -> None:
    with db.transaction() as session:
        for number in range(101):
            person(session, f"p{number}@example.fi", now=NOW)
    rows = "".join(f"p{number}@example.fi,Uusi,klingon\n" for number in range(101))
    upload(desk, f"email,name,language\n{rows}".encode())
    desk.post("/staff/imports/1/check", FIELDS | {"column-2": "language"})
    work()
    first = desk.get("/staff/imports/1?lang=fi").text
    said = "uusi nimi, tuntematon kieli: viestit lähtevät suomeksi"
    assert "Korjaukset ja huomautukset" in first
    onward = html.unescape(re.search(r'rel="next" href="([^"]+)"', first)[1])
    assert onward == "/staff/imports/1?noted=101#remarks"
    assert [first.count(said), desk.get(onward.replace("?", "?lang=fi&")).text.count(said)] == [100, 1]


def test_every_remark_has_its_words() -> None:
    words = {value for name, value in vars(register_many).items() if name.startswith(("_NEW_", "_PENDING"))}
    assert words | set(register_many._UNKNOWN_LANGUAGE.values()) == set(registry_words.REMARKS)


# ── export ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_export_holds_who_would_be_mailed_and_nobody_else(desk: staffing.Signed) -> None:
    with db.transaction() as session:
        for mailbox, state in (
            ("=a@example.fi", State.ACTIVE), ("b@example.fi", State.LEFT), ("c@example.fi", State.ACTIVE),
            ("d@example.fi", State.PENDING), ("e@example.fi", State.UNDELIVERABLE),
        ):  # fmt: skip
            person(session, mailbox, now=NOW, state=state)
        bans.add(session, bans.digests(session, address.parse("c@example.fi"))[0], [Channel.EMAIL], source="x", now=NOW)
        held = register.find(session, address.parse("=a@example.fi"))
        assert held is not None
        told = registrar.Told("phone", "x", NOW.date(), "maija")
        registrar.correct_details(session, held.id, told, name="=HYPERLINK(1)", language="fi", now=NOW)
    wanted: dict[str, object] = {"list": "tector-tiedottaa", "goes": "own", "purpose": "to print labels"}
    answer = desk.post("/staff/exports", {**wanted, "names": "1"})
    assert answer.text == "email,language,name\r\n'=a@example.fi,fi,'=HYPERLINK(1)\r\n"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="tector-tiedottaa-2026-11-02.csv"'
    assert desk.post("/staff/exports", wanted).text == "email,language\r\n'=a@example.fi,fi\r\n"
    with db.reading() as session:
        rows = session.scalars(select(AuditEntry).order_by(AuditEntry.id))
        assert [(row.act, row.about, row.detail) for row in rows] == [
            ("list_exported", "list 1", {"names": names, "purpose": "to print labels"}) for names in (True, False)
        ]  # fmt: skip
    assert desk.post("/staff/exports", {**wanted, "list": "nowhere"}).status_code == 422
    for wrong in ({"goes": ""}, {"purpose": " "}, {"goes": "outside"}):
        refused = desk.post("/staff/exports", {**wanted, **wrong})
        assert (refused.status_code, refused.mimetype) == (422, "text/html"), wrong
    assert "given to nobody outside" in refused.text
    assert acts() == [("list_exported", "list 1")] * 2


def test_an_export_asks_for_a_fresh_sign_in_and_for_the_right(app: Flask) -> None:
    stale = staffing.signed_in(app, Level.REGISTRAR, fresh=False)
    assert stale.post("/staff/exports", {"list": "tector-tiedottaa"}).location == "/staff/again?pressed=1"
    publisher = staffing.signed_in(app, Level.PUBLISHER, Level.ADMINISTRATOR)
    assert publisher.post("/staff/exports", {"list": "tector-tiedottaa"}).status_code == 403
    assert acts() == []


# ── refusals in words ─────────────────────────────────────────────────────────────────────────────────────────────────

VERBS = (search, registrar, notes, import_jobs, sheet, bans, register_many)
ERRORS = ("BadInput", "NotAllowed", "Banned", "Unknown", "Refusal", "_bad")
# What only the command line can bring about: it hands columns over by their headings.
ELSEWHERE = (
    "x: x",  # a state, and then a refusal of the table of moves
    "Unknown columns: x. A file may have: email, name, language, sale_reference.",
    "The file has no column “email”.",
    "The file has the same column twice.",
)


THINGS = ("the name", "the sale reference")


class Anything(dict[str, object]):
    """Names that only exist while a verb runs."""

    def __missing__(self, name: str) -> object:
        if name in ("str", "isinstance"):
            raise KeyError(name)
        return {"what": "the name", "_shown": lambda _: "x", "why": sheet._FOREIGN[0][1]}.get(name, "x")


def refusals(module: ModuleType) -> set[str]:
    """Every sentence that the module's verbs raise, with something for each value."""
    found = set()
    for node in ast.walk(ast.parse(Path(module.__file__ or "").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS and node.args:
            words = node.args[-1]
            if isinstance(words, (ast.Constant, ast.JoinedStr, ast.Name)):
                code = compile(ast.Expression(words), "x", "eval")
                value = eval(code, {}, Anything(vars(module)))
                if isinstance(value, str) and len(value) > 1:
                    found.add(value)
    return found


def is_known(words: str) -> bool:
    return words in registry_words.SENTENCES or any(p.fullmatch(words) for p, _ in registry_words._WITH_VALUES)


def test_every_refusal_of_the_verbs_is_in_the_catalogues() -> None:
    found = set().union(*map(refusals, VERBS)) - set(ELSEWHERE)
    assert len(found) > 40
    assert sorted(words for words in found if not is_known(words)) == []
    assert all(words in registry_words.SENTENCES for words in states.REFUSALS.values() if "no request" not in words)


def test_no_sentence_is_kept_that_no_verb_says() -> None:
    package = Path(registry_words.__file__).parents[1]
    texts = [
        node.value
        for path in (*(package / "consent").glob("*.py"), *(package / "privacy").glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    # The same sentence is said of a name and of a sale reference; `refusals` hears that of the name.
    said = {words.replace("the name", thing) for words in set().union(*map(refusals, VERBS)) for thing in THINGS}
    assert [words for words in registry_words.SENTENCES if words not in said and words not in texts] == []


def test_a_refusal_is_said_in_the_language_of_the_page(client: FlaskClient) -> None:
    for words, shown in (
        (
            "left: This person has left the list. Only they can come back, by the form and a fresh confirmation.",
            "Henkilö on poistunut listalta. Vain hän itse voi palata lomakkeella ja uudella vahvistuksella.",
        ),
        ("bad address: An e-mail address is needed.", "osoite ei kelpaa. Anna sähköpostiosoite."),
        ("a duplicate: the same address is on line 3", "kaksoiskappale: sama osoite on rivillä 3"),
        ("something that nobody has said yet", "something that nobody has said yet"),
    ):
        with client.application.test_request_context("/staff/imports?lang=fi"):
            assert registry_words.reason(words) == shown
