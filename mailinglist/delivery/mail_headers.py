"""Header fields of the list's mails (RFC 2369, 2919, 8058)."""

from __future__ import annotations

from .slots import mark

UNSUBSCRIBE = (
    ("List-Unsubscribe", f"<{mark('unsubscribe_url')}>"),
    ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
)
"""One https URI, and the promise that a POST to it is enough (RFC 8058 §3.1)."""


def list_id(name: str, slug: str, domain: str) -> tuple[str, str]:
    """List-Id: the list's name, and an identifier that stays when the name changes (RFC 2919 §3)."""
    return "List-Id", f"{name} <{slug}.{domain}>"
