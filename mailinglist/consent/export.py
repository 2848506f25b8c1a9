"""A list as CSV, for those with the right to it: who would be mailed now, and nobody else. Reads only.

Never anybody who is pending, has left, is banned, has restricted the use of their data or can't be reached: what leaves
the program can't be called back when somebody is. Read in the stream of one statement, in bounded memory.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from . import gate
from .states import State
from .tables import MailingList, Person, Subscription

_ROWS = 1000
# What a spreadsheet takes for a formula at the beginning of a cell (REQUIREMENTS 5). Where a decimal is written with a
# comma, Excel divides lines at semicolons instead: then cells begin within ours, perhaps after quotes and spaces.
_FORMULA = re.compile(r"""(^|[;\t\r\n])([\s"]*)(?=[=+\-@＝＋－＠])""")
_CONTROL = ("\t", "\r")


def lines(session: Session, row: MailingList, *, names: bool) -> Iterator[str]:
    """The file in pieces, in UTF-8 with CRLF (RFC 4180): email, language, and with `names` the name.

    The session has to stay open while it is read. Raises RegisterUnsound, OptOutsWait; both at the first
    piece.
    """
    gate.assert_entered(session)
    columns = ("email", "language", *(("name",) if names else ()))
    rows = session.execute(
        select(Person.mailbox, Person.language, *((Person.name,) if names else ()))
        .join(Subscription, Subscription.person_id == Person.id)
        .where(Subscription.list_id == row.id, Subscription.state == State.ACTIVE.value, ~gate.banned(row.id))
        .where(Person.restricted_at.is_(None))
        .order_by(Person.folded),
        execution_options={"yield_per": _ROWS},
    )
    yield written([columns])
    for part in rows.partitions():
        yield written([tuple(cell(value or "") for value in person) for person in part])


def cell(value: str) -> str:
    """`value`, with the mark before it that keeps a spreadsheet from taking it for a formula (REQUIREMENTS 5)."""
    plain = _FORMULA.sub(r"\1\2'", value)
    return f"'{plain}" if plain.startswith(_CONTROL) else plain


def written(rows: Iterable[tuple[str, ...]]) -> str:
    """Lines of a CSV file (RFC 4180)."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
