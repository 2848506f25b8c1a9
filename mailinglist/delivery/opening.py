"""From the greeting to the first MAIL: EHLO, STARTTLS, AUTH. Pure: a dialogue that says what to send and is given what
was answered.

`dialogue` reads like the RFCs, one command at a time; `Opening` runs it over octets. What goes wrong here is the
relay's or the settings' fault, never a parcel's: it is raised as `Unusable`, in one sentence for the operator.

TLS by `Relay.tls`:
- `implicit` and `required`: the certificate and the host name are verified, else the relay is not used.
- `if-offered`: STARTTLS where the server has it, and then without verifying (RFC 7435): who could forge the certificate
  could as well hide STARTTLS, so verifying would only turn mail away, to be sent in the clear. But where a password
  would go, the certificate is verified, for a password sent to a forger is lost.
- A password goes under TLS or to this very machine, or not at all (RFC 4954 §4, RFC 8314 §3).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Generator
from dataclasses import dataclass

from ..errors import Fault
from ..settings import Relay
from .offers import Offers
from .parcels import Timeouts
from .replies import Reply, ReplyReader


class Unusable(Fault):
    """This relay can't be used now. The message says why; it holds no password."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Send `line` (empty: only listen), and wait for one reply, at most `limit` seconds."""

    line: bytes
    limit: float
    what: str


@dataclass(frozen=True, slots=True)
class Secure:
    """Make the TLS handshake now."""

    verify: bool


Step = Ask | Secure
Dialogue = Generator[Step, Reply | None, Offers]


def dialogue(relay: Relay, helo: str, timeouts: Timeouts, *, loopback: bool) -> Dialogue:
    """The opening of one connection; returns what the server offers. Raises Unusable."""
    if relay.tls == "implicit":
        yield Secure(verify=True)
    greeting = yield from _ask(Ask(b"", timeouts.greeting, "a greeting"))
    if greeting.code != 220:
        raise Unusable(f"greets with {greeting}")
    offers = yield from _introduce(helo, timeouts)
    secured = relay.tls == "implicit"
    if relay.tls in ("required", "if-offered"):
        secured = yield from _start_tls(relay, offers, timeouts, loopback=loopback)
        if secured:
            # Nothing that was said in the clear is believed (RFC 3207 §4.2).
            offers = yield from _introduce(helo, timeouts)
    if relay.user is not None:
        if not secured and not loopback:
            raise Unusable("offers no TLS, and the password is not sent in the clear")
        yield from _sign_in(relay.user, relay.password or "", offers, timeouts)
    return offers


def _ask(question: Ask) -> Generator[Step, Reply | None, Reply]:
    reply = yield question
    assert reply is not None  # only Secure is answered by nothing
    return reply


def _introduce(helo: str, timeouts: Timeouts) -> Generator[Step, Reply | None, Offers]:
    reply = yield from _ask(Ask(f"EHLO {helo}\r\n".encode("ascii"), timeouts.hello, "EHLO"))
    if reply.code == 250:
        return Offers.read(reply)
    if reply.code // 100 == 5:  # a server without extensions (RFC 5321 §3.2)
        reply = yield from _ask(Ask(f"HELO {helo}\r\n".encode("ascii"), timeouts.hello, "HELO"))
        if reply.code == 250:
            return Offers()
    raise Unusable(f"answers EHLO with {reply}")


def _start_tls(
    relay: Relay, offers: Offers, timeouts: Timeouts, *, loopback: bool
) -> Generator[Step, Reply | None, bool]:
    """Whether the connection is now under TLS."""
    required = relay.tls == "required"
    if not offers.starttls:
        if required:
            raise Unusable("offers no STARTTLS, which is required")
        return False
    reply = yield from _ask(Ask(b"STARTTLS\r\n", timeouts.hello, "STARTTLS"))
    if reply.code == 220:
        yield Secure(verify=required or (relay.user is not None and not loopback))
        return True
    if required or reply.code == 421:
        raise Unusable(f"answers STARTTLS with {reply}")
    return False


def _sign_in(user: str, password: str, offers: Offers, timeouts: Timeouts) -> Generator[Step, Reply | None, None]:
    if "PLAIN" in offers.sign_in:
        secret = b64encode(f"\0{user}\0{password}".encode())  # RFC 4616
        lines = [b"AUTH PLAIN " + secret]
    elif "LOGIN" in offers.sign_in:
        lines = [b"AUTH LOGIN", b64encode(user.encode()), b64encode(password.encode())]
    else:
        raise Unusable("offers no way to sign in that is known here (PLAIN, LOGIN)")
    last = lines.pop()
    for line in lines:
        reply = yield from _ask(Ask(line + b"\r\n", timeouts.hello, "AUTH"))
        if reply.code != 334:
            raise Unusable(f"refuses the sign-in: {reply}")
    reply = yield from _ask(Ask(last + b"\r\n", timeouts.hello, "AUTH"))
    if reply.code != 235:
        raise Unusable(f"refuses the sign-in: {reply}")


class Opening:
    """A dialogue over octets: `outgoing` to send, `receive` what came. Raises Unusable from each of its verbs."""

    def __init__(self, relay: Relay, helo: str, timeouts: Timeouts, *, loopback: bool) -> None:
        self._dialogue = dialogue(relay, helo, timeouts, loopback=loopback)
        self._reader = ReplyReader()
        self.outgoing = b""
        """What is still to be sent."""
        self.offers: Offers | None = None
        """What the server offers, once the opening is over."""
        self.step: Step | None = None
        self._advance(None)

    def receive(self, data: bytes) -> None:
        """Take octets from the server."""
        replies = self._reader.feed(data)
        if self._reader.fault is not None:
            raise Unusable(f"says what can't be understood: {self._reader.fault}")
        if not replies:
            return
        self._advance(replies[0])
        # One question, one answer. More would be out of step, and behind STARTTLS it would be words that somebody put
        # into the clear for us to take as said under TLS (RFC 3207 §4.2, CVE-2011-0411).
        if len(replies) > 1 or self._reader.midway:
            raise Unusable("says more than it was asked")

    def secured(self) -> None:
        """The handshake that was asked for is made."""
        self._reader = ReplyReader()
        self._advance(None)

    def _advance(self, reply: Reply | None) -> None:
        try:
            self.step = self._dialogue.send(reply)
        except StopIteration as end:
            self.step, self.offers = None, end.value
        else:
            if isinstance(self.step, Ask):
                self.outgoing += self.step.line
