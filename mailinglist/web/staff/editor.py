"""The editor: one language version of a bulletin as a column of blocks, saved as one types.

With a script (`static/staff/editor.js`) the form is sent to `save` a moment after each change, and what its buttons do
happens in the page; without one, each button sends the form. Both say which revision they began from. If somebody else
saved meanwhile, nothing is written: the page shows both, and whoever came second chooses (`take`).
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from flask import Response, make_response, request, url_for
from sqlalchemy.orm import Session

from ... import db
from ...bulletins import approvals, blocks, drafts, images
from ...bulletins.blocks import Draft, Version
from ...bulletins.compose import Proof
from ...bulletins.tables import Bulletin
from ...consent import lists
from ...consent.tables import MailingList
from ...errors import BadInput, NotAllowed
from ...i18n import LANGUAGES
from ...staff.levels import Right
from ...stationery import slots
from ...stationery.sentences import SaidBadInput
from ...stationery.sentences import noted as _
from .. import figures, pages
from ..exchange import exchange
from ..guards import Guard, Route
from . import asked, days, draft_form, frame, words_of_bulletins, writing
from .draft_form import Page
from .preview import SAMPLE, VIEWS

_SAMPLE_KEY = "zzkeyzz"
"""Stands for the key in the patterns of blocks from which the script makes new ones."""


def look(number: int) -> Response:
    """GET: the editor, at one language version."""
    with frame.looking() as session:
        bulletin = writing.find_open(session, number)
        if bulletin.given_at is not None:
            said = pages.say("This bulletin has been given to be sent: it can't be changed any more. Duplicate it.")
            return frame.go_to("preview.look_whole", said, number=number)
        draft = blocks.read(bulletin.source)
        language = _language(draft, request.args.get("language"))
        return _page(session, bulletin, draft, language, draft_form.page_of(draft.versions[language]))


def change(number: int) -> Response:
    """POST: what a button of the form does, after all that the form says is saved."""
    page, language, base = _said()
    open_one = language
    act = request.form.get("act", "save")
    verb, _space, rest = act.partition(" ")
    key = draft_form.press(page, act) if verb in ("up", "down", "remove", "add") else ""
    place = page.place_of(rest, "image") if verb == "image" else ()
    try:
        with db.transaction() as session:
            _write(session, number, language, page, base)
            if verb == "language":
                language = _other_language(session, number, language, rest)
    except drafts.Conflict as conflict:
        return _conflict(number, language, page, conflict)
    except BadInput as error:
        with frame.looking() as session:
            bulletin = writing.find_open(session, number)
            draft = blocks.read(bulletin.source)
            return _page(session, bulletin, draft, language, page, base=base, errors={"": pages.reason(error)})
    if verb == "image":
        return frame.go_to(
            "images_pages.choose", number=number, language=language, place=".".join(map(str, place))
        )  # fmt: skip
    said = pages.say("Saved.") if verb == "save" else None
    if act == "language remove":
        gone = words_of_bulletins.language(open_one)
        said = pages.say("%(language)s: this version is removed. It is among the versions.", language=gone)
    return frame.go_to("editor.look", said, number=number, language=language, _anchor=_anchor(page, key))


def save(number: int) -> Response:
    """POST, by the script: save what the form says. Answers with JSON: the revision, and what can't be mailed yet."""
    page, language, base = _said()
    now = db.utcnow()
    try:
        with db.transaction() as session:
            revision = _write(session, number, language, page, base)
        with db.reading() as session:
            bulletin = writing.find_open(session, number)
            draft = blocks.read(bulletin.source)
            proof, title = _proof(session, bulletin, draft, language), writing.title_of(bulletin)
            zone = lists.settings_of(session.get_one(MailingList, bulletin.list_id)).time_zone
    except drafts.Conflict as conflict:
        return _json(409, said=_conflict_words(conflict), conflict=True, revision=conflict.revision)
    except NotAllowed as error:
        return _json(409, said=pages.reason(error), conflict=False)
    except BadInput as error:
        return _json(422, said=pages.reason(error))
    return _json(
        200, revision=revision, said=_saved_words(now, zone), problems=_problems(proof, page),
        title=title,
    )  # fmt: skip


def take(number: int) -> Response:
    """POST, of who came second: their version in place of the other's, as a bulletin of its own, or put aside."""
    language = request.form.get("language", "")
    base = _number(request.form.get("base"))
    mine = blocks.version(_object(request.form.get("source", "")))
    act = request.form.get("act", "mine")
    now = db.utcnow()
    try:
        with db.transaction() as session:
            bulletin = writing.find_open(session, number)
            whole = _with(blocks.read(bulletin.source), language, mine)
            if act == "theirs":
                drafts.give_up(session, bulletin, blocks.write(whole), by=writing.author(), now=now)
                writing.note(session, "text_put_aside", number, now=now)
            elif act == "copy":
                row = session.get_one(MailingList, bulletin.list_id)
                made = drafts.begin(session, row, whole, by=writing.author(), now=now, template=bulletin.template)
                writing.note(session, "bulletin_begun", made.id, now=now, start=f"bulletin {number}")
                number = made.id
            else:
                drafts.save(
                    session, bulletin, base=base, source=blocks.write(whole), by=writing.author(), now=now, apart=True
                )  # fmt: skip
                writing.note(session, "bulletin_changed", number, now=now, over=base)
    except drafts.Conflict as conflict:
        return _conflict(number, language, draft_form.page_of(mine), conflict)
    match act:
        case "copy":
            said = pages.say("This is the copy with your text.")
        case "theirs":
            said = pages.say("The other text stands. Yours is among the versions.")
        case _:
            said = pages.say("Your text stands. The other is among the versions.")
    return frame.go_to("editor.look", said, number=number, language=language)


# ── saving ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _said() -> tuple[Page, str, int]:
    """What the form says: the version, its language, and the revision that it began from."""
    language = request.form.get("language", "")
    if language not in LANGUAGES:
        raise SaidBadInput(_("This form does not fit the bulletin any more. Open the page again."))
    return draft_form.read(request.form), language, _number(request.form.get("base"))


def _write(session: Session, number: int, language: str, page: Page, base: int) -> int:
    """Save one version of the bulletin. Raises Conflict, NotAllowed, BadInput."""
    bulletin = writing.find_open(session, number)
    before, now = bulletin.revision, db.utcnow()
    source = blocks.write(_with(blocks.read(bulletin.source), language, page.version()))
    revision = drafts.save(session, bulletin, base=base, source=source, by=writing.author(), now=now)
    if revision != before:
        writing.note_changed(session, number, now=now)
    return revision


def _other_language(session: Session, number: int, language: str, rest: str) -> str:
    """`add LANGUAGE`, `copy LANGUAGE` (from the one that is open), `from LANGUAGE` (into it), `remove`: which is open
    next. What stood before is kept apart."""
    bulletin = writing.find_open(session, number)
    draft, now = blocks.read(bulletin.source), db.utcnow()
    match rest.split(" "):
        case ["add" | "copy" as how, code] if code in LANGUAGES and code not in draft.versions:
            made = draft.versions[language] if how == "copy" else Version()
            after, goes_on = _with(draft, code, made), code
        case ["from", code] if code in draft.versions and code != language:
            after, goes_on = _with(draft, language, draft.versions[code]), language
        case ["remove"] if len(draft.versions) > 1:
            after = Draft({code: each for code, each in draft.versions.items() if code != language})
            goes_on = next(iter(after.versions))
        case _:
            raise SaidBadInput(_("This form does not fit the bulletin any more. Open the page again."))
    drafts.save(
        session, bulletin, base=bulletin.revision, source=blocks.write(after), by=writing.author(), now=now,
        apart=True,
    )  # fmt: skip
    writing.note(session, "bulletin_languages", number, now=now, languages=" ".join(after.versions))
    return goes_on


def _with(draft: Draft, language: str, version: Version) -> Draft:
    """`draft` with this version in this language, in the order of languages."""
    versions = {**draft.versions, language: version}
    return Draft({code: versions[code] for code in LANGUAGES if code in versions})


def _object(source: str) -> Any:
    try:
        return json.loads(source)
    except (ValueError, RecursionError):
        raise SaidBadInput(_("This form does not fit the bulletin any more. Open the page again.")) from None


def _number(text: str | None) -> int:
    number = asked.whole(text or "")
    if number is None:
        raise SaidBadInput(_("This form does not fit the bulletin any more. Open the page again."))
    return number


# ── the page ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _language(draft: Draft, asked: str | None) -> str:
    return asked if asked and asked in draft.versions else next(iter(draft.versions))


def _page(
    session: Session,
    bulletin: Bulletin,
    draft: Draft,
    language: str,
    page: Page,
    *,
    base: int | None = None,
    errors: dict[str, str] | None = None,
) -> Response:
    row = session.get_one(MailingList, bulletin.list_id)
    proof = _proof(session, bulletin, draft, language)
    pictures = images.pictures(session, draft.images())
    view = request.args.get("view", "")
    named = request.args.get("name", "") != "without"
    exchange().frames = True
    zone = lists.settings_of(row).time_zone
    return frame.page(
        "bulletins/edit", 422 if errors else 200, here=writing.section(bulletin), errors=errors or {},
        bulletin=bulletin, subject=writing.title_of(bulletin), page=page, shown=language,
        base=bulletin.revision if base is None else base,
        versions=[(code, words_of_bulletins.language(code)) for code in draft.versions],
        copied=[(code, words_of_bulletins.language(code)) for code, each in draft.versions.items()
                if code != language and each.blocks and not page.parts],
        missing=[(code, words_of_bulletins.language(code)) for code in LANGUAGES if code not in draft.versions],
        pictures={digest: url_for("images.serve", name=each.address.rpartition("/")[2])
                  for digest, each in pictures.items()},
        samples=[draft_form.Part(_SAMPLE_KEY, draft_form.empty(kind)) for kind in draft_form.TYPES],
        kinds=[(kind, words_of_bulletins.kind(kind)) for kind in draft_form.TYPES],
        problems=_problems(proof, page) if proof else [], view=view if view in VIEWS else VIEWS[0],
        name="with" if named else "without", sample=SAMPLE[language],
        in_mailbox=[slots.as_read(line, {"name": SAMPLE[language] if named else ""}, missing="")
                    for line in (page.subject, page.preview)],
        pages=writing.beside(bulletin), crumbs=writing.crumbs(bulletin),
        saved=_saved_words(bulletin.changed_at or bulletin.created_at, zone), sender=row.name,
        approved=approvals.approval_of(session, bulletin.id) is not None, most_bytes=images.MAX_BYTES,
        mine=frame.standing().account.id, endpoint="editor.look",
    )  # fmt: skip


def _proof(session: Session, bulletin: Bulletin, draft: Draft, language: str) -> Proof | None:
    row = session.get_one(MailingList, bulletin.list_id)
    only = {code: version for code, version in draft.versions.items() if code == language}
    return drafts.proofs(session, row, Draft(only)).get(language)


def _problems(proof: Proof | None, page: Page) -> list[dict[str, str]]:
    """What can't be mailed yet: in words, each with the key of its block."""
    keys = page.places()
    return [
        {"key": keys.get(each.place, ""), "words": pages.say(each.sentence.words, **each.sentence.values)}
        for each in (proof.problems if proof else ())
    ]


def _anchor(page: Page, key: str) -> str | None:
    """Where the page opens: keys are given anew, by the places."""
    if not key:
        return None
    return draft_form.anchor(page.place_of(key))


def _saved_words(at: datetime, zone: str) -> str:
    where = ZoneInfo(zone)
    today = at.astimezone(where).date() == db.utcnow().astimezone(where).date()
    return pages.say("Saved %(time)s", time=(figures.clock if today else figures.moment)(at, where))


# ── two editors ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _conflict_words(conflict: drafts.Conflict) -> str:
    at = figures.moment(conflict.at, days.ZONE)
    if conflict.account_id is not None and conflict.account_id == frame.standing().account.id:
        return pages.say("You changed this bulletin elsewhere on %(time)s: in another tab or browser.", time=at)
    return pages.say(
        "%(who)s changed this bulletin on %(time)s. Nothing of yours was saved over it.", who=conflict.who, time=at
    )


def _conflict(number: int, language: str, page: Page, conflict: drafts.Conflict) -> Response:
    """Both beside each other, and a choice."""
    mine = page.version()
    with frame.looking() as session:
        bulletin = writing.find_open(session, number)
        draft = blocks.read(bulletin.source)
    theirs = drafts.state_of(bulletin)
    after = drafts.State("blocks", theirs.subject, blocks.write(_with(draft, language, mine)), theirs.audience)
    return frame.page(
        "bulletins/conflict", 409, here=writing.section(bulletin), bulletin=bulletin,
        subject=writing.title_of(bulletin), said_who=_conflict_words(conflict), shown=language,
        language_name=words_of_bulletins.language(language), base=bulletin.revision,
        changes=words_of_bulletins.changes(drafts.compare(theirs, after)), crumbs=writing.crumbs(bulletin),
        source=json.dumps(blocks.plain(Draft({language: mine}))["versions"][language], ensure_ascii=False),
        mine=frame.standing().account.id,
    )  # fmt: skip


def _json(status: int, **values: Any) -> Response:
    return make_response(json.dumps(values), status, {"Content-Type": "application/json"})


_WRITE, _BODY = Right.WRITE, writing.MOST_BYTES
ROUTES = (
    Route("GET", "/staff/bulletins/<int:number>/edit", look, Guard.STAFF, right=_WRITE),
    Route("POST", "/staff/bulletins/<int:number>/edit", change, Guard.STAFF, right=_WRITE, body=_BODY, cleans=True),
    Route("POST", "/staff/bulletins/<int:number>/save", save, Guard.STAFF, right=_WRITE, body=_BODY, cleans=True),
    Route("POST", "/staff/bulletins/<int:number>/take", take, Guard.STAFF, right=_WRITE, body=_BODY, cleans=True),
)
