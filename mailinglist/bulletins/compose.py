"""A bulletin as staff wrote it → the mail as it is frozen, sent and kept: safe HTML and a text part.

Pure: the same input gives the same bytes. What staff write is data. Of all that stands in braces only `{name}` and
`{name|fallback}` mean something, in the subject, in Markdown and in the text of HTML; `slots` has the exact rule, and
how to write a brace that means nothing. No placeholder may stand in an address or another attribute: no address
differs between recipients (REQUIREMENTS 1, N).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from typing import Literal

from ..errors import BadInput
from ..stationery import safehtml, slots, wording
from ..stationery.layout import Composed, Look, composed
from ..stationery.sentences import SaidBadInput
from .blocks import Version
from .setting import PLACEHOLDERS, Picture, Problem, typeset

__all__ = [
    "MAX_SOURCE_BYTES", "PLACEHOLDERS", "Composed", "Look", "Picture", "Problem", "Proof", "compose", "compose_version",
    "try_version",
]  # fmt: skip

MAX_SOURCE_BYTES = 5_000_000

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def compose(*, subject: str, source: str, form: Literal["markdown", "html"], look: Look) -> Composed:
    """The bulletin `source`, written in `form`, in the list's look and with its footer.

    An HTML document is reduced to what its body safely holds. Slots in the result: `name` where it was asked for,
    `unsubscribe_url` and `privacy_url` in the footer. Raises BadInput, with a sentence for whoever wrote it, when the
    subject is empty or has a line end, the source is empty, not text, over 5 MB or nested too deeply, or a placeholder
    can't be understood.
    """
    heading = _subject(subject)
    content = _content(_checked(source), form)
    return composed(subject=heading, content=content, footer=_footer(look), look=look)


@dataclass(frozen=True, slots=True)
class Proof:
    """A version as it would arrive, and what keeps it from being mailed."""

    mail: Composed
    problems: tuple[Problem, ...]


def try_version(version: Version, *, look: Look, images: Mapping[str, Picture]) -> Proof:
    """`version` set as well as it can be, to be looked at while it is written. Never raises for what stands in it.

    `images`: those that may be used, by digest.
    """
    made = typeset(version, images)
    mail = composed(
        subject=made.subject, content=made.content, footer=_footer(look), look=look, preview=made.preview
    )  # fmt: skip
    return Proof(mail, tuple(made.problems))


def compose_version(version: Version, *, look: Look, images: Mapping[str, Picture]) -> Composed:
    """`version` as it is mailed; the slots are those of `compose`. Raises BadInput, with the first of its problems."""
    proof = try_version(version, look=look, images=images)
    for problem in proof.problems:
        raise SaidBadInput(problem.sentence.words, **problem.sentence.values)
    return proof.mail


def _footer(look: Look) -> str:
    return wording.filled("bulletin_footer", look.language, {"list": look.name, "signature": look.signature}).body


def _subject(subject: str) -> str:
    plain = slots.without_marks(subject).strip()
    if not plain:
        raise BadInput("A bulletin needs a subject.")
    if _CONTROL.search(subject):
        raise BadInput("A subject is one line of text, without control characters.")
    marked = slots.mark(plain, PLACEHOLDERS)
    return slots.finish(marked, visible=marked)


def _checked(source: str) -> str:
    """`source` with LF line ends and without anything that could pass for a slot."""
    if len(source) > MAX_SOURCE_BYTES or len(source.encode(errors="replace")) > MAX_SOURCE_BYTES:
        raise BadInput("A bulletin's source is at most 5 MB.")
    text = slots.without_marks(source.removeprefix("\ufeff")).replace("\r\n", "\n").replace("\r", "\n")
    if "\x00" in text or re.search("[\ud800-\udfff]", text):
        raise BadInput("The bulletin isn't text: it holds a NUL or half a character.")
    if slots.has_marks(unescape(text)):
        raise BadInput("The characters U+E000 to U+E002 can't be written in a bulletin, not even as &#xE000;.")
    return text


def _content(source: str, form: Literal["markdown", "html"]) -> str:
    if form == "markdown":
        # Marked before Markdown sees it, so that a fallback is words and never markup.
        fragment = safehtml.from_markdown(slots.mark(source, PLACEHOLDERS))
    else:
        # Marked after sanitising, so that the braces of a style sheet are gone.
        fragment = safehtml.in_text(lambda text: slots.mark(text, PLACEHOLDERS), safehtml.sanitised(source))
    if any(slots.asked(tag, PLACEHOLDERS) for tag in safehtml.tags(fragment)):
        raise BadInput(
            "A placeholder like {name} can't stand in an address: links and images are the same for everybody."
        )
    content = slots.finish(fragment, visible=safehtml.visible(fragment))
    if not safehtml.visible(content).strip() and "<img" not in content:
        raise BadInput("The bulletin is empty: nothing is left of it that may be mailed.")
    return content
