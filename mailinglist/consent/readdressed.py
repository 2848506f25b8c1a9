"""Who had an address before staff corrected it (`registrar`), by its keyed digest: for bans that name the address that
they had. Reads, and locks persons.

Whoever is known by an old address elsewhere forbids by it, and means themselves. But a correction may hold a slip, and
then whoever has the new address is somebody else; or the old mailbox may have gone to somebody else. Nobody can tell
from here, so it errs towards the opt-out: a ban by the old address is given for both, as a leave by a link to the old
one is, and who asks about the old one is told what is forbidden for either. That costs a stranger at most mail which
they may allow again. What gives something does not go along: neither lifting a ban, nor a key to one's own page, nor
whether somebody may sign up. Once somebody else comes to the old address, it is theirs alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from .. import db
from . import ledger
from .pins import held, pin_many
from .tables import Person


class Owner(NamedTuple):
    """Somebody in the register, and the keyed digests of the address that they have now."""

    id: int
    digest: bytes
    exact_digest: bytes


_GROUP = 5000
"""SQLite takes 32,766 parameters in a statement."""


def owner(session: Session, digest: bytes) -> Person | None:
    """Whoever has the address of this keyed digest, else whoever had it until it was corrected; locked. An erasure or a
    correction that is under way is waited for."""
    found = held(session, Person.digest == digest)
    chain = None
    while found is None and (goal := ledger.moved_to(session, digest)) not in (None, chain):
        chain = goal  # once more, if it was corrected again meanwhile
        found = held(session, Person.chain == chain)
    return found


def owners(session: Session, digests: Collection[bytes]) -> dict[bytes, Owner]:
    """Who has another address now, by the keyed digest of the one that they had, if nobody has come to that since. Not
    locked. One look into the ledger for all; then some for each of those few."""
    went: dict[bytes, bytes] = {}
    for part in _parts(digests):
        went |= ledger.moved(session, part)
    if not went:
        return {}
    taken = set(session.scalars(select(Person.digest).where(Person.digest.in_(list(went)))))
    theirs = select(Person.chain, Person.id, Person.digest, Person.exact_digest)
    rows = session.execute(theirs.where(Person.chain.in_(list(went.values()))))
    by_chain = {chain: Owner(number, digest, exact) for chain, number, digest, exact in rows}
    return {digest: by_chain[chain] for digest, chain in went.items() if digest not in taken and chain in by_chain}


def pinned(session: Session, digests: Sequence[bytes]) -> dict[bytes, Owner]:
    """`owners`, and they are pinned, as is whoever has one of these addresses: all at first, in the one order of such
    locks, so that two who come with many addresses don't wait for each other."""
    found = owners(session, digests)
    there: set[int] = set()
    while True:
        them = {each.id for each in found.values()}
        for part in _parts(digests):
            them.update(session.scalars(select(Person.id).where(db.among_digests(session, Person.digest, part))))
        there.update(pin_many(session, select(Person.id).where(db.among(Person.id, them))))
        found = owners(session, digests)  # whoever was corrected while we waited
        if there >= {each.id for each in found.values()}:
            return found


def _parts(digests: Collection[bytes]) -> Iterator[Sequence[bytes]]:
    rest = iter(digests)
    while part := tuple(islice(rest, _GROUP)):
        yield part
