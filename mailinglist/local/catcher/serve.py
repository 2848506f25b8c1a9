"""Both of the catcher's servers in one process: SMTP on the event loop, the viewer on threads."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading

from werkzeug.serving import make_server

from ...settings import Settings
from .. import ports
from .smtp import CatcherSmtp, Taker
from .store import Store
from .viewer import create_viewer


def serve(settings: Settings) -> None:
    """Catch mail until SIGTERM or SIGINT. Raises Fault when an address can't be opened."""
    # aiosmtpd logs each command with its address, werkzeug each request with its query: neither belongs in a log.
    for name in ("mail.log", "mail.debug", "werkzeug"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    smtp_bind, viewer_bind = settings.catcher_binds
    with (
        ports.listen(smtp_bind, setting="catcher_bind") as smtp_socket,
        ports.listen(viewer_bind, setting="catcher_bind") as viewer_socket,
        Store(settings.data_dir / "catcher" / "mails.db") as store,
    ):
        viewer = make_server(
            viewer_bind.host,
            viewer_bind.port,
            create_viewer(store, settings),
            threaded=True,
            fd=viewer_socket.fileno(),
        )
        threading.Thread(target=viewer.serve_forever, daemon=True, name="viewer").start()
        try:
            asyncio.run(_take_mail(store, smtp_socket))
        finally:
            viewer.shutdown()


async def _take_mail(store: Store, opened: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for wanted in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(wanted, stop.set)
    taker = Taker(store)
    server = await loop.create_server(lambda: CatcherSmtp(taker), sock=opened)
    await stop.wait()
    server.close()  # not wait_closed(): from Python 3.12 on it waits for clients, who may stay as long as they like
