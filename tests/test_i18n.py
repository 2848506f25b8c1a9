"""The catalogues: every sentence that code or templates say exists in Finnish and Swedish, and nothing else does."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from mailinglist import i18n
from mailinglist.consent import address, lists
from mailinglist.places import PACKAGE, TEMPLATES

TRANSLATED = ("fi", "sv")
METHODS = [("**.py", "python"), ("**.html", "jinja2.ext.babel_extract"), ("**.txt", "jinja2.ext.babel_extract")]
OPTIONS = {"**.html": {"extensions": "jinja2.ext.i18n", "silent": "false"}}
KEYWORDS = {"_": None, "say": None, "gettext": (2,)}
PLACEHOLDER = re.compile(r"%\((\w+)\)s")


def _extracted(folder: Path) -> Iterator[str]:
    for _file, _line, message, _comments, _context in extract_from_dir(folder, METHODS, OPTIONS, KEYWORDS):
        assert isinstance(message, str)
        yield message


@cache
def said() -> frozenset[str]:
    """Every message id in use."""
    by_name = {*address.REASONS, lists._CONSENT}
    return frozenset({*_extracted(PACKAGE), *_extracted(TEMPLATES), *by_name})


def catalogues(language: str) -> list[Catalog]:
    found = []
    for path in sorted((PACKAGE / "translations" / language).glob("*.po")):
        with path.open(encoding="utf-8") as file:
            found.append(read_po(file, locale=language, abort_invalid=True))
    return found


def messages(language: str) -> list[Message]:
    return [message for catalogue in catalogues(language) for message in catalogue if message.id]


def test_there_is_something_to_say() -> None:
    assert "Check your mail" in said()
    assert "An e-mail address is needed." in said()


@pytest.mark.parametrize("language", TRANSLATED)
class TestEachCatalogue:
    def test_has_every_sentence(self, language: str) -> None:
        known = {str(message.id) for message in messages(language) if message.string}
        assert sorted(said() - known) == []

    def test_has_no_sentence_that_nobody_says(self, language: str) -> None:
        assert sorted({str(message.id) for message in messages(language)} - said()) == []
        assert not any(catalogue.obsolete for catalogue in catalogues(language))

    def test_says_a_sentence_in_one_place(self, language: str) -> None:
        times = Counter(str(message.id) for message in messages(language))
        assert [sentence for sentence, number in times.items() if number > 1] == []

    def test_is_certain(self, language: str) -> None:
        assert [message.id for message in messages(language) if message.fuzzy] == []

    def test_keeps_placeholders_and_the_look_of_a_sentence(self, language: str) -> None:
        for message in messages(language):
            one, other = str(message.id), str(message.string)
            assert sorted(PLACEHOLDER.findall(one)) == sorted(PLACEHOLDER.findall(other)), one
            assert other == other.strip()
            assert (one[-1] in ".?…!:") == (other[-1] in ".?…!:"), one
            assert "“" not in other, f"{language} opens quotations with ”: {other}"

    def test_is_what_gettext_says(self, language: str) -> None:
        assert i18n.gettext(language, "Check your mail") != "Check your mail"


def test_english_is_the_sentence_itself() -> None:
    assert i18n.gettext("en", "Check your mail") == "Check your mail"


@pytest.mark.parametrize("language", i18n.LANGUAGES)
def test_the_consent_text_names_both_purposes_and_the_withdrawal(language: str) -> None:
    """T5.3, GDPR 7(3)."""
    text = i18n.gettext(language, lists._CONSENT, controller="Firma Oy", list="Lista").lower()
    assert "firma oy" in text
    assert {"fi": "tiedotteita", "sv": "utskick", "en": "bulletins"}[language] in text
    assert {"fi": "suoramarkkinointia", "sv": "direktmarknadsföring", "en": "direct marketing"}[language] in text
    assert {"fi": "peruuttaa", "sv": "återkalla", "en": "withdraw"}[language] in text
