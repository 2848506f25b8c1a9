"""Small programs to keep, and looking at processes from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def alive(pid: int) -> bool:
    """True while the process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


def python(program: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start a Python program, given as text, that can import the checkout; its output is piped."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
    )  # fmt: skip


def pids(folder: Path, name: str) -> list[int]:
    """The process ids that a child wrote down, one at each of its starts."""
    file = folder / name
    return [int(line) for line in file.read_text().split()] if file.exists() else []
