"""Whether mail to our addresses reaches us: the listener, the mailbox, the domain's MX; and mails nobody handles."""

from __future__ import annotations

import imaplib
import socket
import ssl
from collections.abc import Iterator
from datetime import timedelta

from dns.exception import DNSException
from dns.resolver import NXDOMAIN, NoAnswer, Resolver

from .. import db
from ..inbound import imap, spool
from ..settings import PREFIX, HostPort, Mailbox, Settings
from .domains import is_public
from .findings import Finding, Level, reason

_SECONDS = 4.0
_PATIENCE = timedelta(minutes=5)
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (read, not bound)


def check(settings: Settings, resolver: Resolver) -> Iterator[Finding]:
    """Each way in that is set, and what waits in the spool."""
    if not settings.takes_mail:
        words = "no way in is set: bounces, complaints and answers by mail are read by nobody"
        yield Finding("incoming mail", Level.WARNING, words, f"set {PREFIX}INBOUND_BIND; see docs/operating.md")
    if settings.inbound_address is not None:
        yield _listener(settings.inbound_address)
    if settings.mailbox is not None:
        yield _mailbox(settings.mailbox)
    if settings.takes_mail and is_public(settings.return_domain.lower()):
        yield _exchanger(settings.return_domain.lower(), resolver)
    yield _waiting()


def _listener(bind: HostPort) -> Finding:
    at = HostPort(_WILDCARDS.get(bind.host, bind.host), bind.port)
    try:
        with socket.create_connection((at.host, at.port), timeout=_SECONDS) as line:
            greeting = line.makefile("rb").readline(1000)
            line.sendall(b"QUIT\r\n")
    except OSError as error:
        words = f"nothing listens at {at}: {reason(error)}; the relay keeps the mail meanwhile"
        return Finding("incoming mail", Level.FAILURE, words, "start `mailinglist inbound`")
    if not greeting.startswith(b"220 "):
        words = f"what listens at {at} does not take mail"
        return Finding("incoming mail", Level.FAILURE, words, f"mend {PREFIX}INBOUND_BIND")
    return Finding("incoming mail", Level.OK, f"the listener at {at} answers")


def _mailbox(mailbox: Mailbox) -> Finding:
    try:
        imap.try_out(mailbox)
    except (OSError, imaplib.IMAP4.error, ssl.SSLError, imap.Trouble) as error:
        # The words of imaplib may hold the command, and so the password.
        words = f"the mailbox at {mailbox.host} can't be opened ({type(error).__name__})"
        return Finding("incoming mail", Level.FAILURE, words, f"mend {PREFIX}INBOUND_IMAP")
    return Finding("incoming mail", Level.OK, f"the mailbox at {mailbox.host} can be opened")


def _exchanger(domain: str, resolver: Resolver) -> Finding:
    try:
        answer = resolver.resolve(f"{domain}.", "MX", lifetime=_SECONDS)
        found = sorted(str(record.exchange).rstrip(".") for record in answer)
    except (NXDOMAIN, NoAnswer):
        words = f"{domain} has no MX record, so nobody knows where its mail goes"
        return Finding("incoming mail", Level.WARNING, words, "publish one that names the relay")
    except DNSException as error:
        return Finding("incoming mail", Level.WARNING, f"the DNS could not be asked: {reason(error)}")
    return Finding("incoming mail", Level.OK, f"mail for {domain} goes to {', '.join(found[:3])}")


def _waiting() -> Finding:
    now = db.utcnow()
    with db.reading() as session:
        number, oldest = spool.waiting(session, now=now)
    if oldest is not None and now - oldest > _PATIENCE:
        minutes = int((now - oldest).total_seconds() // 60)
        words = f"mails to be handled: {number:,}; the oldest waits for {minutes:,} minutes"
        return Finding("incoming mail", Level.FAILURE, words, "is `mailinglist worker` running?")
    return Finding("incoming mail", Level.OK, f"mails to be handled: {number:,}")
