"""A worker's sign of life, from a thread of its own: so it is not silent because one thing takes long.

What a beat writes, and who is taken for dead, is said by each room for its own workers; how long a silence has to be,
by `db.dead_after`. The beat ends with the process.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from . import observe
from .db import BEAT_SECONDS, transaction

_log = observe.logger(__name__)


class Heartbeat(ABC):
    """`with …:` beats every BEAT_SECONDS, until the end of the block or until a beat says that it was the last."""

    def __init__(self, app: Flask, name: str) -> None:
        self._app = app
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(timeout=BEAT_SECONDS)

    @abstractmethod
    def beat(self, session: Session) -> bool:
        """Write down that this worker is alive; whether it goes on. Called from the thread; one that fails because of
        the database is left out."""

    def _run(self) -> None:
        goes_on = True
        while goes_on and not self._over.wait(BEAT_SECONDS):
            try:
                with self._app.app_context(), transaction() as session:
                    goes_on = self.beat(session)
            except SQLAlchemyError as error:
                _log.warning("heartbeat_failed", worker=self._thread.name, error=type(error).__name__)
