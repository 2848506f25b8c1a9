"""The register's tables. Only modules of this room write them.

Times are UTC. Digests are raw bytes. Ids of persons are never used again (sqlite_autoincrement): rows elsewhere keep an
erased person's number, and must not come to mean somebody else.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from ..db import Base, BigId, Digest, UtcDateTime
from .states import State


def _by_bytes(length: int) -> String:
    """A text that is compared by its bytes, whatever the collation of the database: its index then serves "begins
    with". SQLite compares so anyway."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


def _domain_of_folded(context: Any) -> str:
    folded: str = context.get_current_parameters()["folded"]
    return folded.rpartition("@")[2]


class MailingList(Base):
    """One list: its names, its look, its rules."""

    __tablename__ = "lists"

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    settings: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    """Checked by `lists.ListSettings`; absent keys have their defaults."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ConsentText(Base):
    """A text that people agree to, in one language. Never changed: a new wording is a new version."""

    __tablename__ = "texts"
    __table_args__ = (UniqueConstraint("list_id", "language", "version"), UniqueConstraint("list_id", "digest"))

    id: Mapped[int] = mapped_column(primary_key=True)
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id"))
    language: Mapped[str] = mapped_column(String(2))
    version: Mapped[int]
    digest: Mapped[bytes] = mapped_column(Digest)
    """SHA-256 of language, a newline and the body, in UTF-8."""
    body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Person(Base):
    """One person per case-folded address."""

    __tablename__ = "persons"
    __table_args__ = (Index("ix_persons_domain_folded", "domain", "folded"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    mailbox: Mapped[str] = mapped_column(String(320))
    """The address as written; what mail goes to."""
    folded: Mapped[str] = mapped_column(_by_bytes(320), unique=True)
    domain: Mapped[str] = mapped_column(_by_bytes(255), default=_domain_of_folded, server_default=text("''"))
    """Of the folded address; filled in from it."""
    exact_digest: Mapped[bytes] = mapped_column(Digest)
    """Keyed digest of the mailbox: bans may have been taken in for the address as written …"""
    digest: Mapped[bytes] = mapped_column(Digest, unique=True)
    """… or for its case-folded form. This one is also what unsubscribe tokens name the person by."""
    chain: Mapped[bytes] = mapped_column(Digest, unique=True)
    """The person's chain in the ledger: 16 random bytes."""
    name: Mapped[str | None] = mapped_column(String(200))
    language: Mapped[str] = mapped_column(String(2))
    muted_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """After "I did not ask for this": no confirmation letter before this moment."""
    restricted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Since when what is held is kept and not used (GDPR 18); None: it is not restricted."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Subscription(Base):
    """Where one person stands on one list."""

    __tablename__ = "subscriptions"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'active', 'left', 'undeliverable')", name="state"),
        CheckConstraint("basis IN ('consent', 'customer', 'organisation')", name="basis"),
        CheckConstraint("basis <> 'customer' OR sale_reference IS NOT NULL", name="sale"),
        Index("ix_subscriptions_list_id_state", "list_id", "state"),
    )

    person_id: Mapped[int] = mapped_column(ForeignKey("persons.id"), primary_key=True)
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id"), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    basis: Mapped[str] = mapped_column(String(16))
    since: Mapped[datetime] = mapped_column(UtcDateTime)
    """When the present state began."""
    acted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When the person last confirmed, left or disowned by a link that only their mailbox holds, or got another address:
    limits of letters count from here."""
    epoch: Mapped[int] = mapped_column(default=0)
    """Grows with every leave: tokens of earlier episodes no longer confirm."""
    text_id: Mapped[int | None] = mapped_column(ForeignKey("texts.id"))
    """The consent text that was agreed to; none for imports."""
    source: Mapped[str] = mapped_column(String(200))
    sale_reference: Mapped[str | None] = mapped_column(String(200))

    @property
    def standing(self) -> State:
        """The state, typed."""
        return State(self.state)


FOREMOST = datetime(1970, 1, 1, tzinfo=UTC)
"""`not_before` of an opt-out that is kept: it goes before all else, and one look into the index of what waits says
whether there is one, however long the queue is."""


class Request(Base):
    """What somebody asked for, as it came in; the worker takes it.

    Until it is taken it holds the address and where it came from; afterwards only ids. `letter` is what became due by
    it. Who asks for a key to their own page, and is known by a ban only, has no id: the address stays for as long as
    the key may be used, and is gone some hours later (`requests.take`).
    """

    __tablename__ = "requests"
    __table_args__ = (
        CheckConstraint("kind IN ('join', 'leave', 'exit', 'key')", name="kind"),
        Index("ix_requests_waiting", "not_before", "id", postgresql_where=text("taken_at IS NULL"),
              sqlite_where=text("taken_at IS NULL")),
        Index("ix_requests_letter", "id", postgresql_where=text("letter_due"), sqlite_where=text("letter_due = 1")),
        Index("ix_requests_person_id_received_at", "person_id", "received_at"),
        Index("ix_requests_received_at", "received_at"),
        Index("ix_requests_domain_letter_at", "domain", "letter_at"),
        Index("ix_requests_letter_at", "letter_at"),
        Index("ix_requests_digest", "digest", postgresql_where=text("digest IS NOT NULL"),
              sqlite_where=text("digest IS NOT NULL")),
        {"sqlite_autoincrement": True},
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    kind: Mapped[str] = mapped_column(String(8))
    """join; leave (a link to leave by is asked for); key (one to one's own page is); exit (somebody left while the ban
    key was wrong)."""
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id"))
    entrance: Mapped[str] = mapped_column(String(16))
    """web, staff, mail, api."""
    mailbox: Mapped[str | None] = mapped_column(String(320))
    domain: Mapped[str] = mapped_column(String(255))
    """For the limit per domain."""
    name: Mapped[str | None] = mapped_column(String(200))
    language: Mapped[str] = mapped_column(String(2))
    text_id: Mapped[int | None] = mapped_column(ForeignKey("texts.id"))
    origin: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """Client address, user agent, or who recorded it; becomes evidence when taken. Of what came by mail, the Message-ID
    stays that the letter answers."""
    browser: Mapped[bytes | None] = mapped_column(Digest)
    """SHA-256 of the nonce in the cookie of the browser that asked."""
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    not_before: Mapped[datetime] = mapped_column(UtcDateTime)
    """Later than received_at in a slower lane; FOREMOST: of an opt-out that is kept."""
    taken_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    outcome: Mapped[str | None] = mapped_column(String(16))
    person_id: Mapped[int | None]
    epoch: Mapped[int | None]
    """The subscription's epoch when taken: requests of one episode are one open request."""
    digest: Mapped[bytes | None] = mapped_column(Digest)
    """Keyed digest of the case-folded address, where a letter goes to somebody who has no id."""
    letter: Mapped[str | None] = mapped_column(String(16))
    """The letter that became due: confirm, already, leave, key."""
    letter_due: Mapped[bool] = mapped_column(default=False)
    """True until the desk has enqueued it."""
    letter_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Confirmation(Base):
    """One confirmation letter's token, by its digest."""

    __tablename__ = "confirmations"
    __table_args__ = (
        Index("ix_confirmations_person_id", "person_id"),
        Index("ix_confirmations_request_id", "request_id"),
        Index(
            "ix_confirmations_welcome", "id", postgresql_where=text("welcome_due"), sqlite_where=text("welcome_due = 1")
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    digest: Mapped[bytes] = mapped_column(Digest, unique=True)
    """SHA-256 of the 16 random bytes in the letter."""
    request_id: Mapped[int] = mapped_column(ForeignKey("requests.id"))
    person_id: Mapped[int] = mapped_column(ForeignKey("persons.id"))
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id"))
    text_id: Mapped[int] = mapped_column(ForeignKey("texts.id"))
    address: Mapped[bytes] = mapped_column(Digest)
    """Keyed digest of the address that the letter went to: a token is bound to it."""
    epoch: Mapped[int]
    issued_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    welcome_due: Mapped[bool] = mapped_column(default=False)
    """True from the confirmation until the desk has enqueued the welcome letter."""


ALL_LISTS = 0
"""Stands for every list where a list's number could stand."""


class Ban(Base):
    """A marketing ban: one channel of one address, by keyed digest, on all lists or on one. Outlives the person's
    erasure (REQUIREMENTS 2.5)."""

    __tablename__ = "bans"
    __table_args__ = (
        CheckConstraint("channel IN ('email', 'post', 'phone', 'disclosure')", name="channel"),
        Index("uq_bans_in_force", "digest", "channel", "list_id", unique=True,
              postgresql_where=text("lifted_at IS NULL"), sqlite_where=text("lifted_at IS NULL")),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[bytes] = mapped_column(Digest)
    channel: Mapped[str] = mapped_column(String(16))
    list_id: Mapped[int] = mapped_column(default=ALL_LISTS, server_default=text("0"))
    """The one list that it is about; ALL_LISTS: every list. No key of the table of lists, which has no row for that."""
    source: Mapped[str] = mapped_column(String(200))
    given_at: Mapped[datetime] = mapped_column(UtcDateTime)
    lifted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    lifted_by: Mapped[str | None] = mapped_column(String(500))
    """The evidence on which it was lifted."""
    name_digest: Mapped[bytes | None] = mapped_column(Digest)
    """Keyed digest of the name of who was erased, so that others who ask by name are still told of the ban: one after
    the other, if they were erased under more than one. None while the person is in the register, which has the name,
    and was never erased; where no name was given; and once it is lifted."""


class LedgerEntry(Base):
    """One event in one person's chain. Never changed, never deleted: triggers refuse it."""

    __tablename__ = "ledger"
    __table_args__ = (UniqueConstraint("chain", "seq"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    chain: Mapped[bytes] = mapped_column(Digest)
    seq: Mapped[int]
    subject: Mapped[bytes] = mapped_column(Digest, index=True)
    """Keyed digest of the case-folded address at the time, so that proof is found after erasure."""
    body: Mapped[bytes] = mapped_column(LargeBinary)
    """The very bytes that were hashed: canonical JSON."""
    hash: Mapped[bytes] = mapped_column(Digest)
    """SHA-256 of the previous hash and the body."""


class ChainHead(Base):
    """How long a chain is, and its last hash, under a MAC: a missing tail shows."""

    __tablename__ = "chain_heads"

    chain: Mapped[bytes] = mapped_column(Digest, primary_key=True)
    count: Mapped[int]
    last_hash: Mapped[bytes] = mapped_column(Digest)
    mac: Mapped[bytes] = mapped_column(Digest)


class Evidence(Base):
    """What lies behind a ledger entry, bound by its digest; the part that erasure and retention delete."""

    __tablename__ = "evidence"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    digest: Mapped[bytes] = mapped_column(Digest, unique=True)
    person_id: Mapped[int | None] = mapped_column(index=True)
    """Whose it is; none for an import, which names nobody."""
    content: Mapped[bytes] = mapped_column(LargeBinary)
    """Canonical JSON, with a salt: its digest must not be a hash of something guessable."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class KeyCheck(Base):
    """A value that only the right key makes: tells a wrong ban key from a right one."""

    __tablename__ = "key_checks"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[bytes] = mapped_column(Digest)


class Note(Base):
    """What staff wrote about a person: a note, a meeting, a contact (N). Part of what the person may see (GDPR 15)."""

    __tablename__ = "notes"
    __table_args__ = (CheckConstraint("kind IN ('note', 'meeting', 'contact')", name="kind"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("persons.id"), index=True)
    kind: Mapped[str] = mapped_column(String(8))
    on: Mapped[datetime] = mapped_column(UtcDateTime)
    """When it happened."""
    words: Mapped[str] = mapped_column(Text)
    who: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ImportJob(Base):
    """One file that staff take in: looked through first, then taken in by the worker. The result is kept, the file is
    not."""

    __tablename__ = "imports"
    __table_args__ = (
        CheckConstraint(
            "state IN ('uploaded', 'checking', 'checked', 'waiting', 'running', 'done', 'failed')", name="state"
        ),
        Index("ix_imports_list_id", "list_id", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id"))
    state: Mapped[str] = mapped_column(String(8))
    file_name: Mapped[str] = mapped_column(String(200))
    file: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    """None once it has been taken in, or given up. Large: read only by who asks for it."""
    columns: Mapped[list[Any]] = mapped_column(JSON, default=list)
    """[heading, meaning, samples] of each column of the file, in its order; no samples once the file is gone."""
    basis: Mapped[str | None] = mapped_column(String(16))
    source: Mapped[str | None] = mapped_column(String(200))
    lines: Mapped[int] = mapped_column(default=0)
    """Records below the heading."""
    done: Mapped[int] = mapped_column(default=0)
    """Of them: looked through, or taken in, or refused."""
    added: Mapped[int] = mapped_column(default=0)
    updated: Mapped[int] = mapped_column(default=0)
    unchanged: Mapped[int] = mapped_column(default=0)
    refused: Mapped[int] = mapped_column(default=0)
    refusals: Mapped[list[Any]] = mapped_column(JSON, default=list)
    """The first 1,000: [line, reason]. And of lines that are taken the first 1,000 with a remark: [line, words of it,
    "taken"]. Neither names an address."""
    trouble: Mapped[str | None] = mapped_column(String(500))
    evidence: Mapped[bytes | None] = mapped_column(Digest)
    """The one piece of evidence that the entries of this file are bound to."""
    beat_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When a worker last went on with it; while this is recent, no other one does."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    who: Mapped[str] = mapped_column(String(200))
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class DailyCount(Base):
    """How many of an event there were on one day (UTC) on one list; list 0: bans of all lists."""

    __tablename__ = "daily_counts"

    list_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    day: Mapped[date] = mapped_column(primary_key=True)
    what: Mapped[str] = mapped_column(String(16), primary_key=True)
    number: Mapped[int]


class Bookmark(Base):
    """How far something has read the ledger."""

    __tablename__ = "bookmarks"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    position: Mapped[int] = mapped_column(BigId)


class Notice(Base):
    """One version of a list's privacy notice in one language, as it was shown. Never changed."""

    __tablename__ = "notices"
    __table_args__ = (UniqueConstraint("list_id", "language", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id"))
    language: Mapped[str] = mapped_column(String(2))
    version: Mapped[int]
    """The same number in all languages."""
    digest: Mapped[bytes] = mapped_column(Digest, index=True)
    """SHA-256 of language, a newline and the body, in UTF-8; what a ledger entry names."""
    body: Mapped[str] = mapped_column(Text)
    """HTML of our own making."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    """From when it is in force."""


class Seal(Base):
    """What the whole ledger was at one moment, under a signature. Never changed, never deleted: triggers refuse it."""

    __tablename__ = "seals"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """From 1, without gaps."""
    content: Mapped[bytes] = mapped_column(LargeBinary)
    """The very bytes that were signed: canonical JSON; `seals.Said` is what they say."""
    signature: Mapped[bytes] = mapped_column(Digest)
    """Ed25519 (RFC 8032)."""
    key: Mapped[bytes] = mapped_column(Digest)
    """The public key that it verifies with."""
    blocks: Mapped[bytes] = mapped_column(LargeBinary)
    """For quick proofs, and made again from the ledger by anybody: of each 1,024 leaves of the tree the first chain and
    the Merkle root."""


class JournalBacklog(Base):
    """Lines for the journal of opt-outs that could not be written to its file when they were due; they follow."""

    __tablename__ = "journal_backlog"
    __table_args__ = {"sqlite_autoincrement": True}

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    line: Mapped[dict[str, Any]] = mapped_column(JSON)
    """What the line says, without its place in the chain."""
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    """Since when it waits."""


class JournalMark(Base):
    """How far a journal of opt-outs had come when it was last looked through, so that a missing one is missed."""

    __tablename__ = "journal_marks"

    journal: Mapped[str] = mapped_column(String(32), primary_key=True)
    """The journal's own name: random, in hex."""
    number: Mapped[int] = mapped_column(BigId)
    """Of the last line that fitted."""
    mac: Mapped[str] = mapped_column(String(64))
    """That line's."""
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    trouble: Mapped[str | None] = mapped_column(String(1000))
    """What was wrong, in words; None: it was whole."""
