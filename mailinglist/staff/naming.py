"""Pure: what accounts and other systems may be called, for the audit and the pages that show their names."""

from __future__ import annotations

from ..stationery.sentences import SaidBadInput
from ..stationery.sentences import noted as _


def plain(name: str, *, longest: int) -> str:
    """`name` with single spaces. Raises BadInput: empty, longer than that many characters, or with some that can't be
    seen."""
    named = " ".join(name.split())
    if not named or len(named) > longest or not named.isprintable():
        raise SaidBadInput(_("A name needs 1 to %(number)s characters that can be seen."), number=longest)
    return named
