"""A client's line, and how long it is waited for: a thread of the web server is lent, and must come back.

Only waiting counts, not what the program itself takes. Everybody gets a few seconds for a request and its answer,
however they use them: who sends a byte at a time is cut off as soon as who sends nothing. Whom the program knows
(staff, signed in) gets longer for a large file on a slow line, as long as something moves: no silence, a rate that a
slow line keeps, and an end to it.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

_PIECE = 64 * 1024
_UNREAD = 128 * 1024
"""Bytes that the kernel keeps for a slow reader. It says that there is room again when a third of twice that is gone:
at the least rate that is within `silence`."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client is waited for, in seconds."""

    everybody: float = 15.0
    """For a request and its answer. A page of ours takes milliseconds."""
    silence: float = 15.0
    """For staff: without a byte."""
    rate: float = 8 * 1024.0
    """For staff: bytes a second that they keep up, beyond the first seconds. A bad mobile line has several times as
    many."""
    most: float = 1800.0
    """For staff: in all. The largest file that is taken (64 MB) comes in that time at 300 kbit/s."""


class Line(socket.socket):
    """A client's socket. Between `begin` and `end` it is cut where its client tries our patience."""

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(fileno=accepted.detach())
        self._patience: Patience | None = None
        self._longer = False
        self._waited, self._moved = 0.0, 0

    def begin(self, patience: Patience) -> None:
        """A request is read, and answered."""
        self._patience, self._longer = patience, False
        self._waited, self._moved = 0.0, 0

    def end(self) -> None:
        """Nobody waits for this client now."""
        self._patience = None

    def be_patient(self) -> None:
        """This client is known: a large file may take its time."""
        if not self._longer:
            self._longer = True
            with suppress(OSError):  # the client is gone
                self.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNREAD)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """As ever; nothing, as from a client that hung up, when our patience is at its end."""
        if self._patience is not None and not self._ready(select.POLLIN):
            return b""
        data = super().recv(size, flags)
        self._moved += len(data)
        return data

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """As ever; BrokenPipeError when our patience is at its end."""
        if self._patience is None:
            super().sendall(data, flags)
            return
        left = memoryview(data).cast("B")
        while left:
            if not self._ready(select.POLLOUT):
                raise BrokenPipeError(errno.EPIPE, "the client takes too long")
            with suppress(BlockingIOError):
                sent = self.send(left[:_PIECE], flags | socket.MSG_DONTWAIT)
                self._moved += sent
                left = left[sent:]

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """As ever, by way of `sendall`."""
        file.seek(offset)
        sent = 0
        while count is None or sent < count:
            piece = file.read(_PIECE if count is None else min(_PIECE, count - sent))
            if not piece:
                break
            self.sendall(piece)
            sent += len(piece)
        return sent

    def _ready(self, event: int) -> bool:
        """Wait until the socket is. Returns False, with the line cut, when our patience is at its end.

        Raises TimeoutError when the socket has a shorter time-out of its own.
        """
        left, own = self._left(), self.gettimeout()
        began = time.monotonic()
        poll = select.poll()
        poll.register(self, event)
        shorter = own is not None and own < left
        ready = left > 0 and poll.poll(1000 * (own if shorter and own is not None else left))
        self._waited += time.monotonic() - began
        if not ready:
            if shorter:
                raise TimeoutError("timed out")
            with suppress(OSError):
                self.shutdown(socket.SHUT_RDWR)
        return bool(ready)

    def _left(self) -> float:
        """Seconds for the next byte."""
        patience = self._patience
        assert patience is not None
        if not self._longer:
            return patience.everybody - self._waited
        earned = min(patience.everybody + self._moved / patience.rate, patience.most)
        return min(patience.silence, earned - self._waited)
