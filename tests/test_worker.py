"""The bell and the sweep: every bell has a task, every task a queue, every queue a worker."""

from __future__ import annotations

import logging
import threading

import pytest
from celery import Celery
from flask import Flask

from conftest import SECRETS
from mailinglist import db
from mailinglist.local import supervisor
from mailinglist.settings import Settings
from servers import wait_for
from worker import app as worker_app


def made(**values: object) -> Celery:
    celery = worker_app.make_celery(Settings.of(**SECRETS, **values))
    celery.loader.import_default_modules()
    return celery


def test_every_task_has_a_queue_that_a_worker_serves():
    celery = made(inbound_pipe=True)
    own = {name for name in celery.tasks if not name.startswith("celery.")}
    assert own == celery.conf.task_routes.keys()
    assert {route["queue"] for route in celery.conf.task_routes.values()} == set(worker_app.QUEUES)
    assert worker_app.QUEUES == supervisor.WORKERS


def test_incoming_mail_has_a_worker_of_its_own_only_where_it_comes_in():
    for values in ({}, {"inbound_pipe": True}):
        settings = Settings.of(**SECRETS, **values)
        routes = worker_app.make_celery(settings).conf.task_routes
        assert {route["queue"] for route in routes.values()} == set(worker_app.queues(settings))


def test_every_bell_and_every_beat_calls_a_task():
    celery = made()
    assert worker_app._TASKS.keys() == set(db.BELLS)
    called = {*worker_app._TASKS.values(), *(entry["task"] for entry in celery.conf.beat_schedule.values())}
    assert called <= celery.tasks.keys()


def test_many_rings_are_few_and_the_last_is_heard():
    sent: list[str] = []
    hold = threading.Event()

    class Bell:
        def send_task(self, name: str, **_: object) -> None:
            hold.wait(5)
            sent.append(name)

    ringer = worker_app.Ringer(Bell())
    for _ in range(100):
        ringer(frozenset({db.REQUESTS, db.LETTERS}))
    ringer(frozenset({db.BULLETINS}))
    hold.set()
    wait_for(lambda: "bulletins" in sent)
    assert 1 <= sent.count("letters") <= 3


def test_a_dead_broker_raises_nothing():
    class Dead:
        def send_task(self, *_: object, **__: object) -> None:
            raise OSError("gone")

    assert worker_app.ring(Dead(), {db.LETTERS}) is False


def test_celery_does_not_silence_what_we_log(monkeypatch: pytest.MonkeyPatch):
    celery, root = made(), logging.getLogger()
    monkeypatch.setattr(root, "level", logging.INFO)
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    monkeypatch.setattr(type(celery.log), "_setup", False)
    monkeypatch.setattr(celery, "start", lambda _: celery.log.setup_logging_subsystem(loglevel="WARNING"))
    worker_app.serve(celery, Flask("x"), ["worker"])
    levels = [logging.getLogger(name).getEffectiveLevel() for name in ("mailinglist.delivery.post", "celery.beat")]
    assert levels == [logging.INFO, logging.WARNING]
