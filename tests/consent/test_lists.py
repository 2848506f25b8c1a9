from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import func, select

from conftest import NOW
from mailinglist import db
from mailinglist.consent import ledger, lists
from mailinglist.consent.tables import ConsentText
from mailinglist.errors import BadInput, Unknown
from mailinglist.i18n import LANGUAGES
from making import the_list

BIDI = "\u202e"
"""Right-to-left override: what follows is read backwards."""


def versions(session) -> dict[str, int]:
    rows = select(ConsentText.language, func.max(ConsentText.version)).group_by(ConsentText.language)
    return dict(session.execute(rows).all())


def test_the_first_list_names_company_and_purposes_in_each_language(app: Flask):
    words = {"fi": "suoramarkkinoin", "sv": "direktmarknadsföring", "en": "direct marketing"}
    with db.reading() as session:
        row = the_list(session)
        for language in LANGUAGES:
            text = lists.current_text(session, row, language)
            assert (text.version, text.digest) == (1, ledger.text_digest(language, text.body))
            assert "Tekninen Toimisto Tektor Oy" in text.body
            assert "Tector tiedottaa" in text.body
            assert words[language] in text.body
            assert "%(" not in text.body
        with pytest.raises(Unknown):
            lists.current_text(session, row, "de")


def test_it_is_made_on_the_first_start_only(app: Flask):
    with db.transaction() as session:
        row = the_list(session)
        row.slug = "renamed"
        session.flush()
        lists.ensure_default(session, now=NOW)
        assert [found.slug for found in lists.every(session)] == ["renamed"]


def test_a_new_wording_is_a_new_version_and_the_old_one_stays(app: Flask):
    with db.transaction() as session:
        row = the_list(session)
        first = lists.current_text(session, row, "en")
        lists.set_value(session, row, "consent-en", "  New words.  ", now=NOW)
        second = lists.current_text(session, row, "en")
        assert (second.version, second.body) == (2, "New words.")
        assert (first.version, session.get_one(ConsentText, first.id).body) == (1, first.body)
        assert versions(session) == {"fi": 1, "sv": 1, "en": 2}
        lists.set_value(session, row, "consent_en", "New words.", now=NOW)
        assert versions(session)["en"] == 2, "the same words are no new version"
        with pytest.raises(BadInput, match="earlier version"):
            lists.set_value(session, row, "consent-en", first.body, now=NOW)


def test_a_form_may_show_an_older_text_but_no_other_lists(app: Flask):
    with db.transaction() as session:
        row = the_list(session)
        first = lists.current_text(session, row, "en")
        lists.set_value(session, row, "consent-en", "New words.", now=NOW)
        newest = lists.current_text(session, row, "en")
        other = lists.current_text(session, lists.add(session, "other", "Other", now=NOW), "en")
        assert lists.shown_text(session, row, "en", first.digest.hex()) is first
        for digest in (None, "", "f" * 64, "zz" * 32, first.digest.hex()[:-1], other.digest.hex()):
            assert lists.shown_text(session, row, "en", digest) is newest


def test_texts_follow_the_names_until_they_are_written_by_hand(app: Flask):
    with db.transaction() as session:
        row = the_list(session)
        lists.set_value(session, row, "consent-sv", "Egna ord.", now=NOW)
        lists.set_value(session, row, "name", "Uutiset", now=NOW)
        lists.set_value(session, row, "controller", "Toinen Oy", now=NOW)
        assert lists.current_text(session, row, "sv").body == "Egna ord."
        for language in ("fi", "en"):
            body = lists.current_text(session, row, language).body
            assert "Uutiset" in body
            assert "Toinen Oy" in body
        before = versions(session)
        lists.set_value(session, row, "colour", "#123456", now=NOW)
        assert versions(session) == before


@pytest.mark.parametrize("body", ["", "   ", "x" * 4001, "nul\0", "bell\x07", f"a{BIDI}b"])
def test_consent_texts_that_are_refused(app: Flask, body: str):
    with db.transaction() as session:
        with pytest.raises(BadInput):
            lists.set_value(session, the_list(session), "consent-en", body, now=NOW)
        assert versions(session)["en"] == 1


@pytest.mark.parametrize("slug", ["a", "a-b", "0", "x" * 48])
def test_short_names(app: Flask, slug: str):
    with db.transaction() as session:
        assert lists.find(session, lists.add(session, slug, "Name", now=NOW).slug).name == "Name"


def refusal(verb: Callable[..., object], *given: object, **named: object) -> str:
    """The words in which `verb` refuses what it is given; none if it takes it."""
    try:
        verb(*given, **named)
    except BadInput as told:
        return str(told)
    return ""


def test_short_names_that_are_refused(app: Flask):
    with db.transaction() as session:
        for slug in ("", "-", "a-", "-a", "A", "ä", "a b", "a/b", "a.b", "a\n", "x" * 49, lists.DEFAULT_SLUG):
            assert refusal(lists.add, session, slug, "Name", now=NOW), slug
            assert len(lists.every(session)) == 1, slug


def test_names_that_are_refused(app: Flask):
    with db.transaction() as session:
        for name in ("", "  ", "x" * 201, "two\nlines", "a\x7fb", f"a{BIDI}b", "a\u2028b", "a\x85b"):
            assert refusal(lists.add, session, "news", name, now=NOW), name
            assert refusal(lists.set_value, session, the_list(session), "name", name, now=NOW), name
            assert [row.name for row in lists.every(session)] == ["Tector tiedottaa"], name


KEPT = [
    ("colour", "#aAbBcC", "#aAbBcC"),
    ("sender", "Väinö <a@example.fi>", "Väinö <a@example.fi>"),
    ("owner", "A@Example.fi", "A@example.fi"),
    ("postal-address", " Katu 1, Kylä ", "Katu 1, Kylä"),
    ("logo", "https://example.fi/logo.svg", "https://example.fi/logo.svg"),
    ("logo", "", ""),
    ("confirm_days", "60", 60),
    ("confirm-days", "1", 1),
    ("welcome", "false", False),
    ("rate", "0.5", 0.5),
    ("language", "sv", "sv"),
    ("time_zone", "America/New_York", "America/New_York"),
    ("origins", "https://A.example/, http://localhost:8080,", ("https://a.example", "http://localhost:8080")),
    ("origins", "", ()),
    ("proof_of_work", "on", "on"),
]


def test_settings_are_kept(app: Flask):
    for key, value, kept in KEPT:
        with db.transaction() as session:
            lists.set_value(session, the_list(session), key, value, now=NOW)
        with db.reading() as session:
            assert getattr(lists.settings_of(the_list(session)), key.replace("-", "_")) == kept, (key, value)


REFUSED = [
    *[("colour", value) for value in ("red", "#fff", "#12345g", "#1234567", "#123456\n", "#123456;x:y")],
    *[
        (key, value)
        for key in ("controller", "postal_address", "sender")
        for value in ("a\r\nBcc: b@example.fi", "a\nb", "a\0b", "a\x7fb", f"a{BIDI}b <a@example.fi>", "a\u2028b")
    ],
    ("controller", "x" * 201),
    ("postal_address", "x" * 301),
    ("sender", "nobody"),
    ("sender", "A <a@b@c>"),
    ("owner", "A <a@example.fi>"),
    ("owner", "a@"),
    *[("logo", value) for value in ("javascript:alert(1)", "logo.png", "//x.example/a.png", "data:image/png,")],
    ("logo", "https://example.fi/\nx"),
    *[("confirm_days", value) for value in ("0", "61", "-1", "7.5", "week")],
    ("welcome", "perhaps"),
    *[("rate", value) for value in ("0", "-1", "100001", "nan", "inf", "fast")],
    ("language", "de"),
    ("time_zone", "Helsinki"),
    ("time_zone", "../../etc/passwd"),
    *[
        ("origins", value)
        for value in (
            "*", "null", "example.fi", "https://", "https://a.example/path", "https://a.example?x", "ftp://a.example",
            "https://a.example;script-src *", "https://a.example https://b.example", "https://u:p@a.example",
            "https://*", "https://a.example, nonsense",
        )
    ],
    ("proof_of_work", "maybe"),
    ("nonsense", "x"),
    ("slug", "x"),
    ("consent-de", "Ja."),
]  # fmt: skip


def test_values_that_are_refused_change_nothing(app: Flask):
    with db.transaction() as session:
        before = dict(the_list(session).settings)
        for key, value in REFUSED:
            told = refusal(lists.set_value, session, the_list(session), key, value, now=NOW)
            assert told, (key, value)
            assert "\n" not in told, (key, value)
            assert the_list(session).settings == before, (key, value)
