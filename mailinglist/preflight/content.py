"""What is wrong with what is written: subject, words, images, weight. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from ..bulletins.templates import BUILT_IN
from ..stationery.sentences import Sentence
from ..stationery.sentences import noted as _
from . import pieces
from .findings import Finding, Level, Where
from .matter import Matter, Written
from .pieces import Piece

CLIPPED = 102 * 1024
"""Bytes of HTML of which Gmail shows no more; it hides the rest, and the link to leave by with it."""
HEAVY = 90 * 1024
TOO_HEAVY = 100 * 1024

FEW_WORDS = 20

# Subjects that say nothing, in the languages of bulletins.
_DEFAULT_SUBJECTS = frozenset({
    "untitled", "no subject", "(no subject)", "subject", "news", "newsletter", "bulletin", "test", "invitation",
    "offer", "headline", "nimetön", "ei aihetta", "(ei aihetta)", "aihe", "otsikko", "uutiset", "uutisia", "uutiskirje",
    "tiedote", "testi", "kutsu", "tarjous", "utan ämne", "inget ämne", "(inget ämne)", "ämne", "rubrik", "nyheter",
    "nyhetsbrev", "utskick", "inbjudan", "erbjudande",
})  # fmt: skip

_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
# Of other programs, and braces of ours that mean nothing; a misspelt {nmae} is refused when it is composed.
_PLACEHOLDERS = re.compile(
    r"""
    \{\{[^{}]*\}\} | \{%[^{}]*%\} | \{(?!\s*[^\W\d]\w*\s*[|}])[^{}\n]{1,60}\}
    | \*?\|[A-Z_]{3,60}\|\*? | %%[^%\n]{1,60}%% | %[A-Z][A-Z_]{2,}% | <<[^<>\n]{1,60}>> | \$\{?[A-Z][A-Z_]{2,}\}?
    | \b[Ll]orem\ ipsum\b | \bXXX+\b | \bTODO\b
    """,
    re.X,
)


def check(matter: Matter) -> Iterator[Finding]:
    """Everything about the content, version by version."""
    for language, written in matter.written.items():
        yield from _of_version(matter, language, written)


def in_brackets(text: str) -> list[str]:
    """What stands in brackets, its white space as single spaces."""
    return [inside for each in _BRACKETS.findall(text) if (inside := " ".join(each.split()))]


def _of_version(matter: Matter, language: str, written: Written) -> Iterator[Finding]:
    for place, sentence in written.problems:
        yield _problem(language, place, sentence)
    yield from _subject(matter, language, written)
    yield from _words(language, Where.SUBJECT, (), f"{written.subject}\n{written.preview}")
    for piece in written.pieces:
        where = Where.BLOCK if piece.place else Where.VERSION
        yield from _words(language, where, piece.place, "\n".join((piece.text, *(each.alt for each in piece.images))))
        yield from _links_taken_out(language, where, piece)
        yield from _images(language, where, piece)
    yield from _whole(language, written)


def _problem(language: str, place: tuple[int, ...], sentence: Sentence) -> Finding:
    """What composing refuses, under a name of its own where others look for it."""
    where = Where.BLOCK if place else Where.VERSION
    name, mend = "cannot_be_mailed", _("Mend it there: it can't be mailed as it is.")
    if sentence.words.startswith("A bulletin needs a subject"):
        name, where, mend = "subject_empty", Where.SUBJECT, _("Write what the bulletin is about, in a few words.")
    elif sentence.words.startswith("The address “"):
        name, mend = "link_relative", _("Write the whole address, as it stands in the browser's address line.")
    return Finding(name, Level.ERROR, sentence, Sentence(mend), where, language, place)


def _subject(matter: Matter, language: str, written: Written) -> Iterator[Finding]:
    subject = " ".join(pieces.plain(written.subject).lower().split())
    if subject in _DEFAULT_SUBJECTS or subject in matter.stock_subjects:
        yield Finding(
            "subject_default",
            Level.WARNING,
            Sentence(_("The subject “%(subject)s” says nothing of this bulletin."), {"subject": subject}),
            Sentence(_("Say what is new in it: the subject decides whether it is opened.")),
            Where.SUBJECT,
            language,
        )


def _words(language: str, where: Where, place: tuple[int, ...], text: str) -> Iterator[Finding]:
    left = in_brackets(text)
    if ours := [each for each in left if each in _of_templates()]:
        yield Finding(
            "template_text",
            Level.ERROR,
            Sentence(_("Text of the template is left.")),
            Sentence(_("Write your own text in its place, or remove it.")),
            where, language, place, detail=_bracketed(ours),
        )  # fmt: skip
    if others := [each for each in left if each not in _of_templates()]:
        yield Finding(
            "brackets",
            Level.WARNING,
            Sentence(_("There is text in brackets.")),
            Sentence(_("If it marks a place where something is missing, write it.")),
            where, language, place, detail=_bracketed(others),
        )  # fmt: skip
    if found := _PLACEHOLDERS.search(pieces.plain(text)):
        yield Finding(
            "placeholder_left",
            Level.WARNING,
            Sentence(_("“%(text)s” looks like a place that was to be filled. It would be mailed as it is."),
                     {"text": _short(found[0])}),
            Sentence(_("Write what belongs there. For the recipient's name, use the menu of the editor.")),
            where, language, place,
        )  # fmt: skip
    if pieces.bare_names(text):
        yield Finding(
            "name_without_fallback",
            Level.WARNING,
            Sentence(_("Whoever gave no name gets nothing in the place of {name}.")),
            Sentence(_("Give words for them: {name|dear reader}")),
            where, language, place,
        )  # fmt: skip


def _bracketed(found: list[str]) -> str:
    return _short(" ".join(f"[{each}]" for each in found))


def _links_taken_out(language: str, where: Where, piece: Piece) -> Iterator[Finding]:
    for address in piece.lost:
        yield Finding(
            "link_relative",
            Level.ERROR,
            Sentence(_("The address “%(address)s” leads nowhere from a mail."), {"address": _short(address)}),
            Sentence(_("Write the whole address, as it stands in the browser's address line.")),
            where, language, piece.place,
        )  # fmt: skip


def _images(language: str, where: Where, piece: Piece) -> Iterator[Finding]:
    for image in piece.images:
        if image.alt.strip():
            continue
        if image.linked:
            yield Finding(
                "image_alt_link",
                Level.ERROR,
                Sentence(_("This image is a link without a description: who can't see it "
                           "does not know where it leads.")),
                Sentence(_("Describe where the link leads.")),
                where, language, piece.place,
            )  # fmt: skip
        else:
            yield Finding(
                "image_alt",
                Level.WARNING,
                Sentence(_("This image has no description.")),
                Sentence(_("Say in words what it shows; many mail programs hide images at first. "
                           "Only what is mere decoration needs none.")),
                where, language, piece.place,
            )  # fmt: skip


def _whole(language: str, written: Written) -> Iterator[Finding]:
    if written.mail is None:
        return
    weight = len(written.mail.html.encode())
    values = {"size": round(weight / 1024), "limit": CLIPPED // 1024}
    if weight > HEAVY:
        too_heavy = weight > TOO_HEAVY
        yield Finding(
            "too_heavy" if too_heavy else "heavy",
            Level.ERROR if too_heavy else Level.WARNING,
            Sentence(_("The text weighs %(size)s KB. Gmail cuts off what is beyond %(limit)s KB, "
                       "and with it the link to leave by."), values),
            Sentence(_("Shorten it: put the long parts on a web page, and link to it.")),
            Where.VERSION, language,
        )  # fmt: skip
    if any(sentence.words.startswith("The bulletin is empty") for _place, sentence in written.problems):
        return
    words = sum(piece.words for piece in written.pieces)
    pictured = any(piece.images for piece in written.pieces)
    if not _content(written.mail.text):
        yield Finding(
            "no_text",
            Level.ERROR,
            Sentence(_("The text part is empty: who reads mail as text, or has it read out, gets nothing.")),
            Sentence(_("Write what the bulletin says, and describe its images.")),
            Where.VERSION, language,
        )  # fmt: skip
    if pictured and words == 0:
        yield Finding(
            "image_only",
            Level.ERROR,
            Sentence(_("The bulletin is nothing but images. Many mail programs hide them; spam filters mistrust it.")),
            Sentence(_("Write the message as text, too.")),
            Where.VERSION, language,
        )  # fmt: skip
    elif pictured and words < FEW_WORDS:
        yield Finding(
            "little_text",
            Level.WARNING,
            Sentence(_("There are images, but only a few words: %(words)s"), {"words": words}),
            Sentence(_("Write the message as text, too.")),
            Where.VERSION, language,
        )  # fmt: skip


def _content(text: str) -> str:
    """A text part without its footer."""
    return text.rpartition("---\n")[0].strip()


@cache
def _of_templates() -> frozenset[str]:
    """What stands in brackets in the templates that come with the program: somebody was to write there."""
    return frozenset(
        inside
        for template in BUILT_IN.values()
        for version in template.draft.versions.values()
        for piece in pieces.of_version(version, {})
        for inside in in_brackets(piece.text)
    )


def _short(text: str) -> str:
    whole = " ".join(text.split())
    return whole if len(whole) <= 80 else whole[:79] + "…"
