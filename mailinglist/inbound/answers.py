"""Pure: what a person says in a mail to us, above the quotation or below it, in Finnish, Swedish or English.

The rule for an answer to a confirmation letter: a clear no is a no. A word of assent without any of refusal, doubt or
question is a yes, and so is a reply without a word of one's own: who answers a question, says yes to it. All else is
left to the list's owner: questions, links, what a program may have written, what we can't read, long texts. It is
careful on purpose: to take a doubt for a yes puts somebody on a list; to take a yes for a doubt costs the owner a look.
The words are in `vocabulary`.

Known limits: other languages than the three are left to the owner, nearly always; so is a yes in words that are in no
list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from .reading import Mail
from .vocabulary import (
    ASSENTS,
    ASSENTS_FIRST,
    DISCLAIMERS,
    DISOWNING,
    DOUBTS,
    EVERYTHING,
    FORBIDDING,
    GREETINGS,
    NEGATIONS,
    NO,
    ONLY_BY_MAIL,
    PROGRAMS,
    REFUSALS,
    SWEDISH,
    TAKE_OFF,
    VALEDICTIONS,
    WITH_IT,
    phrases,
    plain,
)

LONGEST = 600
"""Characters. An answer is a sentence or two."""
_LOOKED_AT = 20_000
_LONG_PARAGRAPH = 80
_LONG_VALEDICTION = 80
_LONG_ATTRIBUTION = 600

Forbids = Literal["email", "all"]


class Sense(StrEnum):
    """What an answer says."""

    YES = "yes"
    NO = "no"
    UNCLEAR = "unclear"
    """For a person to read."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a person wrote by themselves."""

    words: str
    """Without quotation and signature."""
    sense: Sense
    """As an answer to "do you want to join?"."""
    forbids: Forbids | None
    """Marketing is forbidden: by mail, or altogether (GDPR 21(2))."""
    disowns: bool
    """They say that they did not ask."""


def said(mail: Mail) -> Said:
    """What the mail says besides what it quotes. Its subject counts, too, unless it is that of a reply, which is ours;
    of that one only a clear no counts."""
    words = own_words(mail.text)
    subject, replies = _subject(mail.header("Subject") or "")
    if _is_name(words, mail) and not _refuses(words):
        words = ""
    text = words if replies else f"{subject}\n{words}"
    bare = plain(text)
    disowns = _DISOWNS.search(bare) is not None
    if _refuses(subject) or _refuses(text) or (disowns and "?" not in text):
        sense = Sense.NO
    else:
        sense = Sense.UNCLEAR if _doubtful(text, bare) or _unreadable(mail, words) else Sense.YES
    return Said(words, sense, _forbidden(bare), disowns)


def _is_name(words: str, mail: Mail) -> bool:
    """Whether they say no more than who they are."""
    name = plain(_ADDRESS.sub(" ", mail.header("From") or "")).split()
    said_so = plain(words).split()
    return bool(said_so) and set(said_so) <= set(name)


def _unreadable(mail: Mail, words: str) -> bool:
    """Whether there may be words that were not found: enciphered, too far below, in letters that we don't read, or
    below a quotation that marks neither its lines nor its end."""
    if len(mail.text) > _LOOKED_AT or _FOREIGN.search(words) or not mail.of_type("text/plain", "text/html"):
        return True
    return not words and any(_refuses(line) for line in mail.text.split("\n") if not line.startswith(">"))


def _doubtful(text: str, bare: str) -> bool:
    """Whether a person should look at it: `bare` is `text` for looking words up."""
    if len(text) > LONGEST or "?" in text or _LINK.search(text) or _DOUBT.search(bare):
        return True
    if _FINNISH_NO.search(bare) and not _SWEDISH.search(bare):
        return True
    return bool(text.strip()) and not _assents(text, bare)


def _assents(text: str, bare: str) -> bool:
    if _ASSENT.search(bare) or _SIGN.search(text):
        return True
    return any(_ASSENT_FIRST.match(plain(sentence)) for sentence in _SENTENCE.split(text))


# ── what is the person's own ──────────────────────────────────────────────────────────────────────────────────────────

_WROTE = re.compile(r"\b(?:wrote|kirjoitti|skrev|schrieb|écrit|escribió|scritto|schreef)\b", re.IGNORECASE)
_DATED = re.compile(r"[\d@]")
_BEGINS_SO = re.compile(
    r"\s*(?:\d|(?:on|den|am|le|el|il|op|ma|ti|ke|to|pe|la|su|mån|tis|ons|tor|fre|lör|sön|mon|tue|wed|thu|fri|sat|sun)\b)",
    re.IGNORECASE,
)
_ORIGINAL = re.compile(
    r"[>\s]*[-_=*]{3,}\s*(?:original|forwarded|begin forwarded|alkuperäinen|välitetty|edelleenlähetetty|ursprungligt"
    r"|vidarebefordrat|ursprüngliche|weitergeleitete)\b",
    re.IGNORECASE,
)
_RULE = re.compile(r"\s*[_\u2500-\u257f=-]{10,}\s*$")
_HEADER_LINE = re.compile(
    r"[>*\s]*(?:from|sent|date|to|cc|subject|lähettäjä|lähetetty|päivämäärä|päiväys|pvm|vastaanottaja|kopio|aihe"
    r"|från|skickat|datum|till|kopia|ämne|von|gesendet|an|betreff)\s*\*?:\*?\s*\S",
    re.IGNORECASE,
)
_SIGNATURE = re.compile(
    r"\s*(?:--$|(?:(?:lähetetty|skickat|skickades|sent|gesendet|envoyé)\s+(?:\S+\s+){0,2}?(?:"
    r"from|via|using|från|fra|von|depuis|laitteesta\S*|iphone\S*|ipad\S*|android\S*|samsung\S*|outlook\S*|yahoo\S*"
    r"|huawei\S*|nokia\S*|puhelimesta\S*|mobiil\S*|mobil\S*|gmail\S*|sähköposti\S*|windows\S*|proton\S*|oneplus\S*|galaxy\S*)"
    r"|(?:get|hanki|hae|hämta|skaffa)\s+outlook)\b)",
    re.IGNORECASE,
)
_VALEDICTION = re.compile(rf"{phrases(VALEDICTIONS)}((?: \S+){{0,5}})")
_POSTSCRIPT = re.compile(r"\s*p\.?\s?s\.?\b", re.IGNORECASE)
_DISCLAIMER = re.compile(phrases(DISCLAIMERS))


def own_words(text: str) -> str:
    """What stands above a quotation, between its lines or below it, without signature."""
    lines = [_Line(line) for line in text[:_LOOKED_AT].split("\n")]
    kept = "\n".join(_unsigned(list(_unquoted(lines))))
    paragraphs = re.split(r"\n\s*\n", kept)
    own = [
        paragraph
        for number, paragraph in enumerate(paragraphs)
        if not (number and len(paragraph) > _LONG_PARAGRAPH and _DISCLAIMER.search(plain(paragraph)))
    ]
    return "\n\n".join(own).strip()


class _Line:
    """A line, and what it may be."""

    __slots__ = ("quoted", "text")

    def __init__(self, text: str) -> None:
        self.text = text.rstrip().replace("\u00a0", " ").replace("\u200b", "").replace("\ufeff", "")
        self.quoted = self.text.lstrip().startswith((">", "|"))


def _unquoted(lines: list[_Line]) -> Iterator[str]:
    """The lines that are not quoted. A quotation that does not mark its lines goes on to the end."""
    skip = 0
    for number, line in enumerate(lines):
        if skip:
            skip -= 1
            continue
        if _ORIGINAL.match(line.text[:200]) or _header_begins(lines, number):
            return
        if line.quoted:
            continue
        if _RULE.match(line.text[:200]) and _header_begins(lines, number + 1):
            return
        if said_by := _attribution(lines, number):
            skip = said_by - 1
            if not _marks_follow(lines, number + said_by):
                return
            continue
        yield line.text


def _attribution(lines: list[_Line], at: int) -> int:
    """How many lines the words "on … somebody wrote:" take here; 0: there are none."""
    if _names_a_writer(lines[at].text):
        return 1
    if not _BEGINS_SO.match(lines[at].text[:20]):  # what stands above may be the person's own
        return 0
    for more in (1, 2):  # long ones are wrapped
        if at + more >= len(lines) or not lines[at + more].text.strip():
            return 0
        if _names_a_writer(" ".join(line.text.strip()[:300] for line in lines[at : at + more + 1])):
            return more + 1
    return 0


def _names_a_writer(line: str) -> bool:
    """With a date or an address, in whatever order, and a colon at the end: so nearly all programs say it."""
    if len(line) > _LONG_ATTRIBUTION or not line.endswith(":"):
        return False
    return _WROTE.search(line) is not None and _DATED.search(line) is not None


def _marks_follow(lines: list[_Line], at: int) -> bool:
    """Whether the quotation marks its lines, so that words may stand below it."""
    following = (line for line in lines[at : at + 4] if line.text.strip())
    return next((line.quoted for line in following), False)


def _header_begins(lines: list[_Line], at: int) -> bool:
    """Whether a quoted mail's From, Sent, To, Subject begin here: the first, and two more of the next five lines."""
    if at >= len(lines) or not _HEADER_LINE.match(lines[at].text[:300]):
        return False
    return sum(1 for line in lines[at : at + 6] if _HEADER_LINE.match(line.text[:300])) >= 3


def _unsigned(lines: list[str]) -> Iterator[str]:
    """Without what stands below a valediction or the mark of a signature, but with a postscript."""
    signed = False
    for line in lines:
        if _POSTSCRIPT.match(line):
            signed = False
        elif _SIGNATURE.match(line[:300]):
            signed = True
        elif not signed and len(line) < _LONG_VALEDICTION and (match := _VALEDICTION.fullmatch(plain(line))):
            yield match[1]  # a name, most likely; if it is a refusal instead, it counts
            signed = True
        if not signed:
            yield line


_ADDRESS = re.compile(r"\S+@\S+")
_REPLY = re.compile(r"\s*(?:re|vs|sv|aw|antw|vast|ref)\s*(?:\[\d+\])?\s*:\s*", re.IGNORECASE)


def _subject(subject: str) -> tuple[str, bool]:
    """A subject without the marks of a reply, and whether it had one: then its words are ours, most likely."""
    bare = subject[:500]
    for _ in range(5):
        match = _REPLY.match(bare)
        if match is None:
            break
        bare = bare[match.end() :]
    return bare.strip(), bare != subject[:500]


# ── what it means ─────────────────────────────────────────────────────────────────────────────────────────────────────


_FOREIGN = re.compile(r"[\u0250-\u1dff\u2c00-\ud7ff\uf900-\ufaff\ufb00-\ufdff\ufe70-\uffee\ufffd]")
"""Letters of other scripts than the Latin one, and what is left of octets that were no text."""
_LINK = re.compile(r"https?://[^\s/]+/[^\s>)]{3,}", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+|;")
_LOOKED_AT_SENTENCES = 4

_GREETED = f"(?:{phrases(GREETINGS)} )?"
_REFUSAL = re.compile(rf"{_GREETED}(?:{phrases(NO)}|(?:{phrases(NO)} )?(?:{phrases(REFUSALS)})(?: .*)?)")
_OFF = re.compile(
    rf"{_GREETED}(?:{phrases(NO)} )?(?:{phrases(WITH_IT)} )*(?:{phrases(TAKE_OFF)})"
    rf"(?: (?:{phrases(WITH_IT, TAKE_OFF)}))*"
)
_DISOWNS = re.compile(phrases(DISOWNING))
_DOUBT = re.compile(phrases(NEGATIONS, DOUBTS, PROGRAMS))
_FINNISH_NO = re.compile(phrases("en"))
_SWEDISH = re.compile(phrases(SWEDISH))
_ASSENT = re.compile(phrases(ASSENTS))
_ASSENT_FIRST = re.compile(rf"{_GREETED}(?:{phrases(ASSENTS_FIRST)})")
_SIGN = re.compile("[\N{THUMBS UP SIGN}\N{OK HAND SIGN}\N{WHITE HEAVY CHECK MARK}]")
_FORBIDS = re.compile(phrases(FORBIDDING))
_EVERYTHING = re.compile(phrases(EVERYTHING))
_BY_MAIL = re.compile(phrases(ONLY_BY_MAIL))


def _refuses(text: str) -> bool:
    """Whether one of the first sentences is a clear no, or asks to be taken off."""
    sentences = [bare for piece in _SENTENCE.split(text[:2000]) if "?" not in piece and (bare := plain(piece))]
    return any(_REFUSAL.fullmatch(each) or _OFF.fullmatch(each) for each in sentences[:_LOOKED_AT_SENTENCES])


def _forbidden(bare: str) -> Forbids | None:
    if not _FORBIDS.search(bare):
        return None
    return "all" if _EVERYTHING.search(_BY_MAIL.sub(" ", bare)) else "email"
