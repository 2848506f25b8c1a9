"""How much of what the cores can sign is left when the whole path runs beside it: a signed bulletin (RSA-2048), on
SQLite and on PostgreSQL, against `openssl speed` on all cores, which do nothing else then.

In alternating order. The mail server, the database and the worker share the cores with the signing. So the last table
says where their time goes, and what the ratio would be if no core were ever idle: more can't be had on this machine
with these programs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import servers

from . import stage
from .stage import Contestant, Figure

_SECONDS = 3  # of each `openssl speed`
_OPENSSL = "openssl"


def main(*, recipients: int, rounds: int, kilobytes: int, connections: int) -> None:
    """Print the figures of each round, then medians and ratios, then where the time goes."""
    openssl = shutil.which("openssl")
    if openssl is None:
        sys.exit("bench: openssl is missing: it is in Debian's package openssl")
    with stage.folder() as folder, stage.sink() as (port, sink), stage.postgres() as server:
        contestants = [
            *_ours(folder, server, port, recipients, kilobytes, connections),
            Contestant(_OPENSSL, lambda: _signatures(openssl)),
        ]
        figures = stage.in_turns(contestants, rounds, sink)
    print(f"\n{recipients:,} recipients, {kilobytes} KB, {connections} connections, {stage.machine()}")
    _print(figures)


def _print(figures: dict[str, list[Figure]]) -> None:
    cores = os.cpu_count() or 1
    alone = figures[_OPENSSL]
    for name, found in figures.items():
        ratio = stage.ratio([each.rate for each in found], [each.rate for each in alone], _OPENSSL)
        print(f"{name:<20} {stage.median(found, 'rate'):>8,.0f}/s  {ratio}")
    signing = cores * 1e6 / stage.median(alone, "rate")
    print(f"\nwhere the {cores} cores' time goes, µs a mail; a signature takes {signing:.0f} µs of a core")
    print(f"  {'':<20} {'sender':>8} {'database':>8} {'sink':>8} {'idle':>8}   if none were idle")
    for name, found in figures.items():
        if name != _OPENSSL:
            parts = [stage.median(found, part) for part in ("sender", "database", "sink")]
            idle = cores * 1e6 / stage.median(found, "rate") - sum(parts)
            told = " ".join(f"{part:8.0f}" for part in (*parts, idle))
            print(f"  {name:<20} {told}   {signing / sum(parts):.2f} × openssl")


def _ours(
    folder: Path, server: servers.Postgres | None, port: int, recipients: int, kilobytes: int, connections: int
) -> Iterator[Contestant]:
    key = folder / "dkim.pem"
    key.write_bytes(
        rsa.generate_private_key(65537, 2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    for name, url in stage.databases(folder, server):
        for how, setting in (("signed", {"dkim": f"bench:example.fi:{key}"}), ("unsigned", {})):
            app = stage.application(folder / name, url, port, connections, **setting)
            if how == "signed":  # both share the database
                stage.fill(app, recipients)
            whole_path = partial(stage.whole_path, app, recipients, kilobytes)
            yield Contestant(f"{name}, {how}", whole_path, server if name == "PostgreSQL" else None)


def _signatures(openssl: str) -> tuple[int, float]:
    """RSA-2048 signatures, on all cores: how many, in how many seconds."""
    words = [openssl, "speed", "-seconds", str(_SECONDS), "-multi", str(os.cpu_count() or 1), "rsa2048"]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    found = re.search(r"^rsa\s+2048 bits\s+\S+\s+\S+\s+([0-9.]+)", said, re.MULTILINE)
    assert found is not None, said
    return round(float(found[1]) * _SECONDS), float(_SECONDS)
