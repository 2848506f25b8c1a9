"""The letters: every kind in every language, whole, and nothing but what it should say."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from mailinglist.i18n import LANGUAGES
from mailinglist.letters.texts import KINDS, SLOTS, Composed, Kind, Look, letter
from mailinglist.places import TEMPLATES
from mailinglist.stationery import slots

LOOK = Look(
    name="Tector tiedottaa",
    colour="#1f5f8b",
    logo_url="https://example.fi/logo.png",
    postal_address="Rälssintie 12, 00720 Helsinki",
    sender_name="Tekninen Toimisto Tektor Oy",
    language="fi",
)
CONSENT = "Haluan saada tiedotteita & suoramarkkinointia <sähköpostiini>.\nVoin perua suostumukseni milloin tahansa."

# Words that no text in the other language holds.
ENGLISH = {"the", "you", "your", "this", "address", "list", "link", "please", "someone", "sender", "privacy", "with"}
FINNISH = {"osoite", "listalta", "listalla", "linkki", "viesti", "lähettäjä", "hei", "että", "jos"}
SWEDISH = {"och", "du", "listan", "adressen", "länken", "hej", "avsändare", "inte", "att", "från"}
FOREIGN = {"fi": ENGLISH | SWEDISH, "sv": ENGLISH | FINNISH, "en": FINNISH | SWEDISH}

every_letter = pytest.mark.parametrize(
    ("kind", "language"), [(kind, language) for kind in KINDS for language in LANGUAGES]
)


def made(kind: Kind, language: str, *, consent: str = CONSENT, look: Look = LOOK) -> Composed:
    return letter(kind, language=language, look=look, owner="omistaja@example.fi", consent_text=consent)


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", slots.SLOT.sub("", text).lower()))


@every_letter
def test_it_has_its_slots_in_both_parts_and_no_others(kind: Kind, language: str) -> None:
    mail = made(kind, language)
    assert slots.names(mail.html) == slots.names(mail.text) == SLOTS[kind]
    assert not slots.has_marks(mail.subject), "nothing personal in the subject of a letter"


@every_letter
def test_nothing_of_the_source_shows(kind: Kind, language: str) -> None:
    mail = made(kind, language)
    for part in (mail.subject, mail.text, re.sub("<style>.*?</style>", "", mail.html, flags=re.S)):
        assert not re.search(r"[{}]|\*\*|\]\(|Subject:|None", part)
    assert mail.subject
    assert f'<html lang="{language}"' in mail.html


@every_letter
def test_it_is_written_in_its_language(kind: Kind, language: str) -> None:
    mail = made(kind, language, consent="–")
    assert not words(mail.subject + mail.text) & FOREIGN[language]


@every_letter
def test_nothing_comes_from_outside_but_the_logo(kind: Kind, language: str) -> None:
    html = made(kind, language).html
    assert re.findall(r'(?:src|background)="([^"]*)"', html) == ["https://example.fi/logo.png"]
    assert not re.search(r"url\(|@import|<link|<script", html)
    links = set(re.findall(r'href="([^"]*)"', html))
    assert {link for link in links if not slots.SLOT.fullmatch(link)} == {"mailto:omistaja@example.fi"}


@every_letter
def test_it_says_who_sends_and_who_answers(kind: Kind, language: str) -> None:
    text = " ".join(made(kind, language).text.split())
    assert "Tekninen Toimisto Tektor Oy, Rälssintie 12, 00720 Helsinki" in text
    assert "omistaja@example.fi" in text
    assert kind == "preferences" or "Tector tiedottaa" in text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", ["confirm", "welcome"])
def test_the_consent_is_quoted_word_for_word(kind: Kind, language: str) -> None:
    mail = made(kind, language)
    assert " ".join(CONSENT.split()) in " ".join(mail.text.split())
    assert "&amp; suoramarkkinointia &lt;sähköpostiini&gt;.<br>Voin perua" in mail.html
    for consent in (None, ""):
        with pytest.raises(ValueError, match="consent text"):
            letter(kind, language=language, look=LOOK, owner="o@example.fi", consent_text=consent)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("kind", "slot"), [("confirm", "confirm_url"), ("leave", "leave_url"), ("preferences", "preferences_url")]
)
def test_it_has_one_button_and_its_address_in_words(kind: Kind, slot: str, language: str) -> None:
    html = made(kind, language).html
    assert re.findall('<a class="press" href="([^"]*)"', html) == [slots.slot(slot)]
    assert f">{slots.slot(slot)}</a>" in html


def test_what_fills_a_letter_cannot_be_markup_or_slot() -> None:
    look = replace(LOOK, name="**a** <b>x</b> \ue000confirm_url\ue001 {until}\nBcc: x")
    mail = made("welcome", "fi", look=look, consent="[x](https://evil.example) \ue000address\ue001")
    assert mail.subject == "Tervetuloa listalle: **a** <b>x</b> confirm_url {until} Bcc: x"
    assert "<b>" not in mail.html
    assert "evil.example" not in "".join(re.findall('href="([^"]*)"', mail.html))
    assert slots.names(mail.html) == SLOTS["welcome"]
    assert mail.text.count(slots.slot("address")) == 1


def test_the_languages_have_the_same_texts() -> None:
    texts = {language: {path.name for path in (TEMPLATES / "mail" / language).iterdir()} for language in LANGUAGES}
    assert (
        texts["fi"]
        == texts["sv"]
        == texts["en"]
        == {f"{kind}.md" for kind in KINDS} | {"bulletin_footer.md", "confirm_by_answer.md", "letter_footer.md"}
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_confirmation_letter_says_that_it_may_be_answered_where_answers_are_read(language: str) -> None:
    def made_so(answerable: bool, own: tuple[str, str] | None = None) -> Composed:
        return letter(
            "confirm", language=language, look=LOOK, owner="o@example.fi", consent_text=CONSENT, own=own,
            answerable=answerable,
        )  # fmt: skip

    says = {"fi": "Voit myös vastata tähän viestiin", "sv": "Du kan också svara på", "en": "You can also answer this"}
    plain, answered = made_so(False), made_so(True)
    for part in (answered.html, answered.text):
        assert says[language] in part
        assert part.index("confirm_url") < part.index(says[language]) < part.rindex("not_me_url"), "beside the link"
    assert says[language] not in plain.html + plain.text
    own = ("Hei", "Kyllä? [Vahvistan]({confirm_url}) {consent} [En]({not_me_url})")
    assert says[language] in made_so(True, own).text
    assert letter(
        "welcome", language=language, look=LOOK, owner="o@example.fi", consent_text=CONSENT, answerable=True
    ) == (letter("welcome", language=language, look=LOOK, owner="o@example.fi", consent_text=CONSENT))
