"""A worker at work: its shift's number, and the beat that says it is alive.

The beat goes on while the worker waits for a slow mail server (ten minutes for the final dot); it ends with the
process.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from .. import db, observe
from ..heartbeat import Heartbeat
from . import handoffs

_log = observe.logger(__name__)


class OnDuty(Heartbeat):
    """`with OnDuty(app) as shift: … shift.id …`."""

    def __init__(self, app: Flask) -> None:
        super().__init__(app, "shift")
        self.id = 0
        self.lost = False
        """It was taken for dead: what it held is uncertain, and it claims nothing more."""

    def __enter__(self) -> Self:
        with db.transaction() as session:
            self.id = handoffs.begin_shift(session, now=db.clock(session))
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        try:
            with db.transaction() as session:
                handoffs.end_shift(session, self.id, now=db.utcnow())
        except SQLAlchemyError:
            _log.warning("shift_not_ended", shift=self.id)  # the next shift takes back what this one held

    def beat(self, session: Session) -> bool:
        """False: it was taken for dead."""
        if not handoffs.beat(session, self.id, now=db.clock(session)):
            _log.error("shift_was_taken_for_dead", shift=self.id)
            self.lost = True
        return not self.lost
