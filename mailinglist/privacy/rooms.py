"""What each room has to say about one person, and what it does when they are erased: one registry of both.

`registry` says the same table by table; tests hold the two together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ..consent import bans, evidence, import_jobs, keys, people, proof, register, requests
from ..consent.address import Address
from ..consent.tables import LedgerEntry, Person
from ..delivery import bounces, complaints, received, returned, server_words
from ..inbound import reading, spool
from ..staff import audit
from . import disclosures, tasks


@dataclass(frozen=True, slots=True)
class Kept:
    """Something that stays after an erasure."""

    what: str
    count: int
    why: str


@dataclass(frozen=True, slots=True)
class Erasure:
    """What an erasure did: rows deleted, by what they are, and what is kept."""

    deleted: Mapping[str, int] = field(default_factory=dict)
    kept: tuple[Kept, ...] = ()
    recipients: tuple[str, ...] = ()
    """To whom outside the person's data were given: they are to be told (GDPR 19)."""
    backups_until: datetime | None = None
    """When the last backup that holds the person is deleted; None: the operator makes backups in their own way."""


@dataclass(frozen=True, slots=True)
class Asked:
    """That somebody is to be erased."""

    now: datetime
    source: str = ""
    """How they asked for it; empty: it is not said, or a period is over."""


Export = Callable[[Session, Person], Any]
"""What a room holds about a person, with names that can be read; `plain` makes JSON of it."""
Forget = Callable[[Session, Person, Asked], Erasure]
"""A room's share in an erasure. The person is locked, and detached: it is still known once its row is gone."""


@dataclass(frozen=True, slots=True)
class Room:
    """One room, by the name under which its part stands in a person's document."""

    name: str
    export: Export
    forget: Forget


# ── the register ──────────────────────────────────────────────────────────────────────────────────────────────────────

# Keys and digests by which the program finds its own rows.
_OF_THE_PROGRAM = frozenset(
    {
        "id", "about", "entry", "hash", "v", "chain", "seq", "subject", "text", "notice", "evidence", "other_chain",
        "written", "source_digest", "name_digest", "names_kept", "salt", "file_sha256", "file_digest", "account_id",
    }
)  # fmt: skip
_OF_EVIDENCE = frozenset({"salt", "file_sha256", "file_digest"})
# Who of the staff it was is not the person's data (CJEU C-579/21).
_OF_STAFF = frozenset({"who", "recorded_by", "lifted_by", "done_by"})


def _register_export(session: Session, person: Person) -> dict[str, Any]:
    whole = people.whole(session, person.id)
    return {
        "address": whole.address,
        "name": whole.name,
        "language": whole.language,
        "in_the_register_since": whole.created_at,
        "no_letter_before": whole.muted_until,
        "use_restricted_since": person.restricted_at,
        "subscriptions": whole.memberships,
        "bans": whole.bans,
        "requests": whole.requests,
        "links": whole.links,
        "history": [_told(entry) for entry in whole.history],
        "notes": whole.notes,
    }


def _told(entry: Mapping[str, Any]) -> dict[str, Any]:
    """One entry of the history, with the evidence in place of its digest."""
    told = _without({name: value for name, value in entry.items() if name != "evidence_content"})
    if "evidence_content" in entry:
        content: Mapping[str, Any] = entry["evidence_content"] or {}
        told["evidence"] = {key: value for key, value in content.items() if key not in _OF_STAFF | _OF_EVIDENCE}
    return told


def _register_forget(session: Session, person: Person, asked: Asked) -> Erasure:
    named = [person.digest, person.exact_digest]
    earlier = proof.formerly(session, person)
    bans.fold_in(session, person, now=asked.now)
    kept = bans.keep_name(session, person)
    deleted = Counter(register.forget(session, person, names_kept=kept, source=asked.source, now=asked.now))
    deleted["requests"] += requests.forget(session, person)  # after the confirmations, which point to them
    deleted["evidence"] += evidence.forget_of_bans(session, named)
    if dropped := import_jobs.forget(session, person.folded, now=asked.now):
        deleted["imports"] = dropped
    bans.forget_words(session, named)
    for held in earlier:  # their address was corrected, and a ban on the one before may name them
        deleted["evidence"] += evidence.forget_of_bans(session, held.digests, after=held.after, before=held.before)
        bans.forget_words_of(session, held.digests, after=held.after, before=held.before)
    return Erasure(deleted, (*_bans(session, person), _ledger(session, person)))


def _bans(session: Session, person: Person) -> tuple[Kept, ...]:
    forbidden = bans.in_force(session, bans.digests(session, Address(person.mailbox, person.folded)))
    if not forbidden:
        return ()
    why = (
        "as keyed hashes of the address and of the name, if it was known, so that no later import or sign-up is "
        "mailed, and other systems that ask by name are told (GDPR 21(3))"
    )
    return (Kept(f"marketing bans ({', '.join(map(str, forbidden))})", len(forbidden), why),)


def _ledger(session: Session, person: Person) -> Kept:
    subject = keys.keys_of(session).digest(person.folded)
    entries = session.scalar(select(func.count()).where(LedgerEntry.subject == subject)) or 0
    why = (
        "with keyed digests for the address: they show that what was sent was allowed (GDPR 17(3)(e)), and keep an "
        "import from bringing back somebody who left"
    )
    return Kept("ledger entries", entries, why)


# ── the sorting office ────────────────────────────────────────────────────────────────────────────────────────────────


def _mails_export(session: Session, person: Person) -> list[received.Received]:
    return received.by_person(session, person.id)


def _mails_forget(session: Session, person: Person, _asked: Asked) -> Erasure:
    why = "under a number that is never used again, without what mail servers said: the count of each mailing adds up"
    counts = {
        "mails handed over": server_words.forget(session, person.id),
        "mails that failed": bounces.forget(session, person.id),
        "complaints": complaints.count_of(session, person.id),
    }
    return Erasure(kept=tuple(Kept(what, number, why) for what, number in counts.items() if number))


def _back_export(session: Session, person: Person) -> dict[str, Any]:
    return {
        "failed": returned.failed(session, person.id),
        "reported_as_unwanted": returned.complained(session, person.id),
    }


def _back_forget(_session: Session, _person: Person, _asked: Asked) -> Erasure:
    return Erasure()  # with the mails


# ── the letterbox ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _letterbox_export(session: Session, person: Person) -> list[dict[str, Any]]:
    """What the person wrote to us, while it is kept; of what has been dealt with, that it came."""
    found = []
    for row in spool.of_person(session, person.id):
        raw = spool.content(session, row.id) if row.outcome != spool.KILLS else None
        mail = reading.read(raw) if raw is not None else None
        found.append(
            {
                "at": row.received_at, "kind": row.kind, "outcome": row.outcome,
                "subject": mail.header("Subject") if mail else None, "words": mail.text if mail else None,
            }
        )  # fmt: skip
    return found


def _letterbox_forget(session: Session, person: Person, _asked: Asked) -> Erasure:
    gone = spool.forget(session, person.id, addresses=[person.mailbox, person.folded])
    return Erasure({"mails to us": gone} if gone else {})


# ── the rights office ─────────────────────────────────────────────────────────────────────────────────────────────────


def _office_export(session: Session, person: Person) -> dict[str, Any]:
    asked = [
        {
            "kind": task.kind, "words": task.words, "opened_at": task.opened_at, "due_at": task.due_at,
            "done_at": task.done_at, "answer": task.done_words,
        }
        for task in tasks.of(session, person.id)
    ]  # fmt: skip
    given = [
        {
            "at": each.at, "recipient": each.recipient, "legal_basis": each.basis, "what": each.fields,
            "their_reference": each.reference or None,
        }
        for each in disclosures.recipients_of(session, person.id)
    ]  # fmt: skip
    return {"disclosures": given, "tasks": asked}


def _office_forget(session: Session, person: Person, asked: Asked) -> Erasure:
    emptied = tasks.forget(session, person.id, asked.now)
    told = disclosures.tell(session, person.id, disclosures.ERASED, now=asked.now)
    given = len(disclosures.recipients_of(session, person.id))
    why = "to whom data were given, under a number that is never used again (GDPR 5(2), 19)"
    kept = (Kept("disclosures", given, why),) if given else ()
    return Erasure({"tasks": emptied} if emptied else {}, kept, told)


# ── the staff door ────────────────────────────────────────────────────────────────────────────────────────────────────


def _looks_export(session: Session, person: Person) -> list[dict[str, Any]]:
    """When staff, or another system of ours, looked at the person or changed something, and what that was: not who
    (CJEU C-579/21)."""
    lines = audit.search(session, about=f"person {person.id}", limit=_MOST_LOOKS)
    return [{"at": line.at, "act": line.act} for line in lines]


def _looks_forget(_session: Session, _person: Person, _asked: Asked) -> Erasure:
    return Erasure()  # the audit knows a number, and goes by its own period


_MOST_LOOKS = 10_000

ROOMS: tuple[Room, ...] = (
    Room("register", _register_export, _register_forget),
    Room("mails", _mails_export, _mails_forget),
    Room("came_back", _back_export, _back_forget),
    Room("mails_to_us", _letterbox_export, _letterbox_forget),
    Room("rights_office", _office_export, _office_forget),
    Room("looks_by_staff", _looks_export, _looks_forget),
)
"""Every room that holds something about a person, in the order of a document and of an erasure."""


def plain(value: Any) -> Any:
    """`value` as JSON has it, without the program's own keys and without who of the staff it was."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(_without(asdict(value)))
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, date):  # a datetime is one
        return value.isoformat()
    return value


def _without(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in _OF_THE_PROGRAM | _OF_STAFF}
