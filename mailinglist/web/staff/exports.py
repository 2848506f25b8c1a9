"""Export: a list as a CSV file, for those with the right to it. Asks for both factors anew, and is in the
audit before the first line leaves."""

from __future__ import annotations

from flask import Response, request

from ... import db
from ...consent import export, lists
from ...errors import Unknown
from ...staff import audit
from ...staff.levels import Right
from .. import pages
from ..guards import Guard, Route
from . import frame, persons, told, transfer


def form() -> Response:
    """GET: which list, and with or without names."""
    return _form({})


def download() -> Response:
    """POST: the file."""
    # Names are of persons: for them it takes the right to look at persons, too.
    names = bool(request.form.get("names")) and frame.may(Right.PERSONS)
    try:
        with db.transaction() as session:
            row = lists.find(session, request.form.get("list", ""))
            slug, list_id = row.slug, row.id
            audit.note(
                session, "list_exported", by=frame.actor(), about=f"list {list_id}", now=db.utcnow(), names=names
            )  # fmt: skip
    except Unknown as error:
        return _form({"list": pages.reason(error)})
    response = Response(_written(slug, names=names), content_type="text/csv; charset=utf-8; header=present")
    name = f"{slug}-{told.today().isoformat()}.csv"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _written(slug: str, *, names: bool) -> bytes:
    """The whole file (of a million, 40 MB): a slow line must not hold the database's transaction."""
    with db.reading() as session:
        return "".join(export.lines(session, lists.find(session, slug), names=names)).encode()


def _form(errors: dict[str, str]) -> Response:
    with frame.looking() as session:
        chosen = frame.current_list(session).slug
        choices = [(row.slug, persons.list_name(row)) for row in lists.every(session)]
    return frame.page(
        "registry/exports", 422 if errors else 200, here="transfer", errors=errors, choices_of_lists=choices,
        list=chosen, tabs=transfer.tabs(),
    )  # fmt: skip


_STAFF, _TRANSFER = Guard.STAFF, Right.TRANSFER
ROUTES = (
    Route("GET", "/staff/exports", form, _STAFF, right=_TRANSFER, fresh=True),
    Route("POST", "/staff/exports", download, _STAFF, right=_TRANSFER, fresh=True),
)
