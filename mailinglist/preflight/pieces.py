"""A bulletin in pieces, block by block, each with what a reader will see of it. Pure.

A piece is looked at as it will be mailed: typeset, and read back. So a link is a link however it was written, and a
bracket that belongs to one is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser

from markdown_it import MarkdownIt

from ..bulletins.blocks import Button, Image, Single, Version
from ..bulletins.setting import PLACEHOLDERS, Picture, typeset
from ..errors import BadInput
from ..stationery import safehtml, slots


@dataclass(frozen=True, slots=True)
class Shown:
    """An image."""

    address: str
    alt: str
    linked: bool
    """Whether it is a link."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One block, or a whole bulletin that is no blocks."""

    place: tuple[int, ...]
    text: str
    """The words, without markup; slots stand in it."""
    images: tuple[Shown, ...] = ()
    addresses: tuple[str, ...] = ()
    """Of the web, to which it leads, or from which it shows an image; our own images are none of them."""
    lost: tuple[str, ...] = ()
    """Addresses in the source that lead nowhere from a mail, and that were taken out of it without a word."""
    button: bool = False

    @property
    def words(self) -> int:
        """How many words there are to read, besides those of buttons."""
        return 0 if self.button else len(plain(self.text).split())


def of_version(version: Version, pictures: Mapping[str, Picture]) -> tuple[Piece, ...]:
    """The blocks of a version that show anything."""
    return tuple(_piece(place, block, pictures) for place, block in version.flat())


def of_source(source: str, form: str) -> tuple[Piece, ...]:
    """A bulletin in Markdown or HTML, as one piece; what can't be understood in it is left as it is."""
    try:
        marked = slots.mark(source, PLACEHOLDERS) if form == "markdown" else source
        raw = (
            MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(marked) if form == "markdown" else source
        )
        fragment = safehtml.sanitised(raw)
        if form == "html":
            fragment = safehtml.in_text(lambda text: slots.mark(text, PLACEHOLDERS), fragment)
    except BadInput:
        return ()
    kept, given = _read(fragment), _read(raw)
    lost = tuple(each for each in given.addresses if _goes_nowhere(each))
    return (Piece((), kept.text, tuple(kept.images), _of_the_web(kept.addresses), lost),)


def plain(text: str) -> str:
    """`text` as somebody without a name would read it."""
    return slots.SLOT.sub(lambda slot: slot[2] or "", text)


def bare_names(text: str) -> bool:
    """Whether a placeholder stands in it that leaves nothing where there is no name."""
    return any(not slot[2] for slot in slots.SLOT.finditer(text))


def _piece(place: tuple[int, ...], block: Single, pictures: Mapping[str, Picture]) -> Piece:
    read = _read(typeset(Version("-", "", (block,)), pictures).content)
    images = read.images
    if isinstance(block, Image) and block.image and not images:
        # No longer kept, which is said elsewhere; its description is looked at all the same.
        images = [Shown("", block.alt, bool(block.link))]
    return Piece(place, read.text, tuple(images), _of_the_web(read.links), button=isinstance(block, Button))


def _of_the_web(addresses: Iterable[str]) -> tuple[str, ...]:
    return tuple(each for each in dict.fromkeys(addresses) if each.lower().startswith(("http://", "https://")))


def _goes_nowhere(address: str) -> bool:
    """Whether the sanitiser takes it out: it has no scheme, or none that a mail may have."""
    return address.strip().partition(":")[0].lower() not in ("http", "https", "mailto", "tel")


class _Reader(HTMLParser):
    """Links, images and words of HTML, whatever it is."""

    _BREAKS = frozenset({"br", "div", "h1", "h2", "h3", "h4", "h5", "h6", "li", "p", "td", "th", "tr"})
    _SILENT = frozenset({"head", "script", "style", "template", "title"})

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.images: list[Shown] = []
        self._words: list[str] = []
        self._in_link = False
        self._silent = 0

    @property
    def addresses(self) -> list[str]:
        """Of links and images."""
        return [*self.links, *(image.address for image in self.images if image.address)]

    @property
    def text(self) -> str:
        return "".join(self._words).strip()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in values:
            self._in_link = True
            self._add_link(values["href"])
        elif tag == "img":
            self.images.append(Shown(values.get("src", ""), values.get("alt", ""), self._in_link))
        elif tag in self._SILENT:
            self._silent += 1
        if tag in self._BREAKS:
            self._words.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._in_link = False
        elif tag in self._SILENT and self._silent:
            self._silent -= 1
        if tag in self._BREAKS:
            self._words.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._words.append(data)

    def _add_link(self, address: str) -> None:
        if address and not slots.has_marks(address) and address not in self.links:
            self.links.append(address)


def _read(html: str) -> _Reader:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader
