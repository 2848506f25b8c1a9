"""What the relay wrote on top of a mail: from which client it had it, and whether its From is forged.

Only the relay can say either. What stands further down may have been written by anybody.
"""

from __future__ import annotations

import ipaddress
import re

from ..pace import client_of
from .reading import Mail

_FROM = re.compile(r"\s*from\s.*?\[(?:IPv6:)?([0-9A-Fa-f.:]{2,45})\]", re.IGNORECASE | re.DOTALL)
_RESULTS = re.compile(r"\s*([^\s;()]+)(?:\s+[0-9]+)?\s*;(.*)", re.DOTALL)
_COMMENT = re.compile(r"\([^()]*\)")
_FAILED = re.compile(r"(?:^|;)\s*dmarc\s*=\s*fail\b", re.IGNORECASE)


def client(mail: Mail) -> str | None:
    """The client from which the relay had the mail, by the topmost Received (RFC 5321 §4.4), as limits count it; None:
    it names none, or one of the relay's own net."""
    found = _FROM.match(mail.header("Received") or "")
    if found is None:
        return None
    try:
        near = not ipaddress.ip_address(found[1]).is_global
    except ValueError:
        return None
    return None if near else client_of(found[1])


def forged(mail: Mail, authserv_id: str | None) -> bool:
    """Whether the relay of this name says that the mail fails DMARC, in Authentication-Results (RFC 8601). Nothing but
    a failure is believed, so it does no harm if somebody else writes that name."""
    if not authserv_id:
        return False
    for value in mail.headers("Authentication-Results"):
        found = _RESULTS.fullmatch(_COMMENT.sub(" ", value))
        if found and found[1].lower() == authserv_id.lower() and _FAILED.search(found[2]):
            return True
    return False
