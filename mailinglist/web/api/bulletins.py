"""How far a bulletin has come: the counts that `mailinglist bulletins status --json` prints, and no recipient."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from ... import db
from ...bulletins import drafts
from ...delivery import dispatch
from ...errors import Unknown
from ...staff.programs import Scope
from . import door
from .call import Call
from .shapes import BulletinTold

_ROW = 2**31 - 1
"""The largest number that a bulletin has."""


def account(number: int) -> BulletinTold:
    """GET: a bulletin's state and counts."""
    unknown = f"There is no bulletin {number}."
    if number > _ROW:
        raise Unknown("There is no such bulletin.")
    with db.reading() as session:
        door.assert_reads(drafts.find(session, number).list_id, unknown)
        found = dispatch.status(session, number)
    return BulletinTold(**{name: _exact(value) for name, value in asdict(found).items()})


def _exact(value: Any) -> Any:
    """A moment to the millisecond, as the command prints it."""
    if not isinstance(value, datetime):
        return value
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


CALLS = (
    Call(
        "GET", "/bulletins/<int:number>", account, Scope.BULLETINS_READ,
        "How far a bulletin has come. In counts: `audience` is the sum of the others.",
        BulletinTold, refuses=(404,),
    ),
)  # fmt: skip
