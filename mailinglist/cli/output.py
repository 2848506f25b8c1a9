"""What commands print: JSON, plain lines, and progress."""

from __future__ import annotations

import json
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import click

from ..consent.ledger import moment

_PATIENCE = 1.0
"""Seconds of work after which a terminal gets to see a progress bar."""

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def document(value: Any) -> None:
    """Print one JSON document; moments as RFC 3339 in UTC."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=_plain_json))


def line(text: str = "") -> None:
    """Print one line. Control characters, which could steer a terminal, are left out of what came from outside."""
    click.echo("".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp")))


def when(at: datetime) -> str:
    """A moment for people: UTC, to the second."""
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


def count(n: int, one: str, many: str | None = None) -> str:
    """`3 lists`, `1 list`."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


@contextmanager
def progress(label: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A bar on the terminal once the work has taken a second, gone when it is done; none in a pipe.

    Gives a function that hears how many more are done. Without `total` the bar only shows that there is life.
    """
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    class Speed(ProgressColumn):
        def render(self, task: Task) -> str:
            return f"{task.speed:,.0f}/s" if task.speed else ""

    time = TimeElapsedColumn() if total is None else TimeRemainingColumn()
    console = Console(stderr=True)
    bar = Progress(TextColumn("{task.description}"), BarColumn(), Speed(), time, console=console, transient=True)
    task = bar.add_task(label, total=total)
    timer = threading.Timer(_PATIENCE, bar.start)
    timer.daemon = True
    timer.start()
    try:
        yield lambda n: bar.advance(task, n)
    finally:
        timer.cancel()
        timer.join()
        bar.stop()


def _plain_json(value: object) -> str:
    if isinstance(value, datetime):
        return moment(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON")
