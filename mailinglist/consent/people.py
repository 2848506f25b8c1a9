"""Looking a person up, for those who may: what `people show` and the staff console tell. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..errors import Unknown
from . import bans, notes, proof, register
from .address import Address, fold
from .bans import Forbidden
from .notes import Noted
from .tables import Ban, Confirmation, ConsentText, MailingList, Person, Request, Subscription


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
    """Channels on which marketing is forbidden, on whatever lists."""
    in_force: tuple[Forbidden, ...]
    """The bans one by one, with their lists."""


@dataclass(frozen=True, slots=True)
class Membership:
    """All that is held about a person's place on one list."""

    list: str
    name: str
    state: str
    basis: str
    since: datetime
    source: str
    sale_reference: str | None
    acted_at: datetime | None
    text_version: int | None
    text_language: str | None
    text: str | None
    """The exact words that they agreed to; None where there were none: before the answer, or by an import."""


@dataclass(frozen=True, slots=True)
class BanHeld:
    """One ban, in force while it has not been lifted."""

    channel: str
    list: str | None
    """The one list that it is about, by its slug; None: all lists."""
    source: str
    given_at: datetime
    lifted_at: datetime | None
    lifted_by: str | None


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of a person, and the letter that became due by it."""

    kind: str
    list: str
    entrance: str
    received_at: datetime
    taken_at: datetime | None
    """None: it waits for the worker."""
    outcome: str | None
    letter: str | None
    letter_at: datetime | None


@dataclass(frozen=True, slots=True)
class Link:
    """One confirmation link that was mailed."""

    list: str
    issued_at: datetime
    expires_at: datetime
    used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Whole:
    """Everything that the register holds about one person. `delivery.received` tells what was mailed to them."""

    id: int
    address: str
    name: str | None
    language: str
    created_at: datetime
    muted_until: datetime | None
    memberships: tuple[Membership, ...]
    bans: tuple[BanHeld, ...]
    requests: tuple[Asked, ...]
    """Newest first; those that wait for the worker too."""
    links: tuple[Link, ...]
    """Newest first."""
    history: tuple[dict[str, Any], ...]
    """The ledger's entries, oldest first, as `proof.prove` tells them: with the exact texts and the evidence."""
    notes: tuple[Noted, ...]
    """Newest first."""


def look_up(session: Session, address: Address) -> Profile:
    """The person with this case-folded address. Raises Unknown, RegisterUnsound."""
    forbidden = bans.in_force(session, bans.digests(session, address))
    channels = bans.channels_of(forbidden)
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
    return Profile(person.mailbox, person.language, tuple(Standing(*row) for row in rows), channels, forbidden)


def whole(session: Session, person_id: int) -> Whole:
    """Everything that this room holds about the person (GDPR 15). Raises Unknown, RegisterUnsound."""
    person = session.get(Person, person_id, populate_existing=True)
    if person is None:
        raise Unknown("This person is not in the register any more.")
    return Whole(
        id=person.id,
        address=person.mailbox,
        name=person.name,
        language=person.language,
        created_at=person.created_at,
        muted_until=person.muted_until,
        memberships=_memberships(session, person),
        bans=_bans(session, person),
        requests=_requests(session, person),
        links=_links(session, person),
        history=tuple(proof.prove(session, person.folded)),
        notes=tuple(notes.of(session, person.id)),
    )


def _memberships(session: Session, person: Person) -> tuple[Membership, ...]:
    rows = session.execute(
        select(
            MailingList.slug, MailingList.name, Subscription.state, Subscription.basis, Subscription.since,
            Subscription.source, Subscription.sale_reference, Subscription.acted_at,
            ConsentText.version, ConsentText.language, ConsentText.body,
        )
        .join(Subscription, Subscription.list_id == MailingList.id)
        .outerjoin(ConsentText, ConsentText.id == Subscription.text_id)
        .where(Subscription.person_id == person.id)
        .order_by(MailingList.id)
    )  # fmt: skip
    return tuple(Membership(*row) for row in rows)


def _bans(session: Session, person: Person) -> tuple[BanHeld, ...]:
    wanted = [person.digest, person.exact_digest]
    bans.in_force(session, wanted)  # raises where bans can't be read
    rows = session.execute(
        select(Ban.channel, Ban.list_id, MailingList.slug, Ban.source, Ban.given_at, Ban.lifted_at, Ban.lifted_by)
        .outerjoin(MailingList, MailingList.id == Ban.list_id)
        .where(Ban.digest.in_(wanted))
        .order_by(Ban.lifted_at.is_not(None), Ban.given_at, Ban.channel)
    )
    return tuple(
        BanHeld(
            row.channel, bans.name_of(row.list_id, row.slug), row.source, row.given_at, row.lifted_at, row.lifted_by
        )
        for row in rows
    )


def _requests(session: Session, person: Person) -> tuple[Asked, ...]:
    """Those that wait are known by their address only: all that wait at its domain are looked through."""
    asked = (
        Request.kind, MailingList.slug, Request.entrance, Request.received_at, Request.taken_at, Request.outcome,
        Request.letter, Request.letter_at,
    )  # fmt: skip
    waiting = session.execute(
        select(Request.mailbox, *asked)
        .join(MailingList, MailingList.id == Request.list_id)
        .where(Request.taken_at.is_(None), Request.domain == person.domain)
        .order_by(Request.id.desc())
    )
    theirs = [Asked(*row[1:]) for row in waiting if row.mailbox and fold(row.mailbox) == person.folded]
    taken = session.execute(
        select(*asked)
        .join(MailingList, MailingList.id == Request.list_id)
        .where(Request.person_id == person.id)
        .order_by(Request.received_at.desc(), Request.id.desc())
    )
    return (*theirs, *(Asked(*row) for row in taken))


def _links(session: Session, person: Person) -> tuple[Link, ...]:
    rows = session.execute(
        select(MailingList.slug, Confirmation.issued_at, Confirmation.expires_at, Confirmation.used_at)
        .join(MailingList, MailingList.id == Confirmation.list_id)
        .where(Confirmation.person_id == person.id)
        .order_by(Confirmation.id.desc())
    )
    return tuple(Link(*row) for row in rows)
