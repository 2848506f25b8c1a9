"""Log files of child processes: their last lines, and a cap on their size."""

from __future__ import annotations

import shutil
from pathlib import Path

CAP = 5_000_000
"""Bytes after which a log is moved to `NAME.log.1`; so a role keeps twice this at most."""


def tail(path: Path, lines: int = 12, *, start: int = 0) -> str:
    """The last lines of a log, of what was written from byte `start` on; empty if there is nothing."""
    try:
        with path.open("rb") as log:
            end = log.seek(0, 2)
            log.seek(max(start if start <= end else 0, end - 16_384))
            text = log.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def cap(path: Path, limit: int = CAP) -> bool:
    """Move a log that has grown past `limit` bytes to `NAME.1`, and go on with an empty one. True if it was done.

    The child holds the file open, so its content is copied and the file cut; it appends (O_APPEND), so it goes on at
    the new end. A line that it writes in between may be lost.
    """
    try:
        if path.stat().st_size <= limit:
            return False
        shutil.copyfile(path, path.with_name(f"{path.name}.1"))
        with path.open("r+b") as log:
            log.truncate(0)
    except OSError:  # a full disk, say: the log matters less than what it tells of
        return False
    return True
