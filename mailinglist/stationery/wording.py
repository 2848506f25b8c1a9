"""Our own sentences: one Markdown file per text and language, in templates/mail/fi, sv and en.

A file is a line `Subject: …` (texts that are a whole mail), a blank line, and Markdown. `{word}` is a place that is
filled: now, by what `filled` is given, or per recipient, as a slot. Whoever translates needs to know no more than that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from html import escape

from ..places import TEMPLATES
from . import safehtml, slots

_BRACES = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True, slots=True)
class Wording:
    """A text of ours: its subject line (empty for a footer) and its body, a safe fragment."""

    subject: str
    body: str


def filled(name: str, language: str, values: Mapping[str, str]) -> Wording:
    """The text `name` in `language`, with `values` where their names stand; the other places stay slots."""
    wording = _read(name, language)
    plain = {key: slots.without_marks(value) for key, value in values.items()}
    markup = {key: escape(value, quote=True).replace("\n", "<br>") for key, value in plain.items()}
    return Wording(subject=" ".join(_fill(wording.subject, plain).split()), body=_fill(wording.body, markup))


def _fill(text: str, values: Mapping[str, str]) -> str:
    return slots.SLOT.sub(lambda match: values.get(match[1], match[0]), text)


@cache
def _read(name: str, language: str) -> Wording:
    source = (TEMPLATES / "mail" / language / f"{name}.md").read_text(encoding="utf-8")
    marked = _BRACES.sub(lambda match: slots.slot(match[1]), source)
    head, _, body = marked.partition("\n\n") if marked.startswith("Subject: ") else ("", "", marked)
    return Wording(subject=head.removeprefix("Subject: ").strip(), body=safehtml.from_markdown(body))
