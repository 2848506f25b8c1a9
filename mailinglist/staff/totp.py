"""Codes of authenticator apps (RFC 6238): six digits, thirty seconds, SHA-1, which is what every app understands.
Pure."""

from __future__ import annotations

import hmac
from datetime import datetime

import pyotp

STEP = 30
"""Seconds."""
_DRIFT = 1  # steps either way (RFC 6238 §5.2): clocks of telephones, and slow fingers


def fresh_secret() -> str:
    """A new shared secret: 160 bits in base32."""
    return pyotp.random_base32()


def uri(secret: str, *, who: str, where: str) -> str:
    """What the QR code holds: `who` is the account, `where` the site, as the app shows them."""
    return pyotp.TOTP(secret).provisioning_uri(name=who, issuer_name=where)


def step_of(secret: str, code: str, *, after: int | None, now: datetime) -> int | None:
    """The time step whose code this is, if it is near enough and later than `after`, the last one used. Else None.

    Spaces are let go: apps show the digits in groups.
    """
    digits = "".join(code.split())
    if len(digits) != 6 or not (digits.isascii() and digits.isdigit()):
        return None
    present = int(now.timestamp()) // STEP
    found = None
    for step in range(present - _DRIFT, present + _DRIFT + 1):
        same = hmac.compare_digest(pyotp.TOTP(secret).generate_otp(step), digits)
        if same and (after is None or step > after):
            found = step
    return found
