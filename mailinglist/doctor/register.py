"""The database and what must be true in it: revision, ban key, triggers, clock, and somebody who takes the requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import case, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from .. import db, migrate, moments
from ..consent import seals
from ..consent.keys import assert_key
from ..consent.tables import FOREMOST, LedgerEntry, Request
from ..consent.triggers import missing_triggers
from ..delivery import handoffs
from ..delivery.tables import Handoff
from ..errors import RegisterUnsound
from ..settings import PREFIX
from ..staff import triggers as staff_triggers
from .findings import Finding, Level, reason, safely

_CLOCKS_APART = timedelta(seconds=5)
_PATIENCE = timedelta(minutes=2)
_UNSEALED = timedelta(days=2)


def check() -> Iterator[Finding]:
    """Everything that one connection to the database shows."""
    try:
        with db.reading() as session:
            found = migrate.revision(session)
            if found != migrate.head():
                words = f"it is at revision {found or 'none'}, this version needs {migrate.head()}"
                yield Finding("database", Level.FAILURE, words, "mailinglist db upgrade")
                return
            yield Finding("database", Level.OK, f"{db.db.engine.dialect.name}, revision {found}")
            yield from safely("ban key", lambda: _check_ban_key(session))
            yield from safely("ledger", lambda: _check_triggers(session))
            yield from safely("seals", lambda: _check_seals(session))
            yield from safely("audit", lambda: _check_audit(session))
            yield from safely("clock", lambda: _check_clock(session))
            yield from safely("requests", lambda: _check_requests(session))
            yield from safely("letters", lambda: _check_letters(session))
    except DBAPIError as error:
        words = f"it can't be reached: {reason(error.orig if isinstance(error.orig, Exception) else error)}"
        yield Finding("database", Level.FAILURE, words, f"start it, or correct {PREFIX}DATABASE_URL")


def _check_ban_key(session: Session) -> Iterator[Finding]:
    try:
        assert_key(session)
    except RegisterUnsound as error:
        mend = f"set {PREFIX}BAN_KEY to the key that this register was made with; it can't be made again"
        yield Finding("ban key", Level.FAILURE, str(error), mend)
    else:
        yield Finding("ban key", Level.OK, "it is the one that the register rests on")


def _check_triggers(session: Session) -> Iterator[Finding]:
    missing = missing_triggers(session)
    if missing:
        words = f"triggers that keep it append-only are missing or altered: {', '.join(missing)}"
        mend = "find out who took them away, run `mailinglist ledger verify`, and restore them from a backup's schema"
        yield Finding("ledger", Level.FAILURE, words, mend)
    else:
        yield Finding("ledger", Level.OK, "its triggers are in place (the whole check: mailinglist ledger verify)")


def _check_seals(session: Session) -> Iterator[Finding]:
    since = seals.behind(session)
    if since is not None and not moments.recent(since, db.utcnow(), _UNSEALED):
        words = f"an entry of {since:%Y-%m-%d %H:%M:%S} UTC is not sealed yet"
        mend = "start `mailinglist scheduler` and `mailinglist worker`, or run `mailinglist ledger seal`"
        yield Finding("seals", Level.WARNING, words, mend)
    else:
        yield Finding("seals", Level.OK, "the ledger is sealed")


def _check_audit(session: Session) -> Iterator[Finding]:
    missing = missing_triggers(session, staff_triggers.TRIGGERS)
    if missing:
        words = f"triggers that keep it append-only are missing or altered: {', '.join(missing)}"
        mend = "find out who took them away, and restore them from a backup's schema"
        yield Finding("audit", Level.FAILURE, words, mend)
    else:
        yield Finding("audit", Level.OK, "its triggers are in place")


def _check_clock(session: Session) -> Iterator[Finding]:
    """Against the database server's clock, and against the ledger: time can't have been later than it is."""
    latest = _latest_entry(session)
    before = db.utcnow()
    there = before if session.get_bind().dialect.name == "sqlite" else session.scalar(select(func.clock_timestamp()))
    apart = abs((there or before) - before)
    if latest is not None and latest - before > _CLOCKS_APART:
        words = f"it is {before:%Y-%m-%d %H:%M:%S} UTC here, but the ledger has an entry of {latest:%Y-%m-%d %H:%M:%S}"
        yield Finding("clock", Level.FAILURE, words, "set the clock by NTP")
    elif apart > _CLOCKS_APART:
        words = f"this machine and the database server are {apart.total_seconds():.0f} s apart"
        yield Finding("clock", Level.FAILURE, words, "set both clocks by NTP")
    else:
        yield Finding("clock", Level.OK, f"{before:%Y-%m-%d %H:%M:%S} UTC")


def _latest_entry(session: Session) -> datetime | None:
    body = session.scalar(select(LedgerEntry.body).order_by(LedgerEntry.id.desc()).limit(1))
    return datetime.fromisoformat(json.loads(body)["at"]) if body else None


def _check_requests(session: Session) -> Iterator[Finding]:
    since = case((Request.not_before == FOREMOST, Request.received_at), else_=Request.not_before)
    due, kept = session.execute(
        select(func.min(since), func.sum(case((Request.not_before == FOREMOST, 1), else_=0))).where(
            Request.taken_at.is_(None)
        )
    ).one()
    if due is not None and db.utcnow() - due > _PATIENCE:
        words = f"one has waited since {due:%Y-%m-%d %H:%M:%S} UTC: no worker takes them"
        if kept:
            words += f"; {kept} of them are opt-outs that were answered, and no marketing goes until they are entered"
        mend = "start `mailinglist worker` and `mailinglist scheduler`, and see their logs"
        yield Finding("requests", Level.FAILURE, words, mend)
    else:
        yield Finding("requests", Level.OK, "none waits for long")


def _check_letters(session: Session) -> Iterator[Finding]:
    """Letters of unknown fate: somebody may wait for one in vain."""
    number = session.scalar(select(func.count()).where(Handoff.kind != handoffs.BULLETIN, Handoff.state == "uncertain"))
    if number:
        words = f"{number} of unknown fate: a worker stopped before the mail server's answer was written down"
        mend = "who waits for one can ask again on the sign-up page; `mailinglist people show` tells who is pending"
        yield Finding("letters", Level.WARNING, words, mend)
    else:
        yield Finding("letters", Level.OK, "none of unknown fate")
