"""The proof of work: ALTCHA's protocol, solved by its own worker in the visitor's browser while they type.

Only a form under attack, or one whose list wants it always, asks for it (`consent.intake.proof_wanted`). Who brings
none, or a bad one, is not refused: their request waits in a slower lane. There is no puzzle, nobody else's server is
asked, and nothing is measured about the visitor: ALTCHA's full widget watches the pointer, so only its worker is used.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from altcha import Payload, create_challenge, verify_solution

_GOOD_FOR = timedelta(minutes=30)

# The browser tries counters one by one until it meets the one that was chosen here; each try is one PBKDF2 of _COST
# rounds. About a second on a phone; 0.3 ms here to set, and one HMAC to check.
_ALGORITHM, _COST, _TRIES = "PBKDF2/SHA-256", 1000, (1500, 4000)


class Once(Protocol):
    """True the first time that a name is seen within so many seconds (`pace.Pace.once`)."""

    def __call__(self, what: str, /, *, seconds: int) -> bool: ...


def challenge(keys: Sequence[str], *, now: datetime) -> str:
    """A fresh challenge, as JSON for the form. `keys` are the signing keys, newest first."""
    least, most = _TRIES
    made = create_challenge(
        _ALGORITHM,
        _COST,
        counter=least + secrets.randbelow(most - least),
        expires_at=now + _GOOD_FOR,
        hmac_secret=_derived(keys[0], b"challenge"),
        hmac_key_secret=_derived(keys[0], b"solution"),
    )
    return json.dumps(made.to_dict(), separators=(",", ":"))


def solved(keys: Sequence[str], answer: str, *, once: Once) -> bool:
    """Whether `answer`, the form's hidden field, solves a challenge of ours, in time and for the first time."""
    try:
        payload = Payload.from_base64(answer)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    good = any(
        verify_solution(payload, _derived(key, b"challenge"), hmac_key_secret=_derived(key, b"solution")).verified
        for key in keys
    )
    return good and once(str(payload.challenge.signature), seconds=int(_GOOD_FOR.total_seconds()))


def _derived(key: str, label: bytes) -> bytes:
    """A key for this purpose alone."""
    return hmac.digest(key.encode(), b"mailinglist.proof." + label, "sha256")
