"""Sign-ups by the form, at an even pace, while something else goes on: how long each takes."""

from __future__ import annotations

import http.client
import itertools
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mailinglist.consent import lists

A_SECOND = 10.0

_clients = itertools.count()


def one(port: int, number: int) -> tuple[int, float]:
    """Status and seconds of one sign-up, from a client of its own: one client alone would be held back."""
    form = urllib.parse.urlencode({"email": f"new{number}@example{number % 997}.org"})
    client = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Forwarded-For": client}
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", f"/lists/{lists.DEFAULT_SLUG}", form, headers)
        answer = connection.getresponse()
        answer.read()
    except OSError:
        return 0, time.perf_counter() - began
    finally:
        connection.close()
    return answer.status, time.perf_counter() - began


def for_seconds(port: int, seconds: float) -> list[float]:
    """Sign-ups for so long; the seconds of each."""
    with meanwhile(port) as taken:
        time.sleep(seconds)
    return taken


@contextmanager
def meanwhile(port: int) -> Iterator[list[float]]:
    """Sign-ups at an even pace, each on its own thread; the seconds of those that were answered as they should."""
    over = threading.Event()
    taken: list[float] = []
    wrong: list[tuple[int, float]] = []

    def send() -> None:
        status, seconds = one(port, 1 + next(_clients))
        if status == 303:
            taken.append(seconds)
        else:
            wrong.append((status, seconds))

    def send_all() -> None:
        threads: list[threading.Thread] = []
        while not over.wait(1 / A_SECOND):
            threads = [each for each in threads if each.is_alive()]
            threads.append(threading.Thread(target=send))
            threads[-1].start()
        for each in threads:
            each.join()

    thread = threading.Thread(target=send_all)
    thread.start()
    try:
        yield taken
    finally:
        over.set()
        thread.join()
    if wrong:
        print(f"{len(wrong)} sign-ups failed (status, seconds): {wrong[:5]}", file=sys.stderr)


def p95(seconds: Sequence[float]) -> float:
    """What 95 in 100 did not exceed."""
    return sorted(seconds)[int(len(seconds) * 0.95)] if seconds else 0.0
