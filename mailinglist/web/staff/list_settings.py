"""A list's settings: its names, its sender, its looks, its consent texts, its rules; and new lists.

A form says which settings it was filled from, so that two administrators don't write over each other. Every change is
in the audit: what was set, with both values; of addresses and of long texts only digests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from babel.core import get_global
from flask import Response, request, url_for
from sqlalchemy.orm import Session

from ... import db
from ...bulletins import approvals, images
from ...bulletins.drafts import Author
from ...consent import lists
from ...consent import notices as register_of_notices
from ...consent.lists import Change, ListSettings, WrongSetting
from ...consent.tables import MailingList
from ...errors import BadInput
from ...i18n import LANGUAGES
from ...privacy import notice
from ...staff import audit
from ...staff.levels import Right
from ...stationery.sentences import SaidBadInput
from ...stationery.sentences import noted as _
from .. import pages
from ..exchange import exchange
from ..guards import Guard, Route
from ..looks import origin_of
from . import frame, outbox, words_of_bulletins

SECTIONS = {
    "general": ("name", "name_fi", "name_sv", "name_en", "controller", "postal_address", "sender", "owner", "language",
                "time_zone"),
    "looks": ("colour", "logo"),
    "notice": (
        "business_id", "phone", "register_contact", "protection_officer",
        *(f"{name}_{language}" for name in ("processors", "transfers") for language in LANGUAGES),
    ),
    "texts": tuple(f"consent-{language}" for language in LANGUAGES),
    "rules": ("confirm_days", "welcome", "approval", "rate", "proof_of_work", "origins"),
}  # fmt: skip
"""What each page sets, by the page's name."""

_WRONG = {
    "name": _("A list's name is one line of at most 200 characters."),
    "sender": _(
        "Write one address in plain letters, or a name and the address: Tector tiedottaa <uutiset@example.fi>."
    ),
    "owner": _("Write one e-mail address in plain letters."),
    "register_contact": _("Write one e-mail address in plain letters."),
    "colour": _("A colour is written as # and six hexadecimal digits, like #1f5f8b."),
    "logo": _("Write the address of an image, such as https://www.example.fi/logo.png."),
    "time_zone": _("Write the name of a time zone, such as Europe/Helsinki."),
    "confirm_days": _("Write a number of days from 1 to 60, or nothing."),
    "rate": _("Write how many bulletins a second, such as 10 or 0.5, or nothing."),
    "origins": _("Write origins such as https://www.example.fi, separated by commas."),
}
_OTHERWISE = _("This is too long, or holds a character that can't be mailed.")
# Of these the audit keeps digests: addresses, and what is long.
_VEILED = frozenset({"sender", "owner", "register_contact", "protection_officer"})
_UPLOAD = images.MAX_BYTES + 100_000

_CHANGED_MEANWHILE = _("Somebody has changed these settings meanwhile. Look at them as they are now, and then save.")


# ── all lists ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def index() -> Response:
    """GET: the lists."""
    return _index({"slug": "", "name": ""})


def add() -> Response:
    """POST: a new list."""
    values = {key: request.form.get(key, "").strip() for key in ("slug", "name")}
    try:
        with db.transaction() as session:
            row = lists.add(session, values["slug"], values["name"], now=db.utcnow())
            notice.refresh(session, row, pages.settings(), now=db.utcnow())
            audit.note(
                session, "list_made", by=frame.actor(), about=f"list {row.id}", now=db.utcnow(), slug=row.slug,
                name=row.name,
            )  # fmt: skip
    except BadInput as error:
        return _index(values, {"name" if not values["name"] else "slug": pages.reason(error)})
    return frame.go_to(
        "list_settings.general",
        pages.say("The list is made. Now look through what is set for it."),
        slug=values["slug"],
    )


def _index(values: dict[str, str], errors: dict[str, str] | None = None) -> Response:
    with frame.looking() as session:
        rows = [(row, lists.settings_of(row)) for row in lists.every(session)]
    return frame.page(
        "office/lists", 422 if errors else 200, here="settings", rows=rows, values=values, errors=errors or {}
    )


# ── one list ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def general(slug: str) -> Response:
    """GET: names, sender, addresses, language."""
    return _look(slug, "general")


def change_general(slug: str) -> Response:
    """POST."""
    return _change(slug, "general")


def looks(slug: str) -> Response:
    """GET: colour and logo, and how a letter looks with them."""
    return _look(slug, "looks")


def change_looks(slug: str) -> Response:
    """POST."""
    return _change(slug, "looks")


def upload_logo(slug: str) -> Response:
    """POST: an image as the logo, kept with the images of bulletins."""
    file = request.files.get("file")
    try:
        if file is None or not file.filename:
            raise SaidBadInput(_("Choose a file first."))
        with db.transaction() as session:
            row = _locked(session, slug)
            here = frame.standing().account
            image = images.take_in(
                session, row, file.read(), file_name=file.filename, by=Author(here.id, here.name), now=db.utcnow()
            )
            address = pages.settings().base_url + images.path_of(image)
            void = _set(session, row, {"logo": address})
    except BadInput as error:
        return _look(slug, "looks", errors={"file": pages.reason(error)})
    return frame.go_to("list_settings.looks", _saved(void), slug=slug)


def texts(slug: str) -> Response:
    """GET: the consent texts, with every version that there was."""
    return _look(slug, "texts")


def change_texts(slug: str) -> Response:
    """POST: what differs becomes a new version."""
    return _change(slug, "texts")


def privacy(slug: str) -> Response:
    """GET: what the privacy notice says, what it lacks, and its versions."""
    return _look(slug, "notice")


def change_privacy(slug: str) -> Response:
    """POST: a notice that says something else becomes a new version."""
    return _change(slug, "notice")


def rules(slug: str) -> Response:
    """GET: confirmation, approval, pace, protection."""
    return _look(slug, "rules")


def change_rules(slug: str) -> Response:
    """POST."""
    return _change(slug, "rules")


def sections(row: MailingList) -> list[tuple[str, str, str]]:
    """The pages about one list, for tabs."""
    words = {
        "general": pages.say("Names and addresses"),
        "looks": pages.say("Looks"),
        "texts": pages.say("Consent texts"),
        "letters": pages.say("Letters"),
        "notice": pages.say("Privacy notice"),
        "rules": pages.say("Rules"),
    }
    endpoints = {key: f"list_settings.{key}" for key in words} | {
        "letters": "wording_pages.index", "notice": "list_settings.privacy",
    }  # fmt: skip
    return [(key, label, url_for(endpoints[key], slug=row.slug)) for key, label in words.items()]


def crumbs() -> list[tuple[str, str]]:
    """The way to a list's pages."""
    return [(pages.say("List settings"), url_for("list_settings.index"))]


def _look(
    slug: str,
    section: str,
    typed: dict[str, str] | None = None,
    errors: dict[str, str] | None = None,
) -> Response:
    with frame.looking() as session:
        row = lists.find(session, slug)
        values = _values(session, row, SECTIONS[section]) if typed is None else typed
        versions = {language: lists.texts(session, row, language) for language in LANGUAGES}
        notices = register_of_notices.versions(session, row.id, pages.language())
    own = lists.settings_of(row)
    exchange().images = origin_of(own.logo)
    exchange().frames = section == "looks"
    return frame.page(
        f"office/{section}", 422 if errors else 200, here="settings", row=row, own=own, values=values,
        errors=errors or {}, seen=_seen(row), tabs_of_list=sections(row), crumbs=crumbs(), versions=versions,
        languages_by_name=[(code, words_of_bulletins.language(code)) for code in LANGUAGES],
        zones=_zones(own.time_zone) if section == "general" else (), installed=pages.settings(), notices=notices,
        contact=notice.contact_of(row, pages.settings()),
        missing=[(each.article, pages.say(each.words)) for each in notice.missing(row)],
    )  # fmt: skip


def _zones(chosen: str) -> list[tuple[str, str]]:
    """Time zones to choose from, by their cities: those of Europe, and the one that is chosen. A zone with several
    names (Europe/Kiev is Europe/Kyiv of old) stands there once, with the chosen name or the present one."""
    former = get_global("zone_aliases")
    ours = [key for key in available_timezones() if key.startswith("Europe/")]
    ordered = [*sorted(ours, key=lambda key: (key not in former, key)), chosen]  # the later ones win
    of_places = {outbox.zone_place(ZoneInfo(key)): key for key in ordered}
    return sorted(((key, f"{place} ({key})") for place, key in of_places.items()), key=lambda each: each[1])


def _change(slug: str, section: str) -> Response:
    typed = {key: request.form.get(key, "").strip() for key in SECTIONS[section]}
    given = dict(typed)
    if "welcome" in typed:
        given["welcome"] = "true" if typed["welcome"] else "false"
    if "rate" in typed:
        given["rate"] = typed["rate"].replace(",", ".")
    try:
        with db.transaction() as session:
            row = _locked(session, slug)
            if request.form.get("seen", "") != _seen(row):
                raise SaidBadInput(_CHANGED_MEANWHILE)
            void = _set(session, row, given)
    except WrongSetting as error:
        words = pages.say(_WRONG.get(error.key, _OTHERWISE))
        return _look(slug, section, typed, {error.key: words})
    except BadInput as error:
        return _look(slug, section, typed, {"": pages.reason(error)})
    page = "privacy" if section == "notice" else section
    return frame.go_to(f"list_settings.{page}", _saved(void), slug=slug)


def _set(session: Session, row: MailingList, values: dict[str, str]) -> int:
    """Change settings, and what goes by them: the notice, and what was approved with others. Returns how many
    approvals are void."""
    now = db.utcnow()
    note(session, row, lists.change(session, row, values, now=now))
    notice.refresh(session, row, pages.settings(), now=now)
    return len(approvals.void_outdated(session, row, now=now))


def _saved(void: int) -> str:
    if not void:
        return pages.say("Saved.")
    return pages.say(
        "Saved. Recipients would see this change: approved bulletins that have to be approved again: %(number)s.",
        number=void,
    )


def _locked(session: Session, slug: str) -> MailingList:
    row = lists.find(session, slug)
    return session.get_one(MailingList, row.id, with_for_update=True, populate_existing=True)


def _values(session: Session, row: MailingList, keys: Iterable[str]) -> dict[str, str]:
    own = lists.settings_of(row)
    return {key: _value(session, row, own, key) for key in keys}


def _value(session: Session, row: MailingList, own: ListSettings, key: str) -> str:
    if key == "name":
        return row.name
    if key.startswith("consent-"):
        return lists.current_text(session, row, key.removeprefix("consent-")).body
    held = getattr(own, key)
    if isinstance(held, bool):
        return "1" if held else ""
    if isinstance(held, tuple):
        return ", ".join(held)
    return "" if held is None else f"{held:g}" if isinstance(held, float) else str(held)


def _seen(row: MailingList) -> str:
    """Stands for the settings that a form was filled from."""
    return digest([row.name, row.settings])


def digest(value: Any) -> str:
    """A short digest of a value, which tells whether two are the same."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]


def note(session: Session, row: MailingList, changed: Iterable[Change]) -> None:
    """Write what was changed into the audit; nothing changed: no line."""
    told = {each.key: [_told(each.key, each.before), _told(each.key, each.after)] for each in changed}
    if told:
        audit.note(session, "list_set", by=frame.actor(), about=f"list {row.id}", now=db.utcnow(), changed=told)


def _told(key: str, value: Any) -> Any:
    veiled = key in _VEILED or key.startswith(("consent-", "letter-"))
    return f"sha256:{digest(value)}" if veiled and value is not None else value


_S, _R = Guard.STAFF, Right.SETTINGS
ROUTES = (
    Route("GET", "/staff/lists", index, _S, right=_R),
    Route("POST", "/staff/lists", add, _S, right=_R),
    Route("GET", "/staff/lists/<slug:slug>", general, _S, right=_R),
    Route("POST", "/staff/lists/<slug:slug>", change_general, _S, right=_R),
    Route("GET", "/staff/lists/<slug:slug>/looks", looks, _S, right=_R),
    Route("POST", "/staff/lists/<slug:slug>/looks", change_looks, _S, right=_R),
    Route(
        "POST",
        "/staff/lists/<slug:slug>/logo",
        upload_logo,
        _S,
        right=_R,
        body=_UPLOAD,
        megabytes=images.MAX_BYTES // 1_000_000,
    ),
    Route("GET", "/staff/lists/<slug:slug>/texts", texts, _S, right=_R),
    Route("POST", "/staff/lists/<slug:slug>/texts", change_texts, _S, right=_R),
    Route("GET", "/staff/lists/<slug:slug>/notice", privacy, _S, right=_R),
    Route("POST", "/staff/lists/<slug:slug>/notice", change_privacy, _S, right=_R),
    Route("GET", "/staff/lists/<slug:slug>/rules", rules, _S, right=_R),
    Route("POST", "/staff/lists/<slug:slug>/rules", change_rules, _S, right=_R),
)
