"""The text part reads well."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailinglist.errors import BadInput
from mailinglist.stationery import slots
from mailinglist.stationery.plaintext import opening, plain
from mailinglist.stationery.safehtml import from_markdown, sanitised

LONG = "https://example.fi/" + "pitkä-polku/" * 20


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (
            "# Otsikko\n\nTeksti\n\n## Toinen\n\n### Kolmas\n\nLoppu",
            "Otsikko\n\nTeksti\n\n\nToinen\n\nKolmas\n\nLoppu\n",
        ),
        ("**Lue** [lisää](https://example.fi/a) *nyt*.", "Lue lisää (https://example.fi/a) nyt.\n"),
        ("[Lue lisää](https://example.fi/a)", "Lue lisää:\nhttps://example.fi/a\n"),
        ("**[Tuletko?](https://example.fi/a)**", "Tuletko?\nhttps://example.fi/a\n"),
        ("<https://example.fi/a>", "https://example.fi/a\n"),
        ("[example.fi](https://example.fi/)", "example.fi\n"),
        ("Kirjoita [a@example.fi](mailto:a@example.fi).", "Kirjoita a@example.fi.\n"),
        ("Kirjoita [meille](mailto:a@example.fi?subject=Hei).", "Kirjoita meille (a@example.fi).\n"),
        ("Soita [09 350 8170](tel:+35893508170).", "Soita 09 350 8170.\n"),
        ("Soita [meille](tel:+35893508170).", "Soita meille (+35893508170).\n"),
        ("[![Talo](https://e.fi/a.png)](https://e.fi)", "[Talo]\nhttps://e.fi\n"),
        ("![](https://e.fi/a.png)", ""),
        ("- a\n- b\n  - c\n  - d\n- e", "- a\n- b\n  - c\n  - d\n- e\n"),
        ("- a\n\n  b\n- c", "- a\n\n  b\n\n- c\n"),
        ("9. a\n10. b", "9. a\n10. b\n"),
        ("> a\n>\n> b", "    a\n\n    b\n"),
        ("a\\\nb\nc", "a\nb c\n"),
        ("---", "---\n"),
        ("```\nx  y\n  z\n```", "    x  y\n      z\n"),
        ("| Päivä | Paikka |\n|---|---|\n| ma | Turku |\n| ti |  |", "Päivä: ma · Paikka: Turku\nPäivä: ti\n"),
        ("~~120 €~~ 99 €", "~~120 €~~ 99 €\n"),
        ("20 m<sup>2</sup>, H<sub>2</sub>O, x<sup>a</sup>", "20 m², H₂O, xa\n"),
        ("lämmi&shy;tys 10&nbsp;€", "lämmitys 10 €\n"),
    ],
)
def test_markdown_reads_well(source: str, text: str) -> None:
    assert plain(from_markdown(source)) == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("a<p>b</p>c", "a\n\nb\n\nc\n"),
        ("<div>a <b>b</b>\n\n c</div><div>d</div>", "a b c\n\nd\n"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>", "a · b\nc · d\n"),
        ("<table><caption>K</caption><tr><th>a</th><td>b</td></tr></table>", "K\n\na · b\n"),
        ("<table><tr><td><h1>a</h1><table><tr><td>b</td></tr></table></td><td>c</td></tr></table>", "a\n\nb\n\nc\n"),
        ("<dl><dt>a</dt><dd>b</dd></dl>", "a\n\n    b\n"),
        ('<a href="https://e.fi"><div>a</div><div>b</div></a>', "a\n\nb:\nhttps://e.fi\n"),
        ("<table></table><ul></ul><p> </p>", ""),
    ],
)
def test_html_reads_well(source: str, text: str) -> None:
    assert plain(sanitised(source)) == text


def test_lines_are_short_but_addresses_whole() -> None:
    text = plain(from_markdown(f"- sana {'sanoja ' * 40}[linkki]({LONG}) {'ja loppu ' * 20}"))
    lines = text.splitlines()
    assert all(len(line) <= 72 for line in lines if "https:" not in line)
    assert all(line.startswith(("- ", "  ")) for line in lines)
    assert any("pitk%C3%A4-polku/" * 20 in line for line in lines)


def test_a_slot_is_never_broken() -> None:
    slot = slots.slot("name", "hyvä vastaanottaja")
    text = plain(f"<p>{'sana ' * 13}{slot}, {slot}</p>")
    assert text.count(slot) == 2


def test_the_opening_is_the_first_words_of_the_paragraphs() -> None:
    slot = slots.slot("name", "hyvä vastaanottaja")
    assert opening(f"<h1>Otsikko</h1><p>Hei {slot}!</p><p>Kevät&shy;tuo.</p>") == f"Hei {slot}! Kevättuo."
    cut = opening("<p>" + "sana " * 50 + "</p>")
    assert cut.endswith("sana …")
    assert len(cut) <= 112
    assert opening("<h1>Otsikko</h1>") == ""


def test_depth_is_refused_before_python_gives_up() -> None:
    with pytest.raises(BadInput, match="elements within elements"):
        plain("<table><tr><td>" * 150)


@given(st.text(alphabet="ab <>/&;pliutdrhn=\"'\n*-#|`[]()!\\", max_size=300))
def test_any_source_has_a_text(source: str) -> None:
    for fragment in (sanitised(source), from_markdown(source)):
        text = plain(fragment)
        assert not text or text.endswith("\n")
        assert "<p>" not in text or "&lt;p&gt;" in fragment
