"""Restriction (GDPR 18): what is held about a person stays, and is not used. Part of `register`, with the same rows.

While it lasts the gate lets no marketing through, and lists that leave the program hold the person back. What they ask
for about their own data still goes. It begins and ends by the person's own word, and each time stands in the ledger.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from ..errors import Unknown
from . import journal, ledger, register
from .ledger import RESTRICTED, UNRESTRICTED
from .tables import Person


def restrict(session: Session, person: Person, *, source: str, origin: register.Origin, now: datetime) -> bool:
    """Hold back all marketing to the person, and keep their data as it is. Returns whether that is new.

    Raises Unknown (erased meanwhile), RegisterUnsound.
    """
    held = _locked(session, person)
    if held.restricted_at is not None:
        return False
    held.restricted_at = now
    _noted(session, held, RESTRICTED, source, origin, now)
    return True


def unrestrict(session: Session, person: Person, *, source: str, origin: register.Origin, now: datetime) -> bool:
    """End it. Returns whether there was anything to end. Raises Unknown, RegisterUnsound."""
    held = _locked(session, person)
    if held.restricted_at is None:
        return False
    held.restricted_at = None
    _noted(session, held, UNRESTRICTED, source, origin, now)
    return True


def _locked(session: Session, person: Person) -> Person:
    held = register.locked(session, person.id)
    if held is None:
        raise Unknown("This person is not in the register any more.")
    return held


def _noted(session: Session, person: Person, event: str, source: str, origin: register.Origin, now: datetime) -> None:
    filed = ledger.file_evidence(session, origin, person_id=person.id, now=now)
    fact = ledger.Fact(event, source=source, evidence=filed)
    ledger.append(session, person.chain, person.digest, fact, now=now)
    journal.note(session, event, person.digest, now=now)
