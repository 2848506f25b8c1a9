"""The catcher's mail server: accepts everything, as a relay would, and stores it."""

from __future__ import annotations

import sqlite3

from aiosmtpd.smtp import SMTP, Envelope, Session

from ... import observe
from .store import Store

log = observe.logger(__name__)

LARGEST_MAIL = 26_214_400
"""Bytes of one mail, as told in SIZE (RFC 1870): 25 MiB, what the large providers take."""


class CatcherSmtp(SMTP):
    """aiosmtpd's server, with room to breathe.

    Its limit on a line is also the reader's buffer: at the standard's 1,001 octets the socket is paused after every
    second line. A catcher may take longer lines: it is here to show what was sent.
    """

    line_length_limit = 65_536

    def __init__(self, taker: Taker) -> None:
        # A hostname that is given saves aiosmtpd a DNS look-up for each connection.
        super().__init__(taker, data_size_limit=LARGEST_MAIL, enable_SMTPUTF8=True, hostname="catcher.localhost")


class Taker:
    """aiosmtpd's hooks: says what it can, and stores what comes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def handle_EHLO(  # noqa: N802 (aiosmtpd looks for this name)
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Offer PIPELINING (RFC 2920): commands are read from a buffer one by one and answered in their order."""
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", responses[-1]]

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Store the mail; 452 where there is no room for it."""
        # aiosmtpd hands the null return path on as "<>".
        sender = "" if envelope.mail_from in (None, "<>") else str(envelope.mail_from)
        try:
            caught = self._store.add(sender, envelope.rcpt_tos, envelope.original_content or b"")
        except sqlite3.Error as error:
            log.warning("mail_not_stored", reason=type(error).__name__)
            return "452 4.3.1 No room for it now"
        return f"250 2.0.0 Caught as {caught}"
