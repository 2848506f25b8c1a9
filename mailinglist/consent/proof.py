"""What the ledger says of one person, with the exact texts and the evidence that is still kept (GDPR 7(1)). Reads only.

`prove` tells it for show. `proof_file` makes of the same entries a file that stands alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from .keys import keys_of
from .ledger import MOVED, READDRESSED
from .tables import ConsentText, Evidence, LedgerEntry, Notice, Person


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
    found = _read(session, list(session.scalars(named)))
    known = {entry.told["chain"] for entry in found}
    earlier = found
    while origins := _origins(earlier, known):
        known |= origins.keys()
        earlier = [
            entry
            for entry in _read(session, [bytes.fromhex(chain) for chain in origins])
            if entry.number < origins[entry.told["chain"]]
        ]
        found = sorted([*found, *earlier], key=lambda entry: entry.number)
    return found


def own(session: Session, folded: str, found: Sequence[Entry]) -> list[Entry]:
    """Of these `entries` of an address those that tell of who has it now.

    After a correction the chain goes on with the next holder of the address; what was before is of whom it was
    corrected for, and their evidence is not for anybody else. While nobody has the address: all of them.
    """
    digest = keys_of(session).digest(folded)
    if session.scalar(select(Person.id).where(Person.digest == digest)) is None:
        return list(found)
    named = {entry.chain for entry in found if entry.told["subject"] == digest.hex()}
    moved = {entry.chain: entry.number for entry in found if entry.told["event"] == MOVED and entry.chain in named}
    return [entry for entry in found if entry.number > moved.get(entry.chain, 0)]


def prove(session: Session, folded: str) -> list[dict[str, Any]]:
    """What the entries say of who has the address, each with the text that was shown and the evidence that is still
    kept."""
    found = own(session, folded, entries(session, folded))
    texts = texts_of(session, found)
    evidence = evidence_of(session, found)
    history = []
    for entry in found:
        item = {"entry": entry.number, "hash": entry.hash.hex(), **entry.told}
        shown = texts.get(entry.told.get("text", ""))
        if shown is not None:
            item["text_shown"] = shown.body
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


def _origins(found: Iterable[Entry], known: set[str]) -> dict[str, int]:
    """Chains that these entries go on from and that are not known yet, each with the entry that says so."""
    return {
        entry.told["other_chain"]: entry.number
        for entry in found
        if entry.told["event"] == READDRESSED and entry.told["other_chain"] not in known
    }
