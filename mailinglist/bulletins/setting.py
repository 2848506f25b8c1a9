"""One language version of blocks → a safe fragment, and everything in it that can't be mailed.

Pure. The text of blocks is data, with as much of Markdown as its editor offers: **bold**, *italic*, [words](address),
line ends, and paragraphs; a backslash takes the meaning from a sign. No HTML, no images, no entities: those are text as
typed. What is wrong is noted with its place, and set as well as it can be, so that one can look at it while writing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from typing import NamedTuple
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.common.normalize_url import normalizeLink

from ..stationery import layout, safehtml, slots
from ..stationery.sentences import SaidBadInput, Sentence
from ..stationery.sentences import noted as _
from .blocks import Block, Button, Columns, Divider, Heading, Image, List, Single, Text, Version

PLACEHOLDERS = frozenset({"name"})
"""What staff may ask for in braces: the recipient's name."""


class Picture(NamedTuple):
    """An image of ours, as a mail shows it."""

    address: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Problem:
    """What can't be mailed, and in which block (see `Version.flat`; empty: the subject, the preview line or all)."""

    place: tuple[int, ...]
    sentence: Sentence


@dataclass(frozen=True, slots=True)
class Typeset:
    """A version, set."""

    subject: str
    preview: str
    content: str
    """A safe fragment."""
    problems: list[Problem]


def typeset(version: Version, images: Mapping[str, Picture]) -> Typeset:
    """`version` as subject, preview line and safe fragment, with slots where placeholders stand.

    `images`: those that may be used, by their digests.
    """
    return _Setter(images).typeset(version)


def title(subject: str) -> str:
    """A subject as the title of its bulletin: as it reads to who gave no name, and "…" where no word stands for it."""
    return slots.as_read(subject, dict.fromkeys(PLACEHOLDERS, ""), missing="…")


def address_of(typed: str) -> str | None:
    """The address that was meant, for a link; None: none that leads anywhere from a mail.

    http, https, mailto and tel; `www.` and a bare mail address get what they lack.
    """
    typed = typed.strip()
    if re.match(r"www\.[^\s/]+\.", typed, re.I):
        typed = f"https://{typed}"
    elif re.fullmatch(r"[^\s@:/?#]+@[^\s@:/?#]+\.[^\s@:/?#]+", typed):
        typed = f"mailto:{typed}"
    if re.search(r'[\s<>"\\^`\x00-\x1f\x7f]', typed) or slots.has_marks(typed):
        return None
    try:
        parts = urlsplit(typed)
        _ = parts.port
    except ValueError:
        return None
    match parts.scheme.lower():
        case "http" | "https":
            # å, ä and ö as every mail program understands them.
            return normalizeLink(typed) if _leads_to_a_host(parts.hostname) else None
        case "mailto":
            return typed if "@" in parts.path else None
        case "tel":
            return typed if re.search(r"\d", parts.path) else None
        case _:
            return None


def _leads_to_a_host(name: str | None) -> bool:
    return bool(name) and (name == "localhost" or "." in str(name).strip(".") or ":" in str(name))


class _Setter:
    def __init__(self, images: Mapping[str, Picture]) -> None:
        self._images = images
        self._place: tuple[int, ...] = ()
        self._titled = self._divided = False
        self.problems: list[Problem] = []

    def typeset(self, version: Version) -> Typeset:
        if not version.subject:
            self._wrong(_("A bulletin needs a subject."))
        subject, preview = (self._plain(line) for line in (version.subject, version.preview))
        content = "\n".join(
            filter(None, (self._block((number,), block) for number, block in enumerate(version.blocks)))
        )
        self._place = ()
        if not safehtml.visible(content).strip() and "<img" not in content:
            self._wrong(_("The bulletin is empty: nothing is left of it that may be mailed."))
        return Typeset(subject, preview, content, self.problems)

    def _block(self, place: tuple[int, ...], block: Block) -> str:
        if isinstance(block, Columns):
            left, right = (
                self._column((*place, side), column) for side, column in enumerate((block.left, block.right))
            )
            return layout.columns(left, right) if left or right else ""
        self._place = place
        return self._single(block)

    def _column(self, place: tuple[int, ...], blocks: Iterable[Single]) -> str:
        return "\n".join(filter(None, (self._block((*place, row), block) for row, block in enumerate(blocks))))

    def _single(self, block: Single) -> str:
        match block:
            case Heading(level, text):
                inside = escape(self._plain(text), quote=False)
                return self._heading(level, inside) if inside else ""
            case Text(text):
                return self._marked(text)
            case List(items, ordered):
                rows = "".join(f"<li>{inside}</li>" for item in items if (inside := self._inline(item)))
                tag = "ol" if ordered else "ul"
                return f"<{tag}>{rows}</{tag}>" if rows else ""
            case Image():
                return self._image(block)
            case Button(text, url):
                return self._button(text, url)
            case Divider():
                return "<hr>"

    def _heading(self, level: int, inside: str) -> str:
        # A mail has one main heading: the first. Mail programs read it out, and make it large.
        if not self._titled:
            self._titled = True
            return f"<h1>{inside}</h1>"
        # No rank is left out below it (WCAG 1.3.1): a small heading with no large one before it is small in looks only.
        self._divided = self._divided or level == 2
        return f"<h{level}>{inside}</h{level}>" if self._divided else f'<h2 class="small">{inside}</h2>'

    def _image(self, block: Image) -> str:
        if not block.image:
            self._wrong(_("No image is chosen here."))
            return ""
        picture, alt = self._images.get(block.image), slots.without_marks(block.alt)
        if slots.asked(alt, PLACEHOLDERS):
            self._wrong(_("A placeholder can't stand in the description of an image: it is the same for everybody."))
        link = self._address(block.link) if block.link else ""
        if picture is None:
            self._wrong(_("This image is not kept here any more. Choose another."))
            return f"<p>{escape(alt)}</p>" if alt else ""
        return layout.image(
            address=picture.address, alt=alt, width=picture.width, height=picture.height, link=link or ""
        )

    def _button(self, text: str, url: str) -> str:
        if not text:
            self._wrong(_("This button has no text."))
        if not url:
            self._wrong(_("This button has no address."))
        address = self._address(url) if url else None
        label = escape(self._plain(text), quote=False)
        if not label:
            return ""
        # The layout makes a button of a paragraph that is nothing but a link in bold. While it leads nowhere, "#" shows
        # what it will look like; that is never mailed.
        return f'<p><strong><a href="{escape(address or "#")}">{label}</a></strong></p>'

    def _address(self, typed: str) -> str | None:
        if slots.asked(typed, PLACEHOLDERS):
            self._wrong(_("A placeholder can't stand in an address: links are the same for everybody."))
            return None
        found = address_of(typed)
        if found is None:
            self._wrong(
                _("The address “%(address)s” leads nowhere: it has to begin with https://, mailto: or tel:."),
                address=typed[:80],
            )
        return found

    # ── text ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _plain(self, text: str) -> str:
        """Text without any markup, its placeholders made slots."""
        return self._slotted(text, lambda marked: marked, lambda marked: marked)

    def _marked(self, text: str) -> str:
        """Paragraphs: a safe fragment."""
        return self._slotted(text, lambda marked: self._rendered(marked, inline=False), safehtml.visible)

    def _inline(self, text: str) -> str:
        """The inside of one paragraph: a safe fragment."""
        return self._slotted(text.strip(), lambda marked: self._rendered(marked, inline=True), safehtml.visible)

    def _slotted(self, text: str, render: Callable[[str], str], visible: Callable[[str], str]) -> str:
        text = slots.without_marks(text)
        try:
            rendered = render(slots.mark(text, PLACEHOLDERS))
            return slots.finish(rendered, visible=visible(rendered))
        except SaidBadInput as error:
            self._note(error.sentence)
            # As typed, so that one sees it: a brace that is taken for one of a placeholder, nothing else.
            return slots.without_marks(render(text))

    def _rendered(self, marked: str, *, inline: bool) -> str:
        # Only asterisks are markup: underscores stand in names of files and products.
        source = re.sub(r"(?<!\\)_", r"\\_", marked)
        tokens = _markdown().parseInline(source) if inline else _markdown().parse(source)
        for token in (child for each in tokens for child in each.children or ()):
            if token.type == "link_open":
                token.attrSet("href", self._address(str(token.attrGet("href") or "")) or "")
        return safehtml.sanitised(_markdown().renderer.render(tokens, _markdown().options, {}))

    def _wrong(self, words: str, **values: str) -> None:
        self._note(Sentence(words, values))

    def _note(self, sentence: Sentence) -> None:
        # Text that is set twice, as its placeholders are wrong, names its addresses twice.
        problem = Problem(self._place, sentence)
        if problem not in self.problems:
            self.problems.append(problem)


@cache
def _markdown() -> MarkdownIt:
    parser = MarkdownIt("zero", {"breaks": True, "html": False})
    parser.enable(["emphasis", "link", "escape", "newline"])
    # As typed: what is no address is said so, and slots stay visible to that check.
    parser.normalizeLink = lambda url: url  # type: ignore[method-assign]
    parser.validateLink = lambda url: True  # type: ignore[method-assign]
    return parser
