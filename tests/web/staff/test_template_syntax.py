"""Template syntax in every text that staff write: it arrives as it was typed, or is refused; nothing is worked out.

Each text goes in by its form and is looked for on every page, and in every mail, that says it.
"""

from __future__ import annotations

import io
import json
import re
from html import unescape

import pytest
from flask import Flask
from PIL import Image

import making
import staffing
from mailinglist import db
from mailinglist.bulletins import blocks, drafts
from mailinglist.consent import lists
from mailinglist.staff.levels import Level

# What is tested here does not come to the database, or would be the same on another.
on_sqlite = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)

TYPED = (
    "{{ 7*191 }} {{ config }} {% raw %}x{% endraw %} {% set y = 1 %} {{ ''.__class__ }} {{ url_for('home.look') }} "
    "{name.__class__} {name()} ${1300+37} #{1300+37} %(x)s %s {0}"
)
"""7*191 = 1300+37 = 1337; double braces, blocks, attributes, calls, and the syntax of some other engines."""
LIST = f"/staff/lists/{lists.DEFAULT_SLUG}"


def plain(page: str) -> str:
    return " ".join(unescape(page).split())


def assert_as_typed(page: str, *, times: int = 1) -> None:
    shown = plain(page)
    assert shown.count(TYPED) >= times, shown
    # In a token or a digest these may stand by chance: hence the borders.
    assert not re.search(r"(?<![0-9A-Za-z_-])1337(?![0-9A-Za-z_-])|<Config|SECRET_KEY|&lt;Config", page)


@pytest.fixture
def chief(app: Flask) -> staffing.Signed:
    return staffing.signed_in(app, *Level)


def post_form(who: staffing.Signed, path: str, form: dict[str, object]) -> str:
    answer = who.post(path, form)
    assert answer.status_code == 303, (path, answer.status_code, plain(answer.text))
    return str(answer.location)


@on_sqlite
def test_in_names_of_staff(app: Flask, chief: staffing.Signed) -> None:
    post_form(chief, "/staff/account", {"name": TYPED, "language": "en"})
    made = chief.post("/staff/staff/add", {"name": TYPED, "address": "uusi@example.fi", "levels": ["editor"]})
    assert made.status_code in (200, 303)
    for path in ("/staff/", "/staff/account", f"/staff/staff/{chief.account_id}"):
        assert_as_typed(chief.get(path).text)
    assert_as_typed(chief.get("/staff/staff").text, times=3)
    assert_as_typed(chief.get("/staff/audit").text, times=2)


@on_sqlite
def test_in_a_list_s_names_address_and_consent_texts(app: Flask, chief: staffing.Signed) -> None:
    shown = chief.get(LIST).text
    names = ("name", "name_fi", "name_sv", "name_en", "controller", "postal_address")
    form: dict[str, object] = dict.fromkeys(names, TYPED)
    [seen] = re.findall(r'name="seen" value="([0-9a-f]+)"', shown)
    post_form(chief, LIST, form | {"seen": seen, "language": "fi", "time_zone": "Europe/Helsinki"})
    assert_as_typed(chief.get(LIST).text, times=len(names))
    [seen] = re.findall(r'name="seen" value="([0-9a-f]+)"', chief.get(f"{LIST}/texts").text)
    texts: dict[str, object] = {f"consent-{language}": f"Joo. {TYPED}" for language in ("fi", "sv", "en")}
    post_form(chief, f"{LIST}/texts", texts | {"seen": seen})
    assert_as_typed(chief.get(f"{LIST}/texts").text, times=3)
    for path in ("/staff/lists", "/staff/", f"{LIST}/letters"):
        assert_as_typed(chief.get(path).text)
    assert TYPED.partition("''")[0] in plain(chief.get("/staff/audit").text)  # what follows is written as JSON there
    for language in ("fi", "sv", "en"):
        assert_as_typed(app.test_client().get(f"/lists/{lists.DEFAULT_SLUG}?lang={language}").text, times=2)
        for shape in ("", "?as=text"):
            assert_as_typed(chief.get(f"{LIST}/letters/confirm/{language}/preview{shape}").text)
    assert_as_typed(app.test_client().get("/privacy").text)


@on_sqlite
def test_in_a_new_list_s_name(chief: staffing.Signed) -> None:
    post_form(chief, "/staff/lists", {"slug": "toinen", "name": TYPED})
    assert_as_typed(chief.get("/staff/lists").text)


@on_sqlite
def test_in_a_bulletin_from_the_editor_to_the_mail(chief: staffing.Signed) -> None:
    with db.transaction() as session:
        lists.set_value(session, making.the_list(session), "postal_address", "Katu 1", now=db.utcnow())
        draft = blocks.Draft({"fi": blocks.Version("Aihe")})
        number = drafts.begin(
            session, making.the_list(session), draft, by=drafts.Author(None, "Kalle"), now=db.utcnow()
        ).id
    picture = io.BytesIO()
    Image.new("RGB", (30, 10), "navy").save(picture, "PNG")
    picture.seek(0)
    page = f"/staff/bulletins/{number}"
    taken = json.loads(chief.post(f"{page}/upload", {"file": (picture, f"{TYPED}.png"), "alt": TYPED}).text)
    form: dict[str, object] = {
        "base": "1", "language": "fi", "subject": TYPED, "preview": TYPED,
        "block": ["a heading", "b text", "c list", "d image", "e button"],
        "a-level": "2", "a-text": TYPED, "b-text": TYPED, "c-items": TYPED, "d-image": taken["image"], "d-alt": TYPED,
        "e-text": TYPED, "e-url": "https://example.fi/",
    }  # fmt: skip
    saved = json.loads(chief.post(f"{page}/save", form).text)
    assert saved["problems"] == []
    assert_as_typed(chief.get(f"{page}/edit").text, times=7)
    assert_as_typed(chief.get(f"{page}/preview").text, times=6)
    assert_as_typed(chief.get(f"{page}/preview?view=text").text, times=4)
    post_form(chief, f"{page}/as-template", {"base": "2"})
    for path in (page, f"{page}/look", f"{page}/versions", f"{page}/audience", f"{page}/preflight", f"{page}/test",
                 "/staff/bulletins", "/staff/templates", "/staff/images"):  # fmt: skip
        assert_as_typed(chief.get(path).text)
    with db.reading() as session:
        bulletin = drafts.find(session, number)
        mail = drafts.editions(session, bulletin)["fi"]
    assert mail.subject == TYPED
    assert_as_typed(mail.html, times=6)
    assert_as_typed(mail.text, times=4)


@on_sqlite
def test_in_a_letter_s_wording(app: Flask, chief: staffing.Signed) -> None:
    body = "Moi!\n\n{typed}\n\n> {{consent}}\n\n**[Juu]({{confirm_url}})**\n\n[En]({{not_me_url}})"
    path = f"{LIST}/letters/confirm/fi"
    refused = []
    # Two underscores begin bold type in Markdown: here the syntax stands without.
    for syntax in re.findall(r"\{\{.*?\}\}|\{%.*?%\}|[$#]?\{.*?\}|%\S+", TYPED.replace("__", "")):
        words: dict[str, object] = {"subject": "Hei {list}", "body": body.format(typed=f"Eka {syntax} toka")}
        answer = chief.post(path, words)
        if answer.status_code == 422:
            refused.append(syntax)
            continue
        for shape in ("", "?as=text"):
            assert f"Eka {syntax} toka" in plain(chief.get(f"{path}/preview{shape}").text)
    assert len(refused) < 4, refused


def test_in_what_the_registrar_writes(chief: staffing.Signed) -> None:
    with db.transaction() as session:
        number = making.person(session, "aino@example.fi", now=db.utcnow()).id
    page = f"/staff/persons/{number}"
    post_form(chief, f"{page}/notes", {"kind": "note", "on": "2026-11-02", "words": TYPED})
    told: dict[str, object] = {"how": "phone", "words": TYPED, "on": "2026-11-02"}
    post_form(chief, f"{page}/details", {"name": TYPED, "language": "fi", **told})
    assert_as_typed(chief.get(page).text, times=2)
