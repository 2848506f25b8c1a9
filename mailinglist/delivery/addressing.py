"""Envelope senders, Message-IDs and links: what differs per recipient beside the address.

The return path names the handoff, signed, in base32: unique to that recipient and bulletin, and it survives any case.
The Message-ID is derived from it, so that a mail has the same one however often it is tried.
"""

from __future__ import annotations

from ..consent.own_page import Key
from ..consent.register import unsubscribe_token
from ..settings import Settings
from ..tokens import Purpose, Tokens


class Addressing:
    """Makes the addresses of one installation."""

    def __init__(self, settings: Settings, tokens: Tokens) -> None:
        self._base, self._domain, self._tokens = settings.base_url, settings.return_domain, tokens

    def of(self, handoff_id: int) -> tuple[str, str]:
        """Envelope sender (its local part has 28 characters; RFC 5321 allows 64), and Message-ID in its brackets."""
        named = self._tokens.issue_for_mail(Purpose.RETURN_PATH, handoff_id.to_bytes(6, "big"))
        return f"b-{named}@{self._domain}", f"<{named}@{self._domain}>"

    def reply_address(self, confirm: str) -> str:
        """Where a confirmation letter is answered: it holds the secret of the letter's link (its local part has 44
        characters)."""
        secret = self._tokens.read(Purpose.CONFIRM, confirm)
        return f"c-{self._tokens.issue_for_mail(Purpose.REPLY, secret)}@{self._domain}"

    def unsubscribe_url(self, list_id: int, digest: bytes, dispatch_id: int = 0) -> str:
        """Where this person leaves this list."""
        return f"{self._base}/unsubscribe/{unsubscribe_token(self._tokens, list_id, digest, dispatch_id)}"

    def preferences_url(self, key: Key) -> str:
        """One's own page, opened by this key."""
        return f"{self._base}/preferences/{key.token(self._tokens)}"

    def url(self, path: str) -> str:
        """A page of ours."""
        return f"{self._base}{path}"
