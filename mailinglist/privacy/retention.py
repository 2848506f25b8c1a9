"""What is not needed any more goes by itself, once a day (REQUIREMENTS 2.4, GDPR 5(1)(e)).

Unanswered requests: 30 days after the last one, the subscription lapses, and a person of whom nothing else is known is
forgotten as by erasure. The ids of requests that were taken go then too.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from ..consent import register, requests
from ..observe import count
from . import rights

UNANSWERED = timedelta(days=30)
_GROUP = 200


def tidy(session: Session, *, now: datetime) -> int:
    """Let one group of unanswered requests lapse. Returns how many lapsed: call again until it is 0."""
    before = now - UNANSWERED
    lapsed = register.unanswered(session, before=before, limit=_GROUP)
    for person, row in lapsed:
        if register.lapse(session, person, row, now=now):
            rights.forget(session, person, now)
    cleared = requests.clear(session, before=before)
    count("requests_lapsed", len(lapsed))
    count("requests_cleared", cleared)
    return len(lapsed)
