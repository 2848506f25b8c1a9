"""Keeping processes: started in stages, restarted when they die, stopped in order, gone when their keeper is gone.

    keep([Child("letters", [...]), Child("bulletins", [...])])      # until SIGTERM or Ctrl-C

    with Children() as children:                                    # or in steps
        children.start(broker)
        children.tend(until=broker_answers)
        children.start(web, worker)
        children.tend()

A child that dies is started again after 0.2 s, then 0.4 s, … up to 5 s while it keeps dying young. SIGTERM, SIGINT and
SIGHUP end `tend`; leaving the `with` stops the stages, the last one first: SIGTERM, a while to finish, SIGKILL. A
second signal cuts the while short. Each child leads a session of its own, so that Ctrl-C in a terminal reaches the
keeper alone, and is killed together with what it left behind. Use it from the main thread only: signals arrive there,
and see tether.py.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from .. import observe
from . import logs

log = observe.logger(__name__)

FIRST_DELAY = 0.2
LONGEST_DELAY = 5.0
SETTLED = 10.0
"""Seconds after which a child is taken to have come up well: its next death counts as the first again."""

NOT_STARTED = 126
"""Exit code of a child that could not even be started."""

_TETHER = str(Path(__file__).with_name("tether.py"))


@dataclass(frozen=True, slots=True)
class Child:
    """One process to keep."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    """The whole environment; None: the keeper's."""
    log: Path | None = None
    """File that takes what it writes, capped; None: the keeper's own output."""
    grace: float = 20.0
    """Seconds it has to finish after SIGTERM."""


@dataclass(frozen=True, slots=True)
class Death:
    """One child has died and will be started again."""

    child: Child
    code: int
    """Exit code; negative: the signal that ended it."""
    in_a_row: int
    """How many times it has now died without having settled in between."""
    again_in: float
    """Seconds until the next try."""
    last_words: str
    """The end of its log, where it has one."""


def log_death(death: Death) -> None:
    """Tell of a death in this process's log."""
    log.warning("child_died", child=death.child.name, code=death.code, again_in=death.again_in, in_a_row=death.in_a_row)


@dataclass(slots=True)
class _Kept:
    """A child, its process, and its history."""

    child: Child
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    log_start: int = 0
    deaths: int = 0
    due: float = 0.0

    def start(self) -> None:
        self.started = time.monotonic()
        output = self.child.log.open("ab") if self.child.log else None
        try:
            self.log_start = output.tell() if output else 0
            self.process = subprocess.Popen(  # noqa: S603 (the command lines are the program's own)
                [sys.executable, "-I", "-S", _TETHER, str(os.getpid()), *self.child.argv],
                env=self.child.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                start_new_session=True,
            )
        finally:
            if output:
                output.close()

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, wanted: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(wanted)

    def kill_all(self) -> None:
        """End the child and whatever is left of its session's first group."""
        if self.process is not None:
            # Nothing may be left of it; macOS says EPERM of a group of zombies.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def died(self, code: int) -> Death:
        """Take note that it died; the next start is due after the back-off."""
        self.kill_all()
        self.process = None
        self.deaths = 1 if time.monotonic() - self.started >= SETTLED else self.deaths + 1
        delay = min(FIRST_DELAY * 2 ** min(self.deaths - 1, 16), LONGEST_DELAY)
        self.due = time.monotonic() + delay
        words = logs.tail(self.child.log, start=self.log_start) if self.child.log else ""
        return Death(self.child, code, self.deaths, delay, words)


class Children:
    """Child processes, kept while the `with` lasts. See the module's text."""

    def __init__(self, *, on_death: Callable[[Death], None] = log_death) -> None:
        self._on_death = on_death
        self._stages: list[list[_Kept]] = []
        self._asked = 0
        self._restore: list[tuple[signal.Signals, Any]] = []
        self._wake_read, self._wake_write = socket.socketpair()

    # ── the frame ─────────────────────────────────────────────────────────────────────────────────────────────────

    def __enter__(self) -> Self:
        for end in (self._wake_read, self._wake_write):
            end.setblocking(False)
        self._old_wakeup = signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)
        self._handle(signal.SIGCHLD, lambda _signum, _frame: None)  # a handler, so that a death wakes `_wait`
        self._handle(signal.SIGTERM, self._ask)
        self._handle(signal.SIGINT, self._ask)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
            self._handle(signal.SIGHUP, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            signal.set_wakeup_fd(self._old_wakeup)
            for number, handler in self._restore:
                signal.signal(number, handler)
            self._wake_read.close()
            self._wake_write.close()

    def _handle(self, number: signal.Signals, handler: Callable[[int, FrameType | None], None]) -> None:
        self._restore.append((number, signal.signal(number, handler)))

    def _ask(self, _signum: int, _frame: FrameType | None) -> None:
        self._asked += 1

    @property
    def stopping(self) -> bool:
        """True once a signal has asked to stop."""
        return self._asked > 0

    @property
    def _hurried(self) -> bool:
        return self._asked > 1

    # ── what one does with it ─────────────────────────────────────────────────────────────────────────────────────

    def start(self, *children: Child) -> None:
        """Start `children` as the next stage. A stage is stopped before those that were started before it."""
        stage = [_Kept(child) for child in children]
        self._stages.append(stage)
        for kept in stage:
            self._try_start(kept)

    def tend(self, until: Callable[[], bool] | None = None, *, every: float = 5.0) -> bool:
        """Restart what dies, until a signal asks to stop (False), or `until`, asked now and then, says so (True)."""
        while not self.stopping:
            self._restart_the_dead()
            if until is not None and until():
                return True
            dues = [kept.due - time.monotonic() for kept in self._all() if kept.process is None]
            self._wait(max(0.0, min([every, *dues])))
        return False

    def run(self, child: Child) -> int | None:
        """Run `child` once, to its end. Returns its exit code, or None where a signal asked to stop first."""
        kept = _Kept(child)
        self._stages.append([kept])
        kept.start()
        while kept.running() and not self.stopping:
            self._restart_the_dead(but=kept)
            self._wait(0.5)
        if kept.process is None or kept.process.poll() is None:
            return None  # left to `stop`
        self._stages.remove([kept])
        return kept.process.returncode

    def stop(self) -> None:
        """Stop all, the last stage first. Returns when every one is gone."""
        while self._stages:
            stage = self._stages[-1]
            for kept in stage:
                kept.signal(signal.SIGTERM)
            deadline = time.monotonic() + max((kept.child.grace for kept in stage), default=0.0)
            while any(kept.running() for kept in stage) and not self._hurried:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._wait(left)
            for kept in stage:
                kept.kill_all()
            self._stages.pop()

    # ── inside ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _all(self) -> list[_Kept]:
        return [kept for stage in self._stages for kept in stage]

    def _restart_the_dead(self, *, but: _Kept | None = None) -> None:
        for kept in self._all():
            if kept is but:
                continue
            if kept.child.log is not None:
                logs.cap(kept.child.log)
            if kept.process is not None and (code := kept.process.poll()) is not None:
                self._on_death(kept.died(code))
            if kept.process is None and kept.due <= time.monotonic():
                self._try_start(kept)

    def _try_start(self, kept: _Kept) -> None:
        try:
            kept.start()
        except OSError as error:  # no process to be had just now, a full disk: as if it had died
            log.warning("child_not_started", child=kept.child.name, reason=error.strerror)
            self._on_death(kept.died(NOT_STARTED))

    def _wait(self, seconds: float) -> None:
        """Sleep, but wake at once for a signal: also a child's death."""
        select.select([self._wake_read], [], [], seconds)
        try:
            while self._wake_read.recv(512):
                pass
        except BlockingIOError:
            pass


def keep(children: Sequence[Child], *, on_death: Callable[[Death], None] = log_death) -> int:
    """Keep `children` running until SIGTERM, SIGINT or SIGHUP; then stop them. Returns the exit code, 0."""
    with Children(on_death=on_death) as kept:
        kept.start(*children)
        kept.tend()
    return 0
