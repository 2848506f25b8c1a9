"""Giving commands as a person at a terminal would: the real command line, in this process or in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mailinglist import cli
from mailinglist.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Outcome:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Commands:
    """`cli("people", "show", …)` runs a command with a test's settings, in this process."""

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        for name in [name for name in os.environ if name.startswith(PREFIX)]:
            monkeypatch.delenv(name)
        for name, value in settings.environment().items():
            monkeypatch.setenv(name, value)

    def __call__(self, *arguments: object) -> Outcome:
        self._capsys.readouterr()
        code = cli.main([str(argument) for argument in arguments])
        captured = self._capsys.readouterr()
        return Outcome(code, captured.out, captured.err)


def environment(settings: Settings | None = None) -> dict[str, str]:
    """The environment of a command in a process of its own: these settings and no others."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return inherited | {"PYTHONPATH": str(ROOT)} | (settings.environment() if settings else {})


def start(settings: Settings | None, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Start a command in a process of its own."""
    command = [sys.executable, "-m", "mailinglist", *(str(argument) for argument in arguments)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    return subprocess.Popen(command, env=environment(settings), text=True, **(pipes | options))


def run(settings: Settings | None, *arguments: object, **options: Any) -> Outcome:
    """Run a command in a process of its own, to its end."""
    with start(settings, *arguments, **options) as process:
        out, err = process.communicate(timeout=60)
    return Outcome(process.returncode, out or "", err or "")
