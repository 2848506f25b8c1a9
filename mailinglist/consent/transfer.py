"""Import with provenance: people who come from another system, already on a list there (REQUIREMENTS 2.2).

`read` checks a file, every line of it, and costs no lock. `take_in` writes what can be taken in the entrance's one
transaction. Of a long file the entrance takes `parts`, each in a transaction of its own, so that nobody waits for it;
cut off, it is begun again, and who is in stays as they are. Each person's ledger entry names the basis and is bound to
one piece of evidence: who took in which file (by a keyed digest), when, and from where.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from ..errors import BadInput
from . import evidence, ledger, register_many, sheet
from .keys import keys_of
from .register_many import Admission, Warrant
from .sheet import Entry, Refusal, Remark, Sheet
from .states import Basis
from .tables import MailingList

BY_FILE, BY_PROGRAM = "import", "api"
"""How people come."""
_NAMED = {BY_FILE: "file", BY_PROGRAM: "system"}
"""What the evidence names. The system, also for whoever it is about (GDPR 15(1)(g))."""


@dataclass(frozen=True, slots=True)
class Consignment:
    """A file that can be taken in, and what it rests on."""

    sheet: Sheet
    basis: Basis
    source: str
    file: str
    """Its name, for the evidence; of what a program handed over, the name of its system."""
    digest: str
    """SHA-256 of the file, hex."""
    how: str = BY_FILE

    def __len__(self) -> int:
        """How many entries wait to be taken in."""
        return len(self.sheet.entries)


@dataclass(frozen=True, slots=True)
class Report:
    """What became of each line of a file. `unchanged`: on the list already, with nothing to correct."""

    added: int
    updated: int
    unchanged: int
    refused: tuple[Refusal, ...]
    remarks: tuple[Remark, ...] = ()
    """Of lines that were taken: what each corrected, and what of it was not understood."""


def read(data: bytes, *, basis: Basis, source: str, file: str) -> Consignment:
    """Check a CSV file of people. Raises BadInput: no source, or the file as a whole can't be taken (see `sheet`)."""
    if not source.strip():
        raise BadInput("An import needs its source: the system or register that the people come from.")
    found = sheet.read(data, sale_needed=basis is Basis.CUSTOMER)
    return Consignment(found, basis, source.strip(), file, hashlib.sha256(data).hexdigest())


def handed_over(
    people: Sequence[Mapping[str, str]], *, basis: Basis, source: str, system: str, digest: str
) -> Consignment:
    """People whom a program of this system hands over (T5.1), each by `sheet.COLUMNS`; `digest` is the SHA-256, hex, of
    what it sent. What an import says of a line is said of each by its place, from 0 on."""
    twice = "a duplicate: the same address is at {}"
    found = sheet.told_apart(enumerate(people), sale_needed=basis is Basis.CUSTOMER, twice=twice)
    return Consignment(sheet.gathered(found), basis, source, system, digest, BY_PROGRAM)


def take_in(
    session: Session,
    row: MailingList,
    consignment: Consignment,
    *,
    who: str,
    now: datetime,
    progress: Callable[[int], None] = lambda _: None,
) -> Report:
    """Put the people of a file on a list, active at once and without a letter. `progress` hears how many more are done.

    Lifts no ban, brings nobody back who left, and leaves consent that a person gave as it is: see `register_many`.
    What changes nothing leaves no evidence behind. Raises RegisterUnsound.
    """
    warrant = begin(session, row, consignment, who=who, now=now)
    outcome = take_in_part(session, row, consignment.sheet.entries, warrant, now=now, progress=progress)
    if not (outcome.added or outcome.updated):
        evidence.withdraw(session, warrant.evidence)
    return report(consignment, [outcome])


def begin(session: Session, row: MailingList, consignment: Consignment, *, who: str, now: datetime) -> Warrant:
    """Put aside the evidence for a file. Returns what each part of it rests on."""
    filed = file_evidence(
        session, row, basis=consignment.basis, source=consignment.source, file=consignment.file,
        digest=consignment.digest, how=consignment.how, who=who, now=now,
    )  # fmt: skip
    return warrant_of(consignment.basis, consignment.source, filed, how=consignment.how)


def parts(consignment: Consignment) -> list[Sequence[Entry]]:
    """The file in parts of a thousand, in the order in which persons are locked; each takes a fraction of a second."""
    entries = register_many.in_order(consignment.sheet.entries)
    return [entries[start : start + register_many.GROUP] for start in range(0, len(entries), register_many.GROUP)]


def take_in_part(
    session: Session,
    row: MailingList,
    part: Sequence[Entry],
    warrant: Warrant,
    *,
    now: datetime,
    progress: Callable[[int], None] = lambda _: None,
    rehearsal: bool = False,
) -> Admission:
    """Take in one part; a `rehearsal` only reads. Raises RegisterUnsound."""
    return register_many.admit(session, row, part, warrant, now=now, progress=progress, rehearsal=rehearsal)


def report(consignment: Consignment, outcomes: Iterable[Admission]) -> Report:
    """What became of the file, from what became of its parts."""
    found = list(outcomes)
    refused = [*consignment.sheet.refused, *(refusal for each in found for refusal in each.refused)]
    return Report(
        sum(each.added for each in found),
        sum(each.updated for each in found),
        sum(each.unchanged for each in found),
        tuple(sorted(refused, key=lambda refusal: refusal.line)),
        tuple(sorted((remark for each in found for remark in each.remarks), key=lambda remark: remark.line)),
    )


def file_evidence(
    session: Session,
    row: MailingList,
    *,
    basis: Basis,
    source: str,
    file: str,
    digest: str,
    how: str = BY_FILE,
    who: str,
    now: datetime,
) -> bytes:
    """Put aside who takes in which file, or which system handed them over, and from where. Returns the digest that each
    person's entry is bound to."""
    content = {
        "how": how, "recorded_by": who, "source": source, "basis": basis.value, _NAMED[how]: file,
        "file_digest": keys_of(session).file(bytes.fromhex(digest)).hex(), "list": row.slug,
    }  # fmt: skip
    return ledger.file_evidence(session, content, person_id=None, now=now)


def warrant_of(basis: Basis, source: str, evidence: bytes, *, how: str = BY_FILE) -> Warrant:
    """What an admission from a file, or by a program, rests on."""
    return Warrant(basis, source_of(source, how), evidence, how, of_this_list=how == BY_PROGRAM)


def source_of(source: str, how: str = BY_FILE) -> str:
    """What a subscription says of where it came from, when a file from `source` brought it, or a program."""
    return f"{how}: {source}"[:200]
