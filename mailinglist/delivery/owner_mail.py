"""The daily mail to a list's owner: what needs a person. At most one a day, and none where there is nothing to say.

It goes to staff, so it passes no gate and is no row of `handoffs`: a row for each list says of which day the last one
is, and is committed before the mail is handed over. So a crash, or an answer that never came, loses a day's mail
rather than sending it twice; what still needs a person is in the next day's. What a server puts off or refuses is tried
again after an hour, that day. A list for which no owner is set has nobody to tell. The only writer of owner_mails.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from email.utils import parseaddr
from html import escape
from typing import Protocol
from zoneinfo import ZoneInfo

from flask import current_app
from sqlalchemy import or_, update
from sqlalchemy.orm import Session

from .. import db, moments, observe
from ..bulletins.drafts import look_of, sender_of
from ..consent import lists
from ..consent.tables import MailingList
from ..errors import MailinglistError
from ..i18n import gettext
from ..settings import Settings
from ..stationery.layout import composed
from ..stationery.sentences import Sentence
from ..stationery.sentences import noted as _
from . import alone, attention, mail_headers
from .attention import Need, Place
from .dkim import Signer, sealed
from .parcels import Outcome, Parcel
from .post import own_name
from .smtp import Courier
from .tables import OwnerMail
from .template import Message, compile_message

_log = observe.logger(__name__)

FROM_HOUR = 7
"""Not before this hour of the list's day: what happened in the night is in it."""
AGAIN = timedelta(hours=1)

_PAGES = {
    Place.BULLETIN: "/staff/bulletins/{}",
    Place.IMPORT: "/staff/imports/{}",
    Place.LIST: "/staff/",
    Place.TASKS: "/staff/tasks",
    Place.BOUNCES: "/staff/bounces?list={list}",
    Place.COMPLAINTS: "/staff/complaints?list={list}",
    Place.MAIL: "/staff/mail",
    Place.PROGRAMS: "/staff/programs",
}
_SUBJECT = _("What needs you: %(list)s")
_WHY = _("You get this because you are the owner of the list “%(list)s”. It comes once a day at most.")


@dataclass(frozen=True, slots=True)
class _Mail:
    """One list's mail, ready to go."""

    list_id: int
    day: date
    parcel: Parcel
    needs: int


class More(Protocol):
    """What rooms above this one know that needs a person."""

    def __call__(self, session: Session, row: MailingList, /, *, now: datetime) -> Sequence[Need]:
        """Of one list, now. Reads only."""


def send_due(*, more: More | None = None, now: datetime | None = None) -> int:
    """Send the mails that are due, list by list. Returns how many were handed over. One list's trouble stops no
    other's. `more` is asked for what else needs a person."""
    at = now or db.utcnow()
    settings: Settings = current_app.config["MAILINGLIST"]
    with db.reading() as session:
        every = [row.id for row in lists.every(session)]
    handed = 0
    for list_id in every:
        try:
            mail = _due(list_id, settings, more, at)
        except MailinglistError as error:
            _log.error("owner_mail_cannot_be_written", list=list_id, reason=str(error))
            continue
        if mail is not None and _claim(mail, at):
            handed += _hand_over(mail, settings, at)
    return handed


def _due(list_id: int, settings: Settings, more: More | None, now: datetime) -> _Mail | None:
    """The mail of one list, if one is due and there is something to say. Reads only."""
    with db.reading() as session:
        row = session.get_one(MailingList, list_id)
        own = lists.settings_of(row)
        here = now.astimezone(ZoneInfo(own.time_zone))
        last = session.get(OwnerMail, list_id)
        if last is not None and moments.ahead(last.at, now):
            last = None  # written down by a clock that was wrong: it is not of today
        tried = (
            last is not None
            and last.day >= here.date()
            and (last.state != "failed" or moments.recent(last.at, now, AGAIN))
        )
        if not own.owner or here.hour < FROM_HOUR or tried:
            return None
        since = (last.told_at if last else None) or now - timedelta(days=1)
        needs = attention.of_list(session, row, now=now, since=since)
        if more is not None:
            needs = sorted((*needs, *more(session, row, now=now)), key=lambda need: not need.grave)
        if not needs:
            return None
        return _Mail(list_id, here.date(), _written(row, needs, here.date(), settings, now), len(needs))


def _claim(mail: _Mail, now: datetime) -> bool:
    """Take the day for this process. Committed before anything goes."""
    with db.transaction() as session:
        values = {"day": mail.day, "state": "handing", "at": now}
        first = db.insert_new(session, OwnerMail).values(list_id=mail.list_id, **values).on_conflict_do_nothing()
        if session.scalar(first.returning(OwnerMail.list_id)) is not None:
            return True
        free = or_(
            OwnerMail.day < mail.day,
            (OwnerMail.state == "failed") & (OwnerMail.at <= now - AGAIN),
            OwnerMail.at > moments.latest(now),
        )
        taken = session.execute(update(OwnerMail).where(OwnerMail.list_id == mail.list_id, free).values(**values))
        return db.changed(taken) == 1


def _hand_over(mail: _Mail, settings: Settings, now: datetime) -> int:
    with closing(Courier(settings.relays, connections=1, helo=own_name(settings))) as courier:
        outcome = alone.hand_over(courier, mail.parcel).outcome
    state = outcome.value if outcome in (Outcome.ACCEPTED, Outcome.UNCERTAIN) else "failed"
    with db.transaction() as session:
        _settle(session, mail, state, now)
    observe.count(f"owner_mails_{state}")
    _log.info("owner_mail", list=mail.list_id, state=state, needs=mail.needs)
    return int(state == "accepted")


def _settle(session: Session, mail: _Mail, state: str, now: datetime) -> None:
    values: dict[str, object] = {"state": state, "at": now}
    if state != "failed":
        values["told_at"] = now
    session.execute(
        update(OwnerMail)
        .where(OwnerMail.list_id == mail.list_id, OwnerMail.day == mail.day, OwnerMail.state == "handing")
        .values(**values)
    )


# ── what it says ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _written(row: MailingList, needs: Sequence[Need], day: date, settings: Settings, now: datetime) -> Parcel:
    own = lists.settings_of(row)
    language = own.language
    sender = sender_of(row, settings.mail_from)
    from_address = parseaddr(sender)[1]
    look = look_of(row)
    title = gettext(language, _SUBJECT, list=look.name)
    items = "".join(_item(need, language, row.slug, settings.base_url) for need in needs)
    made = composed(
        subject=title,
        content=f"<h1>{escape(title, quote=False)}</h1>\n{items}",
        footer=f"<p>{escape(gettext(language, _WHY, list=look.name), quote=False)}</p>",
        look=look,
    )
    template = compile_message(
        Message(
            subject=made.subject,
            html=made.html,
            text=made.text,
            sender=sender,
            headers=(
                ("Auto-Submitted", "auto-generated"),  # RFC 3834 §5: robots don't answer it
                mail_headers.list_id(row.name, row.slug, settings.return_domain),
            ),
        ),
        slots={},
    )
    number = f"owner-{row.id}-{day:%Y%m%d}"  # the same, however often that day's mail is tried
    content = template.fill(
        to_address=own.owner, to_name=None, message_id=f"<{number}@{settings.return_domain}>", date=now, values={}
    )
    seal = Signer(settings.dkim_keys).seal(template)
    [ready] = sealed([(seal, content)], at=int(time.time()))
    return Parcel(0, from_address, own.owner, ready, time.monotonic())


def _item(need: Need, language: str, slug: str, base: str) -> str:
    what, mend = (escape(_said(sentence, language), quote=False) for sentence in (need.what, need.mend))
    address = escape(base + _PAGES[need.place].format(need.about, list=slug))
    return f'<p><strong>{what}</strong><br>{mend}<br><a href="{address}">{address}</a></p>\n'


def _said(sentence: Sentence, language: str) -> str:
    return gettext(language, sentence.words, **sentence.values)
