"""The privacy notice: composed from settings, kept as versions, complete (GDPR 13, 14; REQUIREMENTS, section 6)."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

import making
from conftest import NOW
from mailinglist import db
from mailinglist.consent import confirming, lists, notices, proof
from mailinglist.i18n import LANGUAGES
from mailinglist.places import TEMPLATES
from mailinglist.privacy import notice, registry
from mailinglist.privacy.registry import HOLDINGS, About
from mailinglist.settings import Settings
from making import the_list

ASKED = {
    "13(1)(a)", "13(1)(c)", "13(1)(d)", "13(1)(e)", "13(1)(f)",
    "13(2)(a)", "13(2)(b)", "13(2)(c)", "13(2)(d)", "13(2)(e)", "13(2)(f)", "14(1)(d)", "14(2)(f)", "21(4)",
}  # fmt: skip
FACTS = (
    "Tekninen Toimisto Tektor Oy",
    "0700464-5",
    "Rälssintie 12",
    "09-3508 170",
    "917/2014",
    "tiedote@localhost.localdomain",
)
WORDS = {
    "fi": ("suoramarkkinointi", "tietosuojavaltuutet", "3 vuotta", "30 päivää", "EU:n tai ETA:n"),
    "sv": ("direktmarknadsföring", "dataombudsmannen", "3 år", "30 dygn", "EU eller EES"),
    "en": ("direct marketing", "Ombudsman", "3 years", "30 days", "EU or the EEA"),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_says_what_the_law_asks_for(client: FlaskClient, language: str) -> None:
    page = client.get("/privacy", query_string={"lang": language})
    assert page.status_code == 200
    told = {article for articles in re.findall(r'data-gdpr="([^"]*)"', page.text) for article in articles.split()}
    assert told >= ASKED
    assert re.findall(r'data-held="([^"]*)"', page.text) == list(notice.HELD)
    for words in (*FACTS, *WORDS[language]):
        assert words in page.text, words


@pytest.mark.parametrize("language", LANGUAGES)
def test_tells_how_long_each_kind_of_data_is_kept(language: str) -> None:
    told = re.findall(r"kept\.(\w+)", (TEMPLATES / "notice" / f"{language}.html").read_text(encoding="utf-8"))
    rules = {each.rule for each in HOLDINGS if each.about is About.SUBSCRIBERS and each.rule}
    # A file of staff's is taken in, or gone within days.
    assert set(told) == rules - {"uploads"} | {"unread", "audit"}
    assert told.count(registry.BY_NAME["persons"].rule) == 2, (
        "not the proof alone outlives a leave: the address does too"
    )


def test_tells_of_a_protection_officer_processors_and_transfers_once_there_are_any(
    app: Flask, settings: Settings
) -> None:
    with db.transaction() as session:
        row = the_list(session)
        before = notice.compose(row, settings, "en")
        assert "13(1)(b)" not in before
        values = {"protection_officer": "Erkki, 09 1", "processors-en": "Palvelin Oy <b>", "transfers-en": "To Norway."}
        for key, value in values.items():
            lists.set_value(session, row, key, value, now=NOW)
        after = notice.compose(row, settings, "en")
        assert "Erkki, 09 1" in after
        assert "Palvelin Oy &lt;b&gt;" in after
        assert "To Norway." in after
        assert "not transferred outside" not in after
        # Said in one language only: the others would keep silent about it.
        assert [each.key for each in notice.missing(row) if "s_" in each.key] == [
            "processors_fi", "processors_sv", "transfers_fi", "transfers_sv",
        ]  # fmt: skip


def test_a_list_without_facts_lacks_them(app: Flask) -> None:
    with db.transaction() as session:
        row = lists.add(session, "other", "Other", now=NOW)
        assert [each.key for each in notice.missing(row)] == ["controller", "postal_address", "register_contact"]


def test_only_other_words_are_another_version(app: Flask, settings: Settings) -> None:
    with db.transaction() as session:
        row = the_list(session)
        assert notice.refresh(session, row, settings, now=NOW) == 1
        lists.set_value(session, row, "rate", "10", now=NOW)
        assert notice.refresh(session, row, settings, now=NOW) == 1
        lists.set_value(session, row, "phone", "09 123", now=NOW)
        assert notice.refresh(session, row, settings, now=NOW) == 2
        assert [each.version for each in notices.versions(session, row.id, "sv")] == [2, 1]


def test_the_page_shows_what_was_kept_and_links_to_what_was_before(
    app: Flask, settings: Settings, client: FlaskClient
) -> None:
    with db.transaction() as session:
        lists.set_value(session, the_list(session), "phone", "09 123", now=NOW)
        notice.refresh(session, the_list(session), settings, now=NOW)
    now = client.get("/privacy?lang=en")
    assert "09 123" in now.text
    assert "Version 2" in now.text
    link = re.search(r'href="(/privacy/[^"]*version=1[^"]*)"', now.text)
    assert link
    earlier = client.get(link[1].replace("&amp;", "&"))
    assert "09-3508 170" in earlier.text
    assert "no longer in force" in earlier.text
    assert client.get("/privacy?version=9").status_code == 404
    assert client.get("/privacy/nowhere").status_code == 404


def test_each_list_has_its_own(app: Flask, settings: Settings, client: FlaskClient) -> None:
    with db.transaction() as session:
        row = lists.add(session, "other", "Muut uutiset", controller="Muu Oy", now=NOW)
        notice.refresh(session, row, settings, now=NOW)
    assert "Muu Oy" in client.get("/privacy/other").text
    assert 'href="/privacy/other' in client.get("/lists/other").text


def test_a_consent_points_to_the_notice_of_its_time(app: Flask, settings: Settings) -> None:
    """The form's and the button's may differ."""
    with db.transaction() as session:
        row = the_list(session)
        first = notices.in_force(session, row.id, "fi")
        assert first
        seen = first.digest
        later = first.created_at + timedelta(minutes=1)
        request = making.ask(session, "maija@example.fi", now=first.created_at)
        confirm, _ = making.letter(session, request, now=later)
        lists.set_value(session, row, "phone", "09 123", now=later)
        notice.refresh(session, row, settings, now=later)
        confirming.confirm(session, confirm, origin=making.ORIGIN, now=later)
        second = notices.in_force(session, row.id, "fi")
        assert second
        told = {item["event"]: item.get("notice") for item in proof.prove(session, "maija@example.fi")}
        assert told == {"asked": seen.hex(), "confirmed": second.digest.hex()}


def test_the_day_s_round_takes_in_what_changed_outside(app: Flask, settings: Settings) -> None:
    """The sender's address, say, is a setting of the installation."""
    other = settings.model_copy(update={"mail_from": "Muu <muu@example.fi>"})
    with db.transaction() as session:
        notice.refresh_all(session, other, now=NOW)
        found = notices.in_force(session, the_list(session).id, "en")
        assert found
        assert "muu@example.fi" in found.body
