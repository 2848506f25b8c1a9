"""One language version of a bulletin as a form: blocks to fields and back, and what the editor's buttons do.

Works without scripts: each block has a key and a hidden field `block`, whose value says `KEY TYPE`, or within columns
`KEY TYPE PARENT SIDE`; their order in the form is the order of the blocks. The fields of a block are named `KEY-text`
and so on. A script may move, add and take away whole blocks in the page: the form says the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from werkzeug.datastructures import MultiDict

from ...bulletins import blocks
from ...bulletins.blocks import Version
from ...stationery.sentences import SaidBadInput
from ...stationery.sentences import noted as _

TYPES = ("heading", "text", "list", "image", "button", "divider", "columns")
SIDES = ("left", "right")

_KEY = re.compile("[a-z][a-z0-9]{0,30}")
_MOST = 400


Fields = MultiDict[str, str]


@dataclass
class Part:
    """A block in the form."""

    key: str
    block: dict[str, Any]
    """As `blocks.plain_block` writes it; of columns, without what stands in them."""
    left: list[Part] = field(default_factory=list)
    right: list[Part] = field(default_factory=list)

    @property
    def type(self) -> str:
        """What kind of block it is."""
        return str(self.block["type"])


@dataclass
class Page:
    """The version in the form."""

    subject: str
    preview: str
    parts: list[Part]

    def version(self) -> Version:
        """What it says. Raises BadInput."""
        return blocks.version(
            {"subject": self.subject, "preview": self.preview, "blocks": [_plain(part) for part in self.parts]}
        )

    def places(self) -> dict[tuple[int, ...], str]:
        """The key of each block that is no pair of columns, by its place (`Version.flat`)."""
        found: dict[tuple[int, ...], str] = {}
        for number, part in enumerate(self.parts):
            found[(number,)] = part.key
            for side, column in enumerate((part.left, part.right)):
                found |= {(number, side, row): each.key for row, each in enumerate(column)}
        return found

    def place_of(self, key: str, kind: str | None = None) -> tuple[int, ...]:
        """Where the block stands, which is of that kind. Raises BadInput."""
        column, at = _find(self, key)
        if kind is not None and column[at].type != kind:
            _lost()
        return next((place for place, each in self.places().items() if each == key), None) or _lost()


def page_of(version: Version) -> Page:
    """The form that shows `version`; its keys tell the places."""
    parts = []
    for number, block in enumerate(version.blocks):
        plain = blocks.plain_block(block)
        columns = [
            [Part(f"b{number}{side[0]}{row}", each) for row, each in enumerate(plain.pop(side, ()))] for side in SIDES
        ]
        parts.append(Part(f"b{number}", plain, *columns))
    return Page(version.subject, version.preview, parts)


def read(form: Fields) -> Page:
    """The version that a form says. Raises BadInput when it is none of the editor's."""
    by_key: dict[str, Part] = {}
    top: list[Part] = []
    named = form.getlist("block")
    if len(named) > _MOST:
        raise SaidBadInput(_("A version has at most 200 blocks."))
    for line in named:
        match line.split(" "):
            case [key, kind]:
                column = top
            case [key, kind, parent, "left" | "right" as side] if parent in by_key and by_key[parent] in top:
                column = getattr(by_key[parent], side)
            case _:
                _lost()
        if not _KEY.fullmatch(key) or key in by_key or kind not in TYPES or (kind == "columns" and column is not top):
            _lost()
        by_key[key] = Part(key, _block(form, key, kind))
        column.append(by_key[key])
    return Page(form.get("subject", ""), form.get("preview", ""), top)


def press(page: Page, act: str) -> str:
    """Do to `page` what a button says, and return the key of the block to go on with; empty: there is none.

    `up KEY`, `down KEY`, `remove KEY`, `add TYPE` at the end, `add TYPE after KEY`, `add TYPE in KEY SIDE`. Raises
    BadInput for what no button says.
    """
    match act.split(" "):
        case ["up" | "down" as way, key]:
            column, at = _find(page, key)
            to = at - 1 if way == "up" else at + 1
            if 0 <= to < len(column):
                column[at], column[to] = column[to], column[at]
            return key
        case ["remove", key]:
            column, at = _find(page, key)
            del column[at]
            rest = column[at : at + 1] or column[-1:]
            return rest[0].key if rest else ""
        case ["add", kind, *where] if kind in TYPES:
            column, at = _room(page, where)
            if kind == "columns" and column is not page.parts:
                _lost()
            made = Part(_free(page), empty(kind))
            column.insert(at, made)
            return made.key
        case _:
            return _lost()


def empty(kind: str) -> dict[str, Any]:
    """A new block."""
    fresh: dict[str, blocks.Block] = {
        "heading": blocks.Heading(2, ""),
        "text": blocks.Text(""),
        "list": blocks.List(()),
        "image": blocks.Image(""),
        "button": blocks.Button("", ""),
        "divider": blocks.Divider(),
        "columns": blocks.Columns((), ()),
    }
    plain = blocks.plain_block(fresh[kind])
    return {name: value for name, value in plain.items() if name not in SIDES}


def put(page: Page, key: str, block: Mapping[str, Any]) -> None:
    """Let `block` stand where the block `key` stands. Raises BadInput."""
    column, at = _find(page, key)
    column[at].block = dict(block)


def anchor(place: tuple[int, ...]) -> str:
    """Where on the page the block at this place stands, in a form that `page_of` made."""
    return f"block-b{place[0]}" + (f"{SIDES[place[1]][0]}{place[2]}" if len(place) == 3 else "")


def _block(form: Fields, key: str, kind: str) -> dict[str, Any]:
    def said(name: str) -> str:
        return form.get(f"{key}-{name}", "")

    match kind:
        case "heading":
            return {"type": kind, "level": 3 if said("level") == "3" else 2, "text": said("text")}
        case "text":
            return {"type": kind, "text": said("text").replace("\r\n", "\n")}
        case "list":
            items = [line.strip() for line in said("items").splitlines()]
            return {"type": kind, "ordered": said("ordered") == "1", "items": [line for line in items if line]}
        case "image":
            return {"type": kind, "image": said("image"), "alt": said("alt"), "link": said("link")}
        case "button":
            return {"type": kind, "text": said("text"), "url": said("url")}
        case _:
            return {"type": kind}


def _plain(part: Part) -> dict[str, Any]:
    if part.type != "columns":
        return part.block
    columns = {side: [_plain(each) for each in getattr(part, side)] for side in SIDES}
    return {"type": "columns", **columns}


def _columns(page: Page) -> Iterator[list[Part]]:
    yield page.parts
    for part in page.parts:
        yield part.left
        yield part.right


def _find(page: Page, key: str) -> tuple[list[Part], int]:
    for column in _columns(page):
        for at, part in enumerate(column):
            if part.key == key:
                return column, at
    return _lost()


def _room(page: Page, where: list[str]) -> tuple[list[Part], int]:
    match where:
        case []:
            return page.parts, len(page.parts)
        case ["after", key]:
            column, at = _find(page, key)
            return column, at + 1
        case ["in", key, "left" | "right" as side]:
            column, at = _find(page, key)
            inner: list[Part] = getattr(column[at], side)
            return inner, len(inner)
        case _:
            return _lost()


def _free(page: Page) -> str:
    taken = {part.key for column in _columns(page) for part in column}
    return next(key for key in (f"new{number}" for number in range(len(taken) + 1)) if key not in taken)


def _lost() -> NoReturn:
    raise SaidBadInput(_("This form does not fit the bulletin any more. Open the page again."))
