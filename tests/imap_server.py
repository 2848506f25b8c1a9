"""A small IMAP server (RFC 3501) with one folder, over TLS: what fetching mail needs, and no more.

It remembers flags, knows literals and partial fetches, and refuses what it was not told to know, as servers do.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


def header_of(raw: bytes) -> bytes:
    """A mail's header, and the empty line after it."""
    raw = raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return raw[: raw.index(b"\r\n\r\n") + 4]


@dataclass
class Stored:
    """One mail of the folder."""

    uid: int
    raw: bytes
    flags: set[str] = field(default_factory=set)


class ImapServer:
    """Listens until `close`. `keywords`: whether clients may set flags of their own."""

    def __init__(self, tls: ssl.SSLContext | None, *, user: str, password: str, folder: str, keywords: bool) -> None:
        self._tls, self._user, self._password, self._folder = tls, user, password, folder
        self._keywords = keywords
        self.mails: list[Stored] = []
        self.commands: list[str] = []
        self.cut_after: int | None = None
        """After so many commands the connection breaks, once."""
        self.damaged: set[int] = set()
        """Mails that it can't read, by UID."""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="imap server", daemon=True)
        self._thread.start()

    def put(self, raw: bytes) -> None:
        """A mail arrives."""
        self.mails.append(Stored(len(self.mails) + 11, raw))

    def close(self) -> None:
        """No more connections."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            with suppress(OSError, ConnectionError, ssl.SSLError), line:
                line.settimeout(10)
                if self._tls is None:
                    self._speak(line)
                else:
                    with self._tls.wrap_socket(line, server_side=True) as wrapped:
                        self._speak(wrapped)

    def _speak(self, line: socket.socket) -> None:
        line.sendall(b"* OK [CAPABILITY IMAP4rev1] ready\r\n")
        file = line.makefile("rb")
        signed_in = False
        while words := file.readline().decode().strip():
            tag, _, command = words.partition(" ")
            self.commands.append(command)
            if self.cut_after is not None:
                self.cut_after -= 1
                if self.cut_after < 0:
                    self.cut_after = None
                    return
            verb = command.split()[0].upper()
            if verb == "LOGIN":
                signed_in = command == f'LOGIN {self._user} "{self._password}"'
                line.sendall(f"{tag} {'OK' if signed_in else 'NO'} LOGIN\r\n".encode())
            elif verb == "LOGOUT":
                line.sendall(f"* BYE see you\r\n{tag} OK done\r\n".encode())
                return
            elif verb == "CAPABILITY":
                line.sendall(f"* CAPABILITY IMAP4rev1\r\n{tag} OK done\r\n".encode())
            elif not signed_in:
                line.sendall(f"{tag} NO sign in first\r\n".encode())
            elif (match := re.match(r"UID FETCH (\d+)", command)) and int(match[1]) in self.damaged:
                line.sendall(f"{tag} NO [SERVERBUG] Internal error\r\n".encode())
            else:
                answer = self._answer(command)
                done = f"{tag} BAD unknown\r\n".encode() if answer is None else answer + f"{tag} OK done\r\n".encode()
                line.sendall(done)

    def _answer(self, command: str) -> bytes | None:
        if command in (f'SELECT "{self._folder}"', f'EXAMINE "{self._folder}"'):
            flags = r"(\Seen \Deleted \*)" if self._keywords else r"(\Seen \Deleted)"
            return f"* {len(self.mails)} EXISTS\r\n* OK [PERMANENTFLAGS {flags}] Limited\r\n".encode()
        if command in ("UID SEARCH UNSEEN UNDELETED", "UID SEARCH UNKEYWORD MailinglistTaken UNDELETED"):
            mark = "\\Seen" if "UNSEEN" in command else "MailinglistTaken"
            found = [str(mail.uid) for mail in self.mails if not mail.flags & {mark, "\\Deleted"}]
            return f"* SEARCH {' '.join(found)}\r\n".encode()
        if match := re.fullmatch(r"UID FETCH (\d+) \(RFC822\.SIZE\)", command):
            return b"".join(
                b"* %d FETCH (UID %d RFC822.SIZE %d)\r\n" % (n, mail.uid, len(mail.raw))
                for n, mail in enumerate(self.mails, 1) if mail.uid == int(match[1])
            )  # fmt: skip
        if match := re.fullmatch(r"UID FETCH (\d+) \(BODY\.PEEK\[\]<0\.(\d+)>\)", command):
            return b"".join(
                b"* %d FETCH (UID %d BODY[]<0> {%d}\r\n%s)\r\n" % (n, mail.uid, len(raw), raw)
                for n, mail in enumerate(self.mails, 1) if mail.uid == int(match[1])
                for raw in (mail.raw[: int(match[2])],)
            )  # fmt: skip
        if match := re.fullmatch(r"UID FETCH (\d+) \(BODY\.PEEK\[HEADER\]<0\.(\d+)>\)", command):
            return b"".join(
                b"* %d FETCH (UID %d BODY[HEADER]<0> {%d}\r\n%s)\r\n" % (n, mail.uid, len(raw), raw)
                for n, mail in enumerate(self.mails, 1) if mail.uid == int(match[1])
                for raw in (header_of(mail.raw)[: int(match[2])],)
            )  # fmt: skip
        if match := re.fullmatch(r"UID STORE (\d+) \+FLAGS\.SILENT \((\S+)\)", command):
            for mail in self.mails:
                if mail.uid == int(match[1]) and (self._keywords or match[2].startswith("\\")):
                    mail.flags.add(match[2])
            return b""
        return None


@contextmanager
def imap_server(
    tls: ssl.SSLContext | None, *, user: str = "lists", password: str = "pass word", folder: str = "INBOX",
    keywords: bool = True,
) -> Iterator[ImapServer]:  # fmt: skip
    """A running server."""
    server = ImapServer(tls, user=user, password=password, folder=folder, keywords=keywords)
    try:
        yield server
    finally:
        server.close()
