"""Which list a mail is for that came to an address which people see as a sender. Whoever reads “Questions are answered
by tiedote@…”, or answers a bulletin, writes there; it is the owner's, as a mail to SLUG-owner@ is.

Reads only. Only addresses in the domain of return paths are ours; another server takes mail for all others.
"""

from __future__ import annotations

from collections.abc import Iterable
from email.utils import parseaddr

from sqlalchemy.orm import Session

from ..consent import lists
from ..consent.register import tokens_of
from ..consent.tables import MailingList
from ..settings import Settings
from .addresses import Addresses


def addresses_of(session: Session, settings: Settings) -> Addresses:
    """Our addresses as they are now: those of senders change with the lists' settings."""
    return Addresses(settings, tokens_of(session), senders=of_lists(lists.every(session), settings))


def of_lists(rows: Iterable[MailingList], settings: Settings) -> dict[str, str]:
    """The lists' slugs by the addresses, in lower case, that their mails are from. MAIL_FROM is that of the lists
    without a sender of their own: it stands for the default list where that is one of them, else for the first."""
    owned: dict[str, str] = {}
    general: list[str] = []
    every: list[str] = []
    for row in rows:
        own = lists.settings_of(row).sender
        every.append(row.slug)
        if own:
            owned.setdefault(_address(own), row.slug)  # the oldest, where several share it
        else:
            general.append(row.slug)
    if slugs := general or every:  # where each list has one of its own, mails went from it earlier
        owned[_address(settings.mail_from)] = lists.DEFAULT_SLUG if lists.DEFAULT_SLUG in slugs else slugs[0]
    return owned


def _address(sender: str) -> str:
    return parseaddr(sender)[1].lower()
