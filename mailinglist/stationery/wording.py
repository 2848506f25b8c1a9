"""Our own sentences: one Markdown file per text and language, in templates/mail/fi, sv and en.

A file is a line `Subject: …` (texts that are a whole mail), a blank line, and Markdown. `{word}` is a place that is
filled: now, by what `filled` is given, or per recipient, as a slot. Whoever translates needs to know no more than that.

A list may have a text in words of its own (`set_in_type`): Markdown without HTML and images, which is data to the last
sign. It may only name the places that it is offered, and must keep those that the law or the reader needs.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from html import escape

from markdown_it import MarkdownIt

from ..places import TEMPLATES
from . import safehtml, slots
from .sentences import SaidBadInput
from .sentences import noted as _

_BRACES = re.compile(r"\{([a-z_]+)\}")
_LINK = re.compile(r'<a href="([^"]*)"[^>]*>(.*?)</a>', re.S)
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Wording:
    """A text of ours: its subject line (empty for a footer) and its body, a safe fragment."""

    subject: str
    body: str


@dataclass(frozen=True, slots=True)
class Places:
    """The places that a text has: what may be named in braces, and what has to be."""

    words: frozenset[str]
    """Stand in the text."""
    links: frozenset[str]
    """Are where a link leads: `[words]({confirm_url})`."""
    needed: frozenset[str]
    """Of both: may not be left out."""


def filled(name: str, language: str, values: Mapping[str, str], own: Wording | None = None) -> Wording:
    """The text `name` in `language`, with `values` where their names stand; the other places stay slots.

    `own` is the text in other words, from `set_in_type`.
    """
    wording = own or _read(name, language)
    plain = {key: slots.without_marks(value) for key, value in values.items()}
    markup = {key: escape(value, quote=True).replace("\n", "<br>") for key, value in plain.items()}
    return Wording(subject=" ".join(_fill(wording.subject, plain).split()), body=_fill(wording.body, markup))


def source_of(name: str, language: str) -> tuple[str, str]:
    """Our own text as it is written: subject, and Markdown with places in braces. What others begin from."""
    source = (TEMPLATES / "mail" / language / f"{name}.md").read_text(encoding="utf-8")
    head, _blank, body = source.partition("\n\n")
    return head.removeprefix("Subject: ").strip(), body.strip()


def set_in_type(subject: str, body: str, places: Places) -> Wording:
    """A text in words of somebody's own. Raises BadInput, in words, for what it may not hold or leave out."""
    if slots.has_marks(subject + body) or _odd(subject) or _odd(body.replace("\n", "")):
        raise SaidBadInput(_("There are characters in the text that can't be mailed."))
    if not subject.strip():
        raise SaidBadInput(_("A subject is needed."))
    title = slots.finish(_marked(subject, {"list"}), visible=subject.replace("{list}", ""))
    known = places.words | places.links
    fragment = safehtml.sanitised(_parser().render(_marked(body, known)))
    made = slots.finish(fragment, visible=safehtml.visible(fragment))
    _assert_places(made, places)
    return Wording(" ".join(title.split()), made)


def _marked(text: str, known: Collection[str]) -> str:
    """`text` with slots for its places; here they take no fallback, since each is always filled."""

    def bare(match: re.Match[str]) -> str:
        if match[2]:
            raise SaidBadInput(_("{%(name)s} is always filled in: it takes no other words."), name=match[1])
        return slots.slot(match[1])

    return slots.SLOT.sub(bare, slots.mark(text, known))


def _assert_places(fragment: str, places: Places) -> None:
    led_to: set[str] = set()
    for address, inside in _LINK.findall(fragment):
        whole = slots.SLOT.fullmatch(address)
        if whole and whole[1] in places.links:
            if safehtml.visible(inside).strip():
                led_to.add(whole[1])
        elif slots.has_marks(address):
            # Else the secret of a link could be sent to another site.
            raise SaidBadInput(_("A place in braces can't be a part of a link's address."))
    shown = slots.names(safehtml.visible(fragment))
    for name in sorted(shown & places.links):
        raise SaidBadInput(_("{%(name)s} is where a link leads: write it as [words]({%(name)s})."), name=name)
    for name in sorted(places.needed - led_to - shown):
        if name in places.links:
            raise SaidBadInput(
                _("The link [words]({%(name)s}) can't be left out: the letter is for it, or the law asks for it."),
                name=name,
            )
        raise SaidBadInput(_("{%(name)s} can't be left out: the law asks for it."), name=name)


def _odd(text: str) -> bool:
    return bool(_UNPRINTABLE.intersection(map(unicodedata.category, text)))


def _fill(text: str, values: Mapping[str, str]) -> str:
    return slots.SLOT.sub(lambda match: values.get(match[1], match[0]), text)


@cache
def _parser() -> MarkdownIt:
    # No HTML and no images: a letter's words are words. No code: it would hide what stands in it from the checks.
    parser = MarkdownIt("commonmark", {"html": False}).disable(["image", "code", "fence", "backticks"])
    normalised = parser.normalizeLink
    # A slot as an address stays as it is; percent-encoded it would no longer be one.
    parser.normalizeLink = lambda url: url if slots.has_marks(url) else normalised(url)  # type: ignore[method-assign]
    return parser


@cache
def _read(name: str, language: str) -> Wording:
    source = (TEMPLATES / "mail" / language / f"{name}.md").read_text(encoding="utf-8")
    marked = _BRACES.sub(lambda match: slots.slot(match[1]), source)
    head, _blank, body = marked.partition("\n\n") if marked.startswith("Subject: ") else ("", "", marked)
    return Wording(subject=head.removeprefix("Subject: ").strip(), body=safehtml.from_markdown(body))
