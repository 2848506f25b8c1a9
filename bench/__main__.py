"""`./dev bench WHAT`."""

from __future__ import annotations

import argparse

from crashing import DATABASES, FAULTS

from . import bans, crash, delay, dkim, growth, inbound, pages, send


def main() -> None:
    """Run one benchmark, and print its figures."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    what = parser.add_subparsers(dest="what", required=True)

    sending = what.add_parser("send", help="a bulletin's whole path, beside smtp-source and a plain smtplib loop")
    _size(sending, recipients=10_000, connections=4)
    sending.set_defaults(main=send.main)

    signing = what.add_parser("dkim", help="the whole path with RSA-2048 signatures, beside openssl speed")
    _size(signing, recipients=10_000, connections=4)
    signing.set_defaults(main=dkim.main)

    slow = what.add_parser("delay", help="the whole path through a slow network, beside smtp-source")
    _size(slow, recipients=4_000, connections=8)
    slow.add_argument("--milliseconds", type=float, default=10.0, help="delay of each direction")
    slow.set_defaults(main=delay.main)

    crashing = what.add_parser("crash", help="faults at random moments, and whether the account adds up afterwards")
    crashing.add_argument("--recipients", type=int, default=20_000)
    crashing.add_argument("--times", type=int, default=10)
    crashing.add_argument("--database", choices=[*DATABASES, "both"], default="both")
    crashing.add_argument("--fault", nargs="*", choices=list(FAULTS), default=[], metavar="NAME")
    crashing.add_argument("--seed", type=int, default=1, help="decides the random moments")
    crashing.set_defaults(main=crash.main)

    growing = what.add_parser("growth", help="one bulletin to ever more: time to the first, rate, memory, sign-ups")
    growing.add_argument("--sizes", default="10000,100000,1000000", metavar="N,…")
    growing.add_argument("--database", choices=[*DATABASES, "both"], default="both")
    growing.add_argument("--kilobytes", type=int, default=10)
    growing.add_argument("--connections", type=int, default=4)
    growing.set_defaults(main=growth.main)

    coming = what.add_parser("inbound", help="reports of failed mails at a given pace, and sign-ups meanwhile")
    coming.add_argument("--rate", type=int, default=1000, help="reports a second")
    coming.add_argument("--seconds", type=int, default=30)
    coming.add_argument("--kilobytes", type=int, default=4, help="of each report, with the mail that it returns")
    coming.add_argument("--connections", type=int, default=8)
    coming.add_argument("--database", choices=DATABASES, default="postgresql")
    coming.set_defaults(main=inbound.main)

    looking = what.add_parser("pages", help="how long the console's pages take over a large register")
    looking.add_argument("--people", type=int, default=1_000_000)
    looking.add_argument("--bulletins", type=int, default=500)
    looking.add_argument("--times", type=int, default=100, help="how often each page is asked for")
    looking.add_argument("--database", choices=DATABASES, default="postgresql")
    looking.set_defaults(main=pages.main)

    forbidding = what.add_parser("bans", help="a list of a million looked up among a million bans, and their cost")
    forbidding.add_argument("--bans", type=int, default=1_000_000)
    forbidding.add_argument("--lines", type=int, default=1_000_000, help="of the list that is looked up")
    forbidding.add_argument("--people", type=int, default=100_000, help="on the list, for the gate")
    forbidding.add_argument("--imported", type=int, default=100_000, help="new bans that are taken in from a file")
    forbidding.add_argument("--sent", type=int, default=20_000, help="recipients of the bulletin; 0: none is sent")
    forbidding.add_argument("--rounds", type=int, default=5, help="bulletins, with and without bans each")
    forbidding.add_argument("--database", choices=DATABASES, default="postgresql")
    forbidding.set_defaults(main=bans.main)

    chosen = vars(parser.parse_args())
    del chosen["what"]
    chosen.pop("main")(**chosen)


def _size(parser: argparse.ArgumentParser, *, recipients: int, connections: int) -> None:
    parser.add_argument("--recipients", type=int, default=recipients)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kilobytes", type=int, default=10)
    parser.add_argument("--connections", type=int, default=connections)


main()
