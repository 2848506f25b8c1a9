"""A person's document (`privacy.access`) as a page for them: its parts, with names and values in words.

What this file has no words for is shown by its name in the file that they can take along: nothing is left out but why
and for how long things are kept, which the privacy notice tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from . import figures, registry_words, words_of_acts
from .pages import say

_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T")
# Read first of an entry; the rest follows as it comes.
_FIRST = ("at", "event", "act", "kind", "subject", "list", "name")
# The evidence's time is the entry's; the name of somebody's list stands for its slug.
_SAID_ALREADY = (("evidence", "at"), ("subscriptions", "name"))
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}$")


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is held."""

    name: str
    value: str
    language: str | None = None
    """Of the value, where it is a text in a language of its own."""


@dataclass(frozen=True, slots=True)
class Part:
    """A section: entries of the same kind."""

    title: str
    entries: list[list[Fact]]


def parts(document: Mapping[str, Any], zone: ZoneInfo, lists: Mapping[str, str]) -> list[Part]:
    """The document's sections, in its order; those that hold nothing are left out. `lists`: their names by slug."""
    found: list[Part] = []
    for name, value in document.items():
        if name in ("made_at", "held"):
            continue
        if isinstance(value, Mapping):
            own = {key: each for key, each in value.items() if not isinstance(each, list)}
            found.append(_part(name, [own] if own else [], zone, lists))
            found += [_part(key, each, zone, lists) for key, each in value.items() if isinstance(each, list)]
        else:
            found.append(_part(name, value, zone, lists))
    return [part for part in found if part.entries]


def _part(name: str, entries: list[Any], zone: ZoneInfo, lists: Mapping[str, str]) -> Part:
    return Part(_title(name), [facts for entry in entries if (facts := list(_facts(name, entry, zone, lists)))])


def _facts(part: str, entry: Mapping[str, Any], zone: ZoneInfo, lists: Mapping[str, str]) -> Iterator[Fact]:
    for name in sorted(entry, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST)):
        value = entry[name]
        if isinstance(value, Mapping):
            yield from _facts("evidence", value, zone, lists)
        elif value not in (None, "", []) and (part, name) not in _SAID_ALREADY:
            spoken = entry.get("language") or entry.get("text_language") if name in ("text_shown", "text") else None
            values = value if isinstance(value, list) else [value]
            said = (lists.get(each, each) if name == "list" else _value(part, name, each, zone) for each in values)
            yield Fact(_name(part, name), ", ".join(said), spoken)


def _title(name: str) -> str:
    known = {
        "register": say("About you"),
        "subscriptions": say("Lists"),
        "bans": say("Bans"),
        "requests": say("Requests"),
        "links": say("Confirmation links"),
        "history": say("Consent history"),
        "notes": say("Notes and contacts"),
        "mails": say("Mails to you"),
        "failed": say("Mails to you that failed"),
        "reported_as_unwanted": say("Mails that you reported as unwanted"),
        "mails_to_us": say("Your mails to our lists"),
        "disclosures": say("To whom your data were given"),
        "tasks": say("What you have asked us for"),
        "looks_by_staff": say("When our staff, or another of our systems, looked at your data or changed them"),
    }
    return known.get(name, _plain(name))


def _name(part: str, name: str) -> str:
    if part == "evidence" and name not in ("name", "list"):
        return registry_words.evidence(name)
    known = {
        "address": say("E-mail address"),
        "name": say("Name"),
        "language": say("Language"),
        "in_the_register_since": say("In the register since"),
        "no_letter_before": say("No letter before"),
        "use_restricted_since": say("Kept and not used since"),
        "list": say("List"),
        "state": say("State"),
        "before": say("State before"),
        "basis": say("Basis"),
        "since": say("Since"),
        "source": say("Source"),
        "sale_reference": say("Sale reference"),
        "acted_at": say("Last act by you"),
        "text_version": say("Version of the text"),
        "text_language": say("Language of the text"),
        "text": say("What you agreed to"),
        "text_shown": say("The text that was shown"),
        "channel": say("What is forbidden"),
        "channels": say("What is forbidden"),
        "given_at": say("Given"),
        "lifted_at": say("Lifted"),
        "kind": say("What"),
        "entrance": say("By which way"),
        "received_at": say("Received"),
        "taken_at": say("Dealt with"),
        "outcome": say("Outcome"),
        "letter": say("Letter"),
        "letter_at": say("Letter due"),
        "issued_at": say("Mailed"),
        "expires_at": say("Good until"),
        "used_at": say("Used"),
        "at": say("When"),
        "event": say("What happened"),
        "on": say("Day"),
        "words": say("Words"),
        "created_at": say("Written down"),
        "subject": say("Subject"),
        "attempts": say("Tries"),
        "first_tried_at": say("First put off"),
        "settled_at": say("Answered by the mail server"),
        "code": say("Code"),
        "reply": say("Answer of the mail server"),
        "mailed_at": say("Mailed"),
        "verdict": say("What it means"),
        "status": say("Code of the mail server"),
        "provider": say("Told by"),
        "recipient": say("Recipient"),
        "legal_basis": say("Basis"),
        "what": say("Which data"),
        "their_reference": say("Their reference"),
        "opened_at": say("Asked"),
        "due_at": say("Answer by"),
        "done_at": say("Answered"),
        "answer": say("Answer"),
        "act": say("What was done"),
    }
    return known.get(name, _plain(name))


def _value(part: str, name: str, value: Any, zone: ZoneInfo) -> str:
    if not isinstance(value, str):
        return str(value)
    if _MOMENT.match(value):
        return _moment(value, zone)
    if _DAY.match(value):
        return figures.day(date.fromisoformat(value))
    words = {
        "language": registry_words.language,
        "text_language": registry_words.language,
        "state": lambda key: registry_words.state(key)[0],
        "before": lambda key: registry_words.state(key)[0],
        "basis": registry_words.basis,
        "event": lambda key: registry_words.event(key)[0],
        "channel": registry_words.channel,
        "channels": registry_words.channel,
        "outcome": registry_words.request_outcome,
        "entrance": registry_words.way,
        "how": registry_words.way,
        "source": registry_words.source,
        "letter": lambda key: registry_words.mail(key, None),
        "act": words_of_acts.act,
    }
    kinds = {
        "mails": lambda key: registry_words.mail(key, None),
        "requests": registry_words.request_kind,
        "notes": registry_words.note_kind,
        "tasks": registry_words.task_kind,
    }
    if part == "mails_to_us" and name in ("kind", "outcome"):
        return _plain(value)
    if part == "failed" and name == "verdict":
        return registry_words.verdicts().get(value, (value, ""))[0]
    if name == "state" and part == "mails":
        return registry_words.handoff(value)[0]
    said = kinds.get(part) if name == "kind" else words.get(name)
    return said(value) if said else value


def _moment(value: str, zone: ZoneInfo) -> str:
    return figures.moment(datetime.fromisoformat(value), zone)


def _plain(name: str) -> str:
    return name.replace("_", " ").capitalize()
