"""Pure: a file of people (CSV in UTF-8), as bytes, into entries and named refusals.

Size, encoding and columns are checked first, and a fault there refuses the file. After that a line stands for itself,
and one that is not taken is refused, with its number and the reason (REQUIREMENTS 5). What belongs to other registers,
such as passwords or cards, is refused by its column (T5.1, T5.4), before a single cell is looked at.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..errors import BadAddress, BadInput
from . import address
from .address import Address

MAX_BYTES = 64 * 2**20
MAX_LINES = 500_000
"""The lines are sorted in memory: about 300 MB at this size."""
MAX_TEXT = 200
"""Characters of a name or a sale reference."""

COLUMNS = ("email", "name", "language", "sale_reference")
IGNORE = "ignore"
"""What a column may be said to mean besides: nothing of it is taken."""
MEANINGS = (*COLUMNS, IGNORE)
_ALIASES = {"e_mail": "email"}
# What else a heading may well mean; a member of staff sees the guess, and may choose otherwise.
_GUESSES = {
    "email": ("email_address", "mail", "sähköposti", "sähköpostiosoite", "epost", "e_post", "e_postadress"),
    "name": ("nimi", "namn", "full_name"),
    "language": ("kieli", "språk", "lang"),
    "sale_reference": ("order", "order_number", "tilaus", "tilausnumero", "ordernummer"),
}
_SAMPLES = 3

_FOREIGN = (
    (
        re.compile(r"pass(word|wd|code|phrase)|^pwd$|salasana|lösenord|losenord"),
        "holds passwords: those of the web shop stay in the web shop",
    ),
    (
        re.compile(r"credit|card|luotto|kortti|kredit|kort(nummer)?$|^iban$|^cv[cv]2?$|account_n|tilinumero"),
        "belongs to billing: cards, credit and accounts are no business of a mailing list",
    ),
    (
        re.compile(r"^hetu$|^ssn$|henkil[öo]tunnus|social_sec|personal_id|person_?nummer|personbeteck|birth|syntym"),
        "identifies persons in a way that a mailing list has no need of",
    ),
)

# How people and other programs name the three languages, in each of them; a locale (fi-FI, sv_FI.UTF-8) as well. Not
# "se": that is Northern Sami.
_LANGUAGES = {
    "fi": ("fi", "fin", "suomi", "suomeksi", "finska", "finnish"),
    "sv": ("sv", "swe", "ruotsi", "ruotsiksi", "svenska", "swedish"),
    "en": ("en", "eng", "englanti", "englanniksi", "engelska", "english"),
}
_LANGUAGE_OF = {name: code for code, names in _LANGUAGES.items() for name in names}
_LOCALE = re.compile(r"([a-z]{2,3})[-_][a-z0-9.@_-]+")

_TWICE = "a duplicate: the same address is on line {}"
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
_SPREADSHEET = "save it as “CSV UTF-8”"
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # .xlsx and .ods are ZIP files; .xls is a compound file
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class Entry:
    """One person as the file has them."""

    line: int
    address: Address
    name: str | None = None
    language: str | None = None
    sale_reference: str | None = None
    language_unknown: bool = False
    """The file names a language, but none of ours: `language` is None."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One line that is not taken, and why, in words."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Remark:
    """One line that is taken, and what it corrects, or what of it was not understood: in words, without values."""

    line: int
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a file holds: at most one entry for an address, and what was refused. Both in the order of the file."""

    entries: tuple[Entry, ...]
    refused: tuple[Refusal, ...]


def read(data: bytes, *, sale_needed: bool = False, meanings: Sequence[str] | None = None) -> Sheet:
    """The people in a CSV file. With `sale_needed`, a line without a sale reference is refused (917/2014 §200(3)).

    `meanings` says what each column of the file is, in its order (MEANINGS); without it the headings say so themselves.
    Raises BadInput when the file as a whole can't be taken: its size, its encoding, its columns, a quote never closed.
    """
    return gathered(reading(data, sale_needed=sale_needed, meanings=meanings))


def gathered(people: Iterable[Entry | Refusal]) -> Sheet:
    """What was read one by one, as a whole."""
    entries: list[Entry] = []
    refused: list[Refusal] = []
    for item in people:
        if isinstance(item, Entry):
            entries.append(item)
        else:
            refused.append(item)
    return Sheet(tuple(entries), tuple(refused))


def reading(
    data: bytes, *, sale_needed: bool = False, meanings: Sequence[str] | None = None
) -> Iterator[Entry | Refusal]:
    """`read`, line by line, for those who must not work for long in one go. Raises BadInput, also on the way."""
    rows = records(decoded(data))
    heading = next(rows, (1, []))[1]
    columns = _columns(heading) if meanings is None else _mapped(heading, meanings)
    yield from told_apart(((line, _values(columns, cells)) for line, cells in rows), sale_needed=sale_needed)


def told_apart(
    people: Iterable[tuple[int, Mapping[str, str] | None]], *, sale_needed: bool, twice: str = _TWICE
) -> Iterator[Entry | Refusal]:
    """Each of `people`, by the line and what COLUMNS hold of them (None: more than that), or why they are refused. Of
    those with one address the first is taken; `twice` is what the others are told, with its line."""
    seen: dict[str, int] = {}
    for line, values in people:
        try:
            entry = _entry(line, values, sale_needed=sale_needed)
        except BadInput as error:
            yield Refusal(line, f"bad address: {error}" if isinstance(error, BadAddress) else str(error))
            continue
        earlier = seen.setdefault(entry.address.folded, line)
        if earlier == line:
            yield entry
        else:
            yield Refusal(line, twice.format(earlier))


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a file, for staff to say what it is."""

    heading: str
    meaning: str
    """What it is said, or else guessed, to be: one of MEANINGS."""
    samples: tuple[str, ...]
    """The first cells in it that are not empty, shortened."""


@dataclass(frozen=True, slots=True)
class Outline:
    """A file, before a member of staff has said what its columns mean."""

    columns: tuple[Column, ...]
    lines: int
    """Records below the heading."""


def outline(data: bytes) -> Outline:
    """What is in a file. Raises BadInput as `read` does; a column that nobody knows is no fault here."""
    rows = records(decoded(data))
    heading = next(rows, (1, []))[1]
    _assert_own(heading)
    samples: list[list[str]] = [[] for _ in heading]
    lines = 0
    for _, cells in rows:
        lines += 1
        for found, cell in zip(samples, cells, strict=False):
            if len(found) < _SAMPLES and cell.strip():
                found.append(_shown(cell))
    taken: set[str] = set()
    columns = []
    for cell, found in zip(heading, samples, strict=True):
        guess = _guess(column_name(cell))
        if guess in taken:
            guess = IGNORE
        taken.add(guess)
        columns.append(Column(_shown(cell), guess, tuple(found)))
    return Outline(tuple(columns), lines)


def _guess(name: str) -> str:
    if name in COLUMNS:
        return name
    return next((meaning for meaning, names in _GUESSES.items() if name in names), IGNORE)


def decoded(data: bytes, *, limited: bool = True) -> str:
    """The text of a file; a byte order mark is forgiven. Raises BadInput where it is too large, empty, or not UTF-8."""
    if limited and len(data) > MAX_BYTES:
        raise BadInput(f"The file is larger than {MAX_BYTES // 2**20} MB: split it.")
    if data.startswith(_WORKBOOKS):
        raise BadInput(f"The file is a workbook, not CSV: open it in Excel or LibreOffice, and {_SPREADSHEET}.")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or data[:200].count(0) > 20:
        raise BadInput(f"The file is in UTF-16, not in UTF-8: {_SPREADSHEET}.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadInput(f"The file is not in UTF-8 (first seen on line {line}): {_SPREADSHEET}.") from None
    if not text.strip():
        raise BadInput("The file is empty.")
    return text


def records(text: str, *, limited: bool = True) -> Iterator[tuple[int, list[str]]]:
    """The records of a CSV text, each with the number of its first line; blank ones are left out.

    Cells are parted by whichever of comma, semicolon and tab the first line has most of. Raises BadInput.
    """
    first = next(_lines(text.lstrip("\r\n")))
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline="") if limited else _lines(text), delimiter=delimiter, strict=True)
    begin = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise BadInput(f"From line {begin} on, the file can't be read as CSV ({error}).") from None
        if limited and reader.line_num > MAX_LINES:
            raise BadInput(f"The file has more than {MAX_LINES:,} lines: split it.")
        if any(cell.strip() for cell in cells):
            yield begin, cells
        begin = reader.line_num + 1


def _lines(text: str) -> Iterator[str]:
    """As a `StringIO` reads them, which would take four times the memory of a long text."""
    return (found[0] for found in _LINE.finditer(text))


def column_name(cell: str) -> str:
    """A heading as it is compared: without case, outer space, and the difference of space, hyphen and underline."""
    name = re.sub(r"[\s_-]+", "_", cell.strip().casefold())
    return _ALIASES.get(name, name)


def _assert_own(heading: Sequence[str]) -> None:
    """Columns of other registers are refused even where they would be ignored: the file is kept for a while."""
    names = tuple(column_name(cell) for cell in heading)
    if any("@" in name for name in names):
        raise BadInput(f"The first line must name the columns ({', '.join(COLUMNS)}), and here it holds an address.")
    for name, cell in zip(names, heading, strict=True):
        if why := why_foreign(name):
            raise BadInput(f"The column “{_shown(cell)}” {why}. Take it out of the file.")


def why_foreign(name: str) -> str:
    """Why what is called so (`column_name`) belongs to another register, as the end of a sentence; empty: it does
    not."""
    return next((why for pattern, why in _FOREIGN if pattern.search(name)), "")


def _mapped(heading: Sequence[str], meanings: Sequence[str]) -> tuple[str, ...]:
    _assert_own(heading)
    assert_mapped(len(heading), meanings)
    return tuple(meanings)


def assert_mapped(columns: int, meanings: Sequence[str]) -> None:
    """Raise BadInput unless `meanings` can be those of a file with this many columns."""
    if len(meanings) != columns or not set(meanings) <= set(MEANINGS):
        raise BadInput(f"Each column of the file is one of: {', '.join(MEANINGS)}.")
    taken = [meaning for meaning in meanings if meaning != IGNORE]
    if len(set(taken)) < len(taken):
        raise BadInput("Two columns can't mean the same.")
    if "email" not in taken:
        raise BadInput("One column must be the e-mail address.")


def _columns(heading: Sequence[str]) -> tuple[str, ...]:
    _assert_own(heading)
    names = tuple(column_name(cell) for cell in heading)
    unknown = [f"“{_shown(cell)}”" for name, cell in zip(names, heading, strict=True) if name not in COLUMNS]
    if unknown:
        raise BadInput(f"Unknown columns: {', '.join(unknown)}. A file may have: {', '.join(COLUMNS)}.")
    if "email" not in names:
        raise BadInput("The file has no column “email”.")
    if len(set(names)) < len(names):
        raise BadInput("The file has the same column twice.")
    return names


def _values(columns: Sequence[str], cells: Sequence[str]) -> dict[str, str] | None:
    return dict(zip(columns, cells, strict=False)) if len(cells) <= len(columns) else None


def _entry(line: int, values: Mapping[str, str] | None, *, sale_needed: bool) -> Entry:
    if values is None:
        raise BadInput("it has more cells than the first line has columns")
    found = address.parse(values.get("email", ""))
    written = values.get("language", "").strip()
    language = language_of(written)
    sale = text_of(values.get("sale_reference", ""), "the sale reference")
    if sale_needed and sale is None:
        raise BadInput("a customer without a sale reference")
    name = text_of(values.get("name", ""), "the name")
    return Entry(line, found, name, language, sale, language_unknown=bool(written) and language is None)


def language_of(cell: str) -> str | None:
    """Which of our languages a cell names, in words or as a locale; None: none of them."""
    name = cell.strip().casefold()
    if locale := _LOCALE.fullmatch(name):
        name = locale[1]
    return _LANGUAGE_OF.get(name)


def text_of(cell: str, what: str) -> str | None:
    """A name or a reference, tidied; None where it is empty. Raises BadInput: it may go into mail headers and pages."""
    text = unicodedata.normalize("NFC", cell.strip())
    if len(text) > MAX_TEXT:
        raise BadInput(f"{what} is longer than {MAX_TEXT} characters")
    if any(unicodedata.category(c) in ("Cc", "Cs", "Co", "Zl", "Zp") or c in _BIDI for c in text):
        raise BadInput(f"{what} holds a line break or control characters")
    return text or None


def _shown(cell: str) -> str:
    cell = "".join(c if c.isprintable() else " " for c in cell).strip()
    return cell if len(cell) <= 40 else f"{cell[:39]}…"
