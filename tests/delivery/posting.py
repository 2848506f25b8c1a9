"""A caller of the courier, for tests: hands out parcels, keeps the results, answers for the gate."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from typing import Any

from mailinglist.delivery.parcels import Content
from mailinglist.delivery.smtp import Courier, Outcome, Parcel, Result, Timeouts
from mailinglist.settings import Relay, Tls

BODY = b"Subject: hi\r\n\r\nhello\r\n"

QUICK = Timeouts(
    connect=5, greeting=5, hello=5, mail=5, rcpt=5, data=5, block=5, final=5, idle=60, rest_first=0.02, rest_most=0.1
)
"""Nothing that works takes so long; a test of a time-out shortens the one it is about."""


def relay(port: int, tls: Tls = "none", **more: str) -> Relay:
    """A relay on this machine."""
    return Relay("127.0.0.1", port, tls, **more)


def in_pieces(message: bytes, size: int) -> Content:
    """A content as a template gives it: of pieces, here of so many octets each."""
    pieces = tuple(message[at : at + size] for at in range(0, len(message), size))
    return Content.of(message)._replace(pieces=pieces)


def parcel(key: int, content: bytes = BODY, recipient: str | None = None) -> Parcel:
    """A parcel whose gate reading is of now."""
    ready = in_pieces(content, 97)
    return Parcel(key, "news@example.com", recipient or f"r{key}@example.org", ready, time.monotonic())


class Posting:
    """What the caller of `carry` has: parcels that wait, results, and a gate."""

    def __init__(self, parcels: Sequence[Parcel] | int = 1) -> None:
        self.waiting = [parcel(key) for key in range(parcels)] if isinstance(parcels, int) else list(parcels)
        self.batches: list[tuple[float, Sequence[Result]]] = []
        self.asked: list[list[int]] = []
        self.fetches: list[int] = []
        self.banned: set[int] = set()
        self.stopped = threading.Event()
        self.on_settle: Callable[[Sequence[Result]], None] = lambda results: None

    def fetch(self, count: int) -> Sequence[Parcel]:
        self.fetches.append(count)
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        now = time.monotonic()
        return [each._replace(read_at=now) for each in taken]

    def settle(self, results: Sequence[Result]) -> None:
        self.batches.append((time.monotonic(), results))
        self.on_settle(results)

    def still_allowed(self, keys: Sequence[int]) -> Collection[int]:
        self.asked.append(list(keys))
        return [key for key in keys if key not in self.banned]

    def carry(self, courier: Courier) -> Posting:
        courier.carry(self.fetch, self.settle, self.still_allowed, stop=self.stopped.is_set)
        return self

    @property
    def results(self) -> list[Result]:
        return [result for _, batch in self.batches for result in batch]

    @property
    def only(self) -> Result:
        [result] = self.results
        return result

    @property
    def outcomes(self) -> Counter[Outcome]:
        return Counter(result.outcome for result in self.results)

    def of(self, key: int) -> Result:
        [result] = [result for result in self.results if result.key == key]
        return result


def courier(*relays: Relay, connections: int = 1, timeouts: Timeouts = QUICK, **more: Any) -> Courier:
    """A courier of ours."""
    return Courier(relays, connections=connections, helo="client.example", timeouts=timeouts, **more)


def post(parcels: Sequence[Parcel] | int, *relays: Relay, **more: Any) -> Posting:
    """Carry these, once, and close."""
    with closing(courier(*relays, **more)) as ours:
        return Posting(parcels).carry(ours)
