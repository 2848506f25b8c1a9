"""Pure: when two ways of writing a name are one name.

Other systems of the firm hold names of people, and no e-mail address; they ask by name whether marketing is forbidden
(`bans_by_name`). A name is no identity: two people may bear the same one. So whatever is in doubt errs towards the
opt-out, and the answer says what it rests on; what can't be a name is refused, and never told that it is free.
"""

from __future__ import annotations

import re
import unicodedata

from .sheet import MAX_TEXT

_TYPED_ALIKE = {
    **dict.fromkeys("`´ʹʻʼˊˋ\u0384\u1ffd‘’‛′", "'"),
    **dict.fromkeys("\u2010\u2011‒–—―\u2043−", "-"),
    **dict.fromkeys(',;:/\\|_."“”„‟«»‹›()[]{}<>!?*=،؛、\u115f\u1160\u2800\u3164\uffa0', " "),
}
"""What people, keyboards and word processors write for one apostrophe and one hyphen; and what stands between words or
round them, with those letters and signs that are shown as a blank."""
_ALIKE = str.maketrans(_TYPED_ALIKE)
_UNSEEN = re.compile("[\u034f\u17b4\u17b5\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""Marks that are shown as nothing (Unicode, Default_Ignorable_Code_Point). Those of category Cf are known by that."""
# Most names: these are what they seem to be, which a look-up of all who are banned finds out in a fifth of the time.
_PLAIN = re.compile(r"{0}(?:[ ,]+{0})*".format("[A-Za-zÀ-ÖØ-Þà-öø-ÿ]+(?:-[A-Za-zÀ-ÖØ-Þà-öø-ÿ]+)*"))
_ROUND_HYPHEN = re.compile(r"\s*-[\s-]*")
_NO_TEXT = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef\ufffc-\uffff\U000f0000-\U0010ffff]"
)
"""Control characters; halves of characters, and the sign that stands for what could not be read; private use."""
_AT = re.compile(r"@|[(\[{<]\s*[aä]t\s*[)\]}>]", re.IGNORECASE)
_HASH = re.compile(r"[0-9a-f]{32}", re.IGNORECASE)
_NO_NAME = re.compile(r"\d{4}|\d[^\W\d_]|[^\W\d_]\d")
"""Four digits, or one at a letter: a part of an identity code, a telephone number, a year. “Oy Kuusitie 12” is a
name."""


def key(name: str) -> str:
    """What a name is compared by: “Virtanen, Matti” is “matti VIRTANEN”. Empty, if it holds no letter.

    Compatibility forms are one (NFKC, Unicode UAX 15), and so are capitals and small letters (case folding), whatever
    stands between the words or round them, and their order: some systems begin with the surname. Hyphens and accents
    stay, since Mäki and Maki, Anna-Maija and Anna Maija are different names. What holds no letter is no part of it. A
    single word is a name as any other: it is compared with names of a single word only.
    """
    if _PLAIN.fullmatch(name):
        return " ".join(sorted(name.lower().replace(",", " ").split()))
    if name.isascii():
        folded = name.lower().translate(_ALIKE)
    else:
        # First what is not seen, or it would keep a letter from its accent; and the signs, since NFKC makes of an acute
        # accent by itself a blank and a mark. Folding may leave what is not in normal form (Unicode 3.13, D146).
        plain = unicodedata.normalize("NFKC", _seen(name).translate(_ALIKE))
        folded = unicodedata.normalize("NFKC", plain.casefold()).translate(_ALIKE)
    if "-" in folded or "'" in folded:
        folded = " ".join(word.strip("-'") for word in _ROUND_HYPHEN.sub("-", folded).split())
    return " ".join(sorted(word for word in folded.split() if word.isalpha() or any(map(str.isalpha, word))))


def fault(name: str) -> str:
    """Why this can't be asked about as a name, in words; empty: it can. What is an address or the like, written where a
    name belongs, or a name with something else beside it, must not be told that it is free."""
    if not name.strip():
        return "no name"
    if len(name) > MAX_TEXT:
        return f"longer than a name, which has {MAX_TEXT} characters at most"
    if _NO_TEXT.search(name):
        return "a name with characters that are no text"
    plain = name if name.isascii() else unicodedata.normalize("NFKC", _seen(name))
    if _AT.search(plain):
        return "an address where a name belongs"
    if _HASH.search(plain):
        return "a SHA-256 or the like where a name belongs"
    if not key(name):
        return "a name without a letter"
    return "a name with digits: write the name alone" if _NO_NAME.search(plain) else ""


def is_none(name: str) -> bool:
    """Whether what stands in a column of names is none at all: nothing, an address, or something without a letter."""
    return _AT.search(unicodedata.normalize("NFKC", name)) is not None or not key(name)


def _seen(name: str) -> str:
    """Without what is shown as nothing."""
    name = _UNSEEN.sub("", name)
    return name if name.isprintable() else "".join(each for each in name if unicodedata.category(each) != "Cf")
