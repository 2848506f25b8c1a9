"""What is held about a person, in words: each way in which something reached us, and times as sentences have them."""

from __future__ import annotations

import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from flask.testing import FlaskClient

from mailinglist.consent import register_many
from mailinglist.web import person_words, registry_words

pytestmark = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
NOTED = re.compile(r'(?:origin|_confirm)\((?:request, |token, )?"([a-z -]+)"')


def test_each_way_that_a_page_notes_has_words(client: FlaskClient) -> None:
    pages = Path(registry_words.__file__).parent.glob("*.py")
    noted = {key for path in pages for key in NOTED.findall(path.read_text(encoding="utf-8"))}
    assert noted >= {"browser", "button", "form", "not-me", "own page"}
    with client.application.test_request_context("/preferences?lang=fi"):
        assert [key for key in (*noted, register_many.CORRECTION) if registry_words.way(key) == key] == []


def test_times_are_written_as_in_a_sentence(client: FlaskClient) -> None:
    held = {"history": [{"at": "2026-11-22T19:15:59+00:00", "event": "confirmed", "source": "browser"}]}
    with client.application.test_request_context("/preferences?lang=fi"):
        [part] = person_words.parts(held, ZoneInfo("Europe/Helsinki"), {})
    assert [fact.value for fact in part.entries[0]] == [
        "22.11.2026 klo\N{NO-BREAK SPACE}21.15", "Vahvisti",
        "Viestin linkistä samalla selaimella, jolla ilmoittauduttiin",
    ]  # fmt: skip
