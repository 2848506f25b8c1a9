"""One mail to the mail server, on its own: a test mail, the owner's, one that is sent on. It is part of no account."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from .parcels import Outcome, Parcel, Result
from .smtp import Courier


def hand_over(courier: Courier, parcel: Parcel) -> Result:
    """What became of it; UNSENT, too, while the courier rests after a failure, and asks for nothing."""
    waiting, results = [parcel], list[Result]()
    courier.carry(
        lambda _most: [waiting.pop()] if waiting else [], results.extend, _all_allowed, stop=lambda: False
    )  # fmt: skip
    if results:
        return results[0]
    return Result(parcel.key, Outcome.UNSENT, None, None, "no mail server can be used just now", datetime.now(UTC), "")


def _all_allowed(keys: Sequence[int]) -> Sequence[int]:
    """No gate: whoever sends a mail on its own has looked whether it may go."""
    return keys
