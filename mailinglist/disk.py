"""What is on disk when the machine stops: of a file that is made or replaced, its name as well."""

from __future__ import annotations

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Have the names of the files in a folder on disk, too: a file that is synced can be lost with its name."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
