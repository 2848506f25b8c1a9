"""The console's door in a real browser: from the link to the first page with an app and with a passkey, by keyboard;
axe finds nothing; the pages fit 320 px."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest
from browsing import Site, complaints, served
from playwright.sync_api import Browser, BrowserContext, Page

import staffing
from accessible import SMALL_TARGETS, violations
from mailinglist import db
from mailinglist.staff import accounts
from mailinglist.staff.audit import Actor
from mailinglist.staff.levels import Level
from mailinglist.staff.tables import SignIn

pytestmark = pytest.mark.browser

ADDRESS = "uusi.kollega@example.fi"
SENTENCE = "seitsemän vihreää lyhtyä"


@pytest.fixture
def console(sqlite_template: Path, tmp_path: Path) -> Iterator[Site]:
    """A site under a name: browsers have no passkeys for a bare address."""
    with served(sqlite_template, tmp_path, host="localhost") as made:
        yield made


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(locale="sv-FI", viewport={"width": 1280, "height": 800})
    made.set_default_timeout(15_000)
    yield made
    made.close()


def link(console: Site) -> str:
    """The address of a fresh enrolment."""
    with console.app.app_context(), db.transaction() as session:
        _, secret = accounts.enrol(
            session, ADDRESS, name="Uusi Kollega", levels=[Level.EDITOR], by=Actor(None, "a test", ""), now=db.utcnow()
        )
    return f"{console.base}/staff/enrol/{secret}"


def choose_password(page: Page, address: str) -> None:
    """The first step, by keyboard alone."""
    page.goto(address)
    page.focus("#password")
    page.keyboard.type(SENTENCE)
    page.keyboard.press("Tab")
    page.keyboard.type(SENTENCE)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def accept(page: Page, console: Site) -> None:
    """From the codes by the secrecy statement to the first page."""
    page.locator("main a.button").click()
    page.wait_for_url(f"{console.base}/staff/secrecy**")
    page.locator("main form button").click()
    page.wait_for_url(f"{console.base}/staff/")
    assert "Uusi Kollega" in page.inner_text("main")


def code_of(key: str) -> str:
    return pyotp.TOTP(key.replace(" ", "")).now()


def forget_codes(console: Site) -> None:
    """A code is good once; let the present one be good again, so that no test waits half a minute for the next."""
    with console.app.app_context(), db.transaction() as session:
        account = accounts.by_address(session, ADDRESS)
        assert account is not None
        account.totp_step = None


def test_from_the_link_to_the_first_page_with_an_app(console: Site, context: BrowserContext) -> None:
    page = context.new_page()
    heard = complaints(page)
    address = link(console)
    choose_password(page, address)
    assert page.get_attribute("html", "lang") == "sv"
    assert page.locator(".qr svg path").count() >= 1
    key = page.inner_text(".secret")
    page.focus("#code")
    page.keyboard.type(code_of(key))
    with page.expect_navigation():
        page.keyboard.press("Enter")
    codes = page.locator(".codes li").all_inner_texts()
    assert len(set(codes)) == 10
    accept(page, console)
    assert page.goto(address).status == 410
    page.goto(f"{console.base}/staff/")

    page.click("nav.wide .me button")
    page.wait_for_url(f"{console.base}/staff/login**")
    page.fill("#address", ADDRESS)
    page.fill("#password", SENTENCE)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{console.base}/staff/login/factor**")
    forget_codes(console)
    page.fill("#code", code_of(key))
    page.keyboard.press("Enter")
    page.wait_for_url(f"{console.base}/staff/")

    context.clear_cookies()
    page.goto(f"{console.base}/staff/account")
    page.fill("#address", ADDRESS)
    page.fill("#password", SENTENCE)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{console.base}/staff/login/factor**")
    page.click("details summary")
    page.fill("#recovery", codes[0])
    page.keyboard.press("Enter")
    page.wait_for_url(f"{console.base}/staff/account")
    assert [line for line in heard if "Failed to load resource" not in line] == []


def test_from_the_link_to_the_first_page_with_a_passkey(console: Site, context: BrowserContext) -> None:
    page = context.new_page()
    heard = complaints(page)
    devices = context.new_cdp_session(page)
    devices.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
        "isUserVerified": True, "automaticPresenceSimulation": True,
    }  # fmt: skip
    devices.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    choose_password(page, link(console))
    page.locator("[data-passkey=create] button").click()
    page.wait_for_selector(".codes")
    accept(page, console)

    page.click("nav.wide .me button")
    page.wait_for_url(f"{console.base}/staff/login**")
    page.fill("#address", ADDRESS)
    page.fill("#password", SENTENCE)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{console.base}/staff/login/factor**")
    page.locator("[data-passkey=get] button").click()
    page.wait_for_url(f"{console.base}/staff/")

    with console.app.app_context(), db.transaction() as session:
        for row in session.query(SignIn):
            row.fresh_at = None
    page.goto(f"{console.base}/staff/account/password")
    assert "/staff/again" in page.url
    page.fill("#password", SENTENCE)
    page.locator("[data-by-passkey]").click()
    page.wait_for_url(f"{console.base}/staff/account/password")
    assert [line for line in heard if "Failed to load resource" not in line] == []


PAGES = (
    "/staff/", "/staff/account", "/staff/account/password", "/staff/account/factor", "/staff/staff",
    "/staff/staff/add", "/staff/staff/1", "/staff/audit", "/staff/audit?since=9999-01-01", "/staff/secrecy",
    "/staff/again", "/staff/nowhere", "/staff/programs", "/staff/programs/add",
)  # fmt: skip


@pytest.mark.parametrize(
    ("language", "scheme"),
    [
        ("sv", "dark"),
        pytest.param("fi", "light", marks=pytest.mark.long),
        pytest.param("en", "dark", marks=pytest.mark.long),
    ],
)
def test_axe_finds_nothing_and_pages_fit(console: Site, browser: Browser, language: str, scheme: str) -> None:
    outside = ["/staff/login", link(console).removeprefix(console.base)]
    with browser.new_context(color_scheme=scheme, locale=language) as context:  # type: ignore[arg-type]
        context.set_default_timeout(15_000)
        page = context.new_page()
        heard = complaints(page)

        def look(path: str) -> None:
            page.set_viewport_size({"width": 1280, "height": 800})
            page.goto(console.base + path)
            assert page.get_attribute("html", "lang") == language
            assert violations(page) == "", path
            page.set_viewport_size({"width": 320, "height": 480})
            assert page.evaluate("document.documentElement.scrollWidth") <= 320, path
            assert page.evaluate(SMALL_TARGETS) == [], path

        for path in outside:
            look(path)
        staffing.sign_browser_in(context, console.app, console.base, language=language)
        for path in PAGES:
            look(path)
        page.click("details.narrow > summary")
        assert violations(page) == ""
        assert [line for line in heard if "Failed to load resource" not in line] == []


def test_works_without_scripts_and_shows_where_the_focus_is(console: Site, browser: Browser) -> None:
    with browser.new_context(java_script_enabled=False, locale="en") as context:
        staffing.sign_browser_in(context, console.app, console.base)
        page = context.new_page()
        page.goto(f"{console.base}/staff/account")
        page.keyboard.press("Tab")
        assert page.locator(".skip").bounding_box()["x"] >= 0
        page.fill("#name", "Maija Uusi")
        page.click("#name >> xpath=ancestor::form//button")
        assert "Saved." in page.inner_text("[role=status]")
        page.goto(f"{console.base}/staff/account/factor")
        page.fill("#code", code_of(page.inner_text(".secret")))
        page.click(".sheet form button >> nth=0")
        assert "Your second factor is set up." in page.inner_text("[role=status]")
