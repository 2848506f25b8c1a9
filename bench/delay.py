"""A slow network: the whole path through a proxy that delays each direction, against smtp-source through the same one.

smtp-source waits for the answer to each command, and is shown twice: with a connection for each message, as it is by
default, and with `-d`, which keeps its connections as we do. The ratios are to the quicker of the two. The proxy is a
process of its own; its own limit is measured too, without a delay.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import shutil
import smtplib
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from flask import Flask

from . import send
from .dkim import application, databases

_PINGS = 10
_SOURCE_SHARE = 4  # smtp-source gets so many times fewer mails: it takes as many times longer for each


def main(*, recipients: int, rounds: int, kilobytes: int, connections: int, milliseconds: float) -> None:
    """Print the rates of each round, then medians and ratios."""
    source = shutil.which("smtp-source") or shutil.which("smtp-source", path="/usr/sbin")
    if source is None:
        sys.exit("bench: smtp-source and smtp-sink are missing: they are in Debian's package postfix")
    rates: dict[str, list[float]] = {}
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="mlbench-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        sink, _ = stack.enter_context(send.sink(source))
        through = stack.enter_context(proxy(sink, milliseconds))
        straight = stack.enter_context(proxy(sink, 0.0))
        server = stack.enter_context(send.servers.postgres(send.PRODUCTION))
        contestants: dict[str, Callable[[], float]] = {}
        undelayed: dict[str, Callable[[], float]] = {}
        for name, url in databases(folder, server):
            for port, into in ((through, contestants), (straight, undelayed)):
                app = application(folder / name, url, port, connections)
                if port == through:  # both share the database
                    send.fill(app, recipients)
                into[name] = partial(_ours, app, recipients, kilobytes)
        few = max(connections, recipients // _SOURCE_SHARE)
        for name, option in (("smtp-source -d", ["-d"]), ("smtp-source", [])):
            words = [source, *option, "-s", str(connections), "-l", str(kilobytes * 1024), "-m", str(few)]
            contestants[name] = partial(_smtp_source, words, through, few)
        slow, quick = _round_trip(through), _round_trip(straight)
        print(f"one round trip through the proxy: {slow:.1f} ms; without delay {quick:.1f}")
        for number in range(rounds):
            names = list(contestants) if number % 2 == 0 else list(reversed(contestants))
            for name in names:
                rates.setdefault(name, []).append(contestants[name]())
                print(f"round {number + 1}  {name:<16} {rates[name][-1]:>8,.0f}/s", flush=True)
        for name, run in undelayed.items():
            print(f"the proxy's limit: {name} through it without delay {run():>8,.0f}/s", flush=True)
    print(f"\n{recipients:,} recipients ({few:,} for smtp-source), {kilobytes} KB, {connections} connections, ", end="")
    print(f"{milliseconds:g} ms each way, {os.cpu_count()} cores, Python {platform.python_version()}")
    quicker = [max(found) for found in zip(rates["smtp-source -d"], rates["smtp-source"], strict=True)]
    for name, found in rates.items():
        ratios = [own / other for own, other in zip(found, quicker, strict=True)]
        spread = f"[{min(ratios):.2f}–{max(ratios):.2f}]"
        print(
            f"{name:<16} {statistics.median(found):>8,.0f}/s  {statistics.median(ratios):5.2f} × smtp-source {spread}"
        )


def _ours(app: Flask, recipients: int, kilobytes: int) -> float:
    mails, seconds = send.bulletin(app, recipients, kilobytes)
    return mails / seconds


def _smtp_source(words: list[str], port: int, count: int) -> float:
    began = time.monotonic()
    subprocess.run([*words, "-f", "a@example.fi", "-t", "b@example.fi", f"127.0.0.1:{port}"], check=True)
    return count / (time.monotonic() - began)


def _round_trip(port: int) -> float:
    """Milliseconds between a command and its answer, the median of some."""
    took = []
    with smtplib.SMTP("127.0.0.1", port) as server:
        for _ in range(_PINGS):
            began = time.monotonic()
            server.noop()
            took.append((time.monotonic() - began) * 1000)
    return statistics.median(took)


# ── the proxy ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def proxy(target: int, milliseconds: float) -> Iterator[int]:
    """A port on loopback whose connections lead to the port `target`, each octet so much later, in both directions."""
    port = send.servers.free_port()
    words = [sys.executable, "-m", "bench.delay", str(port), str(target), str(milliseconds)]
    process = subprocess.Popen(words, cwd=Path(__file__).resolve().parents[1], preexec_fn=send.servers.die_with_parent)
    try:
        send.servers.wait_for(lambda: send.listens(port))
        yield port
    finally:
        process.terminate()
        process.wait(10)


class _Pipe(asyncio.Protocol):
    """One end of a connection. What comes in goes out at the other end, `delay` seconds later and in its order."""

    def __init__(self, delay: float, target: int | None = None, other: _Pipe | None = None) -> None:
        self._delay, self._target, self._other = delay, target, other
        self._out: asyncio.WriteTransport | None = None
        self._held: deque[bytes] = deque()  # came before the other end was there
        self._on_the_way: deque[bytes] = deque()
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._out = transport
        if self._target is not None:
            self._other = _Pipe(self._delay, other=self)
            self._dialling = self._loop.create_task(self._dial(self._other, self._target))
        while self._held:
            transport.write(self._held.popleft())

    async def _dial(self, other: _Pipe, target: int) -> None:
        try:
            await self._loop.create_connection(lambda: other, "127.0.0.1", target)
        except OSError:
            assert self._out is not None
            self._out.close()

    def data_received(self, data: bytes) -> None:
        self._on_the_way.append(data)
        self._loop.call_later(self._delay, self._arrive)

    def _arrive(self) -> None:
        assert self._other is not None
        self._other.say(self._on_the_way.popleft())

    def say(self, data: bytes) -> None:
        """Write to this end."""
        if self._out is None:
            self._held.append(data)
        elif not self._out.is_closing():
            self._out.write(data)

    def connection_lost(self, _reason: Exception | None) -> None:
        self._loop.call_later(self._delay, self._hang_up)

    def _hang_up(self) -> None:
        if self._other is not None and self._other._out is not None:
            self._other._out.close()


async def _serve(port: int, target: int, delay: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Pipe(delay, target), "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000))
