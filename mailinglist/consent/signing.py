"""The key that seals and proofs are signed with: Ed25519 (RFC 8032), made from MAILINGLIST_SEAL_KEY by HKDF (RFC 5869).

Pure. Whoever has the public key can check a seal or a proof without the program; nobody can make one that fits without
the secret. What is signed begins with what it is, so that one kind can't be shown as the other.
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..errors import SettingsError

SEAL, PROOF = b"mailinglist seal 1\n", b"mailinglist proof 1\n"
"""What a signature is of; stands before the bytes that are signed."""


class Signing:
    """The keys of this process, newest first: the first signs, all are known as ours."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = [
            Ed25519PrivateKey.from_private_bytes(
                HKDF(algorithm=SHA256(), length=32, salt=None, info=b"mailinglist seal").derive(secret.encode())
            )
            for secret in secrets
        ]
        self.known = tuple(key.public_key().public_bytes_raw() for key in self._keys)
        """The public keys: 32 bytes each."""

    @property
    def public(self) -> bytes:
        """The public key of what is signed now. Raises SettingsError when there is none."""
        self._newest()
        return self.known[0]

    def sign(self, what: bytes, content: bytes) -> bytes:
        """The signature of `content` as SEAL or PROOF. Raises SettingsError when there is no key."""
        return self._newest().sign(what + content)

    def _newest(self) -> Ed25519PrivateKey:
        if not self._keys:
            raise SettingsError("MAILINGLIST_SEAL_KEY: not set")
        return self._keys[0]


def fits(key: bytes, signature: bytes, what: bytes, content: bytes) -> bool:
    """Whether this is the signature of `content` as SEAL or PROOF by whoever has the secret of `key`."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, what + content)
    except (InvalidSignature, ValueError):
        return False
    return True
