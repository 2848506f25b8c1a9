"""Who wrote a mail, as far as it says, and whether they were erased since it came.

Nobody has checked a return path or a From: by them less is kept, never more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import islice

from sqlalchemy.orm import Session

from ..consent import ledger
from ..consent.address import Address, fold, parse
from ..consent.keys import keys_of
from ..errors import BadAddress
from .reading import read

BEGINNING = 64 * 1024
"""Octets at the beginning of a mail in which its From stands."""
_MOST = 10
_FROM = re.compile(rb"^from[ \t]{0,9}:([^\r\n]{0,2000}(?:\r?\n[ \t][^\r\n]{0,1000}){0,9})", re.I | re.M)
_BETWEEN = re.compile(rb"[\s<>,;:\"()\[\]]+")
_HEADER_ENDS = re.compile(rb"\n\r?\n")


def named(beginning: bytes) -> list[str]:
    """The addresses that From names, as written, of a mail that begins with these octets."""
    return list(read(beginning[:BEGINNING]).addresses("From"))


def glimpsed(beginning: bytes) -> list[str]:
    """The same of a mail that nobody reads any more, since workers died over it: by one pattern over its header, with
    nothing taken apart or decoded."""
    header = _HEADER_ENDS.split(beginning[:BEGINNING], maxsplit=1)[0]
    words = (word for found in islice(_FROM.finditer(header), _MOST) for word in _BETWEEN.split(found[1]))
    return [word[:320].decode("utf-8", "replace") for word in words if b"@" in word]


def mentions(raw: bytes, folded: Iterable[str]) -> bool:
    """Whether one of these case-folded addresses stands in the mail as it came, by itself and not within another."""
    text = fold(raw.decode("utf-8", "replace"))
    return any(re.search(rf"(?<![\w.+-]){re.escape(each)}(?![\w-]|\.\w)", text) for each in folded)


def writers(return_path: str, written: Iterable[str]) -> list[Address]:
    """Who may have written a mail: the return path, and whom its From names; some, where it names many."""
    found = []
    for each in (return_path, *islice(written, _MOST)):
        with suppress(BadAddress):
            found.append(parse(each))
    return found


def erased(session: Session, writers: Sequence[Address], came: datetime) -> bool:
    """Whether one of them was erased after the mail came."""
    digest = keys_of(session).digest
    return ledger.erased_since(session, list({digest(each.folded) for each in writers}), came)
