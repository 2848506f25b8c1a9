"""Which relay to turn to: by priority, and one that failed is left alone for a while. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..settings import HostPort, Relay
from .parcels import Timeouts


@dataclass(slots=True)
class Standing:
    """How a relay stands with us. The smaller `rank`, the better the relay."""

    relay: Relay
    rank: int
    failures: int = 0
    """In a row, not counting those while it was resting anyway."""
    rest_until: float = 0.0
    """`time.monotonic()` before which no new connection is tried. Those it has go on."""
    failed_at: float = 0.0
    trouble: str = ""
    """Why it rests."""

    @property
    def name(self) -> str:
        """host:port, as results and logs call it."""
        return str(HostPort(self.relay.host, self.relay.port))

    def rests(self, now: float) -> bool:
        """Whether no connection is to be tried now."""
        return now < self.rest_until

    def failed(self, trouble: str, now: float, timeouts: Timeouts) -> bool:
        """A connection could not be had, or did nothing. Whether it begins to rest: several at once count as one."""
        self.trouble, self.failed_at = trouble, now
        if self.rests(now):
            return False
        # 2**30 seconds is for ever, and 2.0**1025 is an error.
        self.rest_until = now + min(timeouts.rest_first * 2 ** min(self.failures, 30), timeouts.rest_most)
        self.failures += 1
        return True

    def worked(self, dialled_at: float) -> None:
        """A connection has done something useful. One from before the last failure says nothing about another one."""
        if dialled_at >= self.failed_at:
            self.failures, self.rest_until, self.trouble = 0, 0.0, ""


def troubles(standings: Iterable[Standing]) -> str:
    """Why none can be used, in one sentence."""
    return "no mail server can be used: " + "; ".join(f"{standing.name} {standing.trouble}" for standing in standings)
