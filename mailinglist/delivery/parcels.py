"""What is handed to a mail server, and what comes back: the words of the handing-over. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class Outcome(StrEnum):
    """What became of one parcel. Exactly one for each."""

    ACCEPTED = "accepted"
    """The server took responsibility: 2yz to the final dot (RFC 5321 §4.2.5)."""
    DEFERRED = "deferred"
    """4yz about this message: not now, try again later. Also a 421 that answers the final dot: not taken, and content
    that went once in vain should not go again at once."""
    REJECTED = "rejected"
    """5yz about this message, or this relay can't carry it (the text then says so in our words)."""
    UNCERTAIN = "uncertain"
    """The final dot went, and no answer came. It may have arrived: never send it again unasked (RFC 1047)."""
    UNSENT = "unsent"
    """Not accepted, and not its fault: the connection broke, or the server said 421, before the final dot; no relay
    could be reached; or the sending was stopped. It may be tried again at once, but count the tries: a server can
    answer one recipient with 421 for ever."""
    EXCLUDED = "excluded"
    """The gate, read again at the last moment, said no. No octet of the content went."""


class Stage(StrEnum):
    """Which command the server's answer answers. A 5yz to `MAIL` is about the sender, not about the recipient."""

    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    CONTENT = "content"


# A line with a lone dot inside the content would end it there, and what follows would be read as commands.
_LONE_DOT = re.compile(rb"\n\.\r?\n")


class Content(NamedTuple):
    """A complete message (RFC 5322) as it goes behind DATA: CRLF, lines of at most 998, dot-stuffed, ending in CRLF,
    without the final dot. In pieces, which the socket takes as they are: most of them are the same for everybody.
    """

    pieces: tuple[bytes, ...]
    octets: int
    plain: bool = True
    """ASCII throughout; else only what the header has of the recipient's address isn't."""
    ready: bool = True

    @classmethod
    def of(cls, message: bytes) -> Content:
        """A message that is no template's, looked at for what would break a conversation."""
        ready = message.endswith(b"\r\n") and not message.startswith(b".\r\n") and not _LONE_DOT.search(message)
        return cls((message,), len(message), message.isascii(), ready)

    def __bytes__(self) -> bytes:
        return b"".join(self.pieces)


class Parcel(NamedTuple):
    """One message to one recipient: one transaction.

    `sender` is the envelope sender, "" for the null return path. `read_at` is `time.monotonic()` just before the gate
    reading that allowed it.
    """

    key: int
    sender: str
    recipient: str
    content: Content
    read_at: float


class Result(NamedTuple):
    """What became of the parcel with this key.

    `code` and `enhanced` (RFC 3463) are the server's, or the ones a server would give where we refuse in its place
    (`stage` is None then); `text` is one line of at most 500 characters; `at` is UTC: when the final answer was read,
    or the end was seen; `relay` is host:port, "" where no server was asked.
    """

    key: int
    outcome: Outcome
    code: int | None
    enhanced: str | None
    text: str
    at: datetime
    relay: str
    stage: Stage | None = None


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a server is waited for, in seconds: by command, as RFC 5321 §4.5.3.2 asks, and our own limits."""

    connect: float = 30.0
    """To one address of a relay; and the TLS handshake."""
    greeting: float = 300.0
    hello: float = 300.0
    """EHLO, HELO, STARTTLS and AUTH: the RFC names no limit."""
    mail: float = 300.0
    rcpt: float = 300.0
    data: float = 120.0
    block: float = 180.0
    """Without any progress in writing."""
    final: float = 600.0
    """For the answer to the final dot: giving up sooner makes uncertain what would have been accepted."""
    idle: float = 60.0
    """A connection unused for longer is closed instead of used again. Servers wait 300 (§4.5.3.2.7), many less."""
    rest_first: float = 1.0
    """How long a relay that failed is left alone; doubled with each failure in a row."""
    rest_most: float = 300.0
