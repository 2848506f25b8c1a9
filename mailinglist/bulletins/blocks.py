"""A bulletin as the editor keeps it: one version for each language, each a column of blocks; and its JSON.

Pure. `read` looks at the form only, so that whatever is half written can be saved: an empty subject, a button without
an address. What can't be mailed is refused when it is composed (`compose`). `write` gives the same text for the same
draft, so that two drafts can be compared by it.

    {"versions": {"fi": {"subject": "…", "preview": "…", "blocks": [
        {"type": "heading", "level": 2, "text": "…"},
        {"type": "text", "text": "**bold**, *italic*, [words](https://…), {name|fallback}"},
        {"type": "list", "ordered": false, "items": ["…"]},
        {"type": "image", "image": DIGEST, "alt": "…", "link": ""},
        {"type": "button", "text": "…", "url": "https://…"},
        {"type": "divider"},
        {"type": "columns", "left": [blocks], "right": [blocks]}]}}}
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from ..errors import BadInput
from ..i18n import LANGUAGES
from ..stationery.sentences import SaidBadInput
from ..stationery.sentences import noted as _

MAX_BYTES = 1_000_000
MAX_BLOCKS = 200
MAX_TEXT = 20_000
MAX_ITEMS = 200
MAX_VERSION = 150_000
"""Characters of a version in all: mail programs cut what is longer, and composing it would keep others waiting."""
MAX_LINE = 500
"""Characters of a subject, a preview line, an alternative text."""
MAX_ADDRESS = 2_000

_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading. Level 2 or 3; the first of a version stands above all others, whatever its level."""

    type: ClassVar[str] = "heading"
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """Paragraphs, a blank line between them."""

    type: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True, slots=True)
class List:
    """Items with dots, or numbered; each a line or more of text."""

    type: ClassVar[str] = "list"
    items: tuple[str, ...]
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class Image:
    """An image of ours, by the digest that is its address; empty: none is chosen yet."""

    type: ClassVar[str] = "image"
    image: str
    alt: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Button:
    """A link that stands out."""

    type: ClassVar[str] = "button"
    text: str
    url: str


@dataclass(frozen=True, slots=True)
class Divider:
    """A line across."""

    type: ClassVar[str] = "divider"


Single = Heading | Text | List | Image | Button | Divider


@dataclass(frozen=True, slots=True)
class Columns:
    """Two columns, one below the other on a phone. There are none within columns."""

    type: ClassVar[str] = "columns"
    left: tuple[Single, ...]
    right: tuple[Single, ...]


Block = Single | Columns


@dataclass(frozen=True, slots=True)
class Version:
    """The bulletin in one language."""

    subject: str = ""
    preview: str = ""
    """What mailboxes show beside the subject; empty: the first words of the text."""
    blocks: tuple[Block, ...] = ()

    def flat(self) -> Iterator[tuple[tuple[int, ...], Single]]:
        """Every block that is no pair of columns, with its place: its number, and within columns 0 (left) or 1 (right)
        and its number there."""
        for number, block in enumerate(self.blocks):
            if isinstance(block, Columns):
                for side, column in enumerate((block.left, block.right)):
                    yield from (((number, side, row), single) for row, single in enumerate(column))
            else:
                yield (number,), block


@dataclass(frozen=True, slots=True)
class Draft:
    """All versions of a bulletin, in the order of `i18n.LANGUAGES`. There is at least one."""

    versions: Mapping[str, Version] = field(default_factory=dict)

    def images(self) -> set[str]:
        """The digests of all images that are used."""
        singles = (block for version in self.versions.values() for _, block in version.flat())
        return {block.image for block in singles if isinstance(block, Image) and block.image}


def read(source: str) -> Draft:
    """The draft that `write` wrote, or an editor. Raises BadInput when it has another form."""
    if len(source) > MAX_BYTES:
        raise BadInput("A bulletin's source is at most 1 MB.")
    try:
        return draft(json.loads(source))
    except (ValueError, RecursionError):
        raise BadInput("This is no bulletin: it can't be read as JSON.") from None


def draft(raw: object) -> Draft:
    """The draft in a structure that was read from JSON. Raises BadInput."""
    versions = _object(raw, "versions").get("versions")
    if not isinstance(versions, dict) or not versions or not versions.keys() <= set(LANGUAGES):
        raise BadInput(f"A bulletin has versions in one or more of {', '.join(LANGUAGES)}.")
    return Draft({language: version(versions[language]) for language in LANGUAGES if language in versions})


def version(raw: object) -> Version:
    """One version. Raises BadInput."""
    found = _object(raw, "subject", "preview", "blocks")
    blocks = _blocks(found.get("blocks", []), _block)
    made = Version(_line(found.get("subject", "")), _line(found.get("preview", "")), blocks)
    if sum(1 for _ in made.flat()) > MAX_BLOCKS:
        raise BadInput(f"A version has at most {MAX_BLOCKS} blocks.")
    if _length(made) > MAX_VERSION:
        raise SaidBadInput(_("A version holds at most 150,000 characters of text. Shorten it, or make two bulletins."))
    return made


def _length(version: Version) -> int:
    """Characters of all that is written in it."""
    values = (getattr(block, each.name) for _place, block in version.flat() for each in fields(block))
    texts = (text for value in values for text in (value if isinstance(value, tuple) else (value,)))
    return len(version.subject) + len(version.preview) + sum(len(text) for text in texts if isinstance(text, str))


def write(draft: Draft) -> str:
    """The draft as canonical JSON."""
    return json.dumps(plain(draft), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def plain(draft: Draft) -> dict[str, Any]:
    """The draft as a structure for JSON."""
    return {
        "versions": {
            language: {
                "subject": version.subject,
                "preview": version.preview,
                "blocks": [plain_block(block) for block in version.blocks],
            }
            for language, version in draft.versions.items()
        }
    }


def plain_block(block: Block) -> dict[str, Any]:
    """A block as a structure for JSON."""

    def value(of: Any) -> Any:
        if not isinstance(of, tuple):
            return of
        return [each if isinstance(each, str) else plain_block(each) for each in of]

    return {"type": block.type, **{each.name: value(getattr(block, each.name)) for each in fields(block)}}


def _blocks(raw: object, one: Any) -> tuple[Any, ...]:
    if not isinstance(raw, list) or len(raw) > MAX_BLOCKS:
        raise BadInput(f"Blocks are a list of at most {MAX_BLOCKS}.")
    return tuple(one(each) for each in raw)


def _block(raw: object) -> Block:
    if isinstance(raw, dict) and raw.get("type") == Columns.type:
        found = _object(raw, "type", "left", "right")
        return Columns(_blocks(found.get("left", []), _single), _blocks(found.get("right", []), _single))
    return _single(raw)


def _single(raw: object) -> Single:
    kind = raw.get("type") if isinstance(raw, dict) else None
    match kind:
        case Heading.type:
            found = _object(raw, "type", "level", "text")
            level = found.get("level", 2)
            if type(level) is not int or level not in (2, 3):
                raise BadInput("A heading's level is 2 or 3.")
            return Heading(level, _line(found.get("text", "")))
        case Text.type:
            return Text(_text(_object(raw, "type", "text").get("text", "")))
        case List.type:
            found = _object(raw, "type", "items", "ordered")
            items = found.get("items", [])
            if not isinstance(items, list) or len(items) > MAX_ITEMS:
                raise BadInput(f"A list has at most {MAX_ITEMS} items.")
            ordered = found.get("ordered", False)
            if type(ordered) is not bool:
                raise BadInput("Whether a list is ordered is true or false.")
            return List(tuple(_text(item) for item in items), ordered)
        case Image.type:
            found = _object(raw, "type", "image", "alt", "link")
            digest = _line(found.get("image", ""))
            if digest and not _DIGEST.fullmatch(digest):
                raise BadInput("An image is named by its digest.")
            return Image(digest, _line(found.get("alt", "")), _line(found.get("link", ""), MAX_ADDRESS))
        case Button.type:
            found = _object(raw, "type", "text", "url")
            return Button(_line(found.get("text", "")), _line(found.get("url", ""), MAX_ADDRESS))
        case Divider.type:
            _object(raw, "type")
            return Divider()
        case Columns.type:
            raise BadInput("There are no columns within columns.")
        case _:
            raise BadInput("There is no such kind of block.")


def _object(raw: object, *known: str) -> dict[str, Any]:
    if not isinstance(raw, dict) or not raw.keys() <= set(known):
        raise BadInput(f"Here stands an object with {', '.join(known)}, and nothing else.")
    return raw


def _line(raw: object, longest: int = MAX_LINE) -> str:
    """One line: white space of any kind is a space. Editors paste line ends into fields of one line."""
    return " ".join(_checked(raw, longest).split())


def _text(raw: object) -> str:
    return _checked(raw, MAX_TEXT).replace("\r\n", "\n").replace("\r", "\n")


def _checked(raw: object, longest: int) -> str:
    if not isinstance(raw, str):
        raise BadInput("Here stands text.")
    if len(raw) > longest:
        raise BadInput(f"This text is longer than {longest} characters.")
    # NUL can't be stored; half characters can't be encoded; the others are marks of our own, or nothing.
    return re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ue000-\ue002]", "", raw)
