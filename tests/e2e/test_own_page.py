"""One's own page in Chromium, without JavaScript: all that a person does for themselves, in three languages, small and
large, by keyboard, and clean to axe."""

# ruff: noqa: F811 - fixtures are asked for by the very names that they are imported under

from __future__ import annotations

from datetime import date, timedelta

import pytest
from browsing import Site, complaints, site, visitor  # noqa: F401
from playwright.sync_api import Browser, BrowserContext, Page, expect
from test_accessible import _SMALL_TARGETS

import making
from accessible import violations
from mailinglist import db
from mailinglist.consent import bans, own_page, register, registrar
from mailinglist.consent.address import parse
from mailinglist.consent.states import ALL_CHANNELS, Channel

pytestmark = pytest.mark.browser


def key(site: Site, mailbox: str, *, hours: int = 0) -> str:
    """The address of this mailbox's own page, by a key that was mailed so many hours ago."""
    with site.app.app_context(), db.reading() as session:
        keys, address = session.info["keys"], parse(mailbox)
        made = own_page.Key(
            keys.digest(address.folded), keys.digest(address.mailbox), db.utcnow() - timedelta(hours=hours)
        )
        return f"{site.base}/preferences/{made.token(register.tokens_of(session))}"


def known(site: Site, mailbox: str, *channels: Channel) -> None:
    with site.app.app_context(), db.transaction() as session:
        now = db.utcnow() - timedelta(days=1)
        made = making.person(session, mailbox, now=now)
        if channels:
            bans.add(session, made.digest, channels, source="phone", now=now)


def unconfirmed(site: Site, mailbox: str) -> None:
    """Somebody whose address staff corrected to this one."""
    known(site, "before@example.fi")
    told = registrar.Told("phone", "Call 17", date(2026, 11, 2), "Maija")
    with site.app.app_context(), db.transaction() as session:
        person = register.find(session, parse("before@example.fi"))
        assert person is not None
        registrar.correct_address(session, person.id, parse(mailbox), told, now=db.utcnow())


@pytest.mark.long
@pytest.mark.parametrize(("language", "width"), [("fi", 320), ("sv", 1280), ("en", 320)])
def test_every_page_of_it_is_clean_to_axe_and_fits(site: Site, browser: Browser, language: str, width: int) -> None:
    """By day and by night in turn; at 320 px nothing scrolls sideways, and each target has 24 px."""
    known(site, "matti@example.fi", Channel.PHONE)
    with site.app.app_context(), db.transaction() as session:
        bans.add(session, session.info["keys"].digest("gone@example.fi"), ALL_CHANNELS, source="x", now=db.utcnow())
    unconfirmed(site, "slip@example.fi")
    asked = f"?lang={language}"
    own, gone, old = key(site, "matti@example.fi"), key(site, "gone@example.fi"), key(site, "matti@example.fi", hours=2)
    with browser.new_context(viewport={"width": width, "height": 640}) as context:
        context.set_default_timeout(10_000)
        page = context.new_page()
        heard = complaints(page)

        def look(name: str) -> None:
            assert page.get_attribute("html", "lang") == language, name
            assert violations(page) == "", name
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
            assert page.evaluate(_SMALL_TARGETS) == [], name

        slip = key(site, "slip@example.fi")
        for path in (
            f"{site.base}/preferences{asked}", f"{site.base}/preferences/check-mail{asked}", gone + asked, slip + asked,
        ):  # fmt: skip
            page.goto(path)
            look(path)
        page.emulate_media(color_scheme="dark")
        for path in (old + asked, f"{own}/data{asked}", own + asked):
            page.goto(path)
            look(path)
        page.locator("details summary").first.click()
        look("with the consent text open")
        page.locator("#words").fill("")
        page.locator("form:has(#words) button").click()
        expect(page.locator("#words")).to_be_focused()
        look("with an error")
        page.locator("#words").fill("Kuka?")
        page.locator("form:has(#words) button").click()
        expect(page.get_by_role("status")).to_be_visible()
        look("with a request that waits")
        page.locator("button[value=erase]").click()
        look("asked once more")
        page.locator("button[name=sure]").click()
        look("erased")
        assert [line for line in heard if "Failed to load resource" not in line] == []


@pytest.mark.parametrize("language", ["fi", "sv", "en"])
def test_an_expired_key_and_someone_elses_show_nothing(site: Site, visitor: BrowserContext, language: str) -> None:
    known(site, "matti@example.fi")
    known(site, "maija@example.fi")
    unconfirmed(site, "slip@example.fi")
    old, own, slip = key(site, "matti@example.fi", hours=2), key(site, "maija@example.fi"), key(site, "slip@example.fi")
    page = visitor.new_page()
    for path in (old, f"{old}/data", f"{own[:-6]}aaaaaa", own, f"{own}/data", slip, f"{slip}/data"):
        answer = page.goto(f"{path}?lang={language}")
        assert answer is not None
        assert page.get_attribute("html", "lang") == language
        for name in ("matti@", "before@"):
            assert name not in page.content(), (path, name)
        shown = {old: 410, f"{old}/data": 410, f"{own[:-6]}aaaaaa": 404}
        assert answer.status == shown.get(path, 200), path
    page.goto(f"{old}?lang={language}")
    page.locator("button[name=fresh]").click()
    assert page.url.endswith(f"/preferences/check-mail?lang={language}")
    page.goto(f"{slip}?lang={language}")
    page.locator("button[value=join]").click()
    expect(page.get_by_role("status")).to_be_visible()
    page.locator("button[value=erase]").click()
    expect(page.get_by_role("status")).to_be_visible()


def test_a_person_does_it_all_by_themselves(site: Site, visitor: BrowserContext) -> None:
    known(site, "matti@example.fi")
    page = visitor.new_page()
    page.goto(f"{key(site, 'matti@example.fi')}?lang=en")
    press(page, "Leave the list", "You have left the list.")
    assert site.states() == ["left"]
    press(page, "Join again", "A confirmation message is on its way")
    confirm, _ = site.letter()
    assert site.states() == ["left"]
    press(page, "Forbid all marketing", "The ban is in force")
    expect(page.get_by_text("Forbidden since")).to_have_count(4)
    press(page, "Lift all bans", "The ban is lifted.")
    expect(page.get_by_text("Not forbidden.")).to_have_count(4)
    visitor.request.post(f"{site.base}/confirm/{confirm}")
    assert site.states() == ["active"]
    press(page, "Restrict the use", "From this moment")
    press(page, "End the restriction", "The restriction has ended.")
    page.get_by_label("Name", exact=True).fill("Matti")
    page.get_by_label("Language of our mails").select_option("sv")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("html")).to_have_attribute("lang", "sv")
    expect(page.get_by_label("Namn", exact=True)).to_have_value("Matti")
    with page.expect_download() as download:
        page.get_by_role("link", name="Ta med som fil (JSON)").click()
    assert "matti@example.fi" in download.value.path().read_text(encoding="utf-8")
    page.get_by_role("link", name="Läs allt").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Vad vi har om dig")
    page.go_back()
    page.get_by_role("button", name="Radera mina uppgifter", exact=True).click()
    assert site.states() == ["active"]
    page.get_by_role("button", name="Radera mina uppgifter nu").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Dina uppgifter är raderade")
    assert site.states() == []
    assert visitor.cookies() == []


def press(page: Page, name: str, said: str) -> None:
    """One button, and what the page says then."""
    page.get_by_role("button", name=name, exact=True).click()
    expect(page.get_by_role("status")).to_contain_text(said)


def test_by_keyboard_alone_and_clean_to_axe(site: Site, browser: Browser) -> None:
    known(site, "matti@example.fi")
    page = browser.new_page(viewport={"width": 320, "height": 640})
    page.goto(f"{key(site, 'matti@example.fi')}?lang=fi")
    assert violations(page) == ""
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    reached: list[str] = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent.trim() || document.activeElement.name"))
        assert page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)") >= 2, reached[-1]
        if reached[-1] == "Poista tietoni":
            break
    for name in ("Poistu listalta", "Kiellä", "name", "email", "words", "Rajoita käyttöä"):
        assert name in reached
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Poistetaanko tietosi?")
