"""The audit in words: every act that is noted anywhere in the program has its sentence."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest
from flask import Flask

import staffing
from mailinglist import db
from mailinglist.places import PACKAGE
from mailinglist.staff import audit
from mailinglist.staff.audit import Actor
from mailinglist.staff.levels import Level
from mailinglist.web import words_of_acts
from mailinglist.web.staff import words_of_details

# What is tested here does not come to the database, or would be the same on another.
on_sqlite = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)

NOTING = {"note", "_note", "record", "_moved"}
"""The functions that write into the audit, and those that hand an act on to them: their second argument is the act."""


@cache
def parsed() -> list[ast.Module]:
    return [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))]


@cache
def noted() -> set[str]:
    found = set()
    for tree in parsed():
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and len(call.args) > 1:
                name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
                if name in NOTING:
                    found |= {
                        each.value
                        for each in ast.walk(call.args[1])
                        if isinstance(each, ast.Constant) and isinstance(each.value, str)
                    }
    return found


@on_sqlite
def test_every_act_has_a_sentence_and_nothing_else_has(app: Flask) -> None:
    with app.test_request_context():
        sentences = words_of_acts.acts()
    assert noted() == sentences.keys()
    assert len(set(sentences.values())) == len(sentences)


@on_sqlite
def test_every_warning_that_can_be_acknowledged_has_words(app: Flask) -> None:
    checks = [path.read_text(encoding="utf-8") for path in (PACKAGE / "preflight").glob("*.py")]
    names = {name for text in checks for name in re.findall(r'"([a-z_]+)",\s+Level\.WARNING', text)}
    assert len(names) > 10
    with app.test_request_context():
        for name in names:
            assert not words_of_details.value("acknowledged", f"{name}:fi:1").startswith(name)


@on_sqlite
def test_every_detail_has_a_name(app: Flask) -> None:
    keys = set()
    for tree in parsed():
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and len(call.args) > 1:
                name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
                said = {each.value for each in ast.walk(call.args[1]) if isinstance(each, ast.Constant)}
                if name in NOTING and said & noted():
                    keys |= {each.arg for each in call.keywords if each.arg}
    with app.test_request_context():
        named = words_of_details.names().keys()
    assert keys - {"by", "about", "now"} <= named


@on_sqlite
def test_details_are_told_in_the_language_of_the_page(app: Flask) -> None:
    told = {
        "how": "phone",
        "channels": ["post"],
        "levels": ["editor"],
        "number": 1234,
        "encrypted": True,
        "odd": {"a": 1},
        "fields": ["address"],
        "at": "2026-11-22T07:05:00+00:00",
        "changed": {"rate": [4.0, 2.5]},
    }
    with app.test_request_context(headers={"Accept-Language": "fi"}):
        said = words_of_details.details(told)
    assert said == [
        ("Miten", "Puhelimitse"), ("Kanavat", "Postimarkkinointi"), ("Tasot", "Toimittaja"),
        ("Määrä", "1\u00a0234"), ("Salattu", "Kyllä"), ("odd", "a: 1"),
        ("Tiedot", "Sähköpostiosoite"), ("Aika", "22.11.2026 9.05"), ("Muutettu", "Tiedotteita sekunnissa: 4 → 2,5"),
    ]  # fmt: skip


@on_sqlite
def test_the_programs_own_words_and_times_are_told_in_words_too(app: Flask) -> None:
    told = {
        "updated": 1234, "refused": 0, "form": "markdown", "at": None, "key_mailed_at": "2026-11-22T17:37:02+00:00",
    }  # fmt: skip
    with app.test_request_context(headers={"Accept-Language": "fi"}):
        said = dict(words_of_details.details(told))
        who = words_of_acts.who("own page")
        meant = words_of_acts.who_meant(who)
    assert (said["Päivitetty"], said["Hylätty"], said["Muoto"], said["Aika"]) == ("1\u00a0234", "0", "Markdown", "Heti")
    assert "22.11.2026" in said["Linkki lähetetty"]
    assert "T17" not in said["Linkki lähetetty"]
    assert (who, meant) == ("Henkilön oma sivu", "own page")
    with app.test_request_context(headers={"Accept-Language": "fi"}):
        assert words_of_acts.who("Eeva Editori") == words_of_acts.who_meant("Eeva Editori") == "Eeva Editori"


def test_nothing_else_hands_an_act_on() -> None:
    """Were there another such function, its acts would be missed above."""
    handing_on = set()
    for tree in parsed():
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef) and "act" in [each.arg for each in function.args.args]:
                calls = [each for each in ast.walk(function) if isinstance(each, ast.Call)]
                given = {argument.id for call in calls for argument in call.args if isinstance(argument, ast.Name)}
                if "act" in given and function.name != "press":  # that is a button's, of the editor
                    handing_on.add(function.name)
    assert handing_on <= NOTING


def test_the_page_says_the_sentence_in_three_languages(app: Flask) -> None:
    with db.transaction() as session:
        for act in ("ban_lifted", "of_long_ago"):
            audit.note(session, act, by=Actor(None, "a test", ""), now=db.utcnow())
    for language, words in (("en", "Lifted a ban"), ("fi", "Perui kiellon"), ("sv", "Hävde ett förbud")):
        page = staffing.signed_in(app, Level.AUDITOR, language=language).get("/staff/audit").text
        assert f'<option value="ban_lifted">{words}</option>' in page
        assert f">{words}</td>" in page
        assert ">of_long_ago</td>" in page
