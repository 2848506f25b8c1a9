"""Opening an address to listen on, or saying in one line why that can't be done."""

from __future__ import annotations

import errno
import socket

from ..errors import Fault
from ..settings import PREFIX, HostPort

_REASONS = {
    errno.EADDRINUSE: "is already in use: stop the program that listens there, or choose another address",
    errno.EACCES: "may not be opened by this user: choose a port above 1023",
    errno.EADDRNOTAVAIL: "is not an address of this machine: choose another",
}


def listen(bind: HostPort, *, setting: str) -> socket.socket:
    """A socket that listens at `bind`. Raises Fault with one line that names the address and the `setting`."""
    variable = f"{PREFIX}{setting.upper()}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            bind.host, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError:
        raise Fault(f"{bind} is not an address of this machine: choose another with {variable}") from None
    opened = socket.socket(family, kind, protocol)
    try:
        # As every server does, or a stop just now would block the next start for a minute (TIME_WAIT).
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(128)
    except OSError as error:
        opened.close()
        reason = _REASONS.get(error.errno or 0, f"can't be opened ({error.strerror}): choose another address")
        raise Fault(f"{bind} {reason} with {variable}") from None
    return opened


def require_free(bind: HostPort, *, setting: str) -> None:
    """Raise Fault unless `bind` can be opened now. Whoever opens it next may still be beaten to it."""
    listen(bind, setting=setting).close()


def reachable(bind: HostPort) -> HostPort:
    """Where a program on this machine finds what listens at `bind`: a wildcard address is no address to connect to."""
    wildcards = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (read, not bound)
    return HostPort(wildcards.get(bind.host, bind.host), bind.port)
