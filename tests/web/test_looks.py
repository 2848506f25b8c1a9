"""A list's colour, logo and address; the files that are the same for everybody; the mount."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

import making
from mailinglist import db
from mailinglist.app import create_app
from mailinglist.consent import lists
from mailinglist.settings import Settings
from mailinglist.stationery.colour import NIGHT_CONTRAST, TEXT_CONTRAST, contrast, readable
from mailinglist.web import files, looks

PAGE = "/lists/tector-tiedottaa"
SITE = (files.FOLDER / "site.css").read_text(encoding="utf-8")


def set_list(key: str, value: str) -> None:
    with db.transaction() as session:
        lists.set_value(session, making.the_list(session), key, value, now=db.utcnow())


def look(client: FlaskClient) -> str:
    found = re.search(r'href="([^"]*/look-[^"]*)"', client.get(PAGE).text)
    assert found
    return found[1]


class TestTheColour:
    def test_is_served_for_ever_under_its_digest(self, client: FlaskClient) -> None:
        before = look(client)
        assert client.get(before).headers["Cache-Control"] == looks.FOR_EVER
        set_list("colour", "#e4002b")
        after = look(client)
        assert after != before
        assert "--list:#e4002b" in client.get(after).text
        assert client.get(after).mimetype == "text/css"
        stale = client.get(before)
        assert stale.headers["Cache-Control"] == "no-cache"
        assert stale.data == client.get(after).data

    def test_can_be_read_by_day_and_by_night(self, client: FlaskClient) -> None:
        for colour in ("#1f4e5f", "#ffff00", "#000000", "#ffffff", "#777777", "#e4002b", "#00ff00"):
            set_list("colour", colour)
            css = client.get(look(client)).text
            accents, texts = re.findall(r"--accent:(#\w+)", css), re.findall(r"--on-accent:(#\w+)", css)
            of_both = zip(accents, texts, (looks.DAY, looks.NIGHT), (TEXT_CONTRAST, NIGHT_CONTRAST), strict=True)
            for accent, text, grounds, least in of_both:
                assert all(contrast(accent, ground) >= least for ground in grounds), colour
                assert contrast(accent, text) >= 4.5, colour

    def test_of_nobody_is_the_one_of_the_style_sheet(self) -> None:
        """Pages about no list: the default colour, by night in the shade that a list with it has."""
        assert re.findall(r"--accent: (#\w+)", SITE)[1] == readable(
            lists.ListSettings().colour, on=looks.NIGHT, at_least=NIGHT_CONTRAST
        )

    def test_rests_on_the_grounds_of_the_style_sheet(self) -> None:
        assert re.findall(r"--page: (#\w+)", SITE)[:2] == [looks.DAY[0], looks.NIGHT[0]]
        assert re.findall(r"--sheet: (#\w+)", SITE)[:2] == [looks.DAY[1], looks.NIGHT[1]]


def test_the_footer_says_who_sends(client: FlaskClient) -> None:
    page = client.get(PAGE).text
    assert "<strong>Tekninen Toimisto Tektor Oy</strong><br>Rälssintie 12, 00720 Helsinki</p>" in page


def test_a_list_with_nothing_set_has_a_page(client: FlaskClient) -> None:
    with db.transaction() as session:
        lists.add(session, "toinen", "Toinen & <lista>", now=db.utcnow())
    page = client.get("/lists/toinen?lang=en")
    assert page.status_code == 200
    assert "Toinen &amp; &lt;lista&gt;" in page.text
    assert "<lista>" not in page.text
    assert "News by e-mail." in page.text
    with db.transaction() as session:
        lists.set_value(session, lists.find(session, "toinen"), "owner", "toinen@example.fi", now=db.utcnow())
    assert "mailto:toinen@example.fi" in client.get("/lists/toinen/check-mail").text


class TestFiles:
    def test_named_with_their_digest_are_kept_for_ever(self, client: FlaskClient) -> None:
        page = client.get(PAGE).text
        addresses = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
        assert len(addresses) == 2
        for address in addresses:
            answer = client.get(address)
            assert answer.status_code == 200
            assert answer.headers["Cache-Control"] == looks.FOR_EVER
            assert client.get(address + "0").headers["Cache-Control"] == "no-cache"

    def test_are_served_as_what_they_are(self, client: FlaskClient) -> None:
        assert client.get("/static/site.css").mimetype == "text/css"
        assert client.get("/static/proof.js").mimetype in ("text/javascript", "application/javascript")
        assert client.get("/favicon.ico").mimetype == "image/svg+xml"

    def test_load_nothing_from_elsewhere(self) -> None:
        for file in files.FOLDER.rglob("*.*"):
            if file.suffix in (".css", ".js", ".svg"):
                text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
                assert not re.search(r"https?://\w|url\(|@import", text), file.name

    def test_keep_mailed_links_out_of_indexes(self, client: FlaskClient) -> None:
        robots = client.get("/robots.txt").text
        for path in ("/confirm/", "/not-me/", "/unsubscribe/"):
            assert f"Disallow: {path}\n" in robots


@pytest.mark.parametrize("kept", ["/posti", ""])
def test_a_base_url_with_a_path_is_in_every_link(settings: Settings, kept: str) -> None:
    """Whether the proxy in front leaves the path on or takes it off."""
    app: Flask = create_app(settings.model_copy(update={"base_url": "http://127.0.0.1:8000/posti"}))
    client = app.test_client()
    assert client.get(f"{kept}/").location == f"/posti{PAGE}"
    page = client.get(f"{kept}{PAGE}")
    assert page.status_code == 200
    links = re.findall(r'(?:href|action)="(/[^"]*)"', page.text)
    assert links
    assert all(link.startswith("/posti/") for link in links)
    answer = client.post(f"{kept}{PAGE}", data={"email": "a@example.fi"}, headers={"Origin": "http://127.0.0.1:8000"})
    assert answer.location == f"/posti{PAGE}/check-mail"
    assert "Path=/;" in answer.headers["Set-Cookie"]
