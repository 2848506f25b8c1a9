"""One person's consent history as a file that proves itself: `docs/verify_proof.py` checks it without the program.

It holds the bytes of the entries, the texts that were shown, the evidence that is still kept, and for each chain where
its head stands in a seal. The file's one way of being written is JSON with sorted keys, indented by one space, in
UTF-8, with a line break at the end; and a signature over all of it but the signature itself. So no byte of it can be
changed.

Where an address was corrected, the history lies in several chains: all that lead to this address are in it, each up to
the correction.

A chain's head in a seal shows how many entries the chain had at that moment: of these none can be changed or left out,
not even by who has the signing key. What is newer than the seal, and that the address has no chain but these, is said
by who signed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ..errors import Unknown
from . import proof, seals, signing
from .address import Address
from .keys import keys_of
from .ledger import moment
from .proof import Entry
from .tables import LedgerEntry, Seal

FORMAT = "mailinglist consent proof 1"


def document(session: Session, address: Address, *, now: datetime) -> dict[str, Any]:
    """The file as JSON values, signed. Raises Unknown (the ledger knows nothing of the address), SettingsError."""
    found = proof.entries(session, address.folded)
    if not found:
        raise Unknown("The ledger knows nothing of this address.")
    texts, notices = proof.texts_of(session, found), proof.notices_of(session, found)
    evidence = proof.evidence_of(session, proof.own(session, address.folded, found))
    used: dict[int, Seal] = {}
    chains = [_chain(session, chain, found, used) for chain in dict.fromkeys(entry.chain for entry in found)]
    signer = seals.signing_of(session)
    told: dict[str, Any] = {
        "format": FORMAT,
        "made_at": moment(now),
        "address": address.mailbox,
        "subject": keys_of(session).digest(address.folded).hex(),
        "chains": chains,
        "texts": [{"language": row.language, "version": row.version, "body": row.body} for row in texts.values()],
        "notices": [{"language": row.language, "version": row.version, "body": row.body} for row in notices.values()],
        "evidence": [content.decode() for _, content in sorted(evidence.items())],
        "evidence_not_kept": sorted(_named(found, "evidence") - evidence.keys()),
        "seals": [
            {"content": row.content.decode(), "signature": row.signature.hex(), "key": row.key.hex()}
            for _, row in sorted(used.items())
        ],
        "key": signer.public.hex(),
    }
    return {**told, "signature": signer.sign(signing.PROOF, written(told)).hex()}


def written(told: dict[str, Any]) -> bytes:
    """The one way in which a document is written."""
    return (json.dumps(told, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


def unsealed(session: Session, folded: str) -> bool:
    """Whether the person's history has an entry that no seal binds yet."""
    last = seals.newest_said(session)
    through = last.through if last else 0
    return any(entry.number > through for entry in proof.entries(session, folded))


def _named(found: list[Entry], what: str) -> set[str]:
    return {entry.told[what] for entry in found if what in entry.told}


def _chain(session: Session, chain: bytes, found: list[Entry], used: dict[int, Seal]) -> dict[str, Any]:
    own = [entry for entry in found if entry.chain == chain]
    seal = _seal(session, chain, own)
    place = seals.place(session, seal, chain) if seal else None
    if seal is not None and place is not None:
        used[seal.number] = seal
    return {
        "chain": chain.hex(),
        "entries": [{"number": entry.number, "body": entry.body.decode()} for entry in own],
        "sealed": {
            "seal": seal.number,
            "entries": place.leaf[1],
            "index": place.index,
            "path": [each.hex() for each in place.path],
        }
        if seal and place
        else None,
    }


def _seal(session: Session, chain: bytes, own: list[Entry]) -> Seal | None:
    """The newest seal that binds none of the chain's entries which are not this person's: what came after their
    address was corrected may be of somebody else."""
    foreign = session.scalar(
        select(func.min(LedgerEntry.id)).where(LedgerEntry.chain == chain, LedgerEntry.id > own[-1].number)
    )
    rows = session.scalars(
        select(Seal).order_by(Seal.number.desc()), execution_options={"yield_per": 1}
    )  # fmt: skip
    for row in rows:
        if foreign is None or seals.read(row.content).through < foreign:
            return row
    return None


def told_in_order(told: Mapping[str, Any]) -> list[tuple[int, dict[str, Any], bool]]:
    """A document's entries, oldest first: number, what it says, and whether a seal binds it."""
    found = [
        (entry["number"], json.loads(entry["body"]), bool(chain["sealed"]) and place <= chain["sealed"]["entries"])
        for chain in told["chains"]
        for place, entry in enumerate(chain["entries"], 1)
    ]
    return sorted(found, key=lambda item: item[0])
