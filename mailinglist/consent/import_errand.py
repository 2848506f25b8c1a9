"""The worker's side of an import: one file on its way in, for a second at a time, because letters share the queue.

A file is read once by the process that has it in hand, and then looked through, or taken in, a thousand people a
transaction, in the order in which persons are locked. What is done is counted in the same transaction, so a worker that
takes over after a crash goes on where the last one committed, and nobody is taken in twice. SQLite's one write lock is
held for a thousand people at most: sign-ups go on meanwhile.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from datetime import datetime

from flask import current_app
from sqlalchemy import select
from sqlalchemy.orm import Session

from .. import db, observe
from ..errors import BadInput
from . import import_jobs, register_many, sheet, transfer
from .sheet import Entry, Refusal, Remark
from .states import Basis
from .tables import ImportJob, MailingList

SECONDS = 1.0
_AT_HAND = "mailinglist_import"
_LINES = 500

_log = observe.logger(__name__)


class Errand:
    """One file, as the process has it in hand."""

    def __init__(self, session: Session, job: ImportJob, now: datetime) -> None:
        assert job.basis is not None
        assert job.source is not None
        data = session.scalars(select(ImportJob.file).where(ImportJob.id == job.id)).one() or b""
        self.job_id, self._beat = job.id, now
        self._rehearsal = job.state == import_jobs.CHECKING
        self._basis, self._source = Basis(job.basis), job.source
        row = session.get_one(MailingList, job.list_id)
        if job.evidence is None and not self._rehearsal:
            job.evidence = transfer.file_evidence(
                session, row, basis=self._basis, source=self._source, file=job.file_name,
                digest=hashlib.sha256(data).hexdigest(), who=job.who, now=now,
            )  # fmt: skip
        self._evidence = job.evidence or b""
        meanings = [meaning for _, meaning, _ in job.columns]
        self._items: Iterator[Entry | Refusal] | None = sheet.reading(
            data, sale_needed=self._basis is Basis.CUSTOMER, meanings=meanings
        )
        self._entries: list[Entry] = []
        self._refused: list[Refusal] = []

    def go_on(self, end: float, stop: Callable[[], bool]) -> bool:
        """Work until about `end` (time.monotonic()). Returns whether there is more to do."""
        try:
            self._read(end, stop)
        except BadInput as error:
            with db.transaction() as session:
                job = import_jobs.held(session, self.job_id, beat=self._beat)
                if job is not None:
                    import_jobs.close(job, import_jobs.FAILED, now=db.utcnow(), trouble=str(error))
            return False
        more = True
        while more and not stop():
            with db.transaction() as session:
                more = self._step(session, db.utcnow())
            if time.monotonic() >= end:
                break
        return more

    def _read(self, end: float, stop: Callable[[], bool]) -> None:
        """Read on, outside any transaction; the file is parsed once, which takes longest of all."""
        while self._items is not None and not stop():
            for _ in range(_LINES):
                item = next(self._items, None)
                if item is None:
                    self._items, self._entries = None, register_many.in_order(self._entries)
                    break
                if isinstance(item, Entry):
                    self._entries.append(item)
                else:
                    self._refused.append(item)
            if time.monotonic() >= end:
                break

    def _step(self, session: Session, now: datetime) -> bool:
        """One group, or, while the file is being read, a sign of life."""
        job = import_jobs.held(session, self.job_id, beat=self._beat)
        if job is None:
            return False
        job.beat_at = self._beat = now
        if self._items is not None:
            return True
        if job.done == 0:
            job.done = len(self._refused)
            self._keep(job, self._refused, [])
        begin = job.done - len(self._refused)
        group = self._entries[begin : begin + register_many.GROUP]
        row = session.get_one(MailingList, job.list_id)
        warrant = transfer.warrant_of(self._basis, self._source, self._evidence)
        outcome = register_many.admit(session, row, group, warrant, now=now, rehearsal=self._rehearsal)
        job.added += outcome.added
        job.updated += outcome.updated
        job.unchanged += outcome.unchanged
        self._keep(job, outcome.refused, outcome.remarks)
        job.done += len(group)
        if begin + len(group) < len(self._entries):
            return True
        if self._rehearsal:
            job.state, job.beat_at = import_jobs.CHECKED, None
        else:
            import_jobs.close(job, import_jobs.DONE, now=now)
            _log.info("import_done", job=job.id, added=job.added, updated=job.updated, refused=job.refused)
        return False

    @staticmethod
    def _keep(job: ImportJob, refused: list[Refusal], remarks: list[Remark]) -> None:
        if not refused and not remarks:
            return
        job.refused += len(refused)
        every = [*job.refusals, *([refusal.line, refusal.reason] for refusal in refused),
                 *([remark.line, list(remark.words), import_jobs.TAKEN] for remark in remarks)]  # fmt: skip
        every.sort(key=lambda kept: kept[0])
        of_taken = [kept for kept in every if import_jobs.is_remark(kept)]
        of_refused = [kept for kept in every if not import_jobs.is_remark(kept)]
        job.refusals = of_refused[: import_jobs.KEPT_REFUSALS] + of_taken[: import_jobs.KEPT_REFUSALS]


def go_on(*, stop: Callable[[], bool], seconds: float = SECONDS) -> bool:
    """Go on with the file at hand, or with the next that waits, for about this long. Returns whether there is more to
    do; the bell is rung for it."""
    end = time.monotonic() + seconds
    at_hand: dict[str, Errand] = current_app.extensions.setdefault(_AT_HAND, {})
    errand = at_hand.pop("errand", None)
    if errand is None:
        with db.reading() as session:
            if not import_jobs.anything_to_do(session):
                return False
        with db.transaction() as session:
            now = db.utcnow()
            job = import_jobs.claim(session, now=now)
            errand = Errand(session, job, now) if job is not None else None
    if errand is None:
        return False
    if errand.go_on(end, stop):
        at_hand["errand"] = errand
        if not stop():
            with db.transaction() as session:
                db.ring(session, db.IMPORTS)
    return "errand" in at_hand
