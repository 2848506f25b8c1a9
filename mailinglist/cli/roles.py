"""The roles: `run` starts everything on this machine; in production each of the others is started by itself."""

from __future__ import annotations

import logging
import sys
from functools import partial

import click

from .. import __version__, db, migrate, observe
from ..app import create_app
from ..errors import BadInput, SettingsError
from ..settings import PREFIX, Settings
from .opening import with_broker

_log = observe.logger(__name__)

_GRACE = 25.0
"""Seconds that a worker has to finish its group and settle."""


@click.command()
def run() -> int:
    """Run everything on this machine, until Ctrl-C."""
    from ..local import supervisor

    settings = Settings.load().with_keys()
    observe.configure(role="run")
    return supervisor.run(settings)


@click.command()
def web() -> None:
    """Serve the public pages and the staff console."""
    from .web_server import serve

    settings = role_settings("web")
    assert_current(settings)
    serve(with_broker(settings))


@click.command()
@click.option("--queues", metavar="NAME,…", help="Which queues; all of them if not given.")
def worker(queues: str | None) -> int:
    """Take requests, send letters and bulletins, handle incoming mail.

    One process serves one queue; for several, this one keeps a process for each, and starts again what dies.
    """
    from worker import app as worker_app

    from ..local import children, ready

    given = tuple(dict.fromkeys(name.strip() for name in queues.split(","))) if queues else ()
    unknown = [name for name in given if name not in worker_app.QUEUES]
    if unknown:
        raise BadInput(f"There is no queue “{unknown[0]}”. There are: {', '.join(worker_app.QUEUES)}.")
    settings = _heard(role_settings("worker"))
    names = given or worker_app.queues(settings)
    if len(names) > 1:
        command = (sys.executable, "-m", "mailinglist", "worker", "--queues")
        return children.keep([children.Child(f"worker {name}", (*command, name), grace=_GRACE) for name in names])
    assert_current(settings)
    # One process, no pool: the work is one group at a time, and a group needs all of the connections.
    options = ["--pool=solo", "--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=WARNING"]
    argv = ["--quiet", "worker", f"--queues={names[0]}", f"--hostname={names[0]}@%h", *options]
    at_work = partial(ready.mark, settings.data_dir, names[0])
    started(queue=names[0])
    worker_app.serve(worker_app.make_celery(settings), worker_app.wired(settings), argv, at_work=at_work)
    return 0


@click.command()
def scheduler() -> None:
    """Ring the bell at fixed times."""
    from worker import app as worker_app

    settings = _heard(role_settings("scheduler"))
    folder = settings.data_dir / "scheduler"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    argv = ["--quiet", "beat", f"--schedule={folder / 'schedule'}", "--pidfile=", "--loglevel=WARNING"]
    started()
    worker_app.serve(worker_app.make_celery(settings), create_app(settings), argv)


@click.command()
def catcher() -> None:
    """Catch mail and show it, instead of sending it."""
    from ..local import catcher as mail_catcher

    settings = role_settings("catcher")
    started(at=", ".join(map(str, settings.catcher_binds)))
    mail_catcher.run(settings)


def started(**facts: str) -> None:
    """Say in the log that a role begins its work, so that a log that says nothing tells of quiet, and not of death."""
    _log.info("started", version=__version__, **facts)


def role_settings(role: str) -> Settings:
    """The settings of a role, whose logs begin to go to stderr. Raises SettingsError."""
    settings = Settings.load().with_keys()
    observe.configure(role=role)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of each look at the revision
    return settings


def _heard(settings: Settings) -> Settings:
    """Settings with a broker. Raises SettingsError where there is none: this role would never hear a bell."""
    settings = with_broker(settings)
    if settings.broker_url is None:
        raise SettingsError(f"{PREFIX}BROKER_URL: not set, and `mailinglist run` keeps none in the data directory")
    return settings


def assert_current(settings: Settings) -> None:
    """A role that starts before the database was migrated says so and ends, to be started again by its keeper."""
    with create_app(settings).app_context():
        try:
            with db.reading() as session:
                migrate.assert_current(session)
        finally:
            db.db.engine.dispose()
