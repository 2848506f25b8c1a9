"""What of the rights office needs a person: shown on the console's first page, and in the daily mail to an owner.

`delivery.attention` does the same for lists and bulletins, and knows nothing of this room above it: whoever asks for
the needs of a list asks both. What is of no list is told to the owner of the first one only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..consent.tables import MailingList
from ..delivery.attention import Need, Place
from ..inbound import spool
from ..stationery.sentences import Sentence
from ..stationery.sentences import noted as _
from . import alarms, tasks


def of_list(session: Session, row: MailingList, *, now: datetime) -> list[Need]:
    """What needs a person, the gravest first; of any but the first list: only the mail to its addresses. Reads only."""
    first = session.scalar(select(MailingList.id).order_by(MailingList.id).limit(1)) == row.id
    found = [*_mail(session, row, first=first)]
    if first:
        found += [need for part in _PARTS for need in part(session, row, now)]
    return sorted(found, key=lambda need: not need.grave)


def _mail(session: Session, row: MailingList, *, first: bool) -> Iterator[Need]:
    """Mail that is for a person; what belongs to no list is told with the first."""
    number = spool.unseen(session, row.id) + (spool.unseen(session, None) if first else 0)
    if number:
        yield Need(
            Sentence(_("Mails to the list's addresses that wait for a person: %(number)s."), {"number": number}),
            Sentence(_("Read them: somebody may want to leave, in words that the program did not understand.")),
            Place.MAIL,
            row.id,
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


_PARTS: tuple[Callable[[Session, MailingList, datetime], Iterator[Need]], ...] = (
    alarms.of_list,
    _tasks,
)
