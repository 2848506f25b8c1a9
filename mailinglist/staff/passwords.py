"""Passwords: Argon2id, and which are refused. Pure.

At least 12 and at most 128 characters, any characters, no rules of composition (OWASP ASVS 5.0, 6.2). Refused is what
a guesser tries first: common ones, also with digits around them or twice; runs of keys; and what everybody knows about
the owner, with little besides.
"""

from __future__ import annotations

import base64
import re
import secrets
import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from ..stationery.sentences import SaidBadInput
from ..stationery.sentences import noted as _

SHORTEST, LONGEST = 12, 128
"""Characters."""

_WORDS = Path(__file__).parent / "common" / "words.txt"
_DIGITS = "0123456789"
_RUNS = ("0123456789" * 2, "abcdefghijklmnopqrstuvwxyzåäö", "qwertyuiopå", "asdfghjklöä", "zxcvbnm")
_SHORTEST_RUN = 3
_EDGES = re.compile(r"^[\W\d_]+|[\W\d_]+$")
_FEWEST_DIFFERENT = 5
_SHORTEST_KNOWN = 4
_LEAST_BESIDES = 6
"""Characters that a password needs besides what everybody knows about its owner."""
_LEET = str.maketrans("013457@$!", "oleastasi")

_hasher = PasswordHasher()  # the library's default is RFC 9106's second recommended option: 64 MiB, three passes


def hash_of(password: str) -> str:
    """The password's hash, in the PHC string format. Takes about a tenth of a second."""
    return _hasher.hash(_normal(password))


def fits(stored: str | None, password: str) -> bool:
    """Whether this is the password. `stored` none (nobody by that address, or no password yet): the same work, and
    no."""
    try:
        same = _hasher.verify(stored or _nobodys(), _normal(password[:LONGEST]))
    except (VerificationError, InvalidHashError):
        return False
    return same and stored is not None and len(password) <= LONGEST


def is_dated(stored: str) -> bool:
    """Whether it was hashed with weaker settings than the present ones: then hash it anew while it is known."""
    return _hasher.check_needs_rehash(stored)


def require_good(password: str, *, known: Iterable[str]) -> None:
    """Raise BadInput, in words, for a password that is refused.

    `known`: what everybody knows about its owner: address, name, the names of the lists.
    """
    if len(password) < SHORTEST:
        raise SaidBadInput(_("The password needs at least %(number)s characters."), number=SHORTEST)
    if len(password) > LONGEST:
        raise SaidBadInput(_("The password may have at most %(number)s characters."), number=LONGEST)
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in password):
        raise SaidBadInput(_("The password holds a character that keyboards do not have."))
    plain = _plain(password)
    if _is_common(password):
        raise SaidBadInput(_("This password is too common: it is among the first that would be tried."))
    besides = plain
    for piece in sorted({piece for text in known for piece in _pieces(text)}, key=len, reverse=True):
        besides = besides.replace(piece, " ")
    if besides != plain and sum(map(len, besides.split())) < _LEAST_BESIDES:
        raise SaidBadInput(_("This password is mostly your name, your address or the name of a list."))


@cache
def _common_words() -> frozenset[str]:
    return frozenset(_WORDS.read_text(encoding="utf-8").split())


def _is_common(password: str) -> bool:
    folded = _normal(password).casefold()
    plain = _plain(folded)
    if len(set(folded)) < _FEWEST_DIFFERENT:
        return True
    if len(plain) < len(folded) / 2:  # signs for the most part: no list has those
        return False
    stem = _EDGES.sub("", folded)  # signs that stand for letters do so inside a word
    written_out = _plain(stem.translate(_LEET))
    return _common(plain) or bool(written_out and _common(written_out))


def _common(plain: str) -> bool:
    """Whether it is common, a repetition, made of runs, or two common words after each other; digits around each."""
    if plain in (plain + plain)[1:-1] or _runs(plain):
        return True
    words = _common_words()
    if plain in words:
        return True
    halves = ((plain[:cut].strip(_DIGITS), plain[cut:].strip(_DIGITS)) for cut in range(len(plain) + 1))
    return any(all(not half or half in words for half in both) for both in halves)


def _runs(plain: str) -> bool:
    """Whether it is made of runs of neighbouring keys, or of the alphabet, forwards or backwards."""
    at = 0
    while len(plain) - at >= _SHORTEST_RUN:
        length = _SHORTEST_RUN
        while length <= len(plain) - at and _in_a_run(plain[at : at + length]):
            length += 1
        if length == _SHORTEST_RUN:
            return False
        at += length - 1
    return at > 0


def _in_a_run(piece: str) -> bool:
    return any(piece in run or piece[::-1] in run for run in _RUNS)


def _pieces(text: str) -> list[str]:
    words = "".join(c if c.isalnum() else " " for c in _normal(text).casefold()).split()
    return [word for word in words if len(word) >= _SHORTEST_KNOWN]


def _plain(password: str) -> str:
    """Letters and digits only, in lower case."""
    return "".join(c for c in _normal(password).casefold() if c.isalnum())


def _normal(password: str) -> str:
    """One spelling, whichever keyboard it was typed on (NIST SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


@cache
def _nobodys() -> str:
    """A hash that no password has, with the present settings: made without hashing, so that not even the first unknown
    address takes longer than a known one."""
    salt, digest = (
        base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=")
        for size in (_hasher.salt_len, _hasher.hash_len)
    )
    return f"$argon2id$v=19$m={_hasher.memory_cost},t={_hasher.time_cost},p={_hasher.parallelism}${salt}${digest}"
