"""Header fields of the list's mails (RFC 2369, 2919, 8058)."""

from __future__ import annotations

from ..settings import Settings
from .slots import mark


def unsubscribe(slug: str, settings: Settings) -> tuple[tuple[str, str], ...]:
    """One https URI, and the promise that a POST to it is enough (RFC 8058 §3.1); and one mailto while incoming mail is
    read, whose subject is the link's token. Programs try them in their order (RFC 2369 §3), and the first is the faster
    one."""
    ways = f"<{mark('unsubscribe_url')}>"
    if settings.takes_mail:
        ways += f", <mailto:{slug}-leave@{settings.return_domain}?subject={mark('unsubscribe_token')}>"
    return ("List-Unsubscribe", ways), ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")


def list_id(name: str, slug: str, domain: str) -> tuple[str, str]:
    """List-Id: the list's name, and an identifier that stays when the name changes (RFC 2919 §3)."""
    return "List-Id", f"{name} <{slug}.{domain}>"
