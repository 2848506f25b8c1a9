"""A person's data as a document for them (GDPR 15, 20): all that is held, in names that can be read. Pure.

Left out: the keys and digests by which the program finds its own rows, and which member of staff wrote something down.
Who of the staff it was is not the person's data (CJEU C-579/21).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from typing import Any

from ...consent.people import Whole
from ...delivery.received import Received

_OF_THE_PROGRAM = frozenset(
    {"entry", "hash", "v", "chain", "seq", "subject", "text", "evidence", "other_chain", "salt", "file_sha256", "id"}
)
_OF_STAFF = frozenset({"who", "recorded_by", "lifted_by"})


def document(whole: Whole, mails: Sequence[Received], *, made_at: datetime) -> str:
    """The document, as JSON."""
    history = [
        {
            **_without(entry, _OF_THE_PROGRAM),
            **(
                {"evidence": _without(entry["evidence_content"] or {}, _OF_STAFF | {"salt", "file_sha256"})}
                if "evidence_content" in entry
                else {}
            ),
        }
        for entry in whole.history
    ]
    for entry in history:
        entry.pop("evidence_content", None)
    held = {
        "made_at": made_at,
        "address": whole.address,
        "name": whole.name,
        "language": whole.language,
        "in_the_register_since": whole.created_at,
        "no_letter_before": whole.muted_until,
        "subscriptions": whole.memberships,
        "bans": whole.bans,
        "requests": whole.requests,
        "links": whole.links,
        "history": history,
        "notes": whole.notes,
        "mails": mails,
    }
    return json.dumps(_plain(held), ensure_ascii=False, indent=2) + "\n"


def _without(values: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(_without(asdict(value), _OF_STAFF | {"id", "about"}))
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, date):  # a datetime is one
        return value.isoformat()
    return value
