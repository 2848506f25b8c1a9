"""Very many people, written straight into the register's tables, without a ledger: an import of a million takes half an
hour, and nothing that is measured with them reads one."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from mailinglist import db
from mailinglist.consent import keys, lists
from mailinglist.consent.tables import Person, Subscription

_BATCH = 20_000
_DOMAINS = 50
_YEARS = 3
_STATES = ("left",) * 6 + ("undeliverable",) * 2 + ("pending",) * 2 + ("active",) * 90
_LANGUAGES = ("fi", "fi", "fi", "fi", "fi", "fi", "fi", "sv", "sv", "en")
_SOURCES = ("bench", "kevätmessut", "vanha järjestelmä")


def fill(people: int, *, now: datetime, mixed: bool = False) -> None:
    """So many people on the default list: person 1 is person0@example0.fi. Inside an application context.

    All are active, speak Finnish and joined now. `mixed`: of a hundred, 6 have left, 2 are undeliverable and 2 pending;
    three languages, three sources, and they joined within three years.
    """
    with db.reading() as session:
        list_id = lists.find(session, lists.DEFAULT_SLUG).id
    for begin in range(0, people, _BATCH):
        with db.transaction() as session:
            _fill_batch(session, list_id, range(begin, min(begin + _BATCH, people)), now, mixed)
    with db.transaction() as session:
        if session.get_bind().dialect.name == "postgresql":
            last = "SELECT setval(pg_get_serial_sequence('persons', 'id'), (SELECT max(id) FROM persons))"
            session.execute(text(last))
        session.execute(text("ANALYZE"))


def _fill_batch(session: Session, list_id: int, numbers: range, now: datetime, mixed: bool) -> None:
    digest = keys.keys_of(session).digest
    persons, subscriptions = [], []
    for number in numbers:
        mailbox = f"person{number}@example{number % _DOMAINS}.fi"
        keyed = digest(mailbox)
        mix = _mix(number, now) if mixed else {"state": "active", "since": now, "source": "bench"}
        persons.append(
            {
                "id": number + 1, "mailbox": mailbox, "folded": mailbox, "exact_digest": keyed, "digest": keyed,
                "chain": secrets.token_bytes(16), "name": f"Matti Meikäläinen {number}",
                "language": mix.pop("language", "fi"), "created_at": now,
            }
        )  # fmt: skip
        subscriptions.append(
            {"person_id": number + 1, "list_id": list_id, "basis": "consent", "epoch": 0, **mix}
        )  # fmt: skip
    session.execute(insert(Person), persons)
    session.execute(insert(Subscription), subscriptions)


def _mix(number: int, now: datetime) -> dict[str, Any]:
    turn = number // _DOMAINS  # each domain has some of every kind
    return {
        "state": _STATES[turn * 37 % 100],
        "language": _LANGUAGES[turn * 7 % len(_LANGUAGES)],
        "source": _SOURCES[number % len(_SOURCES)],
        "since": now - timedelta(minutes=number * 7919 % (_YEARS * 365 * 24 * 60)),
    }
