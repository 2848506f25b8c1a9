"""Files of people that staff take in: uploaded, columns said, looked through, and then taken in by the worker. The only
writer of imports, with `import_errand`.

    uploaded   kept; staff say what its columns mean, the basis and the source
    checking   the worker looks through it and writes nothing
    checked    every refusal is known; staff decide
    waiting    to be taken in
    running    the worker takes it in, a thousand people a transaction
    done, failed   the result is kept, the file is not

Once a file is being taken in it is taken in to its end: a worker that dies is followed by another one, which goes on
after the last thousand that was committed: `import_errand`, the worker's side.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from .. import db, moments
from ..errors import BadInput, NotAllowed, Unknown
from ..observe import redact
from . import sheet
from .address import fold
from .sheet import Column, Refusal, Remark
from .states import Basis
from .tables import ImportJob, MailingList

UPLOADED, CHECKING, CHECKED, WAITING, RUNNING, DONE, FAILED = (
    "uploaded", "checking", "checked", "waiting", "running", "done", "failed",
)  # fmt: skip
KEPT_REFUSALS = 1000
"""And as many remarks about lines that are taken."""
TAKEN = "taken"
MAX_FILES = 20
"""Files kept at a time, over all lists: what nobody decides about must not fill the disk."""
STALE = timedelta(seconds=60)
"""After this long without a sign of the worker, another one goes on."""

_AT_WORK = (CHECKING, WAITING, RUNNING)


@dataclass(frozen=True, slots=True)
class Job:
    """One file and what became of it, for show. `tables.ImportJob` says what each of these is."""

    id: int
    list_id: int
    state: str
    file_name: str
    columns: tuple[Column, ...]
    basis: str | None
    source: str | None
    lines: int
    done: int
    added: int
    updated: int
    unchanged: int
    refused: int
    refusals: tuple[Refusal, ...]
    remarks: tuple[Remark, ...]
    trouble: str | None
    created_at: datetime
    who: str
    finished_at: datetime | None


def upload(session: Session, row: MailingList, data: bytes, *, file_name: str, who: str, now: datetime) -> Job:
    """Keep a CSV file for this list. Raises BadInput: the file as a whole can't be taken (see `sheet`); NotAllowed."""
    outline = sheet.outline(data)
    if (session.scalar(select(func.count()).where(ImportJob.file.is_not(None))) or 0) >= MAX_FILES:
        raise NotAllowed("Many files wait to be taken in. Take them in, or give them up, first.")
    job = ImportJob(
        list_id=row.id, state=UPLOADED, file_name=_shown(file_name), file=data,
        columns=[[column.heading, column.meaning, list(column.samples)] for column in outline.columns],
        lines=outline.lines, created_at=now, who=who[:200],
    )  # fmt: skip
    session.add(job)
    session.flush()
    return _job(job)


def find(session: Session, job_id: int) -> Job:
    """One file and what became of it. Raises Unknown."""
    job = session.get(ImportJob, job_id, populate_existing=True)
    if job is None:
        raise Unknown("There is no such import.")
    return _job(job)


def recent(session: Session, list_id: int, *, before_id: int | None = None, limit: int = 20) -> list[Job]:
    """Files of a list, newest first; `before_id` pages on."""
    wanted = select(ImportJob).where(ImportJob.list_id == list_id).order_by(ImportJob.id.desc()).limit(limit)
    if before_id is not None:
        wanted = wanted.where(ImportJob.id < before_id)
    return [_job(job) for job in session.scalars(wanted)]


def check(session: Session, job_id: int, *, meanings: Sequence[str], basis: str, source: str) -> Job:
    """Say what the columns mean and what the import rests on, and have the file looked through. Nothing is taken in.

    May be said again until the file is being taken in. Raises BadInput, Unknown, NotAllowed.
    """
    job = _locked(session, job_id)
    if job.state not in (UPLOADED, CHECKING, CHECKED):
        raise NotAllowed("This file is being taken in, or is done with.")
    source = source.strip()
    if not source:
        raise BadInput("An import needs its source: the system or register that the people come from.")
    if len(source) > 190 or not source.isprintable():
        raise BadInput("The source is one line of at most 190 characters.")
    if basis not in tuple(Basis):
        raise BadInput("An import rests on consent, on a customer relationship, or on being an organisation.")
    sheet.assert_mapped(len(job.columns), meanings)
    if basis == Basis.CUSTOMER and "sale_reference" not in meanings:
        raise BadInput("Customers need a sale reference: no column of the file is said to be one.")
    job.columns = [
        [heading, meaning, samples] for (heading, _, samples), meaning in zip(job.columns, meanings, strict=True)
    ]
    job.basis, job.source = basis, source
    _begin(session, job, CHECKING)
    return _job(job)


def outcome(job: Job) -> str:
    """A digest of what a file was looked through as, and of what came of it: who starts it names what they saw."""
    meant = [[column.heading, column.meaning] for column in job.columns]
    counts = [job.lines, job.added, job.updated, job.unchanged, job.refused]
    whole = json.dumps([job.id, job.list_id, meant, job.basis, job.source, counts], ensure_ascii=False)
    return hashlib.sha256(whole.encode()).hexdigest()


def start(session: Session, job_id: int, *, who: str, seen: str | None = None) -> Job:
    """Have a file taken in that was looked through. `who` answers for it; `seen` is the `outcome` they saw, where they
    saw one. Raises Unknown, NotAllowed."""
    job = _locked(session, job_id)
    if job.state != CHECKED:
        raise NotAllowed("This file has not been looked through yet, or is being taken in already.")
    if seen is not None and seen != outcome(_job(job)):
        raise NotAllowed("Somebody has had this file looked through anew. Look at the result, and then take it in.")
    if job.refused >= job.lines:
        raise NotAllowed("There is nobody to take in: every line is refused.")
    job.who = who[:200]
    _begin(session, job, WAITING)
    return _job(job)


def give_up(session: Session, job_id: int, *, who: str, now: datetime) -> Job:
    """Drop a file that is not being taken in yet. Raises Unknown, NotAllowed."""
    job = _locked(session, job_id)
    if job.state not in (UPLOADED, CHECKING, CHECKED, WAITING):
        raise NotAllowed("This file is being taken in, or is done with.")
    close(job, FAILED, now=now, trouble=f"given up by {who}")
    return _job(job)


def drop_abandoned(session: Session, *, before: datetime, now: datetime) -> int:
    """Drop files that nobody has decided about since before this moment. Returns how many."""
    jobs = session.scalars(
        select(ImportJob)
        .where(ImportJob.state.in_((UPLOADED, CHECKED)), ImportJob.created_at < before)
        .with_for_update(skip_locked=True)
    ).all()
    for job in jobs:
        close(job, FAILED, now=now, trouble="nobody decided about it in time")
    return len(jobs)


def abandoned(session: Session, *, before: datetime) -> int:
    """How many files nobody has decided about since before this moment."""
    wanted = (ImportJob.state.in_((UPLOADED, CHECKED)), ImportJob.created_at < before)
    return session.scalar(select(func.count()).select_from(ImportJob).where(*wanted)) or 0


def forget(session: Session, folded: str, *, now: datetime) -> int:
    """An erasure's share: a file that waits and names this case-folded address is dropped, and its name is not kept
    where it holds the address. Returns how many files were dropped.

    One that is being taken in goes by itself, and the register takes nobody in who was erased.
    """
    waiting = session.scalars(
        select(ImportJob)
        .where(ImportJob.state.in_((UPLOADED, CHECKING, CHECKED, WAITING)), ImportJob.file.is_not(None))
        .with_for_update()
    ).all()
    named = [job for job in waiting if _names(job, folded)]
    for job in named:
        close(job, FAILED, now=now, trouble="it named somebody who was erased since")
    in_words = [column.icontains(folded, autoescape=True) for column in (ImportJob.file_name, ImportJob.source)]
    for job in session.scalars(select(ImportJob).where(or_(*in_words))):
        job.file_name = redact(job.file_name)
        job.source = redact(job.source) if job.source else job.source
    session.flush()
    return len(named)


def _names(job: ImportJob, folded: str) -> bool:
    text = (job.file or b"").decode("utf-8", "replace")
    return folded in fold(text)


# ── the worker's side ─────────────────────────────────────────────────────────────────────────────────────────────────


def anything_to_do(session: Session) -> bool:
    """Whether a file waits for a worker, or is kept too long perhaps. Reads only."""
    return session.scalar(select(ImportJob.id).where(ImportJob.file.is_not(None)).limit(1)) is not None


def claim(session: Session, *, now: datetime) -> ImportJob | None:
    """The oldest file that waits for a worker, or whose worker is silent; marked as this worker's by `beat_at`."""
    job = session.scalar(
        select(ImportJob)
        .where(
            ImportJob.state.in_(_AT_WORK),
            ImportJob.file.is_not(None),
            or_(ImportJob.beat_at.is_(None), ImportJob.beat_at < now - STALE, ImportJob.beat_at > moments.latest(now)),
        )
        .order_by(ImportJob.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if job is not None:
        job.beat_at = now
        if job.state == WAITING:
            job.state = RUNNING
        session.flush()
    return job


def held(session: Session, job_id: int, *, beat: datetime) -> ImportJob | None:
    """The file (locked), while it is still this worker's; None: staff changed their mind, or another worker has it."""
    job = session.scalar(
        select(ImportJob).where(ImportJob.id == job_id).with_for_update(), execution_options={"populate_existing": True}
    )
    return job if job is not None and job.state in _AT_WORK and job.beat_at == beat else None


def close(job: ImportJob, state: str, *, now: datetime, trouble: str | None = None) -> None:
    """The end: the result stays, the file and its samples go."""
    job.state, job.trouble, job.finished_at, job.file, job.beat_at = state, trouble, now, None, None
    job.columns = [[heading, meaning, []] for heading, meaning, _ in job.columns]


def is_remark(kept: Sequence[Any]) -> bool:
    """Whether what is kept of a line is about one that is taken."""
    return kept[-1] == TAKEN and len(kept) == 3


def _begin(session: Session, job: ImportJob, state: str) -> None:
    job.state, job.beat_at, job.trouble, job.evidence = state, None, None, None
    job.done = job.added = job.updated = job.unchanged = job.refused = 0
    job.refusals = []
    session.flush()
    db.ring(session, db.IMPORTS)


def _locked(session: Session, job_id: int) -> ImportJob:
    job = session.get(ImportJob, job_id, with_for_update=True, populate_existing=True)
    if job is None:
        raise Unknown("There is no such import.")
    return job


def _job(job: ImportJob) -> Job:
    return Job(
        job.id, job.list_id, job.state, job.file_name,
        tuple(Column(heading, meaning, tuple(samples)) for heading, meaning, samples in job.columns),
        job.basis, job.source, job.lines, job.done, job.added, job.updated, job.unchanged, job.refused,
        tuple(Refusal(kept[0], kept[1]) for kept in job.refusals if not is_remark(kept)),
        tuple(Remark(kept[0], tuple(kept[1])) for kept in job.refusals if is_remark(kept)),
        job.trouble, job.created_at, job.who, job.finished_at,
    )  # fmt: skip


def _shown(file_name: str) -> str:
    name = file_name.replace("\\", "/").rpartition("/")[2]
    return "".join(c if c.isprintable() else " " for c in name).strip()[:200] or "file"
