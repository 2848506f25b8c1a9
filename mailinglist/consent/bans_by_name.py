"""Marketing bans by the name of whom they protect, for other systems of the firm that hold no e-mail address: post,
phone. Reads only.

Of whom the register has, the name is the register's; of who was erased the keyed digest of it stands with the ban. What
is found is “somebody of this name has forbidden it”: it may be another person of the same name, and it errs towards the
opt-out. The gate never looks at names: mail goes to addresses, and there the address says all.

Known limits: bans that came as an address alone, of nobody who was ever in the register, and bans of who was erased
before version 0014 of the tables, have no name. Nor have those of who joined, was banned and was erased since a backup,
once it is restored: the ban comes from the journals, which hold no names, and the name is nowhere. Names are compared
as a whole (`names.key`), so that a maiden name, a form of endearment and half of a name are other ones, and so is one
in which two people are named together. Where the register corrects a name, the old one is free. There is no index: each
look-up reads the names of all who are banned, once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import Session

from ..errors import BadInput
from . import bans, gate, lists, names
from .bans import Forbidden, Standing
from .keys import keys_of
from .states import Channel
from .tables import Ban, MailingList, Person

_AT_ONCE = 5000
_IN_PARTS = {"yield_per": _AT_ONCE}
"""Not all rows in memory at once."""


def in_force(session: Session, name: str, row: MailingList | None = None) -> tuple[Forbidden, ...]:
    """What somebody of this name has forbidden: all bans, or those that count for one list. Raises BadInput,
    RegisterUnsound, OptOutsWait."""
    gate.assert_entered(session)
    if fault := names.fault(name):
        raise BadInput(f"This can't be asked about: {fault}.")
    key = names.key(name)
    counts = [Ban.lifted_at.is_(None), *([gate.reaches(row.id)] if row is not None else [])]
    return bans.in_order(forbidden(session, counts, [key]).get(keys_of(session).name_digest(key), ()))


def check(session: Session, name: str, row: MailingList | None = None) -> Standing:
    """The same, and `known`: somebody of this name is in the register, or is banned. Where it is not banned, all names
    of the register are read. Raises BadInput, RegisterUnsound, OptOutsWait."""
    found = in_force(session, name, row)
    known = bool(found) or _in_register(session, names.key(name))
    if row is not None and not known:
        known = bool(in_force(session, name))
    return Standing(known=known, forbidden=found)


def forbidden(
    session: Session, counts: Sequence[ColumnElement[bool]], wanted: Collection[str] | None = None
) -> Mapping[bytes, frozenset[Forbidden]]:
    """What is forbidden by those bans that `counts` (SQL, of Ban) selects, by the digest of each name: of all, or of
    those `wanted` (`names.key`). Some 130 MB for a million names; what is forbidden alike is one object."""
    digest_of = keys_of(session).name_digest
    slugs = lists.slugs(session)
    alike: dict[tuple[frozenset[Forbidden], str, int], frozenset[Forbidden]] = {}
    found: dict[bytes, frozenset[Forbidden]] = {}
    only = None if wanted is None else {key: digest_of(key) for key in wanted}

    def take(name: bytes, channel: str, list_id: int) -> None:
        before = found.get(name, frozenset())
        after = alike.get((before, channel, list_id))
        if after is None:
            after = before | {Forbidden(Channel(channel), bans.name_of(list_id, slugs.get(list_id)))}
            alike[before, channel, list_id] = after
        found[name] = after

    erased = _of_the_erased(counts, list(only.values()) if only is not None else None)
    asked = None if only is None else frozenset(only.values())
    for kept, channel, list_id in session.execute(erased, execution_options=_IN_PARTS):
        for name in bans.names_kept(kept or b""):
            if asked is None or name in asked:
                take(name, channel, list_id)
    for statement in _of_the_living(counts):
        for written, channel, list_id in session.execute(statement, execution_options=_IN_PARTS):
            key = names.key(written or "")
            if key and only is None:
                take(digest_of(key), channel, list_id)
            elif only is not None and key in only:
                take(only[key], channel, list_id)
    return found


def _of_the_erased(
    counts: Sequence[ColumnElement[bool]], only: Collection[bytes] | None
) -> Select[bytes | None, str, int]:
    rows = select(Ban.name_digest, Ban.channel, Ban.list_id).where(Ban.name_digest.is_not(None), *counts)
    several = func.length(Ban.name_digest) > bans.NAME_BYTES
    return rows if only is None else rows.where(or_(Ban.name_digest.in_(only), several))


def _of_the_living(counts: Sequence[ColumnElement[bool]]) -> Iterator[Select[str | None, str, int]]:
    """In two statements: by one with OR both databases would compare each ban with each person."""
    rows = select(Person.name, Ban.channel, Ban.list_id)
    yield rows.join(Ban, Ban.digest == Person.digest).where(Person.name.is_not(None), *counts)
    # Only where the address was written with capitals do the two digests differ.
    written = rows.join(Ban, Ban.digest == Person.exact_digest).where(Person.exact_digest != Person.digest)
    yield written.where(Person.name.is_not(None), *counts)


def _in_register(session: Session, key: str) -> bool:
    """Reads the names of all persons, up to the first that is it: no database folds a name as `names.key` does."""
    with session.scalars(select(Person.name).where(Person.name.is_not(None)), execution_options=_IN_PARTS) as written:
        return any(names.key(name or "") == key for name in written)
