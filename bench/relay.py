"""A relay that hands in reports by LMTP, a process of its own: `python -m bench.relay PORT FIRST COUNT RATE KB
CONNECTIONS`.

Each report is about another mail, whose number is in its return path, beginning with FIRST. Prints the seconds from
when each was due until it was answered: the median, the 95th percentile, the last; and how many were refused.
"""

from __future__ import annotations

import socket
import sys
import threading
import time

import reporting
from mailinglist.tokens import Purpose, Tokens

from .stage import SECRETS


def main(port: int, first: int, count: int, rate: int, kilobytes: int, connections: int) -> None:
    """Hand in COUNT reports, RATE a second."""
    tokens = Tokens([SECRETS["secret_keys"]])
    took: list[float] = []
    refused: list[str] = []
    sample = reporting.report("RETURN-PATH", serial=424242, octets=kilobytes * 1024 - 1200)
    began = time.monotonic() + 0.5

    def send(start: int) -> None:
        line = socket.create_connection(("127.0.0.1", port))
        answers = line.makefile("rb")
        answers.readline()
        line.sendall(b"LHLO relay\r\n")
        while answers.readline()[3:4] == b"-":
            pass
        for number in range(start, count, connections):
            named = tokens.issue_for_mail(Purpose.RETURN_PATH, (first + number).to_bytes(6, "big"))
            to = f"b-{named}@{reporting.DOMAIN}".encode()
            raw = sample.replace(b"RETURN-PATH", to).replace(b"424242", b"%d" % number)
            due = began + number / rate
            time.sleep(max(due - time.monotonic(), 0))
            line.sendall(b"MAIL FROM:<>\r\nRCPT TO:<%s>\r\nDATA\r\n" % to)
            said = [answers.readline() for _ in range(3)]
            line.sendall(raw + b".\r\n")
            said.append(answers.readline())
            if not said[-1].startswith(b"250"):
                refused.append(said[-1].decode())
            took.append(time.monotonic() - due)
        line.sendall(b"QUIT\r\n")

    threads = [threading.Thread(target=send, args=(start,)) for start in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took.sort()
    ended = time.monotonic() - began
    print(took[len(took) // 2], took[int(len(took) * 0.95)], took[-1], ended, len(refused))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
