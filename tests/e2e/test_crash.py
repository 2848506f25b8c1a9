"""Faults while a bulletin goes out: each line of `./dev bench crash`, small; and the mail server that it rests on."""

from __future__ import annotations

import random
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import badsink
import crashing
import servers
from housing import Book, House, house

CASES = [(database, fault) for fault in crashing.FAULTS.values() for database in fault.databases]
MAIL = "Subject: Crash 7\r\nTo: {to}\r\n\r\n--x\r\n\r\nHei\r\n.\r\n--x--\r\n"


@pytest.fixture(scope="module")
def houses() -> Iterator[dict[str, House]]:
    """One on each database, for all faults. Slow enough that a fault comes while both workers are at it."""
    with servers.postgres() as server, house(2000, None, rate=700) as small:
        if server is None:
            yield {"sqlite": small}
            return
        with house(2000, server, rate=700) as large:
            yield {"sqlite": small, "postgresql": large}


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("database", "fault"), CASES, ids=[f"{fault.name}-{database}" for database, fault in CASES])
def test_the_account_adds_up_after(houses: dict[str, House], database: str, fault: crashing.Fault) -> None:
    if database not in houses:
        pytest.skip("no PostgreSQL")
    row = crashing.Row(fault.name, database)
    crashing.once(houses[database], fault, random.Random(f"{database} {fault.name}"), row)
    assert (row.lost, row.twice, row.wrong) == (0, 0, []), row


# ── the mail server ───────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def sink(folder: Path, *words: str) -> Iterator[tuple[int, Book]]:
    """A running one: its port, and what it writes down."""
    port = servers.free_port()
    command = [sys.executable, badsink.__file__, "--port", str(port), "--log", str(folder / "log"), "--share", "9"]
    process = subprocess.Popen([*command, *words], preexec_fn=servers.die_with_parent)
    try:
        servers.wait_for(lambda: servers.listens(port))
        yield port, Book(folder / "log")
    finally:
        process.kill()
        process.wait(10)


def hand_over(port: int, to: str, *, patience: float = 10.0) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=patience) as client:
        client.sendmail("a@example.fi", to, MAIL.format(to=to))


def test_it_writes_down_what_it_stores(tmp_path: Path) -> None:
    with sink(tmp_path) as (port, book):
        for to in ("b@example.fi", "c@example.fi", "b@example.fi"):
            hand_over(port, to)
        assert (book.number(7), book.stored[7]["b@example.fi"], book.torn) == (3, 2, [])


@pytest.mark.parametrize("code", sorted(badsink.REFUSALS))
def test_it_writes_down_whom_it_refuses_and_stores_nothing(tmp_path: Path, code: str) -> None:
    with sink(tmp_path, "--fault", code, "--most", "1") as (port, book):
        with pytest.raises(smtplib.SMTPException):
            hand_over(port, "b@example.fi")
        hand_over(port, "c@example.fi")  # it behaves again
        assert (book.number(7), book.faults, list(book.refused.values())) == (1, 1, [{code}])


@pytest.mark.parametrize("fault", ["mid-data", "after-dot", "garbage"])
def test_it_leaves_the_client_without_an_answer(tmp_path: Path, fault: str) -> None:
    with sink(tmp_path, "--fault", fault, "--most", "1") as (port, book):
        with pytest.raises((smtplib.SMTPException, OSError)):
            hand_over(port, "b@example.fi", patience=1)
        book.read()
        assert book.faults == 1


def test_split_replies_are_whole_to_a_client(tmp_path: Path) -> None:
    with sink(tmp_path, "--fault", "split") as (port, book):
        hand_over(port, "b@example.fi")
        assert book.number(7) == 1
