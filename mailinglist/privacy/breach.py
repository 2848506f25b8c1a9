"""For a breach of security (GDPR 33, 34): what is held about how many persons, where, and who looked at it. Reads only.

It says what could have been reached, and what staff did by the console and by commands; not what somebody did with a
stolen copy. 33(1): the authority is told within 72 hours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ..consent.tables import Person
from ..db import Base
from ..settings import Settings
from ..staff.tables import AuditEntry
from . import registry
from .registry import HOLDINGS, About

TOLD_WITHIN = timedelta(hours=72)
"""GDPR 33(1), from when the controller is aware of it."""
LOOKS = (
    "persons_seen", "person_seen", "person_exported", "list_exported", "recipients_seen", "complainants_seen",
    "mails_seen", "tasks_seen", "import_seen", "proof_seen", "proof_exported", "data_disclosed", "breach_looked_into",
    "ban_checked", "bans_looked_up", "bans_seen", "backup_made",
)  # fmt: skip
"""What of the audit is a look at persons, or a copy of their data that somebody took."""


@dataclass(frozen=True, slots=True)
class Place:
    """How much of what lies where."""

    name: str
    where: str
    """The database, or a folder."""
    what: str
    number: int
    """Rows; of a folder, files."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one member of staff did in the period, of one kind."""

    who: str
    account_id: int | None
    act: str
    number: int
    persons: int
    """Of how many persons by number; a search or an export has none."""
    clients: tuple[str, ...]
    """From which addresses."""
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """What there is to know."""

    since: datetime
    until: datetime
    persons: int
    """In the register now."""
    places: tuple[Place, ...]
    looks: tuple[Look, ...]
    refused_sign_ins: int


def look(session: Session, settings: Settings, *, since: datetime, until: datetime) -> Found:
    """What is held now, and who looked at it from `since` on and before `until`."""
    period = (AuditEntry.at >= since, AuditEntry.at < until)
    refused = select(func.count()).select_from(AuditEntry).where(*period, AuditEntry.act == "sign_in_refused")
    return Found(
        since, until, session.scalar(select(func.count()).select_from(Person)) or 0,
        tuple(_places(session, settings)), tuple(_looks(session, since, until)), session.scalar(refused) or 0,
    )  # fmt: skip


def _places(session: Session, settings: Settings) -> Iterator[Place]:
    database = "SQLite file" if session.get_bind().dialect.name == "sqlite" else "PostgreSQL database"
    for holding in HOLDINGS:
        if holding.about is About.NOBODY:
            continue
        if holding.folder:
            folder = _folder(holding.name, settings)
            if folder is None:
                continue
            files = folder.rglob("[!.]*") if folder.is_dir() else ()
            number = sum(1 for each in files if each.is_file())
            yield Place(holding.name, str(folder), holding.what, number)
        else:
            table = Base.metadata.tables[holding.name]
            yield Place(
                holding.name, database, holding.what, session.scalar(select(func.count()).select_from(table)) or 0
            )


def _folder(name: str, settings: Settings) -> Path | None:
    """Where a folder lies; None: there is none."""
    elsewhere = {"journal/": settings.journal_folder, registry.BACKUPS: settings.backup_dir}
    return elsewhere[name] if name in elsewhere else Path(settings.data_dir) / name


def _looks(session: Session, since: datetime, until: datetime) -> Iterator[Look]:
    """By who, account and act. The clients of each are few, and read one group at a time."""
    period = (AuditEntry.at >= since, AuditEntry.at < until, AuditEntry.act.in_(LOOKS))
    by = (AuditEntry.who, AuditEntry.account_id, AuditEntry.act)
    about = func.count(AuditEntry.about.distinct()).filter(AuditEntry.about.startswith("person "))
    rows = session.execute(
        select(*by, func.count(), about, func.min(AuditEntry.at), func.max(AuditEntry.at))
        .where(*period)
        .group_by(*by)
        .order_by(*by)
    ).all()
    for who, account_id, act, number, persons, first, last in rows:
        theirs = (AuditEntry.who == who, AuditEntry.account_id.is_not_distinct_from(account_id), AuditEntry.act == act)
        clients = session.scalars(select(AuditEntry.client).distinct().where(*period, *theirs).limit(50))
        yield Look(who, account_id, act, number, persons, tuple(sorted(filter(None, clients))), first, last)


def lines(found: Found) -> Iterator[str]:
    """The same, as text."""
    yield f"From {_when(found.since)} to {_when(found.until)}. {found.persons:,} persons are in the register now."
    yield f"The supervisory authority is told within {TOLD_WITHIN // timedelta(hours=1)} hours (GDPR 33(1))."
    yield ""
    yield "What is held, and where"
    for place in found.places:
        yield f"  {place.number:>11,}  {place.name} in {place.where}: {place.what}"
    yield ""
    yield "Who looked at it in this time"
    for each in found.looks:
        whose = f", {each.persons:,} persons" if each.persons else ""
        clients = f", from {', '.join(each.clients)}" if each.clients else ", by a command"
        period = f"{_when(each.first_at)} to {_when(each.last_at)}"
        yield f"  {each.who}: {each.act} {each.number:,} times{whose}{clients}, {period}"
    if not found.looks:
        yield "  nobody, by the console or by a command"
    yield f"Sign-ins that were refused: {found.refused_sign_ins:,}"


def _when(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S%z}"
