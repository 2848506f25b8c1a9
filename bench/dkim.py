"""How much of what the cores can sign is left when the whole path runs beside it: a signed bulletin (RSA-2048), on
SQLite and on PostgreSQL, against `openssl speed` on all cores, which do nothing else then.

In alternating order. The mail server, the database and the worker share the cores with the signing. So the last table
says where their time goes, and what the ratio would be if no core were ever idle: more can't be had on this machine
with these programs.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from flask import Flask

from mailinglist import migrate
from mailinglist.app import create_app
from mailinglist.settings import Settings

from . import send
from .send import Contestant, Figure

_SECONDS = 3  # of each `openssl speed`
_OPENSSL = "openssl"


def main(*, recipients: int, rounds: int, kilobytes: int, connections: int) -> None:
    """Print the figures of each round, then medians and ratios, then where the time goes."""
    source, openssl = (
        shutil.which("smtp-source") or shutil.which("smtp-source", path="/usr/sbin"),
        shutil.which("openssl"),
    )
    if openssl is None:
        sys.exit("bench: openssl is missing: it is in Debian's package openssl")
    figures: dict[str, list[Figure]] = {}
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="mlbench-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        port, sink = stack.enter_context(send.sink(source))
        server = stack.enter_context(send.servers.postgres(send.PRODUCTION))
        contestants = [
            *_ours(folder, server, port, recipients, kilobytes, connections),
            Contestant(_OPENSSL, lambda: _signatures(openssl)),
        ]
        for number in range(rounds):
            for each in contestants if number % 2 == 0 else reversed(contestants):
                figure = send.measured(each, sink)
                figures.setdefault(each.name, []).append(figure)
                print(f"round {number + 1}  {each.name:<20} {figure.rate:>8,.0f}/s", flush=True)
    print(f"\n{recipients:,} recipients, {kilobytes} KB, {connections} connections, {os.cpu_count()} cores, ", end="")
    print(f"Python {platform.python_version()}")
    _print(figures)


def _print(figures: dict[str, list[Figure]]) -> None:
    cores = os.cpu_count() or 1
    alone = figures[_OPENSSL]
    for name, found in figures.items():
        ratios = [own.rate / other.rate for own, other in zip(found, alone, strict=True)]
        spread = f"[{min(ratios):.2f}–{max(ratios):.2f}]"
        print(f"{name:<20} {_median(found, 'rate'):>8,.0f}/s  {statistics.median(ratios):5.2f} × openssl {spread}")
    signing = cores * 1e6 / _median(alone, "rate")
    print(f"\nwhere the {cores} cores' time goes, µs a mail; a signature takes {signing:.0f} µs of a core")
    print(f"  {'':<20} {'sender':>8} {'database':>8} {'sink':>8} {'idle':>8}   if none were idle")
    for name, found in figures.items():
        if name != _OPENSSL:
            parts = [_median(found, part) for part in ("sender", "database", "sink")]
            idle = cores * 1e6 / _median(found, "rate") - sum(parts)
            told = " ".join(f"{part:8.0f}" for part in (*parts, idle))
            print(f"  {name:<20} {told}   {signing / sum(parts):.2f} × openssl")


def _median(found: list[Figure], part: str) -> float:
    return statistics.median(getattr(figure, part) for figure in found)


def _ours(
    folder: Path, server: send.servers.Postgres | None, port: int, recipients: int, kilobytes: int, connections: int
) -> Iterator[Contestant]:
    key = folder / "dkim.pem"
    key.write_bytes(
        rsa.generate_private_key(65537, 2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    for name, url in databases(folder, server):
        for how, setting in (("signed", {"dkim": f"bench:example.fi:{key}"}), ("unsigned", {})):
            app = application(folder / name, url, port, connections, **setting)
            if how == "signed":  # both share the database
                send.fill(app, recipients)
            whole_path = partial(send.bulletin, app, recipients, kilobytes)
            yield Contestant(f"{name}, {how}", whole_path, server if name == "PostgreSQL" else None)


def databases(folder: Path, server: send.servers.Postgres | None) -> Iterator[tuple[str, str]]:
    """Fresh databases: name and URL of each."""
    yield "SQLite", f"sqlite:///{folder}/bench.db"
    if server is not None:
        yield "PostgreSQL", server.url(server.create("bench"))


def application(folder: Path, url: str, port: int, connections: int, **more: object) -> Flask:
    """The program on a database that is at the newest revision, sending to this port."""
    settings = Settings.of(
        data_dir=folder, database_url=url, smtp_url=f"smtp://127.0.0.1:{port}?starttls=never",
        base_url="https://lists.example.fi", smtp_connections=connections, **send.SECRETS, **more,
    )  # fmt: skip
    app = create_app(settings)
    migrate.upgrade(app)
    return app


def _signatures(openssl: str) -> tuple[int, float]:
    """RSA-2048 signatures, on all cores: how many, in how many seconds."""
    words = [openssl, "speed", "-seconds", str(_SECONDS), "-multi", str(os.cpu_count() or 1), "rsa2048"]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    found = re.search(r"^rsa\s+2048 bits\s+\S+\s+\S+\s+([0-9.]+)", said, re.MULTILINE)
    assert found is not None, said
    return round(float(found[1]) * _SECONDS), float(_SECONDS)
