"""`./dev bench WHAT`."""

from __future__ import annotations

import argparse

from . import send


def main() -> None:
    """Run one benchmark, and print its figures."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    what = parser.add_subparsers(dest="what", required=True)
    sending = what.add_parser("send", help="a bulletin's whole path, beside smtp-source and a plain smtplib loop")
    sending.add_argument("--recipients", type=int, default=10_000)
    sending.add_argument("--rounds", type=int, default=3)
    sending.add_argument("--kilobytes", type=int, default=10)
    sending.add_argument("--connections", type=int, default=4)
    chosen = parser.parse_args()
    send.main(
        recipients=chosen.recipients,
        rounds=chosen.rounds,
        kilobytes=chosen.kilobytes,
        connections=chosen.connections,
    )


main()
