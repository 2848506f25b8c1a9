"""Marks by which roles that answer no port say that they are at work: empty files in the data directory."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def clear(data_dir: Path) -> None:
    """Forget the marks of an earlier run."""
    for mark in _folder(data_dir).glob("*"):
        mark.unlink(missing_ok=True)


def mark(data_dir: Path, name: str) -> None:
    """`name` is at work."""
    folder = _folder(data_dir)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / name).touch()


def missing(data_dir: Path, names: Iterable[str]) -> list[str]:
    """Those of `names` that have not said so yet."""
    return [name for name in names if not (_folder(data_dir) / name).exists()]


def _folder(data_dir: Path) -> Path:
    return data_dir / "ready"
