"""Where the time goes: this program's parts, and the processes beside it, in processor time per mail."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from mailinglist.consent import gate
from mailinglist.delivery import dispatch, handoffs
from mailinglist.delivery.bulletin_desk import BulletinPaper
from mailinglist.delivery.connection import Connection
from mailinglist.delivery.conversation import Conversation

_PARTS: dict[str, tuple[Any, str]] = {
    "dispatch state": (dispatch, "state_of"),
    "claim": (handoffs, "claim"),
    "gate": (gate, "read"),
    "fill": (BulletinPaper, "fill"),
    "load": (Conversation, "load"),
    "write": (Connection, "write"),
    "read": (Connection, "read"),
    "settle": (handoffs, "settle"),
}
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Part:
    """Seconds in one part of the program."""

    cpu: float = 0.0
    """Of the processor, on the thread that did it."""
    wall: float = 0.0
    calls: int = 0


@contextmanager
def timed() -> Iterator[dict[str, Part]]:
    """Time the parts of this process. It costs some microseconds a mail: no round that counts runs inside."""
    parts = {name: Part() for name in _PARTS}
    with ExitStack() as stack:
        for name, (owner, function) in _PARTS.items():
            stack.enter_context(mock.patch.object(owner, function, _timing(getattr(owner, function), parts[name])))
        yield parts


def _timing(function: Callable[..., Any], part: Part) -> Callable[..., Any]:
    def timing(*args: Any, **named: Any) -> Any:
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            return function(*args, **named)
        finally:
            part.cpu += time.thread_time() - cpu
            part.wall += time.perf_counter() - wall
            part.calls += 1

    return timing


def spent(pid: int | None) -> float:
    """Seconds of processor that a process and its children have used until now; 0 for none."""
    if pid is None:
        return 0.0
    total = 0.0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        if int(path.parent.name) == pid:
            total += sum(map(int, fields[11:15]))  # with the children that have ended
        elif int(fields[1]) == pid:
            total += sum(map(int, fields[11:13]))
    return total / _TICKS
