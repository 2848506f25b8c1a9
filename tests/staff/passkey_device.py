"""A passkey without a browser: the device's side of WebAuthn, as much as the tests need."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

_PRESENT, _NEW = 0x01, 0x40


def _web(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


class Device:
    """One passkey of one device."""

    def __init__(self, origin: str, host: str) -> None:
        self._origin, self._host = origin, host
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.id = secrets.token_bytes(16)
        self.count = 0

    def register(self, options: str) -> str:
        """The answer to `navigator.credentials.create`."""
        numbers = self._key.public_key().public_numbers()
        public = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        attested = bytes(16) + len(self.id).to_bytes(2, "big") + self.id + cbor2.dumps(public)
        content = {"fmt": "none", "attStmt": {}, "authData": self._data(_PRESENT | _NEW) + attested}
        return self._answer("webauthn.create", options, {"attestationObject": _web(cbor2.dumps(content))})

    def sign(self, options: str) -> str:
        """The answer to `navigator.credentials.get`."""
        self.count += 1
        data = self._data(_PRESENT)
        client = hashlib.sha256(self._client("webauthn.get", options)).digest()
        signature = self._key.sign(data + client, ec.ECDSA(hashes.SHA256()))
        return self._answer("webauthn.get", options, {"authenticatorData": _web(data), "signature": _web(signature)})

    def _data(self, flags: int) -> bytes:
        return hashlib.sha256(self._host.encode()).digest() + bytes([flags]) + self.count.to_bytes(4, "big")

    def _client(self, kind: str, options: str) -> bytes:
        challenge = json.loads(options)["challenge"]
        return json.dumps({"type": kind, "challenge": challenge, "origin": self._origin}).encode()

    def _answer(self, kind: str, options: str, response: dict[str, str]) -> str:
        response = {"clientDataJSON": _web(self._client(kind, options)), **response}
        name = _web(self.id)
        return json.dumps({"id": name, "rawId": name, "type": "public-key", "response": response})
