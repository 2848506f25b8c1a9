"""One mail to the mail server, on its own: a test mail, the owner's, one that is sent on. It is part of no account."""

from __future__ import annotations

from datetime import UTC, datetime

from .parcels import Outcome, Parcel, Result
from .smtp import Courier


def hand_over(courier: Courier, parcel: Parcel) -> Result:
    """What became of it; UNSENT, too, while the courier rests after a failure, and asks for nothing."""
    waiting, results = [parcel], list[Result]()
    courier.carry(
        lambda _most: [waiting.pop()] if waiting else [], results.extend, lambda keys: keys, stop=lambda: False
    )
    at_rest = Result(
        parcel.key, Outcome.UNSENT, None, None, "no mail server can be used just now", datetime.now(UTC), ""
    )
    return results[0] if results else at_rest
