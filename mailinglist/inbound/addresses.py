"""What our addresses mean: which list, which letter, which mail is meant by a recipient.

    SLUG-join@  SLUG-leave@  SLUG-owner@     commands, and a person
    c-TOKEN@                                 the answer to one confirmation letter
    b-TOKEN@                                 the return path of one mail
    postmaster@  abuse@  complaints@         the desk: what every domain has (RFC 2142), and where complaints come to
    the senders of the lists                 a person, as with SLUG-owner@: people write to whom mails are from

The domain is that of return paths, in any case. A token that is not ours makes an address that is not ours. Whether the
list exists is for the caller to ask.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import parseaddr

from ..consent.register import Ticket
from ..errors import TokenError
from ..settings import Settings
from ..tokens import Purpose, Tokens
from .reading import Fields, Mail, addresses, fields_of

JOIN, LEAVE, OWNER, ANSWER, BOUNCE, DESK = "join", "leave", "owner", "answer", "bounce", "desk"

_COMMANDS = (JOIN, LEAVE, OWNER)
_DESKS = frozenset({"postmaster", "abuse", "complaints"})
_SECRET_OCTETS = 16
_HANDOFF_OCTETS = 6
# What `register.unsubscribe_token` makes: 41 octets and a signature of 32, in base64url.
_TICKET = re.compile(r"[A-Za-z0-9_-]{55}\.[A-Za-z0-9_-]{43}")
_MOST_CANDIDATES = 50
_WRAPPED = re.compile(r"=?\n[>| ]*")


@dataclass(frozen=True, slots=True)
class To:
    """What one of our addresses is for."""

    kind: str
    """join, leave, owner, answer, bounce or desk."""
    slug: str | None = None
    """Of the list, for join, leave and owner."""
    handoff_id: int | None = None
    """Which mail came back, for bounce."""
    secret: bytes | None = None
    """Of the confirmation letter, for answer: what its link holds."""


class Addresses:
    """Reads the addresses of one installation. `delivery.addressing` makes them."""

    def __init__(self, settings: Settings, tokens: Tokens, *, senders: Mapping[str, str] | None = None) -> None:
        """`senders`: the slugs of the lists by the addresses, in lower case, that their mails are from (`senders`)."""
        self._senders = senders or {}
        self._domain = settings.return_domain.lower()
        self._sender = parseaddr(settings.mail_from)[1].lower()
        self._tokens = tokens

    def read(self, recipient: str) -> To | None:
        """What a recipient means; None: it is no address of ours."""
        sender_of = self._senders.get(recipient.strip().strip("<>").lower()) if self.in_domain(recipient) else None
        return self._made(recipient) or (To(OWNER, slug=sender_of) if sender_of else None)

    def _made(self, recipient: str) -> To | None:
        """What a recipient means by how it is written: all but the senders of the lists."""
        local, _, domain = recipient.strip().strip("<>").rpartition("@")
        local = local.lower()
        if domain.lower() != self._domain:
            return None
        if local in _DESKS:
            return To(DESK)
        if local.startswith("c-") and (secret := self._token(Purpose.REPLY, local[2:], _SECRET_OCTETS)):
            return To(ANSWER, secret=secret)
        if local.startswith("b-") and (named := self._token(Purpose.RETURN_PATH, local[2:], _HANDOFF_OCTETS)):
            return To(BOUNCE, handoff_id=int.from_bytes(named, "big"))
        slug, _, command = local.rpartition("-")
        return To(command, slug=slug) if slug and command in _COMMANDS else None

    def in_domain(self, recipient: str) -> bool:
        """Whether an address lies in the domain of ours, whatever it means there."""
        return recipient.strip().strip("<>").rpartition("@")[2].lower() == self._domain

    def sent_by_us(self, mail: Mail) -> bool:
        """Whether the mail is one of ours that has come back, by its Message-ID, return path or List-Id."""
        lists = (value.lower().rpartition("<")[2] for value in mail.headers("List-Id"))
        return any(each.endswith(f".{self._domain}>") for each in lists) or next(self._handoffs(mail), None) is not None

    def from_us(self, mail: Mail) -> bool:
        """Whether the mail says that it is from one of our addresses. That of a list's sender is somebody's mailbox as
        well, who may join and leave by mail: what is ours of what comes from there, `sent_by_us` knows."""
        return any(self.sends_for_us(sender) for sender in (*mail.addresses("From"), *mail.addresses("Sender")))

    def sends_for_us(self, sender: str) -> bool:
        """Whether nobody writes from this address but us."""
        return sender.lower() == self._sender or self._made(sender) is not None

    def handoff_named(self, mail: Mail) -> int | None:
        """The handoff that a report about one of our mails names by a signed id: in the Message-ID or the return path
        of the mail that it returns, or in its own fields (RFC 5965 §3.2: Original-Mail-From)."""
        reported = [fields_of(part.text) for part in mail.of_type("message/feedback-report")]
        for fields in (mail.embedded, *reported):
            if fields is not None and (found := next(self._handoffs(fields), None)) is not None:
                return found
        return None

    def ticket_named(self, mail: Mail) -> Ticket | None:
        """The unsubscribe token in the List-Unsubscribe of the mail that a report returns: what is left in one from
        which a provider has taken out all else."""
        returned = mail.embedded
        return self.find_token(" ".join(returned.headers("List-Unsubscribe"))) if returned else None

    def find_token(self, text: str) -> Ticket | None:
        """The first unsubscribe token of ours in a subject or a body, also one that a line's end has cut."""
        for candidate in _candidates(text):
            try:
                return Ticket.unpack(self._tokens.read(Purpose.UNSUBSCRIBE, candidate))
            except TokenError:
                continue
        return None

    def _handoffs(self, fields: Fields) -> Iterator[int]:
        for name in ("Message-ID", "Return-Path", "Original-Mail-From", "Original-Message-ID"):
            for value in fields.headers(name):
                for address in addresses(value):
                    local, _, domain = address.rpartition("@")
                    named = local.lower().removeprefix("b-")
                    if domain.lower() == self._domain and (
                        raw := self._token(Purpose.RETURN_PATH, named, _HANDOFF_OCTETS)
                    ):
                        yield int.from_bytes(raw, "big")

    def _token(self, purpose: Purpose, token: str, octets: int) -> bytes | None:
        try:
            payload = self._tokens.read_from_mail(purpose, token)
        except TokenError:
            return None
        return payload if len(payload) == octets else None


def _candidates(text: str) -> Iterator[str]:
    seen = 0
    for form in (text, _WRAPPED.sub("", text) if "\n" in text else ""):
        for match in _TICKET.finditer(form):
            seen += 1
            if seen > _MOST_CANDIDATES:
                return
            yield match[0]
