"""Addresses to listen on: opened, or the reason said in one line."""

from __future__ import annotations

import socket

import pytest

from mailinglist.errors import Fault
from mailinglist.local import ports
from mailinglist.settings import HostPort
from servers import free_port


def test_an_open_address_takes_connections() -> None:
    bind = HostPort("127.0.0.1", free_port())
    with ports.listen(bind, setting="bind"):
        socket.create_connection((bind.host, bind.port), timeout=2).close()


def test_a_taken_address_is_named_with_the_variable_to_change() -> None:
    bind = HostPort("127.0.0.1", free_port())
    with ports.listen(bind, setting="bind"), pytest.raises(Fault) as refusal:
        ports.require_free(bind, setting="catcher_bind")
    assert str(refusal.value).startswith(f"127.0.0.1:{bind.port} is already in use")
    assert str(refusal.value).endswith("MAILINGLIST_CATCHER_BIND")
    assert refusal.value.exit_code == 3
    ports.require_free(bind, setting="bind")  # free again at once


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host.invalid"])
def test_an_address_of_elsewhere_is_refused(host: str) -> None:
    with pytest.raises(Fault, match="is not an address of this machine: choose another with MAILINGLIST_BIND"):
        ports.require_free(HostPort(host, free_port()), setting="bind")


@pytest.mark.parametrize(("host", "found_at"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("127.0.0.1", "127.0.0.1")])
def test_a_wildcard_is_reached_on_loopback(host: str, found_at: str) -> None:
    assert ports.reachable(HostPort(host, 80)) == HostPort(found_at, 80)
