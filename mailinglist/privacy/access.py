"""Access and portability (GDPR 15, 20): everything that is held about a person, as one document of plain values.

Each room gives its part (`rooms`). What is left out, and why, stands in `registry`: keys by which the program finds its
own rows, and which member of staff it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from ..consent.tables import Person
from ..periods import DEFAULTS
from .registry import HOLDINGS, WHY, About
from .rooms import ROOMS, plain


def document(session: Session, person: Person, *, now: datetime) -> dict[str, Any]:
    """All that is held about the person, as plain JSON values.

        made_at          when this was put together
        register         address, name, language; subscriptions, bans, requests, links, history, notes
        mails            what was mailed to them, newest first
        rights_office    disclosures (to whom outside their data were given), tasks (what they asked for)
        looks_by_staff   when staff looked at them or changed something, and what that was
        held             what is held, why, and for how long (GDPR 15(1)(a), (b), (d))

    Raises Unknown (erased meanwhile), RegisterUnsound.
    """
    found: dict[str, Any] = {"made_at": now.isoformat()}
    for room in ROOMS:
        found[room.name] = plain(room.export(session, person))
    found["held"] = _held(keep_days(session))
    return found


def written(found: Mapping[str, Any]) -> str:
    """A document as the file that the person gets: JSON in UTF-8, to be read by people as well as by programs."""
    return json.dumps(found, ensure_ascii=False, indent=2) + "\n"


def keep_days(session: Session) -> Mapping[str, int]:
    """The periods in force, by name, in days (`Settings.keep_days`)."""
    found: Mapping[str, int] = session.info.get("keep_days", DEFAULTS)
    return found


def _held(days: Mapping[str, int]) -> list[dict[str, str]]:
    return [
        {"what": holding.what, "why": WHY[holding.why], "kept": holding.kept_for(days)}
        for holding in HOLDINGS
        if holding.about is About.SUBSCRIBERS and not holding.folder
    ]
