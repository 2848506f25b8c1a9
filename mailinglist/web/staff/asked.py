"""Numbers and days that a page is asked for by, in its address or its form: read in one way, by every page.

Long lists go by key: `before` or `after` names the row from which the next page goes on. An address that was cut or
mistyped is answered with a page that says so, and never with another page than the one that was asked for.
"""

from __future__ import annotations

from datetime import date

from flask import abort, request

from ... import db
from . import days

ROW = db.LARGEST_NUMBER
"""The largest number that a row has, of most tables."""
LONG_ROW = 2**63 - 1
"""… of those that grow with each mail or each act."""


def whole(text: str, *, largest: int = ROW) -> int | None:
    """The number that `text` writes in plain digits; None: it writes none, or one that is larger than any row's."""
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(largest)):
        return None
    number = int(text)
    return number if number <= largest else None


def row(name: str, *, largest: int = ROW) -> int | None:
    """The row that the page's address names as `name`; None: it names none. Aborts with 404 where it names no row."""
    text = request.args.get(name, "")
    if not text:
        return None
    number = whole(text, largest=largest)
    if number is None:
        abort(404)
    return number


def day(name: str) -> date | None:
    """The day that the page's address names as `name`; None: it names none. Aborts with 404 where that is no day."""
    text = request.args.get(name, "")
    if not text:
        return None
    found = days.day_of(text)
    if found is None:
        abort(404)
    return found
