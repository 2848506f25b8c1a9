"""Bulletins in words, for pages: where one stands, in which language, what changed, for whom it is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from babel import dates

from ... import i18n
from ...bulletins import audience, comparison
from ...bulletins.audience import Rule
from ...bulletins.comparison import Change, Part
from ...errors import BadInput
from .. import pages, registry_words
from ..pages import say


def state(key: str, *, held: bool = False) -> tuple[str, str]:
    """A state (`delivery.catalogue.STATES`) in words, and the kind of its badge. `held`: it stands still, with all of
    its list, since too many complained."""
    if held:
        return say("Held"), "bad"
    found: dict[str, tuple[str, str]] = {
        "draft": (say("Draft"), "plain"),
        "asked": (say("Waits for approval"), "warn"),
        "approved": (say("Approved"), "good"),
        "scheduled": (say("Scheduled"), "good"),
        "sending": (say("Being sent"), "good"),
        "paused": (say("Paused"), "warn"),
        "sent": (say("Sent"), "good"),
        "cancelled": (say("Cancelled"), "bad"),
    }
    return found[key]


def kind(type_of_block: str) -> str:
    """A kind of block."""
    found: dict[str, str] = {
        "heading": say("Heading"),
        "text": say("Text"),
        "list": say("List of points"),
        "image": say("Image"),
        "button": say("Button"),
        "divider": say("Dividing line"),
        "columns": say("Two columns"),
    }
    return found[type_of_block]


def basis(key: str) -> str:
    """On what somebody's subscription rests."""
    found: dict[str, str] = {
        "consent": say("Consent"),
        "customer": say("Customer relation"),
        "organisation": say("Address of an organisation"),
    }
    return found.get(key, key)


def language(code: str) -> str:
    """A language by its name in the language of the page."""
    return registry_words.language(code)


# ── what changed ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Shown:
    """One change, ready for a page."""

    label: str
    """What changed: the part, and the language."""
    pieces: list[tuple[str, str]]
    """The words, each `same`, `gone` or `new`."""


def changes(found: Iterable[Change]) -> list[Shown]:
    """Changes in words, in their order."""
    return [Shown(_label(each), comparison.words(*_texts(each))) for each in found]


def _label(change: Change) -> str:
    match change.part:
        case Part.SUBJECT:
            words = say("Subject")
        case Part.PREVIEW:
            words = say("Preview line")
        case Part.VERSION:
            words = say("The whole version")
        case Part.SOURCE:
            words = say("Text")
        case Part.AUDIENCE:
            words = say("Audience")
        case Part.SETTING:
            words = _setting(change.setting)
        case Part.BLOCK:
            block: dict[str, Any] = json.loads(change.after or change.before or "{}")
            words = kind(str(block.get("type", "text")))
    return f"{language(change.language)}: {words}" if change.language else words


def _setting(key: str) -> str:
    """A setting of the list that recipients see (`imprint.SEEN`)."""
    if key.startswith("name_"):
        return f"{say('List settings')}: {say('Name')}, {language(key.removeprefix('name_'))}"
    found = {
        "name": say("Name"),
        "sender": say("Sender"),
        "owner": say("Owner"),
        "controller": say("Company"),
        "postal_address": say("Postal address"),
        "colour": say("Colour"),
        "logo": say("Address of the logo"),
        "language": say("Language"),
        "time_zone": say("Time zone"),
    }
    return f"{say('List settings')}: {found[key]}"


def _texts(change: Change) -> tuple[str, str]:
    def one(said: str | None) -> str:
        if said is None:
            return ""
        if change.part is Part.BLOCK:
            return text_of_block(json.loads(said))
        if change.part is Part.AUDIENCE:
            return "\n".join(rule(audience.read(said)))
        return said

    before, after = one(change.before), one(change.after)
    if change.part is Part.VERSION:  # an empty subject would show nothing
        before = say("This version with the subject “%(subject)s”", subject=before) if change.before is not None else ""
        after = say("This version with the subject “%(subject)s”", subject=after) if change.after is not None else ""
    return before, after


def text_of_block(block: Mapping[str, Any]) -> str:
    """A block (as `blocks.plain_block` writes it) as lines of text that tell all that can differ."""
    match block["type"]:
        case "heading":
            name = say("Heading") if block["level"] == 2 else say("Smaller heading")
            return f"{name}: {block['text']}"
        case "list":
            marks = (f"{number}." if block["ordered"] else "•" for number in range(1, len(block["items"]) + 1))
            return "\n".join(f"{mark} {item}" for mark, item in zip(marks, block["items"], strict=True))
        case "image":
            about = [block["image"][:8] or "–", block["alt"], block["link"]]
            return f"{say('Image')}: {' · '.join(filter(None, about))}"
        case "button":
            return f"{say('Button')}: {block['text']} → {block['url']}"
        case "divider":
            return say("Dividing line")
        case "columns":
            sides = (("left", say("Left column")), ("right", say("Right column")))
            return "\n".join(
                f"{name}:\n" + "\n".join(text_of_block(each) for each in block[side]) for side, name in sides
            )
        case _:
            return str(block["text"])


# ── for whom ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def rule(found: Rule) -> list[str]:
    """An audience in sentences; of everybody, one that says so."""
    lines = []
    if found.languages:
        lines.append(say("Language: %(languages)s", languages=", ".join(map(language, found.languages))))
    if found.joined_after:
        lines.append(say("Joined on %(day)s or later", day=_day(found.joined_after)))
    if found.joined_before:
        lines.append(say("Joined before %(day)s", day=_day(found.joined_before)))
    if found.bases:
        lines.append(say("Basis: %(bases)s", bases=", ".join(map(basis, found.bases))))
    if found.source is not None:
        lines.append(say("Came from: %(source)s", source=registry_words.source(found.source)))
    if found.sent is not None:
        lines.append(say("Was sent bulletin %(number)s", number=found.sent))
    if found.not_sent is not None:
        lines.append(say("Was not sent bulletin %(number)s", number=found.not_sent))
    return lines or [say("Everybody on the list")]


def rule_of(source: str) -> Rule:
    """A bulletin's rule; one that can't be read is shown as everybody, and refused where it matters."""
    try:
        return audience.read(source)
    except BadInput:
        return Rule()


def _day(day: Any) -> str:
    return dates.format_date(day, "long", locale=i18n.locale(pages.language()))
