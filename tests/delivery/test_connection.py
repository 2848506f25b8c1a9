"""One socket: what its errors leave of what was said on it."""

from __future__ import annotations

import selectors
import socket
import ssl
import struct
import time
from datetime import UTC, datetime

from posting import BODY, QUICK, parcel, relay

from mailinglist.delivery.connection import Connection
from mailinglist.delivery.conversation import Conversation
from mailinglist.delivery.offers import Offers
from mailinglist.delivery.parcels import Outcome, Result
from mailinglist.delivery.relays import Standing


def no_tls(verify: bool) -> ssl.SSLContext:
    raise AssertionError(verify)


def test_an_answer_that_came_before_the_connection_broke_counts() -> None:
    """Writing finds the connection broken, while the answer to the final dot lies unread."""
    results: list[Result] = []

    def converse(offers: Offers, secured: bool) -> Conversation:
        return Conversation(offers, QUICK, relay="r", fresh_for=60, one_by_one=secured, settle=results.append)

    with socket.create_server(("127.0.0.1", 0)) as listener, selectors.DefaultSelector() as selector:
        port = listener.getsockname()[1]
        addresses = socket.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)
        ours = Connection(
            Standing(relay(port), 0),
            addresses,
            selector,
            helo="client.example",
            timeouts=QUICK,
            context=no_tls,
            converse=converse,
            now=time.monotonic(),
        )
        server, _ = listener.accept()
        for reply in (b"220 hello\r\n", b"250-mail.example\r\n250 PIPELINING\r\n"):
            server.sendall(reply)
            while not selector.select(5)[0][1] & selectors.EVENT_READ:
                ours.advance(time.monotonic())
            ours.advance(time.monotonic())
        talk = ours.conversation
        assert talk is not None
        talk.load(parcel(1), datetime.now(UTC))
        ours.write(talk, time.monotonic())
        server.sendall(b"250 ok\r\n250 ok\r\n354 go\r\n")
        selector.select(5)
        assert ours.read(talk, time.monotonic())
        ours.write(talk, time.monotonic())
        content = b""
        while not content.endswith(BODY + b".\r\n"):
            content += server.recv(1 << 16)
        server.sendall(b"250 2.0.0 queued\r\n")
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.close()  # with a reset
        talk.load(parcel(2), datetime.now(UTC))
        ours.write(talk, time.monotonic())
        ours.close()
    assert talk.lost is not None
    assert [(result.key, result.outcome) for result in results] == [(1, Outcome.ACCEPTED)]
    assert [each.key for each in talk.returned] == [2], "nothing of it was taken"
