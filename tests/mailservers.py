"""Mail servers for tests, on real sockets: one that behaves except where it is told not to, and certificates for it.

`MailServer(misbehave)` calls `misbehave(moment)` before each answer. None: behave; otherwise the `Answer` says
what to do instead. It also watches the client: whatever breaks RFC 5321 or RFC 2920 is noted in `violations`.
"""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import ipaddress
import re
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from aiosmtpd.smtp import SMTP
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ALL = ("PIPELINING", "SIZE 1000000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
PATIENCE = 10.0
"""Seconds after which a test that waits for something has failed."""


@dataclass(frozen=True)
class Moment:
    """Where a conversation stands: `at` is GREETING, a verb, BODY (after the first line of content), CONTENT (after the
    final dot), or NOBODY (after the final dot of a message to nobody)."""

    at: str
    line: str
    connection: int
    """Counted from 0 over the server's life."""
    nth: int
    """Which of its kind on this connection, from 0."""
    server: MailServer


@dataclass(frozen=True)
class Answer:
    """What to do instead of behaving. `raw`: octets to say; `drop`: close then; `hang`: say nothing ever again;
    `store`: keep the message although the answer isn't 250, or not although it is; `before`: called first, may wait;
    `after`: called with the socket when it is said."""

    raw: bytes | None = None
    drop: bool = False
    hang: bool = False
    store: bool | None = None
    before: Callable[[], object] | None = None
    after: Callable[[socket.socket], object] | None = None


def says(*lines: str, drop: bool = False) -> Answer:
    """This reply, one argument a line."""
    return Answer(b"".join(line.encode() + b"\r\n" for line in lines), drop=drop)


DROP = Answer(drop=True)
HANG = Answer(hang=True)


@dataclass(frozen=True)
class Stored:
    """A message that the server kept."""

    sender: str
    recipient: str
    content: bytes


class _Gone(Exception):
    pass


@dataclass
class _Talk:
    """One connection's state."""

    sock: socket.socket
    number: int
    buffer: bytes = b""
    counts: dict[str, int] = field(default_factory=dict)
    secured: bool = False
    signed_in: bool = False
    extended: bool = False
    mail: str | None = None
    rcpt: str | None = None


class MailServer:
    """A server on 127.0.0.1 with a thread for each connection. Use as a context."""

    def __init__(
        self,
        misbehave: Callable[[Moment], Answer | None] = lambda moment: None,
        *,
        offers: tuple[str, ...] = ALL,
        split: bool = False,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        users: dict[str, str] | None = None,
    ) -> None:
        self._misbehave = misbehave
        self._offers = offers
        self._split = split
        self._tls = tls
        self._implicit = implicit
        self._users = users or {}
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self.stored: list[Stored] = []
        self.lines: list[str] = []
        """Every command line, of all connections."""
        self.content_octets = 0
        """Octets read after any 354, whether or not they became a message."""
        self.connections = 0
        self.violations: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        # Small, so that large contents go in many pieces.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a server thread hangs"

    def stop(self) -> None:
        """No more connections; those that hang end."""
        self._over.set()
        for sock in (self._listener, *self._sockets):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def recipients(self) -> list[str]:
        """Whom the kept messages are for."""
        with self._lock:
            return [each.recipient for each in self.stored]

    def verbs(self) -> list[str]:
        """The commands that came, without parameters."""
        with self._lock:
            return [line.split(" ")[0].upper() for line in self.lines]

    # ── threads ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _spawn(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(sock)
            sock.settimeout(PATIENCE)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._spawn(self._serve, _Talk(sock, self.connections))
            self.connections += 1

    def _serve(self, talk: _Talk) -> None:
        try:
            if self._implicit:
                self._secure(talk)
            self._answer(talk, "GREETING", "", b"220 mail.example ESMTP\r\n")
            while True:
                line = self._line(talk).decode()
                with self._lock:
                    self.lines.append(line)
                self._command(talk, line)
        except (_Gone, OSError):
            pass
        finally:
            talk.sock.close()

    # ── the protocol ────────────────────────────────────────────────────────────────────────────────────────────────

    def _command(self, talk: _Talk, line: str) -> None:
        verb = line.split(" ")[0].upper()
        self._watch(talk, verb)
        if verb in ("EHLO", "HELO"):
            talk.extended = verb == "EHLO"
            reply = self._hello(talk) if talk.extended else b"250 mail.example\r\n"
        elif verb == "STARTTLS" and self._tls is not None and not talk.secured:
            if self._answer(talk, verb, line, b"220 2.0.0 Go ahead\r\n") == 220:
                self._secure(talk)
            return
        elif verb == "AUTH":
            self._sign_in(talk, line)
            return
        elif verb == "MAIL":
            reply = self._mail(talk, line)
        elif verb == "RCPT":
            reply = self._rcpt(talk, line)
        elif verb == "DATA":
            self._data(talk, line)
            return
        elif verb in ("RSET", "NOOP"):
            talk.mail = talk.rcpt = None if verb == "RSET" else talk.rcpt
            reply = b"250 2.0.0 Ok\r\n"
        elif verb == "QUIT":
            self._answer(talk, verb, line, b"221 2.0.0 Bye\r\n")
            raise _Gone
        else:
            reply = b"502 5.5.2 What?\r\n"
        self._answer(talk, verb, line, reply)

    def _watch(self, talk: _Talk, verb: str) -> None:
        """Note what a client must not do: send on after a command that ends a group, or at all without PIPELINING."""
        pipelining = talk.extended and "PIPELINING" in self._offers
        ends_group = verb in ("EHLO", "HELO", "DATA", "STARTTLS", "AUTH", "QUIT") or not pipelining
        if ends_group and (talk.buffer or (not talk.secured and self._more(talk))):
            self.violations.append(f"sent on after {verb}")

    @staticmethod
    def _more(talk: _Talk) -> bool:
        # Nothing to be had from a readable socket: closed, not sent on.
        return bool(select.select([talk.sock], [], [], 0)[0] and talk.sock.recv(1, socket.MSG_PEEK))

    def _hello(self, talk: _Talk) -> bytes:
        offers = ["mail.example", *self._offers]
        if self._tls is not None and not talk.secured and not self._implicit:
            offers.append("STARTTLS")
        if self._users:
            offers.append("AUTH PLAIN LOGIN" if "LOGIN-ONLY" not in self._offers else "AUTH LOGIN")
        return b"".join(f"250{'-' if n < len(offers) - 1 else ' '}{each}\r\n".encode() for n, each in enumerate(offers))

    def _mail(self, talk: _Talk, line: str) -> bytes:
        if self._users and not talk.signed_in:
            return b"530 5.7.0 Authentication required\r\n"
        if talk.mail is not None:
            self.violations.append("MAIL within a transaction")
            return b"503 5.5.1 nested MAIL\r\n"
        match = re.fullmatch(r"MAIL FROM:<([^>]*)>((?: [A-Z0-9]+(?:=\S+)?)*)", line)
        if match is None:
            self.violations.append(line)
            return b"501 5.5.4 Syntax\r\n"
        for parameter in match[2].split():
            if parameter.partition("=")[0].replace("BODY", "8BITMIME") not in {
                each.split()[0] for each in self._offers
            }:
                self.violations.append(f"{parameter} isn't offered")
        talk.mail = match[1]
        return b"250 2.1.0 Ok\r\n"

    def _rcpt(self, talk: _Talk, line: str) -> bytes:
        match = re.fullmatch(r"RCPT TO:<(.+)>", line)
        if talk.mail is None or match is None:
            return b"503 5.5.1 MAIL first\r\n"
        talk.rcpt = match[1]
        return b"250 2.1.5 Ok\r\n"

    def _data(self, talk: _Talk, line: str) -> None:
        good = b"354 End data with <CR><LF>.<CR><LF>\r\n" if talk.rcpt else b"503 5.5.1 RCPT first\r\n"
        if self._answer(talk, "DATA", line, good) != 354:
            return
        content = self._content(talk)
        sender, recipient = talk.mail, talk.rcpt
        talk.mail = talk.rcpt = None
        if recipient is None or sender is None:
            self._answer(talk, "NOBODY", "", b"554 5.5.1 No valid recipients\r\n")
            if content:
                self.violations.append("content for nobody")
            return
        self._answer(
            talk,
            "CONTENT",
            recipient,
            b"250 2.0.0 Ok: queued as 4X1\r\n",
            lambda: self.stored.append(Stored(sender, recipient, content)),
        )

    def _content(self, talk: _Talk) -> bytes:
        lines: list[bytes] = []
        while (line := self._line(talk)) != b".":
            self.content_octets += len(line) + 2
            lines.append((line[1:] if line.startswith(b".") else line) + b"\r\n")
            if len(lines) == 1:
                self._answer(talk, "BODY", "", b"")
        self.content_octets += 3
        return b"".join(lines)

    def _sign_in(self, talk: _Talk, line: str) -> None:
        _, mechanism, *initial = line.split(" ")
        if mechanism == "PLAIN":
            _, user, password = base64.b64decode(initial[0]).decode().split("\0")
        else:
            self._send(talk, b"334 VXNlcm5hbWU6\r\n")
            user = base64.b64decode(self._line(talk)).decode()
            self._send(talk, b"334 UGFzc3dvcmQ6\r\n")
            password = base64.b64decode(self._line(talk)).decode()
        talk.signed_in = self._users.get(user) == password
        good = b"235 2.7.0 Welcome\r\n" if talk.signed_in else b"535 5.7.8 Not you\r\n"
        self._answer(talk, "AUTH", line, good)

    # ── octets ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _answer(self, talk: _Talk, at: str, line: str, good: bytes, store: Callable[[], None] = lambda: None) -> int:
        """Say what is right, or what the test wants instead; the code that was said."""
        nth = talk.counts.get(at, 0)
        talk.counts[at] = nth + 1
        answer = self._misbehave(Moment(at, line, talk.number, nth, self)) or Answer()
        if answer.before is not None:
            answer.before()
        raw = good if answer.raw is None and not (answer.drop or answer.hang) else answer.raw or b""
        if answer.store if answer.store is not None else raw[:1] == b"2":
            with self._lock:
                store()
        # A refused command leaves no trace (RFC 5321 §4.1.1).
        if raw[:1] in b"45" and raw:
            if at == "MAIL":
                talk.mail = None
            elif at == "RCPT":
                talk.rcpt = None
        self._send(talk, raw)
        if answer.after is not None:
            answer.after(talk.sock)
        if answer.hang:
            self._over.wait()
        if answer.drop or answer.hang:
            raise _Gone
        return int(raw[:3]) if raw[:3].isdigit() else 0

    def _send(self, talk: _Talk, raw: bytes) -> None:
        for piece in [raw[n : n + 1] for n in range(len(raw))] if self._split else [raw]:
            talk.sock.sendall(piece)

    def _line(self, talk: _Talk) -> bytes:
        while b"\n" not in talk.buffer:
            data = talk.sock.recv(1 << 16)
            if not data:
                raise _Gone
            talk.buffer += data
        line, _, talk.buffer = talk.buffer.partition(b"\n")
        if not line.endswith(b"\r") or b"\r" in line[:-1] or len(line) > 999:
            self.violations.append(f"no proper line: {line[:80]!r}")
        return line.removesuffix(b"\r")

    def _secure(self, talk: _Talk) -> None:
        assert self._tls is not None
        talk.sock = self._tls.wrap_socket(talk.sock, server_side=True)
        self._sockets.append(talk.sock)
        talk.secured, talk.buffer, talk.extended = True, b"", False


# ── certificates ────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the test's own."""

    server: ssl.SSLContext
    """For a server called localhost and 127.0.0.1."""
    stranger: ssl.SSLContext
    """For one called other.example."""
    trusting: ssl.SSLContext
    """For a client that trusts this authority."""


def authority(folder: Path) -> Authority:
    """Make keys and certificates in `folder`."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _certificate("Test CA", ca_key, "Test CA", ca_key, [], ca=True)

    def server(*names: x509.GeneralName) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = _certificate("a server", key, "Test CA", ca_key, list(names), ca=False)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        pem = folder / "server.pem"
        pem.write_bytes(private + leaf.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        return context

    return Authority(
        server(x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))),
        server(x509.DNSName("other.example")),
        ssl.create_default_context(cadata=ca.public_bytes(serialization.Encoding.PEM).decode()),
    )


def _certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    names: list[x509.GeneralName],
    *,
    ca: bool,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


@contextmanager
def aiosmtpd_server(handler: object, **options: Any) -> Iterator[int]:
    """A well-behaved server of another make; its port."""

    async def serve(listener: socket.socket, ready: threading.Event) -> None:
        server = await asyncio.get_running_loop().create_server(lambda: SMTP(handler, **options), sock=listener)
        ready.set()
        async with server:
            await asyncio.to_thread(over.wait)

    listener, ready, over = socket.create_server(("127.0.0.1", 0)), threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(serve(listener, ready)), daemon=True)
    thread.start()
    assert ready.wait(PATIENCE)
    try:
        yield listener.getsockname()[1]
    finally:
        over.set()
        thread.join(PATIENCE)


@contextmanager
def silent_port() -> Iterator[int]:
    """A port that refuses connections."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]
