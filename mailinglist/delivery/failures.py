"""Pure: what a refusal means. One policy, wherever it comes from.

4yz is tried again, from half an hour up to four days after the first try (RFC 5321 §4.5.4.1); letters, for which
somebody is waiting at a screen, sooner at first. What was not accepted without being refused (connection lost, 421)
goes again soon.
"""

from __future__ import annotations

from datetime import datetime, timedelta

GIVE_UP_AFTER = timedelta(days=4)

_BULLETIN_WAITS = (30, 30, 60, 120, 240, 360)
_LETTER_WAITS = (1, 5, 15, 30, 30, 60, 120, 240, 360)
_UNSENT_WAITS = (2, 5, 15, 60, 300)


def retry_at(kind: str, *, attempts: int, first: datetime, now: datetime) -> datetime | None:
    """When a deferred mail is tried again, after `attempts` tries; None: four days have passed, it counts as
    rejected."""
    if now - first >= GIVE_UP_AFTER:
        return None
    waits = _BULLETIN_WAITS if kind == "bulletin" else _LETTER_WAITS
    return now + timedelta(minutes=_nth(waits, attempts))


def unsent_until(*, attempts: int, first: datetime, now: datetime) -> datetime | None:
    """When a mail that a server neither took nor refused goes again; None: four days have passed."""
    if now - first >= GIVE_UP_AFTER:
        return None
    return now + timedelta(seconds=_nth(_UNSENT_WAITS, attempts))


def _nth(waits: tuple[int, ...], attempts: int) -> int:
    return waits[min(max(attempts, 1), len(waits)) - 1]
