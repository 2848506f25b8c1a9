"""A slow network: the whole path through a proxy that delays each direction, against smtp-source through the same one.

smtp-source waits for the answer to each command, and is shown twice: with a connection for each message, as it is by
default, and with `-d`, which keeps its connections as we do. The ratios are to the quicker of the two. The proxy is a
process of its own; its own limit is measured too, without a delay.
"""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import servers

from . import stage
from .stage import Contestant

_SOURCE = "smtp-source"
_PINGS = 10
_SOURCE_SHARE = 4  # smtp-source gets so many times fewer mails: it takes as many times longer for each


def main(*, recipients: int, rounds: int, kilobytes: int, connections: int, milliseconds: float) -> None:
    """Print the rates of each round, then medians and ratios."""
    source = stage.smtp_source(needed=True)
    assert source is not None
    few = max(connections, recipients // _SOURCE_SHARE)
    with (
        stage.folder() as folder,
        stage.sink() as (target, sink),
        proxy(target, milliseconds) as through,
        proxy(target, 0.0) as straight,
        stage.postgres() as server,
    ):
        delayed: list[Contestant] = []
        undelayed: list[Contestant] = []
        for name, url in stage.databases(folder, server):
            for port, into in ((through, delayed), (straight, undelayed)):
                app = stage.application(folder / name, url, port, connections)
                if port == through:  # both share the database
                    stage.fill(app, recipients)
                into.append(Contestant(name, partial(stage.whole_path, app, recipients, kilobytes)))
        for more in (("-d",), ()):
            send = partial(stage.beside, source, through, few, kilobytes, connections, *more)
            delayed.append(Contestant(" ".join((_SOURCE, *more)), send))
        slow, quick = _round_trip(through), _round_trip(straight)
        print(f"one round trip through the proxy: {slow:.1f} ms; without delay {quick:.1f}")
        figures = stage.in_turns(delayed, rounds, sink)
        for each in undelayed:
            rate = stage.measured(each, sink).rate
            print(f"the proxy's limit: {each.name} through it without delay {rate:>8,.0f}/s", flush=True)
    print(f"\n{recipients:,} recipients ({few:,} for smtp-source), {kilobytes} KB, {connections} connections, ", end="")
    print(f"{milliseconds:g} ms each way, {stage.machine()}")
    rates = {name: [figure.rate for figure in found] for name, found in figures.items()}
    quicker = [max(found) for found in zip(rates[f"{_SOURCE} -d"], rates[_SOURCE], strict=True)]
    for name, found in rates.items():
        print(f"{name:<16} {statistics.median(found):>8,.0f}/s  {stage.ratio(found, quicker, _SOURCE)}")


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
    port = servers.free_port()
    words = [sys.executable, "-m", "bench.delay", str(port), str(target), str(milliseconds)]
    process = subprocess.Popen(words, cwd=Path(__file__).resolve().parents[1], preexec_fn=servers.die_with_parent)
    try:
        servers.wait_for(lambda: servers.listens(port))
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
