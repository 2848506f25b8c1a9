"""Pure: why a bulletin stands still by the program's own doing, kept as a code with facts and worded where it is shown.

Versions before these codes kept a sentence in English, and a bulletin may stand for long. Where it is one of those
below, its facts are read out of it; any other stays as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..stationery.sentences import Sentence
from ..stationery.sentences import noted as _

LONGEST = 500
"""Characters that are kept."""
_REFUSED, _RESTORED = "refused", "restored"
_WORDS = {
    _REFUSED: _(
        "Paused by itself: of %(window)s mails in a row, more than %(most)s were refused because of us, not of the "
        "recipients. A server said: %(words)s"
    ),
    _RESTORED: _(
        "It comes from the backup of %(moment)s, and may have gone out since. Look into the mail server's log, or ask "
        "a few recipients, before you resume it."
    ),
}
_STANDS = {
    _REFUSED: _(
        "“%(subject)s” stands still: of %(window)s mails in a row, more than %(most)s were refused because of us, not "
        "of the recipients. A server said: %(words)s"
    ),
    _RESTORED: _(
        "“%(subject)s” stands still: it comes from the backup of %(moment)s, and may have gone out since. Look into "
        "the mail server's log, or ask a few recipients, before you resume it."
    ),
}
_OLD = (
    (
        _REFUSED,
        re.compile(
            r"Paused by itself: of (?P<window>\d+) mails in a row, more than (?P<most>\d+) were refused because of us, "
            r"not of the recipients\. A server said: (?P<words>.*)",
            re.DOTALL,
        ),
    ),
    (_RESTORED, re.compile(r"It comes from the backup of (?P<moment>[^,]+), and may have gone out since\..*")),
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A code, and its facts."""

    code: str
    facts: Mapping[str, str | int]

    @property
    def sentence(self) -> Sentence:
        """Why, on the bulletin's own page."""
        return Sentence(_WORDS[self.code], self.facts)

    def of(self, subject: str) -> Sentence:
        """Which bulletin, and why."""
        return Sentence(_STANDS[self.code], {"subject": subject, **self.facts})


def refused(*, window: int, most: int, words: str) -> str:
    """Servers refused it because of us; in these words. As it is kept."""
    while len(kept := _kept(_REFUSED, window=window, most=most, words=words)) > LONGEST:
        # At most six characters of JSON stand for one (a control character): never more is cut than has to be.
        words = words[: -max(1, (len(kept) - LONGEST) // 6)]
    return kept


def restored(moment: str) -> str:
    """It comes from a backup of that moment. As it is kept."""
    return _kept(_RESTORED, moment=moment)


def read(kept: str) -> Trouble | None:
    """What is kept, read; None: it is in words, and only in these."""
    if kept.startswith("{"):
        try:
            facts = json.loads(kept)
            code = facts.pop("code")
            trouble = Trouble(code, facts)
            _WORDS[code] % facts  # all of them are there
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        return trouble
    for code, sentence in _OLD:
        if found := sentence.fullmatch(kept):
            return Trouble(code, found.groupdict())
    return None


def in_english(kept: str) -> str:
    """What is kept, in words."""
    trouble = read(kept)
    return str(trouble.sentence) if trouble is not None else kept


def _kept(code: str, **facts: str | int) -> str:
    return json.dumps({"code": code, **facts}, ensure_ascii=False)
