"""A listener on a port of its own, in a thread of the test; and a client that says what no mail program says."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from flask import Flask

from mailinglist.inbound.server import Limits, Listener
from mailinglist.local import ports
from mailinglist.settings import HostPort


@dataclass
class Listening:
    """Where it listens, and how it is."""

    port: int
    listener: Listener

    def lmtp(self) -> smtplib.LMTP:
        """A client, which has said LHLO."""
        client = smtplib.LMTP("127.0.0.1", self.port, timeout=10)
        client.ehlo("relay")
        return client

    def line(self) -> Line:
        """A bare connection, greeted."""
        return Line(self.port)


class Line:
    """Octets out, lines in."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._file = self.socket.makefile("rb")
        self.greeting = self.answer()

    def answer(self) -> str:
        """The next answer, its last line; empty: the connection is closed."""
        while True:
            line = self._file.readline().decode()
            if line[3:4] != "-":
                return line.rstrip("\r\n")

    def says(self, octets: bytes) -> str:
        """Send, and give the next answer."""
        self.socket.sendall(octets)
        return self.answer()

    def mails(self, sender: str, recipients: Sequence[str], raw: bytes) -> list[str]:
        """One mail by LMTP, which says LHLO first; the answer for each recipient. (smtplib.LMTP reads one.)"""
        said = [self.says(b"LHLO relay\r\n"), self.says(f"MAIL FROM:<{sender}>\r\n".encode())]
        said += [self.says(f"RCPT TO:<{recipient}>\r\n".encode()) for recipient in recipients]
        assert all(answer.startswith("250") for answer in said), said
        assert self.says(b"DATA\r\n").startswith("354")
        stuffed = (b"\r\n" + raw).replace(b"\r\n.", b"\r\n..")[2:]
        return [self.says(stuffed + b".\r\n"), *(self.answer() for _ in recipients[1:])]

    def close(self) -> None:
        self._file.close()
        self.socket.close()


@contextmanager
def listening(app: Flask, *, limits: Limits | None = None) -> Iterator[Listening]:
    """A running listener for `app`."""
    opened = ports.listen(HostPort("127.0.0.1", 0), setting="inbound_bind")
    listener = Listener(app, limits=limits or Limits(leaving=1.0))
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(listener.serve(opened, stop)), name="listener")
    thread.start()
    try:
        yield Listening(opened.getsockname()[1], listener)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        assert not thread.is_alive()
        loop.close()
