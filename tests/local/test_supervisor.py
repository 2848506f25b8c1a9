"""`mailinglist run`, whole: the real roles on free ports, in a data directory of its own."""

from __future__ import annotations

import os
import re
import signal
import smtplib
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from keeping import alive
from mailinglist.errors import Fault
from mailinglist.local import broker, own_listener, ports, supervisor
from mailinglist.settings import HostPort, Settings
from running import ROLES, Run, get
from servers import wait_for

EVERYBODY = ROLES | {"inbound"}


@pytest.mark.first
def test_it_runs_whole(tmp_path: Path) -> None:
    """One test, since each `run` costs twenty seconds of a processor: tests apart would be given to several processes,
    and each would start its own."""
    run = Run(tmp_path, MAILINGLIST_INBOUND_BIND="auto")
    try:
        run.start()
        _prints_addresses_that_answer(run)
        run.join("matti@example.fi")
        _the_letter_is_answered_in_the_catcher(run)
        for role in ("worker", "web", "broker"):
            _starts_again_what_was_killed(run, role)
        _refuses_a_second_on_the_same_data(run)
        _says_in_one_line_that_an_address_is_taken(run, tmp_path / "elsewhere")
        run.stop()
    finally:
        run.end()


def _prints_addresses_that_answer(run: Run) -> None:
    *lines, first = (re.sub(r" +", " ", line) for line in run.printed)
    assert "".join(lines) == (
        f"Sign-up page: {run.web}/lists/tector-tiedottaa\nStaff console: {run.web}/staff/\n"
        f"Mail catcher: {run.viewer}/\n"
    )
    assert re.fullmatch(rf"First sign-in: {run.web}/staff/enrol/[A-Za-z0-9_-]{{43}}\n", first)
    for line in run.printed:
        assert get(line.split()[-1])[0] == 200
    assert run.below().keys() == EVERYBODY


def _the_letter_is_answered_in_the_catcher(run: Run) -> None:
    (letter,) = run.messages()
    form = {"sender": "matti@example.fi", "to": run.fields(letter["id"])["Reply-To"], "text": "Kyllä"}
    body = urllib.parse.urlencode(form).encode()
    with urllib.request.urlopen(f"{run.viewer}/mail/{letter['id']}/answer", body, timeout=5) as answer:
        assert b"took your answer" in answer.read()
    wait_for(lambda: run.caught() == [["matti@example.fi"]] * 2, seconds=20)  # the welcome letter
    # What a command in another terminal knows: the listener of this run.
    found = own_listener.found(Settings.of(data_dir=run.data_dir))
    assert found.inbound_address is not None
    smtplib.LMTP(found.inbound_address.host, found.inbound_address.port, timeout=5).quit()


def _starts_again_what_was_killed(run: Run, role: str) -> None:
    wait_for(lambda: run.below().keys() == EVERYBODY)  # the one that was killed before may be on its way up
    before = run.below()
    os.kill(before[role], signal.SIGKILL)
    wait_for(lambda: (below := run.below()).keys() == EVERYBODY and below[role] != before[role])
    assert run.below().items() - before.items() == {(role, run.below()[role])}, "the others stay"
    wait_for(lambda: _answers(f"{run.web}/health/ready"))
    wait_for(lambda: broker.find(run.data_dir))


def _answers(url: str) -> bool:
    try:
        return get(url)[0] == 200
    except OSError:
        return False


def _refuses_a_second_on_the_same_data(run: Run) -> None:
    assert run.process is not None
    second = run.call()
    output, errors = second.communicate()
    assert (second.returncode, output) == (3, "")
    assert errors == (
        f"mailinglist: already running on the data directory var (process {run.process.pid}): "
        "stop that one, or set MAILINGLIST_DATA_DIR to another folder\n"
    )


def _says_in_one_line_that_an_address_is_taken(run: Run, data_dir: Path) -> None:
    second = run.call(MAILINGLIST_DATA_DIR=str(data_dir))
    _, errors = second.communicate()
    assert second.returncode == 3
    assert re.fullmatch(r"mailinglist: 127\.0\.0\.1:\d+ is already in use: .* MAILINGLIST_BIND\n", errors)
    assert not broker.find(data_dir)


@pytest.mark.long
def test_the_next_start_has_the_data_and_kill_9_leaves_nobody(tmp_path: Path) -> None:
    run = Run(tmp_path)
    try:
        run.start()
        run.join("matti@example.fi")
        run.stop()
        run.start()
        assert run.caught() == [["matti@example.fi"]]
        everybody = run.everybody()
        assert run.process is not None
        run.process.kill()
        wait_for(lambda: not any(map(alive, everybody)), seconds=5)
    finally:
        run.end()


# ── its parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_data_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = Settings.of(data_dir=tmp_path / "file" / "var")
    with pytest.raises(Fault, match=r"the data directory .* can't be written \(Not a directory\)"):
        supervisor.run(settings)


def test_a_socket_path_that_would_be_too_long_goes_elsewhere(tmp_path: Path) -> None:
    data_dir = tmp_path / ("x" * 100)
    with broker.folder(data_dir) as folder:
        assert len(str(folder)) < 60
        assert folder.stat().st_mode & 0o777 == 0o700
        assert broker.find(data_dir) is None  # nobody answers there yet
        server = subprocess.Popen(broker.command(folder), stdout=subprocess.DEVNULL)
        try:
            assert wait_for(lambda: broker.find(data_dir)) == folder
        finally:
            server.kill()
            server.wait()
    assert not folder.exists()


@pytest.mark.long
def test_a_role_that_never_comes_up_ends_the_run(tmp_path: Path) -> None:
    """The web server's address is taken between the check and the start."""
    run = Run(tmp_path)
    bind = run.environment["MAILINGLIST_BIND"]
    taker = """
import sys
from mailinglist.local import ports, supervisor
from mailinglist.settings import Settings, HostPort
from mailinglist.errors import Fault
taken = ports.listen(Settings.load().web_bind, setting="bind")
supervisor.GIVE_UP = 2
supervisor._require_addresses = lambda settings: None
try:
    supervisor.run(Settings.load().with_keys())
except Fault as fault:
    sys.exit(f"fault: {fault}")
"""
    done = subprocess.run(
        [sys.executable, "-c", taker],
        cwd=tmp_path,
        env=run.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert f"{bind} is already in use" in done.stderr
    assert done.stderr.splitlines()[-1] == "fault: web does not come up (exit code 3); its log is var/log/web.log"
    ports.require_free(HostPort("127.0.0.1", run.viewer_port), setting="catcher_bind")
