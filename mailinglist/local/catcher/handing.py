"""Hands a mail to the listener, as a relay would, and says in words what it answered."""

from __future__ import annotations

import smtplib
from dataclasses import dataclass

from ...settings import HostPort, Settings, is_loopback
from .. import ports
from .outgoing import NAME, Outgoing

_SECONDS = 20.0
_IN_WORDS = {
    "5.1.1": "The list's mail server has no such address. A mail server elsewhere would send the mail back.",
    "5.3.4": "The mail is too large.",
    "4.3.0": "It can't be kept just now. A mail server would try again; press the button again in a moment.",
    "4.3.1": "There is no room for it just now. A mail server would try again later.",
    "4.3.2": "Too many connections at once. A mail server would try again later.",
}
"""What an answer means, by its enhanced status code (RFC 3463)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a mail."""

    taken: bool
    words: str
    """For the person who sent it, where it was not taken."""
    reply: str = ""
    """What the server said, as it said it; empty: nothing."""


def listener(settings: Settings) -> HostPort | None:
    """Where answers are handed in. None: nowhere, since there is no listener, or this is no place for trying: mail goes
    to a mail server, or the listener is not on this machine."""
    bind = settings.inbound_address
    if bind is None or not settings.uses_catcher:
        return None
    at = ports.reachable(bind)
    return at if is_loopback(at.host) else None


def hand_in(mail: Outgoing, at: HostPort) -> Answer:
    """Hand the mail in at `at`. Raises nothing: what goes wrong is the answer."""
    try:
        with smtplib.SMTP(at.host, at.port, local_hostname=NAME, timeout=_SECONDS) as client:
            return _converse(client, mail)
    except smtplib.SMTPResponseException as error:
        return _answer(error.smtp_code, error.smtp_error)
    except (OSError, smtplib.SMTPException):
        return Answer(False, f"Nothing answers at {at}, where incoming mail is taken. Is everything still running?")


def _converse(client: smtplib.SMTP, mail: Outgoing) -> Answer:
    client.ehlo()
    options = ["BODY=8BITMIME", *([] if mail.ascii_only else ["SMTPUTF8"])]
    for code, said in (client.mail(mail.sender, options), client.rcpt(mail.recipient)):
        if code != 250:
            return _answer(code, said)
    return _answer(*client.data(mail.raw))


def _answer(code: int, said: bytes | str) -> Answer:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    reply = " ".join(f"{code} {text}".split())
    if code == 250:
        return Answer(True, "", reply)
    other = "It was not taken just now. A mail server would try again later." if code < 500 else "It was refused."
    return Answer(False, _IN_WORDS.get(text.partition(" ")[0], other), reply)
