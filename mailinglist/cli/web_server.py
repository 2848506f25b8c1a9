"""gunicorn, with this program's settings: threads, logs without addresses or tokens, no files of its own."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

from gunicorn import glogging, util
from gunicorn.app.base import BaseApplication
from gunicorn.workers import gthread

from worker.app import wired

from ..app import create_app
from ..local import ports
from ..settings import Settings
from ..web.exchange import BE_PATIENT
from . import slow_line
from .roles import started

_THREADS = 32
_LINGER = 0.5  # seconds
PATIENCE = slow_line.Patience()
"""With each request and its answer."""


class _Logger(glogging.Logger):  # type: ignore[misc]
    """Passes gunicorn's words on to this program's log, which leaves out what looks like an address or a token."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.propagate = True


class _Connection(gthread.TConn):  # type: ignore[misc]
    """Waits for a client as long as `PATIENCE` says, and takes leave of them in a thread of its own.

    gunicorn lingers (RFC 9112 §9.6) in the one thread that accepts, up to two seconds for each client that keeps its
    socket open: ten such clients would hold up everybody for twenty.
    """

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, slow_line.Line(sock), client, server)

    def init(self) -> None:
        """A thread takes the request up now."""
        super().init()
        self.sock.begin(PATIENCE)

    def set_timeout(self) -> None:
        """The answer has gone; the connection waits for a further request."""
        self.sock.end()
        super().set_timeout()

    def close(self, graceful: bool = False) -> None:
        self.sock.end()
        if not graceful:
            super().close()
            return
        self.sock.setblocking(True)
        _leave_takers().submit(util.close_graceful, self.sock, _LINGER)


@cache
def _leave_takers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="leave")


class _Server(BaseApplication):  # type: ignore[misc]
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()  # calls load_config

    def load_config(self) -> None:
        for name, value in options(self._settings).items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        gthread.TConn = _Connection
        app = wired(self._settings) if self._settings.broker_url else create_app(self._settings)
        return _offering_patience(app)


def _offering_patience(app: Any) -> Any:
    """`app`, which finds in each request how to ask for more patience with its client."""

    def asked(environ: dict[str, Any], start_response: Any) -> Any:
        environ[BE_PATIENT] = environ["gunicorn.socket"].be_patient
        return app(environ, start_response)

    return asked


def options(settings: Settings) -> dict[str, Any]:
    """gunicorn's settings."""
    # SQLite lets one write at a time: a second process would only wait for the first one's lock.
    processes = 1 if settings.sqlalchemy_url.startswith("sqlite") else 2
    return {
        "bind": str(settings.web_bind),
        "worker_class": "gthread",
        "workers": processes,
        "threads": _THREADS,
        "timeout": 60,
        "graceful_timeout": 10,
        "keepalive": 5,
        "logger_class": _Logger,
        "errorlog": None,
        "accesslog": None,  # paths hold tokens
        # Who is believed about the client's address and scheme is decided once, by MAILINGLIST_TRUSTED_PROXIES.
        "forwarded_allow_ips": "",
        "control_socket_disable": True,
        # The heartbeat file: on a disk it can stall a worker, and a read-only container has none.
        "worker_tmp_dir": "/dev/shm" if os.access("/dev/shm", os.W_OK) else None,  # noqa: S108
        "proc_name": "mailinglist-web",
    }


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises Fault when the address can't be opened."""
    ports.require_free(settings.web_bind, setting="bind")
    started(at=str(settings.web_bind))
    _Server(settings).run()
