"""The record of processing activities (GDPR 30(1)): from the registry of what is held, the lists' settings and the
program's own. Reads only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ..consent import lists
from ..consent.tables import Person
from ..settings import Settings
from .registry import HOLDINGS, WHY, About
from .tables import Disclosure

PROTECTION: tuple[str, ...] = (
    "each member of staff signs in by name, with two factors, and has accepted a statement of secrecy",
    "what each may do follows from levels; what they do, and whose data they look at, is written into an audit",
    "other systems call with a token each, for a few kinds of calls: none reads addresses out, mails or lifts a ban",
    "the history of consent is append-only, and chained by hashes; bans are kept as keyed hashes",
    "logs hold no addresses or tokens; keys are readable by the program's account only",
    "mail servers and browsers are spoken to over TLS where the operator sets it so",
)
"""Technical and organisational measures, in general (30(1)(g), 32)."""


@dataclass(frozen=True, slots=True)
class Activity:
    """What is held of one kind: a table or a folder."""

    name: str
    whose: str
    what: str
    why: str
    kept: str
    erased: str


@dataclass(frozen=True, slots=True)
class Controller:
    """Who answers for one list."""

    list: str
    name: str
    controller: str
    postal_address: str
    contact: str


@dataclass(frozen=True, slots=True)
class Record:
    """The record, as it is at a moment."""

    made_at: datetime
    controllers: tuple[Controller, ...]
    persons: int
    activities: tuple[Activity, ...]
    recipients: tuple[str, ...]
    """Who outside was given data; besides them, the mail servers that take the mail."""
    mail_servers: tuple[str, ...]
    transfers: str
    protection: tuple[str, ...]


def make(session: Session, settings: Settings, *, now: datetime) -> Record:
    """The record as it is now."""
    days = settings.keep_days
    activities = tuple(
        Activity(each.name, each.about.value, each.what, WHY[each.why], each.kept_for(days), each.erased)
        for each in HOLDINGS
        if each.about is not About.NOBODY
    )
    recipients = session.scalars(select(Disclosure.recipient).distinct().order_by(Disclosure.recipient)).all()
    return Record(
        made_at=now,
        controllers=tuple(_controllers(session)),
        persons=session.scalar(select(func.count()).select_from(Person)) or 0,
        activities=activities,
        recipients=tuple(recipients),
        mail_servers=tuple(dict.fromkeys(relay.host for relay in settings.relays)),
        transfers="none by the program itself; where the mail servers and the machines stand is the operator's choice",
        protection=PROTECTION,
    )


def _controllers(session: Session) -> Iterator[Controller]:
    for row in lists.every(session):
        own = lists.settings_of(row)
        yield Controller(row.slug, row.name, own.controller or row.name, own.postal_address or "", own.owner or "")


def lines(record: Record) -> Iterator[str]:
    """The record as text."""
    yield f"Record of processing activities (GDPR 30), {record.made_at:%Y-%m-%d %H:%M} UTC"
    yield ""
    yield "Controllers"
    for each in record.controllers:
        yield f"  {each.list} ({each.name}): {', '.join(filter(None, (each.controller, each.postal_address)))}"
        yield f"    contact: {each.contact or 'not set: mailinglist lists set ' + each.list + ' owner ADDRESS'}"
    yield ""
    yield f"Data subjects: {record.persons:,} subscribers, and the staff of the console"
    yield ""
    yield "What is held"
    for activity in record.activities:
        yield f"  {activity.name} ({activity.whose}): {activity.what}"
        yield f"    why:    {activity.why}"
        yield f"    kept:   {activity.kept}"
        yield f"    erased: {activity.erased}"
    yield ""
    yield f"Recipients: the mail servers {', '.join(record.mail_servers)}, and each recipient's own"
    yield f"  disclosures: {', '.join(record.recipients) or 'none'}"
    yield f"Transfers outside the EU and EEA: {record.transfers}"
    yield ""
    yield "Protection"
    for measure in record.protection:
        yield f"  {measure}"
