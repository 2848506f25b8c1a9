"""What carries the work: the broker and the mail servers. Each is greeted, and taken leave of."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

from ..delivery.offers import Offers
from ..delivery.opening import Opening, Secure, Unusable
from ..delivery.parcels import Timeouts
from ..settings import PREFIX, Relay, Settings, is_loopback
from .findings import Finding, Level, reason

_SECONDS = 5.0
_TIMEOUTS = Timeouts(connect=_SECONDS, greeting=_SECONDS, hello=_SECONDS)


def check_broker(settings: Settings) -> Iterator[Finding]:
    """The broker takes a connection and answers."""
    if settings.broker_url is None:
        words = "the embedded one is not running: letters and bulletins wait"
        yield Finding("broker", Level.WARNING, words, f"mailinglist run, or set {PREFIX}BROKER_URL")
        return
    from kombu.connection import Connection

    url = settings.broker_url.get_secret_value()
    options = {"socket_connect_timeout": _SECONDS, "socket_timeout": _SECONDS, "max_retries": 1}
    try:
        with Connection(url, connect_timeout=_SECONDS, transport_options=options) as connection:  # type: ignore[no-untyped-call]
            connection.ensure_connection(max_retries=1, timeout=_SECONDS)
            where = connection.as_uri()  # the password is masked
    except Exception as error:  # each transport raises its own
        words = f"it can't be reached: {reason(error)}"
        mend = f"start it, or correct {PREFIX}BROKER_URL; the sweep waits as well"
        yield Finding("broker", Level.FAILURE, words, mend)
    else:
        yield Finding("broker", Level.OK, f"{where} answers")


def check_relay(settings: Settings, relay: Relay) -> Iterator[Finding]:
    """A mail server answers EHLO, speaks TLS as the settings want it, and lets us sign in."""
    name = f"{relay.host}:{relay.port}"
    try:
        offers, secured = _greet(relay, settings.return_domain)
    except (Unusable, OSError) as error:
        if settings.uses_catcher:
            yield Finding("mail server", Level.WARNING, f"the catcher at {name} is not running", "mailinglist run")
            return
        words = f"{name} {error}" if isinstance(error, Unusable) else f"{name} can't be reached: {reason(error)}"
        yield Finding("mail server", Level.FAILURE, words, f"correct {PREFIX}SMTP_URL, or what stands between")
        return
    how = "over TLS" if secured else "in the clear"
    signed_in = ", signed in" if relay.user else ""
    utf8 = "" if offers.utf8 else "; addresses like jörg@example.fi can't be mailed (no SMTPUTF8)"
    if secured or settings.uses_catcher or is_loopback(relay.host):
        yield Finding("mail server", Level.OK, f"{name} answers {how}{signed_in}{utf8}")
    else:
        mend = "use a server that offers STARTTLS, and say ?starttls=required"
        yield Finding("mail server", Level.WARNING, f"{name} answers, but only {how}{utf8}", mend)


def _greet(relay: Relay, helo: str) -> tuple[Offers, bool]:
    """What the server offers, and whether the connection was under TLS; by the same dialogue as when mail is sent.

    Raises Unusable, OSError.
    """
    connection = socket.create_connection((relay.host, relay.port), timeout=_SECONDS)
    loopback = is_loopback(connection.getpeername()[0])
    try:
        opening = Opening(relay, helo, _TIMEOUTS, loopback=loopback)
        while opening.offers is None:
            if isinstance(opening.step, Secure):
                connection = _tls(opening.step.verify).wrap_socket(connection, server_hostname=relay.host)
                opening.secured()
                continue
            connection.sendall(opening.outgoing)
            opening.outgoing = b""
            opening.receive(_more(connection))
        connection.sendall(b"QUIT\r\n")
        return opening.offers, isinstance(connection, ssl.SSLSocket)
    finally:
        connection.close()


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(4096)
    if not data:
        raise Unusable("hangs up")
    return data


def _tls(verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:  # why: see delivery/opening.py
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
