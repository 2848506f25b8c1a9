"""Quoted-printable that is ready for SMTP as it stands (RFC 2045 §6.7).

Every run of text is encoded from column 0 to column 0: what doesn't end its line ends in a soft break. So runs that
were encoded apart, and at different times, join by concatenation, no line exceeds 76, and no run needs to know its
neighbours. At the beginning of a line a dot is written =2E, so nothing is left to stuff (RFC 5321 §4.5.2), and the F
of "From " =46, which some relays would alter (RFC 2049 §3) and so break a DKIM signature. A character's octets stay
on one line. Pure.
"""

from __future__ import annotations

import re

from ..errors import BadInput
from ..stationery.slots import END, START

WIDTH = 75
"""Columns of a line, before the `=` of a soft break."""
SOFT_BREAK = "=\r\n"

_KEPT_CODES = 4096
_LINE_BREAK = re.compile(r"\r\n?")
_GUARDED = ".F"
_TWO_LINES = re.compile(f"[^={_GUARDED}][^=]{{{WIDTH - 1}}}[^={_GUARDED}][^=]{{0,{WIDTH - 1}}}")
_CONTINUATION = ("=8", "=9", "=A", "=B")


class Octets(dict[int, str]):
    """A table for str.translate: each character as its =XX octets, but for those given otherwise.

    Grows with the characters met, within a bound. Raises BadInput for a lone surrogate, which UTF-8 can't write.
    """

    def __missing__(self, code: int) -> str:
        try:
            octets = chr(code).encode()
        except UnicodeEncodeError:
            raise BadInput("the text holds half a character, which can't be written in UTF-8") from None
        written = "".join(f"={octet:02X}" for octet in octets)
        if len(self) < _KEPT_CODES:
            self[code] = written
        return written


_AS_IS = {code: chr(code) for code in (0x09, *range(0x20, 0x7F)) if chr(code) != "="}
# A value is one line: what breaks lines, and what has no business in a text, becomes a space; slot marks vanish, so
# that no value looks like an unfilled slot.
_CONTROLS = (*range(0x09), *range(0x0A, 0x20), 0x7F, 0x85, 0x2028, 0x2029)
_NEUTRAL = dict.fromkeys(_CONTROLS, " ") | {ord(START): "", ord(END): ""}
_ESCAPED = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord('"'): "&quot;", ord("'"): "&#39;"}

_LITERAL = Octets(_AS_IS)
IN_TEXT = Octets(_AS_IS | _NEUTRAL)
"""For a value that stands in plain text."""
IN_HTML = Octets(_AS_IS | _NEUTRAL | _ESCAPED)
"""For a value that stands in HTML, between tags or in a quoted attribute."""


def one_newline(text: str) -> str:
    """`text` with CRLF and lone CR as LF: what is a line break to a person becomes one in the mail."""
    return _LINE_BREAK.sub("\n", text)


def literal(text: str) -> bytes:
    """A fixed stretch of text, encoded with its line breaks (LF), from column 0 to column 0. Raises BadInput."""
    *lines, last = text.split("\n")
    return "".join([_hard_line(line) for line in lines]).encode() + value(last.translate(_LITERAL))


def _hard_line(line: str) -> str:
    encoded = line.translate(_LITERAL)
    if encoded.endswith((" ", "\t")):  # §6.7 (3): white space at the end of a line is lost on the way
        encoded = f"{encoded[:-1]}={ord(encoded[-1]):02X}"
    return SOFT_BREAK.join(_lines(encoded)) + "\r\n"


def value(encoded: str) -> bytes:
    """What IN_TEXT or IN_HTML made of a value, from column 0 to column 0."""
    if len(encoded) <= WIDTH and encoded[:1] not in _GUARDED:  # the empty string is in every string
        return (encoded + SOFT_BREAK).encode()
    if _TWO_LINES.fullmatch(encoded):  # a long link
        return (encoded[:WIDTH] + SOFT_BREAK + encoded[WIDTH:] + SOFT_BREAK).encode()
    return "".join([line + SOFT_BREAK for line in _lines(encoded)]).encode()


def _lines(encoded: str) -> list[str]:
    lines = []
    start, size = 0, len(encoded)
    while start < size:
        head = "=2E" if encoded[start] == "." else "=46" if encoded.startswith("From ", start) else encoded[start]
        end = cut(encoded, start + WIDTH + 1 - len(head))
        lines.append(head + encoded[start + 1 : end])
        start = end
    return lines


def cut(encoded: str, end: int) -> int:
    """The last place at or before `end` where `encoded` can be cut without parting the octets of a character."""
    if end >= len(encoded):
        return len(encoded)
    if encoded[end - 1] == "=":
        end -= 1
    elif encoded[end - 2] == "=":
        end -= 2
    while encoded.startswith(_CONTINUATION, end):
        end -= 3
    return end
