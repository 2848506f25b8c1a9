"""Keeping processes: with a real keeper and real children, all tiny."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keeping import alive, pids, python
from mailinglist.local import logs
from mailinglist.local.children import Child, Children, Death
from servers import wait_for

# A child notes its process id at each start; then it lives until it is told to stop, if it listens.
CHILD = """
import os, signal, sys, time
name, folder, habit = sys.argv[1:4]
def leave(*_):
    open(f"{folder}/order", "a").write(f"{name}\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if habit == "stubborn" else leave)
if habit == "family":
    grandchild = os.fork()
    if not grandchild:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open(f"{folder}/grandchild", "a").write(f"{os.getpid()}\\n")
        while True: time.sleep(60)
open(f"{folder}/{name}", "a").write(f"{os.getpid()}\\n")
if habit == "frail": sys.exit("out of order")
while True: time.sleep(60)
"""

KEEPER = f"""
import sys
from pathlib import Path
from mailinglist.local.children import Child, Children
folder = sys.argv[1]
def child(word):
    name, habit = word.split(":")
    argv = [sys.executable, "-c", {CHILD!r}, name, folder, habit]
    return Child(name, argv, log=Path(folder, name + ".log"), grace=1.5)
def tell(death):
    print(death.child.name, death.code, death.in_a_row, death.again_in, death.last_words, flush=True)
with Children(on_death=tell) as children:
    for stage in sys.argv[2:]:
        children.start(*map(child, stage.split(",")))
    children.tend()
print("stopped", flush=True)
"""

Keep = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def keep(tmp_path: Path) -> Iterator[Keep]:
    """Starts a keeper of the given stages; each is `name:habit,name:habit`."""
    keepers: list[subprocess.Popen[str]] = []

    def start(*stages: str) -> subprocess.Popen[str]:
        keepers.append(python(KEEPER, str(tmp_path), *stages))
        return keepers[-1]

    yield start
    for keeper in keepers:
        keeper.kill()
        keeper.communicate()


def started(folder: Path, name: str, times: int = 1) -> int:
    """Wait for the child's so-manieth start; returns its process id."""
    return wait_for(lambda: len(pids(folder, name)) >= times and pids(folder, name)[-1])


def test_a_child_that_dies_is_started_again(keep: Keep, tmp_path: Path) -> None:
    keep("one:good,two:good")
    first, other = started(tmp_path, "one"), started(tmp_path, "two")
    os.kill(first, signal.SIGKILL)
    assert started(tmp_path, "one", 2) != first
    assert alive(other)
    assert len(pids(tmp_path, "two")) == 1


def test_the_pause_grows_and_the_last_words_are_handed_on(keep: Keep, tmp_path: Path) -> None:
    keeper = keep("one:frail")
    assert keeper.stdout is not None
    told = [keeper.stdout.readline().split(maxsplit=4) for _ in range(3)]
    assert [words[:4] for words in told] == [
        ["one", "1", str(n), pause] for n, pause in ((1, "0.2"), (2, "0.4"), (3, "0.8"))
    ]
    assert {words[4].strip() for words in told} == {"out of order"}


def test_whatever_a_dead_child_left_behind_goes_before_its_next_start(keep: Keep, tmp_path: Path) -> None:
    keep("one:family")
    first, left = started(tmp_path, "one"), started(tmp_path, "grandchild")
    os.kill(first, signal.SIGKILL)
    started(tmp_path, "one", 2)
    again = started(tmp_path, "grandchild", 2)
    try:
        assert not alive(left)
    finally:
        os.kill(again, signal.SIGKILL)  # the keeper is killed next, and then nobody would end this one


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_the_stages_last_one_first(keep: Keep, tmp_path: Path, asked: signal.Signals) -> None:
    keeper = keep("broker:good", "web:good")
    children = [started(tmp_path, "broker"), started(tmp_path, "web")]
    keeper.send_signal(asked)
    output, errors = keeper.communicate(timeout=30)
    assert (keeper.returncode, output, errors) == (0, "stopped\n", "")
    assert (tmp_path / "order").read_text().split() == ["web", "broker"]
    assert not any(map(alive, children))


def test_a_child_that_does_not_listen_is_killed_after_its_grace(keep: Keep, tmp_path: Path) -> None:
    keeper = keep("one:stubborn")
    child = started(tmp_path, "one")
    keeper.terminate()
    begun = time.monotonic()
    keeper.communicate(timeout=30)
    assert time.monotonic() - begun >= 1.4  # it was given its grace of 1.5 s
    assert keeper.returncode == 0
    assert not alive(child)


def test_a_second_signal_cuts_the_grace_short(keep: Keep, tmp_path: Path) -> None:
    keeper = keep("one:stubborn", "two:good")
    child = started(tmp_path, "one")
    started(tmp_path, "two")
    keeper.send_signal(signal.SIGINT)
    wait_for(lambda: (tmp_path / "order").exists())  # the first has been taken in: the last stage is stopping
    begun = time.monotonic()
    keeper.send_signal(signal.SIGINT)
    keeper.communicate(timeout=30)
    assert time.monotonic() - begun < 1
    assert not alive(child)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's tether is Linux's; test_tether has the other one")
def test_a_killed_keeper_takes_all_children_along(keep: Keep, tmp_path: Path) -> None:
    keeper = keep("one:good,two:stubborn")
    children = [started(tmp_path, "one"), started(tmp_path, "two")]
    keeper.kill()
    wait_for(lambda: not any(map(alive, children)), seconds=3)


def test_a_program_that_is_not_there_counts_as_a_death(tmp_path: Path) -> None:
    deaths: list[Death] = []
    with Children(on_death=deaths.append) as children:
        children.start(Child("none", ["/no/such/program"], log=tmp_path / "none.log"))
        assert children.tend(until=lambda: bool(deaths), every=0.02)
    assert (deaths[0].code, deaths[0].last_words) == (127, "/no/such/program: No such file or directory")


def test_a_child_that_cannot_even_be_logged_is_tried_again(tmp_path: Path) -> None:
    deaths: list[Death] = []
    log = tmp_path / "later" / "one.log"
    with Children(on_death=deaths.append) as children:
        children.start(Child("one", [sys.executable, "-c", "print('here')"], log=log))
        assert deaths
        log.parent.mkdir()
        assert children.tend(until=lambda: logs.tail(log) == "here", every=0.02)


def test_one_program_is_run_to_its_end(tmp_path: Path) -> None:
    with Children() as children:
        assert children.run(Child("good", [sys.executable, "-c", "print('done')"], log=tmp_path / "log")) == 0
        assert children.run(Child("bad", [sys.executable, "-c", "raise SystemExit(5)"])) == 5
    assert (tmp_path / "log").read_text() == "done\n"


def test_the_signal_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with Children():
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_log_is_capped_while_its_child_goes_on_writing(tmp_path: Path) -> None:
    path = tmp_path / "one.log"
    with path.open("ab", buffering=0) as held:  # as a child holds it
        held.write(b"old line\n" * 100)
        assert not logs.cap(path, 900)
        assert logs.cap(path, 899)
        held.write(b"new line\n")
    assert path.read_bytes() == b"new line\n"
    assert (tmp_path / "one.log.1").stat().st_size == 900


def test_a_tail_is_of_what_this_start_wrote(tmp_path: Path) -> None:
    path = tmp_path / "one.log"
    path.write_text("before\n" + "".join(f"line {n}\n" for n in range(20)))
    assert logs.tail(path, 2) == "line 18\nline 19"
    assert logs.tail(path, 50, start=len("before\n")).startswith("line 0\n")
    assert logs.tail(path, 1, start=10_000) == "line 19"  # it was capped in between
    assert logs.tail(tmp_path / "none") == ""
