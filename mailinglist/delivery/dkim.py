"""DKIM signatures for filled templates (RFC 6376, RFC 8301, RFC 8463), `relaxed/simple`.

Compiled mails need no canonicalisation pass: their body is canonical as it stands (it ends in one CRLF and nothing is
dot-stuffed), and their header values have single spaces and fold only before one (delivery/headers.py). So a `Seal`
hashes beforehand all that is the same for everybody, and per message only what a slot may have changed. Every field
is covered, From and the others that a reader is shown are oversigned (RFC 6376 §8.15): nobody can add a second one.
No `l=` (§8.2).

`Seal.sign` is free of state and lets go of the interpreter's lock while it signs (cryptography does, measured: two
threads on two cores sign 1.9 times as much as one), so `sealed` uses all cores. Knows settings.DkimKey; else pure.
"""

from __future__ import annotations

import hashlib
import os
import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from ..errors import SettingsError
from ..settings import PREFIX, DkimKey
from . import headers
from .parcels import Content
from .template import Template

_RSA_BITS = range(2048, 4097)  # RFC 8301 §3.2: shorter must not sign, and longer need not be verified
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")
# Fields that RFC 5322 §3.6 and RFC 2045 allow once, and that change what a reader sees or answers to.
_OVERSIGNED = (
    "From", "To", "Cc", "Subject", "Date", "Reply-To", "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
)  # fmt: skip
_SIGNATURE_LINE = 72

_Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class _Key:
    """A loaded key: what it is called in a signature, how it signs a SHA-256 digest, and its public half for DNS."""

    selector: str
    domain: str
    algorithm: str
    sign: _Sign
    record: str


class Signer:
    """The signing keys of this installation. Each signs every message, so that a verifier without Ed25519 finds RSA
    (RFC 8463 §3).

    `records` are the DNS TXT records that verifiers look for, by their name. Raises SettingsError, which names
    MAILINGLIST_DKIM and the key, for a file that can't be read, or holds no RSA key of 2048 to 4096 bits and no
    Ed25519 key.
    """

    def __init__(self, keys: Sequence[DkimKey]) -> None:
        self._keys = [_load(key) for key in keys]
        self.records = {f"{key.selector}._domainkey.{key.domain}": key.record for key in self._keys}

    def __bool__(self) -> bool:
        return bool(self._keys)

    def seal(self, template: Template) -> Seal:
        """What signs the messages that `template` fills."""
        return Seal(self._keys, template)


class Seal:
    """Signs the messages of one template, by all keys. Immutable; threads may share it. Made by Signer.seal."""

    def __init__(self, keys: Sequence[_Key], template: Template) -> None:
        # h= may name the fields in any order (§5.4.2): those that are the same for all come first, hashed once.
        fixed = [field for field in template.fields if field.value is not None]
        own = [(at, field.name) for at, field in enumerate(template.fields) if field.value is None]
        covered = ":".join([*(field.name for field in fixed), *(name for _, name in own), *_OVERSIGNED])
        self._keys = [(key.sign, _frame(key, covered)) for key in keys]
        self._fixed_fields = hashlib.sha256(b"".join(_relaxed(field.name, field.value or b"") for field in fixed))
        # Where each other field stands in the header, how it begins in canonical form, and how long the beginning was.
        self._own_fields = [(at, f"{name.lower()}:".encode(), len(name) + 2) for at, name in own]
        self._body_start = hashlib.sha256(template.body_start)
        self._body_skip = len(template.body_start)

    def sign(self, content: bytes, *, at: int) -> bytes:
        """The DKIM-Signature fields for `content`, which the template has filled: they go in front of it. `at`:
        seconds since 1970.

        An altered or foreign `content` gives signatures that don't verify.
        """
        end = content.index(b"\r\n\r\n")
        body = self._body_start.copy()
        body.update(memoryview(content)[end + 4 + self._body_skip :])
        lines = content[:end].replace(b"\r\n ", b" ").split(b"\r\n")
        header = self._fixed_fields.copy()
        header.update(b"".join([name + lines[line][skip:] + b"\r\n" for line, name, skip in self._own_fields]))
        body_hash = b64encode(body.digest())
        written = []
        for sign, frame in self._keys:
            field = frame % (at, body_hash)
            own = header.copy()
            own.update(b"dkim-signature:" + field.replace(b"\r\n ", b" "))
            written.append(b"DKIM-Signature: " + field + _folded(b64encode(sign(own.digest()))) + b"\r\n")
        return b"".join(written)


def sealed(mails: Sequence[tuple[Seal | None, Content]], *, at: int) -> list[Content]:
    """Each content with its signatures in front, in the given order, made on all cores; without a seal, as it is.

    Each core gets one share: handed out one by one, a signature costs 50 µs more (measured, beside 250 for RSA-2048).
    """
    cores = min(os.cpu_count() or 1, len(mails))
    if cores < 2 or all(seal is None for seal, _ in mails):
        return [_sealed(seal, content, at) for seal, content in mails]

    def share(first: int) -> list[Content]:
        return [_sealed(seal, content, at) for seal, content in mails[first::cores]]

    done = [content for _, content in mails]
    with ThreadPoolExecutor(cores, thread_name_prefix="seal") as threads:
        for first, contents in enumerate(threads.map(share, range(cores))):
            done[first::cores] = contents
    return done


def _sealed(seal: Seal | None, content: Content, at: int) -> Content:
    if seal is None:
        return content
    whole = bytes(content)
    fields = seal.sign(whole, at=at)
    return content._replace(pieces=(fields, whole), octets=len(fields) + len(whole))


def _relaxed(name: str, value: bytes) -> bytes:
    """RFC 6376 §3.4.2, for values as delivery/headers.py writes them."""
    return f"{name.lower()}:".encode() + value.replace(b"\r\n ", b" ") + b"\r\n"


def _frame(key: _Key, covered: str) -> bytes:
    """A DKIM-Signature's value up to `b=`, with places for t= and bh=. No x=: a relay may keep a mail for days."""
    names = headers.folded(covered.replace(":", ": ").split(" "), len(" h=")).replace(": ", ":")
    start = f"v=1; a={key.algorithm}; c=relaxed/simple;\r\n d={key.domain}; s={key.selector};\r\n h={names};\r\n "
    return start.encode() + b"t=%d; bh=%b;\r\n b="


def _folded(signature: bytes) -> bytes:
    lines = [signature[at : at + _SIGNATURE_LINE] for at in range(0, len(signature), _SIGNATURE_LINE)]
    return b"\r\n ".join(lines)


# ── keys ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _load(key: DkimKey) -> _Key:
    if not (_NAME.fullmatch(key.selector) and _NAME.fullmatch(key.domain)):
        raise _wrong(key, "selector and domain must be names in DNS (an internationalised domain as its A-label)")
    try:
        private = serialization.load_pem_private_key(key.path.read_bytes(), password=None)
    except OSError as error:
        raise _wrong(key, f"the file can't be read ({error.strerror})") from error
    except (ValueError, TypeError, UnsupportedAlgorithm):  # their words may quote the file
        raise _wrong(key, "the file holds no private key in PEM without a password") from None
    if isinstance(private, Ed25519PrivateKey):
        return _ed25519(key, private)
    if isinstance(private, RSAPrivateKey) and private.key_size in _RSA_BITS:
        return _rsa(key, private)
    raise _wrong(key, "the key must be RSA of 2048 to 4096 bits, or Ed25519")


def _rsa(key: DkimKey, private: RSAPrivateKey) -> _Key:
    padding, prehashed = PKCS1v15(), Prehashed(hashes.SHA256())

    def sign(digest: bytes) -> bytes:
        return private.sign(digest, padding, prehashed)

    public = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return _Key(key.selector, key.domain, "rsa-sha256", sign, _record("rsa", public))


def _ed25519(key: DkimKey, private: Ed25519PrivateKey) -> _Key:
    # RFC 8463 §3, §4.2: PureEdDSA over the digest, and the bare key of 32 octets in DNS.
    public = private.public_key().public_bytes_raw()
    return _Key(key.selector, key.domain, "ed25519-sha256", private.sign, _record("ed25519", public))


def _record(kind: str, public: bytes) -> str:
    return f"v=DKIM1; k={kind}; p={b64encode(public).decode()}"


def _wrong(key: DkimKey, reason: str) -> SettingsError:
    return SettingsError(f"{PREFIX}DKIM: {key.selector}:{key.domain}: {reason}")
