"""Fetches mail from a mailbox on somebody else's server (IMAP, RFC 9051 and RFC 3501), for those who have nothing else.

Every so often: sign in, ask for what has no mark of ours, keep each mail in the spool, and only then mark it. A mail is
never deleted and never marked before it is on our disk; found again after a crash, it is known by its digest. The mark
is a keyword of our own where the server keeps such, so that a person may read the mailbox meanwhile; else it is \\Seen,
and then nobody should. What is for no address of ours goes to the owner with the rest: it was somebody's reason to
write here.

Known limits: one folder, no IDLE, no OAuth. A server without keywords shows mails as read.
"""

from __future__ import annotations

import base64
import imaplib
import re
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from .. import db, observe
from ..errors import MailinglistError
from ..settings import SETTINGS, Mailbox, Settings
from . import bounds, envelope, spool
from .reading import read
from .senders import addresses_of

_log = observe.logger(__name__)

KEYWORD = "MailinglistTaken"
_SEEN = "\\Seen"
_TIMEOUT = 30.0
"""Seconds for one answer of the server."""
_MOST_EACH = 500
"""Mails of one look; the others are fetched by the next, at once."""
_MOST_LEFT = 20
"""Mails of one look that the server does not give; more of them, and something is wrong with all."""
_MOST_HEADER = 65_536
"""Octets of the header of a mail that is too large."""
_LONGEST_PAUSE = 900.0
_SIZE = re.compile(
    rb"UID ([0-9]{1,10})\b.*?RFC822\.SIZE ([0-9]{1,12})|RFC822\.SIZE ([0-9]{1,12}).*?UID ([0-9]{1,10})\b"
)


class Trouble(Exception):
    """The server's answer was no."""


def look(app: Flask, mailbox: Mailbox, ending: threading.Event) -> None:
    """Look into the mailbox every so often, until `ending`. Trouble is logged, and the next look comes later."""
    pause = float(mailbox.every)
    while not ending.is_set():
        try:
            more = fetch(app, mailbox, ending)
        except (OSError, imaplib.IMAP4.error, ssl.SSLError, Trouble, SQLAlchemyError, MailinglistError) as error:
            # The words of imaplib may hold the command, and so the password.
            _log.warning("imap_trouble", error=type(error).__name__, host=mailbox.host)
            observe.count("imap_troubles")
            pause = min(max(pause * 2, mailbox.every), _LONGEST_PAUSE)
            ending.wait(pause)
            continue
        pause = float(mailbox.every)
        if not more:
            ending.wait(pause)


def fetch(
    app: Flask, mailbox: Mailbox, ending: threading.Event | None = None, *, tls: ssl.SSLContext | None = None
) -> bool:
    """Fetch what is new, once. True: there is more, at once. `tls` replaces the system's settings for verified TLS.

    Raises OSError, imaplib.IMAP4.error, SQLAlchemyError; what was kept until then is kept.
    """
    with _opened(mailbox, tls or ssl.create_default_context()) as server:
        mark = _chosen(server, mailbox.folder)
        unmarked = f"UNKEYWORD {KEYWORD}" if mark == KEYWORD else "UNSEEN"
        found = _answer(server.uid("SEARCH", f"{unmarked} UNDELETED"))
        numbers = [int(number) for number in b" ".join(part for part in found if isinstance(part, bytes)).split()]
        left = 0
        for number in numbers[:_MOST_EACH]:
            if ending is not None and ending.is_set():
                return False
            try:
                _take(app, server, number)
            except imaplib.IMAP4.abort:
                raise
            except (Trouble, imaplib.IMAP4.error) as error:  # one that the server can't give: others come after it
                _log.warning("imap_mail_left", mail=number, error=type(error).__name__)
                left += 1
                if left > _MOST_LEFT:
                    raise
                continue
            # Kept: it may be marked now. `+FLAGS.SILENT`: the answer holds nothing else.
            _answer(server.uid("STORE", str(number), "+FLAGS.SILENT", f"({mark})"))
        return len(numbers) > _MOST_EACH and left == 0


def try_out(mailbox: Mailbox) -> None:
    """Sign in and open the folder; nothing is fetched. Raises OSError, imaplib.IMAP4.error, Trouble."""
    with _opened(mailbox, ssl.create_default_context()) as server:
        _answer(server.select(_quoted(mailbox.folder), readonly=True))


@contextmanager
def _opened(mailbox: Mailbox, tls: ssl.SSLContext) -> Iterator[imaplib.IMAP4]:
    server: imaplib.IMAP4
    if mailbox.tls == "implicit":
        server = imaplib.IMAP4_SSL(mailbox.host, mailbox.port, ssl_context=tls, timeout=_TIMEOUT)
    else:
        server = imaplib.IMAP4(mailbox.host, mailbox.port, timeout=_TIMEOUT)
    try:
        if mailbox.tls == "required":
            _answer(server.starttls(tls))
        _answer(server.login(mailbox.user, mailbox.password))
        yield server
    finally:
        with suppress(OSError, imaplib.IMAP4.error):
            server.logout()


def _chosen(server: imaplib.IMAP4, folder: str) -> str:
    """Select the folder; the mark that it can keep."""
    _answer(server.select(_quoted(folder)))
    _, permanent = server.response("PERMANENTFLAGS")
    flags = b" ".join(part for part in permanent or [] if isinstance(part, bytes))
    if rb"\*" in flags or KEYWORD.encode() in flags:
        return KEYWORD
    _log.warning("imap_without_keywords")
    return _SEEN


def _take(app: Flask, server: imaplib.IMAP4, number: int) -> None:
    """Fetch one mail and keep it. Of one that is too large only the header is fetched: it is for the owner to know of,
    once, and stays where it is."""
    size = _size(_answer(server.uid("FETCH", str(number), "(RFC822.SIZE)")))
    if size is None:
        raise Trouble("no size")
    too_large = size > bounds.LARGEST
    what = f"BODY.PEEK[HEADER]<0.{_MOST_HEADER}>" if too_large else f"BODY.PEEK[]<0.{bounds.LARGEST}>"
    answer = _answer(server.uid("FETCH", str(number), f"({what})"))
    raw = next((part[1] for part in answer if isinstance(part, tuple) and len(part) > 1), None)
    if not isinstance(raw, bytes):
        return  # expunged meanwhile
    raw = envelope.with_crlf(raw)
    mail = read(raw)
    with app.app_context(), db.transaction() as session:
        settings: Settings = app.config[SETTINGS]
        addresses = addresses_of(session, settings)
        recipient = envelope.recipient_of(mail, addresses) or envelope.addressed_to(mail) or mailbox_of(settings)
        sender = envelope.sender_of(mail)
        spool.keep(
            session, recipient=recipient, sender=sender, via="imap", raw=raw, octets=size if too_large else None,
            now=db.utcnow(),
        )  # fmt: skip
    if too_large:
        _log.warning("imap_mail_too_large", mail=number, octets=size)
        observe.count("inbound_too_large")
    observe.count("inbound_kept")


def mailbox_of(settings: Settings) -> str:
    """What a mail is taken to be for that names nobody."""
    return f"postmaster@{settings.return_domain}"


def _size(answer: Sequence[object]) -> int | None:
    for part in answer:
        octets = part[0] if isinstance(part, tuple) else part
        if isinstance(octets, bytes) and (found := _SIZE.search(octets)):
            return int(found[2] or found[3])
    return None


def _answer(said: tuple[str, Sequence[object]]) -> Sequence[object]:
    """What the server answered. Raises Trouble for NO."""
    kind, parts = said
    if kind != "OK":
        raise Trouble(kind)
    return parts


def _quoted(folder: str) -> str:
    """A folder's name as IMAP has it: modified UTF-7 (RFC 3501 §5.1.3), quoted."""
    written = re.sub(r"[^ -~]+|&", _shifted, folder)
    return '"' + written.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _shifted(match: re.Match[str]) -> str:
    if match[0] == "&":
        return "&-"
    return "&" + base64.b64encode(match[0].encode("utf-16-be")).decode().rstrip("=").replace("/", ",") + "-"
