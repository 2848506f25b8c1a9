from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from commanding import environment
from mailinglist import moments
from mailinglist.cli import output

PROGRAM = """
import sys
from mailinglist.cli import output
output._PATIENCE = float(sys.argv[1])
with output.progress("Taking in", 100) as done:
    done(40)
    sys.stdin.readline()
print("finished")
"""


def seen(terminal: int, word: str) -> bool:
    """Whether `word` turns up on the terminal within ten seconds."""
    text, deadline = "", time.monotonic() + 10
    while word not in text:
        if not select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        text += os.read(terminal, 4096).decode("utf-8", "replace")
    return True


def test_a_terminal_gets_a_bar_once_the_work_takes_a_while():
    terminal, other = pty.openpty()
    program = [sys.executable, "-c", PROGRAM, "0.05"]
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=other, stderr=other, env={**environment(), "TERM": "xterm"}
    ) as child:
        os.close(other)
        assert seen(terminal, "Taking in")
        child.communicate(b"\n", timeout=20)
        assert seen(terminal, "finished")
    os.close(terminal)


def test_short_work_shows_no_bar():
    terminal, other = pty.openpty()
    program = [sys.executable, "-c", PROGRAM, "60"]
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=other, stderr=other, env={**environment(), "TERM": "xterm"}
    ) as child:
        os.close(other)
        child.communicate(b"\n", timeout=20)
    assert os.read(terminal, 4096) == b"finished\r\n"
    os.close(terminal)


def test_a_pipe_gets_no_bar():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "0"], input="\n", env=environment(), capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("finished\n", "")


def test_moments_are_rfc_3339_in_utc(capsys: pytest.CaptureFixture[str]):
    at = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    output.document({"at": at})
    assert '"2026-03-01T10:00:00.123456Z"' in capsys.readouterr().out
    assert moments.exact(at) == "2026-03-01T10:00:00.123Z"
    assert moments.exact(7) == 7
    assert output.when(at.astimezone(UTC)) == "2026-03-01 10:00:00 UTC"


def test_what_came_from_outside_can_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]):
    output.line("a\x1b[2Jb\rc\u2028d é 日")
    assert capsys.readouterr().out == "a[2Jbcd é 日\n"


def test_counts_agree_with_their_noun():
    assert [output.count(n, "thing") for n in (0, 1, 2000)] == ["0 things", "1 thing", "2,000 things"]
