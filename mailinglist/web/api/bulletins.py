"""How far a bulletin has come: the counts that `mailinglist bulletins status --json` prints, and no recipient."""

from __future__ import annotations

from dataclasses import asdict

from flask import abort

from ... import db, moments
from ...bulletins import drafts
from ...delivery import dispatch
from ...errors import Unknown
from ...staff.programs import Scope
from . import door
from .call import Call
from .shapes import BulletinTold


def account(number: int) -> BulletinTold:
    """GET: a bulletin's state and counts."""
    with db.reading() as session:
        try:
            told = door.good_for(drafts.find(session, number).list_id)
        except Unknown:
            told = False
        if not told:
            abort(404)  # with the door's own words: which bulletins other lists have is not told
        found = dispatch.status(session, number)
    return BulletinTold(**{name: moments.exact(value) for name, value in asdict(found).items()})


CALLS = (
    Call(
        "GET", "/bulletins/<int:number>", account, Scope.BULLETINS_READ,
        "How far a bulletin has come. In counts: `audience` is the sum of the others.",
        BulletinTold,
    ),
)  # fmt: skip
