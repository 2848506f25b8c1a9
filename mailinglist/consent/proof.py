"""What the ledger says of one person, with the exact texts and the evidence that is still kept (GDPR 7(1)). Reads only.

`prove` tells it for show. `proof_file` makes of the same entries a file that stands alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from .keys import keys_of
from .ledger import ERASED, MOVED, OF_BANS, READDRESSED
from .states import Event
from .tables import ConsentText, Evidence, LedgerEntry, Notice, Person

_FOR_EVER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a person's history."""

    number: int
    """The row's, over all chains."""
    chain: bytes
    body: bytes
    hash: bytes
    told: dict[str, Any]
    """What the body says."""


def entries(session: Session, folded: str) -> list[Entry]:
    """One person's consent history, oldest first; of each chain all from its first entry on.

    `folded` is the case-folded address. What was agreed to under an earlier address that was corrected is in it, up to
    the correction: the earlier address may be somebody else's since. Also finds the history of somebody who was erased
    since. Empty: nothing known.
    """
    named = select(LedgerEntry.chain).where(LedgerEntry.subject == keys_of(session).digest(folded)).distinct()
    read: dict[bytes, list[Entry]] = {}
    until = dict.fromkeys(session.scalars(named), _FOR_EVER)  # of each chain: the entries before this one
    while fresh := until.keys() - read.keys():
        read.update({chain: [] for chain in fresh})
        for entry in _read(session, list(fresh)):
            read[entry.chain].append(entry)
        while _reach_back(read, until):
            pass
    found = (entry for chain, held in read.items() for entry in held if entry.number < until[chain])
    return sorted(found, key=lambda entry: entry.number)


def own(session: Session, folded: str, found: Sequence[Entry]) -> list[Entry]:
    """Of these `entries` of an address those that tell of who has it now, at each address that they had.

    After a correction the chain goes on with the next holder of the address; what was before is of whom it was
    corrected for, and their evidence is not for anybody else. While nobody has the address: all of them. A chain that
    only tells of bans on the address is theirs, too: it was begun at the moment when they came.
    """
    digest = keys_of(session).digest(folded)
    chain = session.scalar(select(Person.chain).where(Person.digest == digest))
    if chain is None:
        return list(found)
    theirs = [entry for stay in _stays(chain, found) for entry in stay]
    others = {entry.chain for entry in found if entry.told["event"] not in OF_BANS} | {chain}
    theirs += [each for each in found if each.chain not in others and each.told["subject"] == digest.hex()]
    return sorted(theirs, key=lambda entry: entry.number)


def confirmed(session: Session, person: Person) -> bool:
    """Whether the address that the person has now is known to be theirs.

    It is if they came with it: by a sign-up, or from a list that was taken in. A correction by staff may hold a slip,
    and whoever has that mailbox is then somebody else: so a corrected address counts once a confirmation letter was
    answered from it. Back at an address that was theirs, nothing has to be shown anew.
    """
    here = person.digest.hex()
    for stay in _stays(person.chain, entries(session, person.folded)):
        if stay and stay[-1].told["subject"] != here:
            continue
        came = _came(stay)
        answered = (entry.number for entry in stay if entry.told["event"] == Event.CONFIRM.value)
        if came is None or any(number > came.number for number in answered):
            return True
    return False


@dataclass(frozen=True, slots=True)
class Held:
    """An address that somebody had: the keyed digests that bans on it may name, and between which entries of the ledger
    (neither is theirs) a ban on it is about them."""

    digests: tuple[bytes, ...]
    after: int = 0
    before: int = _FOR_EVER


def formerly(session: Session, person: Person) -> list[Held]:
    """The addresses, and ways of writing them, that the person had before staff corrected them (`registrar`).

    A ban on an earlier address is about them, also one that came before they did, or after they went: until somebody
    else comes to that address. Of corrections by versions that did not note how the address had been written, it is
    only known in small letters.
    """
    stays = list(_stays(person.chain, entries(session, person.folded)))
    found = [Held(spellings)] if (spellings := _written(stays[0])) else []
    for later, stay in pairwise(stays):
        came = _came(later)
        if came is None or not stay:
            continue
        chain = bytes.fromhex(came.told["other_chain"])
        whole = _read(session, [chain])
        others = [each for each in whole if each.told["event"] not in OF_BANS]
        after = max((each.number for each in whole if each.number < stay[0].number), default=0)
        before = min((each.number for each in others if each.number > stay[-1].number), default=_FOR_EVER)
        digests = (bytes.fromhex(stay[-1].told["subject"]), *_written(stay))
        found.append(Held(tuple(dict.fromkeys(digests)), after, before))
    return found


def _written(stay: Iterable[Entry]) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(entry.told["written"]) for entry in stay if "written" in entry.told)


def prove(session: Session, folded: str, *, with_notices: bool = False) -> list[dict[str, Any]]:
    """What the entries say of who has the address, each with the text that was shown and the evidence that is still
    kept; and, if wanted, with the privacy notice that was in force, as HTML."""
    found = own(session, folded, entries(session, folded))
    texts = texts_of(session, found)
    evidence = evidence_of(session, found)
    notices = notices_of(session, found) if with_notices else {}
    history = []
    for entry in found:
        item = {"entry": entry.number, "hash": entry.hash.hex(), **entry.told}
        shown = texts.get(entry.told.get("text", ""))
        if shown is not None:
            item["text_shown"] = shown.body
        notice = notices.get(entry.told.get("notice", ""))
        if notice is not None:
            item |= {"notice_version": notice.version, "notice_language": notice.language, "notice_shown": notice.body}
        if "evidence" in entry.told:
            kept = evidence.get(entry.told["evidence"])
            item["evidence_content"] = json.loads(kept) if kept is not None else None
        history.append(item)
    return history


def texts_of(session: Session, found: Iterable[Entry]) -> dict[str, ConsentText]:
    """The consent texts that these entries name, by digest in hex."""
    wanted = {bytes.fromhex(entry.told["text"]) for entry in found if "text" in entry.told}
    rows = session.scalars(select(ConsentText).where(ConsentText.digest.in_(wanted)).order_by(ConsentText.id))
    return {row.digest.hex(): row for row in rows}


def notices_of(session: Session, found: Iterable[Entry]) -> dict[str, Notice]:
    """The privacy notices that were in force at these entries, by digest in hex."""
    wanted = {bytes.fromhex(entry.told["notice"]) for entry in found if "notice" in entry.told}
    rows = session.scalars(select(Notice).where(Notice.digest.in_(wanted)).order_by(Notice.id))
    return {row.digest.hex(): row for row in rows}


def evidence_of(session: Session, found: Iterable[Entry]) -> dict[str, bytes]:
    """The evidence of these entries that is still kept, by digest in hex: the bytes that the digest is of."""
    wanted = {bytes.fromhex(entry.told["evidence"]) for entry in found if "evidence" in entry.told}
    rows = session.execute(select(Evidence.digest, Evidence.content).where(Evidence.digest.in_(wanted)))
    return {digest.hex(): content for digest, content in rows}


def _read(session: Session, chains: Sequence[bytes]) -> list[Entry]:
    rows = session.execute(
        select(LedgerEntry.id, LedgerEntry.chain, LedgerEntry.body, LedgerEntry.hash)
        .where(LedgerEntry.chain.in_(chains))
        .order_by(LedgerEntry.id)
    )
    return [Entry(*row, json.loads(row.body)) for row in rows]


def _stays(chain: bytes, found: Iterable[Entry]) -> Iterator[list[Entry]]:
    """For whoever has this chain now: their entries at each address that they had, the present one first.

    A chain is of one address, and may tell of several holders: each that was corrected away ends with MOVED.
    """
    by_chain: dict[bytes, list[Entry]] = {}
    for entry in sorted(found, key=lambda each: each.number, reverse=True):
        by_chain.setdefault(entry.chain, []).append(entry)
    came: Entry | None = None
    while True:
        stay: list[Entry] = []
        going = came is not None  # an earlier stay ends with MOVED; any other MOVED is of who was there before
        for entry in by_chain.get(chain, ()):
            if came is not None and entry.number >= came.number:
                continue
            going = going and entry.told["event"] == MOVED
            if entry.told["event"] == MOVED and not going:
                break
            stay.append(entry)
        stay.reverse()
        yield stay
        came = _came(stay)
        if came is None:
            return
        chain = bytes.fromhex(came.told["other_chain"])


def _came(stay: Sequence[Entry]) -> Entry | None:
    """The entry with which somebody came from another address; None: they entered the register here, or anew since."""
    erased = max((entry.number for entry in stay if entry.told["event"] == ERASED), default=0)
    return next((each for each in stay if each.told["event"] == READDRESSED and each.number > erased), None)


def _reach_back(read: Mapping[bytes, Sequence[Entry]], until: dict[bytes, int]) -> bool:
    """Take in whatever chains the entries go on from, each up to the last entry that says so: somebody may come to an
    address more than once. Returns whether that was more."""
    more = False
    for chain, held in read.items():
        for entry in held:
            if entry.told["event"] == READDRESSED and entry.number < until[chain]:
                before = bytes.fromhex(entry.told["other_chain"])
                if until.get(before, 0) < entry.number:
                    until[before], more = entry.number, True
    return more
