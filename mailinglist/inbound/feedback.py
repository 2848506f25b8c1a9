"""Pure: whether a mail says that somebody told their provider that our mail is unwanted.

ARF (RFC 5965), also where the provider took out whom it is about (RFC 6590), and the few large providers that send
the mail back in a form of their own. Which mail it was is told by the signed ids in the returned message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .reading import Mail, fields_of

MOST = 100
"""Characters of the provider's name."""

_UNWANTED = frozenset({"abuse", "fraud", "virus", "opt-out", "opt-out-list", "other", "miscategorized"})
"""The types of RFC 5965 §7.3 by which a person says no, and opt-out, which came before it. `not-spam` (RFC 6430) says
that the mail was wanted; `auth-failure` (RFC 6591) and `dmarc` are a server's, about signatures."""
_BY_SUBJECT = re.compile(r"\s*(?:complaint about message from|abuse report|email feedback report)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Feedback:
    """A complaint."""

    provider: str
    """Who sent the report, by its own words; at most MOST characters."""
    feedback_type: str
    """`abuse`, `fraud`, `virus` …: RFC 5965 §7.3."""


def complaint(mail: Mail) -> Feedback | None:
    """The complaint that this mail is; None: it is none."""
    for part in mail.of_type("message/feedback-report"):
        fields = fields_of(part.text.strip("\n"))
        kind = (fields.header("Feedback-Type") or "abuse").strip().lower()
        return Feedback(_provider(mail, fields.header("User-Agent")), kind[:40]) if kind in _UNWANTED else None
    # Microsoft's junk mail reporting: the message as a part, no report beside it.
    if mail.of_type("message/rfc822") and _BY_SUBJECT.match(mail.header("Subject") or ""):
        return Feedback(_provider(mail, None), "abuse")
    return None


def _provider(mail: Mail, agent: str | None) -> str:
    """The domain that the report is from, else the program that wrote it."""
    sender = next(iter(mail.addresses("From")), "")
    return (sender.rpartition("@")[2].lower() or agent or "")[:MOST]
