"""Shared limits: counted together in the broker, alone without it, and never slow."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import time_machine

import servers
from mailinglist.observe import counts
from mailinglist.pace import JOINING, LEAVING, Pace, TooMany, client_of
from mailinglist.settings import Settings


def pace_of(url: str | None = None) -> Pace:
    return Pace(Settings.of(broker_url=url) if url else Settings.of())


def spend(pace: Pace, times: int, *, client: str = "192.0.2.1", what: str = JOINING) -> int:
    """How many of so many uses were let through."""
    through = 0
    for _ in range(times):
        try:
            pace.spend(what, client)
        except TooMany:
            continue
        through += 1
    return through


@pytest.fixture(params=["memory", "valkey"])
def pace(request: pytest.FixtureRequest) -> Pace:
    if request.param == "memory":
        return pace_of()
    return pace_of(request.getfixturevalue("valkey").url)


class TestLimits:
    def test_ten_a_minute(self, pace: Pace) -> None:
        assert spend(pace, 12) == 10
        with pytest.raises(TooMany) as refused:
            pace.spend(JOINING, "192.0.2.1")
        assert 1 <= refused.value.wait <= 60
        assert refused.value.http_status == 429

    def test_of_each_client_and_each_form_apart(self, pace: Pace) -> None:
        assert spend(pace, 12) == 10
        assert spend(pace, 12, client="192.0.2.2") == 10
        assert spend(pace, 12, what=LEAVING) == 10

    def test_sixty_an_hour_in_any_hour(self) -> None:
        pace, through = pace_of(), 0
        with time_machine.travel(1_800_000_000, tick=False) as clock:
            for _ in range(10):
                through += spend(pace, 10)
                clock.shift(61)
            assert through == 60
            with pytest.raises(TooMany) as refused:
                pace.spend(JOINING, "192.0.2.1")
            assert refused.value.wait == pytest.approx(3600 - 10 * 61, abs=2)
            clock.shift(refused.value.wait + 1)
            assert spend(pace, 5) == 5

    def test_two_processes_count_together(self, valkey: servers.Valkey) -> None:
        one, other = pace_of(valkey.url), pace_of(valkey.url)
        assert spend(one, 6) + spend(other, 6) == 10

    def test_once_is_once_for_all(self, valkey: servers.Valkey) -> None:
        one, other = pace_of(valkey.url), pace_of(valkey.url)
        assert one.once("proof", seconds=60)
        assert not other.once("proof", seconds=60)
        assert other.once("another proof", seconds=60)


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"), ("::ffff:192.0.2.7", "192.0.2.7"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"), ("fe80::1%eth0", "fe80::/64"), (None, "unknown"), ("", "unknown"),
        ("unix:", "unknown"), ("192.0.2.7, 198.51.100.1", "unknown"),
    ],
)  # fmt: skip
def test_who_one_client_is(address: str | None, client: str) -> None:
    assert client_of(address) == client


class TestWithoutTheBroker:
    def test_a_process_counts_by_itself_and_fast(self, valkey: servers.Valkey) -> None:
        pace = pace_of(valkey.url)
        assert spend(pace, 3) == 3
        valkey.kill()
        before, started = counts().get("pace_alone", 0), time.monotonic()
        assert spend(pace, 12) == 10
        assert pace.once("proof", seconds=60)
        assert not pace.once("proof", seconds=60)
        assert time.monotonic() - started < 0.5
        assert counts()["pace_alone"] == before + 1
        assert not pace.reachable()

    def test_a_process_that_starts_then_counts_too(self, tmp_path: Path) -> None:
        pace = pace_of(f"redis+socket://{tmp_path}/nobody.sock?virtual_host=0")
        assert spend(pace, 12) == 10

    def test_it_is_asked_again_after_a_pause(self, valkey: servers.Valkey) -> None:
        pace = pace_of(valkey.url)
        valkey.kill()
        assert spend(pace, 10) == 10
        valkey.start()
        assert spend(pace, 1) == 0, "it is not asked at once"
        pace._alone_until = time.monotonic()  # the pause is over
        assert spend(pace, 12) == 10, "counted in the broker again"

    @pytest.fixture
    def hanging(self, valkey: servers.Valkey) -> Iterator[servers.Valkey]:
        """A broker that takes connections and says nothing."""
        assert valkey.process is not None
        os.kill(valkey.process.pid, signal.SIGSTOP)
        yield valkey
        os.kill(valkey.process.pid, signal.SIGCONT)

    def test_one_that_hangs_costs_a_fifth_of_a_second_once(self, hanging: servers.Valkey) -> None:
        pace = pace_of(hanging.url)
        started = time.monotonic()
        assert spend(pace, 12) == 10
        assert time.monotonic() - started < 0.6


@pytest.mark.parametrize(
    "url",
    ["redis://:pass%20word@127.0.0.1:1/3", "rediss://broker.example:6380/0", "redis+socket:///tmp/x.sock", "memory://"],
)
def test_every_kind_of_broker_url_is_understood(url: str) -> None:
    assert pace_of(url)
