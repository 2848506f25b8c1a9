"""From what staff wrote to what is mailed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailinglist.bulletins.compose import Composed, Look, compose
from mailinglist.delivery.slots import SlotKind
from mailinglist.delivery.template import Message, compile_message
from mailinglist.errors import BadInput
from mailinglist.stationery import slots

LOOK = Look(
    name="Tector tiedottaa",
    colour="#1f5f8b",
    logo_url=None,
    postal_address="Rälssintie 12, 00720 Helsinki",
    sender_name="Tekninen Toimisto Tektor Oy",
    language="fi",
)
SAMPLE = (Path(__file__).parents[2] / "docs" / "examples" / "bulletin.md").read_text(encoding="utf-8")
FORMS: tuple[Literal["markdown", "html"], ...] = ("markdown", "html")


def composed(source: str, form: Literal["markdown", "html"] = "markdown", *, subject: str = "Aihe") -> Composed:
    return compose(subject=subject, source=source, form=form, look=LOOK)


def body(html: str) -> str:
    """The words of the sheet, without tags, the style element and the footer."""
    content = html[html.index('<td class="content"') : html.index('<td class="footer"')]
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", "", content)).strip()


def test_the_sample_makes_both_parts_whole() -> None:
    mail = composed(SAMPLE, subject="Kevään näyttely")
    assert mail.subject == "Kevään näyttely"
    assert (
        slots.names(mail.html) == slots.names(mail.text) == {"name", "unsubscribe_url", "privacy_url", "own_page_url"}
    )
    assert "Hei \ue000name|hyvä vastaanottaja\ue001!" in mail.text
    assert '<html lang="fi"' in mail.html
    assert "<title>Kevään näyttely</title>" in mail.html
    assert "prefers-color-scheme: dark" in mail.html
    assert '<a class="press" href="https://tector.example/avoimet-ovet"' in mail.html
    assert "Ilmoittaudu avoimiin oviin:\nhttps://tector.example/avoimet-ovet\n" in mail.text
    assert len(mail.html.encode()) < 20_000, "far from the 102 KB at which Gmail clips"
    assert mail == composed(SAMPLE, subject="Kevään näyttely"), "the same input gives the same bytes"


def test_html_and_markdown_of_the_same_words_read_alike() -> None:
    assert composed("## A\n\nb **c**\n\n- d\n- e").text == (
        composed("<h2>A</h2><p>b <b>c</b></p><ul><li>d</li><li>e</li></ul>", "html").text
    )


@pytest.mark.parametrize(
    ("language", "why", "forbid", "leave"),
    [
        ("fi", "Saat tämän viestin, koska", "kieltää kaiken markkinoinnin", "Poistu listalta"),
        ("sv", "Du får det här meddelandet eftersom", "förbjuda all marknadsföring", "Lämna listan"),
        ("en", "You receive this because", "forbid all marketing", "Leave the list"),
    ],
)
def test_both_parts_say_who_why_and_how_to_leave(language: str, why: str, forbid: str, leave: str) -> None:
    look = Look(LOOK.name, LOOK.colour, None, LOOK.postal_address, LOOK.sender_name, language)
    mail = compose(subject="x", source="y", form="markdown", look=look)
    for part in (mail.html, mail.text):
        said = " ".join(part.split())
        assert all(words in said for words in (why, forbid, leave, f"{LOOK.sender_name}, {LOOK.postal_address}"))
        assert "Tector tiedottaa" in said
    assert '<a href="\ue000unsubscribe_url\ue001"' in mail.html
    assert '<a href="\ue000privacy_url\ue001"' in mail.html
    assert f"{leave}:\n\ue000unsubscribe_url\ue001\n" in mail.text


def test_a_sender_whose_postal_address_repeats_the_name_is_named_once() -> None:
    look = Look(LOOK.name, LOOK.colour, None, f"{LOOK.sender_name},\nRälssintie 12", LOOK.sender_name, "fi")
    assert look.signature == f"{LOOK.sender_name}, Rälssintie 12"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "typed",
    [
        "{{ 7*7 }}",
        "{% raw %}{% endraw %}",
        "{{name}}",
        "{# x #}",
        "${7*7}",
        "{two words}",
        "{}",
        "{1}",
        "{{{x}}}",
        "%(x)s",
    ],
)
def test_template_syntax_is_text(form: Literal["markdown", "html"], typed: str) -> None:
    mail = composed(f"<p>a {typed} b</p>", form, subject=f"c {typed}")
    assert mail.subject == f"c {typed}"
    assert body(mail.html) == f"Tector tiedottaa a {typed} b".removeprefix("Tector tiedottaa ")
    assert mail.text.startswith(f"a {typed} b\n")


@pytest.mark.parametrize("form", FORMS)
def test_a_placeholder_becomes_a_slot(form: Literal["markdown", "html"]) -> None:
    mail = composed("<p>{name}, { name | *hyvä*\n ystävä }</p>", form, subject="{name|Hei} sinä")
    expected = "\ue000name|\ue001, \ue000name|*hyvä* ystävä\ue001"
    assert mail.subject == "\ue000name|Hei\ue001 sinä"
    assert expected in mail.html
    assert mail.text.startswith(expected)


@pytest.mark.parametrize("form", FORMS)
def test_an_escaped_placeholder_is_text(form: Literal["markdown", "html"]) -> None:
    mail = composed(r"<p>Kirjoita \{name} tai \{name|x} tai <code>\{nimi}</code>.</p>", form, subject=r"\{name}")
    assert mail.subject == "{name}"
    assert mail.text.startswith("Kirjoita {name} tai {name|x} tai {nimi}.\n")
    assert slots.names(mail.html) == {"unsubscribe_url", "privacy_url", "own_page_url"}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("<p>Hei {frstname}!</p>", r"no placeholder \{frstname\}; use \{name\}"),
        ("<p>Hei {etunimi|ystävä}!</p>", r"\{etunimi\}"),
        ("<p>Hei {unsubscribe_url}</p>", "no placeholder"),
        ("<p>Hei {na<b>me</b>}!</p>", "without formatting"),
        ("<p>Hei {name|<b>ystävä</b>}!</p>", "can't hold|without formatting"),
        ("<p>Hei {name|ystävä!</p>", "close it"),
        ("<p>Hei {name|a &amp; b}!</p>", "can't hold"),
        ('<p><a href="https://e.fi/?n={name}">a</a></p>', "can't stand in an address"),
    ],
)
def test_a_placeholder_that_would_go_wrong_is_refused(
    form: Literal["markdown", "html"], source: str, said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        composed(source, form)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "source",
    [
        '<a href="https://e.fi/{name}">a</a>',
        '<a href="mailto:{name|x}">a</a>',
        '<img src="https://e.fi/{ name }.png">',
        '<img src="https://e.fi/a.png" alt="{name}">',
    ],
)
def test_no_address_or_attribute_differs_between_recipients(form: Literal["markdown", "html"], source: str) -> None:
    with pytest.raises(BadInput, match="can't stand in an address"):
        composed(source, form)


@pytest.mark.parametrize(
    "source", ["[a](https://e.fi/{name})", "![a](https://e.fi/{name}.png)", "![{name}](https://e.fi/a)"]
)
def test_nor_does_it_in_the_notation_of_markdown(source: str) -> None:
    with pytest.raises(BadInput, match="can't stand in an address"):
        composed(source)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("smuggled", ["\ue000unsubscribe_url\ue001", "\ue002name}", "a\ue001b\ue000"])
def test_marks_of_slots_are_taken_out(form: Literal["markdown", "html"], smuggled: str) -> None:
    mail = composed(f"<p>x{smuggled}y</p>", form, subject=f"s{smuggled}")
    plain = re.sub("[\ue000-\ue002]", "", smuggled)
    assert mail.subject == f"s{plain}"
    assert mail.text.startswith(f"x{plain}y\n")
    assert slots.names(mail.html) == {"unsubscribe_url", "privacy_url", "own_page_url"}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("coded", ["&#xE000;", "&#57344;", "&#x0e001", "&#xE0\ue00000;", "&#xE002;name}"])
def test_marks_of_slots_cannot_be_written_as_entities(form: Literal["markdown", "html"], coded: str) -> None:
    with pytest.raises(BadInput, match=r"U\+E000"):
        composed(f"<p>x{coded}name&#xE001;</p>", form)


@given(st.text(alphabet="{}|\\name x<b>/&;#&lt\ue000\ue001\ue002*_`[]()\n", max_size=60), st.sampled_from(FORMS))
def test_whatever_is_typed_only_known_slots_come_out(typed: str, form: Literal["markdown", "html"]) -> None:
    try:
        mail = composed(f"a {typed}", form)
    except BadInput:
        return
    for part in (mail.html, mail.text):
        assert slots.names(part) <= {"name", "unsubscribe_url", "privacy_url", "own_page_url"}
        assert not slots.has_marks(slots.SLOT.sub("", part))


@pytest.mark.parametrize(
    "subject", ["", "  ", "\ue000", "a\nb", "a\r\nBcc: x@example.fi", "a\x00b", "a\u2028b", "a\ud800"]
)
def test_a_subject_that_is_no_line_of_text_is_refused(subject: str) -> None:
    with pytest.raises(BadInput, match="subject"):
        composed("x", subject=subject)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "source", ["", " \n", "<!-- x -->", "<script>x</script>", "a\x00b", "a\udfff", "x" * 5_000_001, "ä" * 2_500_001]
)
def test_a_source_that_is_no_text_is_refused(form: Literal["markdown", "html"], source: str) -> None:
    with pytest.raises(BadInput):
        composed(source, form)


def test_line_ends_and_a_byte_order_mark_make_no_difference() -> None:
    assert composed("\ufeff# a\r\n\r\nb\rc") == composed("# a\n\nb\nc")


def test_scripts_and_styles_of_staff_are_gone() -> None:
    hostile = (
        "<script>alert(1)</script><p style='background:url(//evil.example)' onclick=x>a</p><iframe src=x></iframe>"
    )
    for mail in (composed(hostile, "html"), composed(hostile + "\n\n" + hostile, "markdown")):
        assert not re.search("<script|evil|onclick|<iframe|alert", mail.html + mail.text)


def test_words_of_the_list_are_data() -> None:
    look = Look('<b>"{{ 7*7 }}"', LOOK.colour, 'https://e.fi/"><script>', "{name} <i>", "\ue000name\ue001*x*", "fi")
    mail = compose(subject="<b>{{ 1 }}", source="x", form="markdown", look=look)
    assert "<script>" not in mail.html
    assert "<b>" not in mail.html
    assert "<i>" not in mail.html
    assert "&lt;b&gt;" in mail.html
    assert "name*x*, {name} <i>" in " ".join(mail.text.split())
    assert slots.names(mail.html) == {"unsubscribe_url", "privacy_url", "own_page_url"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"colour": "red;}"},
        {"logo_url": "javascript:alert(1)"},
        {"logo_url": "cid:x"},
        {"logo_url": ""},
        {"language": "de"},
    ],
)
def test_a_look_that_cannot_be_mailed_is_refused(wrong: dict[str, str]) -> None:
    values = {
        "name": "a",
        "colour": "#123456",
        "logo_url": None,
        "postal_address": "b",
        "sender_name": "c",
        "language": "fi",
    }
    with pytest.raises(BadInput):
        Look(**(values | wrong))


def test_nothing_from_outside_but_logo_and_images() -> None:
    look = Look(LOOK.name, LOOK.colour, "https://e.fi/logo.png", LOOK.postal_address, LOOK.sender_name, "fi")
    html = compose(subject="x", source="![kuva](https://e.fi/a.png)", form="markdown", look=look).html
    assert re.findall(r'(?:src|background)="([^"]*)"', html) == ["https://e.fi/logo.png", "https://e.fi/a.png"]
    assert 'alt="Tector tiedottaa"' in html
    assert not re.search(r"url\(|@import|<link|<script", html)


def test_delivery_can_fill_it() -> None:
    mail = composed(SAMPLE, subject="Hei {name|ystävä}")
    kinds = {
        "name": SlotKind.TEXT,
        "unsubscribe_url": SlotKind.URL,
        "privacy_url": SlotKind.URL,
        "own_page_url": SlotKind.URL,
    }
    message = Message(subject=mail.subject, html=mail.html, text=mail.text, sender="T <t@example.fi>")
    assert set(compile_message(message, slots=kinds).slots) == set(kinds)
