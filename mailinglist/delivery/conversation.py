"""The transactions of one connection that is ready: parcels in, octets out, answers in, results out. Pure: no socket,
no clock.

    sent     MAIL RCPT DATA(1) │         │ content(1) . MAIL RCPT DATA(2) │             │ content(2) . …
    answered                   │ 2 2 354 │                                │ 250 2 2 354 │

A parcel is *ahead* (loaded, nothing of it sent), then *open* (its envelope is on its way), then *closing* (its content
is). With PIPELINING, DATA ends a group, and the content, its final dot and the next envelope are the next one (RFC 2920
§3.1). So at most one parcel waits for the answer to its final dot, and at most one for its 354, whatever happens to the
connection. Without PIPELINING each command waits for the answer to the one before.

The gate: `outgoing` lets an envelope, or a content, begin only while the parcel's gate reading is at most `fresh_for`
seconds old; else it sets `stale`, and the caller reads the gate again and tells `renew`. Nothing begins by being handed
out by `outgoing`: only what `took` says has gone into the socket has begun, and what has begun is finished. So nothing
grows stale in a buffer of ours.

Loss: what is unanswered then gets its result by how far it came. UNCERTAIN begins with the first octet of the final
dot's line.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from .offers import Envelope, Offers, Refusal, address
from .parcels import Outcome, Parcel, Result, Stage, Timeouts
from .replies import Reply, ReplyReader, one_line

_DOT = b".\r\n"
_LARGE = 1 << 16  # while so much of a content is left, the next mail's turn hasn't come

Octets = Sequence[bytes | memoryview]
"""What is written together, in parts."""


class _Awaited(NamedTuple):
    """An answer that will come: to what, waited for how long, and who takes it."""

    command: str
    limit: float
    take: Callable[[Reply], None]


class Conversation:
    """One connection's transactions. `settle` gets each result as it falls.

    `one_by_one` keeps the content and the next envelope in writes of their own, and holds an envelope that was offered
    once to be begun: OpenSSL wants a write that would have blocked repeated with the same octets.
    """

    def __init__(
        self,
        offers: Offers,
        timeouts: Timeouts,
        *,
        relay: str,
        fresh_for: float,
        one_by_one: bool,
        settle: Callable[[Result], None],
    ) -> None:
        self._offers = offers
        self._relay = relay
        self._fresh_for = fresh_for
        self._one_by_one = one_by_one
        self._settle = settle
        self._block = timeouts.block
        self._mail = _Awaited("MAIL", timeouts.mail, self._mail_answered)
        self._rcpt = _Awaited("RCPT", timeouts.rcpt, self._rcpt_answered)
        self._data = _Awaited("DATA", timeouts.data, self._data_answered)
        self._final = _Awaited("the final dot", timeouts.final, self._final_answered)
        self._nobody = _Awaited("the final dot of a message to nobody", timeouts.final, self._nobody_answered)
        self._reset = _Awaited("RSET", timeouts.mail, self._reset_answered)

        self._reader = ReplyReader()
        self._awaited: deque[_Awaited] = deque()
        self._ahead: Parcel | None = None
        self._envelope = Envelope(b"", b"")  # of the parcel ahead, or open
        self._open: Parcel | None = None
        self._refused: tuple[Stage, Reply] | None = None  # the first no to the open parcel
        self._told_to_go = False  # 354: the open parcel's content may begin
        self._closing: Parcel | None = None
        self._dot_at = 0  # where in all that is written the final dot of the closing parcel stands
        self._written = 0
        self._unsent: Octets = ()  # begun, and not yet in the socket
        self._offered: tuple[Octets, Octets, Octets] = (), (), ()  # of it, the unsent, a content, an envelope
        self._since = 0.0  # when the answer that is awaited now began to be
        self._at: datetime  # of the octets being read
        self._heard = True  # anything but 421, since the connection was last idle

        self.completed = 0
        """Transactions the server has answered to the end."""
        self.stale = False
        """Something waits for `renew`."""
        self.lost: str | None = None
        """Why the connection is of no more use; None while it is."""
        self.at_fault = False
        """It was lost with a parcel on it before it had completed anything: the relay is to be avoided for a while."""
        self.returned: list[Parcel] = []
        """After a loss: parcels nothing became of, that may go over another connection as if never loaded."""

    # ── what goes out ───────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def hungry(self) -> bool:
        """Whether a parcel loaded now could begin with the next write."""
        if self._ahead is not None or self.lost is not None:
            return False
        if self._offers.pipelining:
            return self._open is None or self._told_to_go
        return not self._awaited and not self.laden

    @property
    def laden(self) -> bool:
        """Whether a parcel is on it."""
        return (self._ahead or self._open or self._closing) is not None

    def load(self, parcel: Parcel, at: datetime) -> None:
        """Take a parcel; only when hungry. One that this server can't carry is REJECTED here and now."""
        envelope = address(parcel, self._offers)
        if isinstance(envelope, Refusal):
            text = envelope.text
            self._settle(Result(parcel.key, Outcome.REJECTED, envelope.code, envelope.enhanced, text, at, self._relay))
            return
        if not self.laden:
            self._heard = False
        self._ahead = parcel
        # If one is open now, it is told to go, and needs its envelope no more.
        self._envelope = envelope

    def outgoing(self, now: float) -> Octets:
        """What may be written now. Say with `took` how much of it was, and ask again."""
        self.stale = False
        unsent: Octets = self._unsent
        content: Octets = ()
        envelope: Octets = ()
        end = _size(unsent)
        oldest = now - self._fresh_for
        alone = self._one_by_one or end > _LARGE
        if not (end and alone) and self.lost is None:
            if self._told_to_go and self._open is not None:
                if self._open.read_at < oldest:
                    self.stale = True
                else:
                    content = (*self._open.content.pieces, _DOT)
            if self._ahead is not None and not self.stale and not (content and alone) and self._may_open(content):
                if self._ahead.read_at < oldest:
                    self.stale = True
                else:
                    envelope = (self._commands(),)
        if self._one_by_one and envelope:
            unsent, envelope = envelope, ()
            self._unsent = unsent
            self._begin_envelope(now)
        self._offered = unsent, content, envelope
        offered = (*unsent, *content, *envelope)
        return (b"".join(offered),) if self._one_by_one and len(offered) > 1 else offered

    def _may_open(self, content: Octets) -> bool:
        if self._offers.pipelining:
            return self._open is None or bool(content)
        return not self._awaited and self._open is None

    def _commands(self) -> bytes:
        envelope = self._envelope
        return b"".join((envelope.mail, envelope.rcpt, b"DATA\r\n")) if self._offers.pipelining else envelope.mail

    def took(self, count: int, now: float) -> None:
        """The socket took the first `count` octets of what `outgoing` offered last."""
        if not count:
            return
        begun, content, envelope = self._offered
        end = _size(begun)
        if content and count > end:
            self._begin_content(end)
            begun = (*begun, *content)
            end = _size(begun)
        if count > end:
            self._begin_envelope(now)
            begun = (*begun, *envelope)
            end += _size(envelope)
        self._written += count
        self._unsent = _after(begun, count) if count < end else ()
        self._since = now

    def _begin_content(self, start: int) -> None:
        assert self._open is not None  # outgoing offers no content otherwise
        self._dot_at = self._written + start + self._open.content.octets
        self._closing, self._open = self._open, None
        self._told_to_go = False
        self._awaited.append(self._final)

    def _begin_envelope(self, now: float) -> None:
        self._open, self._ahead = self._ahead, None
        self._refused = None
        if not self._awaited:
            self._since = now
        if self._offers.pipelining:
            self._awaited.extend((self._mail, self._rcpt, self._data))
        else:
            self._awaited.append(self._mail)

    def _say(self, line: bytes, awaited: _Awaited) -> None:
        self._unsent = (*self._unsent, line)
        self._awaited.append(awaited)

    # ── what comes in ───────────────────────────────────────────────────────────────────────────────────────────────

    def receive(self, data: bytes, now: float, at: datetime) -> None:
        """Take octets from the server, read at `now` (monotonic) and `at` (UTC)."""
        self._at = at
        for reply in self._reader.feed(data):
            if not self._awaited:
                self.lose(f"the mail server hung up: {reply}" if reply.code == 421 else "an answer to nothing", at)
                return
            self._since = now
            awaited = self._awaited.popleft()
            if reply.code == 421 and awaited is not self._final:
                self._hang_up(reply)
                return
            self._heard = True
            awaited.take(reply)
            if self.lost is not None:
                return
        if self._reader.fault is not None:
            self.lose(f"an answer that can't be understood: {self._reader.fault}", at)

    def _mail_answered(self, reply: Reply) -> None:
        self._envelope_answered(reply, Stage.MAIL, self._envelope.rcpt, self._rcpt)

    def _rcpt_answered(self, reply: Reply) -> None:
        self._envelope_answered(reply, Stage.RCPT, b"DATA\r\n", self._data)

    def _envelope_answered(self, reply: Reply, stage: Stage, line: bytes, awaited: _Awaited) -> None:
        kind = reply.code // 100
        if kind == 3:
            self._out_of_step(stage, reply)
        elif kind != 2 and self._refused is None:
            self._refused = stage, reply
        if self._offers.pipelining or self.lost is not None:
            return
        if self._refused is None:
            self._say(line, awaited)
        else:
            self._give_up_open()

    def _data_answered(self, reply: Reply) -> None:
        if reply.code == 354 and self._refused is None:
            self._told_to_go = True
        elif reply.code == 354:
            # Nobody is to get it, yet the server waits for a message: an empty one (RFC 2920 §3.1).
            self._say(_DOT, self._nobody)
            self._judge_open()
        elif reply.code // 100 in (4, 5):
            self._refused = self._refused or (Stage.DATA, reply)
            self._give_up_open()
        else:
            self._out_of_step(Stage.DATA, reply)

    def _give_up_open(self) -> None:
        """Refused, but the server may still hold its MAIL: RSET, ahead of the next (RFC 5321 §4.1.1.5)."""
        self._say(b"RSET\r\n", self._reset)
        self._judge_open()

    def _judge_open(self) -> None:
        assert self._open is not None
        assert self._refused is not None
        parcel, (stage, reply) = self._open, self._refused
        self._open = None
        self._judge(parcel, reply, stage)

    def _final_answered(self, reply: Reply) -> None:
        parcel, self._closing = self._closing, None
        assert parcel is not None  # the answer is awaited only while a parcel is closing
        early = self._written <= self._dot_at
        if reply.code // 100 == 3 or (early and reply.code // 100 == 2):
            self._closing = parcel
            self._out_of_step(Stage.CONTENT, reply)
            return
        self._judge(parcel, reply, Stage.CONTENT)
        if reply.code == 421:
            self.lose(f"the mail server hung up: {reply}", self._at)
        elif early:
            # The rest of the content can't be taken back, nor sent to a server that no longer expects it.
            self.lose("refused in the middle of the content", self._at)

    def _nobody_answered(self, reply: Reply) -> None:
        """Whatever the server says to a message to nobody: the recipient's result has fallen."""

    def _reset_answered(self, reply: Reply) -> None:
        if reply.code // 100 != 2:
            self.lose(f"RSET was answered with {reply}", self._at)

    def _judge(self, parcel: Parcel, reply: Reply, stage: Stage) -> None:
        kind = reply.code // 100
        outcome = Outcome.ACCEPTED if kind == 2 else Outcome.DEFERRED if kind == 4 else Outcome.REJECTED
        self.completed += 1
        self._settle(Result(parcel.key, outcome, reply.code, reply.enhanced, reply.text, self._at, self._relay, stage))

    # ── the end of it ───────────────────────────────────────────────────────────────────────────────────────────────

    def overdue(self, now: float) -> str | None:
        """What the server was waited for too long, else None."""
        writing = self._closing is not None and self._written <= self._dot_at
        if self._awaited and not writing:
            if now - self._since > self._awaited[0].limit:
                return f"no answer to {self._awaited[0].command}"
        elif (self._unsent or self._told_to_go) and now - self._since > self._block:
            return "the mail server takes no more octets"
        return None

    def overstays(self, now: float) -> bool:
        """Whether all that it waits for is leave to send a content that it would have to ask the gate about first."""
        opened = self._open
        return self._closing is None and opened is not None and opened.read_at < now - self._fresh_for

    def lose(self, reason: str, at: datetime, *, blameless: bool = False) -> None:
        """The connection is no more; every parcel on it gets its result, or is in `returned`. Repeated, nothing."""
        if self.lost is None:
            self._end(reason, at, None, blameless=blameless)

    def _hang_up(self, reply: Reply) -> None:
        self._end(f"the mail server hung up: {reply}", self._at, reply)

    def _out_of_step(self, stage: Stage, reply: Reply) -> None:
        self.lose(f"an answer that makes no sense to {stage.upper()}: {reply}", self._at)

    def _end(self, reason: str, at: datetime, reply: Reply | None, *, blameless: bool = False) -> None:
        self.lost = reason = one_line(reason)
        self.stale = False
        self._unsent = ()
        self.at_fault = self.completed == 0 and not blameless and (self._open or self._closing) is not None
        if self._closing is not None:
            outcome = Outcome.UNCERTAIN if self._written > self._dot_at else Outcome.UNSENT
            self._settle(Result(self._closing.key, outcome, None, None, reason, at, self._relay))
        if self._open is not None and not self._heard and self.completed:
            # It died while it was idle, and we found out by using it: no failure of this parcel.
            self.returned.append(self._open)
        elif self._open is not None:
            code, enhanced, text = (reply.code, reply.enhanced, reply.text) if reply else (None, None, reason)
            self._settle(Result(self._open.key, Outcome.UNSENT, code, enhanced, text, at, self._relay))
        if self._ahead is not None:
            self.returned.append(self._ahead)
        self._ahead = self._open = self._closing = None
        self._awaited.clear()

    # ── the gate ────────────────────────────────────────────────────────────────────────────────────────────────────

    def waiting(self) -> Iterator[Parcel]:
        """The parcels that `renew` is to speak of: told to go, or ahead."""
        if self._told_to_go and self._open is not None:
            yield self._open
        if self._ahead is not None:
            yield self._ahead

    def renew(self, allowed: Collection[int], read_at: float, at: datetime, refusal: tuple[Outcome, str]) -> None:
        """The gate was read again at `read_at`; what waited and is not `allowed` gets `refusal` as its result.

        A content that the server already waits for can't be taken back but by dropping the connection (RFC 5321
        §4.1.1.4: then the server discards the transaction).
        """
        if self._ahead is not None:
            if self._ahead.key in allowed:
                self._ahead = self._ahead._replace(read_at=read_at)
            else:
                self._withhold(self._ahead, at, refusal)
                self._ahead = None
        if self._told_to_go and self._open is not None:
            if self._open.key in allowed:
                self._open = self._open._replace(read_at=read_at)
            else:
                self._withhold(self._open, at, refusal)
                self._open = None
                self.lose("dropped before the content", at, blameless=True)

    def _withhold(self, parcel: Parcel, at: datetime, refusal: tuple[Outcome, str]) -> None:
        outcome, text = refusal
        self._settle(Result(parcel.key, outcome, None, None, text, at, self._relay))


def _size(parts: Octets) -> int:
    return sum(map(len, parts))


def _after(parts: Octets, count: int) -> Octets:
    """What is left of `parts` after their first `count` octets."""
    for at, part in enumerate(parts):
        if count < len(part):
            return (memoryview(part)[count:], *parts[at + 1 :])
        count -= len(part)
    return ()
