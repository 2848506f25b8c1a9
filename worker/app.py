"""The Celery application and the ringer: how the database's bell reaches a worker.

The broker carries nothing whose loss breaks a promise: a task only says "look". What a lost bell left, the sweep finds.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from celery import Celery
from flask import Flask

from mailinglist import db, observe
from mailinglist.app import create_app
from mailinglist.settings import Settings

LETTERS_QUEUE = "letters"
BULLETINS_QUEUE = "bulletins"
QUEUES = (LETTERS_QUEUE, BULLETINS_QUEUE)
SWEEP_SECONDS = 3.0

# A publish costs more than the row it announces, so a process rings each bell at most once in this time (decision 1).
_QUIET_SECONDS = 0.03
# With the broker down, a process does not try again for this long: the page must not wait for it.
_DEAF_SECONDS = 2.0

_TASKS = {db.REQUESTS: "letters", db.LETTERS: "letters", db.BULLETINS: "bulletins"}

_log = observe.logger(__name__)


def make_celery(settings: Settings) -> Celery:
    """The Celery application for `settings`. Connects to nothing."""
    url = settings.broker_url.get_secret_value() if settings.broker_url else "memory://"
    celery = Celery("mailinglist", broker=url, include=["worker.tasks"])
    celery.conf.update(
        task_ignore_result=True,
        task_default_queue=LETTERS_QUEUE,
        task_routes={"letters": {"queue": LETTERS_QUEUE}, "bulletins": {"queue": BULLETINS_QUEUE}},
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "max_retries": 1, "interval_start": 0, "interval_step": 0.05, "interval_max": 0.1,
            "socket_connect_timeout": 1, "socket_timeout": 5, "visibility_timeout": 3600,
        },
        # Bells older than the next sweep are of no use.
        beat_schedule={
            name: {"task": name, "schedule": SWEEP_SECONDS, "options": {"expires": SWEEP_SECONDS * 2}}
            for name in ("letters", "bulletins")
        },
        timezone="UTC",
    )  # fmt: skip
    return celery


class Ringer:
    """Rings bells through Celery; never raises, never waits long. Several rings in a short time are one."""

    def __init__(self, celery: Celery) -> None:
        self._celery = celery
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}
        self._later: dict[str, threading.Timer] = {}
        self._deaf_until = 0.0

    def __call__(self, bells: frozenset[str]) -> None:
        """Ring. A bell rung just now is rung once more when the quiet time is over: what came in between is due too."""
        for task in {_TASKS[bell] for bell in bells}:
            with self._lock:
                now = time.monotonic()
                wait = self._last.get(task, 0.0) + _QUIET_SECONDS - now
                if wait > 0:
                    if task not in self._later:
                        timer = threading.Timer(wait, self._ring_late, [task])
                        timer.daemon = True
                        self._later[task] = timer
                        timer.start()
                    continue
                self._last[task] = now
            self._publish(task)

    def _ring_late(self, task: str) -> None:
        with self._lock:
            self._later.pop(task, None)
            self._last[task] = time.monotonic()
        self._publish(task)

    def _publish(self, task: str) -> None:
        if time.monotonic() < self._deaf_until:
            observe.count("bells_lost")
            return
        try:
            self._celery.send_task(task, expires=60)
        except Exception as error:  # whatever the transport raises: the sweep will find the work
            self._deaf_until = time.monotonic() + _DEAF_SECONDS
            observe.count("bells_lost")
            _log.warning("bell_lost", task=task, error=type(error).__name__)


def wired(settings: Settings) -> Flask:
    """The application whose commits ring Celery's bells."""
    return create_app(settings, ringer=Ringer(make_celery(settings)))


def serve(celery: Celery, app: Flask, argv: list[str]) -> Any:
    """Run Celery's worker or beat with `argv` in this process, the tasks bound to `app`."""
    celery.conf.update(mailinglist_app=app)
    return celery.worker_main(argv) if argv[0] == "worker" else celery.start(argv)
