"""A mail server that misbehaves, as a program of its own that can be killed: it writes down what it stores.

    python tests/badsink.py --port 2525 --log FILE --fault after-dot --seed 7 --after 5000 --most 20 --share 0.01

Each line of FILE is one fact, written with one `write` before the client hears of it, so that `kill -9` loses none:

    S 12 p7@example.fi     stored, a bulletin with the subject “Crash 12” (0: another subject)
    R 451 p7@example.fi    about to be refused with this code
    F 550                  a fault was done: the name
    D p7@example.fi        stored, but torn: no end of its last part, or another To

It behaves until it has stored `--after` messages. Then it misbehaves at random moments with about this share of the
messages, `--most` times. SIGUSR1: it behaves from then on. One thread, asyncio: thousands of messages a second.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import signal
from collections.abc import Callable

_SUBJECT = re.compile(rb"^Subject: Crash ([0-9]+)\r$", re.MULTILINE)
_TO = re.compile(rb"^To: ([^\r]*)\r$", re.MULTILINE)
_OFFERS = ("sink.example", "PIPELINING", "SIZE 1000000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
_STAGES = ("MAIL", "RCPT", "DATA", "DOT")
_RCPT = re.compile(rb"RCPT TO:<([^>]*)>", re.IGNORECASE)
_LONGEST_HANG = 3.0

REFUSALS = {
    "421": b"421 4.3.0 Closing\r\n",
    "451": b"451 4.3.0 Try again later\r\n",
    "550": b"550 5.1.1 No such user\r\n",
}
GARBAGE = (
    b"\xff\xfe\x00garbage\r\n", b"hello\r\n", b"999 What\r\n", b"25\r\n", b"250-One\r\n451 Two\r\n", b"x" * 6000,
)  # fmt: skip
FAULTS = ("none", *REFUSALS, "hang", "mid-data", "after-dot", "garbage", "split")


class Sink:
    """What all connections share: the log, and when to misbehave."""

    def __init__(self, log: int, fault: str, seed: int, *, after: int, most: int, share: float) -> None:
        self._log, self.fault, self._left, self._after, self._share = log, fault, most, after, share
        self.random = random.Random(seed)

    def behave(self) -> None:
        """No more faults."""
        self.fault = "none"

    def write(self, *words: str) -> None:
        """One fact. It has to be in the file before the client can know."""
        os.write(self._log, f"{' '.join(words)}\n".encode())

    def store(self, recipient: str, content: bytes) -> None:
        """Keep a message."""
        head = content[: content.find(b"\r\n\r\n") + 2]
        subject, to = _SUBJECT.search(head), _TO.search(head)
        self.write("S", subject[1].decode() if subject else "0", recipient)
        self._after -= 1
        if to is None or recipient not in to[1].decode() or not content.endswith(b"--\r\n"):
            self.write("D", recipient)

    def strikes(self, stage: str) -> bool:
        """Whether to misbehave now; noted if so."""
        stages = self._stages()
        if self._after > 0 or self._left <= 0 or stage not in stages:
            return False
        if self.random.random() > self._share / len(stages):
            return False
        self._left -= 1
        self.write("F", self.fault)
        return True

    def _stages(self) -> tuple[str, ...]:
        match self.fault:
            case "none" | "split":
                return ()
            case "mid-data":
                return ("BODY",)
            case "after-dot":
                return ("DOT",)
            case "550":  # to MAIL it would be about the sender, and stop the run: tests/delivery does that
                return ("RCPT", "DATA", "DOT")
            case _:
                return _STAGES


class Talk(asyncio.Protocol):
    """One connection: pipelined commands in, their answers out in one write."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._in = bytearray()
        self._out = bytearray()
        self._transport: asyncio.Transport
        self._recipient = ""
        self._in_content = self._hangs = self._gone = self._struck_body = False
        self._looked = 0  # octets of a content in which there is no end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._say(b"220 sink.example ESMTP\r\n")
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._in += data
        self._work()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True

    def _work(self) -> None:
        while not (self._hangs or self._gone) and (self._content() if self._in_content else self._line()):
            pass
        self._flush()

    # ── what comes ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _line(self) -> bool:
        """Answer one command. False: there is no whole one."""
        end = self._in.find(b"\r\n")
        if end < 0:
            return False
        line = self._in[:end].decode()
        del self._in[: end + 2]
        verb = line[:4].upper()
        if verb == "RCPT":
            self._recipient = line[line.index("<") + 1 : line.index(">")]
        elif verb == "MAIL" and (ahead := _RCPT.match(self._in)):  # so that a refusal can be written down by name
            self._recipient = ahead[1].decode()
        if verb in _STAGES and self._sink.strikes(verb):
            self._misbehave(lambda: self._obey(verb))
        else:
            self._obey(verb)
        return True

    def _obey(self, verb: str) -> None:
        match verb:
            case "EHLO":
                lines = [f"250{'-' if offer != _OFFERS[-1] else ' '}{offer}\r\n" for offer in _OFFERS]
                self._out += "".join(lines).encode()
            case "MAIL" | "RCPT" | "RSET" | "NOOP":
                self._say(b"250 2.0.0 Ok\r\n")
            case "DATA" if not self._recipient:  # its RCPT was refused
                self._say(b"503 5.5.1 No recipient\r\n")
            case "DATA":
                self._say(b"354 Go\r\n")
                self._in_content, self._looked, self._struck_body = True, 0, False
            case "QUIT":
                self._say(b"221 2.0.0 Bye\r\n")
                self._part()
            case _:
                self._say(b"502 5.5.2 What?\r\n")

    def _content(self) -> bool:
        """Take one content up to its final dot. False: it is not whole yet."""
        if self._in.startswith(b".\r\n"):  # a message to nobody
            end, content = 3, b""
        else:
            found = self._in.find(b"\r\n.\r\n", max(0, self._looked - 4))
            if self._in and not self._struck_body:  # one throw for each message, whether or not all of it is here
                self._struck_body = True
                if self._sink.strikes("BODY"):
                    self._part(abort=self._sink.random.random() < 0.5)
                    return False
            if found < 0:
                self._looked = len(self._in)
                return False
            end, content = found + 5, bytes(self._in[: found + 2])
        del self._in[:end]
        self._in_content = False
        recipient, self._recipient = self._recipient, ""
        if not content:
            self._say(b"554 5.5.0 Nobody\r\n")
            return True

        def keep() -> None:
            self._sink.store(recipient, content)
            self._say(b"250 2.0.0 Kept\r\n")

        if self._sink.strikes("DOT"):
            self._recipient = recipient
            self._misbehave(keep, lambda: self._sink.store(recipient, content))
            self._recipient = ""
        else:
            keep()
        return True

    # ── faults ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _misbehave(self, behave: Callable[[], None], store: Callable[[], None] = lambda: None) -> None:
        """One fault in place of an answer. `store` keeps the message, where the final dot has come."""
        sink, fault = self._sink, self._sink.fault
        if fault in REFUSALS:
            sink.write("R", fault, self._recipient)
            self._recipient = ""
            self._say(REFUSALS[fault])
            if fault == "421":
                self._part()
            return
        if sink.random.random() < 0.5:
            store()
        elif fault == "hang":  # it was only slow
            self._hang(behave)
            return
        if fault == "hang":
            self._hang(lambda: self._part(abort=True))
        elif fault == "after-dot":
            self._part(abort=sink.random.random() < 0.5)
        else:
            self._out += sink.random.choice(GARBAGE)
            self._flush()
            self._hangs = True  # what comes after garbage can't be told apart: the client has to leave

    def _hang(self, then: Callable[[], None]) -> None:
        self._flush()
        self._hangs = True

        def go_on() -> None:
            self._hangs = False
            if not self._gone:
                then()
                self._work()

        asyncio.get_running_loop().call_later(self._sink.random.uniform(0.2, _LONGEST_HANG), go_on)

    # ── what goes ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _say(self, reply: bytes) -> None:
        """One reply; of several lines, where replies are split."""
        self._out += b"%b-a\r\n%b-b\r\n" % (reply[:3], reply[:3]) + reply if self._sink.fault == "split" else reply

    def _flush(self) -> None:
        out, self._out = self._out, bytearray()
        if self._gone or not out:
            return
        if self._sink.fault == "split":
            for octet in out:  # asyncio sets TCP_NODELAY: one write is one segment
                if not self._transport.is_closing():
                    self._transport.write(bytes((octet,)))
        else:
            self._transport.write(out)

    def _part(self, *, abort: bool = False) -> None:
        """Close; by `abort`, with a reset and without what is still to be read."""
        self._flush()
        self._gone = True
        if abort:
            self._transport.abort()
        else:
            self._transport.close()


async def serve(sink: Sink, port: int) -> None:
    """Until the process ends."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, sink.behave)
    server = await loop.create_server(lambda: Talk(sink), "127.0.0.1", port, reuse_address=True)
    await server.serve_forever()


def main() -> None:
    """Read the command line, and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--fault", choices=FAULTS, default="none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--after", type=int, default=0)
    parser.add_argument("--most", type=int, default=0)
    parser.add_argument("--share", type=float, default=0.02)
    chosen = parser.parse_args()
    log = os.open(chosen.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    sink = Sink(log, chosen.fault, chosen.seed, after=chosen.after, most=chosen.most, share=chosen.share)
    asyncio.run(serve(sink, chosen.port))


if __name__ == "__main__":
    main()
