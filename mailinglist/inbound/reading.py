"""Mail as it came, read so far as the letterbox needs it: pure, bounded, and it never raises.

`email.parser` keeps all that comes, and goes as deep as a stranger nests it. Here each step is one pass over the
octets, and what is beyond a bound is not looked at: the first `LOOKED_AT` octets, `MOST_FIELDS` header fields,
`MOST_PARTS` parts, `DEEPEST` levels. Nothing is decompressed, and a mail within a mail is a part like any other, of
which only the header is read. Forms: RFC 5322, 2045–2047, 2231, and what programs write instead of them.
"""

from __future__ import annotations

import binascii
import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import unquote_to_bytes

LOOKED_AT = 4_194_304
"""Octets of a mail that are read."""
MOST_HEADER = 262_144
"""Octets of a header that are read."""
MOST_FIELDS = 400
MOST_VALUE = 8_192
"""Octets of one field's value, unfolded."""
MOST_PARTS = 100
DEEPEST = 10
MOST_DATA = 1_048_576
"""Octets of one part's content that are decoded."""
MOST_TEXT = 262_144
"""Characters of the text of a mail."""
MOST_HTML = 524_288
"""Characters of HTML that are made text."""

_FIELD = re.compile(rb"([!-9;-~]{1,100})[ \t]*:")
_TOKEN = re.compile(r"[^\s;=\"]+")
_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*)\?=")
_BETWEEN_WORDS = re.compile(r"(\?=)\s+(?==\?[^?\s]{1,60}\?[bBqQ]\?)")
_EXTENDED = re.compile(r"([a-z-]{1,40})(?:\*([0-9]{1,3}))?(\*)?", re.IGNORECASE)
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))
_SPACES = re.compile(r"[ \t\r\n\f\v\xa0]+")
_QUOTED = re.compile(r'"[^"]*"(?!@)')
_COMMENT = re.compile(r"\([^()]*\)")
_IN_ANGLES = re.compile(r"<\s*([^<>\s]{1,320})\s*>")
_BARE = re.compile(r"[^\s<>,;:\"()\[\]]{1,256}@[^\s<>,;:\"()]{1,255}")

# A codec's name comes from a stranger: some of Python's take quadratic time (idna, punycode) or are no charsets at all.
_CHARSET = re.compile(
    r"utf-?(?:8|16(?:-?[bl]e)?|32(?:-?[bl]e)?)|us-ascii|ascii|ansi_x3\.4-1968|latin-?1"
    r"|iso[-_]?8859[-_]?[0-9]{1,2}(?:-[ei])?"
    r"|(?:windows|cp|ibm)-?[0-9]{3,4}|koi8-?[rtu]|gb2312|gbk|gb18030|hz-gb-2312|big5(?:-?hkscs)?|euc-?(?:jp|kr|cn)"
    r"|ks_c_5601-1987|shift[-_]?jis|sjis|iso-?2022-?(?:jp(?:-[123]|-ext)?|kr)|mac(?:intosh|roman)|tis-?620"
)
_UNDECLARED = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii", "ansi_x3.4-1968", "unknown-8bit", "8bit", "binary"})
_LATIN = frozenset({"iso-8859-1", "iso8859-1", "iso_8859-1", "latin1", "latin-1"})

_SILENT = ("head", "style", "script", "title")
_BLOCKS = frozenset({
    "address", "article", "blockquote", "br", "center", "dd", "div", "dl", "dt", "footer", "form", "h1", "h2", "h3",
    "h4", "h5", "h6", "header", "hr", "li", "ol", "p", "pre", "section", "table", "tbody", "tr", "ul",
})  # fmt: skip
_ENDLESS = re.compile(
    r"&#x?[0-9a-f]{8,};?", re.IGNORECASE
)  # no character has such a number, and int() refuses thousands of digits
_TAG_BEGINS = re.compile(r"<(?=[a-z/!?])")
_TAG = re.compile(r"/?([a-z][a-z0-9]{0,15})", re.IGNORECASE)


@dataclass(frozen=True)
class Fields:
    """A header: its fields in their order, names as written, values unfolded and decoded (RFC 2047)."""

    fields: tuple[tuple[str, str], ...] = ()

    @cached_property
    def _by_name(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {}
        for name, value in self.fields:
            found.setdefault(name.lower(), []).append(value)
        return {name: tuple(values) for name, values in found.items()}

    def header(self, name: str) -> str | None:
        """The first field of that name, in any case; None: there is none."""
        values = self._by_name.get(name.lower())
        return values[0] if values else None

    def headers(self, name: str) -> tuple[str, ...]:
        """All fields of that name, from the top."""
        return self._by_name.get(name.lower(), ())

    def addresses(self, name: str) -> tuple[str, ...]:
        """The addresses in the fields of that name, as written, without display names or angle brackets."""
        return tuple(address for value in self.headers(name) for address in addresses(value))


@dataclass(frozen=True)
class Part:
    """A part that holds no parts: its type in lower case, its own header, its content."""

    type: str
    parameters: Mapping[str, str]
    """Of its Content-Type, names in lower case."""
    own: Fields
    attached: bool
    """Whether it is marked as an attachment."""
    raw: bytes = field(repr=False)
    """As it came, still encoded; bounded by MOST_DATA."""

    @cached_property
    def data(self) -> bytes:
        """The content, its transfer encoding taken off; what is broken in it is left out."""
        encoding = (self.own.header("Content-Transfer-Encoding") or "").strip().lower()
        if encoding == "base64":
            return _base64(self.raw)
        if encoding == "quoted-printable":
            return binascii.a2b_qp(self.raw)
        return self.raw

    @cached_property
    def text(self) -> str:
        """The content as text, its lines ended by LF; HTML is made text."""
        text = decoded(self.data, self.parameters.get("charset", ""))
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")
        return from_html(text[:MOST_HTML]) if self.type == "text/html" else text[:MOST_TEXT]


@dataclass(frozen=True)
class Mail(Fields):
    """A mail: its header, and the parts that hold no parts, in their order."""

    type: str = "text/plain"
    """Its Content-Type, in lower case."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()

    @cached_property
    def text(self) -> str:
        """What a person reads: the parts in plain text that are no attachment, else those in HTML, made text; bounded
        by MOST_TEXT. In text made from HTML, lines of a quotation begin with `> `."""
        for wanted in ("text/plain", "text/html"):
            texts = [part.text for part in self.parts if part.type == wanted and not part.attached]
            if text := "\n".join(texts).strip():
                return text[:MOST_TEXT]
        return ""

    @cached_property
    def embedded(self) -> Fields | None:
        """The header of the first mail, or header of a mail, that is a part of this one; None: there is none."""
        for part in self.parts:
            if part.type in _EMBEDDED:
                fields, _ = _header(_lines(part.data), 0)
                if fields.fields:
                    return fields
        return None

    def of_type(self, *types: str) -> tuple[Part, ...]:
        """The parts of one of these types."""
        return tuple(part for part in self.parts if part.type in types)


_EMBEDDED = frozenset({
    "message/rfc822", "message/global", "text/rfc822-headers", "text/rfc822-header", "message/rfc822-headers",
    "message/global-headers",
})  # fmt: skip


def read(raw: bytes) -> Mail:
    """The mail that these octets are, with any line ends. Never raises: what can't be understood is not there."""
    octets = _lines(raw[:LOOKED_AT])
    start = 0
    if octets.startswith((b"From ", b">From ")):  # the line between mails of a mailbox file
        start = octets.find(b"\n") + 1
    fields, body = _header(octets, start)
    kind, parameters = content_type(fields.header("Content-Type"))
    parts: list[Part] = []
    _take_apart(octets, body, len(octets), kind, parameters, fields, parts, 0)
    return Mail(fields.fields, kind, parameters, tuple(parts))


def fields_of(text: str) -> Fields:
    """The header at the beginning of a text: of a report's groups of fields, or of a mail that was copied into it."""
    return _header(text.encode("utf-8", "replace"), 0)[0]


def _lines(octets: bytes) -> bytes:
    return octets.replace(b"\r\n", b"\n")


def _header(octets: bytes, start: int) -> tuple[Fields, int]:
    """The header that begins at `start`, and where the body begins."""
    if octets.startswith(b"\n", start):
        return Fields(), start + 1
    end = octets.find(b"\n\n", start)
    body = len(octets) if end < 0 else end + 2
    end = len(octets) if end < 0 else end
    fields: list[tuple[str, str]] = []
    name, value, room = "", [], 0
    for line in octets[start : min(end, start + MOST_HEADER)].split(b"\n"):
        if line[:1] in (b" ", b"\t") and name:
            if room > 0:
                value.append(line[:room])
                room -= len(line)
            continue
        if name:
            fields.append((name, _value(value)))
            name = ""
        if len(fields) >= MOST_FIELDS:
            break
        if match := _FIELD.match(line):
            name = match[1].decode("ascii")
            value, room = [line[match.end() :][:MOST_VALUE]], MOST_VALUE - len(line)
    if name and len(fields) < MOST_FIELDS:
        fields.append((name, _value(value)))
    return Fields(tuple(fields)), body


def _value(lines: list[bytes]) -> str:
    octets = b" ".join(lines)[:MOST_VALUE]
    text = octets.decode("ascii") if octets.isascii() else decoded(octets, "")
    return " ".join(_words(text).replace("\x00", "").split())


def _words(text: str) -> str:
    """Encoded words (RFC 2047) as what they say; white space between two of them is none (§6.2)."""
    return _WORD.sub(_word, _BETWEEN_WORDS.sub(r"\1", text)) if "=?" in text else text


def _word(match: re.Match[str]) -> str:
    charset = match[1].partition("*")[0]  # RFC 2231 §5: a language may follow
    octets = match[3].encode("utf-8", "replace")
    octets = _base64(octets) if match[2] in "bB" else binascii.a2b_qp(octets, header=True)
    return decoded(octets, charset)


def decoded(octets: bytes, charset: str) -> str:
    """Octets as text, by the charset that is said; where none is said, or a wrong one, UTF-8, else windows-1252."""
    name = charset.strip().strip("'\"").lower()
    if name not in _UNDECLARED and _CHARSET.fullmatch(name):
        try:
            return octets.decode("windows-1252" if name in _LATIN else _python_name(name), "replace")
        except (LookupError, ValueError):
            pass
    try:
        return octets.decode()
    except UnicodeDecodeError as error:
        cut_off = error.reason == "unexpected end of data" and not octets[: error.start].isascii()
        return octets.decode("utf-8" if cut_off else "windows-1252", "replace")


def _python_name(name: str) -> str:
    if name.startswith("windows-"):
        return "cp" + name.removeprefix("windows-")
    return {"ks_c_5601-1987": "cp949", "iso-8859-8-i": "iso-8859-8", "iso-8859-8-e": "iso-8859-8"}.get(name, name)


def _base64(octets: bytes) -> bytes:
    clean = octets.translate(None, _NOT_BASE64)
    clean = clean[: end if (end := clean.find(b"=")) >= 0 else len(clean)]
    clean = clean[: len(clean) - 1] if len(clean) % 4 == 1 else clean  # one character alone holds no octet
    return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))


def content_type(value: str | None) -> tuple[str, dict[str, str]]:
    """A Content-Type's type and its parameters (RFC 2045 §5.1, 2231); what can't be one is text/plain."""
    kind, _, rest = (value or "text/plain").partition(";")
    kind = kind.strip().lower()
    if not re.fullmatch(r"[a-z0-9.+-]{1,60}/[a-z0-9.+_-]{1,100}", kind):
        kind = "multipart/mixed" if kind.startswith("multipart") else "text/plain"
    return kind, _parameters(rest)


def _parameters(rest: str) -> dict[str, str]:
    found: dict[str, str] = {}
    pieces: dict[str, list[tuple[int, bool, str]]] = {}
    for name, value in _pairs(rest):
        match = _EXTENDED.fullmatch(name)
        if match is None or not (match[2] or match[3]):
            found.setdefault(name.lower(), value)
        else:
            pieces.setdefault(match[1].lower(), []).append((int(match[2] or 0), bool(match[3]), value))
    for name, parts in pieces.items():
        found.setdefault(name, _joined(sorted(parts)))
    return found


def _pairs(rest: str) -> Iterator[tuple[str, str]]:
    at, size = 0, len(rest)
    while at < size:
        match = _TOKEN.match(rest, at)
        if match is None:
            at += 1
            continue
        at = match.end()
        while at < size and rest[at] in " \t":
            at += 1
        if at >= size or rest[at] != "=":
            continue
        at += 1
        while at < size and rest[at] in " \t":
            at += 1
        if at < size and rest[at] == '"':
            value, at = _quoted(rest, at + 1)
        else:
            end = rest.find(";", at)
            end = size if end < 0 else end
            value, at = rest[at:end].strip(), end
        yield match[0], value


def _quoted(text: str, at: int) -> tuple[str, int]:
    """A quoted string from after its first mark: what it says, and where it ends."""
    characters = []
    while at < len(text) and text[at] != '"':
        if text[at] == "\\" and at + 1 < len(text):
            at += 1
        characters.append(text[at])
        at += 1
    return "".join(characters), at + 1


def _joined(parts: list[tuple[int, bool, str]]) -> str:
    charset, octets = "", b""
    for number, encoded, value in parts:
        text = value
        if encoded and number == 0 and value.count("'") >= 2:
            charset, _, text = value.split("'", 2)
        octets += unquote_to_bytes(text) if encoded else text.encode("utf-8", "replace")
    return decoded(octets, charset)


def _take_apart(
    octets: bytes, start: int, end: int, kind: str, parameters: Mapping[str, str], own: Fields, parts: list[Part],
    depth: int,
) -> None:  # fmt: skip
    """Put the parts of `octets[start:end]` that hold no parts into `parts`."""
    boundary = parameters.get("boundary", "")
    if kind.startswith("multipart/") and boundary and depth < DEEPEST:
        inner = "message/rfc822" if kind == "multipart/digest" else "text/plain"
        taken = False
        for first, last in _between(octets, start, end, boundary):
            if len(parts) >= MOST_PARTS:
                return
            taken = True
            fields, body = _header(octets[first : min(last, first + MOST_HEADER + 2)], 0)
            said, its = content_type(fields.header("Content-Type") or inner)
            _take_apart(octets, min(first + body, last), last, said, its, fields, parts, depth + 1)
        if taken:
            return
    if len(parts) < MOST_PARTS:
        disposition = (own.header("Content-Disposition") or "").strip().lower()
        if kind.startswith("multipart/"):  # without a boundary, or beyond the deepest level
            kind = "text/plain" if depth < DEEPEST else "application/octet-stream"
        raw = octets[start : min(end, start + MOST_DATA)]
        parts.append(Part(kind, parameters, own, disposition.startswith("attachment"), raw))


def _between(octets: bytes, start: int, end: int, boundary: str) -> Iterator[tuple[int, int]]:
    """Where the parts between the lines of a boundary begin and end (RFC 2046 §5.1.1); the last may lack its end."""
    mark = b"\n--" + boundary.encode("utf-8", "replace")[:200].rstrip()
    line = re.compile(re.escape(mark) + rb"(--)?[ \t]*(?=\n|\Z)")
    first = -1
    for match in line.finditer(octets, start - 1, end):  # what comes before a body ends in a line break
        if first >= 0:
            yield first, max(first, match.start())
        if match[1]:
            return
        first = min(match.end() + 1, end)
    if first >= 0:
        yield first, end


def addresses(value: str) -> list[str]:
    """The addresses in the value of a field such as To, as written. Takes what RFC 5322 §3.4 allows, and what programs
    write instead; no more is checked than that there is an @ inside."""
    plain = _COMMENT.sub(" ", _QUOTED.sub(" ", value[:MOST_VALUE]))
    found = [match for match in _IN_ANGLES.findall(plain) if "@" in match.strip("@")]
    return found or [match.strip("'.") for match in _BARE.findall(plain)]


def from_html(source: str) -> str:
    """The text that HTML shows, in one pass: blocks on lines of their own, lines of a quotation after `> `."""
    source = source.replace("İ", "I")  # the one letter that grows in lower case
    lower = source.lower()
    pieces: list[str] = []
    quoted = at = 0
    while at < len(source):
        found = _TAG_BEGINS.search(lower, at)
        mark = found.start() if found else len(source)
        pieces.append(_SPACES.sub(" ", source[at:mark]))
        if mark == len(source):
            break
        if lower.startswith("<!--", mark):
            end = lower.find("-->", mark + 4)
            at = len(source) if end < 0 else end + 3
            continue
        tag = _TAG.match(lower, mark + 1)
        end = lower.find(">", mark)
        at = len(source) if end < 0 else end + 1
        name = tag[1] if tag else ""
        closing = tag is not None and lower[mark + 1] == "/"
        if name in _SILENT and not closing:
            end = lower.find(f"</{name}", at)
            at = len(source) if end < 0 else end
        elif name in _BLOCKS:
            if name == "blockquote":
                quoted = max(0, quoted - 1) if closing else min(quoted + 1, DEEPEST)
            pieces.append("\n" + "> " * quoted)
        elif name in ("td", "th"):
            pieces.append(" ")
    text = html.unescape(_ENDLESS.sub("", "".join(pieces))).replace("\xa0", " ")
    lines = (line.strip() for line in text.split("\n"))
    return "\n".join(line for line in lines if line.strip("> "))
