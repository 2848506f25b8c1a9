"""How long clients are waited for: a slow line of staff is no reason to cut it, a slow attack is."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from flask import Flask

import staffing
from commanding import environment
from mailinglist import db
from mailinglist.cli.slow_line import Line, Patience
from mailinglist.consent import import_jobs
from mailinglist.settings import Settings
from mailinglist.staff.levels import Level
from making import the_list
from servers import free_port, seconds_to_answer, web_role

SHORT = Patience(everybody=1.0, silence=1.0, rate=8192, most=60)


@pytest.fixture
def pair() -> Iterator[tuple[Line, socket.socket]]:
    ours, theirs = socket.socketpair()
    line = Line(ours)
    with line, theirs:
        yield line, theirs


def trickle(client: socket.socket, data: bytes, *, every: float, piece: int = 1) -> threading.Thread:
    """Send so many bytes at a time, until it is all sent or nobody listens."""

    def send() -> None:
        try:
            for start in range(0, len(data), piece):
                client.sendall(data[start : start + piece])
                time.sleep(every)  # its slowness is what is tested
        except OSError:
            return

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def read(line: Line, size: int) -> int:
    """Bytes that came before the line was cut, or `size`."""
    found = 0
    while found < size and (data := line.recv(65536)):
        found += len(data)
    return found


@pytest.mark.parametrize("known", [False, True])
def test_whoever_sends_a_byte_at_a_time_is_cut_off(pair: tuple[Line, socket.socket], known: bool) -> None:
    line, theirs = pair
    line.begin(Patience(everybody=0.3, silence=0.3, rate=8192, most=60))
    if known:  # a byte at a time is no slow line, either
        line.be_patient()
    began = time.monotonic()
    thread = trickle(theirs, b"x" * 100, every=0.02)
    assert read(line, 1000) < 60
    assert 0.2 < time.monotonic() - began < 3
    thread.join()


@pytest.mark.parametrize("known", [False, True])
def test_a_slow_line_of_staff_is_waited_for_as_long_as_something_moves(
    pair: tuple[Line, socket.socket], known: bool
) -> None:
    line, theirs = pair
    line.begin(Patience(everybody=0.3, silence=0.3, rate=8192, most=60))
    if known:
        line.be_patient()
    data = b"x" * 64_000
    thread = trickle(theirs, data, every=0.05, piece=4_000)  # 80 kB a second, for 0.8 seconds
    found = read(line, len(data))
    assert (found == len(data)) is known
    thread.join()


def test_there_is_an_end_to_it(pair: tuple[Line, socket.socket]) -> None:
    line, theirs = pair
    line.begin(Patience(everybody=0.1, silence=0.3, rate=1, most=0.4))
    line.be_patient()
    thread = trickle(theirs, b"x" * 80_000, every=0.02, piece=1000)
    assert 1000 < read(line, 80_000) < 80_000
    thread.join()


def test_a_slow_reader_gets_it_all_and_one_who_does_not_read_is_cut_off(pair: tuple[Line, socket.socket]) -> None:
    line, theirs = pair
    data = bytes(range(256)) * 8192  # 2 MB: more than the kernel keeps
    got = bytearray()

    def take() -> None:
        while len(got) < len(data) and (piece := theirs.recv(65536)):
            got.extend(piece)
            time.sleep(0.01)  # a slow reader

    line.begin(Patience(everybody=0.1, silence=0.5, rate=8192, most=60))
    line.be_patient()
    thread = threading.Thread(target=take)
    thread.start()
    line.sendall(data)
    thread.join()
    assert bytes(got) == data
    line.begin(Patience(everybody=0.1, silence=0.2, rate=8192, most=60))
    line.be_patient()
    began = time.monotonic()
    with pytest.raises(BrokenPipeError):
        line.sendall(data)
    assert time.monotonic() - began < 3


def test_what_the_program_takes_does_not_count_and_the_next_request_begins_anew(
    pair: tuple[Line, socket.socket],
) -> None:
    line, theirs = pair
    line.begin(Patience(everybody=0.2))
    time.sleep(0.25)  # the program takes longer than a client may
    theirs.sendall(b"a")
    assert line.recv(10) == b"a"
    for _ in range(3):
        line.begin(Patience(everybody=0.2))
        threading.Timer(0.1, theirs.sendall, [b"b"]).start()
        assert line.recv(10) == b"b"
        line.end()


# ── the server as it runs ─────────────────────────────────────────────────────────────────────────────────────────────

_SERVE = f"""
from mailinglist import cli
from mailinglist.cli import web_server
from mailinglist.cli.slow_line import Patience
web_server.PATIENCE = {SHORT}
raise SystemExit(cli.main(["web"]))
"""


@pytest.fixture
def extra_settings() -> dict[str, str]:
    bind = f"127.0.0.1:{free_port()}"
    return {"bind": bind, "base_url": f"http://{bind}"}


@pytest.fixture
def port(app: Flask, settings: Settings) -> Iterator[int]:
    """Where the web role listens, with little patience."""
    number = settings.web_bind.port
    with web_role(number, "-c", _SERVE, environment=environment(settings)):
        yield number


def upload(who: staffing.Signed, settings: Settings, port: int, *, cookie: str) -> tuple[bytes, float]:
    """A file of people on a line of 64 KB a second. The first line of the answer, and how many seconds it took."""
    people = "email\r\n" + "".join(f"somebody.with.a.long.name.{number}@example.fi\r\n" for number in range(4_000))
    border = "----border"
    parts = [("csrf", who.token()), ("list", "tector-tiedottaa")]
    body = "".join(
        f'--{border}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in parts
    )
    body += f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="people.csv"\r\n\r\n{people}\r\n'
    data = f"{body}--{border}--\r\n".encode()
    head = (
        f"POST /staff/imports HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: {settings.base_url}\r\n"
        f"Cookie: staff={cookie}\r\nContent-Type: multipart/form-data; boundary={border}\r\n"
        f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    )
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(head.encode())
        thread = trickle(client, data, every=0.125, piece=8192)
        try:
            answer = client.recv(4096)
        except OSError:
            answer = b""
        took = time.monotonic() - began
        thread.join()
    return answer.partition(b"\r\n")[0], took


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_staff_upload_over_a_slow_line_and_slow_attacks_hold_up_nobody(
    app: Flask, settings: Settings, port: int
) -> None:
    registrar = staffing.signed_in(app, Level.REGISTRAR)
    line, took = upload(registrar, settings, port, cookie=registrar.secret)
    assert line.startswith(b"HTTP/1.1 303"), line
    assert took > 2, "longer than everybody is waited for"
    with db.reading() as session:
        [job] = import_jobs.recent(session, the_list(session).id)
    assert job.lines == 4_000

    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
    try:
        for client in slow:
            client.sendall(b"POST /lists/tector-tiedottaa HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\nem")
        threads = [trickle(client, b"x" * 40, every=0.1) for client in slow]
        # More of them than there are threads: two turns of a second each.
        assert seconds_to_answer(port) < 4
        for thread in threads:
            thread.join()
    finally:
        for client in slow:
            client.close()


@pytest.mark.long
@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_who_is_not_signed_in_gets_no_more_time_for_a_large_body(app: Flask, settings: Settings, port: int) -> None:
    registrar = staffing.signed_in(app, Level.REGISTRAR)
    line, took = upload(registrar, settings, port, cookie="none")
    assert not line.startswith(b"HTTP/1.1 200")
    assert took < 2.5
