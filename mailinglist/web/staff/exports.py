"""Export: a list as a CSV file, for those with the right to it. Asks for both factors anew, and is in the
audit before the first line leaves."""

from __future__ import annotations

from flask import Response, request

from ... import db
from ...consent import export, lists
from ...errors import Unknown
from ...observe import redact
from ...staff import audit
from ...staff.levels import Right
from .. import pages
from ..guards import Guard, Route
from . import frame, persons, told, transfer

_OWN, _OUTSIDE = "own", "outside"
_LONGEST_PURPOSE = 200


def form() -> Response:
    """GET: which list, and with or without names."""
    return _form({})


def download() -> Response:
    """POST: the file, where it stays with us and its purpose is said. Addresses of a list are given to nobody outside
    (T7.3): a disclosure is of one person, on a legal basis (`disclosure_pages`)."""
    errors = _wrong()
    if errors:
        return _form(errors)
    # Names are of persons: for them it takes the right to look at persons, too.
    names = bool(request.form.get("names")) and frame.may(Right.PERSONS)
    try:
        with db.transaction() as session:
            row = lists.find(session, request.form.get("list", ""))
            slug, list_id = row.slug, row.id
            audit.note(
                session, "list_exported", by=frame.actor(), about=f"list {list_id}", now=db.utcnow(), names=names,
                purpose=redact(_purpose()),
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


def _wrong() -> dict[str, str]:
    errors: dict[str, str] = {}
    if request.form.get("goes") == _OUTSIDE:
        errors["goes"] = pages.say(
            "E-mail addresses of a list are given to nobody outside. What a law obliges you to give of one person is a "
            "disclosure, made from that person's page."
        )
    elif request.form.get("goes") != _OWN:
        errors["goes"] = pages.say("Say whether the file stays with us.")
    if not 0 < len(_purpose()) <= _LONGEST_PURPOSE:
        errors["purpose"] = pages.say("Say in a few words what the file is for.")
    return errors


def _purpose() -> str:
    return " ".join(request.form.get("purpose", "").split())


def _form(errors: dict[str, str]) -> Response:
    with frame.looking() as session:
        chosen = frame.current_list(session).slug
        choices = [(row.slug, persons.list_name(row)) for row in lists.every(session)]
    return frame.page(
        "registry/exports", 422 if errors else 200, here="transfer", errors=errors, choices_of_lists=choices,
        list=request.form.get("list", chosen), tabs=transfer.tabs(), goes=request.form.get("goes", ""),
        purpose=request.form.get("purpose", ""),
        ways=[
            ("", pages.say("Choose")), (_OWN, pages.say("With us, and with those who work for us under secrecy")),
            (_OUTSIDE, pages.say("To somebody else")),
        ],
    )  # fmt: skip


_STAFF, _TRANSFER = Guard.STAFF, Right.TRANSFER
ROUTES = (
    Route("GET", "/staff/exports", form, _STAFF, right=_TRANSFER, fresh=True),
    Route("POST", "/staff/exports", download, _STAFF, right=_TRANSFER, fresh=True),
)
