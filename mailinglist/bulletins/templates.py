"""Bulletins to begin from: news, an invitation, an offer, in three languages. Pure.

Their words say what belongs where; brackets stand where something has to be written, and the preflight finds those that
are left. Addresses are left empty: a button without one is not mailed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..errors import Unknown
from ..i18n import LANGUAGES
from ..stationery.sentences import noted as _
from .blocks import Block, Button, Columns, Divider, Draft, Heading, Image, List, Text, Version


@dataclass(frozen=True, slots=True)
class Template:
    """One to begin from. Name and description are sentences for translation."""

    name: str
    about: str
    draft: Draft

    def of(self, languages: Collection[str]) -> Draft:
        """The draft in these languages only; in all three if none of them is known."""
        chosen = {language: made for language, made in self.draft.versions.items() if language in languages}
        return Draft(chosen) if chosen else self.draft


def built_in(name: str) -> Template:
    """The template `news`, `invitation` or `offer`. Raises Unknown."""
    try:
        return BUILT_IN[name]
    except KeyError:
        raise Unknown(_("This is no template.")) from None


_GREETING = {"fi": "Hei {name|hyvä vastaanottaja}!", "sv": "Hej {name|bästa mottagare}!", "en": "Hello {name|there},"}
_CLOSING = {"fi": "Terveisin\n[Nimi]", "sv": "Vänliga hälsningar\n[Namn]", "en": "Kind regards\n[Name]"}


def _news(language: str) -> Version:
    words = {
        "fi": (
            "[Otsikko: tärkein uutinen]",
            "[Yhdellä tai kahdella virkkeellä: mitä on tapahtunut, ja mitä se merkitsee lukijalle.]",
            "Lue lisää",
            "[Toinen uutinen]",
            "[Kaksi tai kolme virkettä riittää.]",
            "[Kolmas uutinen]",
            "[Kaksi tai kolme virkettä riittää.]",
            "Lyhyesti",
            ("[Päivämäärä: tapahtuma]", "[Muutos aukioloon tai palveluun]"),
        ),
        "sv": (
            "[Rubrik: den viktigaste nyheten]",
            "[Med en eller två meningar: vad har hänt, och vad betyder det för läsaren.]",
            "Läs mer",
            "[En andra nyhet]",
            "[Två eller tre meningar räcker.]",
            "[En tredje nyhet]",
            "[Två eller tre meningar räcker.]",
            "I korthet",
            ("[Datum: händelse]", "[Ändring i öppettider eller tjänster]"),
        ),
        "en": (
            "[Headline: the main news]",
            "[In one or two sentences: what has happened, and what it means for the reader.]",
            "Read more",
            "[Second piece of news]",
            "[Two or three sentences are enough.]",
            "[Third piece of news]",
            "[Two or three sentences are enough.]",
            "In brief",
            ("[Date: event]", "[A change of opening hours or services]"),
        ),
    }
    head, lead, more, second, about_second, third, about_third, brief, items = words[language]
    pieces = ((second, about_second), (third, about_third))
    left, right = ((Heading(3, title), Text(text)) for title, text in pieces)
    return _version(
        Heading(2, head),
        Text(f"{_GREETING[language]}\n\n{lead}"),
        Image(""),
        Button(more, ""),
        Divider(),
        Columns(left, right),
        Divider(),
        Heading(2, brief),
        List(items),
        Text(_CLOSING[language]),
    )


def _invitation(language: str) -> Version:
    words = {
        "fi": (
            "Tervetuloa [tilaisuuteen]",
            "Kutsumme sinut [tilaisuuteen]. Luvassa on [mitä ja miksi kannattaa tulla].",
            "Milloin",
            "[maanantaina 1.1.2027\nklo 17–19]",
            "Missä",
            "[Paikka]\n[Katuosoite]",
            "Ohjelma",
            ("[17.00 Ovet avautuvat]", "[17.30 Esitys]", "[18.30 Kahvi ja keskustelu]"),
            "Ilmoittaudu",
            "Ilmoittaudu viimeistään [päivämäärä]. Tilaisuus on maksuton.",
        ),
        "sv": (
            "Välkommen till [evenemanget]",
            "Vi bjuder in dig till [evenemanget]. På programmet står [vad, och varför man ska komma].",
            "När",
            "[måndagen 1.1.2027\nkl. 17–19]",
            "Var",
            "[Plats]\n[Gatuadress]",
            "Program",
            ("[17.00 Dörrarna öppnas]", "[17.30 Presentation]", "[18.30 Kaffe och samtal]"),
            "Anmäl dig",
            "Anmäl dig senast [datum]. Evenemanget är gratis.",
        ),
        "en": (
            "You are invited to [the event]",
            "Join us for [the event]. You will [what there is, and why to come].",
            "When",
            "[Monday 1 January 2027\n17:00–19:00]",
            "Where",
            "[Place]\n[Street address]",
            "Programme",
            ("[17:00 Doors open]", "[17:30 Presentation]", "[18:30 Coffee and conversation]"),
            "Sign up",
            "Sign up by [date]. Attendance is free.",
        ),
    }
    head, lead, when, time, where, place, programme, items, sign_up, until = words[language]
    return _version(
        Image(""),
        Heading(2, head),
        Text(f"{_GREETING[language]}\n\n{lead}"),
        Columns((Heading(3, when), Text(time)), (Heading(3, where), Text(place))),
        Button(sign_up, ""),
        Heading(2, programme),
        List(items),
        Text(f"{until}\n\n{_CLOSING[language]}"),
    )


def _offer(language: str) -> Version:
    words = {
        "fi": (
            "[Tuote] nyt [hinta]",
            "Tarjous on voimassa [päivämäärä] asti.",
            "Tutustu tarjoukseen",
            "[Toinen tuote]",
            "[Kolmas tuote]",
            "[Mihin se sopii]\n**[hinta]**",
            "Katso",
            "*Hinnat sisältävät arvonlisäveron. Tarjous koskee varastossa olevia tuotteita.*",
        ),
        "sv": (
            "[Produkt] nu [pris]",
            "Erbjudandet gäller till och med [datum].",
            "Se erbjudandet",
            "[En andra produkt]",
            "[En tredje produkt]",
            "[Vad den passar till]\n**[pris]**",
            "Visa",
            "*Priserna inkluderar mervärdesskatt. Erbjudandet gäller varor i lager.*",
        ),
        "en": (
            "[Product], now [price]",
            "The offer is good until [date].",
            "See the offer",
            "[Second product]",
            "[Third product]",
            "[What it is good for]\n**[price]**",
            "View",
            "*Prices include VAT. The offer is for goods in stock.*",
        ),
    }
    head, until, see, second, third, price, view, small = words[language]
    left, right = ((Image(""), Heading(3, title), Text(price), Button(view, "")) for title in (second, third))
    return _version(
        Heading(2, head),
        Image(""),
        Text(f"{_GREETING[language]}\n\n{until}"),
        Button(see, ""),
        Divider(),
        Columns(left, right),
        Text(small),
    )


def _version(*column: Block) -> Version:
    return Version(blocks=column)


BUILT_IN: Mapping[str, Template] = MappingProxyType({
    "news": Template(
        _("News"), _("A main story, two shorter ones side by side, and notes."),
        Draft({language: _news(language) for language in LANGUAGES}),
    ),
    "invitation": Template(
        _("Invitation"), _("What, when, where, and a button to sign up."),
        Draft({language: _invitation(language) for language in LANGUAGES}),
    ),
    "offer": Template(
        _("Offer"), _("One product large, two small, each with a price and a button."),
        Draft({language: _offer(language) for language in LANGUAGES}),
    ),
})  # fmt: skip
