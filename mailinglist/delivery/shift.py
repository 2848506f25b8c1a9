"""A worker at work: its shift's number, and the beat that says it is alive, from a thread of its own.

The beat goes on while the worker waits for a slow mail server (ten minutes for the final dot); it ends with the
process.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from .. import db, observe
from . import handoffs

_log = observe.logger(__name__)


class OnDuty:
    """`with OnDuty(app) as shift: … shift.id …`."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="shift", daemon=True)
        self.id = 0
        self.lost = False
        """It was taken for dead: what it held is uncertain, and it claims nothing more."""

    def __enter__(self) -> Self:
        with db.transaction() as session:
            self.id = handoffs.begin_shift(session, now=db.clock(session))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(timeout=db.BEAT_SECONDS)
        try:
            with db.transaction() as session:
                handoffs.end_shift(session, self.id, now=db.utcnow())
        except SQLAlchemyError:
            _log.warning("shift_not_ended", shift=self.id)  # the next shift takes back what this one held

    def _beat(self) -> None:
        while not self._over.wait(db.BEAT_SECONDS):
            try:
                with self._app.app_context(), db.transaction() as session:
                    alive = handoffs.beat(session, self.id, now=db.clock(session))
                if not alive:
                    _log.error("shift_was_taken_for_dead", shift=self.id)
                    self.lost = True
                    return
            except SQLAlchemyError:
                _log.warning("shift_beat_failed", shift=self.id)
