"""Where the files that belong to the program lie: beside the package in a checkout, inside it in a wheel."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
_INSTALLED = PACKAGE / "_templates"
TEMPLATES = _INSTALLED if _INSTALLED.is_dir() else PACKAGE.parent / "templates"
"""Folder of the templates (`public`, `staff`, `mail`)."""
