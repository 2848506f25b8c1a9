"""Whatever the servers do: every parcel gets one result, none arrives twice, and what arrived is known or uncertain.

The crash table of the sending office, as far as one courier can show it.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from posting import QUICK, Posting, courier, parcel, relay

from mailinglist.delivery.smtp import Outcome, Parcel, Result
from mailservers import ALL, DROP, HANG, PATIENCE, Answer, MailServer, Moment, says

LIMITS = replace(
    QUICK, greeting=0.1, hello=0.1, mail=0.1, rcpt=0.1, data=0.1, block=0.1, final=0.1, rest_first=0.005, rest_most=0.02
)
COMMANDS = ("MAIL", "RCPT", "DATA", "CONTENT", "RSET", "NOBODY")
FAULTS = {
    "drop": lambda moment: DROP,
    "hang": lambda moment: HANG,
    "421": lambda moment: says("421 4.3.2 closing", drop=True),
    "421-and-stay": lambda moment: says("421 4.3.2 closing") if moment.at != "BODY" else None,
    "451": lambda moment: says("451-4.3.0 not", "451 4.3.0 now") if moment.at in COMMANDS else None,
    "550": lambda moment: says("550 5.1.1 no such") if moment.at in COMMANDS else None,
    "garbage": lambda moment: Answer(b"\x00\xffhello\r\n", drop=moment.at != "CONTENT"),
    "half-an-answer": lambda moment: Answer(b"250 2.0", drop=True),
    "one-too-many": lambda moment: says("250 ok", "250 ok") if moment.at in ("MAIL", "RCPT") else None,
    "kept-and-gone": lambda moment: Answer(drop=True, store=True) if moment.at == "CONTENT" else DROP,
    "kept-and-silent": lambda moment: Answer(hang=True, store=True) if moment.at == "CONTENT" else None,
    "kept-and-garbled": lambda moment: Answer(b"2x0\r\n", store=True) if moment.at == "CONTENT" else None,
}


class Faults:
    """Misbehaviour by plan: at the n-th moment of all, this."""

    def __init__(self, plan: Sequence[tuple[int, str]]) -> None:
        self._plan: dict[int, str] = {}
        at = 0
        for gap, fault in plan:
            at += gap
            self._plan[at] = fault
        self._count = 0
        self._lock = threading.Lock()

    def __call__(self, moment: Moment) -> Answer | None:
        if moment.at in ("QUIT", "AUTH"):
            return None
        with self._lock:
            self._count += 1
            fault = self._plan.get(self._count)
        return FAULTS[fault](moment) if fault else None


class Persistent(Posting):
    """Hands in again what came back unsent, as the program does."""

    def __init__(self, parcels: Sequence[Parcel]) -> None:
        super().__init__(parcels)
        self._all = {each.key: each for each in parcels}
        self.final: Counter[int] = Counter()

    def settle(self, results: Sequence[Result]) -> None:
        super().settle(results)
        for result in results:
            if result.outcome is Outcome.UNSENT:
                self.waiting.append(self._all[result.key])
            else:
                self.final[result.key] += 1


PIPELINING_OR_NOT = pytest.mark.parametrize("offers", [ALL, ALL[1:]], ids=["pipelining", "no-pipelining"])
ANY_FAULTS = given(
    plan=st.lists(st.tuples(st.integers(1, 40), st.sampled_from(sorted(FAULTS))), max_size=15),
    connections=st.integers(1, 4),
    split=st.booleans(),
    servers=st.integers(1, 2),
)
SLOW = [HealthCheck.too_slow]


@PIPELINING_OR_NOT
@ANY_FAULTS
# A worse relay hangs on a parcel while the better one is back.
@example(plan=[(8, "hang"), (24, "421"), (35, "421"), (7, "hang")], connections=1, split=False, servers=2)
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=SLOW)
def test_nothing_is_lost_and_nothing_arrives_twice(
    offers: tuple[str, ...], plan: list[tuple[int, str]], connections: int, split: bool, servers: int
) -> None:
    _account_adds_up(offers, plan, connections, split, servers)


@pytest.mark.long
@pytest.mark.timeout(600)
@PIPELINING_OR_NOT
@ANY_FAULTS
@settings(max_examples=400, deadline=None, suppress_health_check=SLOW)
def test_nothing_is_lost_and_nothing_arrives_twice_at_length(
    offers: tuple[str, ...], plan: list[tuple[int, str]], connections: int, split: bool, servers: int
) -> None:
    _account_adds_up(offers, plan, connections, split, servers)


def _account_adds_up(
    offers: tuple[str, ...], plan: list[tuple[int, str]], connections: int, split: bool, servers: int
) -> None:
    parcels = [parcel(key, f"Subject: {key}\r\n\r\n{'x' * 70}\r\n".encode()) for key in range(60)]
    posting, faults = Persistent(parcels), Faults(plan)
    with ExitStack() as stack:
        running = [stack.enter_context(MailServer(faults, offers=offers, split=split)) for _ in range(servers)]
        relays = [relay(server.port) for server in running]
        ours = stack.enter_context(closing(courier(*relays, connections=connections, timeouts=LIMITS)))
        until = time.monotonic() + 2 * PATIENCE
        while sum(posting.final.values()) < len(parcels):
            assert time.monotonic() < until, "it doesn't come to an end"
            posting.carry(ours)
            time.sleep(ours.retry_in)  # as the caller of a courier does
    stored = Counter(recipient for server in running for recipient in server.recipients())
    outcomes = {result.key: result.outcome for result in posting.results if result.outcome is not Outcome.UNSENT}
    by_outcome = {
        outcome: {f"r{key}@example.org" for key, each in outcomes.items() if each is outcome} for outcome in Outcome
    }
    assert posting.final == dict.fromkeys(range(60), 1), "exactly one final result each"
    assert set(stored.values()) <= {1}, "nothing twice"
    assert by_outcome[Outcome.ACCEPTED] <= set(stored)
    assert set(stored) - by_outcome[Outcome.ACCEPTED] <= by_outcome[Outcome.UNCERTAIN]
    assert len(by_outcome[Outcome.UNCERTAIN]) <= len(plan), "one fault makes one parcel uncertain at most"
    if "one-too-many" not in {fault for _, fault in plan}:  # whoever is answered too early goes on too early
        assert [each for server in running for each in server.violations] == []
