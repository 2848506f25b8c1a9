"""The audit: who did, or looked at, what, when and from where. Append-only; the only writer of its table.

A line says what an act was about as kind and number (`person 12`), never by an address. A verb that changes something
writes its line in the same transaction: no change without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from ..consent.tables import MailingList
from ..db import changed
from .tables import Account, AuditEntry

_LONGEST_WHO, _LONGEST_CLIENT, _LONGEST_ABOUT = 200, 64, 200


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts. `account_id` is none for a command on the machine, and for whom we don't know."""

    account_id: int | None
    who: str
    """The account's name, or what the command line knows of its caller."""
    client: str
    """The client's address; empty for a command."""


def actor(account: Account, client: str) -> Actor:
    """Somebody who is signed in, or signing in."""
    return Actor(account.id, account.name, client)


def note(session: Session, act: str, *, by: Actor, about: str = "", now: datetime, **detail: Any) -> None:
    """Write a line. `act` is a static name; `detail` holds no address, token or password, and is plain JSON."""
    session.add(
        AuditEntry(
            at=now,
            account_id=by.account_id,
            who=by.who[:_LONGEST_WHO],
            act=act,
            about=about[:_LONGEST_ABOUT],
            detail=detail,
            client=by.client[:_LONGEST_CLIENT],
        )
    )
    session.flush()


def of_list(only: MailingList | None) -> dict[str, Any]:
    """What is noted of the list that an act is about; nothing where it is about all lists."""
    return {"list": only.id} if only else {}


def search(
    session: Session,
    *,
    who: int | str | None = None,
    act: str | None = None,
    about: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before_id: int | None = None,
    limit: int = 50,
) -> Sequence[AuditEntry]:
    """The newest lines first.

    `who`: an account's number, or a part of the name; `act` and `about` are exact; from `since` on, and before
    `until`. The next page begins with `before_id`, the last line's id.
    """
    wanted = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
    if isinstance(who, int):
        wanted = wanted.where(AuditEntry.account_id == who)
    elif who:
        wanted = wanted.where(AuditEntry.who.icontains(who, autoescape=True))
    if act:
        wanted = wanted.where(AuditEntry.act == act)
    if about:
        wanted = wanted.where(AuditEntry.about == about)
    if since:
        wanted = wanted.where(AuditEntry.at >= since)
    if until:
        wanted = wanted.where(AuditEntry.at < until)
    if before_id is not None:
        wanted = wanted.where(AuditEntry.id < before_id)
    return session.scalars(wanted).all()


def acts(session: Session) -> Sequence[str]:
    """The names of all acts that are on record, for a filter."""
    return session.scalars(select(AuditEntry.act).distinct().order_by(AuditEntry.act)).all()


def count(session: Session, *, before: datetime) -> int:
    """How many lines are older than `before`."""
    return session.scalar(select(func.count()).select_from(AuditEntry).where(AuditEntry.at < before)) or 0


def clear(session: Session, *, before: datetime, limit: int) -> int:
    """Delete up to `limit` lines that are older than `before`. Returns how many went. The database refuses what is
    younger than a year."""
    old = select(AuditEntry.id).where(AuditEntry.at < before).order_by(AuditEntry.at).limit(limit)
    return changed(session.execute(delete(AuditEntry).where(AuditEntry.id.in_(old))))
