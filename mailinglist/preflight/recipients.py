"""Who would get it, and what they got last. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from statistics import median

from ..bulletins.compose import Composed
from ..stationery.sentences import Sentence
from ..stationery.sentences import noted as _
from . import pieces
from .findings import Finding, Level, Where
from .matter import Matter

FAR = 2
"""Times as many, or as few, as usual."""
FEW = 10
"""A difference of fewer persons means nothing, however small the list."""
ALIKE = 0.9
_MOST_WORDS = 2000

# Names of languages as the sentences below are about them.
_NOT_IN = {
    "fi": _("Recipients who read Finnish: %(number)s. There is no Finnish version, so they get another language."),
    "sv": _("Recipients who read Swedish: %(number)s. There is no Swedish version, so they get another language."),
    "en": _("Recipients who read English: %(number)s. There is no English version, so they get another language."),
}
_ABOUT_NOT_IN = {
    "fi": _("Recipients who read Finnish: about %(number)s. "
            "There is no Finnish version, so they get another language."),
    "sv": _("Recipients who read Swedish: about %(number)s. "
            "There is no Swedish version, so they get another language."),
    "en": _("Recipients who read English: about %(number)s. "
            "There is no English version, so they get another language."),
}  # fmt: skip


def check(matter: Matter) -> Iterator[Finding]:
    """The audience, its languages, and the bulletin before."""
    if matter.audience is None:
        yield Finding(
            "audience_unreadable",
            Level.ERROR,
            Sentence(_("This audience can't be understood.")),
            Sentence(_("Choose the audience anew.")),
            Where.AUDIENCE,
        )
    elif not matter.audience:
        yield Finding(
            "audience_empty",
            Level.ERROR,
            Sentence(_("Nobody would get this bulletin.")),
            Sentence(_("Choose another audience: nobody who is active on the list fits this one.")),
            Where.AUDIENCE,
        )
    else:
        yield from _size(matter.audience + matter.banned, matter.usual, about=matter.about)
    for language, number in matter.others.items():
        yield Finding(
            "language_missing",
            Level.WARNING,
            Sentence((_ABOUT_NOT_IN if language in matter.others_about else _NOT_IN)[language], {"number": number}),
            Sentence(_("Add the version, or leave these recipients out of the audience.")),
            Where.VERSION,
            language,
        )
    yield from _like_the_last(matter)


def _size(number: int, usual: tuple[int, ...], *, about: bool) -> Iterator[Finding]:
    """`number` as dispatches count it: those whom a ban protects are among it."""
    if not usual:
        return
    middle = round(median(usual))
    values = {"number": number, "usual": middle}
    if abs(number - middle) < FEW:
        return
    if number > FAR * middle:
        yield Finding(
            "audience_larger",
            Level.WARNING,
            Sentence(_("This goes to far more people than usual: about %(number)s. "
                       "The last bulletins went to about %(usual)s.")
                     if about else
                     _("This goes to far more people than usual: %(number)s. "
                       "The last bulletins went to about %(usual)s."),
                     values),
            Sentence(_("Look whether the audience is the one you mean, and whether an import was right.")),
            Where.AUDIENCE,
        )  # fmt: skip
    elif number * FAR < middle:
        yield Finding(
            "audience_smaller",
            Level.WARNING,
            Sentence(_("This goes to far fewer people than usual: about %(number)s. "
                       "The last bulletins went to about %(usual)s.")
                     if about else
                     _("This goes to far fewer people than usual: %(number)s. "
                       "The last bulletins went to about %(usual)s."),
                     values),
            Sentence(_("Look whether the audience is the one you mean, and whether many have left.")),
            Where.AUDIENCE,
        )  # fmt: skip


def _like_the_last(matter: Matter) -> Iterator[Finding]:
    for language, written in matter.written.items():
        last = written.last
        if written.mail is None or last is None:
            continue
        if _folded(written.subject) and _folded(written.subject) == _folded(last.subject):
            yield Finding(
                "subject_as_last",
                Level.WARNING,
                Sentence(_("The bulletin that was sent before this one had the same subject.")),
                Sentence(_("Say what is new in this one.")),
                Where.SUBJECT,
                language,
            )
        if alike(written.mail, last):
            yield Finding(
                "like_last",
                Level.WARNING,
                Sentence(
                    _("This is nearly the same as the bulletin that was sent before it, “%(subject)s”."),
                    {"subject": last.subject},
                ),
                Sentence(
                    _("If it is for those who missed that one, choose it in the audience, "
                      "under “Was not sent the earlier bulletin”.")
                ),
                Where.VERSION,
                language,
            )  # fmt: skip


def alike(one: Composed, other: Composed) -> bool:
    """Whether two mails say nearly the same, their footers aside."""
    first, second = (_words(mail.text) for mail in (one, other))
    if not first or not second:
        return False
    if first == second:
        return True
    matcher = SequenceMatcher(None, first, second, autojunk=False)
    # The quick ones are never below the true one, and most bulletins end at them.
    return matcher.real_quick_ratio() >= ALIKE and matcher.quick_ratio() >= ALIKE and matcher.ratio() >= ALIKE


def _words(text: str) -> list[str]:
    content = text.rpartition("---\n")[0]
    return re.findall(r"\w+", pieces.plain(content).lower())[:_MOST_WORDS]


def _folded(subject: str) -> str:
    return " ".join(pieces.plain(subject).lower().split())
