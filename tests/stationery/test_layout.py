"""The mail as a browser shows it: narrow and wide, light and dark."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FloatRect, Page

from accessible import violations
from mailinglist.bulletins import blocks
from mailinglist.bulletins.compose import Picture, compose, compose_version
from mailinglist.letters.texts import letter
from mailinglist.stationery import slots
from mailinglist.stationery.layout import Composed, Look

pytestmark = pytest.mark.browser

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
LOOK = Look("Tector tiedottaa", "#1f5f8b", None, "Rälssintie 12, 00720 Helsinki", "Tekninen Toimisto Tektor Oy", "fi")
TOKEN = "https://tiedote.example.fi/confirm/" + "eyJhbGciOiJ0ZXN0In0" * 4
PASTED = """
<table width="640" cellpadding="0">
<tr><td style="background-color:#003366;color:#ffffff;padding:20px"><h1>Tarjous</h1></td></tr>
<tr><td><table><tr>
<td width="50%"><img src="https://e.fi/a.png" width="300" alt="Pumppu"><p style="color:#000">99 €</p></td>
<td width="50%"><img src="https://e.fi/b.png" width="300" alt="Venttiili">
<p><span style="color:#111;background-color:#fff">9 €</span></p></td>
</tr></table></td></tr></table>
<p><a href="https://e.fi/" style="background-color:#ffcc00;color:#000000">Osta</a></p>
<table><thead><tr><th>Aika</th><th>Paikka</th></tr></thead><tr><td>ma</td><td>Turku</td></tr></table><pre>koodia</pre>
"""


DIGEST = "a" * 64
BLOCKS = blocks.Version(
    "Kevät",
    "Tule katsomaan",
    (
        blocks.Heading(2, "Kevään näyttely"),
        blocks.Text("Hei {name|ystävä}! **Tule** [katsomaan](https://e.fi/a)."),
        blocks.Image(DIGEST, "Näkymä salista"),
        blocks.Columns(
            (blocks.Image(DIGEST, "Pumppu"), blocks.Heading(3, "Pumppu"), blocks.Text("99 €")),
            (blocks.Heading(3, "Venttiili"), blocks.Button("Osta nyt", "https://e.fi/b")),
        ),
        blocks.Divider(),
        blocks.List(("yksi", "kaksi"), ordered=True),
    ),
)


@cache
def mails() -> dict[str, Composed]:
    sample = (EXAMPLES / "bulletin.md").read_text(encoding="utf-8")
    logo = replace(LOOK, logo_url="https://e.fi/logo.png", colour="#f2c230")
    return {
        "bulletin": compose(subject="Kevät", source=sample, form="markdown", look=LOOK),
        "pale": compose(subject="Kevät", source=sample, form="markdown", look=logo),
        "pasted": compose(subject="Kevät", source=PASTED, form="html", look=replace(LOOK, colour="#111111")),
        "blocks": compose_version(BLOCKS, look=LOOK, images={DIGEST: Picture("https://e.fi/a.png", 1200, 800)}),
        "confirm": letter(
            "confirm", language="fi", look=LOOK, owner="o@example.fi", consent_text="Haluan tiedotteita."
        ),
    }


@pytest.fixture(params=["light", "dark"])
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    # The viewport is 320 px wide, as REQUIREMENTS asks of pages: the narrowest a phone has.
    context = browser.new_context(viewport={"width": 320, "height": 800}, color_scheme=request.param)
    picture = '<svg xmlns="http://www.w3.org/2000/svg" width="1600" height="900"/>'
    context.route("https://e.fi/*", lambda route: route.fulfill(body=picture, content_type="image/svg+xml"))
    context.route("https://tector.example/**", lambda route: route.fulfill(body=picture, content_type="image/svg+xml"))
    yield context.new_page()
    context.close()


def show(page: Page, mail: Composed) -> None:
    values = {"name": "Anna", "address": "anna-kaisa.korhonen-virtanen@example.fi", "until": "12. maaliskuuta 2026"}
    page.set_content(slots.SLOT.sub(lambda slot: values.get(slot[1], TOKEN), mail.html), wait_until="load")


def test_it_fits_and_can_be_read_on_a_phone(page: Page) -> None:
    for name, mail in mails().items():
        show(page, mail)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, name
        assert violations(page, good_practice=False) == "", name  # a mail is no page: it has no landmarks


def test_on_a_wide_screen_it_is_a_column_of_600(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    for name in ("bulletin", "pasted", "blocks"):
        show(page, mails()[name])
        assert page.locator(".sheet").bounding_box()["width"] == 600, name
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280, name


def boxes(page: Page) -> list[FloatRect]:
    found = [half.bounding_box() for half in page.locator(".half").all()]
    assert len(found) == 2
    return [box for box in found if box is not None]


def test_two_columns_stand_side_by_side_and_on_a_phone_one_below_the_other(page: Page) -> None:
    show(page, mails()["blocks"])
    above, below = boxes(page)
    assert below["y"] >= above["y"] + above["height"]
    assert above["width"] == below["width"] == 280
    page.set_viewport_size({"width": 640, "height": 800})
    left, right = boxes(page)
    assert left["y"] == right["y"]
    assert left["width"] == right["width"] == 250
    assert right["x"] - left["x"] == 270


def test_without_media_queries_columns_find_room_by_themselves(page: Page) -> None:
    mail = mails()["blocks"]
    show(page, replace(mail, html=re.sub(r"<style>.*?</style>", "", mail.html, flags=re.S)))
    above, below = boxes(page)
    assert below["y"] >= above["y"] + above["height"]
    page.set_viewport_size({"width": 640, "height": 800})
    left, right = boxes(page)
    assert left["y"] == right["y"]


def test_outlook_gets_a_table_of_its_own_around_the_column() -> None:
    html = mails()["bulletin"].html
    inside = re.findall(r"<!--\[if mso\]>(.*?)<!\[endif\]-->", html, re.S)
    assert [part.startswith(("<noscript>", "<style>", "<table", "</td>")) for part in inside] == [True] * 4
    assert '<table class="sheet"' in html
    assert 'width="600"' in inside[2]
