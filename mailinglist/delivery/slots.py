"""What may be put into the slots of a text, and where a slot may stand.

How slots are written is stationery/slots.py's. This file cuts a text at them, says which values each takes, and refuses
one that stands where no escaping would make it safe. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from html import unescape
from html.parser import HTMLParser

from ..errors import BadInput
from ..stationery.slots import END, START, slot

mark = slot
_MARKED = re.compile(f"{START}([^{START}{END}]*){END}")
# A mark that a renderer has percent-encoded or made an entity would reach the reader as it stands.
_MANGLED = re.compile("%EE%80%8[01]|&#(?:x0*e00[01]|0*5734[45])(?![0-9a-f])", re.IGNORECASE)
_OPENS_TAG = re.compile(f"</?{START}")  # no tag to a parser, until it is filled
_QUOTED_VALUE = re.compile(r"=\s*(?:\"[^\"]*\"|'[^']*')")

# Attributes that are shown or read aloud, and so take any value once it is escaped. Everything else is refused:
# `style` and `on…` are programs, and a personal `src` would be a tracking image (REQUIREMENTS.md, N
# "tunnistamistietoja").
_WORD_ATTRIBUTES = frozenset({"alt", "aria-label", "title"})
_LINK_ATTRIBUTE = "href"


class UnfilledSlot(BadInput):
    """A slot got no value: nothing is sent rather than a mail with a hole. `slot` is its name."""

    def __init__(self, slot: str) -> None:
        super().__init__(f"the slot {slot} has no value")
        self.slot = slot


class SlotKind(Enum):
    """What a slot takes, and with it where it may stand. The escaping follows from the place, not from the kind."""

    TEXT = "text"
    """Words that a person may have typed. In the text, in HTML between tags or in a shown attribute, in the subject."""
    URL = "URL"
    """A whole http, https or mailto link, percent-encoded by the caller (RFC 3986). Anywhere but the subject; opens
    an `href`."""
    ADDRESS = "address"
    """A mail address of ours, ASCII. Anywhere but the subject; inside an `href` after `mailto:`."""
    TOKEN = "token"  # noqa: S105 (the name of a kind)
    """A token of ours by itself. Not in the subject, nor in an attribute."""
    MESSAGE_ID = "Message-ID"
    """Of somebody else's mail, in its angle brackets, ASCII. For a header field."""

    def accepts(self, value: str) -> bool:
        """True where `value` is of this kind."""
        return _VALID[self].fullmatch(value) is not None

    @property
    def longest(self) -> int:
        """The longest value in characters, so that a header line with it stays within 998 (RFC 5322 §2.1.1)."""
        return 254 if self in (SlotKind.ADDRESS, SlotKind.MESSAGE_ID) else 800


# Whatever characters RFC 3986 §2 knows, and no other: neither `<>"` nor white space nor controls, so that a link can
# leave neither its angle brackets in a header nor its quotes in HTML. Text takes all but the empty string.
_VALID = {
    SlotKind.TEXT: re.compile(r".+", re.DOTALL),
    SlotKind.URL: re.compile(r"(?:https?://|mailto:)[A-Za-z0-9!#$%&'()*+,./:;=?@\[\]_~-]{1,792}"),
    SlotKind.ADDRESS: re.compile(r"[A-Za-z0-9!#$'*+./=^_{|}~-]{1,64}@[A-Za-z0-9.-]{1,189}"),
    SlotKind.TOKEN: re.compile(r"[A-Za-z0-9._-]{1,300}"),
    SlotKind.MESSAGE_ID: re.compile(r"<[!-;=?-~]{1,252}>"),
}


@dataclass(frozen=True, slots=True)
class Slot:
    """One slot as it stands in a text. `fallback` takes the place of an absent, empty or blank value; None: there is
    none."""

    name: str
    kind: SlotKind
    fallback: str | None = None

    def value(self, values: Mapping[str, str]) -> str:
        """The value to put here. Without fallback words may be given as empty (a person without a name), a link or an
        address may not, and nothing may be absent: raises UnfilledSlot."""
        value = values.get(self.name)
        if value and not value.isspace():
            return value
        if self.fallback is not None:
            return self.fallback
        if value is None or self.kind is not SlotKind.TEXT:
            raise UnfilledSlot(self.name)
        return ""


Segment = str | Slot


def segments(text: str, kinds: Mapping[str, SlotKind]) -> list[Segment]:
    """`text` cut at its slots, empty stretches left out.

    Raises BadInput on a slot that `kinds` doesn't name, a fallback of the wrong kind, and a mark without its partner.
    """
    if _MANGLED.search(text):
        raise BadInput("the mark of a slot was encoded before it came here")
    return list(_segments(text, kinds))


def html_segments(html: str, kinds: Mapping[str, SlotKind]) -> list[Segment]:
    """`html` cut at its slots, each of which stands where it can be escaped. A fallback is HTML there, as all around
    it, but without tags. Raises BadInput."""
    if _OPENS_TAG.search(html):
        raise BadInput("a slot stands in the name of a tag")
    places = _Places(kinds)
    places.feed(html)
    places.close()
    return [_in_html(segment) for segment in segments(html, kinds)]


def _in_html(segment: Segment) -> Segment:
    if isinstance(segment, str) or not segment.fallback:
        return segment
    if "<" in segment.fallback:
        raise BadInput(f"the fallback of the slot {segment.name} holds a tag")
    return replace(segment, fallback=unescape(segment.fallback))


def _segments(text: str, kinds: Mapping[str, SlotKind]) -> Iterator[Segment]:
    for index, piece in enumerate(_MARKED.split(text)):
        if index % 2:
            yield _slot(piece, kinds)
        elif START in piece or END in piece:
            raise BadInput("a slot is opened and not closed, or closed and not opened")
        elif piece:
            yield piece


def _slot(written: str, kinds: Mapping[str, SlotKind]) -> Slot:
    name, bar, fallback = written.partition("|")
    kind = kinds.get(name)
    if kind is None:
        raise BadInput(f"there is no slot named {name!r} here")
    if fallback and not kind.accepts(fallback):
        raise BadInput(f"the fallback of the slot {name} is no {kind.value}")
    return Slot(name, kind, fallback if bar else None)


class _Places(HTMLParser):
    """Refuses a slot at a place that no escaping makes safe: the name of a tag or an attribute, a value without
    quotes, a style, a script, an attribute that isn't shown; and words in a link. Comments and declarations are let
    be (Outlook reads some): an escaped `>` can't end one."""

    def __init__(self, kinds: Mapping[str, SlotKind]) -> None:
        super().__init__(convert_charrefs=False)
        self._kinds = kinds

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        bare = _QUOTED_VALUE.sub("", self.get_starttag_text() or "")
        if START in bare or END in bare:  # a quote in a fallback leaves but one of them
            raise BadInput(f"a slot stands in the tag <{tag}> outside a quoted value")
        for name, value in attrs:
            if value and START in value and name not in _WORD_ATTRIBUTES:
                self._check_attribute(name, segments(value, self._kinds))

    def _check_attribute(self, name: str, value: list[Segment]) -> None:
        if name != _LINK_ATTRIBUTE:
            raise BadInput(f"a slot can't stand in the attribute {name}")
        mails = isinstance(value[0], str) and value[0].lower().startswith("mailto:")
        for index, segment in enumerate(value):
            if isinstance(segment, Slot):
                opens = index == 0 and segment.kind is SlotKind.URL
                if not opens and not (mails and segment.kind is SlotKind.ADDRESS):
                    raise BadInput(f"the slot {segment.name} can't stand at this place of a link")

    def handle_endtag(self, tag: str) -> None:
        if START in tag:
            raise BadInput("a slot stands in the name of a tag")

    def handle_data(self, data: str) -> None:
        if START in data and self.cdata_elem not in (None, "title", "textarea"):  # in those two, entities are read
            raise BadInput(f"a slot can't stand in <{self.cdata_elem}>")
