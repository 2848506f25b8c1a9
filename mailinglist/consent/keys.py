"""The register's keys: keyed digests of addresses, and the MAC of chain heads.

Both come from the ban key by HKDF (RFC 5869), each with a label of its own. The ban key can't be exchanged: the
digests of people whose address is no longer known can't be made again (REQUIREMENTS 2.5).
"""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import select
from sqlalchemy.orm import Session

from ..errors import RegisterUnsound
from .tables import Ban, ChainHead, KeyCheck

_INFO = "keys"


class Keys:
    """Keyed digests. Hold one per process; in `session.info["keys"]`."""

    def __init__(self, ban_secret: bytes) -> None:
        self._ban = _derive(ban_secret, b"mailinglist ban")
        self._ledger = _derive(ban_secret, b"mailinglist ledger head")
        self._issues = _derive(ban_secret, b"mailinglist frozen issue")
        self.check = hmac.digest(_derive(ban_secret, b"mailinglist key check"), b"check", "sha256")

    def digest(self, address: str) -> bytes:
        """The keyed digest of an address: HMAC of its SHA-256, so that lists of SHA-256 can be taken in as bans."""
        return self.digest_of_sha256(hashlib.sha256(address.encode()).digest())

    def digest_of_sha256(self, sha256: bytes) -> bytes:
        """The keyed digest of an address of which only the SHA-256 is known."""
        return hmac.digest(self._ban, sha256, "sha256")

    def seal(self, content: bytes) -> bytes:
        """A MAC of a frozen issue: who can write the database but has no key can't make another that fits."""
        return hmac.digest(self._issues, content, "sha256")

    def head_mac(self, chain: bytes, count: int, last_hash: bytes) -> bytes:
        """The MAC of a chain's head."""
        return hmac.digest(self._ledger, chain + count.to_bytes(8, "big") + last_hash, "sha256")


def _derive(secret: bytes, label: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=label).derive(secret)


def keys_of(session: Session) -> Keys:
    """The keys that the session carries."""
    keys: Keys = session.info[_INFO]
    return keys


def remember(session: Session) -> None:
    """Write down the check value of the present ban key, once, while the register is still empty.

    Raises RegisterUnsound when the register already rests on another key.
    """
    known = session.get(KeyCheck, "ban")
    if known is None:
        # A register that has bans or chains but no check value has been tampered with: adopting a key would hide it.
        if session.scalar(select(Ban.id).limit(1)) or session.scalar(select(ChainHead.count).limit(1)):
            raise RegisterUnsound("The check value of the ban key is gone from the register.")
        session.add(KeyCheck(name="ban", value=keys_of(session).check))
        session.flush()
    assert_sound(session)


def assert_sound(session: Session) -> None:
    """Raise RegisterUnsound unless the ban key is the one that the register rests on. Every sending begins with
    this."""
    value = session.scalar(select(KeyCheck.value).where(KeyCheck.name == "ban"))
    if value is None or not hmac.compare_digest(value, keys_of(session).check):
        raise RegisterUnsound(
            "MAILINGLIST_BAN_KEY is not the key that this register was made with, "
            "so bans can't be read: nothing is sent."
        )
