"""The first page, the list settings and the letters in a real browser: axe finds nothing, pages fit 320 px, the preview
moves without scripts, and a letter is worded by keyboard alone."""

# ruff: noqa: F811 - fixtures are asked for by the very names that they are imported under

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from browsing import Site, complaints, site  # noqa: F401
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import insert

import staffing
from accessible import SMALL_TARGETS, violations
from mailinglist import db
from mailinglist.bulletins import approvals, drafts
from mailinglist.consent import lists
from mailinglist.consent.tables import DailyCount
from mailinglist.staff.levels import Level
from making import the_list, written

pytestmark = pytest.mark.browser

LIST = "/staff/lists/tector-tiedottaa"
PAGES = (
    "/staff/", "/staff/?days=365", "/staff/lists", LIST, f"{LIST}/looks", f"{LIST}/texts", f"{LIST}/notice",
    f"{LIST}/rules", f"{LIST}/letters", f"{LIST}/letters/confirm/fi",
)  # fmt: skip


def lively(site: Site) -> None:
    """A list on which something has happened."""
    with site.app.app_context(), db.transaction() as session:
        row, now = the_list(session), db.utcnow()
        for back in range(60):
            for what, number in (
                ("confirmed", back % 7),
                ("asked", back % 9),
                ("left", back % 3),
                ("banned", back % 2),
            ):
                session.execute(
                    insert(DailyCount).values(
                        list_id=0 if what == "banned" else row.id, day=(now - timedelta(days=back)).date(), what=what,
                        number=number,
                    )
                )  # fmt: skip
        bulletin = written(session, now=now, fi="Uutisia")
        approvals.ask_approval(session, bulletin, by=drafts.Author(1, "Maija"), now=now)


@pytest.mark.parametrize(
    ("language", "scheme"),
    [
        ("sv", "dark"),
        pytest.param("fi", "light", marks=pytest.mark.long),
        pytest.param("en", "light", marks=pytest.mark.long),
    ],
)
def test_axe_finds_nothing_and_pages_fit(site: Site, browser: Browser, language: str, scheme: str) -> None:
    lively(site)
    with browser.new_context(color_scheme=scheme, locale=language) as context:  # type: ignore[arg-type]
        context.set_default_timeout(15_000)
        staffing.sign_browser_in(context, site.app, site.base, language=language)
        page = context.new_page()
        heard = complaints(page)
        for path in PAGES:
            page.set_viewport_size({"width": 1280, "height": 800})
            page.goto(site.base + path)
            assert page.get_attribute("html", "lang") == language
            for details in page.locator("main details").all():
                details.locator("summary").click()
            assert violations(page) == "", path
            page.set_viewport_size({"width": 320, "height": 480})
            assert page.evaluate("document.documentElement.scrollWidth") <= 320, path
            assert page.evaluate(SMALL_TARGETS) == [], path
        assert heard == []


def framed(page: Page) -> str:
    frame = page.frame("letter")
    assert frame is not None
    frame.wait_for_load_state()
    return frame.locator("body").inner_text()


def test_a_letter_is_worded_by_keyboard_and_looked_at_before_without_scripts(site: Site, browser: Browser) -> None:
    with browser.new_context(java_script_enabled=False, viewport={"width": 1280, "height": 900}) as context:
        context.set_default_timeout(15_000)
        staffing.sign_browser_in(context, site.app, site.base, [Level.ADMINISTRATOR], language="en")
        page = context.new_page()
        page.goto(f"{site.base}{LIST}/letters/leave/en")
        assert "Would you like to leave the list?" in framed(page)
        page.focus("#subject")
        page.keyboard.press("Control+a")
        page.keyboard.type("Bye")
        page.keyboard.press("Tab")
        page.keyboard.press("Control+a")
        page.keyboard.type("Sad to see you go. ")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")  # past "Save"
        with page.expect_response(lambda answer: answer.url.endswith("/preview")):
            page.keyboard.press("Enter")
        assert "can't be left out" in framed(page)
        page.focus("#body")
        page.keyboard.press("Control+End")
        page.keyboard.type("[Leave]({leave_url})")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        with page.expect_response(lambda answer: answer.url.endswith("/preview")):
            page.keyboard.press("Enter")
        assert "Sad to see you go. Leave" in framed(page)
        page.keyboard.press("Shift+Tab")
        with page.expect_navigation():
            page.keyboard.press("Enter")
        assert "Saved." in page.inner_text("[role=status]")
        assert "It is in words of your own." in page.inner_text("main")
    with site.app.app_context(), db.reading() as session:
        assert lists.settings_of(the_list(session)).letters["leave.en"].subject == "Bye"


def test_a_name_a_colour_and_a_logo_are_set_by_mouse(site: Site, browser: Browser, tmp_path: Path) -> None:
    picture = tmp_path / "logo.png"
    Image.new("RGB", (300, 90), "teal").save(picture)
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        context.set_default_timeout(15_000)
        staffing.sign_browser_in(context, site.app, site.base, [Level.ADMINISTRATOR], language="en")
        page = context.new_page()
        heard = complaints(page)
        page.goto(f"{site.base}/staff/")
        page.click("nav.wide >> text=List settings")
        page.click("main table a >> nth=0")
        page.fill("#name", "Uusi nimi")
        page.click("main form >> text=Save")
        assert page.inner_text("h1") == "Uusi nimi"
        page.click(".tabs >> text=Looks")
        page.fill("#colour", "#8a1c5b")
        page.click("main form >> text=Save")
        page.set_input_files("#file", picture)
        page.click("text=Take this logo")
        assert page.input_value("#logo").startswith(f"{site.base}/images/")
        # Not wait_for_function: what that evaluates while it waits, the page's CSP refuses.
        expect(page.locator("img.logo")).to_have_js_property("naturalWidth", 300)
        assert heard == []
    with site.app.app_context(), db.reading() as session:
        assert lists.settings_of(the_list(session)).colour == "#8a1c5b"
