"""Finnish, Swedish, English.

Message ids are the English sentences themselves; `translations/fi/*.po` and `translations/sv/*.po` hold the other two,
one file for each part of the program. They are read as text at first use, so that no compiled file has to be kept
beside them.
"""

from __future__ import annotations

from functools import cache
from io import BytesIO
from pathlib import Path

from babel import Locale, negotiate_locale
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

LANGUAGES = ("fi", "sv", "en")
DEFAULT_LANGUAGE = "fi"

CLOCK = {"fi": "'klo'\u00a0H.mm", "sv": "'kl.'\u00a0H.mm", "en": "'at'\u00a0HH:mm"}
"""A time of day in a sentence, as a pattern of CLDR. As CLDR has it for Finnish, and as Swedish is written in Finland:
with a full stop, and with its word, from which it does not part at the end of a line."""

_CATALOGUES = Path(__file__).parent / "translations"


@cache
def catalogue(language: str) -> NullTranslations:
    """The catalogue of one language; English is the identity."""
    paths = sorted((_CATALOGUES / language).glob("*.po")) if language in LANGUAGES else []
    if not paths:
        return NullTranslations()
    whole = Catalog(locale=language)
    for path in paths:
        with path.open(encoding="utf-8") as text:
            for message in read_po(text, locale=language):
                if message.id:
                    whole[message.id] = message
    compiled = BytesIO()
    write_mo(compiled, whole)
    compiled.seek(0)
    return Translations(compiled)


def gettext(language: str, message: str, /, **values: object) -> str:
    """`message` in `language`, with `%(name)s` filled from `values`."""
    text: str = catalogue(language).gettext(message)
    return text % values if values else text


def choose(*, asked: str | None, accepted: list[str]) -> str:
    """The language of a page: what the address asks for, else what the browser prefers, else Finnish."""
    if asked in LANGUAGES:
        return asked
    return negotiate_locale(accepted, list(LANGUAGES), sep="-") or DEFAULT_LANGUAGE


def locale(language: str) -> Locale:
    """Babel's locale, for dates and numbers. English ones are written as in Europe: 22 November 2026, 17:00."""
    if language == "en":
        return Locale("en", "GB")
    return Locale.parse(language if language in LANGUAGES else DEFAULT_LANGUAGE)
