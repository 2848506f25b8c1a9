"""Slots: places in a composed text that are filled later, for each recipient.

A slot is written `U+E000 name U+E001` or `U+E000 name|fallback U+E001`. Both characters are for private use, and are
taken out of (or refused in) whatever people hand in, so that nobody but this program can write a slot. A fallback is
plain words, without `<`, `>` or `&`: it reads the same in HTML, text and a header.

People ask for a slot with a placeholder in braces, `{name}` or `{name|fallback}`. What tells it from plain text:

- a single brace pair around one word is a placeholder; a word that isn't known is refused by name, since a misspelt
  `{nmae}` would otherwise go out to everybody;
- anything else in braces is text as typed: `{{ 7*7 }}`, `{% if %}`, `{{name}}`, `{two words}`, `{}`, `{1}`;
- `\\{word}` is the text `{word}`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from .sentences import SaidBadInput
from .sentences import noted as _

START, END = "\ue000", "\ue001"
# Stands for a brace that was typed as "\{" until the whole text has been looked through. Not a slot; never leaves here.
_BRACE = "\ue002"
_MARKS = str.maketrans("", "", START + END + _BRACE)

SLOT = re.compile(f"{START}([a-z_]+)(?:\\|([^{START}{END}]*))?{END}")
_PLACEHOLDER = re.compile(r"(?<!\{)\{\s*([^\W\d]\w*)\s*(?:\|([^{}]*))?\}(?!\})")
_UNFINISHED = re.compile(r"(?<!\{)\{\s*([^\W\d]\w*)\s*\|")


def slot(name: str, fallback: str | None = None) -> str:
    """The slot `name`. Where a recipient has no value for it, `fallback` is shown, maybe the empty string; None: there
    must be a value, and without one nothing is sent."""
    return f"{START}{name}{END}" if fallback is None else f"{START}{name}|{fallback}{END}"


def names(text: str) -> set[str]:
    """The names of all slots in `text`."""
    return {match[1] for match in SLOT.finditer(text)}


def without_marks(text: str) -> str:
    """`text` without the characters that slots are made of."""
    return text.translate(_MARKS)


def has_marks(text: str) -> bool:
    """Whether `text` holds a character that slots are made of."""
    return without_marks(text) != text


def mark(text: str, known: Collection[str]) -> str:
    """`text` with its placeholders turned into slots. Call `finish` on the result once its markup is done with.

    A placeholder without fallback leaves nothing where there is no value: who gave no name still gets the mail (T5.3).
    Raises BadInput, naming the placeholder, when one is not among `known` or its fallback isn't plain words.
    """
    escaped = text.replace("\\{", _BRACE)
    return _PLACEHOLDER.sub(lambda match: _slot_for(match[1], match[2] or "", known), escaped)


def _slot_for(name: str, fallback: str, known: Collection[str]) -> str:
    if name not in known:
        choice = " or ".join(f"{{{each}}}" for each in sorted(known))
        raise SaidBadInput(
            _("There is no placeholder {%(name)s}; use %(choice)s, or write \\{%(name)s} for the text itself."),
            name=name,
            choice=choice,
        )
    if re.search("[<>&]", fallback):
        raise SaidBadInput(_("The words after | in {%(name)s|…} can't hold <, > or &."), name=name)
    return slot(name, " ".join(fallback.split()))


def asked(text: str, known: Collection[str]) -> bool:
    """Whether a slot stands in `text`, or a placeholder that would become one."""
    return has_marks(text) or any(match[1] in known for match in _PLACEHOLDER.finditer(text))


def as_read(text: str, values: Mapping[str, str], *, missing: str) -> str:
    """Plain `text` as it reads with these values for its placeholders; an empty one gives way to the fallback, and that
    to `missing`. What can't be understood stays as typed."""
    try:
        marked = mark(without_marks(text), values.keys())
        read = SLOT.sub(lambda match: values[match[1]] or match[2] or missing, marked)
        return finish(read, visible=marked)
    except SaidBadInput:
        return text


def finish(text: str, *, visible: str) -> str:
    """`text` with escaped braces restored, after a last look for placeholders that `mark` could not see.

    `visible` is what a reader will see of `text`. A placeholder that stands there still was broken up by formatting
    (`{na**me**}`) or never closed; BadInput says so, as it would go out as typed.
    """
    if broken := _PLACEHOLDER.search(visible) or _UNFINISHED.search(visible):
        raise SaidBadInput(
            _(
                "The placeholder {%(name)s} can't be understood: "
                "write it without formatting inside, and close it with a brace."
            ),
            name=broken[1],
        )
    return text.replace(_BRACE, "{")
