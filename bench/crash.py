"""The crash table: every fault several times, at moments that follow from a seed. What a fault is, and how the account
is held against the mail server's records, is said in tests/crashing.py, which the tests use too."""

from __future__ import annotations

import random
import sqlite3
import statistics
import sys
from collections.abc import Sequence
from contextlib import nullcontext

from crashing import DATABASES, FAULTS, Row, once
from housing import CONNECTIONS, house

from . import stage

_HEAD = (
    f"{'fault':<10} {'database':<10} {'times':>5} {'accepted':>9} {'deferred':>9} {'rejected':>9} {'uncertain':>9} "
    f"{'most unc.':>9} {'lost':>5} {'twice':>5} {'seconds':>7}"
)


def main(*, recipients: int, times: int, database: str, fault: Sequence[str], seed: int) -> None:
    """Print the table. Exits 1 when anything is lost, twice or wrong."""
    print(f"{recipients:,} recipients, 2 workers with {CONNECTIONS} connections each, {stage.machine()}, ", end="")
    print(f"SQLite {sqlite3.sqlite_version}, seed {seed}")
    print(_HEAD, flush=True)
    bad = False
    for kind in DATABASES if database == "both" else (database,):
        chosen = [FAULTS[name] for name in fault or FAULTS if kind in FAULTS[name].databases]
        database_server = stage.postgres(needed=True) if kind == "postgresql" else nullcontext()
        with database_server as server, house(recipients, server) as running:
            for each in chosen:
                row = Row(each.name, kind)
                for nth in range(times):
                    once(running, each, random.Random(f"{seed} {kind} {each.name} {nth}"), row)
                _print(row)
                running.keep |= bool(row.wrong or row.lost or row.twice)
            if running.keep:
                bad = True
                print(f"the logs are in {running.folder}", flush=True)
    if bad:
        sys.exit(1)


def _print(row: Row) -> None:
    counts = " ".join(f"{row.counts[name]:>9,}" for name in ("accepted", "deferred", "rejected", "uncertain"))
    seconds = statistics.median(row.seconds) if row.seconds else 0.0
    print(
        f"{row.fault:<10} {row.database:<10} {len(row.seconds):>5} {counts} {row.most_uncertain:>9,} {row.lost:>5} "
        f"{row.twice:>5} {seconds:>7.1f}",
        flush=True,
    )
    for line in row.wrong:
        print(f"  wrong: {line}", flush=True)
