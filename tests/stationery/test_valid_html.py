"""Every mail is valid HTML, as every reader takes it and as Outlook on Windows does, which reads the [if mso] parts.

A strict reader of the part of HTML that mails are made of: whatever a browser would mend in silence is an error here.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from keeping import ROOT
from mailinglist.bulletins.blocks import Block, Button, Columns, Divider, Heading, Image, List, Text, Version
from mailinglist.bulletins.compose import Look, Picture, compose, compose_version
from mailinglist.i18n import LANGUAGES
from mailinglist.letters.texts import KINDS, letter

LOOK = Look("Tector & co", "#ffcc00", None, "Rälssintie 12, 00720 Helsinki", "Tekninen Toimisto Tektor Oy", "fi")
PHOTO = "a" * 64
PICTURES = {PHOTO: Picture(f"https://tiedote.example.fi/images/{PHOTO}.jpg", 1200, 800)}
EVERY_BLOCK: tuple[Block, ...] = (
    Heading(2, "Talo <on> valmis & auki"), Heading(3, "Pieni"), Text("Hei {name|ystävä}!\n**a** *b* [c](https://e.fi/?d=1&e=2)"),
    Image(PHOTO, 'Talo "uusi" <iso>', "https://e.fi/"), Button("Lue & <katso>", "www.example.fi"), Divider(),
    Columns((Heading(3, "Milloin"), Button("Ilmoittaudu", "https://e.fi")), (Image(PHOTO), List(("a", "b")))),
    Heading(2, "Iso"), Heading(3, "Pieni"), List(("a", "*b*"), ordered=True),
)  # fmt: skip

VOID = {"br", "hr", "img", "meta"}
NEEDED = {"html": {"lang"}, "img": {"src", "alt"}, "a": {"href"}, "meta": {"content"}}
WITHIN = {
    "tr": {"tbody", "thead", "table"}, "td": {"tr"}, "th": {"tr"}, "tbody": {"table"}, "thead": {"table"},
    "li": {"ul", "ol"}, "head": {"html"}, "body": {"html"}, "title": {"head"}, "meta": {"head"}, "style": {"head"},
}  # fmt: skip
NO_BLOCKS = {"p", "h1", "h2", "h3", "a", "strong", "em"}
BLOCKS = {"p", "div", "table", "ul", "ol", "h1", "h2", "h3", "hr", "blockquote"}


class Strict(HTMLParser):
    """Says what is wrong with a document, in `wrong`."""

    def __init__(self, document: str) -> None:
        super().__init__(convert_charrefs=False)
        self.wrong: list[str] = []
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.ranks: list[int] = []
        if not document.startswith("<!DOCTYPE html>"):
            self.wrong.append("begins without <!DOCTYPE html>")
        self.feed(document)
        self.close()
        self.wrong += [f"<{tag}> is never closed" for tag in self.open]
        if self.ranks[:1] != [1] or self.ranks.count(1) > 1:
            self.wrong.append(f"one main heading, before the others: {self.ranks}")
        self.wrong += [f"h{b} below h{a}" for a, b in zip(self.ranks, self.ranks[1:], strict=False) if b > a + 1]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        text = self.get_starttag_text() or ""
        if len(names) != len(set(names)):
            self.wrong.append(f"an attribute twice: {text}")
        if any(value is None for _, value in attrs) or re.search(r"=[^\"\s>]", re.sub('"[^"]*"', '""', text)):
            self.wrong.append(f"an attribute without quotes: {text}")
        if re.search('="[^"]*[<>]', text) or re.search(r"&(?!amp;|lt;|gt;|quot;|#\d+;|nbsp;)", text):
            self.wrong.append(f"a sign that should be an entity: {text}")
        needed = NEEDED.get(tag, set()) - {"content" if "charset" in names else ""}
        if needed - set(names):
            self.wrong.append(f"{sorted(needed - set(names))} is missing: {text}")
        given = dict(attrs)
        if (own := given.get("id")) is not None:
            if own in self.ids:
                self.wrong.append(f"an id twice: {own}")
            self.ids.add(own)
        parent = self.open[-1] if self.open else ""
        if tag in WITHIN and parent not in WITHIN[tag]:
            self.wrong.append(f"<{tag}> in <{parent}>")
        if tag in BLOCKS and (inside := NO_BLOCKS & set(self.open)):
            self.wrong.append(f"<{tag}> in {inside}")
        if tag == "a" and "a" in self.open:
            self.wrong.append("a link in a link")
        if rank := re.fullmatch("h([1-6])", tag):
            self.ranks.append(int(rank[1]))
        # What only one program knows stands in its own part, not in the styles of all.
        if "mso-" in (given.get("style") or ""):
            self.wrong.append(f"a property that is not of CSS: {text}")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.wrong.append(f"</{tag}> closes {self.open[-1:]}")
        else:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"] and re.search(r"[<>]|&(?!\w+;|#\d+;)", data):
            self.wrong.append(f"a sign that should be an entity: {data[:60]}")

    def unknown_decl(self, data: str) -> None:
        self.wrong.append(f"<![{data}")


def to_outlook(html: str) -> str:
    """What Outlook on Windows reads: the [if mso] parts are no comments to it."""
    parts = re.sub(r"<!--\[if mso\]>(.*?)<!\[endif\]-->", r"\1", html, flags=re.S)
    return re.sub("<noscript>.*?</noscript>", "", parts, flags=re.S)  # its own XML


def problems(html: str) -> list[str]:
    assert len(html) > 2_000
    return [*Strict(html).wrong, *(f"to Outlook: {each}" for each in Strict(to_outlook(html)).wrong)]


@pytest.mark.parametrize("logo", [None, "https://example.fi/logo.png?a=1&b=2"])
def test_a_bulletin_of_every_kind_of_block(logo: str | None) -> None:
    look = Look(LOOK.name, LOOK.colour, logo, LOOK.postal_address, LOOK.sender_name, LOOK.language)
    made = compose_version(Version("Aihe <1> & 2", "Esikatselu", EVERY_BLOCK), look=look, images=PICTURES)
    assert problems(made.html) == []


def test_a_bulletin_of_markdown() -> None:
    source = (ROOT / "docs" / "examples" / "bulletin.md").read_text(encoding="utf-8")
    assert problems(compose(subject="Aihe", source=source, form="markdown", look=LOOK).html) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_letter(language: str) -> None:
    for kind in KINDS:
        made = letter(kind, language=language, look=LOOK, owner="o@example.fi", consent_text="Haluan <kirjeitä>.")
        assert problems(made.html) == [], kind


def test_a_button_is_a_cell_that_outlook_pads_and_its_words_stand_in_the_middle() -> None:
    made = compose_version(Version("A", "", (Heading(2, "A"), Button("B", "https://e.fi"))), look=LOOK, images={}).html
    [cell] = re.findall(r'<td class="face"[^>]*>', made)
    assert 'align="center"' in cell
    assert 'valign="middle"' in cell
    assert "text-align: center" in cell
    assert re.search(r"<!--\[if mso\]><style>\.face \{ padding: \d+px \d+px; \}</style><!\[endif\]-->", made)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("<p>a", "never closed"), ("<p><b>a</p></b>", "closes"), ('<img src="a">', "alt"),
        ('<p id="a" id="b">', "twice"), ('<p id="a"></p><p id="a"></p>', "an id twice"),
        ("<p><div></div></p>", "<div> in"), ("<p class=a></p>", "quotes"), ("<p>a & b</p>", "entity"),
        ("<h1>a</h1><h3>b</h3>", "h3 below h1"), ("<table><td></td></table>", "<td> in"),
        ('<p style="mso-padding-alt: 0"></p>', "not of CSS"),
    ],
)  # fmt: skip
def test_the_reader_is_strict(broken: str, said: str) -> None:
    found = Strict(f'<!DOCTYPE html><html lang="fi"><body>{broken}</body></html>').wrong
    assert any(said in each for each in found), found
