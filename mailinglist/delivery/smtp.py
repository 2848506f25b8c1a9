"""The courier: parcels in, a result for each out. The only mail socket of the program.

    smtp.py           the courier: supplies the connections, reads the gate again, collects results
    fleet.py          its connections: relays by priority, resting, reuse
    connection.py     one socket: system calls and their errors
    opening.py        pure: greeting, EHLO, STARTTLS, AUTH
    conversation.py   pure: transactions, pipelined
    offers.py         pure: what EHLO offers, and an envelope's commands or refusal
    replies.py        pure: octets to replies
    relays.py         pure: how a relay stands
    parcels.py        pure: Parcel, Result, Outcome, Timeouts

One thread, many connections. Promises: every parcel that was fetched gets exactly one result, or `carry` raises; no
content begins on a gate reading older than `fresh_for`; nothing is sent twice after its final dot; content is never
changed.

Known limits: finding a relay's address blocks (getaddrinfo), as does each callback, for all connections. One parcel is
one recipient, so the same content to many costs each its own. No BDAT (RFC 3030), no DANE, no client certificates but
by `tls`.
"""

from __future__ import annotations

import ssl
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime

from .. import observe
from ..settings import Relay
from .connection import Connection
from .fleet import Fleet
from .parcels import Outcome, Parcel, Result, Stage, Timeouts
from .replies import one_line

__all__ = ["Courier", "Outcome", "Parcel", "Result", "Stage", "Timeouts"]

log = observe.logger(__name__)

Fetch = Callable[[int], Sequence[Parcel] | None]
Settle = Callable[[Sequence[Result]], None]
StillAllowed = Callable[[Sequence[int]], Collection[int]]

_TICK = 0.05  # seconds between looks at the clock-driven things: stop, time-outs, connections to open
_HELD = 0.05  # seconds a result may wait for company, besides a tick
_MOST_RESULTS = 500
MOST_PARCELS = 500
"""Of one group."""


class Courier:
    """Carries parcels to the relays. For one thread; keeps its connections between one `carry` and the next.

    `connections` is the most to one relay, `helo` our name (RFC 5321 §4.1.1.1). `tls` replaces the system's settings
    for verified TLS. `fresh_for` is in seconds. Raises ValueError for what makes no sense.
    """

    def __init__(
        self,
        relays: Sequence[Relay],
        *,
        connections: int,
        helo: str,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - frozen
        tls: ssl.SSLContext | None = None,
        fresh_for: float = 0.5,
    ) -> None:
        if not relays or connections < 1 or fresh_for <= 0:
            raise ValueError("a courier needs a relay, a connection, and some time between gate and socket")
        if not helo.isascii() or not helo.isprintable() or not helo or " " in helo:
            raise ValueError("our own name must be a domain or an address literal")
        self._fleet = Fleet(relays, connections=connections, helo=helo, timeouts=timeouts, tls=tls, fresh_for=fresh_for)
        self._connections = connections
        self._fresh_for = fresh_for

    def carry(self, fetch: Fetch, settle: Settle, still_allowed: StillAllowed, *, stop: Callable[[], bool]) -> None:
        """Carry parcels until `fetch` has no more, `stop` says so, or no relay can be used; each gets a result.

        `fetch(n)` gives at most n further parcels; none: finish what is out, and return. It is asked for about as many
        as leave within a quarter of `fresh_for`, so that a caller may have one group ready while the one before leaves.
        None: not yet; it is asked again at the next event, which `wake` is.

        `settle` gets results at most about 0.1 s after they fell, 500 at a time.
        `still_allowed(keys)` reads the gate again and gives those of the keys that may still be mailed; if that takes
        longer than `fresh_for`, its answer has aged on arrival, and nothing goes.

        After `stop`: parcels whose content has not begun, and may not begin without asking the gate, come back UNSENT;
        the answers to those that have begun are waited for. When no relay can be used, the parcels in hand come back
        UNSENT, and `retry_in` says how long to wait.

        Raises what a callback raises: `fetch` and `still_allowed` after winding up as for `stop`, so that what was
        accepted is settled; `settle` at once, leaving without a result what had none, which is then uncertain.
        """
        _Round(self._fleet, fetch, settle, still_allowed, stop, self._connections, self._fresh_for).run()

    @property
    def retry_in(self) -> float:
        """Seconds until a relay may be tried again; 0 while one can be used."""
        return self._fleet.retry_in(time.monotonic())

    def wake(self) -> None:
        """From any thread: what `fetch` had not yet, it has now."""
        self._fleet.wake()

    def close(self) -> None:
        """Take leave of the servers. The courier is of no more use."""
        self._fleet.close()


class _Round:
    """One call of `carry`."""

    def __init__(
        self,
        fleet: Fleet,
        fetch: Fetch,
        settle: Settle,
        still_allowed: StillAllowed,
        stop: Callable[[], bool],
        connections: int,
        fresh_for: float,
    ) -> None:
        self._fleet = fleet
        self._fetch = fetch
        self._settle = settle
        self._still_allowed = still_allowed
        self._stop = stop
        self._fresh_for = fresh_for
        # With one group ahead of the one that leaves, a crash makes uncertain at most so many for each connection.
        self._most = min(MOST_PARCELS, connections * MOST_PARCELS // 2)
        self._least = min(2 * connections, self._most)
        self._asked = self._least
        self._fetched_at = 0.0
        self._given = 0  # by the last fetch
        self._waiting: deque[Parcel] = deque()
        self._stale: set[Connection] = set()
        self._no_more = False
        self._stopping = False
        self._error: Exception | None = None
        self._next_tick = 0.0
        self._held_since: float | None = None

    def run(self) -> None:
        """See Courier.carry."""
        fleet = self._fleet
        fleet.unpark(time.monotonic())
        try:
            while True:
                now = time.monotonic()
                if now >= self._next_tick:
                    self._tick(now)
                if self._stale:
                    self._ask_gate()
                if not self._waiting and not self._no_more:
                    self._refill()
                self._flush_if_due(time.monotonic())
                if self._no_more and not self._waiting and not any(each.laden for _, each in fleet.ready()):
                    break
                for connection in fleet.events(_TICK):
                    self._turn(connection, readable=True)
            self._flush()
        except BaseException as error:
            log.warning("smtp_round_broken_off", error=type(error).__name__, unsettled=len(fleet.results))
            fleet.drop()
            raise
        fleet.park(time.monotonic())
        if self._error is not None:
            raise self._error

    # ── connections ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _turn(self, connection: Connection, *, readable: bool) -> None:
        """One turn of one connection: read what came, load what fits, write what may go."""
        now = time.monotonic()
        conversation = connection.conversation
        if conversation is None:
            connection.advance(now)
            conversation = connection.conversation
            if conversation is not None:
                self._fleet.rank()
            elif connection.trouble is not None:
                self._bury(connection, now)
        elif readable:
            connection.read(conversation, now)
        if conversation is None:
            return
        if connection.standing.rank == self._fleet.best:
            while self._waiting and conversation.hungry:
                conversation.load(self._waiting.popleft(), datetime.now(UTC))
        connection.write(conversation, now)
        if conversation.lost is not None:
            self._bury(connection, now)
        elif conversation.stale:
            self._stale.add(connection)

    def _feed(self) -> None:
        """Give what waits to the connections that have room; nothing else may wake an idle one."""
        for connection in self._fleet.hungry():
            if self._waiting:
                self._turn(connection, readable=False)

    def _bury(self, connection: Connection, now: float) -> None:
        self._stale.discard(connection)
        self._fleet.bury(connection, now)
        if connection.conversation is not None:
            self._waiting.extendleft(reversed(connection.conversation.returned))
            if self._stopping:
                self._hand_back("the sending was stopped")
        self._open(now)

    def _open(self, now: float) -> None:
        """Open connections while parcels wait for one; hand the parcels back when none can be had."""
        if self._stopping:
            return
        while standing := self._fleet.choose(len(self._waiting), now):
            self._flush()  # finding the address may take a while
            self._fleet.dial(standing, now)
            now = time.monotonic()
        hopeless = self._fleet.hopeless(now)
        if hopeless is not None:
            self._no_more = True
            self._hand_back(hopeless)

    def _tick(self, now: float) -> None:
        self._next_tick = now + _TICK
        if not self._stopping and self._stop():
            self._wind_up()
        self._fleet.review(now)
        for connection in self._fleet:
            conversation = connection.conversation
            if conversation is not None and self._stopping and conversation.overstays(now):
                conversation.lose("the sending was stopped", datetime.now(UTC), blameless=True)
            if connection.trouble is not None or (conversation is not None and conversation.lost is not None):
                self._bury(connection, now)
        self._feed()
        self._open(now)

    # ── parcels ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _refill(self) -> None:
        """Fetch, if a connection could take a parcel at once, or none is there that could."""
        now = time.monotonic()
        if self._fleet.ready() and not self._fleet.hungry():
            return
        took = now - self._fetched_at
        asked = self._asked
        if took < self._fresh_for / 4:
            asked = min(max(asked, 2 * self._given), self._most)
        elif took > self._fresh_for / 2:
            asked = max(asked // 2, self._least)
        try:
            parcels = self._fetch(asked)
        except Exception as error:  # raised again at the end of the round
            self._error = error
            self._wind_up()
            return
        if parcels is None:
            return
        self._asked = asked
        self._fetched_at = time.monotonic()
        self._given = len(parcels)
        self._no_more = not parcels
        self._waiting.extend(parcels)
        self._feed()
        self._open(self._fetched_at)

    def _ask_gate(self) -> None:
        """Read the gate again for all that waits for it and, as it is one question, for all that waits for its turn."""
        conversations = [each.conversation for each in self._stale if each.conversation is not None]
        held = [parcel for conversation in conversations for parcel in conversation.waiting()]
        allowed: Collection[int] = ()
        refusal = Outcome.UNSENT, "the sending was stopped"
        read_at = time.monotonic()
        if not self._stopping:
            try:
                allowed = frozenset(self._still_allowed([parcel.key for parcel in (*held, *self._waiting)]))
                refusal = Outcome.EXCLUDED, "no longer allowed when it was about to go"
                observe.count("smtp_gate_rereads")
            except Exception as error:  # the register can't be read: nothing goes (docs/architecture.md)
                self._error = error
                self._wind_up()
        at = datetime.now(UTC)
        for conversation in conversations:
            conversation.renew(allowed, read_at, at, refusal)
        self._renew_waiting(allowed, read_at, refusal)
        stale, self._stale = self._stale, set()
        for connection in stale:
            self._turn(connection, readable=False)

    def _renew_waiting(self, allowed: Collection[int], read_at: float, refusal: tuple[Outcome, str]) -> None:
        kept: deque[Parcel] = deque()
        for parcel in self._waiting:
            if parcel.key in allowed:
                kept.append(parcel._replace(read_at=read_at))
            else:
                self._fleet.results.append(_ours(parcel, *refusal))
        self._waiting = kept

    def _wind_up(self) -> None:
        """Begin nothing more."""
        self._stopping = self._no_more = True
        self._hand_back("the sending was stopped")

    def _hand_back(self, reason: str) -> None:
        self._fleet.results.extend(_ours(parcel, Outcome.UNSENT, reason) for parcel in self._waiting)
        self._waiting.clear()

    # ── results ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _flush_if_due(self, now: float) -> None:
        results = self._fleet.results
        if not results:
            return
        if self._held_since is None:
            self._held_since = now
        if len(results) >= _MOST_RESULTS or now - self._held_since >= _HELD:
            self._flush()

    def _flush(self) -> None:
        results = self._fleet.results
        self._held_since = None
        while results:
            batch = results[:_MOST_RESULTS]
            del results[:_MOST_RESULTS]
            self._settle(batch)


def _ours(parcel: Parcel, outcome: Outcome, text: str) -> Result:
    return Result(parcel.key, outcome, None, None, one_line(text), datetime.now(UTC), "")
