"""The answer takes the same time for everybody (ASVS 5.0 §6.3.8). Statements are compared in web/test_joining.py."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from statistics import median

import pytest
from flask import Flask
from werkzeug.serving import make_server

import making
import servers
from mailinglist import db
from mailinglist.consent import bans
from mailinglist.consent.states import ALL_CHANNELS, State

ROUNDS = 200
KINDS = ("new", "pending", "active", "left", "banned")


@pytest.fixture
def extra_settings() -> dict[str, str]:
    """Every request comes from another client, as the trusted proxy says."""
    return {"trusted_proxies": "1"}


@pytest.fixture
def port(app: Flask) -> Iterator[int]:
    """The application, answering on loopback."""
    server = make_server("127.0.0.1", servers.free_port(), app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.port
    server.shutdown()
    thread.join(5)
    server.server_close()


@pytest.mark.long
def test_medians_of_200_requests_each(app: Flask, port: int) -> None:
    now = db.utcnow() - timedelta(days=1)
    with db.transaction() as session:
        for state in (State.PENDING, State.ACTIVE, State.LEFT):
            making.person(session, f"{state.value}@example.fi", now=now, state=state)
        banned = making.person(session, "banned@example.fi", now=now)
        bans.add(session, banned.digest, ALL_CHANNELS, source="phone", now=now)
    taken: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for turn in range(ROUNDS):
        for place, kind in enumerate(KINDS):
            taken[kind].append(_timed(port, f"{kind}@example.fi", client=f"10.{place}.{turn // 250}.{turn % 250}"))
    medians = {kind: median(times) for kind, times in taken.items()}
    allowed = max(0.005, 0.1 * min(medians.values()))
    assert max(medians.values()) - min(medians.values()) < allowed, medians


def _timed(port: int, mailbox: str, *, client: str) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Forwarded-For": client}
    started = time.perf_counter()
    connection.request("POST", "/lists/tector-tiedottaa", f"email={mailbox}", headers)
    answer = connection.getresponse()
    answer.read()
    seconds = time.perf_counter() - started
    connection.close()
    assert answer.status == 303
    return seconds
