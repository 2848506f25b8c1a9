"""Tokens: what a link, a cookie or a reply address may do.

Each purpose has a salt of its own, so that a token of one is forged for every other. The payload is bytes of a fixed
length, signed with HMAC-SHA-256; nothing in it names an address. Keys rotate: the newest signs, all verify.

Web tokens are base64url (case matters); mail tokens are base32, since local parts of addresses lose their case on the
way.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from enum import Enum
from typing import TypeAlias

from itsdangerous import BadSignature, HMACAlgorithm, SignatureExpired, Signer, TimestampSigner
from itsdangerous.encoding import base64_decode, base64_encode

from .errors import TokenForged, TokenSpent

_Hash: TypeAlias = "hashlib._Hash"
_BLOCK = 64  # bytes of SHA-256
_MAIL_MAC = 10  # bytes; 80 bits are out of reach for guesses that each cost a mail


class Purpose(Enum):
    """Salt, and the age in seconds after which the signature itself expires (None: the register decides, or never)."""

    CONFIRM = ("confirm", None)
    NOT_ME = ("not-me", None)
    UNSUBSCRIBE = ("unsubscribe", None)
    KEY = ("key", None)
    BROWSER = ("browser", 60 * 86400)
    RETURN_PATH = ("return-path", None)
    REPLY = ("reply", None)

    def __init__(self, salt: str, max_age: int | None) -> None:
        self.salt = f"mailinglist.{salt}".encode()
        self.max_age = max_age


class _KeepsKeys:
    """Derives each key once: half of the price of a signature, and a million recipients have two each."""

    def derive_key(self, secret_key: str | bytes | None = None) -> bytes:
        kept: dict[str | bytes | None, bytes] = self.__dict__.setdefault("_derived", {})
        if secret_key not in kept:
            kept[secret_key] = super().derive_key(secret_key)  # type: ignore[misc]
        return kept[secret_key]


class _Mac(HMACAlgorithm):
    """The same HMAC-SHA-256 (RFC 2104), the two hashes of each key begun once: a fifth of the price."""

    def __init__(self) -> None:
        super().__init__(hashlib.sha256)
        self._begun: dict[bytes, tuple[_Hash, _Hash]] = {}

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        begun = self._begun.get(key) or self._begin(key)
        inner, outer = begun[0].copy(), begun[1].copy()
        inner.update(value)
        outer.update(inner.digest())
        return outer.digest()

    def _begin(self, key: bytes) -> tuple[_Hash, _Hash]:
        block = key.ljust(_BLOCK, b"\0")  # keys are derived, and so never longer
        inner, outer = (hashlib.sha256(bytes(octet ^ pad for octet in block)) for pad in (0x36, 0x5C))
        self._begun[key] = inner, outer
        return inner, outer


class _Signer(_KeepsKeys, Signer):
    pass


class _TimestampSigner(_KeepsKeys, TimestampSigner):
    pass


class Tokens:
    """Issues and reads tokens with a list of keys, newest first."""

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise ValueError("at least one key is needed")
        oldest_first = [key.encode() for key in reversed(keys)]  # itsdangerous signs with the last
        self._signers: dict[Purpose, Signer] = {
            purpose: (_Signer if purpose.max_age is None else _TimestampSigner)(
                oldest_first,
                salt=purpose.salt,
                key_derivation="hmac",
                digest_method=hashlib.sha256,
                algorithm=_Mac(),
            )
            for purpose in Purpose
        }

    def issue(self, purpose: Purpose, payload: bytes) -> str:
        """A web token for `payload`."""
        return self._signers[purpose].sign(base64_encode(payload)).decode("ascii")

    def read(self, purpose: Purpose, token: str) -> bytes:
        """The payload of a web token. Raises TokenForged or, past the purpose's age, TokenSpent."""
        signer = self._signers[purpose]
        try:
            raw = token.encode("ascii")
            if isinstance(signer, TimestampSigner):
                value = signer.unsign(raw, max_age=purpose.max_age)
            else:
                value = signer.unsign(raw)
            payload = base64_decode(value)
            # base64 has spare bits, and may be padded: only the one spelling that we issued is ours.
            ours = all(base64_encode(base64_decode(part)) == part for part in raw.split(b"."))
        except SignatureExpired as error:
            raise TokenSpent("This link has expired.") from error
        except (BadSignature, UnicodeError, ValueError) as error:
            raise TokenForged("This link is not ours, or a part of it is missing.") from error
        if not ours:
            raise TokenForged("This link is not ours, or a part of it is missing.")
        return payload

    def issue_for_mail(self, purpose: Purpose, payload: bytes) -> str:
        """A token of lower-case letters and digits, for the local part of an address."""
        signer = self._signers[purpose]
        mac = _mail_mac(signer, signer.derive_key(), payload)
        return base64.b32encode(payload + mac).decode("ascii").rstrip("=").lower()

    def read_from_mail(self, purpose: Purpose, token: str) -> bytes:
        """The payload of a mail token, in any case. Raises TokenForged."""
        try:
            raw = base64.b32decode(token.upper() + "=" * (-len(token) % 8))
        except (binascii.Error, ValueError) as error:
            raise TokenForged("This address is not ours.") from error
        payload, mac = raw[:-_MAIL_MAC], raw[-_MAIL_MAC:]
        if not payload or not any(hmac.compare_digest(mac, known) for known in self._mail_macs(purpose, payload)):
            raise TokenForged("This address is not ours.")
        return payload

    def _mail_macs(self, purpose: Purpose, payload: bytes) -> list[bytes]:
        signer = self._signers[purpose]
        return [_mail_mac(signer, signer.derive_key(key), payload) for key in signer.secret_keys]


def _mail_mac(signer: Signer, key: bytes, payload: bytes) -> bytes:
    return signer.algorithm.get_signature(key, b"mail:" + payload)[:_MAIL_MAC]
