"""A well-behaved mail server for tests: aiosmtpd on a port of its own, keeping what it got."""

from __future__ import annotations

import email
import email.policy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from servers import free_port

logging.getLogger("mail.log").setLevel(logging.WARNING)  # aiosmtpd would tell of each command


class Caught:
    """What arrived at a server, in order: (envelope sender, recipient, message)."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.mails: list[tuple[str, str, EmailMessage]] = []
        self.raw: list[bytes] = []
        self.answers: dict[str, str] = {}
        """Recipient → what to say to their RCPT instead of 250."""

    @property
    def url(self) -> str:
        """For MAILINGLIST_SMTP_URL."""
        return f"smtp://127.0.0.1:{self.port}?starttls=never"

    def forget(self) -> None:
        """As if nothing had come, with nothing to say."""
        self.mails.clear()
        self.raw.clear()
        self.answers.clear()

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.raw.append(envelope.content)
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        assert not message.defects
        for recipient in envelope.rcpt_tos:
            self.mails.append((envelope.mail_from or "", recipient, message))
        return "250 2.0.0 kept"

    def to(self, address: str) -> list[EmailMessage]:
        """The messages to one address."""
        return [message for _, recipient, message in self.mails if recipient == address]


@contextmanager
def mail_server() -> Iterator[Caught]:
    """One that runs. A test of one application takes the fixture `caught` instead."""
    caught = Caught(free_port())
    controller = Controller(caught, hostname="127.0.0.1", port=caught.port, enable_SMTPUTF8=True)
    controller.start()
    try:
        yield caught
    finally:
        controller.stop()


def text_of(message: EmailMessage) -> str:
    """The text part."""
    part = message.get_body(("plain",))
    assert part is not None
    content: str = part.get_content()
    return content


def html_of(message: EmailMessage) -> str:
    """The HTML part."""
    part = message.get_body(("html",))
    assert part is not None
    content: str = part.get_content()
    return content
