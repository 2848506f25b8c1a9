"""The letters in words of a list's own: a page for each letter and language, with its places and a preview.

What is typed is data to the last sign (`stationery.wording`). The preview is made by the same code as the letter, from
what stands in the form now, and shown in a frame that takes everything but its looks away from it.
"""

from __future__ import annotations

from email.utils import parseaddr
from html import escape

from flask import Response, make_response, request, url_for

from ... import db
from ...bulletins.drafts import look_of, sender_of
from ...consent import lists
from ...consent.tables import MailingList
from ...errors import BadInput, Unknown
from ...i18n import LANGUAGES
from ...letters import wordings
from ...letters.texts import KINDS, PLACES, Composed, Kind, Own, letter, source_of
from ...staff.levels import Right
from ...stationery import slots
from ...stationery.sentences import noted as _
from .. import pages
from ..exchange import exchange
from ..guards import Guard, Route
from ..looks import origin_of
from . import frame, list_settings, words_of_bulletins, words_of_details

_NO_SUCH = _("There is no such letter.")
_BODY = 200_000


def index(slug: str) -> Response:
    """GET: the letters, and which of them are in words of the list's own."""
    with frame.looking() as session:
        row = lists.find(session, slug)
    kinds = [
        (kind, *_title(kind), [
            (words_of_bulletins.language(language), wordings.own(row, kind, language) is not None,
             url_for("wording_pages.look", slug=slug, kind=kind, language=language))
            for language in LANGUAGES
        ])
        for kind in KINDS
    ]  # fmt: skip
    return frame.page(
        "office/letters", here="settings", row=row, kinds=kinds, tabs_of_list=list_settings.sections(row),
        crumbs=list_settings.crumbs(),
    )  # fmt: skip


def look(slug: str, kind: str, language: str) -> Response:
    """GET: one letter in one language."""
    row, found = _find(slug, kind, language)
    return _page(row, found, language, wordings.own(row, found, language) or source_of(found, language))


def change(slug: str, kind: str, language: str) -> Response:
    """POST: these words from now on; `back`: ours again."""
    row, found = _find(slug, kind, language)
    words = None if request.form.get("back") else _typed()
    try:
        with db.transaction() as session:
            mine = session.get_one(MailingList, row.id, with_for_update=True)
            made = wordings.set_own(session, mine, found, language, words)
            list_settings.note(session, mine, [made] if made else [])
    except BadInput as error:
        return _page(row, found, language, words or ("", ""), {"body": pages.reason(error)})
    return frame.go_to("wording_pages.look", pages.say("Saved."), slug=slug, kind=kind, language=language)


def preview(slug: str, kind: str, language: str) -> Response:
    """GET: the letter as it is sent now, in the frame."""
    row, found = _find(slug, kind, language)
    return _shown(row, found, language, wordings.own(row, found, language))


def try_preview(slug: str, kind: str, language: str) -> Response:
    """POST: the letter as it would be with the words in the form. Keeps nothing."""
    row, found = _find(slug, kind, language)
    return _shown(row, found, language, wordings.tidied(_typed()))


def _typed() -> Own:
    return request.form.get("subject", ""), request.form.get("body", "")


def _find(slug: str, kind: str, language: str) -> tuple[MailingList, Kind]:
    with frame.looking() as session:
        row = lists.find(session, slug)
    for each in KINDS:
        if each == kind and language in LANGUAGES:
            return row, each
    raise Unknown(_NO_SUCH)


def _page(row: MailingList, kind: Kind, language: str, words: Own, errors: dict[str, str] | None = None) -> Response:
    exchange().frames = True
    others = [
        (code, words_of_bulletins.language(code),
         url_for("wording_pages.look", slug=row.slug, kind=kind, language=code))
        for code in LANGUAGES
    ]  # fmt: skip
    title, when = _title(kind)
    places = PLACES[kind]
    return frame.page(
        "office/letter", 422 if errors else 200, here="settings", row=row, kind=kind, spoken=language, title=title,
        when=when, subject=words[0], body=words[1], errors=errors or {}, others=others,
        own=wordings.own(row, kind, language) is not None,
        places=[(_written(name, name in places.links), _meaning(name), name in places.needed)
                for name in sorted(places.words | places.links)],
        crumbs=[*list_settings.crumbs(), (row.name, url_for("list_settings.general", slug=row.slug)),
                (pages.say("Letters"), url_for("wording_pages.index", slug=row.slug))],
    )  # fmt: skip


def _written(name: str, link: bool) -> str:
    words = pages.say("words")
    return f"[{words}]({{{name}}})" if link else f"{{{name}}}"


def _shown(row: MailingList, kind: Kind, language: str, own: Own | None) -> Response:
    here = exchange()
    here.console = here.preview = True
    here.images = origin_of(lists.settings_of(row).logo)
    try:
        made = _letter(row, kind, language, own)
    except BadInput as error:
        return frame.part("office/no_preview", words=pages.reason(error))
    if request.values.get("as") == "text":
        return pages.text(_filled(made.text, language))
    html = _filled(made.html, language, markup=True)
    return make_response(html.replace("<head>", '<head><base target="_blank">', 1))


def _letter(row: MailingList, kind: Kind, language: str, own: Own | None) -> Composed:
    with db.reading() as session:
        consent = lists.current_text(session, row, language).body
    owner = lists.settings_of(row).owner or parseaddr(sender_of(row, pages.settings().mail_from))[1]
    return letter(
        kind, language=language, look=look_of(row, language=language), owner=owner, consent_text=consent, own=own
    )


def _filled(text: str, language: str, *, markup: bool = False) -> str:
    """With what one recipient might find in the places."""
    samples = {"address": "aino.esimerkki@example.fi", "until": {"fi": "29. marraskuuta 2026 klo 17.00",
        "sv": "29 november 2026 kl. 17.00", "en": "29 November 2026 at 17:00"}[language]}  # fmt: skip
    link = f"{pages.settings().base_url}/…"

    def value(name: str) -> str:
        found = samples.get(name, link)
        return escape(found) if markup else found

    return slots.SLOT.sub(lambda match: value(match[1]), text)


def _title(kind: Kind) -> tuple[str, str]:
    """What a letter is called, and when it is sent."""
    sent: dict[Kind, str] = {
        "confirm": pages.say("When somebody has asked to join."),
        "welcome": pages.say("When somebody has confirmed."),
        "already": pages.say("When somebody asks to join who is on the list already."),
        "leave": pages.say("When somebody has lost the link, and asks for it."),
        "preferences": pages.say("When somebody asks for a link to their own page."),
    }
    return words_of_details.letter(kind), sent[kind]


def _meaning(name: str) -> str:
    found = {
        "address": pages.say("The recipient's address"),
        "list": pages.say("The list's name"),
        "owner": pages.say("The address that answers questions"),
        "consent": pages.say("The consent text, word for word"),
        "until": pages.say("Until when the link is good"),
        "confirm_url": pages.say("The page where one confirms"),
        "not_me_url": pages.say("The page for “I did not ask for this”"),
        "leave_url": pages.say("The page where one leaves"),
        "unsubscribe_url": pages.say("The page where one leaves"),
        "privacy_url": pages.say("The privacy notice"),
        "own_page_url": pages.say("The form for a link to one's own page"),
        "preferences_url": pages.say("The person's own page"),
    }
    return found[name]


_S, _R = Guard.STAFF, Right.SETTINGS
_ONE = "/staff/lists/<slug:slug>/letters/<kind>/<language>"
ROUTES = (
    Route("GET", "/staff/lists/<slug:slug>/letters", index, _S, right=_R),
    Route("GET", _ONE, look, _S, right=_R),
    Route("POST", _ONE, change, _S, right=_R, body=_BODY),
    Route("GET", f"{_ONE}/preview", preview, _S, right=_R),
    Route("POST", f"{_ONE}/preview", try_preview, _S, right=_R, body=_BODY),
)
