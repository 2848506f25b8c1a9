"""`mailinglist run`: starts everything, says where it is, and keeps it running until Ctrl-C."""

from __future__ import annotations

import fcntl
import http.client
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import click

from ..errors import Fault
from ..settings import PREFIX, HostPort, Settings
from . import broker, first_sign_in, logs, own_listener, ports, ready
from .children import Child, Children, Death

WORKERS = ("letters", "bulletins", "inbound")
"""The queues of workers: worker.app.QUEUES, which is above this room."""
LISTENER = "listener"
"""How the role that takes incoming mail says that it is at work."""
GIVE_UP = 5
"""Deaths of one child before everything has answered for the first time, after which `run` says so and ends."""

PATIENCE = 20.0
"""Seconds after which `run` says what it still waits for."""


def run(settings: Settings) -> int:
    """Run everything on this machine until SIGTERM, SIGINT or SIGHUP. `settings` come with keys. Returns exit code 0.

    Raises Fault, with nothing left running, when an address is taken, another `run` uses the data directory, the
    database can't be brought up to date, or a role does not come up.
    """
    settings = settings.model_copy(update={"data_dir": settings.data_dir.absolute()})
    listens_itself = own_listener.wanted(settings)
    with (
        _alone(settings.data_dir),
        broker.folder(settings.data_dir) as broker_folder,
        own_listener.opened(settings) as settings,
    ):
        _require_addresses(settings)
        _say(f"Starting. Data and logs are in {_short(settings.data_dir)}. Ctrl-C stops.")
        _say(_links_elsewhere(settings))
        if listens_itself:
            _say("Mails can be answered in the mail catcher.")
        terminal = _Terminal()
        with Children(on_death=terminal.tell) as children:
            plan = _Plan(settings, broker_folder, tells_listener=not listens_itself)
            if not plan.bring_up(children):
                return 0
            terminal.starting = False
            for label, url in plan.addresses():
                click.echo(f"{label:<14} {url}")
            children.tend()
            _say("Stopping. Ctrl-C again hurries.")
    return 0


class _Plan:
    """What runs, with which command line, environment and log."""

    def __init__(self, settings: Settings, broker_folder: Path, *, tells_listener: bool) -> None:
        self._settings = settings
        self._tells_listener = tells_listener
        self._broker_folder = broker_folder
        self._log_dir = settings.data_dir / "log"
        self._log_dir.mkdir(mode=0o700, exist_ok=True)
        self._embedded_broker = settings.broker_url is None
        self._patience_ends = math.inf
        self._env = _environment(settings, broker.url(broker_folder) if self._embedded_broker else None)

    def bring_up(self, children: Children) -> bool:
        """Start all; True once all of it answers, False where a signal asked to stop first."""
        settings = self._settings
        if self._embedded_broker:
            children.start(Child("broker", broker.command(self._broker_folder), log=self._log("broker"), grace=5))
            if not children.tend(until=lambda: broker.answers(self._broker_folder), every=0.02):
                return False
        if settings.uses_catcher:
            children.start(self._role("catcher", grace=5))
        if not self._upgrade(children):
            return False
        ready.clear(settings.data_dir)
        roles = ("web", "worker", "scheduler", *(("inbound",) if self._fetches_mail else ()))
        children.start(*(self._role(name) for name in roles))
        self._patience_ends = time.monotonic() + PATIENCE
        return children.tend(until=self._all_answer, every=0.1)

    def addresses(self) -> Iterator[tuple[str, str]]:
        """What to tell the person at the terminal: label and URL."""
        yield "Sign-up page:", self._settings.base_url + _first_page(self._settings.web_bind)
        yield "Staff console:", f"{self._settings.base_url}/staff/"
        if self._settings.uses_catcher:
            _smtp, viewer = self._settings.catcher_binds
            yield "Mail catcher:", f"http://{ports.reachable(viewer)}/"
        # One that was chosen here changes with each start, and nobody needs it: the catcher hands answers in.
        if self._tells_listener and (listener := self._settings.inbound_address) is not None:
            yield "Incoming mail:", f"{ports.reachable(listener)} (LMTP and SMTP)"
        if first := first_sign_in.link(self._settings):
            yield "First sign-in:", first

    @property
    def _fetches_mail(self) -> bool:
        """Whether there is a listener or a mailbox to look after: a pipe needs no process."""
        return self._settings.inbound_address is not None or self._settings.mailbox is not None

    def _upgrade(self, children: Children) -> bool:
        log = self._log("db")
        start = log.stat().st_size if log.exists() else 0
        code = children.run(self._child("db", "db", "upgrade"))
        if code:
            _say(logs.tail(log, start=start))
            raise Fault(f"the database could not be brought up to date; the whole story is in {_short(log)}")
        return code is not None

    def _all_answer(self) -> bool:
        _smtp, viewer = self._settings.catcher_binds
        pages = [(self._settings.web_bind, "/health/ready")]
        pages += [(viewer, "/health/live")] if self._settings.uses_catcher else []
        waiting = [f"http://{ports.reachable(bind)}{path}" for bind, path in pages if _status(bind, path) != 200]
        # The queue of incoming mail has a worker of its own only where mail comes in (worker.app.queues).
        queues = WORKERS if self._settings.takes_mail else WORKERS[:-1]
        waiting += [f"the worker for {name}" for name in ready.missing(self._settings.data_dir, queues)]
        if self._fetches_mail and ready.missing(self._settings.data_dir, [LISTENER]):
            waiting.append("what takes incoming mail")
        if waiting and time.monotonic() > self._patience_ends:
            self._patience_ends = math.inf  # said once
            _say(f"Still waiting for {waiting[0]}. The logs are in {_short(self._log_dir)}.")
        return not waiting

    def _role(self, name: str, *, grace: float = 30.0) -> Child:
        return self._child(name, name, grace=grace)

    def _child(self, name: str, *arguments: str, grace: float = 30.0) -> Child:
        argv = (sys.executable, "-m", "mailinglist", *arguments)
        return Child(name, argv, env=self._env, log=self._log(name), grace=grace)

    def _log(self, name: str) -> Path:
        return self._log_dir / f"{name}.log"


class _Terminal:
    """What the terminal says of deaths. A quiet one: the story is in the log, its end is shown once."""

    def __init__(self) -> None:
        self.starting = True

    def tell(self, death: Death) -> None:
        """Say that a child died. Raises Fault when it keeps dying before everything has come up."""
        name = death.child.name
        where = f"; its log is {_short(death.child.log)}" if death.child.log else ""
        how = f"signal {-death.code}" if death.code < 0 else f"exit code {death.code}"
        if death.in_a_row == 1 and death.code >= 0 and death.last_words:
            _say(death.last_words)
        if self.starting and death.in_a_row >= GIVE_UP:
            raise Fault(f"{name} does not come up ({how}){where}")
        _say(f"{name} stopped ({how}), starting it again in {death.again_in:g} s{where}")


def _environment(settings: Settings, broker_url: str | None) -> Mapping[str, str]:
    """The environment of the roles: these settings and no others, and the embedded broker's URL."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    chosen = settings.environment()
    if broker_url is not None:
        chosen[f"{PREFIX}BROKER_URL"] = broker_url
    return inherited | chosen | {"PYTHONUNBUFFERED": "1"}


def _links_elsewhere(settings: Settings) -> str:
    """A warning where links in mails name another port of this machine than the one that the web server listens at."""
    site, bind = urlsplit(settings.base_url), settings.web_bind
    if site.hostname not in ("localhost", "127.0.0.1", "::1") or site.port == bind.port:
        return ""
    return (
        f"Links in mails begin with {settings.base_url}, but the web server listens at {bind}: "
        f"set {PREFIX}BASE_URL, unless a proxy leads from one to the other."
    )


def _require_addresses(settings: Settings) -> None:
    ports.require_free(settings.web_bind, setting="bind")
    if settings.uses_catcher:
        for bind in settings.catcher_binds:
            ports.require_free(bind, setting="catcher_bind")
    if settings.inbound_address is not None:
        ports.require_free(settings.inbound_address, setting="inbound_bind")


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """Hold the data directory, until this process ends in whatever way. Raises Fault where another `run` has it."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (data_dir / "run.lock").open("a+")
    except OSError as error:
        raise Fault(f"the data directory {_short(data_dir)} can't be written ({error.strerror})") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            other = lock.read().strip() or "unknown"
            raise Fault(
                f"already running on the data directory {_short(data_dir)} (process {other}): "
                f"stop that one, or set {PREFIX}DATA_DIR to another folder"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _get(bind: HostPort, path: str) -> tuple[int, str] | None:
    """Status and Location of a GET on this machine; None where nothing answers within a second."""
    at = ports.reachable(bind)
    connection = http.client.HTTPConnection(at.host, at.port, timeout=1)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Location") or ""
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _status(bind: HostPort, path: str) -> int | None:
    answer = _get(bind, path)
    return answer[0] if answer else None


def _first_page(bind: HostPort) -> str:
    """Path of the default list's page: where `/` leads."""
    answer = _get(bind, "/")
    return urlsplit(answer[1]).path or "/" if answer else "/"


def _short(path: Path) -> str:
    """`path` as a person at this terminal would write it."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _say(text: str) -> None:
    if text:
        click.echo(text, err=True)
