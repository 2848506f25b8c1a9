"""What the pages about sending share: the bulletin that it is about, its list's time zone, its account in words."""

from __future__ import annotations

from collections.abc import Mapping
from zoneinfo import ZoneInfo

from babel import dates
from flask import url_for
from sqlalchemy.orm import Session

from ... import i18n
from ...bulletins.tables import Bulletin
from ...consent import lists
from ...consent.tables import MailingList
from ...errors import NotAllowed
from ...stationery.sentences import noted as _
from .. import pages
from ..pages import say
from . import writing


def find(session: Session, number: int) -> tuple[Bulletin, MailingList]:
    """The bulletin and its list. Raises Unknown, NotAllowed (it was put away, or is a template)."""
    bulletin = writing.find(session, number)
    if bulletin.template:
        raise NotAllowed(_("This is a template: it is never sent. Begin a bulletin from it."))
    return bulletin, session.get_one(MailingList, bulletin.list_id)


def crumbs(bulletin: Bulletin) -> list[tuple[str, str]]:
    """The way to a page below a bulletin's desk."""
    return [*writing.crumbs(bulletin), (writing.title_of(bulletin), url_for("sending.look", number=bulletin.id))]


def zone_of(row: MailingList) -> ZoneInfo:
    """The list's time zone."""
    return ZoneInfo(lists.settings_of(row).time_zone)


def zone_place(zone: ZoneInfo) -> str:
    """The city after which a time zone is called, in the page's language: Helsinki, Helsingfors."""
    return str(dates.get_timezone_location(zone, locale=i18n.locale(pages.language()), return_city=True)) or zone.key


def count_words(key: str) -> str:
    """A part of the account."""
    found: Mapping[str, str] = {
        "audience": say("Audience"),
        "accepted": say("Accepted"),
        "deferred": say("Put off"),
        "rejected": say("Rejected"),
        "excluded": say("Left out"),
        "uncertain": say("Uncertain"),
        "pending": say("Waiting"),
    }
    return found[key]


def reason_words(key: str | None) -> str:
    """Why somebody was left out: what the gate said, or, for what it did not, the words that were written down."""
    if key is None:
        return say("Not kept: the person was erased")
    found: Mapping[str, str] = {
        "banned": say("Has forbidden marketing"),
        "restricted": say("Has restricted the use of their data"),
        "left": say("Has left the list"),
        "pending": say("Has not confirmed"),
        "undeliverable": say("Can't be reached"),
        "active": say("Is on the list already"),
        "not on the list": say("Is not on the list"),
        "erased": say("Was erased"),
        "muted": say("Did not ask for mails"),
        "the gate, read last: may not be mailed": say("Left or was banned at the last moment"),
        "cancelled": say("The bulletin was cancelled"),
    }
    return found.get(key, key)
