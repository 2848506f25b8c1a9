"""The Celery application and the ringer: how the database's bell reaches a worker.

The broker carries nothing whose loss breaks a promise: a task only says "look". What a lost bell left, the sweep finds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection

from celery import Celery, signals
from celery.schedules import crontab
from flask import Flask

from mailinglist import db, observe
from mailinglist.app import create_app
from mailinglist.settings import Settings

LETTERS_QUEUE = "letters"
BULLETINS_QUEUE = "bulletins"
INBOUND_QUEUE = "inbound"
QUEUES = (LETTERS_QUEUE, BULLETINS_QUEUE, INBOUND_QUEUE)
SWEEP_SECONDS = 3.0

# A publish costs more than the row it announces, so a process rings at most once in this time.
_QUIET_SECONDS = 0.03
# With the broker down, it is left alone for this long.
_DEAF_SECONDS = 2.0
_STALE_SECONDS = 60

_TASKS = {db.REQUESTS: "letters", db.LETTERS: "letters", db.BULLETINS: "bulletins", db.IMPORTS: "imports",
          db.INBOUND: "inbound"}  # fmt: skip

_log = observe.logger(__name__)


def queues(settings: Settings) -> tuple[str, ...]:
    """The queues that need a worker. Incoming mail has one of its own where it comes in, so that no letter waits for a
    thousand bounces; else the few mails that a command hands in go with the letters, and save a process."""
    return QUEUES if settings.takes_mail else (LETTERS_QUEUE, BULLETINS_QUEUE)


def make_celery(settings: Settings) -> Celery:
    """The Celery application for `settings`. Connects to nothing."""
    url = settings.broker_url.get_secret_value() if settings.broker_url else "memory://"
    celery = Celery("mailinglist", broker=url, include=["worker.tasks"])
    celery.conf.update(
        task_ignore_result=True,
        task_default_queue=LETTERS_QUEUE,
        task_routes={"letters": {"queue": LETTERS_QUEUE}, "bulletins": {"queue": BULLETINS_QUEUE},
            "imports": {"queue": LETTERS_QUEUE},
            "inbound": {"queue": INBOUND_QUEUE if settings.takes_mail else LETTERS_QUEUE},
            "growth": {"queue": LETTERS_QUEUE},
            "seal": {"queue": BULLETINS_QUEUE},  # it takes its time, and no letter waits for it there
            "owners": {"queue": LETTERS_QUEUE}, "tidy": {"queue": LETTERS_QUEUE},
            "safekeeping": {"queue": LETTERS_QUEUE}},
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
            **{
                name: {"task": name, "schedule": SWEEP_SECONDS, "options": {"expires": SWEEP_SECONDS * 2}}
                for name in ("letters", "bulletins", "imports", "growth", "inbound")
            },
            # Each list's day begins in its own time zone, and what a server put off is tried again.
            "owners": {"task": "owners", "schedule": crontab(minute="*/10"), "options": {"expires": 600}},
            "safekeeping": {"task": "safekeeping", "schedule": 60.0, "options": {"expires": 60}},
            "tidy": {"task": "tidy", "schedule": crontab(hour="2", minute="30")},
            # Once a day; looked at each hour, since a machine may have been off.
            "seal": {"task": "seal", "schedule": crontab(minute="5"), "options": {"expires": 3600}},
        },
        timezone="UTC",
    )  # fmt: skip
    return celery


def ring(celery: Celery, bells: Collection[str]) -> bool:
    """Ring now, and wait for the broker's answer. False: it gave none, and the sweep will find the work."""
    try:
        for task in sorted({_TASKS[bell] for bell in bells}):
            celery.send_task(task, expires=_STALE_SECONDS)
    except Exception as error:  # whatever the transport raises
        observe.count("bells_lost")
        _log.warning("bell_lost", error=type(error).__name__)
        return False
    return True


class Ringer:
    """Rings from a thread of its own, so that no page waits for the broker. Several rings in a short time are one.

    The thread begins with the first ring, which is after gunicorn has forked.
    """

    def __init__(self, celery: Celery) -> None:
        self._celery = celery
        self._wanted: set[str] = set()
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None

    def __call__(self, bells: frozenset[str]) -> None:
        """Ring soon. What is asked for while a bell is being rung is rung once more: there is more to find by then."""
        with self._change:
            self._wanted |= bells
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._serve, name="ringer", daemon=True)
                self._thread.start()
            self._change.notify()

    def _serve(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._wanted)
                bells, self._wanted = self._wanted, set()
            time.sleep(_QUIET_SECONDS if ring(self._celery, bells) else _DEAF_SECONDS)


def wired(settings: Settings) -> Flask:
    """The application whose commits ring Celery's bells."""
    return create_app(settings, ringer=Ringer(make_celery(settings)) if settings.broker_url else None)


def serve(celery: Celery, app: Flask, argv: list[str], *, at_work: Callable[[], None] | None = None) -> None:
    """Run Celery's worker or beat with `argv` in this process, the tasks bound to `app`.

    `at_work` is called once a worker takes tasks.
    """
    celery.conf.update(mailinglist_app=app)
    signals.after_setup_logger.connect(_own_levels, weak=False)
    if at_work is not None:
        signals.worker_ready.connect(lambda **_: at_work(), weak=False)
    celery.start(argv)


def _own_levels(**_: object) -> None:
    """Celery sets the level of all loggers to that of its own, which would silence ours: a bulletin that ends is told,
    a bell that rings every three seconds is not."""
    logging.getLogger().setLevel(logging.INFO)
    for name in ("celery", "kombu"):
        logging.getLogger(name).setLevel(logging.WARNING)
