"""One socket to one relay, never blocking: dialled, secured, opened, then in conversation, then lost.

What happens on it is decided in the pure files `opening` and `conversation`; here are the system calls, and what their
errors mean.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import Enum, auto

from ..settings import is_loopback
from .conversation import Conversation, Octets
from .offers import Offers
from .opening import Ask, Opening, Secure, Unusable
from .parcels import Timeouts
from .relays import Standing

AddressInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]
"""As `socket.getaddrinfo` gives them."""

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_CHUNK = 1 << 16
_MOST_PARTS = 1024  # of one write (IOV_MAX)
_LATER = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_UNDER_WAY = (0, errno.EINPROGRESS, errno.EWOULDBLOCK)


class _Phase(Enum):
    DIALLING = auto()
    SECURING = auto()
    TALKING = auto()


class Connection:
    """One connection; registers itself with the selector, as its key's `data`.

    `converse` makes the conversation once the server is ready, from its offers and whether the connection is under TLS;
    `context` gives the TLS settings, verifying or not. After a failure `trouble` says why, and the socket is closed.
    """

    def __init__(
        self,
        standing: Standing,
        addresses: Sequence[AddressInfo],
        selector: selectors.BaseSelector,
        *,
        helo: str,
        timeouts: Timeouts,
        context: Callable[[bool], ssl.SSLContext],
        converse: Callable[[Offers, bool], Conversation],
        now: float,
    ) -> None:
        self.standing = standing
        self._addresses = list(addresses)
        self._selector = selector
        self._helo = helo
        self._timeouts = timeouts
        self._context = context
        self._converse = converse
        self._socket: socket.socket | None = None
        self._watched = 0
        self._phase = _Phase.DIALLING
        self._since = self.began = now
        self._opening: Opening | None = None
        self.conversation: Conversation | None = None
        """Once the server is ready for parcels."""
        self.trouble: str | None = None
        """Why it could not be opened."""
        self.proven = False
        """It has completed a transaction, and its relay's standing was told."""
        try:
            self._dial(now)
        except Unusable as error:
            self.trouble = str(error)

    # ── until the server is ready ───────────────────────────────────────────────────────────────────────────────────

    def advance(self, now: float) -> None:
        """The socket is ready for the next step of the opening."""
        try:
            if self._phase is _Phase.DIALLING:
                self._dialled(now)
            elif self._phase is _Phase.SECURING:
                self._shake_hands(now)
            else:
                self._talk(now)
        except Unusable as error:
            self._fail(str(error))
        except ssl.SSLCertVerificationError as error:
            self._fail(f"can't prove that it is {self.standing.relay.host}: {error.verify_message}")
        except ssl.SSLError as error:
            self._fail(f"can't agree on TLS ({error.reason or 'the connection was closed'}){self._way_round()}")
        except OSError as error:
            # A server that can't do TLS may as well reset the connection as close it.
            self._fail(f"broke the connection off ({_reason(error)}){self._way_round()}")

    def overdue(self, now: float) -> None:
        """Fail, or lose the conversation, if the server was waited for too long."""
        if self.conversation is not None:
            late = self.conversation.overdue(now)
            if late is not None:
                self.conversation.lose(late, datetime.now(UTC))
        elif self.trouble is None and now - self._since > self._limit():
            if self._phase is _Phase.DIALLING:
                self._try_next("no answer", now)
            else:
                self._fail(f"keeps silent where it should answer {self._expected()}")

    def _way_round(self) -> str:
        """What would help where the handshake fails, and TLS is not insisted on."""
        securing = self._phase is _Phase.SECURING and self.standing.relay.tls == "if-offered"
        return "; ?starttls=never would do without TLS" if securing else ""

    def _limit(self) -> float:
        step = self._opening.step if self._opening else None
        return step.limit if isinstance(step, Ask) else self._timeouts.connect

    def _expected(self) -> str:
        step = self._opening.step if self._opening else None
        return step.what if isinstance(step, Ask) else "the TLS handshake"

    def _dial(self, now: float, failure: str = "it has no address") -> None:
        """Begin to connect to the next address of the relay. Raises Unusable when there is no other."""
        while self._addresses:
            family, kind, protocol, _, target = self._addresses.pop(0)
            try:
                self._socket = socket.socket(family, kind, protocol)
            except OSError as error:  # an address family that this machine hasn't got
                failure = _reason(error)
                continue
            self._socket.setblocking(False)
            code = self._socket.connect_ex(target)
            if code in _UNDER_WAY:
                self._since = now
                self._watch(WRITE)
                return
            failure = os.strerror(code)
            self._socket.close()
        self._socket = None
        raise Unusable(f"can't be reached ({failure})")

    def _try_next(self, failure: str, now: float) -> None:
        self.close()
        try:
            self._dial(now, failure)
        except Unusable as error:
            self.trouble = str(error)

    def _dialled(self, now: float) -> None:
        sock = self._live()
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._try_next(os.strerror(code), now)
            return
        # A group is one write; waiting for the answer to the one before would only hold it back.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._phase = _Phase.TALKING
        loopback = is_loopback(str(sock.getpeername()[0]))
        self._opening = Opening(self.standing.relay, self._helo, self._timeouts, loopback=loopback)
        self._next_step(now)

    def _talk(self, now: float) -> None:
        sock, opening = self._live(), self._begun()
        if opening.outgoing:
            self._flush()
            return
        try:
            data = sock.recv(_CHUNK)
        except _LATER:
            return
        if not data:
            raise Unusable(f"closed the connection where it should answer {self._expected()}")
        step = opening.step
        opening.receive(data)
        if opening.step is not step:
            self._next_step(now)

    def _next_step(self, now: float) -> None:
        """The opening has come to a new step: a question to send, a handshake to make, or its end."""
        opening = self._begun()
        self._since = now
        if opening.offers is not None:
            self.conversation = self._converse(opening.offers, isinstance(self._socket, ssl.SSLSocket))
            self._opening = None
            self._watch(READ)
        elif isinstance(opening.step, Secure):
            # Detaching gives the new object the same descriptor, so the selector needn't know.
            self._socket = self._context(opening.step.verify).wrap_socket(
                self._live(), server_hostname=self.standing.relay.host, do_handshake_on_connect=False
            )
            self._phase = _Phase.SECURING
            self._shake_hands(now)
        else:
            self._flush()

    def _flush(self) -> None:
        """Write the question; a few octets, that all but always go at once."""
        opening = self._begun()
        if opening.outgoing:
            try:
                count = self._live().send(opening.outgoing)
            except _LATER:
                count = 0
            opening.outgoing = opening.outgoing[count:]
        self._watch(READ | WRITE if opening.outgoing else READ)

    def _shake_hands(self, now: float) -> None:
        sock = self._live()
        assert isinstance(sock, ssl.SSLSocket)
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            self._watch(READ)
        except ssl.SSLWantWriteError:
            self._watch(WRITE)
        else:
            self._phase = _Phase.TALKING
            self._begun().secured()
            self._next_step(now)

    # ── in conversation ─────────────────────────────────────────────────────────────────────────────────────────────

    def read(self, conversation: Conversation, now: float) -> bool:
        """Give the conversation what has come; whether there may be more."""
        try:
            data = self._live().recv(_CHUNK)
        except _LATER:
            return False
        except OSError as error:
            conversation.lose(f"the connection broke ({_reason(error)})", datetime.now(UTC))
            return False
        if not data:
            conversation.lose("the mail server closed the connection", datetime.now(UTC))
            return False
        conversation.receive(data, now, datetime.now(UTC))
        return conversation.lost is None

    def write(self, conversation: Conversation, now: float) -> None:
        """Write what the conversation may send now, as far as the socket takes it."""
        while parts := conversation.outgoing(now):
            try:
                count = self._put(parts)
            except _LATER:
                count = 0
            except OSError as error:
                # What the server said before it closed is still to be read, and may be a result.
                while self.read(conversation, now):
                    pass
                conversation.lose(f"the connection broke ({_reason(error)})", datetime.now(UTC))
                return
            conversation.took(count, now)
            if not count:  # less than all isn't the end of it: OpenSSL takes 16 KiB at a time
                self._watch(READ | WRITE)
                return
        if self._watched != READ:
            self._watch(READ)

    def _put(self, parts: Octets) -> int:
        """Write as much as the socket takes. Copying the parts into one would cost as much as the call."""
        sock = self._live()
        return sock.send(parts[0]) if len(parts) == 1 else sock.sendmsg(parts[:_MOST_PARTS])

    def quit(self) -> None:
        """Say QUIT, if that is possible at once (RFC 5321 §4.1.1.10)."""
        if self.conversation is not None and self.conversation.lost is None and self._socket is not None:
            try:
                self._socket.send(b"QUIT\r\n")
            except OSError:
                self.close()

    def await_end(self, seconds: float) -> None:
        """Wait for the answer to QUIT, but no longer than this; then close."""
        if self._socket is not None:
            try:
                self._socket.settimeout(max(seconds, 0.001))
                self._socket.recv(_CHUNK)
            except OSError:
                pass  # silence, or a connection that is gone: in either case there is nothing to wait for
        self.close()

    def close(self) -> None:
        """Close the socket, whatever is on it. Repeated, nothing."""
        if self._socket is not None:
            self._watch(0)
            self._socket.close()
            self._socket = None

    # ── the socket ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _fail(self, trouble: str) -> None:
        self.trouble = trouble
        self.close()

    def _live(self) -> socket.socket:
        if self._socket is None:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return self._socket

    def _begun(self) -> Opening:
        assert self._opening is not None  # there is one from the first octet to the conversation
        return self._opening

    def _watch(self, events: int) -> None:
        if events != self._watched and self._socket is not None:
            if not events:
                self._selector.unregister(self._socket.fileno())
            elif self._watched:
                self._selector.modify(self._socket.fileno(), events, self)
            else:
                self._selector.register(self._socket.fileno(), events, self)
            self._watched = events


def _reason(error: OSError) -> str:
    return (error.reason if isinstance(error, ssl.SSLError) else error.strerror) or type(error).__name__
