"""Header fields as bytes: mailboxes, words beyond ASCII, dates, folding (RFC 5322, RFC 2047).

Every value written here holds single spaces only, and CRLF only before one of them. Its `relaxed` form (RFC 6376
§3.4.2) is then the value with the CRLFs taken out: that is what lets delivery/dkim.py sign without a canonicalisation
pass. Pure.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from datetime import datetime
from functools import lru_cache

from ..errors import BadInput
from ..stationery.slots import END, START
from .quoted import Octets, cut

LINE = 78
"""Where lines are folded if they can be (RFC 5322 §2.1.1)."""
LONGEST = 998
"""What no line may exceed, CRLF not counted (RFC 5322 §2.1.1)."""
FOLD = "\r\n "

_WORD = 75  # RFC 2047 §2
_Q, _B, _END = "=?utf-8?q?", "=?utf-8?b?", "?="
_FRAME = len(_Q) + len(_END)

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_BREAK = re.compile(r"[\r\n\0]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029" + START + END + "]")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9'-]+(?: [A-Za-z0-9'-]+)*")
_SPECIAL = re.compile(r'["\\]')
_PLAIN_MAILBOX = re.compile(_PLAIN_NAME.pattern + r" <[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9.-]{1,253}>")
_PLAIN_LINE = re.compile(r"[!-~]+(?: [!-~]+)*")
# The characters of a dot-atom (RFC 5322 §3.2.3, RFC 6532 §3.2) and a domain in ASCII: no quoted local part, no
# address literal.
_ADDRESS = re.compile(
    r"[^\s\x00-\x1f\x7f-\x9f()<>\[\]:;@\\,\"\ud800-\udfff" + START + END + r"]{1,64}@[A-Za-z0-9.-]{1,253}"
)
_MESSAGE_ID = re.compile(r"<[A-Za-z0-9!#$%&'*+./=?^_`{|}~-]{1,200}@[A-Za-z0-9.-]{1,253}>")

# RFC 2047 §5 (3): what an encoded word may hold literally wherever it stands, in a name too.
_Q_TABLE = Octets({code: chr(code) for code in range(128) if chr(code).isalnum() or chr(code) in "!*+-/"} | {0x20: "_"})


def clean(value: str) -> str:
    """`value`, fit for a header: other controls become spaces, slot marks too. Raises BadInput for CR, LF or NUL
    (ASVS: no header injection), which nobody types into a name by accident."""
    if not _CONTROL.search(value):
        return value
    refuse_breaks(value)
    return _CONTROL.sub(" ", value)


def refuse_breaks(value: str) -> None:
    """Raises BadInput for CR, LF or NUL."""
    if _BREAK.search(value):
        raise BadInput("a line break or NUL can't stand in a header")


def unstructured(text: str, column: int) -> bytes:
    """`text` as an unstructured value that begins at `column`, folded; in encoded words where ASCII as it stands
    wouldn't come out the same. Raises BadInput."""
    if _PLAIN_LINE.fullmatch(text) and "=?" not in text:
        words = text.split(" ")
        if fits(words, column):
            return folded(words, column).encode()
    text = clean(text)
    return encoded_words(text, column).encode() if text else b""


def fits(words: list[str], column: int) -> bool:
    """True where `words` can be folded to lines of at most 78, the first beginning at `column`."""
    return column + len(words[0]) <= LINE and max(map(len, words)) < LINE


def folded(words: list[str], column: int) -> str:
    """ASCII words as a value that begins at `column`, a space between each two, folded there so that lines stay
    within 78 if words do."""
    lines, line = [], words[0]
    for word in words[1:]:
        if column + len(line) + 1 + len(word) > LINE:
            lines.append(line)
            column, line = 1, word
        else:
            line += " " + word
    return FOLD.join([*lines, line])


def encoded_words(text: str, column: int) -> str:
    """`text` in encoded words of at most 75 characters, each of whole characters (RFC 2047 §2, §5), in Q or B,
    whichever is shorter. Raises BadInput for a lone surrogate."""
    quoted = text.translate(_Q_TABLE)
    octets = text.encode()  # can't fail: the table has just refused what UTF-8 can't write
    room = min(_WORD, LINE - column) - _FRAME
    if len(quoted) <= (len(octets) + 2) // 3 * 4:
        if len(quoted) <= room:
            return _Q + quoted + _END
        return FOLD.join([_Q + part + _END for part in _q_parts(quoted, room)])
    return FOLD.join([_B + part + _END for part in _b_parts(octets, room)])


def _q_parts(quoted: str, room: int) -> list[str]:
    parts, start = [], 0
    while start < len(quoted):
        end = cut(quoted, start + room)
        parts.append(quoted[start:end])
        start, room = end, _WORD - _FRAME
    return parts


def _b_parts(octets: bytes, room: int) -> list[str]:
    parts, start = [], 0
    while start < len(octets):
        end = start + room // 4 * 3
        while end < len(octets) and octets[end] & 0xC0 == 0x80:
            end -= 1
        parts.append(b2a_base64(octets[start:end], newline=False).decode())
        start, room = end, _WORD - _FRAME
    return parts


def mailbox(name: str | None, address: str, column: int) -> bytes:
    """`name <address>`, or the bare address, as a value that begins at `column`.

    `address` goes as it is: UTF-8 where its local part needs it (RFC 6532), which only an SMTPUTF8 server takes. Raises
    BadInput for what is no address, or could end the header.
    """
    if name:
        plain = f"{name} <{address}>"
        if column + len(plain) <= LINE and _PLAIN_MAILBOX.fullmatch(plain):
            return plain.encode()
    if not _ADDRESS.fullmatch(address):
        raise BadInput("the address can't stand in a header")
    written = phrase(name, column) if name else ""
    if not written:
        return address.encode()
    before, _, last_line = written.rpartition("\r\n")
    used = len(last_line) + (0 if before else column)
    gap = " <" if used + len(address) + 3 <= LINE else FOLD + "<"
    return (written + gap + address + ">").encode()


def phrase(name: str, column: int) -> str:
    """A display name (RFC 5322 `phrase`): as it stands, quoted, or in encoded words; white space as single spaces.
    Raises BadInput."""
    name = " ".join(clean(name).split())
    if not name:
        return ""
    if name.isascii() and "=?" not in name:
        plain = _PLAIN_NAME.fullmatch(name) is not None
        words = (name if plain else '"' + _SPECIAL.sub(r"\\\g<0>", name) + '"').split(" ")
        if fits(words, column):
            return folded(words, column)
    return encoded_words(name, column)


def message_id(value: str) -> bytes:
    """A Message-ID with its angle brackets. Raises BadInput."""
    if not _MESSAGE_ID.fullmatch(value):
        raise BadInput("the Message-ID is malformed")
    return value.encode()


@lru_cache(maxsize=16)
def date(moment: datetime) -> bytes:
    """`moment` as RFC 5322 §3.3 writes it. Raises BadInput without a time zone. Cached: a group of messages shares
    its moment."""
    offset = moment.strftime("%z")
    if not offset:
        raise BadInput("the date has no time zone")
    day, month = _DAYS[moment.weekday()], _MONTHS[moment.month - 1]
    return f"{day}, {moment.day:02} {month} {moment.year:04} {moment:%H:%M:%S} {offset[:5]}".encode()
