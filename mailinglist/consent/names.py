"""Pure: when two ways of writing a name are one name.

Other systems of the firm hold names of people, and no e-mail address; they ask by name whether marketing is forbidden
(`bans_by_name`). A name is no identity: two people may bear the same one. So whatever is in doubt errs towards the
opt-out, and the answer says what it rests on.
"""

from __future__ import annotations

import re
import unicodedata

from .sheet import MAX_TEXT

_TYPED_ALIKE = str.maketrans({"\u2019": "'", "\u02bc": "'", "\u2010": "-", "\u2011": "-", "\u2013": "-"})
"""What keyboards and word processors write for one apostrophe and one hyphen."""
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def key(name: str) -> str:
    """What a name is compared by: “Virtanen, Matti” is “matti VIRTANEN”. Empty, if it holds no letter.

    Compatibility forms are one (NFKC, Unicode UAX 15), and so are capitals and small letters (case folding), whatever
    stands between the words, and their order: some systems begin with the surname. Hyphens and accents stay, since
    Mäki and Maki, Anna-Maija and Anna Maija are different names. A single word is a name as any other: it is compared
    with names of a single word only.
    """
    if name.isascii():
        folded = name.lower()
    else:
        # Folding may leave what is not in normal form (Unicode 3.13, D146).
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
        if not folded.isprintable():
            folded = "".join(each for each in folded if unicodedata.category(each) != "Cf")  # shown as nothing
        folded = folded.translate(_TYPED_ALIKE)
    words = folded.replace(",", " ").replace(";", " ").split()
    return " ".join(sorted(words)) if any(map(str.isalpha, folded)) else ""


def fault(name: str) -> str:
    """Why this can't be asked about as a name, in words; empty: it can. What is an address or the like, written where a
    name belongs, must not be told that it is free."""
    if not name.strip():
        return "no name"
    if len(name) > MAX_TEXT:
        return f"longer than a name, which has {MAX_TEXT} characters at most"
    if any(map(_is_half, name)):
        return "a name with halves of characters"
    if "@" in name:
        return "an address where a name belongs"
    if _SHA256.fullmatch(name.strip()):
        return "a SHA-256 where a name belongs"
    return "" if key(name) else "a name without a letter"


def _is_half(character: str) -> bool:
    return "\ud800" <= character <= "\udfff"  # what decoders leave of bytes that were no text; it has no UTF-8
