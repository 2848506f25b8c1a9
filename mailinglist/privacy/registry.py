"""What is held about whom, where, why and for how long: one line for each table and each folder. Pure.

The record of processing (GDPR 30), the notice, the answer to a person (15) and the page about retention all read it
here, and say the same. A table or a folder of the data directory that is not in it fails a test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class About(StrEnum):
    """Whose data it is."""

    SUBSCRIBERS = "subscribers"
    STAFF = "staff"
    NOBODY = "nobody"


class Why(StrEnum):
    """On what legal basis it is held; the words are in WHY."""

    MAILING = "mailing"
    PROOF = "proof"
    BAN = "ban"
    WORK = "work"
    SECURITY = "security"
    RIGHTS = "rights"
    NONE = "none"


WHY: Mapping[Why, str] = {
    Why.MAILING: "to send what was asked for: consent, a customer relationship or an organisation's interest "
    "(GDPR 6(1)(a), 6(1)(f); Act 917/2014 sections 200 and 202)",
    Why.PROOF: "to show that what was sent was allowed (GDPR 5(2), 7(1))",
    Why.BAN: "to heed that somebody has forbidden marketing (GDPR 21(3))",
    Why.WORK: "to serve the person, on the controller's interest in doing so (GDPR 6(1)(f))",
    Why.SECURITY: "to protect the data, and to show who had access to them (GDPR 5(1)(f), 32)",
    Why.RIGHTS: "to answer what a person asks by law, and to show that it was answered (GDPR 5(2), 12, 19)",
    Why.NONE: "holds nothing about a person",
}
"""Purposes and legal bases, in words."""

BACKUPS = "backups/"
"""The folder of scheduled backups, which lies where `MAILINGLIST_BACKUP_DIR` says."""
DELETED = "deleted"
"""What an erasure does to it, where it does so."""


@dataclass(frozen=True, slots=True)
class Holding:
    """One table, or one folder of the data directory."""

    name: str
    """The table; a folder ends in a slash, and lies in the data directory if no setting says otherwise."""
    about: About
    what: str
    """What it holds about a person, in words."""
    why: Why
    period: str
    """For how long, in words; `{days}` stands for the days of the `rule`."""
    rule: str | None = None
    """The period (`periods.PERIODS`) by which retention lets it go; None: it goes with something else."""
    exported: str = ""
    """Where it stands in the person's document (`access.document`), as keys with a dot; empty: see `withheld`."""
    withheld: str = ""
    """Why it is not in the document."""
    notice: str = ""
    """Which line of the privacy notice tells of it (`notice.HELD`); empty: it holds nothing about subscribers."""
    erased: str = DELETED
    """What an erasure does to it; if not DELETED, what stays and why."""

    @property
    def folder(self) -> bool:
        """Whether it is a folder of the data directory."""
        return self.name.endswith("/")

    def kept_for(self, days: Mapping[str, int]) -> str:
        """The period in words, with the days that are in force (`Settings.keep_days`)."""
        return self.period.format(days=days[self.rule]) if self.rule else self.period


_PERSON = "while the person is on a list, and {days} days after they left the last one"
_WITH_PERSON = "with the person"
_NUMBER = "a number that is never used again, and no name"
_STAFF_ONLY = "about staff, not subscribers"
_GOOD = "for good"


def _nobody(name: str, what: str, erased: str = "kept: it says nothing about a person") -> Holding:
    return Holding(name, About.NOBODY, what, Why.NONE, _GOOD, withheld="it says nothing about a person", erased=erased)


def _staff(
    name: str, what: str, period: str, *, rule: str | None = None, why: Why = Why.SECURITY, erased: str = ""
) -> Holding:
    return Holding(
        name, About.STAFF, what, why, period, rule=rule, withheld=_STAFF_ONLY, erased=erased or f"kept: {_STAFF_ONLY}"
    )  # fmt: skip


def _subscribers(name: str, notice: str, what: str, why: Why, period: str, **more: str) -> Holding:
    return Holding(name, About.SUBSCRIBERS, what, why, period, notice=notice, **more)


HOLDINGS: tuple[Holding, ...] = (
    # the register
    _subscribers(
        "persons",
        "person",
        "e-mail address, language, name if given, whether use is restricted",
        Why.MAILING,
        _PERSON,
        rule="evidence",
        exported="register.address",
    ),
    _subscribers(
        "subscriptions",
        "consent",
        "where a person stands on a list, legal basis, since when, source, sale reference",
        Why.MAILING,
        _WITH_PERSON,
        exported="register.subscriptions",
    ),
    _subscribers(
        "requests",
        "requests",
        "what was asked for; address, name and client until the worker takes it (seconds), then numbers",
        Why.MAILING,
        "{days} days after it was answered or ran out, or as long as the answer rests on it",
        rule="unanswered",
        exported="register.requests",
    ),
    _subscribers(
        "confirmations",
        "requests",
        "when confirmation links were mailed and used",
        Why.PROOF,
        _WITH_PERSON,
        exported="register.links",
    ),
    _subscribers(
        "evidence",
        "evidence",
        "client address, browser, time and words of each act, or its mail's header; who of the staff wrote it down, or "
        "which other system",
        Why.PROOF,
        "{days} days after the consent is no longer relied on",
        rule="evidence",
        exported="register.history",
    ),
    _subscribers(
        "ledger",
        "consent",
        "the history of consent: keyed digests and digests of texts",
        Why.PROOF,
        _GOOD,
        exported="register.history",
        erased="kept: keyed digests, which show that what was sent was allowed (GDPR 17(3)(e)) and keep an import from "
        "bringing back somebody who left",
    ),
    _subscribers(
        "chain_heads",
        "consent",
        "counts and hashes of the ledger",
        Why.PROOF,
        _GOOD,
        withheld="keys of the program, which say nothing more than the history",
        erased="kept: counts and hashes",
    ),
    _subscribers(
        "bans",
        "consent",
        "marketing bans: keyed digest of the address, after an erasure of the name too, channel, the list if it is "
        "about one alone, source, dates",
        Why.BAN,
        "until it is lifted",
        exported="register.bans",
        erased="kept: keyed digests of the address and of the name, so that no later import or sign-up is mailed, and "
        "who asks by name is told (GDPR 21(3))",
    ),
    _subscribers(
        "notes",
        "notes",
        "what staff noted: notes, meetings, contacts",
        Why.WORK,
        _WITH_PERSON,
        exported="register.notes",
    ),
    _subscribers(
        "imports",
        "person",
        "files of people that staff bring in: addresses, names, languages; afterwards counts only",
        Why.MAILING,
        "until taken in or given up, {days} days if nobody decides; the counts stay",
        rule="uploads",
        withheld="what was taken in stands in the register, with its source",
        erased="a file that waits and names the person is dropped; of others the counts stay",
    ),
    _nobody("lists", "a list's names, looks and rules"),
    _nobody("texts", "the texts that people agree to"),
    _nobody("seals", "seals over the ledger: counts and hashes"),
    _subscribers(
        "journal_backlog",
        "consent",
        "opt-outs that could not be written into the journal yet, by keyed digest",
        Why.PROOF,
        "until they can be written",
        withheld="the same as the history, by digests",
        erased="kept: keyed digests, so that no restored backup brings an opt-out back",
    ),
    _nobody("journal_marks", "how far the journals have come"),
    _nobody("key_checks", "whether the ban key is the right one"),
    _nobody("daily_counts", "how many joined and left on a day"),
    _nobody("bookmarks", "how far something has read the ledger"),
    _nobody("notices", "versions of the privacy notice"),
    # the editorial room
    _staff("bulletins", "what was written, and who wrote and changed it", _GOOD, why=Why.WORK),
    _staff("revisions", "earlier versions of bulletins, and who wrote them", _GOOD, why=Why.WORK),
    _staff("approvals", "who approved which bulletin", _GOOD, why=Why.PROOF),
    _staff("issues", "bulletins as approved, and by whom", _GOOD, why=Why.PROOF),
    _staff("images", "images for bulletins, and who brought them", _GOOD, why=Why.WORK),
    # the sorting office
    _subscribers(
        "handoffs",
        "mails",
        "which mail was handed over, when, and what the mail server answered",
        Why.PROOF,
        "the answer for {days} days; number and state for good, for the account of each mailing",
        rule="answers",
        exported="mails",
        erased=f"kept without the answers of mail servers: {_NUMBER}; the account must add up",
    ),
    _subscribers(
        "audience_parts",
        "mails",
        "numbers of those whom a bulletin goes to",
        Why.MAILING,
        "until it is on its way (minutes)",
        withheld="it becomes the list of mails at once",
        erased=f"kept until the rows of handoffs are made: {_NUMBER}",
    ),
    _subscribers(
        "bounces",
        "mails",
        "which mails failed, and what the mail server said; the domain of the address",
        Why.MAILING,
        "the words for {days} days; number and verdict for good, for the account of each mailing",
        rule="answers",
        exported="came_back.failed",
        erased=f"kept without words and domain: {_NUMBER}; the account must add up",
    ),
    _subscribers(
        "complaints",
        "mails",
        "which mails were reported as unwanted to the mailbox provider",
        Why.PROOF,
        _GOOD,
        exported="came_back.reported_as_unwanted",
        erased=f"kept: {_NUMBER}; the share of complaints must stay true",
    ),
    _nobody("holds", "when too many complaints held a list's mail, and who let it go on"),
    _nobody("dispatches", "a bulletin on its way"),
    _nobody("shifts", "workers at work"),
    _nobody("paces", "how fast mail goes out"),
    _nobody("owner_mails", "when a list's owner was last told what needs a person"),
    # the staff door
    _staff("accounts", "name, address, levels, language, password hash, second factor, secrecy statement", _GOOD),
    _staff("passkeys", "second factors", "until taken away"),
    _staff("recovery_codes", "second factors", "until used or replaced"),
    _staff("enrolments", "links for setting up", "{days} days after they ran out", rule="sign_ins"),
    _staff(
        "sign_ins", "client address, browser, times of a sign-in", "{days} days after its last use", rule="sign_ins"
    ),
    _staff(
        "api_tokens",
        "tokens of other systems: their name, what they may and until when, when they were used, and who made and "
        "revoked them",
        "{days} days after they were over",
        rule="audit",
    ),
    Holding(
        "audit",
        About.STAFF,
        "who of the staff, or which other system, did or looked at what, when and from where; persons by number",
        Why.SECURITY,
        "{days} days",
        rule="audit",
        exported="looks_by_staff",
        erased=f"kept: it names the person by {_NUMBER}",
    ),
    # the letterbox
    _subscribers(
        "spool",
        "incoming",
        "mails to the list's addresses: requests, answers, reports; the client address of a request to join and "
        "of what is for a person; the content until it is dealt with",
        Why.MAILING,
        "{days} days after it came; what is for a person, until a person has seen to it, which has an end of its own",
        rule="incoming",
        exported="mails_to_us",
    ),
    _nobody("spool_hands", "which mails a worker has in hand, by their numbers; for seconds"),
    # the rights office
    _subscribers(
        "disclosures",
        "person",
        "to whom outside data were given, on what ground, which, and by whom",
        Why.RIGHTS,
        "while one of the persons is in the register, and {days} days at least",
        rule="disclosures",
        exported="rights_office.disclosures",
        erased="kept: it names nobody whom it was about",
    ),
    _subscribers(
        "disclosed_persons",
        "person",
        "whom a disclosure was about, by number",
        Why.RIGHTS,
        "with the disclosure",
        exported="rights_office.disclosures",
        erased=f"kept: {_NUMBER}",
    ),
    _subscribers(
        "tasks",
        "requests",
        "what a person asked for that somebody has to do, and what was done",
        Why.RIGHTS,
        "{days} days after it was done",
        rule="tasks",
        exported="rights_office.tasks",
        erased="kept without words; whom an erasure must be told to stays until it is done",
    ),
    _nobody("cleared", "how much each rule of retention let go on a day"),
    _nobody("backups", "which backups were made"),
    _nobody("restorations", "that the database came out of a backup, and what was done again"),
    _nobody("walks", "how far a rule of retention has come"),
    # folders
    _subscribers(
        "catcher/",
        "mails",
        "mails that were caught, while no mail server is set",
        Why.WORK,
        "the newest 10,000 mails or 200 MB",
        withheld="copies of mails that the person was sent",
    ),
    _subscribers(
        "copying/",
        "person",
        "the database once more, unencrypted, while a backup of it is made",
        Why.SECURITY,
        "until the backup is made (minutes)",
        withheld="the same as in the tables",
        erased="kept for the minutes until that backup is made, which is then one from before the erasure",
    ),
    _subscribers(
        BACKUPS,
        "person",
        "scheduled backups: the whole database, encrypted if a recipient is set",
        Why.SECURITY,
        "until the rotation deletes them (`MAILINGLIST_BACKUP_KEEP`)",
        withheld="the same as in the tables, as it was",
        erased="kept until the rotation deletes them; a restore erases the person again",
    ),
    _nobody("broker/", "bells that say “look”"),
    _subscribers(
        "journal/",
        "consent",
        "opt-outs outside the database, by keyed digest, so that no restored backup brings one back",
        Why.PROOF,
        _GOOD,
        withheld="the same as the history, by digests",
        erased="kept: keyed digests, so that no restored backup brings an opt-out back",
    ),
    _nobody("keys/", "the program's keys"),
    _nobody("log/", "what went wrong, without addresses or tokens"),
    _nobody("ready/", "which workers are up"),
    _nobody("seals/", "seals over the ledger, once more outside the database"),
    _nobody("scheduler/", "when what was last rung"),
)
"""All that is held."""

BY_NAME: Mapping[str, Holding] = {holding.name: holding for holding in HOLDINGS}

FILES: Mapping[str, str] = {
    "mailinglist.db": "the tables, where no other database is set",
    "journal.head": "how long the journal is",
    "run.lock": "a process number",
    "run.inbound": "an address of this machine",
}
"""Files in the data directory itself (SQLite adds -wal and -shm)."""


def tables() -> dict[str, str]:
    """What an erasure does to each table."""
    return {holding.name: holding.erased for holding in HOLDINGS if not holding.folder}
