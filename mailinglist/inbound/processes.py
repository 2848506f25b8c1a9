"""Whether a process of this machine still lives: known by its number and by when it began, since numbers come again.

Only where both see the same numbers: on one machine since it was started, and in one container of it. Of all other
processes, and where there is no /proc, nobody can say.
"""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_STATE, _BEGAN = 0, 19
"""Of /proc/PID/stat, counted after the name (proc(5), fields 3 and 22)."""
_OVER = ("Z", "X")
"""It has ended, and its parent has not asked how yet."""


def own() -> str:
    """This process, for `lives`."""
    return f"{_world()}.{os.getpid()}.{_began(os.getpid()) or ''}"[:64]


def lives(process: str) -> bool | None:
    """Whether a process goes by what `own` said there; None: it can't be told from here."""
    world, _, rest = process.partition(".")
    number, _, began = rest.partition(".")
    if not began or world != _world() or not number.isdecimal():
        return None
    return _began(int(number)) == began


@cache
def _world() -> str:
    """Where numbers of processes mean the same; empty: it can't be told."""
    try:
        found = _BOOT.read_text("ascii").strip() + os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
    return hashlib.sha256(found.encode()).hexdigest()[:16]


def _began(number: int) -> str | None:
    """When a process began, in ticks of the machine's clock; None: there is none."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    return fields[_BEGAN] if len(fields) > _BEGAN and fields[_STATE] not in _OVER else None
