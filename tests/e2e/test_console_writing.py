"""Writing a bulletin in a real browser: by mouse and by keyboard, with the browser killed, offline, and two at once."""

# ruff: noqa: F811 - fixtures are asked for by the very names that they are imported under

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import Site, complaints, site  # noqa: F401
from PIL import Image as Pillow
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect

import making
import servers
import staffing
from accessible import SMALL_TARGETS, violations
from mailinglist import db
from mailinglist.bulletins import blocks, drafts, images, templates
from mailinglist.bulletins.blocks import Button, Draft, Heading, Image, Text, Version
from mailinglist.bulletins.tables import Bulletin
from mailinglist.staff.tables import Account

pytestmark = pytest.mark.browser


def desk(browser: Browser, site: Site, **options: object) -> BrowserContext:
    """A browser in which an editor is signed in."""
    name = options.pop("name", "Maija Mainio")
    language = str(options.pop("language", "en"))
    made = browser.new_context(locale="en", viewport={"width": 1440, "height": 900}, **options)  # type: ignore[arg-type]
    made.set_default_timeout(15_000)
    staffing.sign_browser_in(made, site.app, site.base, ["editor"], name=name, language=language)
    return made


@pytest.fixture
def context(browser: Browser, site: Site) -> Iterator[BrowserContext]:
    made = desk(browser, site)
    yield made
    made.close()


def begun(site: Site, version: Version | None = None) -> int:
    with site.app.app_context(), db.transaction() as session:
        draft = Draft({"fi": version or Version("Uutisia", "", (Text(""),))})
        by = drafts.Author(None, "Kalle")
        return drafts.begin(session, making.the_list(session), draft, by=by, now=db.utcnow()).id


def draft_of(site: Site, number: int) -> Draft:
    with site.app.app_context(), db.reading() as session:
        return blocks.read(session.get_one(Bulletin, number).source)


def text_of(site: Site, number: int) -> str:
    """The text of the first block."""
    [text, *_rest] = draft_of(site, number).versions["fi"].blocks
    assert isinstance(text, Text)
    return text.text


def wait_until_saved(site: Site, page: Page, number: int, text: str) -> None:
    servers.wait_for(lambda: text_of(site, number) == text)
    expect(page.locator("#saved")).to_have_text(re.compile("^Saved "))


def picture(folder: Path) -> str:
    path = folder / "talo.jpg"
    out = io.BytesIO()
    Pillow.new("RGB", (800, 400), "teal").save(out, "JPEG")
    path.write_bytes(out.getvalue())
    return str(path)


def test_a_bulletin_is_written_by_mouse(site: Site, context: BrowserContext, tmp_path: Path) -> None:
    page = context.new_page()
    heard = complaints(page)
    page.goto(f"{site.base}/staff/bulletins")
    page.get_by_role("link", name="New bulletin").click()
    page.get_by_role("button", name="Begin").click()
    page.wait_for_url("**/edit")
    number = int(page.url.split("/")[-2])
    page.get_by_label("Subject").fill("Kesän uutiset")
    page.get_by_label("Preview line").fill("Talo valmistui")
    end = page.locator(".writing > .adding")
    end.get_by_role("button", name="Heading").click()
    page.keyboard.insert_text("Talo on valmis")
    end.get_by_role("button", name="Text", exact=True).click()
    page.keyboard.insert_text("Hei ! Tule katsomaan.")
    text = page.locator(".of-text textarea")
    text.evaluate("area => area.setSelectionRange(4, 4)")
    page.locator(".of-text [data-tool=name]").click()
    page.get_by_label("For who gave no name").fill("ystävä")
    page.locator("#name-dialog button[value=insert]").click()
    text.evaluate("area => area.setSelectionRange(area.value.length - 10, area.value.length - 1)")
    page.locator(".of-text [data-tool=bold]").click()
    end.get_by_role("button", name="Image").click()
    page.get_by_role("button", name="Choose an image").click()
    page.wait_for_url("**/image?**")
    page.set_input_files("#file", picture(tmp_path))
    page.get_by_label("What it shows").fill("Uusi talo")
    page.get_by_role("button", name="Upload and use").click()
    page.wait_for_url("**/edit?**")
    end.get_by_role("button", name="Button").click()
    page.get_by_label("Words on the button").fill("Lue lisää")
    page.locator(".of-button").get_by_label("Leads to").fill("www.example.fi/talo")
    page.keyboard.press("Tab")
    expect(page.locator(".of-button [data-put]")).to_have_text("“https://” was put in front.")
    page.get_by_role("link", name="Phone").click()
    page.get_by_role("link", name="Without a name").click()
    expect(page.locator("#screen iframe:not(.coming)")).to_have_attribute("src", re.compile("view=phone.*name=without"))
    expect(page.locator(".views [aria-current]")).to_have_text("Phone")
    expect(page.frame_locator("#screen iframe:not(.coming)").get_by_text("Hei ystävä!")).to_be_visible()
    expect(page.locator("#saved")).to_have_text(re.compile("^Saved "))
    expect(page.frame_locator("#screen iframe:not(.coming)").get_by_role("link", name="Lue lisää")).to_be_visible()
    page.locator(".languages-more summary").click()
    page.get_by_role("button", name="Swedish: begin with a copy of this").click()
    page.wait_for_url("**language=sv**")
    page.get_by_label("Subject").fill("Sommarens nyheter")
    expect(page.locator("#title")).to_have_text("Kesän uutiset")
    page.get_by_role("button", name="Remove: Heading").click()
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Move down: Heading").click()
    expect(page.locator("#said")).to_have_text("Now number 2 of 4.")
    servers.wait_for(lambda: _title(site, number, "sv") == "Sommarens nyheter")
    servers.wait_for(lambda: isinstance(draft_of(site, number).versions["sv"].blocks[1], Heading))
    finnish = draft_of(site, number).versions["fi"]
    image = finnish.blocks[2]
    assert isinstance(image, Image)
    assert finnish == Version(
        "Kesän uutiset", "Talo valmistui",
        (Heading(2, "Talo on valmis"), Text("Hei {name|ystävä}! Tule **katsomaan**."), Image(image.image, "Uusi talo"),
         Button("Lue lisää", "https://www.example.fi/talo")),
    )  # fmt: skip
    assert [line for line in heard if "Failed to load resource" not in line] == []


def _title(site: Site, number: int, language: str) -> str:
    return draft_of(site, number).versions[language].subject


def tab_to(page: Page, selector: str) -> None:
    """Go on by Tab until `selector` has the focus."""
    for _ in range(200):
        if page.evaluate("(selector) => document.activeElement?.matches(selector) ?? false", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not lead to {selector}")


@pytest.mark.long
def test_a_bulletin_is_written_by_keyboard_alone(site: Site, context: BrowserContext, tmp_path: Path) -> None:
    with site.app.app_context(), db.transaction() as session:
        content = Path(picture(tmp_path)).read_bytes()
        by, row = drafts.Author(None, "Kalle"), making.the_list(session)
        kept = images.take_in(session, row, content, file_name="talo.jpg", alt="Talo", by=by, now=db.utcnow()).digest
    page = context.new_page()
    page.goto(f"{site.base}/staff/bulletins/new")
    tab_to(page, "#languages-sv")
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    page.wait_for_url("**/edit")
    number = int(page.url.split("/")[-2])
    tab_to(page, "#subject")
    page.keyboard.type("Uutisia")

    def add(kind: str) -> None:
        tab_to(page, f".writing > .adding button[value='add {kind}']")
        page.keyboard.press("Enter")

    add("heading")
    page.keyboard.type("Moi")
    add("text")
    page.keyboard.type("Kaikki on ")
    page.keyboard.press("Control+b")
    page.keyboard.type("hyvin")
    page.keyboard.press("End")
    page.keyboard.type(".")
    add("button")
    page.keyboard.type("Lue")
    page.keyboard.press("Tab")
    page.keyboard.type("https://example.fi")
    add("image")
    tab_to(page, "button[value^='image ']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/image?**")
    tab_to(page, f"button[name=image][value='{kept}']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/edit?**")
    tab_to(page, ".versions nav a[href*='language=sv']")
    page.keyboard.press("Enter")
    page.wait_for_url("**language=sv")
    tab_to(page, "#subject")
    page.keyboard.type("Nyheter")
    page.keyboard.press("Enter")
    expect(page.locator("#saved")).to_have_text(re.compile("^Saved "))
    servers.wait_for(lambda: _title(site, number, "sv") == "Nyheter")
    assert draft_of(site, number).versions["fi"] == Version(
        "Uutisia", "",
        (Heading(2, "Moi"), Text("Kaikki on **hyvin**."), Button("Lue", "https://example.fi"), Image(kept, "Talo")),
    )  # fmt: skip


def test_a_killed_browser_loses_two_seconds_at_most(site: Site, browser: Browser) -> None:
    number = begun(site)
    # Never closed: closing a context whose page has crashed sometimes waits for ever. It ends with the browser.
    context = desk(browser, site)
    page = context.new_page()
    page.goto(f"{site.base}/staff/bulletins/{number}/edit")
    page.focus(".of-text textarea")
    typed = "Rivi riviltä kirjoitettua tekstiä, joka ei saa kadota. " * 2
    page.keyboard.type(typed, delay=30)
    with pytest.raises(Error):
        page.goto("chrome://crash", timeout=5_000)
    # What the server has now is all that another machine would find: 2 s are 66 signs at 30 ms each.
    found = text_of(site, number)
    assert typed.startswith(found)
    assert len(found) >= len(typed) - 66
    again = context.new_page()
    again.goto(f"{site.base}/staff/bulletins/{number}/edit")
    servers.wait_for(lambda: text_of(site, number) == typed)


@pytest.mark.long
def test_a_broken_connection_loses_nothing(site: Site, context: BrowserContext) -> None:
    number = begun(site)
    page = context.new_page()
    address = f"{site.base}/staff/bulletins/{number}/edit"
    page.goto(address)
    context.set_offline(True)
    area = page.locator(".of-text textarea")
    area.press_sequentially("Junassa")
    expect(page.locator("#saved")).to_have_text("Not saved: no connection. Your text is kept in this browser.")
    area.press_sequentially(" kirjoitettu")
    context.set_offline(False)
    wait_until_saved(site, page, number, "Junassa kirjoitettu")
    area.press_sequentially(".")
    wait_until_saved(site, page, number, "Junassa kirjoitettu.")
    context.set_offline(True)
    area.press_sequentially(" Ja suljettu")
    expect(page.locator("#saved")).to_have_text(re.compile("^Not saved: no connection"))
    page.close()
    context.set_offline(False)
    page = context.new_page()
    page.goto(address)
    expect(page.locator("#said")).to_have_text("Text that was kept in this browser is saved now.")
    assert text_of(site, number) == "Junassa kirjoitettu. Ja suljettu"


def test_the_second_of_two_is_told_and_loses_nothing(site: Site, browser: Browser, context: BrowserContext) -> None:
    number = begun(site)
    address = f"{site.base}/staff/bulletins/{number}/edit"
    with desk(browser, site, name="Pekka Toinen") as other:
        mine, theirs = context.new_page(), other.new_page()
        mine.goto(address)
        theirs.goto(address)
        theirs.locator(".of-text textarea").press_sequentially("Pekan teksti")
        wait_until_saved(site, theirs, number, "Pekan teksti")
        mine.locator(".of-text textarea").press_sequentially("Maijan teksti")
        expect(mine.locator("#conflict")).to_contain_text("Pekka Toinen changed this bulletin")
        mine.locator(".of-text textarea").press_sequentially(" jatkuu")
        assert text_of(site, number) == "Pekan teksti"
        mine.get_by_role("button", name="Compare, and choose").click()
        expect(mine.locator("del")).to_have_text(["[removed: Pekan]"])
        expect(mine.locator("ins")).to_have_text(["[added: Maijan]", "[added:  jatkuu]"])
        assert violations(mine) == ""
        mine.get_by_role("button", name="Use my text").click()
        mine.wait_for_url("**/edit?**")
        assert text_of(site, number) == "Maijan teksti jatkuu"
        mine.goto(f"{site.base}/staff/bulletins/{number}/versions")
        assert "Pekka Toinen" in mine.inner_text("main")


@pytest.mark.long
def test_what_a_browser_kept_does_not_write_over_what_came_meanwhile(site: Site, context: BrowserContext) -> None:
    number = begun(site)
    address = f"{site.base}/staff/bulletins/{number}/edit"
    page = context.new_page()
    page.goto(address)
    context.set_offline(True)
    page.locator(".of-text textarea").press_sequentially("Junassa")
    expect(page.locator("#saved")).to_have_text(re.compile("^Not saved: no connection"))
    page.close()
    context.set_offline(False)
    with site.app.app_context(), db.transaction() as session:
        bulletin = drafts.find(session, number)
        source = blocks.write(Draft({"fi": Version("Uutisia", "", (Text("Toimistossa"),))}))
        drafts.save(session, bulletin, base=1, source=source, by=drafts.Author(None, "Kalle"), now=db.utcnow())
    page = context.new_page()
    page.goto(address)
    expect(page.locator("#conflict")).to_contain_text("Kalle changed this bulletin")
    assert page.input_value(".of-text textarea") == "Toimistossa"
    page.get_by_role("button", name="Compare, and choose").click()
    expect(page.locator("ins")).to_have_text("[added: Junassa]")
    page.get_by_role("button", name="Keep my text as a bulletin of its own").click()
    page.wait_for_url("**/edit?**")
    assert page.input_value(".of-text textarea") == "Junassa"
    assert text_of(site, number) == "Toimistossa"
    page.goto(address)
    expect(page.locator("#conflict")).to_be_hidden()


@pytest.mark.long
def test_who_is_signed_out_while_writing_goes_on_after_signing_in(site: Site, context: BrowserContext) -> None:
    number = begun(site)
    address = f"{site.base}/staff/bulletins/{number}/edit"
    page = context.new_page()
    page.goto(address)
    with site.app.app_context(), db.reading() as session:
        account = session.query(Account).one().id
    context.clear_cookies()
    page.locator(".of-text textarea").press_sequentially("Vielä tämä")
    expect(page.locator("#saved")).to_contain_text("Not saved: you are signed out.")
    back = page.get_by_role("link", name="Sign in again").get_attribute("href") or ""
    assert f"/staff/bulletins/{number}/edit" in back
    with site.app.app_context():
        _, secret = staffing.sign_in(account)
    context.add_cookies([{"name": "staff", "value": secret, "url": site.base}])
    page.goto(address)
    servers.wait_for(lambda: text_of(site, number) == "Vielä tämä")
    expect(page.locator("#saved")).to_have_text(re.compile("^Saved "))


@pytest.mark.long
def test_files_are_uploaded_where_they_stand_or_refused_with_the_reason(
    site: Site, context: BrowserContext, tmp_path: Path
) -> None:
    number = begun(site, Version("Kuvia", "", (Image(""),)))
    page = context.new_page()
    page.goto(f"{site.base}/staff/bulletins/{number}/edit")
    attachment = tmp_path / "hinnasto.pdf"
    attachment.write_bytes(b"%PDF-1.7")
    page.set_input_files(".of-image input[type=file]", attachment)
    expect(page.locator(".of-image [data-refused]")).to_contain_text("Files are not attached to bulletins")
    page.set_input_files(".of-image input[type=file]", picture(tmp_path))
    expect(page.locator(".of-image [data-shown]")).to_be_visible()
    expect(page.get_by_label("What it shows")).to_be_focused()
    page.keyboard.type("Talo")

    def kept() -> bool:
        [image] = draft_of(site, number).versions["fi"].blocks
        return isinstance(image, Image) and bool(image.image) and image.alt == "Talo"

    servers.wait_for(kept)


@pytest.mark.long
def test_works_without_scripts(site: Site, browser: Browser) -> None:
    number = begun(site)
    with desk(browser, site, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{site.base}/staff/bulletins/{number}/edit")
        page.locator(".of-text textarea").fill("Ilman skriptejä")
        page.locator(".writing > .adding button[value='add heading']").click()
        page.locator(".of-heading input[type=text]").fill("Otsikko")
        page.get_by_role("button", name="Move up: Heading").click()
        page.get_by_role("button", name="Save").click()
        assert "Saved." in page.inner_text("[role=status]")
    blocks_now = draft_of(site, number).versions["fi"].blocks
    assert blocks_now == (Heading(2, "Otsikko"), Text("Ilman skriptejä"))


@pytest.mark.parametrize(
    ("language", "scheme", "every"),
    [
        ("sv", "dark", False),
        pytest.param("sv", "dark", True, marks=pytest.mark.long),
        pytest.param("fi", "light", True, marks=pytest.mark.long),
        pytest.param("en", "dark", True, marks=pytest.mark.long),
    ],
)
def test_axe_finds_nothing_on_the_pages_of_writing(
    site: Site, browser: Browser, tmp_path: Path, language: str, scheme: str, every: bool
) -> None:
    with site.app.app_context(), db.transaction() as session:
        row, by, now = making.the_list(session), drafts.Author(None, "Kalle"), db.utcnow()
        images.take_in(
            session, row, Path(picture(tmp_path)).read_bytes(), file_name="talo.jpg", alt="Talo", by=by, now=now
        )
        draft = templates.built_in("news").of(["fi", "sv"])
        made = drafts.begin(session, row, draft, by=by, now=now)
        drafts.as_template(session, made, by=by, now=now)
        drafts.save(session, made, base=1, source=made.source.replace("Lyhyesti", "Vielä"), by=by, now=now)
        number = made.id
    here = f"/staff/bulletins/{number}"
    paths = [
        "/staff/bulletins", "/staff/bulletins/new", f"{here}/edit", f"{here}/edit?language=sv&view=phone",
        f"{here}/look?view=text", f"{here}/versions", f"{here}/versions/1", f"{here}/audience", f"{here}/preflight",
        f"{here}/image?language=fi&place=2", f"{here}/remove", "/staff/images", "/staff/templates",
    ]  # fmt: skip
    with desk(browser, site, color_scheme=scheme, language=language) as context:
        page = context.new_page()
        heard = complaints(page)
        for path in paths if every else paths[2:3]:
            page.set_viewport_size({"width": 1280, "height": 800})
            page.goto(site.base + path)
            assert page.get_attribute("html", "lang") == language
            assert violations(page) == "", path
            page.set_viewport_size({"width": 320, "height": 480})
            assert page.evaluate("document.documentElement.scrollWidth") <= 320, path
            assert page.evaluate(SMALL_TARGETS) == [], path
        assert [line for line in heard if "Failed to load resource" not in line] == []
