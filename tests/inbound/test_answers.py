"""What people say, by many sentences: who wants to join, who does not, and what nobody should decide by himself."""

from __future__ import annotations

import time

import pytest

from mailinglist.inbound.answers import Sense, own_words, said
from mailinglist.inbound.reading import read

YES = """
Kyllä
Kyllä, liityn
Kyllä kiitos!
Kyllä, liityn. Terveisin Matti Meikäläinen
Joo
Joo laita vaan
ok
OK!
Selvä juttu
Vahvistan
Vahvistan liittymisen.
Hei, lisätkää minut listalle, terveisin Matti
Totta kai haluan mukaan, ihan mielenkiintoinen lista
Hyvää huomenta, liityn mielelläni postituslistallenne ja luen tiedotteet ilolla.
Asia kunnossa
👍
Ja
Ja tack
Ja, gärna
Ja, jag vill gärna gå med.
Hej! Lägg gärna till mig på listan. Mvh Anna
Jag vill vara med på en lista
Jag bekräftar att jag vill vara med på en av era listor.
Det går bra
Visst
Yes
Yes, please.
YES PLEASE
Yes I want to join
Sure, add me
Please sign me up!
Confirmed
I confirm
Hello, please add me to your list, I would like to read your bulletins. Regards, Matti
Thank you, I would like to join the list and read your bulletins from now on.
"""

NO = """
Ei
Ei.
En
En halua
en halua.
Ei kiitos
Ei, en halua
Ei kiitos, en halua mitään postia
Hei, en halua liittyä listalle.
Minä en halua tätä
Älä lisää minua
Älkää lisätkö minua listalle
Poistakaa minut listalta
Poista osoitteeni heti!
Peruutan
En ole tilannut tätä.
En ole koskaan pyytänyt tätä
Väärä osoite
Kiellän suoramarkkinoinnin
Nej
Nej tack
nej tack!
Nej, jag vill inte
Jag vill inte gå med
Hej, jag vill inte vara med.
Ta bort mig från listan
Avregistrera mig
Sluta
Jag har inte bett om det här
Fel adress
Det var inte jag
no
No.
No thanks
No, thank you.
No, I don't want this
I do not want to join
I don’t want to receive this
Not interested
unsubscribe
UNSUBSCRIBE ME
Stop
STOP!
Please remove me
please remove me from your list
Please do not add me to the list
I never signed up for this!
I did not ask for this
This wasn't me
"""

UNCLEAR = """
Kuka olette?
Kuka siellä
Mikä tämä on?
Miksi sain tämän
Mistä saitte osoitteeni
Tämä on roskapostia
roskaposti
Harkitsen asiaa
Ehkä myöhemmin
Odota hetki
Kyllä, mutta vain kerran kuussa
No joo, ehkä
En oikein tiedä
Älä viitsi
Olen lomalla 1.8. asti
Viestisi on vastaanotettu ja siihen vastataan mahdollisimman pian.
Valitan tästä tietosuojavaltuutetulle
Vem är ni?
Vad är det här
Jag vet inte riktigt
Kanske senare
Skräppost
Jag är på semester till måndag
Vi har mottagit ditt meddelande
Who are you?
Who are you
What is this
What is this?
Why do I get this
spam
This is spam
This is a scam
Maybe later
Yes, but only weekly
I am not sure
I am out of the office until Monday
Thank you for your message. Your ticket number is 1234.
Please click https://verify.example/abc123def to deliver your message
To confirm your message please reply
We use a service that asks you to approve your message. Just reply.
Kyllä, viestisi odottaa hyväksyntää
Nein danke
Non merci
Mein Name ist Hans und ich wohne in einem schönen Haus am See in Bayern
"""


def answer(words: str, subject: str = "Re: Vahvista liittymisesi: Tector tiedottaa") -> bytes:
    return f"Subject: {subject}\nContent-Type: text/plain; charset=utf-8\n\n{words}\n".encode()


def lines(table: str) -> list[str]:
    return table.strip().splitlines()


@pytest.mark.parametrize(("table", "sense"), [(YES, Sense.YES), (NO, Sense.NO), (UNCLEAR, Sense.UNCLEAR)])
def test_what_a_sentence_says(table: str, sense: Sense):
    wrong = {words: found for words in lines(table) if (found := said(read(answer(words))).sense) is not sense}
    assert not wrong


def test_a_yes_with_a_no_in_its_signature_or_its_quotation_is_a_yes():
    for below in (
        "\n\n-- \nMatti, ei koskaan myöhässä?\nhttps://firma.fi/en/kuka",
        "\n\nYstävällisin terveisin\nMatti\nMiksi me? Älä odota!",
        "\n\nMed vänlig hälsning,\nÅsa Nej\nVarför vänta?",
        "\n\nBest regards\nNo Name\nWhy wait?",
        "\n\nSent from my iPhone\nWhy?",
        "\n\n> Etkö pyytänyt tätä?\n> En pyytänyt tätä",
        "\n\nOn Mon, Nov 2, 2026 at 11:30 AM Tector <a@b.fi>\nwrote:\n\n> Did you not ask?",
        "\n\n-----Original Message-----\nDid you not ask for this? Then stop.",
        "\n\n________________________________\nFrån: Tector\nSkickat: i dag\nTill: a@b.fi\nÄmne: X\n\nVar det inte du?",
        "\n\nThis message is confidential and meant for its recipient alone. If you are not that one, do not read it.",
    ):
        assert said(read(answer("Kyllä, liityn" + below))).sense is Sense.YES, below
        assert said(read(answer("En halua" + below))).sense is Sense.NO, below


def test_a_no_below_or_between_the_quotation_is_heard():
    assert own_words("> Haluatko?\n\nEn halua.\n\n> Linkki\n\nKiitos!") == "En halua.\n\nKiitos!"
    assert said(read(answer("Ma 2.11.2026 klo 11 Tector kirjoitti:\n> Haluatko?\n\nEn halua"))).sense is Sense.NO
    assert said(read(answer("Terveisin Matti, en halua"))).sense is not Sense.YES
    assert said(read(answer("Kyllä\n\nTerveisin\nMatti\n\nPS. Kuka te olette?"))).sense is Sense.UNCLEAR


def test_what_can_t_be_read_is_no_yes():
    hidden = "\n2.11.2026 Tector kirjoitti:\nHaluatko liittyä\n\nEn halua.\n"
    far = "Kyllä\n" + "> hei\n" * 5000 + "Ei kiitos\n"
    for words in (
        hidden,
        far,
        "Не хочу",
        "いいえ",
        "Όχι",
        "\ufffd\ufffd",
        "👎",
        "-----BEGIN PGP MESSAGE-----\n\nhQEMA",
    ):
        assert said(read(answer(words))).sense is Sense.UNCLEAR, words
    enciphered = b"Subject: Re: x\nContent-Type: application/pkcs7-mime\nContent-Transfer-Encoding: base64\n\nMIAG\n"
    assert said(read(enciphered)).sense is Sense.UNCLEAR


def test_nothing_but_a_name_is_as_good_as_nothing():
    for words, sense in (
        ("Matti", Sense.YES),
        ("Matti Meikäläinen", Sense.YES),
        ("Matti M", Sense.UNCLEAR),
        ("", Sense.YES),
    ):
        raw = b"From: =?utf-8?q?Meik=C3=A4l=C3=A4inen?=, Matti <ei@example.fi>\n" + answer(words)
        assert said(read(raw)).sense is sense, words
    assert said(read(b"From: Ei <a@b.fi>\n" + answer("Ei"))).sense is Sense.NO


def test_the_subject_counts_unless_it_is_ours():
    assert said(read(answer("", "unsubscribe"))).sense is Sense.NO
    assert said(read(answer("", "Re: ei kiitos"))).sense is Sense.NO
    assert said(read(answer("Hei", "Kuka olette?"))).sense is Sense.UNCLEAR
    assert said(read(answer("Kyllä", "Re: Haluatko liittyä?"))).sense is Sense.YES
    assert said(read(answer("", "SV: Re: Bekräfta att du vill gå med: Inte bara nyheter"))).sense is Sense.YES


@pytest.mark.parametrize(
    ("words", "forbids"),
    [
        ("Kiellän suoramarkkinoinnin", "all"),
        ("Kiellän kaiken markkinoinnin", "all"),
        ("Ei enää mainoksia, kiitos", "all"),
        ("Älkää lähettäkö enää mitään, ikinä!", "all"),
        ("Kiellän sähköpostimarkkinoinnin", "email"),
        ("Älkää enää koskaan kirjoittako minulle", "email"),
        ("Jag förbjuder all reklam", "all"),
        ("Ingen marknadsföring, tack", "all"),
        ("Skicka mig aldrig mer e-post", "email"),
        ("I object to direct marketing", "all"),
        ("I forbid all marketing", "all"),
        ("No more marketing emails please", "email"),
        ("Never write to me again", "email"),
        ("Poistakaa minut, kiitos", None),
        ("Haluan pois listalta", None),
        ("Ta bort mig", None),
        ("Please remove me from the list", None),
        ("unsubscribe", None),
        ("", None),
        ("Apple Mail sent this email to unsubscribe from the mailing list", None),
    ],
)
def test_what_is_forbidden(words: str, forbids: str | None):
    assert said(read(answer(words))).forbids == forbids


def test_hostile_text_is_read_in_time():
    begun = time.perf_counter()
    hostile = (
        "a ",
        "on 2 wrote ",
        "ei kiitos en halua ",
        "on 1\n",
        "<a@b",
        "hei ",
        "en ole ",
        "From: a\n",
        "poista minut ",
    )
    for text in hostile:
        text *= 200_000 // len(text)
        said(read(answer(text)))
    assert time.perf_counter() - begun < 5
