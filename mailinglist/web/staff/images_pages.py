"""Images of bulletins: taking them in, and choosing one for a block."""

from __future__ import annotations

import json
from typing import Any

from flask import Response, make_response, request, url_for
from sqlalchemy.orm import Session

from ... import db
from ...bulletins import blocks, drafts, images
from ...bulletins.tables import Bulletin, Image
from ...consent import lists
from ...consent.tables import MailingList
from ...errors import BadInput
from ...i18n import LANGUAGES
from ...staff import audit
from ...staff.levels import Right
from ...stationery.sentences import SaidBadInput
from ...stationery.sentences import noted as _
from .. import pages
from ..guards import Guard, Route
from . import asked, draft_form, frame, words_of_bulletins, writing

MOST_BYTES = images.MAX_BYTES + 100_000
"""Of an upload: a little more than an image may have, so that a larger one is refused in words."""
_A_PAGE = 24
_PICTURES = (".jpg", ".jpeg", ".png", ".gif", ".webp")


def index() -> Response:
    """GET: a list's images, newest first; and a form for one more."""
    return _index()


def add() -> Response:
    """POST: take in an image."""
    try:
        with db.transaction() as session:
            row = lists.find(session, request.form.get("list", ""))
            _taken_in(session, row)
    except BadInput as error:
        return _index({"file": pages.reason(error)})
    return frame.go_to("images_pages.index", pages.say("The image is kept."), list=row.slug)


def upload(number: int) -> Response:
    """POST, by the script: take in an image for a bulletin. Answers with JSON: its digest and address."""
    try:
        with db.transaction() as session:
            bulletin = writing.find_open(session, number)
            image = _taken_in(session, session.get_one(MailingList, bulletin.list_id))
    except BadInput as error:
        return _json(422, said=pages.reason(error))
    return _json(200, image=image.digest, alt=image.alt, address=_address(image), name=image.file_name)


def choose(number: int) -> Response:
    """GET: the list's images, for one block of a bulletin; and a form for one more."""
    return _choose(number, request.args)


def put(number: int) -> Response:
    """POST: the chosen image, or a new one, into the block."""
    language, place = request.form.get("language", ""), request.form.get("place", "")
    now = db.utcnow()
    try:
        with db.transaction() as session:
            bulletin = writing.find_open(session, number)
            page, key = _block(bulletin, language, place)
            if request.form.get("act") == "link":
                block: dict[str, Any] = draft_form.empty("button")
            else:
                digest = request.form.get("image", "")
                image = images.find(session, digest) if digest else _taken_in(
                    session, session.get_one(MailingList, bulletin.list_id)
                )  # fmt: skip
                before = next(part for part in _all(page) if part.key == key).block
                alt = request.form.get("alt", "").strip() or (image.alt if digest else "") or before.get("alt", "")
                block = {"type": "image", "image": image.digest, "alt": alt[:300], "link": before.get("link", "")}
            draft_form.put(page, key, block)
            draft = blocks.read(bulletin.source)
            versions = {**draft.versions, language: page.version()}
            source = blocks.write(blocks.Draft({code: versions[code] for code in LANGUAGES if code in versions}))
            drafts.save(
                session, bulletin, base=asked.whole(request.form.get("base", "")) or 0, source=source,
                by=writing.author(), now=now,
            )  # fmt: skip
            writing.note_changed(session, number, now=now)
    except BadInput as error:
        return _choose(number, request.form, {"file": pages.reason(error)})
    return frame.go_to("editor.look", number=number, language=language, _anchor=f"block-{key}")


def _taken_in(session: Session, row: MailingList) -> Image:
    """The uploaded image. Raises BadInput, in words."""
    file = request.files.get("file")
    if file is None or not file.filename:
        raise SaidBadInput(_("Choose an image file first."))
    if not file.filename.lower().endswith(_PICTURES) and not (file.mimetype or "").startswith("image/"):
        raise SaidBadInput(
            _(
                "Files are not attached to bulletins: many mail servers hold such mails back, and they grow too heavy. "
                "Put the file on a web site, and give a link or a button that leads there."
            )
        )
    now = db.utcnow()
    image = images.take_in(
        session, row, file.stream.read(images.MAX_BYTES + 1), file_name=file.filename,
        alt=request.form.get("alt", ""), by=writing.author(), now=now,
    )  # fmt: skip
    session.flush()
    audit.note(session, "image_added", by=frame.actor(), about=f"image {image.id}", now=now)
    return image


def _index(errors: dict[str, str] | None = None) -> Response:
    before = asked.row("before")
    with frame.looking() as session:
        row = frame.current_list(session)
        found = images.page(session, row.id, before_id=before, limit=_A_PAGE + 1)
    more = len(found) > _A_PAGE
    return frame.page(
        "bulletins/images", 422 if errors else 200, here="bulletins", errors=errors or {}, list=row, slug=row.slug,
        images=[(each, _address(each)) for each in found[:_A_PAGE]],
        crumbs=[(pages.say("Bulletins"), url_for("bulletins.index"))],
        next_url=url_for("images_pages.index", list=row.slug, before=found[_A_PAGE - 1].id) if more else None,
        first_url=url_for("images_pages.index", list=row.slug) if before else None,
    )  # fmt: skip


def _choose(number: int, said: Any, errors: dict[str, str] | None = None) -> Response:
    language, place, before = said.get("language", ""), said.get("place", ""), asked.row("before")
    with frame.looking() as session:
        bulletin = writing.find_open(session, number)
        page, key = _block(bulletin, language, place)
        found = images.page(session, bulletin.list_id, before_id=before, limit=_A_PAGE + 1)
    part = next(part for part in _all(page) if part.key == key)
    more = len(found) > _A_PAGE
    here = {"number": number, "language": language, "place": place}
    file = request.files.get("file")
    return frame.page(
        "bulletins/choose_image", 422 if errors else 200, here=writing.section(bulletin), errors=errors or {},
        bulletin=bulletin, subject=writing.title_of(bulletin), language_of=language, place=place,
        alt=request.form.get("alt", part.block.get("alt", "")),
        images=[(each, _address(each)) for each in found[:_A_PAGE]], no_picture=bool(errors and file and file.filename),
        crumbs=[
            *writing.crumbs(bulletin),
            (writing.title_of(bulletin), url_for("editor.look", number=number, language=language)),
        ],
        next_url=url_for("images_pages.choose", **here, before=found[_A_PAGE - 1].id) if more else None,
        first_url=url_for("images_pages.choose", **here) if before else None,
        language_name=words_of_bulletins.language(language),
    )  # fmt: skip


def _block(bulletin: Bulletin, language: str, place: str) -> tuple[draft_form.Page, str]:
    """The version, and the key of its image at this place. Raises BadInput."""
    version = blocks.read(bulletin.source).versions.get(language)
    if version is not None:
        page = draft_form.page_of(version)
        for numbers, key in page.places().items():
            part = next((part for part in _all(page) if part.key == key), None)
            if ".".join(map(str, numbers)) == place and part is not None and part.type == "image":
                return page, key
    raise SaidBadInput(_("This form does not fit the bulletin any more. Open the page again."))


def _all(page: draft_form.Page) -> list[draft_form.Part]:
    return [each for part in page.parts for each in (part, *part.left, *part.right)]


def _address(image: Image) -> str:
    return url_for("images.serve", name=images.path_of(image).rpartition("/")[2])


def _json(status: int, **values: Any) -> Response:
    return make_response(json.dumps(values), status, {"Content-Type": "application/json"})


_WRITE = Right.WRITE
_FILE: Any = {"body": MOST_BYTES, "megabytes": images.MAX_BYTES // 1_000_000}
ROUTES = (
    Route("GET", "/staff/images", index, Guard.STAFF, right=_WRITE),
    Route("POST", "/staff/images", add, Guard.STAFF, right=_WRITE, **_FILE),
    Route("GET", "/staff/bulletins/<int:number>/image", choose, Guard.STAFF, right=_WRITE),
    Route("POST", "/staff/bulletins/<int:number>/image", put, Guard.STAFF, right=_WRITE, **_FILE),
    Route("POST", "/staff/bulletins/<int:number>/upload", upload, Guard.STAFF, right=_WRITE, **_FILE),
)
