"""Part of `register`, with the same rows and rules: what staff write down for a person, by phone or from paper (T6).

Each verb needs to be told what it rests on (`Told`), which becomes evidence: how it reached us, in what words, on which
day, and who wrote it down. Staff never put anybody on a list: a join, and a corrected address, go through the
confirmation letter (REQUIREMENTS 2.2, 2.3).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ..errors import BadInput, Banned, NotAllowed, Unknown
from ..i18n import DEFAULT_LANGUAGE
from . import bans, intake, journal, journal_file, ledger, lists, register, restriction, sheet
from .address import Address
from .bans import Forbidden
from .keys import assert_sound, keys_of
from .states import Channel, Event, State, move
from .tables import MailingList, Person, Subscription

HOW = ("phone", "paper", "mail", "visit")
"""Ways in which a person's wish reaches staff."""
MAX_WORDS = 2000
_FIRST_ON_EARTH = timedelta(hours=14)
"""By how much the clock is ahead of UTC where a day begins first. Which day it is where staff sit an entrance knows."""

_TAKEN = (
    "Somebody with this address is in the register already. Record a leave for the old address instead; the new one "
    "has its own entry."
)
_DISOWNED = (
    "The owner of this mailbox said that they did not ask for mail. Enter the right address as somebody new, and leave "
    "this one as it is."
)


@dataclass(frozen=True, slots=True)
class Told:
    """What an entry by staff rests on."""

    how: str
    """One of HOW."""
    words: str
    """What was said or signed, and where that is found."""
    on: date
    """The day when the person said so."""
    who: str
    """The member of staff who writes it down."""


def enter(
    session: Session,
    row: MailingList,
    address: Address,
    told: Told,
    *,
    language: str | None = None,
    name: str | None = None,
    now: datetime,
) -> None:
    """Write down that somebody wants to join. They are on the list once they have answered the confirmation letter.

    `language` of the letter: else the person's own, else Finnish. Raises BadInput; Banned; NotAllowed (on the list
    already, or the mailbox's owner said that they did not ask).
    """
    origin = _origin(told, now)
    name = sheet.text_of(name or "", "the name")
    if bans.forbids_mail(session, bans.digests(session, address), row):
        raise Banned("Marketing to this address is forbidden. The ban has to be lifted first.")
    known = register.find(session, address)
    if known is not None:
        if known.muted_until is not None and known.muted_until > now:
            raise NotAllowed("The owner of this mailbox said that they did not ask for mail. No letter may go there.")
        standing = register.subscription(session, known.id, row.id)
        if standing is not None and standing.standing is State.ACTIVE:
            raise NotAllowed("This person is on the list already.")
    _request(session, row, address, language or (known.language if known else DEFAULT_LANGUAGE), origin, name, now)


def leave(session: Session, person_id: int, row: MailingList, told: Told, *, now: datetime) -> bool:
    """Take a person off a list, as they asked. Returns whether they were on it.

    Raises BadInput; Unknown; NotAllowed (no such subscription).
    """
    origin = _origin(told, now)
    person = _locked(session, person_id)
    if register.subscription(session, person_id, row.id) is None:
        raise NotAllowed("This person is not on the list.")
    return register.end(
        session, person, row, Event.LEAVE, source="staff", origin=origin, by_link=False, now=now
    )  # fmt: skip


def restrict(session: Session, person_id: int, told: Told, *, now: datetime) -> bool:
    """Keep a person's data and use them no more, as they asked (GDPR 18). Returns whether that is new.

    Raises BadInput, Unknown, RegisterUnsound.
    """
    origin = _origin(told, now)
    return restriction.restrict(session, _locked(session, person_id), source="staff", origin=origin, now=now)


def unrestrict(session: Session, person_id: int, told: Told, *, now: datetime) -> bool:
    """End it; the person is told before (GDPR 18(3)), and `told` says how. Returns whether there was anything to end.

    Raises BadInput, Unknown, RegisterUnsound.
    """
    origin = _origin(told, now)
    return restriction.unrestrict(session, _locked(session, person_id), source="staff", origin=origin, now=now)


def forbid(
    session: Session,
    address: Address,
    channels: Collection[Channel],
    told: Told,
    *,
    only: MailingList | None = None,
    now: datetime,
) -> tuple[Channel, ...]:
    """Record a marketing ban on all lists, or on one `only`, as the person asked: it needs no reason (GDPR 21(2)).
    Returns the channels that are new.

    Also for an address that is in no register. Raises BadInput, RegisterUnsound.
    """
    origin = _origin(told, now)
    if not channels:
        raise BadInput("A ban needs at least one channel.")
    wanted = bans.digests(session, address)
    given = bans.forbid(session, wanted, channels, only=only, source=f"staff: {told.how}", origin=origin, now=now)
    return given.added


def lift(
    session: Session, address: Address, which: Collection[Channel | Forbidden], told: Told, *, now: datetime
) -> tuple[Forbidden, ...]:
    """Lift bans, on evidence that the person wants it; a channel by itself means the ban on all lists. Returns what was
    lifted. Raises BadInput, NotAllowed (no such ban)."""
    origin = _origin(told, now)
    evidence = f"{told.how}, {told.on.isoformat()}: {origin['evidence']}"
    return bans.lift(session, address, which, evidence=evidence, who=told.who, now=now)


def correct_details(
    session: Session, person_id: int, told: Told, *, name: str | None, language: str, now: datetime
) -> tuple[str, ...]:
    """Correct name and language (GDPR 16). Returns what changed. Raises BadInput, Unknown."""
    origin = _origin(told, now)
    name = sheet.text_of(name or "", "the name")
    person = _locked(session, person_id)
    return register.correct_details(
        session, person, name=name, language=language, source="staff", origin=origin, now=now
    )


def correct_address(
    session: Session, person_id: int, address: Address, told: Told, *, now: datetime
) -> tuple[MailingList, ...]:
    """Give a person another address (T6, GDPR 16). Returns the lists that a confirmation letter goes out for.

    Nothing that was agreed to under the old address counts for the new one: on each list they wait for the answer to a
    letter, and who left stays so. Bans of the old address go along, and stay in force for the old one too. The old
    address is in no row afterwards; the ledger ends its chain and links it with that of the new one, so that the proof
    of consent goes back to it, links in mails that went there still work, and an import does not bring it back.

    Another way of writing the same address (upper and lower case) changes that only. Raises BadInput; Unknown;
    NotAllowed (somebody has this address, or the mailbox's owner said that they did not ask); RegisterUnsound.
    """
    origin = _origin(told, now)
    assert_sound(session)
    person = _locked(session, person_id)
    if address.mailbox == person.mailbox:
        raise BadInput("This is the address that the person has.")
    forbidden = bans.in_force(session, [person.digest, person.exact_digest])
    if address.folded == person.folded:
        written = person.exact_digest if person.exact_digest != person.digest else None
        person.mailbox, person.exact_digest = address.mailbox, keys_of(session).digest(address.mailbox)
        session.flush()
        register.corrected(session, person, ["address"], source="staff", origin=origin, written=written, now=now)
        _ban_along(session, person.digest, forbidden, now)
        return ()
    if person.muted_until is not None and person.muted_until > now:
        raise NotAllowed(_DISOWNED)
    if register.find(session, address) is not None:
        raise NotAllowed(_TAKEN)
    bans.fold_in(session, person, now=now)  # nobody knows the old address any more afterwards
    filed = ledger.file_evidence(session, {**origin, "corrected": ["address"]}, person_id=person.id, now=now)
    waiting = _move(session, person, address, filed, forbidden, now)
    asked = [row for row in waiting if not bans.forbids_mail(session, [person.digest, person.exact_digest], row)]
    for row in asked:
        _request(session, row, address, person.language, origin, None, now)
    return tuple(asked)


def _move(
    session: Session, person: Person, address: Address, filed: bytes, forbidden: Collection[Forbidden], now: datetime
) -> list[MailingList]:
    """The person (locked) with another address, in another chain; what is forbidden goes along. Returns the lists on
    which they now wait."""
    standings = session.execute(
        select(Subscription, MailingList)
        .join(MailingList, MailingList.id == Subscription.list_id)
        .where(Subscription.person_id == person.id)
        .order_by(MailingList.id),
        execution_options={"populate_existing": True},
    ).all()
    old_digest, old_chain = person.digest, person.chain
    written = person.exact_digest if person.exact_digest != old_digest else None
    keys = keys_of(session)
    digest = keys.digest(address.folded)
    chain = register.chain_for(session, digest)
    try:
        with session.begin_nested():
            person.mailbox, person.folded, person.domain = address.mailbox, address.folded, address.domain
            person.digest, person.exact_digest, person.chain = digest, keys.digest(address.mailbox), chain
            session.flush()
    except IntegrityError:  # entered by somebody else in this very moment
        raise NotAllowed(_TAKEN) from None
    # The person, the bans, and then the heads of chains: in this order whoever enters somebody, or a list of bans,
    # takes them, too.
    _ban_along(session, digest, forbidden, now)
    waiting = []
    came: list[ledger.Fact] = []
    for standing, row in standings:
        before = standing.standing
        after = move(before, Event.READDRESS)
        # “left” holds for the old address, so that no import takes it for somebody new.
        gone = ledger.Fact(
            ledger.MOVED, list=row.slug, state=State.LEFT.value, before=before.value, evidence=filed,
            other_chain=chain, written=written,
        )  # fmt: skip
        ledger.append(session, old_chain, old_digest, gone, now=now)
        came.append(
            ledger.Fact(
                ledger.READDRESSED, list=row.slug, state=after.value, before=before.value, basis=standing.basis,
                source="staff", evidence=filed, other_chain=old_chain,
            )
        )  # fmt: skip
        standing.epoch += 1  # letters to the old address confirm nothing
        if after is State.PENDING:
            standing.state, standing.since, standing.acted_at, standing.text_id = after.value, now, now, None
            waiting.append(row)
    if not standings:
        gone = ledger.Fact(ledger.MOVED, evidence=filed, other_chain=chain, written=written)
        ledger.append(session, old_chain, old_digest, gone, now=now)
        came.append(ledger.Fact(ledger.READDRESSED, source="staff", evidence=filed, other_chain=old_chain))
    for fact in came:
        ledger.append(session, chain, digest, fact, now=now)
    journal.note(session, journal_file.MOVED, old_digest, to=digest, now=now)
    return waiting


def _ban_along(session: Session, digest: bytes, forbidden: Collection[Forbidden], now: datetime) -> None:
    if not forbidden:
        return
    rows = {row.slug: row for row in lists.every(session)}
    for slug in dict.fromkeys(each.list for each in forbidden):
        named = [each.channel for each in forbidden if each.list == slug]
        only = rows.get(slug) if slug else None
        bans.add(session, digest, named, only=only, source="went along with a corrected address", now=now)


def _locked(session: Session, person_id: int) -> Person:
    person = register.locked(session, person_id)
    if person is None:
        raise Unknown("This person is not in the register any more.")
    return person


def _origin(told: Told, now: datetime) -> register.Origin:
    words = told.words.replace("\r\n", "\n").strip()
    if told.how not in HOW:
        raise BadInput("An entry by staff says how the person told us: by phone, on paper, by mail, or on a visit.")
    if not words:
        raise BadInput("An entry by staff needs evidence: what was said or signed, and where that is found.")
    if len(words) > MAX_WORDS or not words.replace("\n", "").replace("\t", "").isprintable():
        raise BadInput(f"The evidence has at most {MAX_WORDS:,} characters, and no control characters.")
    if told.on > (now.astimezone(UTC) + _FIRST_ON_EARTH).date():
        raise BadInput("The day when they asked lies in the future.")
    return {"how": told.how, "evidence": words, "asked_on": told.on.isoformat(), "recorded_by": told.who}


def _request(
    session: Session,
    row: MailingList,
    address: Address,
    language: str,
    origin: register.Origin,
    name: str | None,
    now: datetime,
) -> None:
    text = lists.current_text(session, row, language)
    intake.write_down(
        session, row, address, entrance="staff", language=text.language, text=text, origin=origin, name=name, now=now
    )
