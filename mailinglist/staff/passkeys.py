"""Passkeys (WebAuthn level 2) as a second factor: after the password, so that presence is asked for, not who it is.

What a browser answers is checked by py_webauthn; nothing here writes.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

import webauthn
from webauthn.helpers import structs
from webauthn.helpers.exceptions import WebAuthnException

from .. import moments
from ..stationery.sentences import SaidBadInput
from ..stationery.sentences import noted as _
from .tables import Account, Passkey
from .vault import Vault

_CHALLENGE = 32  # bytes
_PATIENCE = timedelta(minutes=10)
_LONGEST_ANSWER = 20_000
_ODD = (WebAuthnException, ValueError, KeyError, TypeError, AttributeError)
"""What the library raises for an answer that no browser gave."""


@dataclass(frozen=True, slots=True)
class Site:
    """Whose passkeys they are: the host's name, and the origin that browsers tell."""

    host: str
    origin: str

    @classmethod
    def of(cls, base_url: str) -> Site | None:
        """The site of MAILINGLIST_BASE_URL. None where browsers have no passkeys: a bare address, or plain http."""
        parts = urlsplit(base_url)
        host = parts.hostname or ""
        if _is_an_address(host) or not (parts.scheme == "https" or host == "localhost"):
            return None
        return cls(host, f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")


@dataclass(frozen=True, slots=True)
class Registered:
    """A new passkey, as its device described it."""

    credential: bytes
    public_key: bytes
    sign_count: int


def registration_options(
    account: Account, known: Iterable[Passkey], *, site: Site, vault: Vault, now: datetime
) -> tuple[str, str]:
    """What the browser is asked (JSON for `navigator.credentials.create`), and a sealed note to come back with the
    answer."""
    challenge = secrets.token_bytes(_CHALLENGE)
    options = webauthn.generate_registration_options(
        rp_id=site.host,
        rp_name=site.host,
        user_name=account.address,
        user_display_name=account.name,
        user_id=f"account {account.id}".encode(),
        challenge=challenge,
        exclude_credentials=[structs.PublicKeyCredentialDescriptor(id=each.credential) for each in known],
        authenticator_selection=structs.AuthenticatorSelectionCriteria(
            resident_key=structs.ResidentKeyRequirement.DISCOURAGED,
            user_verification=structs.UserVerificationRequirement.DISCOURAGED,
        ),
    )
    note = int(now.timestamp()).to_bytes(8, "big") + challenge
    return webauthn.options_to_json(options), vault.seal(note, about=_about(account)).hex()


def registered(account: Account, answer: str, sealed: str, *, site: Site, vault: Vault, now: datetime) -> Registered:
    """The passkey that the browser made for these options. Raises BadInput in words."""
    try:
        note = vault.open(bytes.fromhex(sealed), about=_about(account))
    except ValueError:
        note = None
    if note is None or not moments.recent(datetime.fromtimestamp(int.from_bytes(note[:8], "big"), UTC), now, _PATIENCE):
        raise SaidBadInput(_("That took too long. Please try once more."))
    try:
        found = webauthn.verify_registration_response(
            credential=_bounded(answer),
            expected_challenge=note[8:],
            expected_rp_id=site.host,
            expected_origin=site.origin,
        )
    except _ODD:
        raise SaidBadInput(_("The passkey could not be added: its answer does not fit.")) from None
    return Registered(found.credential_id, found.credential_public_key, found.sign_count)


def fresh_challenge() -> bytes:
    """For one try to sign in."""
    return secrets.token_bytes(_CHALLENGE)


def authentication_options(challenge: bytes, known: Iterable[Passkey], *, site: Site) -> str:
    """What the browser is asked: JSON for `navigator.credentials.get`."""
    options = webauthn.generate_authentication_options(
        rp_id=site.host,
        challenge=challenge,
        allow_credentials=[structs.PublicKeyCredentialDescriptor(id=each.credential) for each in known],
        user_verification=structs.UserVerificationRequirement.DISCOURAGED,
    )
    return webauthn.options_to_json(options)


def credential_of(answer: str) -> bytes | None:
    """Which passkey an answer says it is from."""
    try:
        return webauthn.helpers.parse_authentication_credential_json(_bounded(answer)).raw_id
    except _ODD:
        return None


def count_of(answer: str, passkey: Passkey, challenge: bytes, *, site: Site) -> int | None:
    """The new count of signatures, if the answer is this passkey's to this challenge; else None."""
    try:
        found = webauthn.verify_authentication_response(
            credential=_bounded(answer),
            expected_challenge=challenge,
            expected_rp_id=site.host,
            expected_origin=site.origin,
            credential_public_key=passkey.public_key,
            credential_current_sign_count=passkey.sign_count,
        )
    except _ODD:
        return None
    return found.new_sign_count


def _bounded(answer: str) -> str:
    if len(answer) > _LONGEST_ANSWER:
        raise ValueError("too long")
    return answer


def _about(account: Account) -> str:
    return f"passkey challenge of account {account.id}"


def _is_an_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
