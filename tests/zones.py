"""A real DNS server on loopback, for tests."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import dns.message
import dns.rcode
import dns.resolver
import dns.rrset


@contextmanager
def zone(records: dict[str, list[str]]) -> Iterator[dns.resolver.Resolver]:
    """A resolver that asks a real DNS server on loopback, which knows these TXT records and no other name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def work() -> None:
            while True:
                try:
                    data, peer = server.recvfrom(4096)
                except OSError:
                    return
                if not data:
                    return
                query = dns.message.from_wire(data)
                name = query.question[0].name
                answer = dns.message.make_response(query)
                found = records.get(str(name).rstrip("."))
                if found is None:
                    answer.set_rcode(dns.rcode.NXDOMAIN)
                else:
                    strings = [
                        " ".join(f'"{record[i : i + 200]}"' for i in range(0, len(record), 200)) for record in found
                    ]
                    answer.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", *strings))
                server.sendto(answer.to_wire(), peer)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], server.getsockname()[1]
        yield resolver
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", server.getsockname())
        thread.join(10)
