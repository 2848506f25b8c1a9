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
from ..consent import lists
from ..inbound import imap, senders, spool
from ..settings import PREFIX, HostPort, Mailbox, Settings
from .domains import is_public
from .findings import Finding, Level, reason

_SECONDS = 4.0
_PATIENCE = timedelta(minutes=5)
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (read, not bound)


def check(settings: Settings, resolver: Resolver) -> Iterator[Finding]:
    """Each way in that is set, where mail to each sender goes, and what waits in the spool."""
    if not settings.takes_mail:
        words = "no way in is set: bounces, complaints and answers by mail are read by nobody"
        yield Finding("incoming mail", Level.WARNING, words, f"set {PREFIX}INBOUND_BIND; see docs/operating.md")
    if settings.inbound_address is not None:
        yield _listener(settings.inbound_address)
    if settings.mailbox is not None:
        yield _mailbox(settings.mailbox)
    if settings.takes_mail and is_public(settings.return_domain.lower()):
        yield _exchanger(settings.return_domain.lower(), resolver)
    if settings.takes_mail:
        yield from _owners(settings)
    yield from _senders(settings, resolver)
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
        return Finding("incoming mail", Level.FAILURE, words, f"correct {PREFIX}INBOUND_BIND")
    return Finding("incoming mail", Level.OK, f"the listener at {at} answers")


def _mailbox(mailbox: Mailbox) -> Finding:
    try:
        imap.try_out(mailbox)
    except (OSError, imaplib.IMAP4.error, ssl.SSLError, imap.Trouble) as error:
        # The words of imaplib may hold the command, and so the password.
        words = f"the mailbox at {mailbox.host} can't be opened ({type(error).__name__})"
        return Finding("incoming mail", Level.FAILURE, words, f"correct {PREFIX}INBOUND_IMAP")
    return Finding("incoming mail", Level.OK, f"the mailbox at {mailbox.host} can be opened")


def _exchanger(domain: str, resolver: Resolver) -> Finding:
    try:
        found = _exchangers(domain, resolver)
    except (NXDOMAIN, NoAnswer):
        words = f"{domain} has no MX record, so nobody knows where its mail goes"
        return Finding("incoming mail", Level.WARNING, words, "publish one that names the relay")
    except DNSException as error:
        return Finding("incoming mail", Level.WARNING, f"the DNS could not be asked: {reason(error)}")
    return Finding("incoming mail", Level.OK, f"mail for {domain} goes to {', '.join(found[:3])}")


def _exchangers(domain: str, resolver: Resolver) -> list[str]:
    """The servers that take a domain's mail. Raises DNSException."""
    answer = resolver.resolve(f"{domain}.", "MX", lifetime=_SECONDS)
    return sorted(str(record.exchange).rstrip(".") for record in answer)


def _senders(settings: Settings, resolver: Resolver) -> Iterator[Finding]:
    """Where a mail goes to each address that people see as a sender, and are told to write to."""
    with db.reading() as session:
        known = senders.of_lists(lists.every(session), settings)
    for address, slug in sorted(known.items()):
        domain = address.rpartition("@")[2]
        if settings.takes_mail and domain == settings.return_domain.lower():
            words = f"mail to {address}, which people see as the sender, is taken for the list {slug}"
            yield Finding("incoming mail", Level.OK, f"{words}, if the relay hands it in")
        elif is_public(domain):
            yield _elsewhere(address, domain, resolver)


def _elsewhere(address: str, domain: str, resolver: Resolver) -> Finding:
    try:
        found = _exchangers(domain, resolver)
    except (NXDOMAIN, NoAnswer):
        words = f"people write to {address}, which they see as the sender, and {domain} has no MX record"
        mend = f"give it a mailbox that somebody reads, or set {PREFIX}MAIL_FROM or the list's sender to one that has"
        return Finding("incoming mail", Level.WARNING, words, mend)
    except DNSException as error:
        return Finding("incoming mail", Level.WARNING, f"the DNS could not be asked: {reason(error)}")
    words = f"mail to {address}, which people see as the sender, goes to {', '.join(found[:3])}, and not to the program"
    return Finding("incoming mail", Level.OK, f"{words}: see that somebody reads it")


def _waiting() -> Finding:
    now = db.utcnow()
    with db.reading() as session:
        number, oldest = spool.waiting(session, now=now)
    if oldest is not None and now - oldest > _PATIENCE:
        minutes = int((now - oldest).total_seconds() // 60)
        words = f"mails to be handled: {number:,}; the oldest waits for {minutes:,} minutes"
        return Finding("incoming mail", Level.FAILURE, words, "is `mailinglist worker` running?")
    return Finding("incoming mail", Level.OK, f"mails to be handled: {number:,}")


def _owners(settings: Settings) -> Iterator[Finding]:
    """A warning for each list whose owner's mail comes to the program itself: nothing is sent on to them."""
    with db.reading() as session:
        owners = {row.slug: lists.settings_of(row).owner for row in lists.every(session)}
        ours = senders.addresses_of(session, settings)
    for slug, owner in owners.items():
        if owner and ours.read(owner) is not None:
            words = f"the owner of {slug} is {owner}, whose mail comes to the program itself: nothing is sent on to it"
            yield Finding("incoming mail", Level.WARNING, words, f"mailinglist lists set {slug} owner ADDRESS")
