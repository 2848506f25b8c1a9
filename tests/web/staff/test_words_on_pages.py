"""What the console's pages say to people: titles without braces, one finding for several versions, times with their
zone, lists to choose from, what is shown once with a way to keep it."""

from __future__ import annotations

import re

import pytest
from flask import Flask

import staffing
from mailinglist import db, preflight
from mailinglist.bulletins import approvals, drafts
from mailinglist.bulletins.blocks import Draft, Heading, Image, Text, Version
from mailinglist.consent import lists
from mailinglist.staff.levels import Level
from making import person, the_list

# Words do not depend on the database.
pytestmark = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)

TITLE = "Hei {name|hyvä lukija}, talo on valmis"


def begun(**versions: Version) -> int:
    with db.transaction() as session:
        by = drafts.Author(None, "Eeva")
        return drafts.begin(session, the_list(session), Draft(versions), by=by, now=db.utcnow()).id


@pytest.fixture
def everything(app: Flask) -> staffing.Signed:
    return staffing.signed_in(app, *staffing.EVERY_LEVEL)


def test_titles_read_as_to_who_gave_no_name(everything: staffing.Signed) -> None:
    number = begun(fi=Version(TITLE, "", (Text("Hei!"),)))
    with db.transaction() as session:
        approvals.ask_approval(session, drafts.find(session, number), by=drafts.Author(None, "Eeva"), now=db.utcnow())
    here = f"/staff/bulletins/{number}"
    for path in ("/staff/", "/staff/bulletins", here, f"{here}/audience", f"{here}/versions", f"{here}/remove"):
        page = everything.get(path).text
        assert "Hei hyvä lukija, talo on valmis" in page, path
        assert "{name" not in page, path
    assert "“Hei hyvä lukija, talo on valmis” waits for an approval." in everything.get("/staff/").text


def test_the_editor_shows_the_mailbox_as_who_gets_the_mail_sees_it(everything: staffing.Signed) -> None:
    number = begun(fi=Version(TITLE, "{name}!", (Text("Hei!"),)))
    read = {"with": ["Hei Aino, talo on valmis", "Aino!"], "without": ["Hei hyvä lukija, talo on valmis", "!"]}
    for name, seen in read.items():
        page = everything.get(f"/staff/bulletins/{number}/edit?name={name}").text
        assert re.findall(r'data-shows="[a-z]+">([^<]*)<', page) == seen
    assert f'name="subject" value="{TITLE}"' in page


def test_blocks_have_one_menu_of_what_can_be_added(everything: staffing.Signed) -> None:
    number = begun(fi=Version("A", "", (Text("a"), Text("b"))))
    page = everything.get(f"/staff/bulletins/{number}/edit").text.partition("<template")[0]
    menus = re.findall(r'<details class="adding"([^>]*)>\s*<summary([^>]*)>([^<]*)<', page)
    assert [("open" in state, words) for state, _said, words in menus] == [
        (False, ""), (False, ""), (True, "Add to the bulletin"),
    ]  # fmt: skip
    assert 'aria-label="Add below: Text"' in menus[0][1]
    assert 'name="adding"' in menus[0][0], "opening one closes the others"


def test_the_same_in_several_versions_is_one_finding_and_one_box(
    app: Flask, everything: staffing.Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight.links, "check", lambda addresses, **_: {})
    with db.transaction() as session:
        person(session, "a@example.fi", now=db.utcnow())
    faulty = (Heading(2, "A"), Text("{nmae} " + "Hyviä uutisia kesästä. " * 20), Text("Hei {name}!"))
    number = begun(**{language: Version(f"Kesä {language}", "", faulty) for language in ("fi", "sv", "en")})
    here = f"/staff/bulletins/{number}"
    page = everything.get(f"{here}/preflight?now=1").text
    [line] = re.findall(r'<li class="notice bad">(.*?)</li>', page, re.S)
    assert "(Finnish, Swedish, English)" in line
    assert re.findall(r'href="([^"]+)">(\w+)', line) == [
        (f"{here}/edit?language={code}#block-b1", name)
        for code, name in (("fi", "Finnish"), ("sv", "Swedish"), ("en", "English"))
    ]

    with db.transaction() as session:
        bulletin = drafts.find(session, number)
        source = bulletin.source.replace("{nmae} ", "")
        drafts.save(session, bulletin, base=1, source=source, by=drafts.Author(None, "Eeva"), now=db.utcnow())
    page = everything.get(f"{here}/preflight?now=1").text
    boxes = re.findall(r'name="acknowledged" value="([^"]+)"', page)
    [nameless] = [box for box in boxes if box.startswith("name_without_fallback")]
    assert [key.split(":")[1] for key in nameless.split()] == ["fi", "sv", "en"]
    fields = dict(re.findall(r'type="hidden" name="(revision|imprint)" value="([^"]*)"', page))
    assert everything.post(f"{here}/approve", {**fields, "acknowledged": boxes[1:]}).location.endswith(
        "preflight?now=1"
    )
    assert everything.post(f"{here}/approve", {**fields, "acknowledged": boxes}).location.endswith(here)


def test_sending_names_the_clock_and_tells_now_from_later(everything: staffing.Signed) -> None:
    now, number = db.utcnow(), begun(fi=Version("Uutisia", "", (Text("Hei!"),)))
    with db.transaction() as session:
        person(session, "a@example.fi", now=now)
        sender, by = "Tector <tiedote@example.fi>", drafts.Author(2, "Pekka")
        approvals.approve(session, drafts.find(session, number), sender=sender, by=by, now=now)
    page = everything.get(f"/staff/bulletins/{number}/send?lang=sv").text
    assert "Klockslag (tid i Helsingfors)" in page
    assert "Listans tidszon är Europe/Helsinki." in page
    assert re.search(r'class="if-now">Skicka nu</span>.*class="if-later">Schemalägg</span>', page)


def test_settings_offer_time_zones_and_say_what_a_bulletin_needs(everything: staffing.Signed) -> None:
    page = everything.get("/staff/lists/tector-tiedottaa?lang=sv").text
    assert '<option value="Europe/Helsinki" selected>Helsingfors (Europe/Helsinki)</option>' in page
    assert '<label for="postal_address">Postadress</label>' in page, "not called optional"
    with db.transaction() as session:
        lists.set_value(session, the_list(session), "time_zone", "America/New_York", now=db.utcnow())
    page = everything.get("/staff/lists/tector-tiedottaa").text
    assert '<option value="America/New_York" selected>New York (America/New_York)</option>' in page


def test_what_is_shown_once_can_be_copied_and_printed(app: Flask) -> None:
    administrator = staffing.signed_in(app, Level.ADMINISTRATOR)
    page = administrator.post("/staff/account/codes").text
    form = {"name": "Uusi", "address": "uusi@example.fi", "levels": "editor"}
    for shown, what in ((page, "codes"), (administrator.post("/staff/staff/add", form).text, "link")):
        assert re.search(rf'data-copy="{what}"[^>]* hidden>', shown), "hidden until the script is there"
        assert re.search(r"data-print hidden>", shown)
        assert f'id="{what}"' in shown
        assert "staff/keep" in shown
    assert re.search(r"For signing in as administrator\.\w+@example\.fi", page)


def test_sources_and_audit_are_told_in_the_page_s_language(everything: staffing.Signed) -> None:
    with db.transaction() as session:
        person(session, "a@example.fi", now=db.utcnow())
    number = begun(fi=Version("A", "", (Image(""),)))
    page = everything.get(f"/staff/bulletins/{number}/audience?lang=fi").text
    assert '<option value="confirmed">Vahvistusviestillä</option>' in page
    everything.get("/staff/persons/1")
    assert ">Henkilö 1</a>" in everything.get("/staff/audit?lang=fi").text
