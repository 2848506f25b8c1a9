"""The register: the only writer of persons, subscriptions and confirmations, with the files that call themselves part
of it (`confirming`, `register_many`, `registrar`, `restriction`).

Every verb takes a session, changes the state by the table of moves, and appends to the ledger in the same
transaction; none commits. Verbs lock the person's row first, so that a confirmation and a leave of one person follow
each other.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, func, select
from sqlalchemy.orm import Session

from .. import db
from ..errors import BadInput, NotAllowed, TokenSpent, Unknown
from ..i18n import LANGUAGES
from ..tokens import Purpose, Tokens
from . import bans, journal, journal_file, ledger, notes, notices, readdressed
from .address import Address
from .keys import keys_of
from .pins import held, in_order
from .states import Basis, Channel, Event, State, move
from .tables import (
    Confirmation,
    ConsentText,
    Evidence,
    MailingList,
    Person,
    Request,
    Subscription,
)

_MUTED_FOR = timedelta(days=365)

Origin = dict[str, Any]
"""Where an act came from (client address, user agent, …): becomes evidence."""


def tokens_of(session: Session) -> Tokens:
    """The tokens that the session carries."""
    tokens: Tokens = session.info["tokens"]
    return tokens


# ── who is who ────────────────────────────────────────────────────────────────────────────────────────────────────────


def find(session: Session, address: Address) -> Person | None:
    """The person with this case-folded address."""
    return session.scalar(select(Person).where(Person.folded == address.folded))


def pin_now(session: Session, addresses: Collection[Address]) -> bool:
    """Nobody erases whoever has one of these addresses until the end of the transaction, so that what is kept of them
    is found then. False: somebody else has one of them locked at this moment. Nobody waits for that, since whoever asks
    may have locked another person, and two could wait for each other."""
    theirs = select(Person.id).where(Person.folded.in_({address.folded for address in addresses}))
    there = set(session.scalars(theirs))
    return there <= set(session.scalars(theirs.with_for_update(read=True, key_share=True, skip_locked=True)))


def sorted_by_address(session: Session, persons: Sequence[int]) -> Sequence[int]:
    """These persons (their ids), `in_order`; who is gone is left out. As they are where nobody else can hold a lock."""
    if len(persons) < 2 or session.get_bind().dialect.name != "postgresql":
        return persons
    return session.scalars(select(Person.id).where(db.among(Person.id, persons)).order_by(in_order())).all()


def mailboxes(session: Session, persons: Collection[int]) -> dict[int, str]:
    """The addresses, as they are now, of persons by id, not locked; who is missing was erased."""
    return dict(session.execute(select(Person.id, Person.mailbox).where(db.among(Person.id, persons))).all())


def address_of(session: Session, digest: bytes) -> str | None:
    """The case-folded address of the person whom a link with this keyed digest names (`readdressed.owner`), not
    locked."""
    address = session.scalar(select(Person.folded).where(Person.digest == digest))
    if address is not None:
        return address
    chain = ledger.moved_to(session, digest)
    return session.scalar(select(Person.folded).where(Person.chain == chain)) if chain else None


def locked(session: Session, person_id: int) -> Person | None:
    """The person's row, locked until the end of the transaction, as it is now."""
    return session.get(Person, person_id, with_for_update=True, populate_existing=True)


def subscription(session: Session, person_id: int, list_id: int) -> Subscription | None:
    """Where the person stands on the list, as it is now."""
    return session.get(Subscription, (person_id, list_id), populate_existing=True)


def enter(session: Session, address: Address, *, language: str, name: str | None, now: datetime) -> Person:
    """The person with this address, locked; entered in the register if new. Two at once enter one."""
    keys = keys_of(session)
    digest = keys.digest(address.folded)
    person = held(session, Person.folded == address.folded)
    if person is not None:
        return person
    chain = chain_for(session, digest)
    session.execute(
        db.insert_new(session, Person)
        .values(
            mailbox=address.mailbox, folded=address.folded, digest=digest, exact_digest=keys.digest(address.mailbox),
            chain=chain, name=name, language=language, created_at=now,
        )
        .on_conflict_do_nothing()  # by the address, or by its chain, which somebody else took along to it
    )  # fmt: skip
    return session.scalars(select(Person).where(Person.folded == address.folded).with_for_update()).one()


def chain_for(session: Session, digest: bytes) -> bytes:
    """The ledger's chain for somebody who gets the address of this keyed digest: the one that waits, else a fresh
    one."""
    chain = ledger.chain_of(session, digest)
    taken = session.scalar(select(Person.id).where(Person.chain == chain)) is not None
    return secrets.token_bytes(16) if taken else chain


# ── joining ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def ask(
    session: Session,
    person: Person,
    row: MailingList,
    text: ConsentText,
    *,
    source: str,
    evidence: Origin,
    seen_at: datetime | None = None,
    now: datetime,
) -> Subscription:
    """Record that the person (locked) asked to join. Gives nothing yet: only an answered letter does.

    `seen_at`: when they saw the form, and the privacy notice of that time.
    """
    standing = subscription(session, person.id, row.id)
    before = standing.standing if standing else State.NONE
    after = move(before, Event.ASK)
    if standing is None:
        standing = Subscription(
            person_id=person.id,
            list_id=row.id,
            state=after.value,
            basis=Basis.CONSENT.value,
            since=now,
            epoch=0,
            source=source,
        )
        session.add(standing)
        session.flush()
    filed = ledger.file_evidence(session, evidence, person_id=person.id, now=now)
    person.language = text.language
    fact = ledger.Fact(
        Event.ASK, list=row.slug, state=after.value, before=before.value, text=text,
        notice=notices.digest_with(session, text, at=seen_at or now), source=source, evidence=filed,
    )  # fmt: skip
    ledger.append(session, person.chain, person.digest, fact, now=now)
    return standing


def disowned(session: Session, person: Person, row: MailingList, *, source: str, origin: Origin, now: datetime) -> None:
    """The person (locked) did not ask: what there is ends, and no confirmation letter goes to them for a year."""
    if end(session, person, row, Event.DISOWN, source=source, origin=origin, now=now):
        _mute(person, now=now)  # the journal's line of what ended says it, too
    else:
        mute(session, person, row.slug, now=now)


def mute(session: Session, person: Person, slug: str | None, *, now: datetime) -> None:
    """No confirmation letter goes to this person (locked) for a year; the journal of opt-outs says so. `slug`: of the
    list whose letter it was."""
    _mute(person, now=now)
    journal.note(session, journal_file.MUTED, person.digest, list_slug=slug, now=now)


def _mute(person: Person, *, now: datetime) -> None:
    person.muted_until = now + _MUTED_FOR


# ── leaving ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Ticket:
    """What an unsubscribe token names: a list, a person by the keyed digest of their address, a dispatch (0: a
    letter)."""

    list_id: int
    digest: bytes
    dispatch_id: int = 0

    def pack(self) -> bytes:
        """41 bytes, so that every token is equally long."""
        return bytes((1,)) + self.list_id.to_bytes(3, "big") + self.dispatch_id.to_bytes(5, "big") + self.digest

    @classmethod
    def unpack(cls, raw: bytes) -> Ticket:
        """The reverse of `pack`. The signature has been checked, so only a version may be unknown."""
        if len(raw) != 41 or raw[0] != 1:
            raise TokenSpent("This link is of a kind that this version does not know.")
        return cls(int.from_bytes(raw[1:4], "big"), raw[9:], int.from_bytes(raw[4:9], "big"))


def unsubscribe_token(tokens: Tokens, list_id: int, digest: bytes, dispatch_id: int = 0) -> str:
    """The token of an unsubscribe link: opaque, never expires, grants leaving and forbidding and nothing else."""
    return tokens.issue(Purpose.UNSUBSCRIBE, Ticket(list_id, digest, dispatch_id).pack())


@dataclass(frozen=True, slots=True)
class Exit:
    """What an unsubscribe link leads to."""

    list: MailingList
    language: str | None
    """The person's, when they are still known."""
    left: bool
    """True when they are not (or no longer) on the list."""


def exit_for(session: Session, token: str) -> Exit:
    """What this unsubscribe link leads to; changes nothing. Raises TokenForged, Unknown (the list is gone)."""
    ticket, row = ticket_of(session, token)
    person = session.scalar(select(Person).where(Person.digest == ticket.digest))
    if person is None and (chain := ledger.moved_to(session, ticket.digest)):
        person = session.scalar(select(Person).where(Person.chain == chain))
    standing = subscription(session, person.id, row.id) if person else None
    on = standing is not None and standing.standing in (State.ACTIVE, State.PENDING, State.UNDELIVERABLE)
    return Exit(row, person.language if person else None, left=not on)


def ticket_of(session: Session, token: str) -> tuple[Ticket, MailingList]:
    """What an unsubscribe token names. Raises TokenForged, TokenSpent, Unknown (the list is gone)."""
    ticket = Ticket.unpack(tokens_of(session).read(Purpose.UNSUBSCRIBE, token))
    row = session.get(MailingList, ticket.list_id)
    if row is None:
        raise Unknown("There is no such list any more.")
    return ticket, row


def leave(session: Session, token: str, *, origin: Origin, ban: Collection[Channel] = (), now: datetime) -> MailingList:
    """Leave at once, and with `ban` forbid marketing on those channels too. Any number of times; never expires.

    A ban is recorded even when the person was erased since: the token carries the keyed digest it needs.
    Raises TokenForged, Unknown (the list is gone), RegisterUnsound (`intake.write_down_exit` then keeps it).
    """
    ticket, row = ticket_of(session, token)
    leave_by(session, ticket, row, origin=origin, ban=ban, now=now)
    return row


def leave_by(
    session: Session, ticket: Ticket, row: MailingList, *, origin: Origin, ban: Collection[Channel], now: datetime
) -> None:
    """`leave`, for a token that has been read. Raises RegisterUnsound."""
    person = readdressed.owner(session, ticket.digest)
    source = str(origin.get("how", "page"))
    if person is not None:
        if ticket.dispatch_id:
            origin = {**origin, "dispatch": ticket.dispatch_id}
        end(session, person, row, Event.LEAVE, source=source, origin=origin, now=now)
    for digest in dict.fromkeys((ticket.digest, person.digest if person else ticket.digest)) if ban else ():
        person_id = person.id if person else None
        bans.add(session, digest, ban, source=source, origin=origin, person_id=person_id, now=now)


def withdraw(session: Session, person: Person, *, source: str, now: datetime) -> None:
    """Leave every list (the person is locked): who asks to be erased does not want to come back by the next import."""
    rows = session.scalars(
        select(MailingList)
        .join(Subscription, Subscription.list_id == MailingList.id)
        .where(Subscription.person_id == person.id)
        .order_by(MailingList.id)
    )
    for row in rows.all():
        end(session, person, row, Event.LEAVE, source=source, origin={"how": source}, now=now)


def end(
    session: Session,
    person: Person,
    row: MailingList,
    event: Event,
    *,
    source: str,
    origin: Origin,
    by_link: bool = True,
    now: datetime,
) -> bool:
    """LEAVE or DISOWN for a locked person. Returns whether it ended anything: repeated it only closes open requests.

    `by_link`: by a link that only their mailbox holds, which is what limits of letters count from.
    """
    standing = subscription(session, person.id, row.id)
    if standing is None:
        return False
    before = standing.standing
    after = move(before, event)
    standing.epoch += 1
    if by_link:
        standing.acted_at = now
    if before is after:
        return False
    standing.state, standing.since = after.value, now
    filed = ledger.file_evidence(session, origin, person_id=person.id, now=now)
    fact = ledger.Fact(event, list=row.slug, state=after.value, before=before.value, source=source, evidence=filed)
    ledger.append(session, person.chain, person.digest, fact, now=now)
    journal.note(session, event.value, person.digest, list_slug=row.slug, now=now)
    return True


# ── corrections ───────────────────────────────────────────────────────────────────────────────────────────────────────


def correct_details(
    session: Session, person: Person, *, name: str | None, language: str, source: str, origin: Origin, now: datetime
) -> tuple[str, ...]:
    """Correct name and language of a person (locked), who asked for it (GDPR 16). Returns what changed. Raises BadInput
    (there is no such language), RegisterUnsound."""
    if language not in LANGUAGES:
        raise BadInput("There is no such language.")
    before = {"name": person.name, "language": person.language}
    changed = tuple(field for field, new in (("name", name), ("language", language)) if new != before[field])
    if changed:
        person.name, person.language = name, language
        corrected(session, person, changed, source=source, origin=origin, now=now)
    return changed


def corrected(
    session: Session,
    person: Person,
    what: Collection[str],
    *,
    source: str,
    origin: Origin,
    written: bytes | None = None,
    now: datetime,
) -> None:
    """Have the ledger say what of a person (locked) was corrected: names of fields, and never what they hold.
    `written`: the keyed digest of how the address was written until now, if that is another one."""
    filed = ledger.file_evidence(session, {**origin, "corrected": list(what)}, person_id=person.id, now=now)
    fact = ledger.Fact(ledger.CORRECTED, source=source, evidence=filed, written=written)
    ledger.append(session, person.chain, person.digest, fact, now=now)


# ── what the journal of opt-outs tells of, and a restored register does not know ──────────────────────────────────────


def left_since(
    session: Session, digest: bytes, row: MailingList, event: Event, *, origin: Origin, now: datetime
) -> bool:
    """After a restore: whoever has this keyed digest left (or disowned) the list after the backup was made. Returns
    whether the register had not known.

    Of somebody who is not in it, or was not on the list, it is kept that they left, so that no import brings them back.
    """
    person = session.scalar(select(Person).where(Person.digest == digest).with_for_update())
    standing = subscription(session, person.id, row.id) if person else None
    if person is not None and standing is not None:
        return end(session, person, row, event, source="journal", origin=origin, by_link=False, now=now)
    fact = ledger.Fact(event, list=row.slug, state=State.LEFT.value, before=State.NONE.value, source="journal")
    if person is not None:
        session.add(
            Subscription(
                person_id=person.id, list_id=row.id, state=State.LEFT.value, basis=Basis.CONSENT.value, since=now,
                epoch=1, source="journal",
            )
        )  # fmt: skip
        session.flush()
        ledger.append(session, person.chain, person.digest, fact, now=now)
    elif ledger.last_state(session, digest, row.slug) == State.LEFT.value:
        return False
    else:
        chain = chain_for(session, digest)
        ledger.append(session, chain, digest, fact, now=now)
        ledger.append(session, chain, digest, ledger.Fact(ledger.ERASED, source="journal"), now=now)
    journal.note(session, event.value, digest, list_slug=row.slug, now=now)
    return True


# ── by staff, and by what mail servers say ────────────────────────────────────────────────────────────────────────────


def give_up(session: Session, person_id: int, row: MailingList, *, source: str, now: datetime) -> None:
    """Mail to the person keeps failing: undeliverable. Their own sign-up, or `restore`, ends that."""
    _shift(session, person_id, row, Event.GIVE_UP, source=source, now=now)


def restore(session: Session, person_id: int, row: MailingList, *, source: str, now: datetime) -> None:
    """Undo `give_up`. Raises NotAllowed."""
    _shift(session, person_id, row, Event.RESTORE, source=source, now=now)


def _shift(session: Session, person_id: int, row: MailingList, event: Event, *, source: str, now: datetime) -> None:
    person = locked(session, person_id)
    standing = subscription(session, person_id, row.id)
    if person is None or standing is None:
        raise NotAllowed("This person is not on the list.")
    before = standing.standing
    after = move(before, event)
    if after is before:
        return
    standing.state, standing.since = after.value, now
    fact = ledger.Fact(event, list=row.slug, state=after.value, before=before.value, source=source)
    ledger.append(session, person.chain, person.digest, fact, now=now)


def unanswered(session: Session, *, before: datetime, limit: int) -> tuple[list[tuple[Person, MailingList]], bool]:
    """Persons (locked), of up to `limit` subscriptions, who have been pending on a list since before this moment, and
    have not asked again since; and whether there may be more."""
    due = select(Person.id).join(Subscription, Subscription.person_id == Person.id).where(*_unanswered(before))
    numbers = session.scalars(
        due.order_by(Person.id).limit(limit).with_for_update(of=Person, skip_locked=True)
    ).all()  # fmt: skip
    # Once more: who answered or asked again while the first look went on was found there as they had been before.
    rows = session.execute(
        select(Person, MailingList)
        .join(Subscription, Subscription.person_id == Person.id)
        .join(MailingList, MailingList.id == Subscription.list_id)
        .where(Person.id.in_(numbers), *_unanswered(before))
        .order_by(Person.id),
        execution_options={"populate_existing": True},
    )
    # All of a group may have come back meanwhile; of the others nothing is known yet.
    return [(person, row) for person, row in rows], bool(numbers)


def count_unanswered(session: Session, *, before: datetime) -> int:
    """How many `unanswered` would find in all."""
    wanted = select(func.count()).select_from(Subscription).join(Person, Person.id == Subscription.person_id)
    return session.scalar(wanted.where(*_unanswered(before))) or 0


def _unanswered(before: datetime) -> tuple[ColumnElement[bool], ...]:
    asked_again = exists().where(
        Request.person_id == Subscription.person_id,
        Request.list_id == Subscription.list_id,
        Request.received_at >= before,
    )
    pending = Subscription.state == State.PENDING.value
    return pending, Subscription.since < before, Person.restricted_at.is_(None), ~asked_again


def lapse(session: Session, person: Person, row: MailingList, *, now: datetime) -> bool:
    """Forget a request that was never answered (REQUIREMENTS 2.4). Returns whether nothing else is known of the person,
    so that they are to be forgotten too."""
    standing = subscription(session, person.id, row.id)
    if standing is None:
        return False
    move(standing.standing, Event.LAPSE)
    fact = ledger.Fact(Event.LAPSE, list=row.slug, state=State.NONE.value)
    ledger.append(session, person.chain, person.digest, fact, now=now)
    session.delete(standing)
    session.flush()
    return session.scalar(select(Subscription.list_id).where(Subscription.person_id == person.id).limit(1)) is None


def forget(
    session: Session,
    person: Person,
    *,
    names_kept: Sequence[ledger.NameKept] = (),
    source: str = "",
    now: datetime,
) -> dict[str, int]:
    """Erase the person from this room (GDPR 17). Counts of rows deleted. `source`: how they asked for it; `names_kept`:
    the bans that keep the name (`bans.keep_name`).

    Kept: bans, as keyed digests (21(3): else the next import would mail them again); the ledger's entries, which hold
    keyed digests and digests only (17(3)(e): proof that what was sent was allowed).
    """
    fact = ledger.Fact(ledger.ERASED, source=source or None, names_kept=names_kept)
    ledger.append(session, person.chain, person.digest, fact, now=now)
    journal.note(session, journal_file.ERASED, person.digest, source=source, now=now)
    counts = {"notes": notes.forget(session, person.id)}
    for name, table in (("confirmations", Confirmation), ("subscriptions", Subscription), ("evidence", Evidence)):
        removed = session.execute(delete(table).where(table.person_id == person.id))
        counts[name] = db.changed(removed)
    session.execute(delete(Person).where(Person.id == person.id))
    session.expire_all()
    return {"persons": 1, **counts}
