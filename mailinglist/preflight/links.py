"""Which addresses answer: asked in parallel, with bounds on everything, and never inside our own network.

Whoever writes a bulletin chooses the addresses, so they are asked with care. Each is resolved by us, and connected to
at the very address that was looked at, so that a name can't change its meaning in between; only public addresses are
(loopback, private, link-local, multicast and reserved ones are not), except where our own base URL lies. Redirects are
followed three times, each by the same rules. Of an answer only the head is read, 32 KB at most; no body, no cookie.

HEAD is asked first. Some servers know no HEAD, so what it finds wrong is asked for once more with GET.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from functools import cache
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from dns.exception import DNSException
from dns.resolver import Resolver
from markdown_it.common.normalize_url import normalizeLink

from ..doctor.domains import is_open

SECONDS = 3.0
"""For one question: name, connection, head of the answer."""
REDIRECTS = 3
_HEAD_BYTES = 32_768
_NO_SUCH_NAME = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
"""What a resolver that works says of a name that there isn't; all else is its own trouble (RFC 3493 §6.1)."""
_ROOT_SECONDS = 1.0
_ADDRESSES = 4
"""Of one name: how many are tried."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
# Below 1024 only those of the web: a question over HTTP is a nuisance at a mail server's door.
_LOWEST_OTHER_PORT = 1024

Address = IPv4Address | IPv6Address
Lookup = Callable[[str, int], Sequence[str]]
"""The IP addresses of a name, for a port. Raises OSError."""


class Outcome(Enum):
    """What became of asking an address."""

    FINE = "fine"
    """It answers; or it answers, only not to a program."""
    GONE = "gone"
    """404 or 410."""
    CLOSED = "closed"
    """401, 403, 407: not for everybody."""
    FAULTY = "faulty"
    """5xx."""
    NAMELESS = "nameless"
    """There is no such name."""
    UNKNOWN = "unknown"
    """Names can't be looked up from here just now: nothing is known of the page."""
    SILENT = "silent"
    """Nobody answers there, or not in HTTP, or not in time."""
    UNSAFE = "unsafe"
    """Its certificate is not valid."""
    ASTRAY = "astray"
    """It redirects too often, or to nowhere."""
    PRIVATE = "private"
    """Not asked: it lies in somebody's own network."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one address said; `status` is that of HTTP, if there was one."""

    outcome: Outcome
    status: int | None = None


class _Target(NamedTuple):
    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


class _Head(NamedTuple):
    status: int
    location: str


class _Failed(Exception):
    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


def knows_names() -> bool:
    """Whether the resolver of this machine knows the names of the Internet: it is asked for the root's servers. Some
    only know a network of their own, and say of every other name that there is none."""
    try:
        Resolver().resolve(".", "NS", lifetime=_ROOT_SECONDS)
    except DNSException:
        return False
    return True


def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a name as this machine knows them, IPv4 first. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    ordered = sorted(found, key=lambda each: each[0] != socket.AF_INET)
    return list(dict.fromkeys(str(each[4][0]) for each in ordered))


def check(
    addresses: Sequence[str],
    *,
    own: str,
    seconds: float,
    lookup: Lookup = resolve,
    permitted: Callable[[str], bool] = is_open,
    trust: ssl.SSLContext | None = None,
    knows: Callable[[], bool] = knows_names,
) -> dict[str, Answer]:
    """Ask all `addresses` at once; who has not answered within `seconds` is silent.

    `own` is our base URL: its host and port may lie anywhere. `lookup` resolves names, `permitted` says to which IP
    addresses one may connect, `trust` which certificates are believed. `knows` is asked once, if a name is not found:
    whether names are known here at all. Never raises for what an address is, or says.
    """
    if not addresses:
        return {}
    # Of our own, as asyncio's would be waited for: a name that nobody resolves can hold a thread for half a minute.
    resolvers = ThreadPoolExecutor(max_workers=len(addresses), thread_name_prefix="lookup")
    asker = _Asker(own, lookup, permitted, trust or ssl.create_default_context(), resolvers, knows)
    try:
        return asyncio.run(_ask_all(asker, list(dict.fromkeys(addresses)), seconds))
    finally:
        resolvers.shutdown(wait=False, cancel_futures=True)


async def _ask_all(asker: _Asker, addresses: list[str], seconds: float) -> dict[str, Answer]:
    tasks = {address: asyncio.create_task(asker.ask(address)) for address in addresses}
    done, late = await asyncio.wait(tasks.values(), timeout=seconds)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    silent = Answer(Outcome.SILENT)
    return {address: task.result() if task in done else silent for address, task in tasks.items()}


class _Asker:
    """Asks one address after another; many at once."""

    def __init__(
        self,
        own: str,
        lookup: Lookup,
        permitted: Callable[[str], bool],
        trust: ssl.SSLContext,
        resolvers: ThreadPoolExecutor,
        knows: Callable[[], bool],
    ) -> None:
        self._knows, self._known = cache(knows), asyncio.Lock()
        self._lookup, self._permitted, self._trust, self._resolvers = lookup, permitted, trust, resolvers
        try:
            here = _target(own)
            self._own: tuple[str, int] | None = (here.host, here.port)
        except _Failed:
            self._own = None

    async def ask(self, address: str) -> Answer:
        try:
            for _hop in range(REDIRECTS + 1):
                target = _target(address)
                head = await self._look(target)
                if head.status // 100 != 3 or head.status == 304:
                    return Answer(_meaning(head.status), head.status)
                if not head.location:
                    break
                address = urljoin(address, head.location)
            return Answer(Outcome.ASTRAY)
        except _Failed as failed:
            return Answer(failed.outcome)
        except ValueError:  # an address as no browser would take it
            return Answer(Outcome.ASTRAY)

    async def _look(self, target: _Target) -> _Head:
        """The head of the answer: HEAD's if it is good news, else GET's. Raises _Failed."""
        head = await self._request("HEAD", target)
        if head is None or head.status >= 400:
            head = await self._request("GET", target)
        if head is None:
            raise _Failed(Outcome.SILENT)
        return head

    async def _request(self, method: str, target: _Target) -> _Head | None:
        """The head of the answer; None: somebody is there, but gave none. Raises _Failed."""
        reached = False
        try:
            async with asyncio.timeout(SECONDS):
                reader, writer = await self._connected(target, await self._addresses(target))
                reached = True
                try:
                    writer.write(_question(method, target))
                    return await _head(reader)
                finally:
                    writer.transport.abort()
        except ssl.SSLCertVerificationError:
            raise _Failed(Outcome.UNSAFE) from None
        except (OSError, EOFError, ValueError):  # TimeoutError is an OSError
            if reached:
                return None
            raise _Failed(Outcome.SILENT) from None

    async def _addresses(self, target: _Target) -> list[str]:
        """Where one may connect to for this name. Raises _Failed."""
        try:
            found = await asyncio.get_running_loop().run_in_executor(
                self._resolvers, self._lookup, target.host, target.port
            )
        except UnicodeError:
            raise _Failed(Outcome.NAMELESS) from None
        except OSError as error:
            sure = error.errno in _NO_SUCH_NAME and await self._names_are_known()
            raise _Failed(Outcome.NAMELESS if sure else Outcome.UNKNOWN) from None
        own = (target.host, target.port) == self._own
        allowed = [each for each in found if own or self._permitted(each)]
        if not allowed:
            raise _Failed(Outcome.PRIVATE if found else Outcome.NAMELESS)
        return allowed[:_ADDRESSES]

    async def _names_are_known(self) -> bool:
        async with self._known:  # the first one asks, the others wait for it
            return await asyncio.get_running_loop().run_in_executor(self._resolvers, self._knows)

    async def _connected(
        self, target: _Target, addresses: list[str]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        secure = self._trust if target.scheme == "https" else None
        for number, address in enumerate(addresses, start=1):
            try:
                return await asyncio.open_connection(
                    address, target.port, limit=_HEAD_BYTES, ssl=secure,
                    server_hostname=target.host if secure else None,
                )  # fmt: skip
            except ssl.SSLError:
                raise
            except OSError:
                if number == len(addresses):
                    raise
        raise _Failed(Outcome.SILENT)


def _question(method: str, target: _Target) -> bytes:
    lines = (
        f"{method} {target.path} HTTP/1.1", f"Host: {target.authority}",
        "User-Agent: Mozilla/5.0 (compatible; mailinglist link check)", "Accept: */*", "Connection: close", "", "",
    )  # fmt: skip
    return "\r\n".join(lines).encode("ascii")


async def _head(reader: asyncio.StreamReader) -> _Head:
    """The head of the answer; those that only announce one (1xx) are passed over. Raises ValueError, EOFError."""
    left = _HEAD_BYTES
    while True:
        first = await reader.readline()
        version, _, rest = first.partition(b" ")
        if not version.startswith(b"HTTP/") or not rest[:3].isdigit():
            raise ValueError("no HTTP")
        status, location = int(rest[:3]), ""
        while line := (await reader.readline()).strip():
            left -= len(line)
            if left < 0:
                raise ValueError("too long a head")
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"location":
                location = value.strip().decode("utf-8", "replace")
        if status >= 200:
            return _Head(status, location)


def _target(address: str) -> _Target:
    """Whom to ask, and for what. Raises _Failed for what leads nowhere."""
    try:
        parts = urlsplit(normalizeLink(address.strip()))
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise _Failed(Outcome.ASTRAY) from None
    if parts.scheme not in _DEFAULT_PORTS or not host:
        raise _Failed(Outcome.ASTRAY)
    port = _DEFAULT_PORTS[parts.scheme] if port is None else port
    if port not in _DEFAULT_PORTS.values() and port < _LOWEST_OTHER_PORT:
        raise _Failed(Outcome.PRIVATE)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not (path.isascii() and host.isascii()) or any(each <= " " or each == "\x7f" for each in path + host):
        raise _Failed(Outcome.ASTRAY)
    return _Target(parts.scheme, host, port, path)


def _meaning(status: int) -> Outcome:
    if status in (404, 410):
        return Outcome.GONE
    if status in (401, 403, 407):
        return Outcome.CLOSED
    if 500 <= status <= 599:
        return Outcome.FAULTY
    return Outcome.FINE  # also 405, 429, 999: somebody is there, and will answer a browser
