"""Shared rate limits: how often one client may use a form or try to sign in, and what may be used only once.

Counted in the broker, so that all processes count together. Where it does not answer within `_PATIENCE`, each process
counts by itself for `_PAUSE` before it asks again: a dead broker makes the limits wider, and never a page slow or an
error.

Known limit: by themselves, N processes let through up to N times as many as they should together.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage, Storage, storage_from_string
from limits.strategies import MovingWindowRateLimiter
from redis.backoff import NoBackoff
from redis.retry import Retry

from .errors import Refused
from .observe import count
from .settings import Settings

JOINING, LEAVING, KEYS = "joining", "leaving", "keys"
"""What is counted apart: who joined too often can still ask for a link to leave by, or to their own page."""
SIGN_IN, ACCOUNT, FACTOR = "sign-in", "account", "factor"
"""Tries to sign in, by a client, with an address, and of a second factor by an account. All tries count, so that many
at the same moment are no way around."""
OWN_PAGE = "own-page"
"""What is changed on one's own page, by its key's address; leaving and forbidding are never limited."""
TEST_MAIL = "test-mail"
"""Test mails, by the account that sends them."""
API, API_NAMES, API_REFUSED = "api", "api-names", "api-refused"
"""Calls of a program, by its token; of them those that ask by name, each of which reads the names of all who are
banned; and calls without a good token, by the client: guessing is dear."""

_PER_CLIENT = parse_many("10 per minute; 60 per hour")  # SURFACE, Web
_LIMITS = {
    JOINING: _PER_CLIENT,
    LEAVING: _PER_CLIENT,
    KEYS: _PER_CLIENT,
    SIGN_IN: _PER_CLIENT,
    ACCOUNT: parse_many("30 per minute; 120 per hour"),  # more than one client gets, which then can't shut others out
    # Each try guesses three codes of a million, and whoever tries has the password: a dozen years for an even chance.
    FACTOR: parse_many("5 per minute; 20 per hour; 50 per day"),
    OWN_PAGE: parse_many("30 per minute; 120 per hour"),
    TEST_MAIL: parse_many("20 per hour; 60 per day"),
    API: parse_many("600 per minute"),
    API_NAMES: parse_many("30 per minute"),
    API_REFUSED: parse_many("60 per minute"),
}
# Some proxies write the port behind the address: 192.0.2.1:4711, [2001:db8::1]:4711.
_PORT = re.compile(r"^([0-9.]{7,15}|\[[0-9A-Fa-f:.]+\]):[0-9]+$")
_PATIENCE = 0.2  # seconds; a page must answer in well under a second without the broker
_PAUSE = 5.0  # seconds
_SPACE = "mailinglist"

T = TypeVar("T")


class TooMany(Refused):
    """Asked too often. `wait` is the number of seconds until it may be asked again, at least 1."""

    http_status = 429

    def __init__(self, wait: int) -> None:
        super().__init__("Too many requests; please wait a moment.")
        self.wait = wait


class Pace:
    """The limits of one process. Making it connects to nothing."""

    def __init__(self, settings: Settings) -> None:
        uri, options = _storage(settings)
        shared = storage_from_string(uri, **options)
        assert isinstance(shared, Storage)
        self._shared, self._own = MovingWindowRateLimiter(shared), MovingWindowRateLimiter(MemoryStorage())
        self._alone_until = 0.0

    def spend(self, what: str, client: str) -> None:
        """Count one use of `what` (JOINING …) by `client` (`client_of`, or who else it is counted for). Raises
        TooMany."""
        for limit in _LIMITS[what]:
            if wait := self._counted(partial(_hit, limit, (_SPACE, what, client))):
                count(f"too_many_{what}")
                raise TooMany(wait)

    def once(self, what: str, /, *, seconds: int) -> bool:
        """True the first time that `what` is seen within `seconds`."""
        return self._counted(lambda limiter: limiter.storage.incr(f"{_SPACE}/once/{what}", seconds) == 1)

    def reachable(self) -> bool:
        """Whether the broker answers now."""
        return self._shared.storage.check()

    def _counted(self, work: Callable[[MovingWindowRateLimiter], T]) -> T:
        """`work` where all processes count; while that does not answer, here."""
        if time.monotonic() >= self._alone_until:
            try:
                return work(self._shared)
            except self._shared.storage.base_exceptions:
                self._alone_until = time.monotonic() + _PAUSE
                count("pace_alone")
        return work(self._own)


def client_of(address: str | None) -> str:
    """One client: an IPv4 address, or the /64 of an IPv6 address, which is what one household or server gets."""
    try:
        parsed = ipaddress.ip_address(_PORT.sub(r"\1", (address or "").strip()).strip("[]").partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return str(ipaddress.IPv6Network((parsed, 64), strict=False))
        parsed = parsed.ipv4_mapped
    return str(parsed)


def _hit(limit: RateLimitItem, names: tuple[str, ...], limiter: MovingWindowRateLimiter) -> int:
    """0: counted. Else the seconds until the oldest use leaves the window."""
    if limiter.hit(limit, *names):
        return 0
    return max(1, round(limiter.get_window_stats(limit, *names).reset_time - time.time()))


def _storage(settings: Settings) -> tuple[str, dict[str, Any]]:
    """The broker as `limits` names it, and the options of its connections."""
    url = settings.broker_url.get_secret_value() if settings.broker_url else "memory://"
    if url.startswith("memory"):
        return "memory://", {}
    parts = urlsplit(url)
    if parts.scheme == "redis+socket":  # kombu's name for it; the database is `virtual_host` there
        query = urlencode([("db" if name == "virtual_host" else name, value) for name, value in parse_qsl(parts.query)])
        url = f"redis+unix://{parts.netloc}{parts.path}?{query}"
    return url, {
        "socket_connect_timeout": _PATIENCE,
        "socket_timeout": _PATIENCE,
        # redis-py tries again three times, with pauses, unless told not to.
        "retry": Retry(NoBackoff(), 0),
    }
