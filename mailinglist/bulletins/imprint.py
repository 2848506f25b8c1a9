"""The imprint of a bulletin: what of its list's settings recipients see, or what decides who they are. It reads only.

It is frozen with the approval (`approvals`), and a later change of it makes the approval void. SEEN and UNSEEN name
every setting of a list; a test holds them against `lists.ListSettings`, so that a new setting has to be put into one of
them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

from ..consent import lists
from ..consent.tables import MailingList
from ..i18n import LANGUAGES
from .audience import Rule
from .comparison import Change, Part

SEEN: Mapping[str, str] = MappingProxyType(
    {
        "name": "List-Id and footer",
        **{f"name_{language}": "head and footer of the version in this language" for language in LANGUAGES},
        "sender": "From",
        "owner": "Reply-To",
        "controller": "footer",
        "postal_address": "footer",
        "colour": "look",
        "logo": "look",
        "language": "which version somebody gets who reads none of them, and the footer of one in Markdown or HTML",
        "time_zone": "who joined on which day, where the audience asks for days",
    }
)
"""Setting → where it shows."""

UNSEEN: Mapping[str, str] = MappingProxyType(
    {
        "confirm_days": "in letters only",
        "welcome": "of letters only",
        "letters": "in letters only",
        "rate": "how fast, not what",
        "approval": "who may approve; it holds again when the bulletin is given to be sent",
        "origins": "of the sign-up form",
        "proof_of_work": "of the sign-up form",
        **dict.fromkeys(
            (
                "business_id",
                "phone",
                "register_contact",
                "protection_officer",
                *(f"{name}_{language}" for name in ("processors", "transfers") for language in LANGUAGES),
            ),
            "in the privacy notice, which has versions of its own",
        ),
    }
)
"""Setting → why no recipient of a bulletin sees it."""

Imprint = Mapping[str, str]
"""Setting → its value, for those settings that matter to one bulletin."""


def taken(row: MailingList, *, languages: Collection[str], rule: Rule) -> Imprint:
    """The imprint of a bulletin with versions in these `languages` for this audience, as the settings are now."""
    needless = {f"name_{language}" for language in LANGUAGES if language not in languages}
    if rule.joined_after is None and rule.joined_before is None:
        needless.add("time_zone")
    return _read(row, (key for key in SEEN if key not in needless))


def changes(before: Imprint, row: MailingList) -> list[Change]:
    """What of an imprint is different now."""
    after = _read(row, before)
    return [
        Change(Part.SETTING, None, None, before[key] or None, after[key] or None, setting=key)
        for key in SEEN
        if key in before and before[key] != after[key]
    ]


def written(imprint: Imprint) -> str:
    """As canonical JSON."""
    return json.dumps(dict(imprint), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def digest(imprint: Imprint) -> str:
    """Stands for an imprint, in a form: who approves names the one that they saw."""
    return hashlib.sha256(written(imprint).encode()).hexdigest()


def read(text: str) -> Imprint:
    """Of `written`."""
    found: Imprint = json.loads(text)
    return found


def _read(row: MailingList, keys: Iterable[str]) -> dict[str, str]:
    values = {**lists.settings_of(row).model_dump(mode="json"), "name": row.name}
    return {key: str(values[key]) for key in keys}
