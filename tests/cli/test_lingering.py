"""A client that keeps its socket open after the answer holds up nobody else."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from keeping import ROOT
from mailinglist.settings import Settings
from servers import free_port, wait_for

ASK = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture
def port(settings: Settings) -> Iterator[int]:
    """Where the web role listens."""
    number = free_port()
    environment = {**settings.environment(), "MAILINGLIST_BIND": f"127.0.0.1:{number}", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-m", "mailinglist", "web"], env=environment, stderr=subprocess.DEVNULL)

    def answers() -> bool:
        try:
            return ask(number) < 5
        except OSError:
            return False

    try:
        wait_for(answers, seconds=30)
        yield number
    finally:
        process.kill()
        process.wait(10)


def ask(number: int) -> float:
    """Seconds until the first bytes of an answer."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", number), timeout=20) as client:
        client.sendall(ASK)
        assert client.recv(9) == b"HTTP/1.1 "
    return time.monotonic() - began


def test_who_does_not_hang_up_holds_up_nobody(port: int):
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(10)]
    try:
        for client in idle:
            client.sendall(ASK)
        for client in idle:
            assert client.recv(9) == b"HTTP/1.1 "
        assert ask(port) < 2, "ten of them used to hold up everybody for twenty seconds"
    finally:
        for client in idle:
            client.close()
