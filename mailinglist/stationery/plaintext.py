"""A safe HTML fragment → a text part that reads well, on a narrow screen and by a screen reader.

Headings stand apart by space, not by rows of signs that are read aloud; lists have dashes and numbers; a link is
`text (address)`, and one that stands alone puts its address on a line of its own; an image is its alternative text in
brackets; each row of a table of data is a line that repeats its headings; tables that only lay out are read cell by
cell. Lines are at most 72 characters (RFC 5322 §2.1.1 asks for 78), but an address is never broken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import unquote

from ..errors import BadInput
from . import slots
from .safehtml import MAX_DEPTH

WIDTH = 72

_INLINE = frozenset({
    "a", "abbr", "b", "br", "code", "del", "em", "i", "img", "ins", "mark", "s", "small", "span", "strong", "sub",
    "sup", "u",
})  # fmt: skip
_VOID = frozenset({"br", "col", "hr", "img"})
_EMPHASIS = frozenset({"b", "em", "i", "span", "strong", "u"})
_INDENT = "    "
# A word is never broken, nor is a slot, whose fallback may hold spaces. A no-break space is part of its word.
_WORD = re.compile(f"(?:{slots.SLOT.pattern}|[^ \\n])+")
_SPACES = re.compile(r"[ \t\n\r\f]+")
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))
_RAISED = str.maketrans("0123456789+-n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ")
_LOWERED = str.maketrans("0123456789+-", "₀₁₂₃₄₅₆₇₈₉₊₋")
# What a slot is taken to be long, once it is filled: an address of the web, and anything else.
_URL_SLOT_LENGTH = 100
_SLOT_LENGTH = 20


@dataclass(slots=True)
class _Element:
    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[_Element | str] = field(default_factory=list)

    def elements(self, *tags: str) -> Iterator[_Element]:
        """The elements below with one of `tags`; inside a nested table only those of `tags` that are tables."""
        for child in self.children:
            if isinstance(child, _Element):
                if child.tag in tags:
                    yield child
                elif child.tag != "table":
                    yield from child.elements(*tags)


class _Parser(HTMLParser):
    """Builds the tree. The fragment is well-formed, so that every end tag closes the element that is open."""

    def __init__(self) -> None:
        super().__init__()
        self.root = _Element("div")
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = _Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].children.append(element)
        if tag not in _VOID:
            self._open.append(element)
        if len(self._open) > MAX_DEPTH:
            raise BadInput("The text has too many elements within elements.")

    def handle_endtag(self, tag: str) -> None:
        if len(self._open) > 1 and self._open[-1].tag == tag:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)


def plain(fragment: str) -> str:
    """The text of a safe fragment, wrapped, its lines ended by LF; the empty string when there is nothing to read.

    Raises BadInput when it is nested too deeply.
    """
    text = "\n\n".join(_blocks(_parsed(fragment), WIDTH)).strip("\n")
    return text.translate(_INVISIBLE).replace("\xa0", " ") + "\n" if text else ""


def opening(fragment: str, length: int = 110) -> str:
    """The first words of the paragraphs in a safe fragment, on one line of about `length` characters at most.

    Slots stay whole. This is what a mailbox shows beside the subject.
    """
    paragraphs = (_joined(each).replace("\n", " ") for each in _parsed(fragment).elements("p"))
    words: list[str] = []
    room = length
    for word in _WORD.finditer(" ".join(paragraphs).translate(_INVISIBLE)):
        room -= _shown_length(word[0]) + 1
        if room < 0:
            return " ".join(words) + " …"
        words.append(word[0])
    return " ".join(words)


def _parsed(fragment: str) -> _Element:
    parser = _Parser()
    parser.feed(fragment)
    parser.close()
    return parser.root


def _blocks(parent: _Element, width: int) -> list[str]:
    """The blocks in `parent`, each one string of wrapped lines. Text between blocks is a block of its own."""
    found: list[str] = []
    run = _Element("span")
    for child in [*parent.children, _Element("end")]:
        if isinstance(child, str) or child.tag in _INLINE:
            run.children.append(child)
            continue
        if text := _lone_link(run) or _joined(run):
            found.append(_wrapped(text, width))
        run = _Element("span")
        found.extend(_block(child, width))
    return found


def _block(element: _Element, width: int) -> list[str]:
    match element.tag:
        case "end":
            return []
        case "h1" | "h2":
            return ["\n" + text for text in _blocks(element, width)]
        case "ul" | "ol":
            return _list(element, width)
        case "blockquote" | "dd":
            return _indented(_blocks(element, width - len(_INDENT)), _INDENT)
        case "pre":
            return _indented([_raw(element).strip("\n")], _INDENT)
        case "hr":
            return ["---"]
        case "table":
            return _table(element, width)
        case _:
            return _blocks(element, width)


def _indented(blocks: list[str], indent: str) -> list[str]:
    return ["\n".join(indent + line if line else "" for line in block.split("\n")) for block in blocks]


def _list(element: _Element, width: int) -> list[str]:
    first = int(element.attributes.get("start") or 1)
    items: list[str] = []
    loose = False
    for number, item in enumerate(element.elements("li"), first):
        marker = f"{number}. " if element.tag == "ol" else "- "
        indent = " " * len(marker)
        # Markdown's tight lists have no paragraphs in them; they are set without blank lines here, too.
        spread = any(True for _ in item.elements("p"))
        loose = loose or spread
        blocks = _indented(_blocks(item, width - len(marker)), indent)
        items.append(marker + ("\n\n" if spread else "\n").join(blocks).lstrip())
    return [("\n\n" if loose else "\n").join(items)] if items else []


def _table(table: _Element, width: int) -> list[str]:
    captions = [text for caption in table.elements("caption") for text in _blocks(caption, width)]
    rows = [list(row.elements("td", "th")) for row in table.elements("tr")]
    if _only_lays_out(rows):
        return captions + [block for row in rows for cell in row for block in _blocks(cell, width)]
    header = rows.pop(0) if all(cell.tag == "th" for cell in rows[0]) else []
    labels = [_joined(cell) for cell in header]
    lines = [_row([_joined(cell) for cell in row], labels) for row in rows]
    body = "\n".join(_wrapped(line, width, hanging="  ") for line in lines if line)
    return captions + ([body] if body else [])


def _only_lays_out(rows: list[list[_Element]]) -> bool:
    cells = [cell for row in rows for cell in row]
    if any(cell.tag == "th" for cell in cells):
        return False
    blocks = any(child.tag not in _INLINE for cell in cells for child in cell.children if isinstance(child, _Element))
    return blocks or all(len(row) <= 1 for row in rows)


def _row(texts: list[str], labels: list[str]) -> str:
    labels = labels + [""] * (len(texts) - len(labels))
    cells = zip((text.replace("\n", " ") for text in texts), labels, strict=False)
    return " · ".join(f"{label}: {text}" if label else text for text, label in cells if text)


def _joined(element: _Element) -> str:
    """The text of inline content on one line, but for the breaks that were asked for."""
    text = _SPACES.sub(" ", "".join(_inline(child) for child in element.children))
    return "\n".join(line.strip(" ") for line in text.replace("\x0b", "\n").split("\n")).strip("\n ")


def _inline(node: _Element | str) -> str:
    # A break is carried as a vertical tab until white space has been collapsed.
    if isinstance(node, str):
        return _SPACES.sub(" ", node.replace("\x0b", " "))
    if node.tag == "img":
        return f"[{alt}]" if (alt := node.attributes.get("alt", "").strip()) else ""
    if node.tag == "br":
        return "\x0b"
    text = "".join(_inline(child) for child in node.children)
    match node.tag:
        case "a":
            return _link(text, node.attributes.get("href", ""))
        case "s" | "del":
            return f"~~{text}~~" if text.strip() else text
        case "sup":
            return _shifted(text, _RAISED)
        case "sub":
            return _shifted(text, _LOWERED)
        case tag if tag in _INLINE:
            return text
        case _:
            return f"\x0b{text}\x0b"


def _shifted(text: str, alphabet: dict[int, int]) -> str:
    return text.translate(alphabet) if all(ord(each) in alphabet for each in text) else text


def _link(text: str, href: str) -> str:
    address = _shown_address(href)
    shown = text.strip(" \x0b")
    if not shown:
        return address
    return text if _says(shown, address) else text.replace(shown, f"{shown} ({address})")


def _lone_link(run: _Element) -> str:
    """`text:` and the address below it, when a run is nothing but one link; else the empty string."""
    children = [child for child in run.children if not isinstance(child, str) or child.strip()]
    if len(children) != 1 or isinstance(children[0], str):
        return ""
    only = children[0]
    if only.tag in _EMPHASIS:
        return _lone_link(only)
    address = _shown_address(only.attributes.get("href", ""))
    text = _joined(only)
    if only.tag != "a" or not text or _says(text, address):
        return ""
    return f"{text}{'' if text[-1] in ':?!.]' else ':'}\n{address}"


def _shown_address(href: str) -> str:
    for scheme in ("mailto:", "tel:"):
        if href.lower().startswith(scheme):
            return unquote(href[len(scheme) :].partition("?")[0])
    return href


def _says(text: str, address: str) -> bool:
    """Whether a link's text already tells its address."""
    number = re.sub(r"\D", "", text).lstrip("0")
    if re.fullmatch(r"\+?\d+", address):
        return len(number) >= 5 and address.endswith(number)
    return _bare(text) == _bare(address)


def _bare(address: str) -> str:
    return re.sub("^https?://", "", address).rstrip("/")


def _raw(element: _Element) -> str:
    return "".join(child if isinstance(child, str) else _raw(child) for child in element.children)


def _wrapped(text: str, width: int, *, hanging: str = "") -> str:
    return "\n".join(line for each in text.split("\n") for line in _filled(each, width, hanging))


def _filled(text: str, width: int, hanging: str) -> Iterator[str]:
    line = ""
    for match in _WORD.finditer(text):
        longer = f"{line} {match[0]}" if line.strip() else line + match[0]
        if line.strip() and _shown_length(longer) > width:
            yield line
            line = hanging + match[0]
        else:
            line = longer
    yield line


def _shown_length(text: str) -> int:
    return len(slots.SLOT.sub(_filler, text))


def _filler(match: re.Match[str]) -> str:
    return "x" * (_URL_SLOT_LENGTH if match[1].endswith("_url") else max(_SLOT_LENGTH, len(match[2] or "")))
