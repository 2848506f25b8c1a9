"""The registrar's day in a real browser: by keyboard, on a narrow screen, without scripts; axe looks at every page."""

# ruff: noqa: F811 - fixtures are asked for by the very names that they are imported under

from __future__ import annotations

from datetime import timedelta

import pytest
from browsing import Site, complaints, site  # noqa: F401
from playwright.sync_api import Browser, Page, expect

import making
import staffing
from accessible import violations
from mailinglist import db
from mailinglist.consent import address, import_errand, import_jobs, notes, register, registrar
from mailinglist.consent.states import Channel, State
from mailinglist.staff.levels import Level

pytestmark = pytest.mark.browser

MATTI = "matti@example.fi"
FILE = "Sähköposti;Nimi;Kenkä\nuusi@example.fi;Uusi;45\nnonsense;;\n"


def furnish(site: Site) -> int:
    """Somebody about whom every part of the page has something to say. Their number."""
    with site.app.app_context(), db.transaction() as session:
        now = db.utcnow()
        number = making.person(session, MATTI, now=now - timedelta(days=9)).id
        making.person(session, "markku.pitkanimi-virtanen.osasto@hyvin-pitka-verkkotunnus.example.fi",
                      now=now - timedelta(days=8), state=State.UNDELIVERABLE)  # fmt: skip
        told = registrar.Told("phone", "Call 17", (now - timedelta(days=5)).date(), "maija")
        registrar.correct_details(session, number, told, name="Matti", language="fi", now=now)
        registrar.forbid(session, address.parse(MATTI), [Channel.POST, Channel.PHONE], told, now=now)
        registrar.lift(session, address.parse(MATTI), [Channel.PHONE], told, now=now)
        notes.add(session, number, "contact", "Rang", on=now - timedelta(days=1), who="maija", now=now)
        return number


def uploaded(site: Site, name: str) -> int:
    with site.app.app_context(), db.transaction() as session:
        row = making.the_list(session)
        return import_jobs.upload(session, row, FILE.encode(), file_name=name, who="maija", now=db.utcnow()).id


def check(site: Site, job: int) -> None:
    with site.app.app_context(), db.transaction() as session:
        import_jobs.check(session, job, meanings=["email", "name", "ignore"], basis="consent", source="old")


def work(site: Site) -> None:
    """The worker's part."""
    with site.app.app_context():
        while import_errand.go_on(stop=lambda: False, seconds=0.2):
            pass


def reach(page: Page, selector: str, most: int = 60) -> None:
    """Move the focus on by Tab until it is there."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("what => document.activeElement.matches(what)", selector):
            return
    raise AssertionError(f"{selector} is not reached by Tab")


def follow(page: Page, selector: str) -> None:
    reach(page, selector)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def tell(page: Page, words: str, *, how: str | None = "By phone") -> None:
    """What it rests on: by phone, today. A note rests on nothing."""
    if how:
        reach(page, "#how")
        page.keyboard.type(how)
    reach(page, "#words")
    page.keyboard.type(words)


def test_a_day_at_the_desk_by_keyboard_alone(site: Site, browser: Browser) -> None:
    number = furnish(site)
    with browser.new_context(locale="en", viewport={"width": 1280, "height": 800}) as context:
        context.set_default_timeout(15_000)
        staffing.sign_browser_in(context, site.app, site.base, [Level.REGISTRAR])
        page = context.new_page()
        heard = complaints(page)
        page.goto(f"{site.base}/staff/")
        follow(page, "nav.wide a[href='/staff/persons']")
        reach(page, "#q")
        page.keyboard.type("matti")
        with page.expect_navigation():
            page.keyboard.press("Enter")
        follow(page, f"th a[href='/staff/persons/{number}']")
        follow(page, "a[href^='/staff/persons/'][href*='/leave']")
        reach(page, "#list")
        tell(page, "Call 18: take me off")
        follow(page, "main form.sheet button")
        expect(page.locator("main [role=status]").first).to_contain_text("They have left the list.")
        expect(page.locator(".timeline li").first).to_contain_text("Left")

        follow(page, f"a[href='/staff/persons/{number}/ban']")
        reach(page, "#channels-disclosure")
        page.keyboard.press("Space")
        tell(page, "Call 18: and tell nobody")
        follow(page, "main form.sheet button")
        expect(page.locator(".notice.bad")).to_contain_text("Giving the data to others")

        reach(page, "details.adding summary", 120)
        page.keyboard.press("Enter")
        tell(page, "Was friendly", how=None)
        follow(page, "details.adding button")
        expect(page.locator(".note").first).to_contain_text("Was friendly")

        page.goto(f"{site.base}/staff/persons?q=new@example.fi")
        follow(page, "section.sheet a[href^='/staff/persons/new']")
        assert page.input_value("#address") == "new@example.fi"
        tell(page, "Paper 3")
        follow(page, "main form.sheet button")
        expect(page.locator("main [role=status]").first).to_contain_text("A confirmation letter goes out")
        assert site.newest_request().entrance == "staff"

        page.goto(f"{site.base}/staff/persons/{number}/erase")
        reach(page, "#address")
        page.keyboard.type("somebody.else@example.fi")
        follow(page, "button.grave")
        expect(page.locator(".summary")).to_be_visible()
        reach(page, "#address")
        page.keyboard.press("Control+A")
        page.keyboard.type(MATTI)
        follow(page, "button.grave")
        expect(page.locator("main")).to_contain_text("The person is erased.")
        assert [line for line in heard if "Failed to load resource" not in line] == []
        with site.app.app_context(), db.reading() as session:
            assert register.find(session, address.parse(MATTI)) is None


def test_an_import_moves_on_by_itself(site: Site, browser: Browser) -> None:
    with browser.new_context(locale="en", viewport={"width": 1280, "height": 800}) as context:
        context.set_default_timeout(15_000)
        staffing.sign_browser_in(context, site.app, site.base, [Level.REGISTRAR])
        page = context.new_page()
        heard = complaints(page)
        page.goto(f"{site.base}/staff/imports")
        file = {"name": "<img src=x onerror=alert(1)>.csv", "mimeType": "text/csv", "buffer": FILE.encode()}
        page.set_input_files("#file", file)  # type: ignore[arg-type]
        page.click("main form button")
        page.select_option("#basis", "consent")
        page.fill("#source", "the old program")
        page.click("form.mapping button")
        expect(page.locator("#progress")).to_contain_text("Is being looked through")
        work(site)
        expect(page.locator("#outcome")).to_have_text("What would become of the lines")  # without a reload of ours
        expect(page.locator("#refusals ~ .table tbody tr")).to_have_count(1)
        page.get_by_role("button", name="Import 1").click()
        expect(page.locator("#progress")).to_be_visible()
        work(site)
        expect(page.locator("#outcome")).to_have_text("What became of the lines")
        assert site.states() == ["active"]
        assert heard == []

        page.goto(f"{site.base}/staff/exports")
        page.select_option("#goes", "own")
        page.fill("#purpose", "a test")
        with page.expect_download() as download:
            page.click("main form button")
        assert download.value.path().read_text() == "email,language\nuusi@example.fi,fi\n"


@pytest.mark.parametrize(
    ("language", "scheme", "every"),
    [
        ("sv", "dark", False),
        pytest.param("fi", "light", True, marks=pytest.mark.long),
        pytest.param("sv", "dark", True, marks=pytest.mark.long),
        pytest.param("en", "dark", True, marks=pytest.mark.long),
    ],
)
def test_axe_finds_nothing_and_pages_fit(site: Site, browser: Browser, language: str, scheme: str, every: bool) -> None:
    number = furnish(site)
    mapped, checked, waiting = (uploaded(site, name) for name in ("a.csv", "b.csv", "c.csv"))
    check(site, checked)
    work(site)
    check(site, waiting)
    about = f"/staff/persons/{number}"
    paths: tuple[str, ...] = (
        "/staff/persons", "/staff/persons?q=m", "/staff/persons?q=nobody@example.fi", "/staff/persons?state=x",
        "/staff/persons/new", about, *(f"{about}/{below}" for below in
        ("leave", "details", "address", "ban", "lift", "export", "disclose", "erase")), "/staff/disclosures",
        "/staff/bans?address=" + MATTI,
        "/staff/bans/add", "/staff/bans/lift", "/staff/imports", f"/staff/imports/{mapped}",
        f"/staff/imports/{checked}", f"/staff/imports/{waiting}", "/staff/exports",
    )  # fmt: skip
    if not every:
        paths = ("/staff/persons?q=m", about, f"{about}/lift", f"/staff/imports/{mapped}", f"/staff/imports/{checked}")
    with browser.new_context(color_scheme=scheme, locale=language) as context:  # type: ignore[arg-type]
        context.set_default_timeout(15_000)
        staffing.sign_browser_in(context, site.app, site.base, language=language)
        page = context.new_page()
        heard = complaints(page)
        for path in paths:
            page.set_viewport_size({"width": 1280, "height": 800})
            page.goto(site.base + path)
            assert page.get_attribute("html", "lang") == language
            page.evaluate("document.querySelectorAll('main details').forEach(each => each.open = true)")
            assert violations(page) == "", path
            page.set_viewport_size({"width": 320, "height": 480})
            assert page.evaluate("document.documentElement.scrollWidth") <= 320, path
            page.evaluate("document.querySelectorAll('details').forEach(each => each.open = false)")
        assert [line for line in heard if "Failed to load resource" not in line] == []


def test_works_without_scripts(site: Site, browser: Browser) -> None:
    furnish(site)
    with browser.new_context(java_script_enabled=False, locale="en") as context:
        staffing.sign_browser_in(context, site.app, site.base)
        page = context.new_page()
        page.goto(f"{site.base}/staff/imports")
        page.set_input_files("#file", {"name": "a.csv", "mimeType": "text/csv", "buffer": FILE.encode()})
        page.click("main form button")
        page.select_option("#basis", "consent")
        page.fill("#source", "the old program")
        page.click("form.mapping button")
        work(site)
        page.click("noscript a")
        expect(page.locator("#outcome")).to_be_visible()
