"""A list's privacy notice (GDPR 13 and 14): composed from its settings and from what the program does.

The words are ours, one template per language in templates/notice. Facts of the list come from its settings, periods
from the rules of retention, so that the notice can't promise what nobody keeps. What is composed is kept as a version
(`consent.notices`), and shown as it was kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parseaddr
from functools import cache

from babel import units
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy.orm import Session

from .. import i18n
from ..consent import lists, notices
from ..consent.tables import MailingList
from ..places import TEMPLATES
from ..settings import Settings
from ..stationery.sentences import noted as _

HELD = ("person", "consent", "evidence", "mails", "incoming", "notes", "requests")
"""What the notice tells of, by the `data-held` of its lines. The registry of what is held names one of them for each
table that says something about a person."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that GDPR 13 or 14 asks for and no setting says."""

    article: str
    key: str
    """The setting that would say it."""
    words: str
    """What to do, as a message id."""


def refresh(session: Session, row: MailingList, settings: Settings, *, now: datetime) -> int:
    """Have the notice in force say what the list's settings and the program say now. Returns its version."""
    return notices.keep(session, row, {code: compose(row, settings, code) for code in i18n.LANGUAGES}, now=now)


def refresh_all(session: Session, settings: Settings, *, now: datetime) -> None:
    """`refresh` for every list: after an upgrade, and once a day in case a setting of the installation changed."""
    for row in lists.every(session):
        refresh(session, row, settings, now=now)


def compose(row: MailingList, settings: Settings, language: str) -> str:
    """The notice in one language, as HTML of our own making; every value in it is escaped."""
    own = lists.settings_of(row)
    controller = own.controller or row.name
    return (
        _templates()
        .get_template(f"{language}.html")
        .render(
            list=lists.name_in(row, language),
            controller=controller,
            business_id=own.business_id,
            postal_address=own.postal_address.removeprefix(own.controller).lstrip(", "),
            phone=own.phone,
            contact=contact_of(row, settings),
            protection_officer=own.protection_officer,
            processors=getattr(own, f"processors_{language}"),
            transfers=getattr(own, f"transfers_{language}"),
            own_page=f"{settings.base_url}/preferences?lang={language}",
            kept={name: _said(period, language) for name, period in _periods(settings).items()},
        )
    )


def contact_of(row: MailingList, settings: Settings) -> str:
    """Where to write to in register matters: a function's address, not a person's (REQUIREMENTS, section 6)."""
    own = lists.settings_of(row)
    return own.register_contact or own.owner or parseaddr(own.sender or settings.mail_from)[1]


def missing(row: MailingList) -> tuple[Missing, ...]:
    """What the notice of this list lacks. Without it the notice is not what the law asks for."""
    own = lists.settings_of(row)
    wanted = (
        ("13(1)(a)", "controller", own.controller, _("Say which company is responsible for the list.")),
        ("13(1)(a)", "postal_address", own.postal_address, _("Say the company's postal address.")),
        (
            "13(1)(a)",
            "register_contact",
            own.register_contact or own.owner,
            _("Give an address for register matters, or at least an owner; until then it is the sender's."),
        ),
        *(
            ("13(1)(e)", f"processors_{code}", said, _("Say in all three languages who handles the data for you."))
            for code, said in _uneven(own, "processors").items()
        ),
        *(
            ("13(1)(f)", f"transfers_{code}", said, _("Say in all three languages where the data are transferred."))
            for code, said in _uneven(own, "transfers").items()
        ),
    )
    return tuple(Missing(article, key, words) for article, key, said, words in wanted if not said)


def _uneven(own: lists.ListSettings, name: str) -> Mapping[str, str]:
    """What is said in some languages and not in others."""
    said = {code: getattr(own, f"{name}_{code}") for code in i18n.LANGUAGES}
    return said if any(said.values()) else {}


def _periods(settings: Settings) -> dict[str, timedelta]:
    """How long things are kept as the installation is set: what `retention` goes by."""
    return {
        name: timedelta(days=settings.keep_days[name])
        for name in ("unanswered", "evidence", "answers", "incoming", "unread", "tasks", "disclosures", "audit")
    }


def _said(period: timedelta, language: str) -> str:
    """A period in words: whole years as years, everything else in days."""
    years, rest = divmod(period.days, 365)
    number, unit = (years, "duration-year") if years and not rest else (period.days, "duration-day")
    return units.format_unit(number, unit, locale=i18n.locale(language))


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES / "notice"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
