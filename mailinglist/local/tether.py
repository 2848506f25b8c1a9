"""Runs one program on a tether: it is gone as soon as the process that started it is, even by `kill -9`.

    python -I -S tether.py PARENT PROGRAM ARGUMENT…

`PARENT` is the process id of the starter. On Linux the kernel holds the tether (prctl(2), PR_SET_PDEATHSIG, which lives
on through `exec`), and this file turns itself into PROGRAM. Elsewhere it stays, watches its parent, and takes PROGRAM
along.

Why a program of its own and no `preexec_fn`: that runs Python between fork and exec, which may deadlock once the
starter has threads. It is started by its path and knows the standard library only, so it costs some ten milliseconds.

Known limit: the kernel's parent is the *thread* that forked, so a starter must fork from a thread that lives as long as
the process should.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1
NOT_FOUND = 127  # what a shell says, too


def main(arguments: list[str]) -> int:
    """Become, or watch over, the program. Returns only where it could not be started, or where it was watched."""
    parent, program = int(arguments[0]), arguments[1:]
    try:
        if sys.platform == "linux":
            become(parent, program)
        return watch(parent, program)
    except OSError as error:
        sys.stderr.write(f"{program[0]}: {error.strerror}\n")
        return NOT_FOUND


def become(parent: int, program: list[str]) -> None:
    """Tie this process to `parent`, and turn into `program`. Linux only."""
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the tether was fast
        sys.exit(1)
    os.execvp(program[0], program)  # noqa: S606


def watch(parent: int, program: list[str], *, every: float = 0.2) -> int:
    """Run `program` below this process; when `parent` is gone, end it. Returns its exit code."""
    child = subprocess.Popen(program)  # noqa: S603
    for wanted in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wanted, lambda signum, _frame: child.send_signal(signum))
    while os.getppid() == parent:
        try:
            return child.wait(every)
        except subprocess.TimeoutExpired:
            time.sleep(0)
    child.kill()
    return child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
