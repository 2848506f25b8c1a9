"""The proof of work in a real browser, under the page's own content security policy."""

# ruff: noqa: F811 - fixtures are asked for by the very names that they are imported under

from __future__ import annotations

from datetime import timedelta

import pytest
from browsing import PAGE, Site, complaints, site, visitor  # noqa: F401
from playwright.sync_api import Browser, BrowserContext, expect

import making
from mailinglist import db
from mailinglist.consent import lists

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def wanted(site: Site) -> None:
    with site.app.app_context(), db.transaction() as session:
        lists.set_value(session, making.the_list(session), "proof_of_work", "on", now=db.utcnow())


def waits(site: Site) -> timedelta:
    request = site.newest_request()
    return request.not_before - request.received_at


@pytest.mark.parametrize("at_once", [True, False])
def test_is_done_while_the_visitor_types(site: Site, browser: Browser, at_once: bool) -> None:
    with browser.new_context(locale="fi-FI") as context:
        page = context.new_page()
        heard = complaints(page)
        page.goto(f"{site.base}{PAGE}")
        page.get_by_label("Sähköpostiosoite").fill("matti@example.fi")
        if not at_once:
            expect(page.locator("input[name=altcha]")).to_have_attribute("data-settled", "yes", timeout=30_000)
        page.get_by_role("button").click()
        page.wait_for_url("**/check-mail?lang=fi", timeout=30_000)
        assert heard == []
    assert waits(site) == timedelta()


def test_without_javascript_the_request_is_slower_and_not_lost(site: Site, visitor: BrowserContext) -> None:
    page = visitor.new_page()
    page.goto(f"{site.base}{PAGE}")
    page.get_by_label("Sähköpostiosoite").fill("matti@example.fi")
    page.get_by_role("button").click()
    expect(page).to_have_url(f"{site.base}{PAGE}/check-mail?lang=fi")
    assert waits(site) == timedelta(minutes=1)


def test_a_worker_that_fails_does_not_hold_the_form_up(site: Site, browser: Browser) -> None:
    with browser.new_context(locale="fi-FI") as context:
        page = context.new_page()
        page.route("**/altcha/pbkdf2.js*", lambda route: route.abort())
        page.goto(f"{site.base}{PAGE}")
        page.get_by_label("Sähköpostiosoite").fill("matti@example.fi")
        page.get_by_role("button").click()
        page.wait_for_url("**/check-mail?lang=fi")
    assert waits(site) == timedelta(minutes=1)
