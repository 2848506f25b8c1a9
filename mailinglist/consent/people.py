"""Looking a person up, for those who may: what `people show` and the staff console tell. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..errors import Unknown
from . import bans, register
from .address import Address
from .tables import ConsentText, MailingList, Subscription


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a person stands on one list."""

    list: str
    state: str
    basis: str
    since: datetime
    text_version: int | None
    """Version of the consent text they agreed to; None where there was none: before the answer, or by an import."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One person, as the register knows them."""

    address: str
    language: str
    subscriptions: tuple[Standing, ...]
    bans: tuple[str, ...]
    """Channels on which marketing is forbidden."""


def look_up(session: Session, address: Address) -> Profile:
    """The person with this case-folded address. Raises Unknown, RegisterUnsound."""
    channels = bans.in_force(session, bans.digests(session, address))
    person = register.find(session, address)
    if person is None:
        kept = f"; a marketing ban is kept for it ({', '.join(channels)})" if channels else ""
        raise Unknown(f"Nobody with this address is in the register{kept}.")
    rows = session.execute(
        select(MailingList.slug, Subscription.state, Subscription.basis, Subscription.since, ConsentText.version)
        .join(Subscription, Subscription.list_id == MailingList.id)
        .outerjoin(ConsentText, ConsentText.id == Subscription.text_id)
        .where(Subscription.person_id == person.id)
        .order_by(MailingList.id)
    )
    return Profile(person.mailbox, person.language, tuple(Standing(*row) for row in rows), channels)
