"""WCAG 2.2 AA, as far as a program can tell: every page in every language, by day and by night, large and small."""

# ruff: noqa: F811 - fixtures are asked for by the very names that they are imported under

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from browsing import PAGE, Site, complaints, site  # noqa: F401
from playwright.sync_api import Browser, Page

import making
from accessible import violations
from mailinglist import db
from mailinglist.consent import bans, lists, register
from mailinglist.consent.address import parse
from mailinglist.consent.states import ALL_CHANNELS

pytestmark = pytest.mark.browser

Go = Callable[[Page, str], None]


def pages(site: Site) -> dict[str, Go]:
    """How to get to each page in a language (`?lang=…`)."""
    now = db.utcnow()
    with site.app.app_context(), db.transaction() as session:
        lists.set_value(session, making.the_list(session), "colour", "#ffcc00", now=now)
        confirm, not_me = making.letter(session, making.ask(session, "uusi@example.fi", now=now), now=now)
        old_time = now - timedelta(days=20)
        old, _ = making.letter(session, making.ask(session, "vanha@example.fi", now=old_time), now=old_time)
        forbidden, _ = making.letter(session, making.ask(session, "kielto@example.fi", now=now), now=now)
        person = register.find(session, parse("kielto@example.fi"))
        assert person is not None
        bans.add(session, person.digest, ALL_CHANNELS, source="phone", now=now)
        leave = making.leave_token(session, making.person(session, "matti@example.fi", now=now))

    def at(path: str) -> Go:
        def go(page: Page, query: str) -> None:
            page.goto(site.base + path + query)

        return go

    def press(path: str, button: str = "main form button") -> Go:
        def go(page: Page, query: str) -> None:
            page.goto(site.base + path + query)
            with page.expect_navigation():
                page.locator(button).first.click()

        return go

    def mistyped(page: Page, query: str) -> None:
        page.goto(site.base + PAGE + query)
        page.fill("#email", "matti@@example.fi")
        with page.expect_navigation():
            page.click("main form button")

    return {
        "sign-up": at(PAGE), "sign-up, mistyped": mistyped, "check mail": at(f"{PAGE}/check-mail"),
        "lost link": at(f"{PAGE}/leave"), "lost link, check mail": at(f"{PAGE}/leave/check-mail"),
        "confirm": at(f"/confirm/{confirm}"), "spent": at(f"/confirm/{old}"), "not me": at(f"/not-me/{not_me}"),
        "confirmed": press(f"/confirm/{confirm}"), "not me, done": press(f"/not-me/{not_me}"),
        "unsubscribe": at(f"/unsubscribe/{leave}"), "left": press(f"/unsubscribe/{leave}", "main form button.quiet"),
        "banned": press(f"/confirm/{forbidden}"), "privacy": at("/privacy"), "missing": at("/nowhere"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("language", "first"),
    [("fi", 0), pytest.param("sv", 1, marks=pytest.mark.long), pytest.param("en", 0, marks=pytest.mark.long)],
)
def test_axe_finds_nothing(site: Site, browser: Browser, language: str, first: int) -> None:
    """By day and by night in turn: Swedish begins with the other, so that each page is seen in both."""
    with browser.new_context() as context:
        context.set_default_timeout(10_000)
        page = context.new_page()
        heard = complaints(page)
        for nth, (name, go) in enumerate(pages(site).items(), first):
            page.emulate_media(color_scheme="dark" if nth % 2 else "light")
            go(page, f"?lang={language}")
            assert page.get_attribute("html", "lang") == language
            assert violations(page) == "", name
        assert [line for line in heard if "Failed to load resource" not in line] == []


_SMALL_TARGETS = """
() => [...document.querySelectorAll('a, button, input:not([type=hidden])')]
  .filter(e => !e.closest('.elsewhere') && !e.matches('.skip') && !e.closest('p, li:not(nav li)'))
  .map(e => [e.textContent.trim() || e.name, e.getBoundingClientRect()])
  .filter(([_, box]) => box.width < 24 || box.height < 24)
  .map(([name, box]) => `${name}: ${box.width} × ${box.height}`)
"""
_SPACED = """
* { line-height: 1.5 !important; letter-spacing: 0.12em !important; word-spacing: 0.16em !important; }
p { margin-bottom: 2em !important; }
"""


@pytest.mark.parametrize("language", ["fi", *(pytest.param(each, marks=pytest.mark.long) for each in ("sv", "en"))])
def test_fits_320_pixels_with_large_targets_and_wide_spacing(site: Site, browser: Browser, language: str) -> None:
    """1.4.10 (which is 1280 px at 400 %), 1.4.12, 2.5.8."""
    with browser.new_context(viewport={"width": 320, "height": 256}, bypass_csp=True) as context:
        page = context.new_page()
        for name, go in pages(site).items():
            go(page, f"?lang={language}")
            for spaced in (False, True):
                if spaced:
                    page.add_style_tag(content=_SPACED)
                assert page.evaluate("document.documentElement.scrollWidth") <= 320, (name, spaced)
            assert page.evaluate(_SMALL_TARGETS) == [], name


def test_what_has_the_focus_shows_it(site: Site, browser: Browser) -> None:
    """2.4.7, 2.4.11."""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{site.base}{PAGE}")
        for _ in range(9):
            page.keyboard.press("Tab")
            width = page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)")
            style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert width >= 2, page.evaluate("document.activeElement.outerHTML")
            assert style == "solid"


def test_a_logo_without_a_size_of_its_own_is_seen(site: Site, browser: Browser) -> None:
    """Many a drawing has a viewBox only."""
    with site.app.app_context(), db.transaction() as session:
        lists.set_value(session, making.the_list(session), "logo", f"{site.base}/static/icon.svg", now=db.utcnow())
    with browser.new_context() as context:
        page = context.new_page()
        heard = complaints(page)
        page.goto(f"{site.base}{PAGE}")
        box = page.locator(".brand img").bounding_box()
        assert box is not None
        assert 24 <= box["height"] <= 64
        assert box["width"] >= 24
        assert heard == []


def test_prints_as_text(site: Site, browser: Browser) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{site.base}/privacy?lang=fi")
        page.emulate_media(media="print")
        assert not page.is_visible(".languages")
        assert page.is_visible("h1")
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
