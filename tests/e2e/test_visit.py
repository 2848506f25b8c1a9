"""A visitor joins, confirms, leaves; in Chromium, without JavaScript."""

# ruff: noqa: F811 - fixtures are asked for by the very names that they are imported under

from __future__ import annotations

import re
from pathlib import Path

import pytest
from browsing import PAGE, Elsewhere, Site, elsewhere, site, stranger, visitor  # noqa: F401
from playwright.sync_api import BrowserContext, expect

import making
from mailinglist import db
from mailinglist.consent import lists

pytestmark = pytest.mark.browser
DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_joins_confirms_in_another_browser_and_leaves(
    site: Site, visitor: BrowserContext, stranger: BrowserContext
) -> None:
    page = visitor.new_page()
    page.goto(site.base)
    page.get_by_label("Sähköpostiosoite").fill("matti@@example.fi")
    page.get_by_role("button").click()
    expect(page.get_by_role("alert")).to_contain_text("yksi @‑merkki")
    expect(page.get_by_label("Sähköpostiosoite")).to_be_focused()
    expect(page.get_by_label("Sähköpostiosoite")).to_have_value("matti@@example.fi")
    page.get_by_label("Sähköpostiosoite").fill("matti@example.fi")
    page.get_by_role("button").click()
    expect(page).to_have_url(f"{site.base}{PAGE}/check-mail?lang=fi")
    expect(page.get_by_role("heading", level=1)).to_have_text("Tarkista sähköpostisi")
    (cookie,) = visitor.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("mailinglist_browser", True, "Lax")

    confirm, _ = site.letter()
    other = stranger.new_page()
    for _ in range(5):
        other.goto(f"{site.base}/confirm/{confirm}")
    assert stranger.request.head(f"{site.base}/confirm/{confirm}").status == 200
    assert site.states() == ["pending"]
    expect(other.get_by_role("button")).to_have_count(1)
    other.get_by_role("button").click()
    expect(other.get_by_role("heading", level=1)).to_have_text("Kiitos, olet nyt listalla")
    assert site.states() == ["active"]
    other.goto(f"{site.base}/confirm/{confirm}")
    expect(other.get_by_role("heading", level=1)).to_have_text("Olet jo listalla")
    assert stranger.cookies() == []

    token = site.unsubscribe_token("matti@example.fi")
    other.goto(f"{site.base}/unsubscribe/{token}")
    other.get_by_role("button", name="Poistu listalta", exact=True).click()
    expect(other.get_by_role("heading", level=1)).to_have_text("Olet poistunut listalta")
    assert site.states() == ["left"]
    other.get_by_role("button", name="Kiellä kaikki markkinointi").click()
    expect(other.get_by_text("Olet myös kieltänyt kaiken markkinoinnin")).to_be_visible()


def test_the_browser_that_signed_up_is_confirmed_by_the_link_alone(
    site: Site, visitor: BrowserContext, elsewhere: Elsewhere
) -> None:
    page = visitor.new_page()
    page.goto(f"{site.base}{PAGE}")
    page.get_by_label("Sähköpostiosoite").fill("maija@example.fi")
    page.get_by_role("button").click()
    confirm, _ = site.letter()
    # Followed from a webmail, which is another site.
    elsewhere.html = f'<a href="{site.base}/confirm/{confirm}">Vahvista</a>'
    page.goto(elsewhere.origin)
    page.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Kiitos, olet nyt listalla")
    assert site.states() == ["active"]


def snippet(site: Site) -> str:
    """The form of the documentation, with this site's address."""
    found = re.search(r"```html\n(.*?)```", (DOCS / "embedding.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return "<!doctype html><html lang=fi><title>Yritys</title>" + found[1].replace(
        "https://lists.example.fi", site.base
    )


@pytest.mark.parametrize("listed", [True, False])
def test_the_form_on_a_company_s_own_site(
    site: Site, visitor: BrowserContext, elsewhere: Elsewhere, listed: bool
) -> None:
    with site.app.app_context(), db.transaction() as session:
        row = making.the_list(session)
        if listed:
            lists.set_value(session, row, "origins", f"https://www.example.fi,{elsewhere.origin}", now=db.utcnow())
        text = lists.current_text(session, row, "fi")
        body, digest, text_id = text.body, text.digest.hex(), text.id
    elsewhere.html = snippet(site)
    assert body in elsewhere.html, "the documented wording is the one that the list has from the first start"
    assert digest in elsewhere.html
    page = visitor.new_page()
    page.goto(elsewhere.origin)
    page.get_by_label("Sähköpostiosoite").fill("matti@example.fi")
    page.get_by_role("button").click()
    expect(page).to_have_url(f"{site.base}{PAGE}/check-mail?lang=fi")
    assert len(visitor.cookies(site.base)) == listed
    request = site.newest_request()
    assert (request.language, request.text_id) == ("fi", text_id)
    assert (request.browser is not None) == listed
    confirm, _ = site.letter()
    page.goto(f"{site.base}/confirm/{confirm}")
    assert site.states() == ["active" if listed else "pending"]


def test_the_language_stays_as_one_goes_along(site: Site, visitor: BrowserContext) -> None:
    page = visitor.new_page()
    page.goto(site.base)
    page.get_by_role("link", name="Svenska").click()
    expect(page.locator("html")).to_have_attribute("lang", "sv")
    page.get_by_label("E-postadress").fill("matti@example.fi")
    page.get_by_role("button").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Kontrollera din e-post")
    page.get_by_role("link", name="Register- och dataskyddsbeskrivning").click()
    expect(page.locator("html")).to_have_attribute("lang", "sv")
    confirm, not_me = site.letter()
    for path in (f"/confirm/{confirm}", f"/not-me/{not_me}"):
        page.goto(site.base + path)
        expect(page.locator("html")).to_have_attribute("lang", "sv")


def test_by_keyboard_alone(site: Site, visitor: BrowserContext) -> None:
    page = visitor.new_page()
    page.goto(site.base)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Siirry sisältöön")).to_be_focused()
    expect(page.get_by_role("link", name="Siirry sisältöön")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Sähköpostiosoite")).to_be_focused()
    page.keyboard.type("matti@example.fi")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Tarkista sähköpostisi")
