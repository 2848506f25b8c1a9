"""SMTP replies (RFC 5321 §4.2): octets in, whole replies out. Pure.

Takes what servers do send: any splitting of the octets, several replies at once, a code without text (§4.2, "MUST"), a
bare LF for CRLF, text in any encoding. What can't be a reply is not guessed at: `ReplyReader.fault` says so, and the
connection is of no more use, because replies are matched to commands by their count (RFC 2920 §3.1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

MOST_TEXT = 500
"""Characters kept of a reply's text."""
_MOST_OCTETS = 4096  # of one line; RFC 5321 §4.5.3.1.5 says 512, servers say more
_MOST_LINES = 256

_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])([^\r\n]*))?\r?", re.DOTALL)
_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:\s+|$)")  # RFC 2034 §4
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]+")


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply. `enhanced` is the status code of RFC 2034; `lines` is the text by line, without either code."""

    code: int
    enhanced: str | None
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The text on one line, at most MOST_TEXT characters."""
        return one_line(" ".join(self.lines))

    def __str__(self) -> str:
        return f"{self.code} {self.text}".rstrip()


def one_line(text: str) -> str:
    """`text` without control characters or line ends, at most MOST_TEXT characters."""
    return _CONTROL.sub(" ", text).strip()[:MOST_TEXT]


class ReplyReader:
    """Cuts a stream of octets into replies."""

    __slots__ = ("_lines", "_rest", "fault")

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[bytes] = []
        self.fault: str | None = None
        """Why what came can't be a reply; None while all is well. The replies before it are good."""

    @property
    def midway(self) -> bool:
        """Whether octets were taken that no whole reply has used."""
        return bool(self._rest or self._lines)

    def feed(self, data: bytes) -> list[Reply]:
        """Take octets as they came; the replies that are whole with them, in order. Nothing more after a fault."""
        if self.fault is not None:
            return []
        lines = (self._rest + data).split(b"\n") if self._rest else data.split(b"\n")
        self._rest = lines.pop()
        replies: list[Reply] = []
        try:
            for line in lines:
                if self._lines or line[3:4] == b"-":
                    self._collect(line, replies)
                else:
                    replies.append(_single(line))
        except ValueError as error:
            self.fault = str(error)
        if len(self._rest) > _MOST_OCTETS:
            self.fault = "a line without an end"
        return replies

    def _collect(self, line: bytes, replies: list[Reply]) -> None:
        """One line of a multi-line reply: every line has the same code, only the last has no hyphen (§4.2.1)."""
        _, hyphen, _ = _parts(line)
        self._lines.append(line)
        if line[:3] != self._lines[0][:3]:
            raise ValueError("the code changes within a reply")
        if len(self._lines) > _MOST_LINES:
            raise ValueError("a reply without an end")
        if not hyphen:
            replies.append(_reply(self._lines))
            self._lines = []


# A server says the same three sentences for MAIL, RCPT and DATA each time: they are taken apart once.
@lru_cache(maxsize=64)
def _single(line: bytes) -> Reply:
    return _reply([line])


def _parts(line: bytes) -> tuple[int, bool, bytes]:
    """Code, whether more lines follow, text. Raises ValueError."""
    match = _LINE.fullmatch(line)
    if match is None or len(line) > _MOST_OCTETS:
        raise ValueError("no reply code, or no line of text")
    return int(match[1]), match[2] == b"-", match[3] or b""


def _reply(lines: list[bytes]) -> Reply:
    code = _parts(lines[0])[0]
    texts = [_parts(line)[2].decode("utf-8", "replace") for line in lines]
    match = _ENHANCED.match(texts[0])
    enhanced = match[1] if match and match[1][0] == str(code)[0] else None
    if enhanced:
        texts = [text.removeprefix(enhanced).lstrip() for text in texts]
    return Reply(code, enhanced, tuple(texts))
