"""The details of a line of the audit, in words: what each is called, and its value as a reader's language writes it.

The audit holds names and values as the program knows them, in English and for good. What no page knows, such as a
detail that an earlier version noted, is shown as it stands there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ...i18n import LANGUAGES
from ...staff.levels import Level
from .. import figures, registry_words, words_of_acts
from ..pages import say
from . import days, scopes
from .levels import words_of

_COUNTS = frozenset({
    "added", "asked", "banned", "chains", "codes_left", "complaints", "entries", "letters", "lines", "mails", "number",
    "octets", "recipients", "refused", "unchanged", "updated", "versions",
})  # fmt: skip
"""Numbers of things. The others are numbers by which something is called, and are written without marks."""
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}")


def details(held: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is told of an act: name and value, in the language of the page."""
    called = names()
    return [(called.get(key, key), value(key, each)) for key, each in held.items()]


def names() -> Mapping[str, str]:
    """Every detail by its key, in the language of the page."""
    return {
        "acknowledged": say("Acknowledged"),
        "added": say("Newly added"),
        "address": say("Address, as a digest"),
        "after": say("After"),
        "asked": say("Looked up"),
        "at": say("At"),
        "authentic": say("Known by the ban key"),
        "banned": say("Banned"),
        "basis": say("Basis"),
        "before": say("Before"),
        "chains": say("Persons"),
        "changed": say("Changed"),
        "channels": say("Channels"),
        "colleagues": say("Colleagues"),
        "complaints": say("Complaints"),
        "copy_of": say("Copy of"),
        "counts": say("Counts"),
        "decision": say("Decision"),
        "disclosure": say("Disclosure"),
        "encrypted": say("Encrypted"),
        "entries": say("Entries"),
        "evidence": say("Evidence"),
        "fields": say("Fields"),
        "form": say("Form"),
        "how": say("How"),
        "key": say("Setting"),
        "key_mailed_at": say("Key mailed at"),
        "kind": say("Kind"),
        "languages": say("Languages"),
        "letters": say("Letters"),
        "levels": say("Levels"),
        "lines": say("Lines"),
        "list": say("List"),
        "mail": say("Mail"),
        "mails": say("Mails"),
        "name": say("Name"),
        "names": say("With names"),
        "note": say("Note"),
        "number": say("Number"),
        "octets": say("Octets"),
        "of": say("Of"),
        "over": say("In place of revision"),
        "page": say("To read in a browser"),
        "passkey": say("Passkey"),
        "paused": say("Paused"),
        "person": say("Person"),
        "persons": say("Persons"),
        "problems": say("Problems"),
        "purpose": say("Purpose"),
        "recipients": say("Recipients"),
        "refused": say("Refused"),
        "revision": say("Revision"),
        "rows": say("Rows"),
        "rule": say("Rule"),
        "scopes": say("Permissions"),
        "seal": say("Seal"),
        "seconds": say("Seconds"),
        "sign_in": say("Sign-in"),
        "since": say("Since"),
        "slug": say("Short name"),
        "source": say("Source"),
        "start": say("Begun from"),
        "state": say("State"),
        "task": say("Task"),
        "troubles": say("Troubles"),
        "unchanged": say("Unchanged"),
        "until": say("Until"),
        "updated": say("Updated"),
        "version": say("Version"),
        "versions": say("Versions"),
        "why": say("Why"),
        "words": say("Words"),
    }


def letter(kind: str) -> str:
    """What a letter of the program is called."""
    return {
        "confirm": say("Confirmation letter"),
        "welcome": say("Welcome letter"),
        "already": say("“Already on the list”"),
        "leave": say("Link to leave by"),
        "preferences": say("Link to one's own page"),
    }[kind]


def value(key: str, held: Any) -> str:
    """A value in words."""
    if held is None:
        return say("Now") if key == "at" else "–"
    if isinstance(held, bool):
        return say("Yes") if held else say("No")
    if isinstance(held, float):
        return figures.decimal(held)
    if isinstance(held, int):
        return figures.number(held) if key in _COUNTS else str(held)
    if isinstance(held, Mapping):
        return ", ".join(f"{_setting(name)}: {value('', each)}" for name, each in held.items())
    if isinstance(held, list) and key == "levels":
        return ", ".join(words_of(held)) or "–"
    if isinstance(held, list) and key == "scopes":
        return ", ".join(scopes.words_of(held)) or "–"
    if isinstance(held, list):
        # A list of settings tells of each what it was and what it is.
        return (" → " if not key and len(held) == 2 else ", ").join(value(key, each) for each in held) or "–"
    return _word(key, str(held))


def _word(key: str, held: str) -> str:
    if _MOMENT.match(held):
        return figures.moment_in_a_cell(datetime.fromisoformat(held), days.ZONE)
    match key:
        case "basis":
            return registry_words.basis(held)
        case "key":
            return _setting(held)
        case "channels":
            return registry_words.channel(held)
        case "languages":
            return ", ".join(registry_words.language(each) for each in held.split())
        case "kind":
            return registry_words.task_kind(held)
        case "acknowledged":
            return _warning(held)
        case "fields":
            return registry_words.given([held])
        case "source":
            return registry_words.source(held)
        case "before" | "after" if held in set(Level):
            return ", ".join(words_of([held]))
        case "of" | "start" if " " in held:
            return words_of_acts.about(held)
        case "how" | "why" | "purpose" | "decision" | "state" | "start" | "form":
            return _known().get(held) or dict(registry_words.ways()).get(held, held)
        case _:
            return held


def _warning(key: str) -> str:
    """A warning of the check, by its `key` (`preflight.findings`), shortly: the check's page has the whole sentence."""
    name, _mark, rest = key.partition(":")
    language = rest.partition(":")[0]
    words = {
        "audience_larger": say("far more recipients than usual"),
        "audience_smaller": say("far fewer recipients than usual"),
        "brackets": say("text in brackets"),
        "image_alt": say("an image without a description"),
        "language_missing": say("a language version is missing"),
        "like_last": say("nearly the same as the bulletin before"),
        "link_closed": say("a link that asks for a sign-in"),
        "link_private": say("a link that leads to no public place"),
        "link_unreachable": say("a link that could not be opened"),
        "links_unchecked": say("links that were not checked"),
        "little_text": say("little text beside the images"),
        "name_without_fallback": say("no words for those without a name"),
        "placeholder_left": say("a placeholder that is not filled"),
        "subject_as_last": say("the subject of the bulletin before"),
        "subject_default": say("a subject that says nothing"),
    }.get(name) or (say("the sender's domain") if name.startswith("sender_") else name)
    return f"{words} ({registry_words.language(language)})" if language in LANGUAGES else words


def _setting(key: str) -> str:
    """A setting of a list as its own page calls it; for other keys, the key."""
    start, _mark, code = key.replace("-", "_").rpartition("_")
    of_languages = {
        "mail": say("Mail"),
        "mails": say("Mails"),
        "name": say("Name"),
        "consent": say("Consent texts"),
        "processors": say("On your behalf: %(language)s", language=registry_words.language(code)),
        "transfers": say("Outside the EU and the EEA: %(language)s", language=registry_words.language(code)),
    }
    if code in LANGUAGES and start in of_languages:
        words = of_languages[start]
        return words if registry_words.language(code) in words else f"{words}, {registry_words.language(code)}"
    if key.startswith("letter-"):
        kind, _mark, spoken = key.removeprefix("letter-").partition(".")
        return f"{letter(kind)} ({registry_words.language(spoken)})"
    return {
        "mail": say("Mail"),
        "mails": say("Mails"),
        "name": say("Name"),
        "controller": say("Company"),
        "postal_address": say("Postal address"),
        "sender": say("Sender"),
        "owner": say("Owner"),
        "language": say("Language"),
        "time_zone": say("Time zone"),
        "colour": say("Colour"),
        "logo": say("Address of the logo"),
        "business_id": say("Business id"),
        "phone": say("Phone"),
        "register_contact": say("Address for register matters"),
        "protection_officer": say("Data protection officer"),
        "confirm_days": say("Days that a confirmation link is good"),
        "welcome": say("Send a welcome letter to who has confirmed"),
        "approval": say("Approval by a second person"),
        "rate": say("Bulletins a second"),
        "proof_of_work": say("Proof of work in the sign-up form"),
        "origins": say("Other sites with a form of ours"),
    }.get(key, key)


def _known() -> Mapping[str, str]:
    """Values that the program itself chooses from."""
    return {
        "accepted": say("Accepted"),
        "blank": say("An empty page"),
        "disabled": say("The account is disabled"),
        "enrol": say("Enrolment"),
        "factor": say("Second factor"),
        "html": "HTML",
        "markdown": "Markdown",
        "passkey": say("Passkey"),
        "password": say("Password"),
        "password, again": say("Password, asked again"),
        "past its end": say("The account has ended"),
        "recovery code": say("Recovery code"),
        "rejected": say("Rejected"),
        "resend": say("Send again"),
        "second factor, again": say("Second factor, asked again"),
        "totp": say("Code of the app"),
        "uncertain": say("Uncertain"),
        "unknown": say("Unknown address"),
    }
