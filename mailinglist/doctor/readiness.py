"""What is to be set before the first real bulletin: a list on the console's first page, and lines of the doctor's.

Each point goes when it is done. What only concerns the machine (`Page.SERVER`) is for who looks after it; the doctor
says more of that elsewhere, so here it leaves it out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from .. import db
from ..bulletins import drafts
from ..consent import lists
from ..consent.tables import MailingList
from ..privacy import backup, notice
from ..settings import PREFIX, Settings
from ..staff import accounts
from ..staff.tables import Account, Passkey
from ..stationery.sentences import Sentence
from ..stationery.sentences import noted as _
from .domains import domain_of, is_nearby, is_public
from .findings import Finding, Level

_BACKUP_OLD = timedelta(days=8)
"""Whoever makes backups on a schedule of their own has made one in this time."""


class Page(StrEnum):
    """Where it is set."""

    GENERAL = "general"
    """The settings of the list."""
    NOTICE = "notice"
    """Its privacy notice."""
    STAFF = "staff"
    SERVER = "server"
    """On no page: in the program's settings."""


@dataclass(frozen=True, slots=True)
class Point:
    """One thing that is still to be set. Names no person."""

    words: Sentence
    mend: Sentence
    page: Page
    command: str
    """What the doctor tells to do, in English."""
    list: str = ""
    """The slug of the list that it is about; empty: it is about all of them."""


def points(session: Session, settings: Settings, *, now: datetime) -> list[Point]:
    """All that is still to be set, list by list, then what is of no list. A few look-ups; reads only."""
    found = [point for row in lists.every(session) for point in _of_list(row, settings)]
    return [*found, *_of_staff(session, now), *_of_server(session, settings, now)]


def check(settings: Settings) -> Iterator[Finding]:
    """The same as the doctor's lines, without what its other checks say."""
    with db.reading() as session:
        found = [each for each in points(session, settings, now=db.utcnow()) if each.page is not Page.SERVER]
    for each in found:
        subject = f"list {each.list}" if each.list else "staff"
        words = str(each.words).removesuffix(".")
        yield Finding(subject, Level.WARNING, words[0].lower() + words[1:], each.command)
    if not found:
        yield Finding("lists", Level.OK, "each has an owner, a postal address, a sender and a whole privacy notice")


def _of_list(row: MailingList, settings: Settings) -> Iterator[Point]:
    own, give = lists.settings_of(row), f"mailinglist lists set {row.slug}"
    if not own.postal_address:
        yield Point(
            Sentence(_("It has no postal address. Without one, no bulletin is sent.")),
            Sentence(_("Every bulletin says where its sender is found.")),
            Page.GENERAL, f"{give} postal_address ADDRESS", row.slug,
        )  # fmt: skip
    if not own.owner:
        yield Point(
            Sentence(_("It has no owner: nobody is mailed what needs a person.")),
            Sentence(_("Name an address that somebody reads. What the program does not understand is sent on there.")),
            Page.GENERAL, f"{give} owner ADDRESS", row.slug,
        )  # fmt: skip
    domain = domain_of(drafts.sender_of(row, settings.mail_from))
    if not is_public(domain):
        yield Point(
            Sentence(_("Its sender is at %(domain)s, where nobody can answer."), {"domain": domain}),
            Sentence(_("Write an address of your organisation as the sender.")),
            Page.GENERAL, f"set {PREFIX}MAIL_FROM, or {give} sender ADDRESS", row.slug,
        )  # fmt: skip
    if missing := notice.missing(row):
        wanted = "; ".join(f"{each.words.removesuffix('.')} (GDPR {each.article})" for each in missing)
        yield Point(
            Sentence(_("Its privacy notice is not complete.")),
            Sentence(_("The law says what it has to tell (GDPR 13 and 14). Its page says what is missing.")),
            Page.NOTICE, wanted, row.slug,
        )  # fmt: skip


def _of_staff(session: Session, now: datetime) -> Iterator[Point]:
    if not accounts.publishers(session, now=now):
        yield Point(
            Sentence(_("Nobody may approve and send bulletins.")),
            Sentence(_("Give a colleague, or yourself, the level of a publisher.")),
            Page.STAFF, "mailinglist staff add ADDRESS --level publisher",
        )  # fmt: skip
    bare = session.scalars(
        select(Account).where(
            Account.password.is_not(None), Account.totp.is_(None), Account.id.not_in(select(Passkey.account_id))
        )
    )
    if number := sum(each.usable(now) for each in bare):
        yield Point(
            Sentence(_("Accounts without a second factor, which can't be used: %(number)s."), {"number": number}),
            Sentence(_("Give each a link to set one up.")),
            Page.STAFF, "see the console's page Staff",
        )  # fmt: skip


def _of_server(session: Session, settings: Settings, now: datetime) -> Iterator[Point]:
    mend = _("Tell who looks after the program: it is set by %(setting)s.")

    def server(words: str, setting: str, **values: str) -> Point:
        said = Sentence(mend, {"setting": f"{PREFIX}{setting}"})
        return Point(Sentence(words, dict(values)), said, Page.SERVER, f"set {PREFIX}{setting}")

    if settings.uses_catcher:
        yield server(_("Mail reaches nobody yet: the built-in catcher keeps all of it."), "SMTP_URL")
    if is_nearby(settings.base_url):
        yield server(
            _("Links in mails begin with %(address)s, which opens only on this machine, or in its own network."),
            "BASE_URL", address=settings.base_url,
        )  # fmt: skip
    made = backup.last(session, now=now)
    if settings.backup_dir is None and (made is None or made.began_at < now - _BACKUP_OLD):
        yield server(_("No backup is scheduled."), "BACKUP_DIR")
