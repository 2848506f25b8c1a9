"""What changed between two states of a bulletin: by language, part and block. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum

from ..i18n import LANGUAGES
from . import blocks
from .audience import EVERYBODY
from .blocks import Block, Draft, Version


class Part(StrEnum):
    """What a change is of."""

    SUBJECT = "subject"
    PREVIEW = "preview"
    BLOCK = "block"
    VERSION = "version"
    """A whole language version, added or removed."""
    SOURCE = "source"
    """The text of a bulletin that is Markdown or HTML."""
    AUDIENCE = "audience"
    SETTING = "setting"
    """A setting of the list that recipients see."""


@dataclass(frozen=True, slots=True)
class State:
    """A bulletin as it was at one time."""

    form: str
    subject: str
    source: str
    audience: str = EVERYBODY


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `before` and `after` are text, or JSON of a block or an audience; None: there was none, is none."""

    part: Part
    language: str | None
    place: int | None
    """Of a block: its number in the later state, or where it was taken out of the earlier one."""
    before: str | None
    after: str | None
    setting: str = ""
    """Which setting."""


def compare(before: State, after: State) -> list[Change]:
    """All changes, in the order of languages and places; the audience last."""
    return list(_changes(before, after))


def words(before: str, after: str) -> list[tuple[str, str]]:
    """The words of two texts laid beside each other: (`same`, `gone` or `new`, the words with their spaces)."""
    old, new = (re.findall(r"\s+|\w+|[^\w\s]", text) for text in (before, after))
    pieces: list[tuple[str, str]] = []
    for what, first, last, begin, end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if what == "equal":
            pieces.append(("same", "".join(old[first:last])))
            continue
        if first < last:
            pieces.append(("gone", "".join(old[first:last])))
        if begin < end:
            pieces.append(("new", "".join(new[begin:end])))
    return pieces


def _changes(before: State, after: State) -> Iterator[Change]:
    if before.form == after.form == "blocks":
        yield from _of_drafts(blocks.read(before.source), blocks.read(after.source))
    else:
        if before.subject != after.subject:
            yield Change(Part.SUBJECT, None, None, before.subject, after.subject)
        if before.source != after.source:
            yield Change(Part.SOURCE, None, None, before.source, after.source)
    if before.audience != after.audience:
        yield Change(Part.AUDIENCE, None, None, before.audience, after.audience)


def _of_drafts(before: Draft, after: Draft) -> Iterator[Change]:
    for language in LANGUAGES:
        old, new = before.versions.get(language), after.versions.get(language)
        if old is None and new is None:
            continue
        if old is None or new is None:
            gone, come = (version.subject if version else None for version in (old, new))
            yield Change(Part.VERSION, language, None, gone, come)
            continue
        yield from _of_versions(language, old, new)


def _of_versions(language: str, old: Version, new: Version) -> Iterator[Change]:
    if old.subject != new.subject:
        yield Change(Part.SUBJECT, language, None, old.subject, new.subject)
    if old.preview != new.preview:
        yield Change(Part.PREVIEW, language, None, old.preview, new.preview)
    earlier, later = _texts(old.blocks), _texts(new.blocks)
    for what, first, last, begin, end in SequenceMatcher(None, earlier, later, autojunk=False).get_opcodes():
        if what == "equal":
            continue
        # Beside each other as far as they go; the longer side's rest was taken out, or added.
        for step in range(max(last - first, end - begin)):
            gone = earlier[first + step] if first + step < last else None
            come = later[begin + step] if begin + step < end else None
            place = first + step if come is None else begin + step
            yield Change(Part.BLOCK, language, place, gone, come)


def _texts(column: Sequence[Block]) -> list[str]:
    return [json.dumps(blocks.plain_block(block), ensure_ascii=False, sort_keys=True) for block in column]
