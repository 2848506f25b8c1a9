"""From blocks to what is mailed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailinglist.bulletins import templates
from mailinglist.bulletins.blocks import Block, Button, Columns, Divider, Heading, Image, List, Text, Version
from mailinglist.bulletins.compose import Composed, Look, Picture, compose_version, try_version
from mailinglist.bulletins.setting import address_of, title
from mailinglist.delivery.slots import SlotKind
from mailinglist.delivery.template import Message, compile_message
from mailinglist.errors import BadInput
from mailinglist.stationery import slots

LOOK = Look("Tector tiedottaa", "#1f5f8b", None, "Rälssintie 12, 00720 Helsinki", "Tekninen Toimisto Tektor Oy", "fi")
PHOTO = "a" * 64
IMAGES = {PHOTO: Picture(f"https://tiedote.example.fi/images/{PHOTO}.jpg", 1200, 800)}
FOOTER_SLOTS = {"unsubscribe_url", "privacy_url", "own_page_url"}


def mail(*column: Block, subject: str = "Aihe", preview: str = "") -> Composed:
    return compose_version(Version(subject, preview, column), look=LOOK, images=IMAGES)


def said(*column: Block, subject: str = "Aihe", preview: str = "") -> list[tuple[tuple[int, ...], str]]:
    proof = try_version(Version(subject, preview, column), look=LOOK, images=IMAGES)
    return [(problem.place, str(problem.sentence)) for problem in proof.problems]


def sheet(html: str) -> str:
    """What the sheet shows, its tags without what makes them look so."""
    content = html[html.index('<td class="content"') : html.index('<td class="footer"')]
    return re.sub(r' (?:style|class|border|role|cellpadding|cellspacing)="[^"]*"', "", content)


def words(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", "", sheet(html))).strip()


def test_every_kind_of_block_arrives_in_both_parts() -> None:
    made = mail(
        Heading(2, "Pääotsikko & muuta"),
        Text("Hei {name|ystävä}!\n\nUusi **lihava**, *kursiivi* ja [linkki](www.example.fi/ä).\nrivi"),
        List(("yksi *x*", "", "kaksi"), ordered=True),
        Image(PHOTO, "Pumppu “uusi”", "https://example.fi/pumppu?a=1&b=2"),
        Heading(2, "Alaotsikko"),
        Divider(),
        Columns((Heading(3, "Vasen"), Text("v")), (Button("Oikea", "https://example.fi/o"),)),
    )
    html = sheet(made.html)
    assert "<h1>Pääotsikko &amp; muuta</h1>" in html
    assert "<h2>Alaotsikko</h2>" in html
    assert "<strong>lihava</strong>, <em>kursiivi</em>" in html
    assert '<a href="https://www.example.fi/%C3%A4">linkki</a>.<br>\nrivi' in html
    assert "<ol><li>yksi <em>x</em></li><li>kaksi</li></ol>" in html
    assert (
        '<a href="https://example.fi/pumppu?a=1&amp;b=2">'
        f'<img src="{IMAGES[PHOTO].address}" width="520" height="347" alt="Pumppu “uusi”"></a>' in html
    )
    for expected in (
        "Hei \ue000name|ystävä\ue001!", "linkki (https://www.example.fi/%C3%A4)", "1. yksi x\n2. kaksi",
        "[Pumppu “uusi”]\nhttps://example.fi/pumppu?a=1&b=2", "Vasen\n\nv\n\nOikea:\nhttps://example.fi/o",
    ):  # fmt: skip
        assert expected in made.text
    assert slots.names(made.html) == slots.names(made.text) == {"name", *FOOTER_SLOTS}


def test_columns_hold_in_outlook_and_elsewhere() -> None:
    html = mail(Columns((Text("a"), Image(PHOTO, "x")), (Text("b"),))).html
    assert html.count("<!--[if mso]>") == html.count("<![endif]-->") == 7
    ghost = html[html.index('width="520"') :]
    assert '<td width="250" valign="top"><![endif]--><div class="half first"' in ghost
    assert '<td width="20"></td><td width="250" valign="top"><![endif]--><div class="half"' in ghost
    assert "display: inline-block;width: 100%;max-width: 250px" in ghost
    assert 'width="250" height="167" alt="x"' in html, "an image is as wide as its column"


def test_a_small_image_stays_small() -> None:
    images = {PHOTO: Picture("https://e.fi/i.png", 100, 40)}
    html = compose_version(Version("a", "", (Image(PHOTO, "x"),)), look=LOOK, images=images).html
    assert 'width="100" height="40"' in html


def test_the_preview_line_is_what_a_mailbox_shows_first() -> None:
    def opening(made: Composed) -> str:
        found = re.search(r'<div class="opening"[^>]*>([^<]*)</div>', made.html)
        assert found
        return found[1]

    assert opening(mail(Text("Ensimmäiset sanat"))) == "Ensimmäiset sanat"
    shown = opening(mail(Text("Ensimmäiset sanat"), preview="Tule {name|sinä} & katso"))
    assert shown.startswith("Tule \ue000name|sinä\ue001 &amp; katso")
    assert "Ensimmäiset" not in shown
    assert len(shown) > 150, "nothing of the text follows a short line"


TYPED = [
    "{{ 7*7 }}", "{% raw %}{% endraw %}", "{{ config }}", "{{name}}", "{# x #}", "${7*7}", "{name.__class__}",
    "{name()}", "{name[0]}", "{0.__class__}", "{}", "{1}", "%(x)s", "%s", "<b>x</b>", "<script>alert(1)</script>",
    "&amp; &lt;", '" onload="x', "__x__ a_b_c", "<https://e.fi>", "`x`", "# x", "- x", "> x", "    x", "1. x",
    "| a | b |", "~~x~~", "---",
]  # fmt: skip


@pytest.mark.parametrize("typed", TYPED)
def test_template_syntax_html_and_the_rest_of_markdown_are_text(typed: str) -> None:
    made = mail(Heading(2, f"h {typed}"), Text(typed), List((typed,)), Button(f"b {typed}", "https://e.fi/"),
                subject=f"s {typed}", preview=f"p {typed}")  # fmt: skip
    assert made.subject == f"s {' '.join(typed.split())}" or made.subject == f"s {typed}"
    shown = words(made.html).replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")
    assert shown.count(" ".join(typed.split())) == 4
    assert slots.names(made.html) == FOOTER_SLOTS
    assert not re.search(r"<script|<img|<b>|<[^>]*\sonload=", sheet(made.html))


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (Text("Hei {nmae}!"), r"no placeholder {nmae}"),
        (Heading(2, "{etunimi|x}"), "no placeholder {etunimi}"),
        (List(("a", "{unsubscribe_url}")), "no placeholder {unsubscribe_url}"),
        (Text("{na**me**}"), "without formatting"),
        (Text("Hei {name|ystävä!"), "close it"),
        (Text("{name|<b>}"), "can't hold"),
        (Text("[a](https://e.fi/?n={name})"), "can't stand in an address"),
        (Button("a", "https://e.fi/{name}"), "can't stand in an address"),
        (Image(PHOTO, "a", "https://e.fi/{name|x}"), "can't stand in an address"),
        (Image(PHOTO, "Hei {name}"), "can't stand in the description"),
        (Text("[a](/tarjous)"), "leads nowhere"),
        (Text("[a](javascript:alert(1))"), "leads nowhere"),
        (Text("[a](data:text/html,x)"), "leads nowhere"),
        (Button("a", "tarjous.html"), "leads nowhere"),
        (Button("a", ""), "no address"),
        (Button("", "https://e.fi"), "no text"),
        (Image(PHOTO, "a", "javascript:x"), "leads nowhere"),
        (Image(""), "No image is chosen"),
        (Image("b" * 64, "x"), "not kept"),
    ],
)
def test_what_can_not_be_mailed_is_named_with_its_place(block: Block, words: str) -> None:
    [(place, sentence)] = said(Text("x"), block)
    assert place == (1,)
    assert words in sentence
    assert said(Text("x"), Columns((), (Divider(), block)))[0] == ((1, 1, 1), sentence)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=re.escape(words)):
        mail(Text("x"), block)


def test_all_problems_are_named_at_once() -> None:
    found = said(Button("", ""), Text("{x} [a](b)"), subject="{y}")
    assert [place for place, _ in found] == [(), (0,), (0,), (1,), (1,)]
    assert said(subject="", preview="x") == [
        ((), "A bulletin needs a subject."),
        ((), "The bulletin is empty: nothing is left of it that may be mailed."),
    ]


def test_while_it_is_written_it_can_be_looked_at() -> None:
    proof = try_version(
        Version("", "", (Text("Hei {nmae}, [a](b)"), Button("Osta", ""), Image(""))), look=LOOK, images={}
    )
    assert "Hei {nmae}, a" in words(proof.mail.html)
    assert "Osta" in proof.mail.text
    assert len(proof.problems) == 5


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("https://e.fi", "https://e.fi"),
        ("  http://e.fi/a?b=c#d ", "http://e.fi/a?b=c#d"),
        ("www.tector.fi/a", "https://www.tector.fi/a"),
        ("info@tector.fi", "mailto:info@tector.fi"),
        ("mailto:a@b.fi?subject=x", "mailto:a@b.fi?subject=x"),
        ("tel:+358 9 123", None),
        ("tel:+3589123", "tel:+3589123"),
        ("https://åland.fi/ö", "https://xn--land-poa.fi/%C3%B6"),
        ("https://", None),
        ("https:///a", None),
        ("https://e", None),
        ("//e.fi", None),
        ("a/b", None),
        ("#top", None),
        ("vbscript:x", None),
        ("java\tscript:x", None),
        ('https://e.fi/"onload=', None),
        ("https://e.fi:x/", None),
        ("https://[::1", None),
    ],
)
def test_the_address_that_was_meant(typed: str, meant: str | None) -> None:
    assert address_of(typed) == meant


BLOCKS = st.one_of(
    st.builds(Heading, st.just(2), st.text(max_size=30)),
    st.builds(Text, st.text(alphabet="{}|\\name x<b>/&;#*_`[]()!\n\ue000\ue001", max_size=50)),
    st.builds(Button, st.text(max_size=10), st.text(alphabet="htps:/.fi\"'<> {}", max_size=20)),
    st.builds(List, st.lists(st.text(alphabet="{}|name*[]() ", max_size=20), max_size=2).map(tuple)),
)


@given(st.lists(BLOCKS, max_size=4))
def test_whatever_is_typed_only_known_slots_come_out(column: list[Block]) -> None:
    proof = try_version(Version("a", "b", tuple(column)), look=LOOK, images={})
    for part in (proof.mail.html, proof.mail.text):
        assert slots.names(part) <= {"name", *FOOTER_SLOTS}
        assert not slots.has_marks(slots.SLOT.sub("", part))


@pytest.mark.parametrize("name", templates.BUILT_IN)
@pytest.mark.parametrize("language", ["fi", "sv", "en"])
def test_a_built_in_template_lacks_only_what_its_writer_knows(name: str, language: str) -> None:
    version = templates.built_in(name).draft.versions[language]
    proof = try_version(version, look=LOOK, images={})
    assert {str(problem.sentence) for problem in proof.problems} == {
        "A bulletin needs a subject.", "This button has no address.", "No image is chosen here.",
    }  # fmt: skip


def test_a_long_bulletin_stays_light_and_compiles() -> None:
    column = (Heading(2, "Uutisia"), *(Text("Sanoja riittää. " * 30), Button("Lue", "https://e.fi/")) * 10)
    made = mail(*column)
    assert len(made.html.encode()) < 40_000
    message = Message(subject=made.subject, html=made.html, text=made.text, sender="a@example.fi", headers=())
    compile_message(message, slots=dict.fromkeys(FOOTER_SLOTS, SlotKind.URL))


@pytest.mark.parametrize(
    ("subject", "read"),
    [
        ("Hei {name|hyvä lukija}, talo on valmis", "Hei hyvä lukija, talo on valmis"), ("Hei {name}!", "Hei …!"),
        ("Uutisia", "Uutisia"), ("", ""), ("{nmae|x} {name|y}", "{nmae|x} {name|y}"),
        ("\\{name} {{name}}", "{name} {{name}}"),
    ],
)  # fmt: skip
def test_a_title_reads_as_to_who_gave_no_name(subject: str, read: str) -> None:
    assert title(subject) == read


def test_no_rank_of_headings_is_left_out() -> None:
    small, large = Heading(3, "a"), Heading(2, "b")
    made = mail(small, small, Columns((small,), (large,)), small).html
    assert re.findall(r'<(h[1-6](?: class="small")?)', made) == [
        "h1",
        'h2 class="small"',
        'h2 class="small"',
        "h2",
        "h3",
    ]
