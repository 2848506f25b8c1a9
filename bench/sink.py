"""A mail server that takes everything and keeps nothing: the bench's stand-in where Postfix's smtp-sink is missing.

ESMTP with PIPELINING and 8BITMIME (RFC 2920), one thread for many connections. Run as a program: its port is the one
argument.
"""

from __future__ import annotations

import selectors
import socket
import sys

_OFFERS = b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
_ANSWERS = {b"EHLO": _OFFERS, b"HELO": b"250 sink\r\n", b"DATA": b"354 go on\r\n", b"QUIT": b"221 bye\r\n"}
_OK = b"250 2.0.0 ok\r\n"
_END = b"\r\n.\r\n"


class _Client:
    """What one client has sent and is not answered yet."""

    def __init__(self) -> None:
        self._buffer = b""
        self._in_content = False

    def take(self, data: bytes) -> bytes:
        """The answers to all that is complete."""
        self._buffer += data
        answers: list[bytes] = []
        while True:
            line, found, rest = self._buffer.partition(_END if self._in_content else b"\r\n")
            if not found:
                if self._in_content:
                    self._buffer = self._buffer[1 - len(_END) :]  # only an end that came in two pieces matters
                return b"".join(answers)
            verb = b"" if self._in_content else line[:4].upper()
            self._buffer, self._in_content = rest, verb == b"DATA"
            answers.append(_ANSWERS.get(verb, _OK))


def main(port: int) -> None:
    """Serve until killed."""
    selector = selectors.DefaultSelector()
    listener = socket.create_server(("127.0.0.1", port), backlog=100)
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.data is None:
                connection, _ = listener.accept()
                selector.register(connection, selectors.EVENT_READ, _Client())
                connection.sendall(b"220 sink ESMTP\r\n")
                continue
            connection = key.fileobj  # type: ignore[assignment]
            try:
                data = connection.recv(1 << 18)
                connection.sendall(key.data.take(data))
            except OSError:
                data = b""
            if not data:
                selector.unregister(connection)
                connection.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
