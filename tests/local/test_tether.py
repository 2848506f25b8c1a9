"""The tether: a program never outlives its starter."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from keeping import alive, pids, python
from mailinglist.local import tether
from servers import wait_for

# Programs that go on until somebody ends them; a minute, so that none outlives a test that failed.
SLEEPER = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"

# Starts the tethered sleeper in one of two ways, and waits.
STARTER = f"""
import os, subprocess, sys, time
way, path = sys.argv[1:3]
call = "tether.main(sys.argv[1:])" if way == "kernel" else "tether.watch(int(sys.argv[1]), sys.argv[2:])"
code = "import sys; from mailinglist.local import tether; sys.exit(" + call + ")"
subprocess.Popen([sys.executable, "-c", code, str(os.getpid()), sys.executable, "-c", {SLEEPER!r}, path])
time.sleep(60)
"""

WAYS = ["watching", *(["kernel"] if sys.platform == "linux" else [])]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_program_goes_when_its_starter_is_killed(way: str, tmp_path: Path) -> None:
    with python(STARTER, way, str(tmp_path / "pid")) as starter:
        sleeper = wait_for(lambda: pids(tmp_path, "pid"))[0]
        assert alive(sleeper)
        starter.kill()
        wait_for(lambda: not alive(sleeper), seconds=3)


def test_a_watched_program_gets_the_signals_and_gives_its_exit_code(tmp_path: Path) -> None:
    listener = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
open(sys.argv[1], "w")
time.sleep(60)
"""
    watcher = f"""
    import os, sys
    from mailinglist.local import tether
    sys.exit(tether.watch(os.getppid(), [sys.executable, "-c", {listener!r}, sys.argv[1]]))
    """
    with python(watcher, str(tmp_path / "ready")) as watching:
        wait_for((tmp_path / "ready").exists)
        watching.send_signal(signal.SIGTERM)
        assert watching.wait(5) == 7


@pytest.mark.skipif(sys.platform != "linux", reason="only the kernel's tether is made after the starter may have died")
def test_a_starter_that_died_in_between_gets_no_program() -> None:
    with python("from mailinglist.local import tether; tether.main(['1', 'echo', 'too late'])") as late:
        output, _ = late.communicate(timeout=5)
    assert (late.returncode, output) == (1, "")


def test_a_missing_program_is_named() -> None:
    with python(
        "import os; from mailinglist.local import tether; print(tether.main([str(os.getppid()), '/no/such']))"
    ) as asked:
        output, errors = asked.communicate(timeout=5)
    assert output.strip() == str(tether.NOT_FOUND)
    assert errors == "/no/such: No such file or directory\n"
