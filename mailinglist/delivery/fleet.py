"""The connections of one courier: which to open, which to use, which to let go.

- Of the relays, the best that can be had is used. While it has no connection, one is tried at a time: that is the
  probe.
- A relay that can't be had rests, for longer each time; its open connections go on (a server may allow us two and
  refuse a third).
- A probe that isn't answered soon holds up no other relay: the RFC's five minutes for a greeting are long.
- A better relay that has rested is tried again, while a worse one serves; when it is ready, the worse one is given no
  more.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

from .. import observe
from ..settings import Relay
from .connection import Connection
from .conversation import Conversation
from .offers import Offers
from .parcels import Result, Timeouts
from .relays import Standing, troubles

log = observe.logger(__name__)

_FAREWELL = 1.0  # seconds for the answers to QUIT, of all connections together, when there is nothing else to do


class Fleet:
    """The connections of one courier. `results` is where their conversations put what became of each parcel."""

    def __init__(
        self,
        relays: Sequence[Relay],
        *,
        connections: int,
        helo: str,
        timeouts: Timeouts,
        tls: ssl.SSLContext | None,
        fresh_for: float,
    ) -> None:
        self._standings = [Standing(relay, rank) for rank, relay in enumerate(relays)]
        self._most = connections
        self._helo = helo
        self._timeouts = timeouts
        self._verifying = tls
        self._trusting: ssl.SSLContext | None = None
        self._fresh_for = fresh_for
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._connections: list[Connection] = []
        self._parked_at = 0.0
        self.results: list[Result] = []
        self.best = 0
        """The rank of the best relay that has a connection ready: only connections to it are given parcels."""

    # ── which are there ─────────────────────────────────────────────────────────────────────────────────────────────

    def __iter__(self) -> Iterator[Connection]:
        """All connections, ready or not; safe while some are let go."""
        return iter(list(self._connections))

    def ready(self) -> list[tuple[Connection, Conversation]]:
        """The connections that are in conversation."""
        return [(each, each.conversation) for each in self._connections if each.conversation is not None]

    def hungry(self) -> list[Connection]:
        """The connections that have room for a parcel, and whose turn it is."""
        return [each for each, talk in self.ready() if talk.hungry and each.standing.rank == self.best]

    def events(self, seconds: float) -> list[Connection]:
        """The connections on which something can be done now, waiting for one, or for `wake`, at most so long."""
        events = [key.data for key, _ in self._selector.select(seconds)]
        if None in events:
            self._woken.recv(4096)
            return [connection for connection in events if connection is not None]
        return events

    def wake(self) -> None:
        """From any thread: end the waiting of `events`."""
        with suppress(BlockingIOError):  # it is full of calls that were not heard yet
            self._waker.send(b"!")

    def hopeless(self, now: float) -> str | None:
        """Why no connection is there, nor under way, nor to be tried now; None while one is."""
        if self._connections or not all(standing.rests(now) for standing in self._standings):
            return None
        return troubles(self._standings)

    def retry_in(self, now: float) -> float:
        """Seconds until some relay may be tried; 0 when there is a connection, or one may be tried now."""
        if self._connections:
            return 0.0
        return max(0.0, min(standing.rest_until for standing in self._standings) - now)

    # ── opening ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def choose(self, waiting: int, now: float) -> Standing | None:
        """The relay to open one more connection to, while so many parcels wait for one; None: to none now."""
        for standing in self._standings:
            mine = [each for each in self._connections if each.standing is standing]
            opening = sum(each.conversation is None for each in mine)
            hanging = opening and all(now - each.began > self._timeouts.connect for each in mine)
            if len(mine) > opening:
                more = not standing.rests(now) and len(mine) < self._most and opening < waiting
                return standing if more else None
            if opening and not hanging:
                return None
            if not opening and not standing.rests(now):
                # A worse relay at work is reason enough: it may keep up, so that nothing ever waits.
                return standing if waiting or any(talk.laden for _, talk in self.ready()) else None
        return None

    def dial(self, standing: Standing, now: float) -> None:
        """Begin to open a connection. Finding the address may block, as the system's resolver does."""
        relay = standing.relay
        try:
            addresses = socket.getaddrinfo(relay.host, relay.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no such name"
            self._failed(standing, f"has no address ({reason})", now)
            return

        def converse(offers: Offers, secured: bool) -> Conversation:
            return Conversation(
                offers,
                self._timeouts,
                relay=standing.name,
                fresh_for=self._fresh_for,
                one_by_one=secured,
                settle=self.results.append,
            )

        connection = Connection(
            standing,
            addresses,
            self._selector,
            helo=self._helo,
            timeouts=self._timeouts,
            context=self._context,
            converse=converse,
            now=now,
        )
        observe.count("smtp_connections_dialled")
        if connection.trouble is None:
            self._connections.append(connection)
        else:
            self._failed(standing, connection.trouble, now)

    def _context(self, verify: bool) -> ssl.SSLContext:
        """The TLS settings, made when first needed: reading the system's certificates takes some 20 ms."""
        if verify:
            self._verifying = self._verifying or ssl.create_default_context()
            return self._verifying
        if self._trusting is None:
            self._trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self._trusting.check_hostname = False
            self._trusting.verify_mode = ssl.CERT_NONE  # why: see opening.py
        return self._trusting

    def rank(self) -> None:
        """Find out anew which relay serves."""
        ready = [each.standing.rank for each in self._connections if each.conversation is not None]
        self.best = min(ready, default=0)

    # ── letting go ──────────────────────────────────────────────────────────────────────────────────────────────────

    def review(self, now: float) -> None:
        """Look at every connection: what is overdue, what has proven itself, what a better relay has made needless."""
        for connection in self:
            connection.overdue(now)
            conversation = connection.conversation
            if conversation is None or conversation.lost is not None:
                continue  # what is lost is buried by the caller, with what it returns
            if conversation.completed and not connection.proven:
                connection.proven = True
                connection.standing.worked(connection.began)
            if connection.standing.rank > self.best and not conversation.laden:
                self._farewell([connection])

    def bury(self, connection: Connection, now: float) -> None:
        """A connection could not be opened, or was lost."""
        conversation, standing = connection.conversation, connection.standing
        connection.close()
        self._connections.remove(connection)
        self.rank()
        if conversation is None:
            self._failed(standing, connection.trouble or "was given up", now)
            return
        observe.count("smtp_connections_lost")
        log.info(
            "smtp_connection_lost", relay=standing.name, reason=conversation.lost, completed=conversation.completed
        )
        if conversation.at_fault:
            self._failed(standing, conversation.lost or "", now)

    def _failed(self, standing: Standing, trouble: str, now: float) -> None:
        if standing.failed(trouble, now, self._timeouts):
            observe.count("smtp_relay_rests")
            log.warning(
                "smtp_relay_rests", relay=standing.name, reason=trouble, seconds=round(standing.rest_until - now, 1)
            )

    def unpark(self, now: float) -> None:
        """Before work: let go of connections that were idle for long."""
        if now - self._parked_at > self._timeouts.idle:
            self._farewell(list(self._connections))

    def park(self, now: float) -> None:
        """After work: keep what is ready for the next time, and drop what isn't."""
        self._parked_at = now
        for connection in self:
            if connection.conversation is None:
                connection.close()
                self._connections.remove(connection)

    def drop(self) -> None:
        """Close everything at once, whatever is on it."""
        for connection in self:
            connection.close()
        self._connections.clear()
        self.results.clear()

    def close(self) -> None:
        """Say goodbye to every server, and close."""
        self._farewell(list(self._connections), patience=_FAREWELL)
        self._selector.close()
        self._woken.close()
        self._waker.close()

    def _farewell(self, connections: Sequence[Connection], *, patience: float = 0.0) -> None:
        for connection in connections:
            connection.quit()
            self._connections.remove(connection)
        until = time.monotonic() + patience
        for connection in connections:
            connection.await_end(until - time.monotonic())
        self.rank()
