"""What is not needed any more goes by itself, once a day (REQUIREMENTS 2.4, GDPR 5(1)(e)).

Unanswered requests: 30 days after the last one, the subscription lapses, and a person of whom nothing else is known is
forgotten as by erasure. The ids of requests that were taken go then too.

The staff's audit: two years. Sign-ins and links that are over: 30 days; what they were is in the audit.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from ..consent import register, requests
from ..observe import count
from ..staff import accounts, audit, sign_ins
from . import rights

UNANSWERED = timedelta(days=30)
AUDIT = timedelta(days=2 * 365)
OVER = timedelta(days=30)
_GROUP = 200
_AUDIT_GROUP = 2_000


def tidy(session: Session, *, now: datetime) -> int:
    """Let one group of all that has had its time go. Returns how much went in groups: call again until it is 0."""
    before = now - UNANSWERED
    lapsed = register.unanswered(session, before=before, limit=_GROUP)
    for person, row in lapsed:
        if register.lapse(session, person, row, now=now):
            rights.forget(session, person, now)
    cleared = requests.clear(session, before=before)
    count("requests_lapsed", len(lapsed))
    count("requests_cleared", cleared)
    return len(lapsed) + _tidy_staff(session, now)


def _tidy_staff(session: Session, now: datetime) -> int:
    sign_ins.clear(session, before=now - OVER)
    accounts.clear_links(session, before=now - OVER)
    gone = audit.clear(session, before=now - AUDIT, limit=_AUDIT_GROUP)
    count("audit_cleared", gone)
    return gone
