"""What a clock that was ahead left behind, once it is right again: what waits for nothing is put right, and it is told.

That a moment which is to come is never a recent one is the rule of `moments`, and holds everywhere. Two things are left
to be done here. What was enqueued meanwhile would wait until its date has come, a leave among it. And somebody must
hear of it: mails may have gone out before their time, and dates in the register are wrong.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from .. import db, observe
from ..consent import requests, seals
from ..delivery import handoffs
from ..inbound import spool
from . import backup

_log = observe.logger(__name__)

TOLD_FOR = timedelta(days=7)
"""For so long after the first backup, or seal, that is dated rightly again."""


def put_right(session: Session) -> int:
    """Have go on what waits for a date that only a wrong clock can have set. Returns how many requests and mails that
    were. Of this machine's clock and the database's, the later one decides: one that is behind wakes nothing."""
    now = max(db.utcnow(), db.clock(session))
    number = requests.put_right(session, now=now) + spool.put_right(session, now=now)
    number += handoffs.put_right(session, now=now)
    if number:
        observe.count("dates_put_right", number)
        _log.error("dates_put_right", number=number)
    return number


def hours_ahead(session: Session, *, now: datetime) -> int | None:
    """By how many hours, at least, the date of a backup or a seal is to come; None: nothing to tell. Reads only."""
    dates = (
        backup.wrongly_dated(session, now=now, told_for=TOLD_FOR),
        seals.wrongly_dated(session, now=now, told_for=TOLD_FOR),
    )
    ahead = [date - now for date in dates if date is not None]
    return math.ceil(max(ahead) / timedelta(hours=1)) if ahead else None
