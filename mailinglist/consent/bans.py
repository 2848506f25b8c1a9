"""The marketing bans: their only writer. By keyed digest, channel by channel; they outlive the person (REQUIREMENTS
2.5).

A ban needs no form and no reason (GDPR 21(2)–(4)). It is about all lists, or about one alone where somebody says so;
each stands by itself, and is lifted by itself: by the person or on evidence, never by an import. What was written down
before bans could be about one list is about all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session

from ..db import insert_new
from ..errors import BadInput, NotAllowed
from . import gate, journal, journal_file, ledger, lists, names, readdressed
from .address import Address
from .keys import assert_sound, keys_of
from .states import Channel
from .tables import ALL_LISTS, Ban, MailingList, Person

FORGOTTEN = "erased"
"""The source of a ban whose words went with an erasure. The words of one in force are bound in the ledger."""
NAME_BYTES = 32
"""So long is the digest of one name that a ban keeps."""
_CHUNK = 500
_WORDS = 200
"""So many characters of its source a ban keeps."""
# Nothing else may pass for “forbidden already”: a number that was given out twice must be an error, not a lost ban.
_THE_SAME: dict[str, Any] = {
    "index_elements": ["digest", "channel", "list_id"], "index_where": Ban.lifted_at.is_(None)
}  # fmt: skip
_ORDER = {channel: number for number, channel in enumerate(Channel)}


@dataclass(frozen=True, slots=True)
class Forbidden:
    """What one ban forbids."""

    channel: Channel
    list: str | None = None
    """On this one list, by its slug; None: on all lists."""

    def __str__(self) -> str:
        return f"{self.channel} ({self.list} only)" if self.list else str(self.channel)


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of an address."""

    known: bool
    """A person with this address is in the register, or a ban names it."""
    forbidden: tuple[Forbidden, ...]
    """The bans that were asked about and are in force, in a fixed order."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Their channels."""
        return channels_of(self.forbidden)


def in_order(forbidden: Iterable[Forbidden]) -> tuple[Forbidden, ...]:
    """By channel, and of each on all lists before on one."""
    return tuple(sorted(forbidden, key=_place))


def channels_of(forbidden: Iterable[Forbidden]) -> tuple[str, ...]:
    """The channels of these bans, each once, in a fixed order."""
    named = {each.channel for each in forbidden}
    return tuple(channel.value for channel in Channel if channel in named)


def digests(session: Session, address: Address) -> tuple[bytes, ...]:
    """The keyed digests that a ban on this address may have: case-folded, as written, and as the register writes it of
    whom it knows. A list of SHA-256 may name them by that alone."""
    keys = keys_of(session)
    folded = keys.digest(address.folded)
    known = session.scalar(select(Person.exact_digest).where(Person.digest == folded))
    return tuple(dict.fromkeys((folded, keys.digest(address.mailbox), *((known,) if known else ()))))


def by_spelling(session: Session) -> dict[bytes, bytes]:
    """Of the persons whose address is forbidden by the digest of how it is written: that, by the case-folded one's."""
    written = Ban.digest == Person.exact_digest
    few = select(Person.digest, Person.exact_digest).join(Ban, written).where(Person.exact_digest != Person.digest)
    return dict(session.execute(few.where(Ban.lifted_at.is_(None)).distinct()).all())


def in_force(session: Session, wanted: Sequence[bytes]) -> tuple[Forbidden, ...]:
    """What is forbidden for any of these digests: by channel, and of each on all lists before on one. Raises
    RegisterUnsound when bans can't be read."""
    return tuple(given(session, wanted))


def given(session: Session, wanted: Sequence[bytes]) -> dict[Forbidden, datetime]:
    """The same, each with when it was first given."""
    assert_sound(session)
    rows = session.execute(
        select(Ban.channel, Ban.list_id, MailingList.slug, Ban.given_at)
        .outerjoin(MailingList, MailingList.id == Ban.list_id)
        .where(Ban.digest.in_(wanted), Ban.lifted_at.is_(None))
        .order_by(Ban.given_at)
    )
    found: dict[Forbidden, datetime] = {}
    for channel, list_id, slug, at in rows:
        found.setdefault(Forbidden(Channel(channel), name_of(list_id, slug)), at)
    return {ban: found[ban] for ban in in_order(found)}


def name_of(list_id: int, slug: str | None) -> str | None:
    """What a ban's list is called: its slug, or its number where there is no such list; None: it is about all."""
    return None if list_id == ALL_LISTS else slug or f"number {list_id}"


def forbids_mail(session: Session, wanted: Sequence[bytes], row: MailingList) -> bool:
    """Whether mail of this list is forbidden for any of these digests. `gate.banned` says the same of a person."""
    assert_sound(session)
    return bool(session.scalar(select(exists().where(Ban.digest.in_(wanted), gate.against_mail(row.id)))))


def check(session: Session, address: Address, row: MailingList | None = None) -> Standing:
    """Whether marketing to this address is forbidden, by channel: all bans, or those that count for one list. Of an
    address that was corrected since, also the bans of the present one (`readdressed`): that something is forbidden is
    told, and nothing else of them. Raises RegisterUnsound, OptOutsWait."""
    gate.assert_entered(session)
    named = digests(session, address)
    went = readdressed.owners(session, named)
    found = in_force(session, [*named, *(digest for each in went.values() for digest in each[1:])])
    known = bool(found) or session.scalar(select(Person.id).where(Person.folded == address.folded)) is not None
    counts = found if row is None else tuple(each for each in found if each.list in (None, row.slug))
    return Standing(known=known, forbidden=counts)


@dataclass(frozen=True, slots=True)
class Given:
    """What became of a ban that somebody gave."""

    added: tuple[Channel, ...]
    """The channels that were not forbidden yet."""
    in_force: tuple[Forbidden, ...]
    """All that is forbidden now for any of the digests that were named."""
    person_id: int | None
    """Whose it is, if they are in the register; they are locked."""


def forbid(
    session: Session,
    wanted: Sequence[bytes],
    channels: Iterable[Channel],
    *,
    only: MailingList | None = None,
    source: str,
    now: datetime,
    origin: Mapping[str, Any],
) -> Given:
    """Forbid `channels` for whoever an entrance names, on all lists or on one `only`; it need be nobody in the
    register, and no reason is needed (GDPR 21(2)). What is forbidden already stays as it is.

    `wanted`: the keyed digests of the address (`digests`); a ban is entered by the first. Of whom the register knows,
    a ban by how it writes their address counts as well: it finds them, and an erasure makes it one by the first
    (`fold_in`). Of nobody known it does not: it would not find who comes under another way of writing. Whose address
    was corrected since, for them it is forbidden by both (`readdressed`). `origin` is the evidence of what is new.
    Raises BadInput, RegisterUnsound.
    """
    assert_sound(session)
    person, asked = readdressed.owner(session, wanted[0]), tuple(dict.fromkeys(channels))
    known = (person.digest, person.exact_digest) if person is not None else (wanted[0],)
    slug, person_id = only.slug if only is not None else None, person.id if person is not None else None
    added: set[Channel] = set()
    # Their address, and where that was corrected since, the one that was named as well.
    for named in (known, *([wanted[:1]] if wanted[0] != known[0] else [])):
        held = in_force(session, named)
        if fresh := [each for each in asked if Forbidden(each, slug) not in held]:
            added.update(
                add(session, named[0], fresh, only=only, source=source, now=now, origin=origin, person_id=person_id)
            )
    now_held = in_force(session, tuple(dict.fromkeys((*wanted, *known))))
    return Given(tuple(each for each in Channel if each in added), now_held, person_id)


def add(
    session: Session,
    digest: bytes,
    channels: Iterable[Channel],
    *,
    only: MailingList | None = None,
    source: str,
    now: datetime,
    origin: Mapping[str, Any] | None = None,
    person_id: int | None = None,
) -> tuple[Channel, ...]:
    """Forbid `channels` for the address of this case-folded keyed digest, on all lists or on one `only`. Returns those
    that were not banned yet so.

    Only new ones make a ledger entry, and leave `origin` behind as its evidence: saying it twice is one ban. Whose it
    is, `person_id`, is locked, if they are in the register. Raises RegisterUnsound, BadInput.
    """
    if not source.strip():
        raise BadInput("A ban needs its source: who forbade it, and how.")
    assert_sound(session)
    return _add(session, digest, channels, _of(only), source=source, now=now, origin=origin, person_id=person_id)


def _add(
    session: Session,
    digest: bytes,
    channels: Iterable[Channel],
    about: tuple[int, str | None],
    *,
    source: str,
    now: datetime,
    origin: Mapping[str, Any] | None = None,
    person_id: int | None = None,
) -> tuple[Channel, ...]:
    """`add`, about a list by its number, with what it is called (`name_of`)."""
    list_id, slug = about
    source, name = source[:_WORDS], _names(session, [digest]).get(digest)
    rows = [
        {"digest": digest, "channel": c.value, "list_id": list_id, "source": source, "given_at": now,
         "name_digest": name}
        for c in sorted(channels)
    ]  # fmt: skip
    # Two clicks at once: the second finds the first one's row, and adds nothing.
    statement = insert_new(session, Ban).values(rows).on_conflict_do_nothing(**_THE_SAME).returning(Ban.channel)
    fresh = tuple(Channel(name) for name in sorted(session.scalars(statement)))
    if fresh:
        chain = _chain(session, digest)
        filed = ledger.file_evidence(session, dict(origin), person_id=person_id, now=now) if origin else None
        fact = ledger.Fact(
            ledger.BANNED, list=slug, source_digest=keys_of(session).source(source),
            name_digest=keys_of(session).name_kept(digest, name) if name else None,
            channels=[c.value for c in fresh], evidence=filed,
        )  # fmt: skip
        ledger.append(session, chain, digest, fact, now=now)
        journal.note(session, journal_file.BANNED, digest, list_slug=slug, channels=fresh, now=now)
    return fresh


def add_many(
    session: Session,
    wanted: Sequence[bytes],
    channels: Sequence[Channel],
    *,
    only: MailingList | None = None,
    source: str,
    now: datetime,
) -> int:
    """`add` for many digests; set-based. Returns for how many something was new. Whose address was corrected since, for
    them it is forbidden by both, as by `forbid`.

    Two at once don't wait for each other: persons are pinned first, in the order of their addresses; then all bans are
    entered in the order of their digests; then all heads of chains are moved on in theirs. Raises RegisterUnsound,
    BadInput.
    """
    assert_sound(session)
    list_id, slug = _of(only)
    if not source.strip():
        raise BadInput("A ban needs its source: who forbade it, and how.")
    source = source[:_WORDS]
    went = readdressed.pinned(session, wanted)
    fresh: dict[bytes, list[str]] = {}
    names_of: dict[bytes, bytes] = {}
    for part in _parts(sorted({*wanted, *(each.digest for each in went.values())})):
        names_of |= _names(session, part)
        rows = [
            {"digest": digest, "channel": channel, "list_id": list_id, "source": source, "given_at": now,
             "name_digest": names_of.get(digest)}
            for digest in part
            for channel in sorted(each.value for each in set(channels))
        ]  # fmt: skip
        new = insert_new(session, Ban).values(rows).on_conflict_do_nothing(**_THE_SAME)
        for digest, channel in session.execute(new.returning(Ban.digest, Ban.channel)):
            fresh.setdefault(digest, []).append(channel)
    _tell_many(session, fresh, names_of, slug, source, now)
    return sum(digest in fresh or (digest in went and went[digest].digest in fresh) for digest in dict.fromkeys(wanted))


def _tell_many(
    session: Session,
    fresh: Mapping[bytes, Sequence[str]],
    names_of: Mapping[bytes, bytes],
    slug: str | None,
    source: str,
    now: datetime,
) -> None:
    """Have the ledger and the journal tell of new bans: channels by digest."""
    keys = keys_of(session)
    bound = keys.source(source)
    chains: dict[bytes, bytes] = {}
    for part in _parts(list(fresh)):
        chains |= ledger.chains_of(session, part)
        chains |= dict(session.execute(select(Person.digest, Person.chain).where(Person.digest.in_(part))).all())
    for part in _parts(sorted(fresh, key=lambda digest: chains[digest])):
        facts = []
        for digest in part:
            kept = keys.name_kept(digest, names_of[digest]) if digest in names_of else None
            fact = ledger.Fact(
                ledger.BANNED, list=slug, source_digest=bound, name_digest=kept, channels=fresh[digest]
            )  # fmt: skip
            facts.append((chains[digest], digest, fact))
        ledger.append_many(session, facts, now=now)
    for together in sorted({tuple(sorted(found)) for found in fresh.values()}):
        alike = [digest for digest, found in fresh.items() if tuple(sorted(found)) == together]
        journal.note_many(session, journal_file.BANNED, alike, list_slug=slug, channels=together, now=now)


def _parts(digests: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(digests), _CHUNK):
        yield digests[start : start + _CHUNK]


def fold_in(session: Session, person: Person, *, now: datetime) -> None:
    """Forbid by the case-folded digest, too, what is forbidden by that of the address as written alone: once the person
    is gone, nobody knows that the two are one address. One about a list that is missing stays about that list's number.
    Raises RegisterUnsound."""
    if person.exact_digest == person.digest:
        return
    own = in_force(session, [person.digest])
    more = [ban for ban in in_force(session, [person.exact_digest]) if ban not in own]
    if not more:
        return
    exact = select(Ban.list_id, MailingList.slug).outerjoin(MailingList, MailingList.id == Ban.list_id)
    found = session.execute(exact.where(Ban.digest == person.exact_digest, Ban.lifted_at.is_(None)).distinct()).all()
    numbers = {name_of(list_id, slug): list_id for list_id, slug in found}
    for name in dict.fromkeys(ban.list for ban in more):
        named = [ban.channel for ban in more if ban.list == name]
        about = numbers[name], name
        _add(session, person.digest, named, about, source="the address in small letters", now=now)


def lift(
    session: Session, address: Address, which: Iterable[Channel | Forbidden], *, evidence: str, who: str, now: datetime
) -> tuple[Forbidden, ...]:
    """Lift bans on evidence that the person wants it: a channel by itself means the ban on all lists. Returns those
    that were lifted. Raises NotAllowed, BadInput."""
    if not evidence.strip():
        raise BadInput("Lifting a ban needs evidence: what the person said, when, and to whom.")
    # Locked: an erasure that is under way is waited for, and they are gone then.
    theirs = select(Person.id).where(Person.digest == keys_of(session).digest(address.folded))
    person = session.scalar(theirs.with_for_update())
    content = {"lifted_by": who, "evidence": evidence}
    named = [each if isinstance(each, Forbidden) else Forbidden(each) for each in which]
    lifted = _lift(
        session, digests(session, address), named, words=evidence, source="staff", evidence=content,
        person_id=person, now=now,
    )  # fmt: skip
    if not lifted:
        raise NotAllowed("No such ban is in force for this address.")
    return lifted


def lift_by_key(
    session: Session,
    wanted: Sequence[bytes],
    which: Iterable[Forbidden],
    *,
    person_id: int | None,
    origin: dict[str, Any],
    now: datetime,
) -> tuple[Forbidden, ...]:
    """Lift bans for whoever holds a key that was mailed to the address of these digests: that is the evidence
    (REQUIREMENTS 2.1). The person is locked. Returns those that were lifted; none, where there was nothing to lift.
    Raises RegisterUnsound."""
    words = "by the person, with a key that was mailed to the address"
    return _lift(session, wanted, which, words=words, source="own page", evidence=origin, person_id=person_id, now=now)


def _lift(
    session: Session,
    wanted: Sequence[bytes],
    which: Iterable[Forbidden],
    *,
    words: str,
    source: str,
    evidence: dict[str, Any],
    person_id: int | None,
    now: datetime,
) -> tuple[Forbidden, ...]:
    assert_sound(session)
    named = set(which)
    rows = session.execute(
        select(Ban.id, Ban.digest, Ban.channel, Ban.list_id, MailingList.slug)
        .outerjoin(MailingList, MailingList.id == Ban.list_id)
        .where(Ban.digest.in_(wanted), Ban.lifted_at.is_(None))
        .order_by(Ban.id)
        .with_for_update(of=Ban)
    )
    numbers: list[int] = []
    found: dict[tuple[bytes, str | None], list[Channel]] = {}
    for number, digest, channel, list_id, slug in rows:
        ban = Forbidden(Channel(channel), name_of(list_id, slug))
        if ban in named:
            numbers.append(number)
            found.setdefault((digest, ban.list), []).append(ban.channel)
    if not found:
        return ()
    session.execute(
        update(Ban).where(Ban.id.in_(numbers)).values(lifted_at=now, lifted_by=words[:500], name_digest=None)
    )
    filed = ledger.file_evidence(session, evidence, person_id=person_id, now=now)
    for (digest, one), channels in found.items():
        fact = ledger.Fact(ledger.BAN_LIFTED, list=one, channels=channels, source=source, evidence=filed)
        ledger.append(session, _chain(session, digest), digest, fact, now=now)
        journal.note(session, journal_file.LIFTED, digest, list_slug=one, channels=channels, now=now)
    return in_order({Forbidden(channel, one) for (_, one), channels in found.items() for channel in channels})


def keep_name(session: Session, person: Person) -> list[ledger.NameKept]:
    """An erasure's share, while it is known whose they are: the person's bans in force get the keyed digest of the
    name, so that they are found by it afterwards; also by that of an earlier erasure, if it was another one. Who has no
    ban, or no name, leaves nothing of it. Returns what the entry of the erasure binds."""
    key = names.key(person.name or "")
    if not key:
        return []
    keys, slugs = keys_of(session), lists.slugs(session)
    name = keys.name_digest(key)
    own = select(Ban).where(Ban.digest.in_([person.digest, person.exact_digest]), Ban.lifted_at.is_(None))
    rows = session.scalars(own.order_by(Ban.id).with_for_update(), execution_options={"populate_existing": True}).all()
    for ban in rows:
        ban.name_digest = _together((ban.name_digest or b"", name))
    session.flush()
    return [
        ledger.NameKept(
            ban.digest, ban.channel, name_of(ban.list_id, slugs.get(ban.list_id)),
            keys.name_kept(ban.digest, ban.name_digest or b""),
        )
        for ban in rows
    ]  # fmt: skip


def names_kept(together: bytes) -> Iterator[bytes]:
    """The digest of each name that a ban keeps, of its `name_digest`."""
    return (together[at : at + NAME_BYTES] for at in range(0, len(together), NAME_BYTES))


def forget_words(session: Session, wanted: Sequence[bytes]) -> None:
    """An erasure's share: the bans of these digests stay, without words that may name the person."""
    session.execute(update(Ban).where(Ban.digest.in_(list(wanted))).values(source=FORGOTTEN, lifted_by=None))


def forget_words_of(session: Session, wanted: Sequence[bytes], *, after: int, before: int) -> None:
    """The same, of an address that they had before, and somebody else may have had as well: of those bans alone that
    the ledger tells of between these two entries (`proof.formerly`)."""
    for fact in ledger.of_bans(session, wanted, after=after, before=before):
        digest, at = bytes.fromhex(fact["subject"]), datetime.fromisoformat(fact["at"])
        own = update(Ban).where(Ban.digest == digest, Ban.channel.in_(fact["channels"]))
        if fact["event"] == ledger.BANNED:
            session.execute(own.where(Ban.given_at == at).values(source=FORGOTTEN, lifted_by=None))
        else:
            session.execute(own.where(Ban.lifted_at == at).values(lifted_by=None))


def _names(session: Session, wanted: Sequence[bytes]) -> dict[bytes, bytes]:
    """The digests of names that the bans of these addresses have: what is forbidden after an erasure gets them too, so
    that the name is known for as long as anything is forbidden."""
    kept = select(Ban.digest, Ban.name_digest).where(Ban.digest.in_(wanted), Ban.lifted_at.is_(None))
    found: dict[bytes, bytes] = {}
    for digest, name in session.execute(kept.where(Ban.name_digest.is_not(None)).order_by(Ban.id)):
        found[digest] = _together((found.get(digest, b""), name or b""))
    return found


def _together(kept: Iterable[bytes]) -> bytes:
    """The names that a ban keeps (`Ban.name_digest`), each once, the oldest first."""
    return b"".join(dict.fromkeys(each for some in kept for each in names_kept(some)))


def _chain(session: Session, digest: bytes) -> bytes:
    chain = session.scalar(select(Person.chain).where(Person.digest == digest))
    return chain or ledger.chain_of(session, digest)


def _of(only: MailingList | None) -> tuple[int, str | None]:
    return (only.id, only.slug) if only is not None else (ALL_LISTS, None)


def _place(ban: Forbidden) -> tuple[int, str]:
    return _ORDER[ban.channel], ban.list or ""
