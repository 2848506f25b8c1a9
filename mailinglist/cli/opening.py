"""From the environment to an open application, for commands; and where their logs go."""

from __future__ import annotations

import logging
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask
from pydantic import SecretStr
from sqlalchemy.orm import Session

from .. import db, migrate, observe
from ..app import create_app
from ..errors import SettingsError
from ..local import broker, own_listener
from ..settings import Settings
from ..staff import audit
from ..staff.audit import Actor

_log = observe.logger(__name__)


def load() -> Settings:
    """The settings of this process, with keys, and with the listener that `mailinglist run` keeps. Raises
    SettingsError."""
    settings = own_listener.found(Settings.load().with_keys())
    keep_log(settings)
    return settings


@contextmanager
def opened(*, current: bool = True) -> Iterator[Flask]:
    """The application, in its context, on a database of this version's revision (unless `current` is False).

    Raises SettingsError, Fault (the database is of another revision).
    """
    settings = load()
    app = create_app(settings, ringer=_ringer(settings))
    with app.app_context():
        try:
            if current:
                with db.reading() as session:
                    migrate.assert_current(session)
            yield app
        finally:
            db.db.engine.dispose()


def who() -> str:
    """Who gives this command: the account on this machine, and behind `sudo` the one that it was given from."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's nameless user
        name = f"uid {os.getuid()}"
    behind = os.environ.get("SUDO_USER", "")
    return f"{behind[:60]} as {name}" if behind and behind != name else name


def actor() -> Actor:
    """The same, as the audit knows it."""
    return Actor(None, who(), "")


def record(session: Session, act: str, *, about: str = "", **detail: Any) -> None:
    """Write into the audit what this command changes or looks at, in its own transaction."""
    audit.note(session, act, by=actor(), about=about, now=db.utcnow(), **detail)


def with_broker(settings: Settings) -> Settings:
    """These settings, with the URL of the embedded broker where none is set and `mailinglist run` keeps one."""
    folder = None if settings.broker_url else broker.find(settings.data_dir)
    if folder is None:
        return settings
    return settings.model_copy(update={"broker_url": SecretStr(broker.url(folder))})


def _ringer(settings: Settings) -> db.Ringer:
    """Rings for what a command made due. Celery is imported then, and not for every command."""

    def ring(bells: frozenset[str]) -> None:
        found = with_broker(settings)
        if found.broker_url is not None:  # else nobody would hear it; the sweep finds the work
            from worker import app as worker_app

            worker_app.ring(worker_app.make_celery(found), bells)

    return ring


# ── logs ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def log_file(settings: Settings) -> Path:
    """Where commands log, so that stderr is left for the one line that says what is wrong."""
    return settings.data_dir / "log" / "commands.log"


def keep_log(settings: Settings) -> None:
    """Send this process's logs to the file, unless they go somewhere already (a role's, a test's)."""
    root = logging.getLogger()
    if root.handlers:
        return
    observe.configure(role="command", level=logging.WARNING)
    formatter = root.handlers[0].formatter
    root.handlers[:] = [_LateFile(log_file(settings))]
    root.handlers[0].setFormatter(formatter)


def note(error: Exception, *, story: bool = True) -> str:
    """Log an error that no verb raised; with its traceback, if there is a `story`. Returns the words that say where
    that is found."""
    try:
        settings = Settings.load()
    except SettingsError:
        return ""
    keep_log(settings)
    _log.error("command_failed", error=type(error).__name__, **({"exc_info": error} if story else {}))
    path = log_file(settings)
    if not story:
        return ""
    return f"; the details are in {os.path.relpath(path)}" if path.exists() else ""


class _LateFile(logging.FileHandler):
    """A log file that is made with its first line, for its owner alone. Where that can't be, the line is let go."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", delay=True)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            Path(self.baseFilename).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            super().emit(record)
        except OSError:  # a read-only or full disk: the command's own line on stderr is what counts
            return
