"""The role that takes incoming mail, until a signal: the listener for the relay, and who looks into a mailbox."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from contextlib import ExitStack

from flask import Flask

from .. import observe
from ..inbound import imap
from ..inbound.server import Listener
from ..local import ports, ready
from ..local.supervisor import LISTENER
from ..settings import Settings

_log = observe.logger(__name__)


def serve(app: Flask, settings: Settings) -> None:
    """Take mail until SIGTERM or SIGINT. Raises Fault when the address can't be opened."""
    with ExitStack() as stack:
        bind = settings.inbound_address
        opened = stack.enter_context(ports.listen(bind, setting="inbound_bind")) if bind is not None else None
        asyncio.run(_serve(app, settings, opened))


async def _serve(app: Flask, settings: Settings, opened: socket.socket | None) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for wanted in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(wanted, stop.set)
    ending = threading.Event()
    fetching = None
    if settings.mailbox is not None:
        fetching = threading.Thread(target=imap.look, args=(app, settings.mailbox, ending), name="imap", daemon=True)
        fetching.start()
    try:
        ready.mark(settings.data_dir, LISTENER)
        if opened is None:
            await stop.wait()
        else:
            listener = Listener(app)
            _log.info("inbound_listens", address=str(settings.inbound_address))
            await listener.serve(opened, stop)
    finally:
        ending.set()
        if fetching is not None:
            await asyncio.to_thread(fetching.join, 10)
