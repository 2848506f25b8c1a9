"""Import: a file is uploaded, its columns are said, it is looked through, and then the worker takes it in.

What the worker does is shown as it goes on: `progress` is a part of the page that asks for itself again.
"""

from __future__ import annotations

from typing import Any

from flask import Response, request, url_for
from sqlalchemy.orm import Session

from ... import db
from ...consent import import_jobs, lists, sheet
from ...consent.import_jobs import CHECKED, CHECKING, DONE, FAILED, RUNNING, UPLOADED, WAITING, Job
from ...errors import BadInput, NotAllowed, Unknown
from ...staff import audit
from ...staff.levels import Right
from .. import pages
from .. import registry_words as words
from ..guards import Guard, Route
from . import asked, frame, persons

_A_PAGE = 20
_REFUSALS = 100
_AT_WORK = (CHECKING, WAITING, RUNNING)
_FORM = 64 * 1024  # what a form with a file holds besides


def index() -> Response:
    """GET: the form for a file, and the files that there were."""
    return _index({})


def upload() -> Response:
    """POST: the file is kept, to say what its columns are."""
    sent = request.files.get("file")
    if sent is None or not sent.filename:
        return _index({"file": pages.say("Choose a file.")})
    data = sent.read()
    try:
        with db.transaction() as session:
            row = lists.find(session, request.form.get("list", ""))
            by, now = frame.actor(), db.utcnow()
            job = import_jobs.upload(session, row, data, file_name=sent.filename, who=by.who, now=now)
            _note(session, "import_uploaded", job, lines=job.lines)
    except (BadInput, NotAllowed) as error:
        return _index({"file": words.reason(error)})
    except Unknown as error:
        return _index({"list": pages.reason(error)})
    return frame.go_to("transfer.look", number=job.id)


def look(number: int) -> Response:
    """GET: one file, as far as it has come."""
    job = _find(number)
    values: dict[str, Any] = {
        "basis": job.basis or "", "source": job.source or "", "meanings": [each.meaning for each in job.columns],
    }  # fmt: skip
    return _look(job, values)


def check(number: int) -> Response:
    """POST: what the columns are, and what the import rests on; the worker looks the file through."""
    job = _find(number)
    values: dict[str, Any] = {
        "basis": request.form.get("basis", ""), "source": request.form.get("source", "").strip(),
        "meanings": [request.form.get(f"column-{place}", "") for place in range(len(job.columns))],
    }  # fmt: skip
    errors: dict[str, str] = {}
    if values["basis"] not in dict(words.bases()):
        errors["basis"] = pages.say("Choose what the import rests on.")
    if not values["source"]:
        errors["source"] = pages.say("Say which system or register the people come from.")
    if not errors:
        try:
            with db.transaction() as session:
                job = import_jobs.check(
                    session, number, meanings=values["meanings"], basis=values["basis"], source=values["source"]
                )
                _note(session, "import_rehearsed", job, basis=job.basis)
        except BadInput as error:
            errors[""] = words.reason(error)
        else:
            return frame.go_to("transfer.look", number=number)
    return _look(job, values, errors)


def start(number: int) -> Response:
    """POST: the worker takes the people in, if the result is still the one that was looked at."""
    _find(number)
    with db.transaction() as session:
        job = import_jobs.start(session, number, who=frame.actor().who, seen=request.form.get("seen", ""))
        _note(session, "people_imported", job, lines=job.lines)
    return frame.go_to("transfer.look", number=number)


def give_up(number: int) -> Response:
    """POST: the file is dropped; nobody is taken in."""
    _find(number)
    with db.transaction() as session:
        job = import_jobs.give_up(session, number, who=frame.actor().who, now=db.utcnow())
        _note(session, "import_given_up", job)
    return frame.go_to("transfer.look", pages.say("The file is dropped. Nobody was taken in from it."), number=number)


def progress(number: int) -> Response:
    """GET: how far the worker has come; the whole page anew, once it has nothing more to do."""
    job = _find(number)
    response = frame.part("registry/import_progress", job=job, state=words.import_state(job.state))
    if job.state not in _AT_WORK:
        response.headers["HX-Refresh"] = "true"
    return response


def _find(number: int) -> Job:
    with frame.looking() as session:
        return import_jobs.find(session, number)


def _note(session: Session, act: str, job: Job, **detail: Any) -> None:
    about = f"list {job.list_id}"
    audit.note(session, act, by=frame.actor(), about=about, now=db.utcnow(), job=job.id, **detail)


def _index(errors: dict[str, str]) -> Response:
    before_id = asked.row("before")
    with frame.looking() as session:
        row = frame.current_list(session)
        jobs = import_jobs.recent(session, row.id, before_id=before_id, limit=_A_PAGE + 1)
        choices = [(each.slug, persons.list_name(each)) for each in lists.every(session)]
    more = len(jobs) > _A_PAGE
    return frame.page(
        "registry/imports", 422 if errors else 200, here="transfer", errors=errors, choices_of_lists=choices,
        list=row.slug, list_name=persons.list_name(row), tabs=tabs(),
        jobs=[(words.import_state(job.state), job) for job in jobs[:_A_PAGE]],
        next_url=url_for("transfer.index", list=row.slug, before=jobs[_A_PAGE - 1].id) if more else None,
        first_url=url_for("transfer.index", list=row.slug) if before_id is not None else None,
    )  # fmt: skip


def tabs() -> list[tuple[str, str, str]]:
    """The two pages of the section."""
    return [
        ("import", pages.say("Import"), url_for("transfer.index")),
        ("export", pages.say("Export"), url_for("exports.form")),
    ]


def _look(job: Job, values: dict[str, Any], errors: dict[str, str] | None = None) -> Response:
    if any(column.samples for column in job.columns):  # cells of the file are shown
        with db.transaction() as session:
            _note(session, "import_seen", job)
    line = asked.row("after") or 0
    refusals = [each for each in job.refusals if each.line > line]
    noted = asked.row("noted") or 0
    remarks = [each for each in job.remarks if each.line > noted]
    with frame.looking() as session:
        name = next((persons.list_name(row) for row in lists.every(session) if row.id == job.list_id), "")
    here = "transfer.look"
    return frame.page(
        "registry/import", 422 if errors else 200, here="transfer", errors=errors or {}, job=job, values=values,
        state=words.import_state(job.state), at_work=job.state in _AT_WORK, list_name=name,
        seen=import_jobs.outcome(job),
        mapping=job.state in (UPLOADED, CHECKED), startable=job.state == CHECKED and job.refused < job.lines,
        told=job.state in (CHECKED, DONE) or (job.state == FAILED and job.done), ended=job.state in (DONE, FAILED),
        bases=[("", pages.say("Choose")), *words.bases()], meanings=words.meanings(),
        basis=words.basis(job.basis or ""), trouble=words.reason(job.trouble) if job.trouble else "",
        refusals=[(each.line, words.reason(each.reason)) for each in refusals[:_REFUSALS]],
        kept=import_jobs.KEPT_REFUSALS, megabytes=sheet.MAX_BYTES // 2**20,
        next_url=url_for(here, number=job.id, after=refusals[_REFUSALS - 1].line, _anchor="refusals")
        if len(refusals) > _REFUSALS
        else None,
        first_url=url_for(here, number=job.id, _anchor="refusals") if line else None,
        remarks=[(each.line, ", ".join(map(words.reason, each.words))) for each in remarks[:_REFUSALS]],
        next_remarks=url_for(here, number=job.id, noted=remarks[_REFUSALS - 1].line, _anchor="remarks")
        if len(remarks) > _REFUSALS
        else None,
        first_remarks=url_for(here, number=job.id, _anchor="remarks") if noted else None,
        crumbs=[(pages.say("Import and export"), url_for("transfer.index"))],
    )  # fmt: skip


_STAFF, _TRANSFER = Guard.STAFF, Right.TRANSFER
ROUTES = (
    Route("GET", "/staff/imports", index, _STAFF, right=_TRANSFER),
    Route(
        "POST",
        "/staff/imports",
        upload,
        _STAFF,
        right=_TRANSFER,
        body=sheet.MAX_BYTES + _FORM,
        megabytes=sheet.MAX_BYTES // 2**20,
    ),
    Route("GET", "/staff/imports/<int:number>", look, _STAFF, right=_TRANSFER),
    Route("GET", "/staff/imports/<int:number>/progress", progress, _STAFF, right=_TRANSFER, polled=True),
    Route("POST", "/staff/imports/<int:number>/check", check, _STAFF, right=_TRANSFER),
    Route("POST", "/staff/imports/<int:number>/start", start, _STAFF, right=_TRANSFER, fresh=True),
    Route("POST", "/staff/imports/<int:number>/give-up", give_up, _STAFF, right=_TRANSFER),
)
