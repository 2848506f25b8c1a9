"""The listener's side of SMTP (RFC 5321) and LMTP (RFC 2033): octets in, answers and questions out. Pure.

    conversation.receive(octets)
    while step := conversation.next():      # Asked: is this address ours?  Given: here is a mail
        conversation.admit(…) or conversation.settle(…)
    send(conversation.take())

One port speaks both: LHLO begins LMTP, where each recipient is answered for itself; EHLO or HELO begins SMTP. A line
ends in CRLF and in nothing else, and only CRLF.CRLF ends a mail: a mail with a bare CR or LF in it is refused, since
two servers that disagree about it can be made to see two mails in one (SMTP smuggling). Memory is bounded by LARGEST
and the length of a command; what is too large is read to its end without being kept, so that the sender hears why.

aiosmtpd, which the catcher uses, is not used here: it answers LMTP once for all recipients, takes a command that ends
in a bare LF, and hands each line of a mail through Python; docs/benchmarks.md has the difference.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from .bounds import LARGEST, RECIPIENTS, TOGETHER

LONGEST_COMMAND = 2048
"""Octets; RFC 5321 §4.5.3.1.4 asks for 512, and extensions for more."""
LONGEST_LINE = 100_000
"""Octets of one line of a mail: RFC 5321 §4.5.3.1.6 asks for 1,000, and programs that make reports keep to less."""
SWALLOWED = 128 * 1024 * 1024
"""Octets of a mail that is too large which are read for the sake of an answer; then the connection is closed."""
MOST_COMMANDS = 300
"""Between two mails."""
MOST_FAULTS = 20

_END = b"\r\n.\r\n"
_PATH = re.compile(r"<((?:\"(?:[^\"\\]|\\.)*\"|[^<>\s\"])*)>(?:\s+(.*))?")
_OTHER_PROTOCOL = frozenset({"GET", "POST", "PUT", "HEAD", "CONNECT", "OPTIONS", "DELETE"})
_CLOSING = "{} closing the connection"


@dataclass(frozen=True, slots=True)
class Asked:
    """Is this recipient one of our addresses? Answer with `admit`."""

    recipient: str


@dataclass(frozen=True, slots=True)
class Given:
    """A mail, which is ours to keep once we say so. Answer with `settle`: one reply for each recipient."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes = field(repr=False)
    via: str
    """lmtp or smtp."""


class Conversation:
    """One connection. Not for several threads.

    `over` is true when nothing more is to be said: send what `take` gives, and close.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._out = bytearray(f"220 {name} LMTP and SMTP, for mail to this address book only\r\n".encode())
        self._buffer = bytearray()
        self._content: bytearray | None = None
        self._searched = 0
        self._octets = 0
        self._refusal: str | None = None
        """Why the mail that is being read is not taken."""
        self._hello = ""
        self._extended = False
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._size = 0
        """Octets of the mail, as its sender announced it."""
        self._asked: str | None = None
        self._given = False
        self._commands = self._faults = 0
        self.over = False
        self.turns = 0
        """Commands and mails that were read whole: a client that goes on is patient with us, and we with them."""

    @property
    def in_content(self) -> bool:
        """Whether a mail is being read."""
        return self._content is not None

    @property
    def busy(self) -> bool:
        """Whether a mail is on its way."""
        return self._sender is not None

    @property
    def held(self) -> int:
        """Octets in memory."""
        return len(self._buffer) + (len(self._content) if self._content is not None else 0)

    def receive(self, octets: bytes) -> None:
        """What the client sent."""
        if self._content is None:
            self._buffer += octets
        else:
            self._content += octets
            self._octets += len(octets)

    def take(self) -> bytes:
        """What is to be sent; it is asked for once."""
        out, self._out = bytes(self._out), bytearray()
        return out

    def close(self, reply: str) -> None:
        """Say this, and that it is the end."""
        self._say(reply)
        self.over = True

    def let_go(self, reply: str) -> None:
        """There is no room for the mail that is being read: what is here is dropped, and `reply` is its answer."""
        self._refusal = self._refusal or reply
        self._shorten()

    # ── steps ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def next(self) -> Asked | Given | None:
        """Go on until something must be answered, or more octets are needed (None)."""
        assert self._asked is None, "the last question was not answered"
        assert not self._given, "the last mail was not settled"
        while not self.over:
            if self._content is not None:
                if not self._content_ended():
                    return None
                if given := self._given_now():
                    return given
                continue
            line = self._line()
            if line is None:
                return None
            self._command(line)
            if self._asked is not None:
                return Asked(self._asked)
        return None

    def admit(self, refusal: str | None) -> None:
        """The recipient that was asked for is ours, or this is the reply that says why not."""
        assert self._asked is not None
        recipient, self._asked = self._asked, None
        if refusal is None:
            self._recipients.append(recipient)
            self._say("250 2.1.5 Ok")
        else:
            self._fault(refusal)

    def settle(self, replies: Sequence[str]) -> None:
        """What became of the mail that was given, for each recipient."""
        assert self._given
        self._given = False
        if self._hello == "LHLO":
            for reply in replies:
                self._say(reply)
        else:  # one answer for all: that of the least lucky, who is tried again; who has it already has it once
            self._say(max(replies))
        self._reset()
        self._commands = 0

    # ── lines ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _line(self) -> str | None:
        end = self._buffer.find(b"\n", 0, LONGEST_COMMAND + 1)
        if end < 0:
            if len(self._buffer) > LONGEST_COMMAND:
                self._end("500 5.5.6 A command may have 2048 octets;")
            return None
        raw = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        self.turns += 1
        if not raw.endswith(b"\r\n") or raw.count(b"\r") != 1 or b"\0" in raw:
            self._end("500 5.5.2 A command ends in CR LF, and holds neither those nor NUL (RFC 5321 2.3.8);")
            return None
        try:
            return raw[:-2].decode("utf-8")
        except UnicodeDecodeError:
            self._fault("500 5.6.7 A command is ASCII or UTF-8")
            return self._line()

    def _command(self, line: str) -> None:
        self._commands += 1
        if self._commands > MOST_COMMANDS:
            self._end("421 4.7.0 Too many commands for no mail;")
            return
        verb, _, rest = line.partition(" ")
        verb, rest = verb.upper(), rest.strip()
        match verb:
            case "LHLO" | "EHLO" | "HELO":
                self._greet(verb, rest)
            case "MAIL":
                self._mail(rest)
            case "RCPT":
                self._rcpt(rest)
            case "DATA":
                self._data(rest)
            case "RSET":
                self._reset()
                self._say("250 2.0.0 Ok")
            case "NOOP":
                self._say("250 2.0.0 Ok")
            case "QUIT":
                self._say(f"221 2.0.0 {self._name} says good-bye")
                self.over = True
            case "VRFY":
                self._say("252 2.5.0 Send the mail, and you will see")
            case "HELP":
                self._say("214 2.0.0 RFC 2033, RFC 5321: LHLO or EHLO, MAIL, RCPT, DATA, RSET, NOOP, QUIT")
            case "EXPN" | "STARTTLS" | "AUTH" | "BDAT" | "TURN" | "ETRN":
                self._fault("502 5.5.1 Not offered here")
            case _ if verb in _OTHER_PROTOCOL:
                self._end("521 5.5.1 This is a mail server;")
            case _:
                self._fault("500 5.5.2 No such command")

    def _greet(self, verb: str, name: str) -> None:
        if not name:
            self._fault(f"501 5.5.4 {verb} wants the client's name")
            return
        self._reset()
        self._hello, self._extended = verb, verb != "HELO"
        if not self._extended:
            self._say(f"250 {self._name}")
            return
        offers = ("PIPELINING", f"SIZE {LARGEST}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
        self._out += "".join(f"250-{offer}\r\n" for offer in (self._name, *offers[:-1])).encode()
        self._say(f"250 {offers[-1]}")

    def _mail(self, rest: str) -> None:
        if not self._hello:
            self._fault("503 5.5.1 LHLO or EHLO comes first")
            return
        if self._sender is not None:
            self._fault("503 5.5.1 There is a sender already")
            return
        found = _path(rest, "FROM:")
        if found is None:
            self._fault("501 5.1.7 MAIL FROM:<address> is expected")
            return
        sender, said = found
        parameters = dict(part.upper().partition("=")[::2] for part in said.split())
        unknown = parameters.keys() - {"SIZE", "BODY", "SMTPUTF8"}
        size = parameters.get("SIZE", "0")
        if unknown or (said and not self._extended):
            self._fault("555 5.5.4 MAIL has a parameter that was not offered")
        elif not size.isascii() or not size.isdigit() or len(size) > 20:
            self._fault("501 5.5.4 SIZE is a number of octets")
        elif int(size) > LARGEST:
            self._fault(_too_large())
        elif parameters.get("BODY", "7BIT") not in ("7BIT", "8BITMIME"):
            self._fault("501 5.5.4 BODY is 7BIT or 8BITMIME")
        elif not sender.isascii() and "SMTPUTF8" not in parameters:
            self._fault("553 5.6.7 An address beyond ASCII needs SMTPUTF8 (RFC 6531)")
        else:
            self._sender, self._size = sender, int(size)
            self._say("250 2.1.0 Ok")

    def _rcpt(self, rest: str) -> None:
        if self._sender is None:
            self._fault("503 5.5.1 MAIL comes first")
            return
        found = _path(rest, "TO:")
        if found is None or not found[0]:
            self._fault("501 5.1.3 RCPT TO:<address> is expected")
        elif found[1]:
            self._fault("555 5.5.4 RCPT has a parameter that was not offered")
        elif len(self._recipients) >= RECIPIENTS:
            self._fault(f"452 4.5.3 {RECIPIENTS} recipients at most; send it to the others again")
        elif self._recipients and self._size * (len(set(self._recipients)) + 1) > TOGETHER:
            self._say("452 4.5.3 So large a mail goes to fewer at once; send it to the others again")
        elif found[0] in self._recipients:
            # Answered as one more by LMTP, and kept once all the same.
            self._recipients.append(found[0])
            self._say("250 2.1.5 Ok")
        else:
            self._asked = found[0]

    def _data(self, rest: str) -> None:
        if self._sender is None or not self._recipients:
            # RFC 2033 §4.2: without a valid recipient there is none to answer for.
            self._fault("503 5.5.1 There is no recipient")
            return
        if rest:
            self._fault("501 5.5.4 DATA has no parameter")
            return
        self._say("354 Go on; a line with only a dot ends it")
        # The CR LF before the first line is that of the command: so a dot is found, and taken off, everywhere alike.
        self._content = bytearray(b"\r\n") + self._buffer
        self._octets, self._searched, self._refusal = len(self._buffer), 0, None
        self._buffer = bytearray()

    # ── a mail ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _content_ended(self) -> bool:
        """Whether all of the mail is here; what comes after it is in the buffer again then."""
        assert self._content is not None
        end = self._content.find(_END, max(self._searched - len(_END) + 1, 0))
        if end < 0:
            self._searched = len(self._content)
            if self._octets > SWALLOWED:
                self._end(_too_large() + ";")
            elif self._octets > LARGEST:
                self.let_go(_too_large())
            return False
        self._buffer = self._content[end + len(_END) :]
        del self._content[end + 2 :]
        self.turns += 1
        return True

    def _shorten(self) -> None:
        """Keep only what the end may begin with."""
        if self._content is not None and len(self._content) > len(_END):
            del self._content[: 1 - len(_END)]
            self._searched = 0

    def _given_now(self) -> Given | None:
        assert self._content is not None
        assert self._sender is not None
        content, self._content = self._content, None
        raw = b"" if self._refusal else bytes(content.replace(b"\r\n.", b"\r\n"))[2:]
        refusal = self._refusal or _wrong(raw)
        if refusal is None and len(raw) * (copies := len(set(self._recipients))) > TOGETHER:
            refusal = f"552 5.3.4 So large a mail is not taken for {copies} at once"
        if refusal is None:
            self._given = True
            via = "lmtp" if self._hello == "LHLO" else "smtp"
            return Given(self._sender, tuple(self._recipients), raw, via)
        for _ in self._recipients if self._hello == "LHLO" else (None,):
            self._say(refusal)
        self._reset()
        self._faults += 1
        return None

    # ── words ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _reset(self) -> None:
        self._sender, self._recipients, self._size = None, [], 0

    def _say(self, reply: str) -> None:
        self._out += reply.encode("ascii", "replace") + b"\r\n"

    def _fault(self, reply: str) -> None:
        self._say(reply)
        self._faults += 1
        if self._faults >= MOST_FAULTS:
            self._end("421 4.7.0 Too much goes wrong;")

    def _end(self, reply: str) -> None:
        self.close(_CLOSING.format(reply))


def _path(rest: str, word: str) -> tuple[str, str] | None:
    """The address behind FROM: or TO:, without a source route (RFC 5321 §4.1.2), and the parameters after it."""
    if not rest.upper().startswith(word):
        return None
    found = _PATH.fullmatch(rest[len(word) :].strip())
    if found is None or len(found[1]) > 320 or not found[1].isprintable():
        return None
    address = found[1].partition(":")[2] if found[1].startswith("@") else found[1]
    return address, found[2] or ""


def _wrong(raw: bytes) -> str | None:
    """Why a mail that was read whole is not taken."""
    if len(raw) > LARGEST:
        return _too_large()
    lines = raw.count(b"\r\n")
    if raw.count(b"\r") != lines or raw.count(b"\n") != lines:
        return "550 5.6.0 The mail holds a bare CR or LF; lines end in CR LF (RFC 5321 2.3.8)"
    if len(raw) > LONGEST_LINE and max(map(len, raw.split(b"\r\n"))) > LONGEST_LINE:
        return f"550 5.6.0 The mail has a line of more than {LONGEST_LINE} octets"
    return None


def _too_large() -> str:
    return f"552 5.3.4 The mail is too large; {LARGEST} octets are taken"
