"""What a check of the ledger found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import LargeBinary, cast


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong; `entry` is the ledger row's number where there is one."""

    what: str
    entry: int | None = None
    chain: str | None = None
    seal: int | None = None


def octets(column: Any) -> Any:
    """A column's bytes, also where somebody put a text in: SQLite lets them, and a check must not fall over that."""
    return cast(column, LargeBinary).label(column.key)
