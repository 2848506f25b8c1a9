"""A bulletin on its way through real processes, watched from the mail server's end: who got it, and when.

All moments are `time.monotonic()` seconds, which on Linux is one clock for all processes of a machine.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import BinaryIO

import commanding
from mailinglist import db
from mailinglist.bulletins import drafts
from mailinglist.consent import lists, transfer
from mailinglist.consent.states import Basis
from mailinglist.delivery import dispatch
from mailinglist.delivery.dispatch import Status
from mailinglist.local import ready
from mailinglist.settings import Settings
from servers import die_with_parent, listens, wait_for
from worker.app import make_celery, ring

QUEUE = "bulletins"


@dataclass(frozen=True)
class Arrival:
    """One bulletin at the mail server: when its content was asked for (354), and when its final dot was there."""

    recipient: str
    begun: float
    ended: float


class Sink:
    """A mail server with a thread for each connection, which keeps moments instead of mails. Use as a context."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        """In the order of their final dots."""
        self.reading = threading.Event()
        """While it is cleared, nothing is read and nothing answered."""
        self.reading.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        self._sockets = [self._listener]
        self.url = f"smtp://127.0.0.1:{self._listener.getsockname()[1]}?starttls=never"

    def __enter__(self) -> Sink:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.reading.set()
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def recipients(self) -> list[str]:
        """Who got one, in order."""
        return [arrival.recipient for arrival in self.arrivals]

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets.append(sock)
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError, ValueError), sock.makefile("rb") as stream:
            sock.sendall(b"220 sink.example ESMTP\r\n")
            recipient = ""
            while line := self._line(stream):
                verb = line[:4].upper()
                if verb == b"EHLO":
                    answer = b"250-sink.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
                elif verb == b"DATA":
                    begun = monotonic()
                    sock.sendall(b"354 go on\r\n")
                    while (line := self._line(stream)) != b".\r\n":
                        if not line:  # closed before the final dot: nothing has arrived
                            return
                    self.arrivals.append(Arrival(recipient, begun, monotonic()))
                    answer = b"250 2.0.0 kept\r\n"
                else:
                    recipient = line[9:-3].decode() if verb == b"RCPT" else recipient
                    answer = b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n"
                self.reading.wait()
                sock.sendall(answer)
                if verb == b"QUIT":
                    return

    def _line(self, stream: BinaryIO) -> bytes:
        line = stream.readline()
        self.reading.wait()
        return line


def most_in_a_second(moments: Sequence[float]) -> int:
    """The most of these moments, which are in order, that any window of one second holds."""
    first, most = 0, 0
    for number, moment in enumerate(moments):
        while moment - moments[first] >= 1:
            first += 1
        most = max(most, number - first + 1)
    return most


def address(number: int) -> str:
    """The address of the person with this number: they are imported, and so mailed, in the order of their numbers."""
    return f"person{number:05}@example.fi"


def number(mailbox: str) -> int:
    """The number of the person with this address."""
    return int(mailbox.partition("@")[0].removeprefix("person"))


def people(count: int) -> None:
    """So many people on the list."""
    data = "email,name\n" + "".join(f"{address(n)},Matti {n}\n" for n in range(count))
    with db.transaction() as session:
        consignment = transfer.read(data.encode(), basis=Basis.CONSENT, source="test", file="people.csv")
        transfer.take_in(session, lists.find(session, lists.DEFAULT_SLUG), consignment, who="test", now=db.utcnow())


def bulletin() -> int:
    """A bulletin given to be sent at once; its id."""
    with db.transaction() as session:
        row = lists.find(session, lists.DEFAULT_SLUG)
        made = drafts.add(session, row, subject="Uutisia", source="Moi {name}!", form="markdown", now=db.utcnow()).id
        dispatch.send(
            session, made, sender="T <t@lists.example.fi>", by="test", at=None, publishers=(), now=db.utcnow()
        )
        return made


def status(bulletin_id: int) -> Status:
    """The bulletin's account, which adds up at every moment."""
    with db.reading() as session:
        found = dispatch.status(session, bulletin_id)
    ended = found.accepted + found.deferred + found.rejected + found.excluded + found.uncertain
    assert found.audience == ended + found.pending, found
    return found


def wait_until_sent(bulletin_id: int, *, seconds: float) -> Status:
    """The account at the end."""
    wait_for(lambda: status(bulletin_id).state == "sent", seconds=seconds)
    return status(bulletin_id)


def ring_the_bell(settings: Settings) -> None:
    """As a commit does."""
    celery = make_celery(settings)
    assert ring(celery, [db.BULLETINS])
    celery.close()


@contextmanager
def processes(
    settings: Settings, *, workers: int = 1, web: bool = False, log: Path, **more: str
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The scheduler, workers for bulletins, and the web where wanted, each a process of its own; the workers are
    yielded, once they take tasks. `more`: variables of their environment besides."""
    began: list[subprocess.Popen[bytes]] = []
    with log.open("a") as said:

        def start(*words: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [sys.executable, "-m", "mailinglist", *words], env=commanding.environment(settings) | more,
                stdin=subprocess.DEVNULL, stdout=said, stderr=said, preexec_fn=die_with_parent,
            )  # fmt: skip
            began.append(process)
            return process

        try:
            start("scheduler")
            if web:
                start("web")
            mine = []
            for _ in range(workers):
                ready.clear(settings.data_dir)
                mine.append(start("worker", "--queues", QUEUE))
                wait_for(lambda: not ready.missing(settings.data_dir, [QUEUE]), seconds=30)
            if web:
                wait_for(lambda: listens(settings.web_bind.port), seconds=30)
            yield mine
        finally:
            for process in began:
                process.terminate()
            for process in began:
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(5)
