"""A client that keeps its socket open after the answer holds up nobody else."""

from __future__ import annotations

import socket

import pytest

from commanding import environment
from mailinglist.settings import Settings
from servers import ASK, seconds_to_answer, web_role


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)  # where one process answers everybody
def test_who_does_not_hang_up_holds_up_nobody(settings: Settings):
    port = settings.web_bind.port
    with web_role(port, "-m", "mailinglist", "web", environment=environment(settings)):
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(10)]
        try:
            for client in idle:
                client.sendall(ASK)
            for client in idle:
                assert client.recv(9) == b"HTTP/1.1 "
            assert seconds_to_answer(port) < 2, "ten of them used to hold up everybody for twenty seconds"
        finally:
            for client in idle:
                client.close()
