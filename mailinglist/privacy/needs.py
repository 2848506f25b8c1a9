"""What of the rights office needs a person: shown on the console's first page, and in the daily mail to an owner.

`delivery.attention` does the same for lists and bulletins, and knows nothing of this room above it: whoever asks for
the needs of a list asks both. What is of no list is told to the owner of the first one only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..consent.tables import MailingList
from ..delivery.attention import Need, Place
from ..inbound import unseen
from ..staff import programs
from ..stationery.sentences import Sentence
from ..stationery.sentences import noted as _
from . import alarms, tasks
from .access import keep_days

_SOON, _LATELY = timedelta(days=14), timedelta(days=7)
"""How long before mails that nobody read go the owner is told, and how long afterwards."""


def of_list(session: Session, row: MailingList, *, now: datetime) -> list[Need]:
    """What needs a person, the gravest first; of any but the first list: only the mail to its addresses. Reads only."""
    first = session.scalar(select(MailingList.id).order_by(MailingList.id).limit(1)) == row.id
    found = [*_mail(session, row, now, first=first)]
    if first:
        found += [need for part in _PARTS for need in part(session, row, now)]
    return sorted(found, key=lambda need: not need.grave)


def _mail(session: Session, row: MailingList, now: datetime, *, first: bool) -> Iterator[Need]:
    """Mail that is for a person; what belongs to no list is told with the first."""
    whose = (row.id, None) if first else (row.id,)
    if number := sum(unseen.how_many(session, each) for each in whose):
        yield Need(
            Sentence(_("Mails to the list's addresses that wait for a person: %(number)s."), {"number": number}),
            Sentence(_("Read them: somebody may want to leave, in words that the program did not understand.")),
            Place.MAIL,
            row.id,
        )
        kept = timedelta(days=keep_days(session)["unread"])
        if number := sum(unseen.ending(session, each, before=now - kept + _SOON) for each in whose):
            yield Need(
                Sentence(
                    _("Mails that wait for a person and will be deleted unread within 14 days: %(number)s."),
                    {"number": number},
                ),
                Sentence(
                    _("Read them now: after %(days)s days a mail goes, whatever it asks for."), {"days": kept.days}
                ),
                Place.MAIL,
                row.id,
                grave=True,
            )
    if number := sum(unseen.went_unread(session, each, since=now - _LATELY) for each in whose):
        yield Need(
            Sentence(
                _("Mails to the list's addresses that were deleted unread in 7 days: %(number)s."), {"number": number}
            ),
            Sentence(
                _(
                    "There were too many at once, or nobody dealt with them in time. Somebody may have asked to leave: "
                    "look for what was sent on to the list's owner."
                )
            ),
            Place.MAIL,
            row.id,
            grave=True,
        )


def _tasks(session: Session, row: MailingList, now: datetime) -> Iterator[Need]:
    waiting, soon = tasks.count(session, now=now)
    if soon:
        yield Need(
            Sentence(
                _("Requests of persons that must be answered within a week, or are late: %(number)s."), {"number": soon}
            ),
            Sentence(_("The law gives one month. Answer them, and write down what was done.")),
            Place.TASKS,
            row.id,
            grave=True,
        )
    elif waiting:
        yield Need(
            Sentence(_("Requests of persons that wait for an answer: %(number)s."), {"number": waiting}),
            Sentence(_("The law gives one month. Answer them, and write down what was done.")),
            Place.TASKS,
            row.id,
        )


def _programs(session: Session, row: MailingList, now: datetime) -> Iterator[Need]:
    for token in programs.in_use_and_ending(session, now=now):
        values: dict[str, str | int] = {"name": token.name, "days": (token.expires_at - now).days}
        yield Need(
            Sentence(_("The token of “%(name)s” ends soon. Days left: %(days)s."), values),
            Sentence(
                _(
                    "Make another, and give it to whoever looks after that system: else the bans that it hands on are "
                    "refused."
                )
            ),
            Place.PROGRAMS,
            row.id,
        )


_PARTS: tuple[Callable[[Session, MailingList, datetime], Iterator[Need]], ...] = (
    alarms.of_list,
    _tasks,
    _programs,
)
