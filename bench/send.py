"""From the register to the mail server: first to last acceptance of one bulletin, on SQLite and on PostgreSQL.

Beside it, in alternating order and through the same smtp-sink: Postfix's smtp-source with as many connections, and the
loop that everybody would write first (smtplib and EmailMessage). What counts are the ratios: machines are noisy.
"""

from __future__ import annotations

import smtplib
import time
from collections.abc import Iterator
from email.message import EmailMessage
from functools import partial
from pathlib import Path

import servers

from . import parts, stage
from .stage import Contestant, Figure

_SOURCE = "smtp-source"
_LOOP = 500  # mails of the plain loop: it is slow


def main(*, recipients: int, rounds: int, kilobytes: int, connections: int) -> None:
    """Print the figures of each round, then medians and ratios, then where the time goes."""
    source = stage.smtp_source()
    if source is None:
        print(
            "smtp-source and smtp-sink are missing (Debian's package postfix): a bundled sink serves, nothing compares"
        )
    with stage.folder() as folder, stage.sink() as (port, sink), stage.postgres() as server:
        ours = list(_ours(folder, server, port, recipients, kilobytes, connections))
        contestants = [*ours]
        if source is not None:
            for more in ((), ("-d",)):
                send = partial(stage.beside, source, port, recipients, kilobytes, connections, *more)
                contestants.append(Contestant(" ".join((_SOURCE, *more)), send))
        contestants.append(Contestant("smtplib loop", lambda: _plain_loop(port, kilobytes)))
        figures = stage.in_turns(contestants, rounds, sink)
        print(f"\n{recipients:,} recipients, {kilobytes} KB, {connections} connections, {stage.machine()}; ", end="")
        print("µs of processor a mail: of the sender, of PostgreSQL, of the sink")
        _print(figures)
        for each in ours:
            with parts.timed() as spent:
                figure = stage.measured(each, sink)
            _print_parts(each.name, figure, spent, recipients)


def _print(figures: dict[str, list[Figure]]) -> None:
    for name, found in figures.items():
        rate, sender, database, sink = (stage.median(found, part) for part in ("rate", "sender", "database", "sink"))
        ratio = ""
        if _SOURCE in figures:
            ratio = stage.ratio([each.rate for each in found], [each.rate for each in figures[_SOURCE]], _SOURCE)
        print(f"{name:<14} {rate:>9,.0f}/s  {ratio}  {sender:6.0f} {database:5.0f} {sink:5.0f}")


def _print_parts(name: str, figure: Figure, spent: dict[str, parts.Part], recipients: int) -> None:
    print(f"\nwhere the time goes on {name}, µs a mail ({figure.rate:,.0f}/s while it is timed)")
    print(f"  {'part':<28} {'processor':>9} {'waiting':>9} {'calls':>8}")
    for part, found in spent.items():
        cpu, wall = found.cpu / recipients * 1e6, found.wall / recipients * 1e6
        print(f"  {part:<28} {cpu:9.1f} {wall - cpu:9.1f} {found.calls:8,}")
    rest = figure.sender - sum(found.cpu for found in spent.values()) / recipients * 1e6
    print(f"  {'all else of ours':<28} {rest:9.1f}")
    if figure.database:
        print(f"  {'PostgreSQL (its processes)':<28} {figure.database:9.1f}")
    print(f"  {'the sink':<28} {figure.sink:9.1f}")


def _ours(
    folder: Path, server: servers.Postgres | None, port: int, recipients: int, kilobytes: int, connections: int
) -> Iterator[Contestant]:
    for name, url in stage.databases(folder, server):
        app = stage.application(folder / name, url, port, connections)
        stage.fill(app, recipients)
        send = partial(stage.whole_path, app, recipients, kilobytes)
        yield Contestant(name, send, server if name == "PostgreSQL" else None)


def _plain_loop(port: int, kilobytes: int) -> tuple[int, float]:
    text = stage.PARAGRAPH * (kilobytes * 1024 // len(stage.PARAGRAPH.encode()))
    began = time.monotonic()
    with smtplib.SMTP("127.0.0.1", port) as server:
        for number in range(_LOOP):
            message = EmailMessage()
            message["From"], message["To"] = "t@example.fi", f"person{number}@example.fi"
            message["Subject"] = "Bench"
            message.set_content(text)
            message.add_alternative(f"<p>{text}</p>", subtype="html")
            server.send_message(message)
    return _LOOP, time.monotonic() - began
