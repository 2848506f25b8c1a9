"""A bulletin as it will arrive: at a desk, on a phone, dark, text only.

The mail is a document of its own in a frame: its styles stay in it, and the policy of its answer (`headers`) takes
scripts, forms and our origin away from it. Light and dark are chosen here, not by the reader's system, so that both
can be looked at.
"""

from __future__ import annotations

import re
from html import escape

from flask import Response, make_response, render_template, request
from sqlalchemy.orm import Session

from ...bulletins import blocks, drafts
from ...bulletins.blocks import Draft, Version
from ...bulletins.compose import Composed
from ...bulletins.tables import Bulletin
from ...consent import lists
from ...consent.tables import MailingList
from ...errors import Unknown
from ...staff.levels import Right
from ...stationery import slots
from ...stationery.sentences import noted as _
from .. import pages
from ..exchange import exchange
from ..guards import Guard, Route
from ..looks import origin_of
from . import frame, words_of_bulletins, writing

VIEWS = ("desktop", "phone", "dark", "text")
SAMPLE = {"fi": "Aino", "sv": "Astrid", "en": "Emma"}
"""Who gets the mail that is shown, by its language."""
_IMAGE_FROM = re.compile(r'<img [^>]*?src="(https://[a-zA-Z0-9.-]+(?::[0-9]+)?)[/"]')
_DARK = "@media (prefers-color-scheme: dark)"
# Marks the block that is being written, so that the frame opens where one writes. A word that no staff writes.
_MARK = "here-is-where-one-writes"


def look(number: int) -> Response:
    """GET: the document in the frame. `language`, `view`; `name` = with or without the recipient's; `at` = a place."""
    view = request.args.get("view", "")
    with frame.looking() as session:
        bulletin = writing.find(session, number)
        # Text has no place to open at, and the mark would be read.
        mails = mails_of(session, bulletin, at="" if view == "text" else request.args.get("at", ""))
        logo = lists.settings_of(session.get_one(MailingList, bulletin.list_id)).logo
    spoken = request.args.get("language", "")
    mail = mails.get(spoken) or next(iter(mails.values()))
    language = spoken if spoken in mails else next(iter(mails))
    name = SAMPLE.get(language, "") if request.args.get("name") != "without" else ""
    here = exchange()
    here.console = here.preview = True
    # The images of blocks are ours. Who wrote Markdown or HTML may have taken some from elsewhere.
    elsewhere = set() if bulletin.form == "blocks" else set(_IMAGE_FROM.findall(mail.html))
    here.images = " ".join(sorted(elsewhere | ({origin} if (origin := origin_of(logo)) else set()))) or None
    if view == "text":
        text = render_template("staff/bulletins/preview_text.html", text=_filled(mail.text, name), language=language)
        return make_response(text)
    return make_response(_as_shown(_filled_html(mail.html, name), dark=view == "dark"))


def look_whole(number: int) -> Response:
    """GET: a page with the frame and nothing else, for bulletins that are not edited here, and for readers."""
    with frame.looking() as session:
        bulletin = writing.find(session, number)
        languages = list(mails_of(session, bulletin))
    language = request.args.get("language", "")
    language = language if language in languages else languages[0]
    view = request.args.get("view", "")
    exchange().frames = True
    return frame.page(
        "bulletins/preview", here=writing.section(bulletin), bulletin=bulletin, subject=writing.title_of(bulletin),
        shown=language, view=view if view in VIEWS else VIEWS[0], name=request.args.get("name", "with"),
        versions=[(each, words_of_bulletins.language(each)) for each in languages], pages=writing.beside(bulletin),
        crumbs=writing.crumbs(bulletin), endpoint="preview.look_whole",
    )  # fmt: skip


def mails_of(session: Session, bulletin: Bulletin, *, at: str = "") -> dict[str, Composed]:
    """A bulletin as it would arrive now, by language, also while it can't be mailed yet; `at` is the place that is
    written at, as numbers with dots. Raises BadInput for Markdown or HTML that can't be mailed."""
    if bulletin.form != "blocks":
        return drafts.editions(session, bulletin)
    row = session.get_one(MailingList, bulletin.list_id)
    draft = blocks.read(bulletin.source)
    head = at.partition(".")[0]
    if head.isdecimal() and len(head) < 4:
        draft = Draft({language: _marked(each, int(head)) for language, each in draft.versions.items()})
    proofs = drafts.proofs(session, row, draft)
    if not proofs:
        raise Unknown(_("There is no such bulletin."))
    return {language: proof.mail for language, proof in proofs.items()}


def _marked(version: Version, at: int) -> Version:
    mark = (blocks.Text(_MARK),) if at < len(version.blocks) else ()
    return Version(version.subject, version.preview, (*version.blocks[:at], *mark, *version.blocks[at:]))


def _as_shown(html: str, *, dark: bool) -> str:
    """`html` by day or by night; its links open beside the console, not in the frame."""
    html = html.replace(_DARK, "@media all" if dark else "@media not all")
    scheme = "dark" if dark else "light"
    html = html.replace("color-scheme: light dark;", f"color-scheme: {scheme};", 1)
    head, mark, rest = html.rpartition(_MARK)
    if mark:
        # The paragraph around the mark goes; what stays takes no room. Maybe the mail's first words had it, too.
        head = head[: head.rfind("<p")].replace(_MARK, "")
        html = f'{head}<span id="here"></span>{rest.partition("</p>")[2]}'
    return html.replace("<head>", '<head><base target="_blank">', 1)


def _filled(text: str, name: str) -> str:
    def value(slot: str, fallback: str | None) -> str:
        if slot == "name":
            return name or fallback or ""
        return f"{pages.settings().base_url}/…"

    return slots.SLOT.sub(lambda match: value(match[1], match[2]), text)


def _filled_html(html: str, name: str) -> str:
    def value(slot: str, fallback: str | None) -> str:
        return escape(name or fallback or "") if slot == "name" else "#"

    return slots.SLOT.sub(lambda match: value(match[1], match[2]), html)


ROUTES = (
    Route("GET", "/staff/bulletins/<int:number>/preview", look, Guard.STAFF, right=Right.SEE),
    Route("GET", "/staff/bulletins/<int:number>/look", look_whole, Guard.STAFF, right=Right.SEE),
)
