"""What is encrypted at rest: AES-256-GCM, with keys derived from MAILINGLIST_SECRET_KEYS (HKDF, RFC 5869). Pure.

Keys rotate as those of tokens do: the newest encrypts, all decrypt. Every sealed thing is bound to what it is about, so
that a row's secret can't be put into another row.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE = 12  # bytes; NIST SP 800-38D, 8.2.2


class Vault:
    """Seals and opens with a list of keys, newest first. Hold one per process; in `session.info["vault"]`."""

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise ValueError("at least one key is needed")
        self._ciphers = [AESGCM(_derive(key.encode())) for key in keys]

    def seal(self, content: bytes, *, about: str) -> bytes:
        """`content`, encrypted, and bound to `about`."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._ciphers[0].encrypt(nonce, content, about.encode())

    def open(self, sealed: bytes, *, about: str) -> bytes | None:
        """What was sealed for `about`. None: altered, about something else, or of a key that is gone."""
        nonce, rest = sealed[:_NONCE], sealed[_NONCE:]
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(nonce, rest, about.encode())
            except (InvalidTag, ValueError):  # ValueError: too short to be ours
                continue
        return None

    def of_newest_key(self, sealed: bytes, *, about: str) -> bool:
        """Whether the newest key sealed it; else it is lost when the older one is taken away."""
        try:
            self._ciphers[0].decrypt(sealed[:_NONCE], sealed[_NONCE:], about.encode())
        except (InvalidTag, ValueError):
            return False
        return True


def _derive(secret: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"mailinglist staff vault").derive(secret)
