"""Relays by priority, failover, and connections that are kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace

import pytest
from posting import QUICK, Posting, courier, parcel, post, relay

from mailinglist.delivery.parcels import Outcome, Parcel, Result, Timeouts
from mailinglist.delivery.relays import Standing
from mailinglist.settings import Relay
from mailservers import DROP, HANG, PATIENCE, Answer, MailServer, Moment, says, silent_port
from servers import wait_for

PATIENT = replace(QUICK, rest_first=60.0, rest_most=60.0)


# ── relays ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_first_relay_is_used_while_it_works() -> None:
    with MailServer() as first, MailServer() as second:
        posting = post(10, relay(first.port), relay(second.port), connections=3)
    assert posting.outcomes == {Outcome.ACCEPTED: 10}
    assert len(first.stored) == 10
    assert second.connections == 0


@pytest.mark.parametrize("at", ["refused", "GREETING", "EHLO", "AUTH", "dropped", "unknown"])
def test_the_next_relay_takes_over(at: str) -> None:
    def fail(moment: Moment) -> Answer | None:
        if at == "dropped" and moment.at == "GREETING":
            return DROP
        return says("454 4.3.0 not now") if moment.at == at else None

    with silent_port() as nobody, MailServer(fail, users={"u": "p"}) as first, MailServer() as second:
        better = Relay("127.0.0.1", nobody if at == "refused" else first.port, "none", "u", "p")
        if at == "unknown":
            better = Relay("relay.invalid", 25, "none")
        posting = post(20, better, relay(second.port), timeouts=PATIENT, connections=2)
    assert posting.outcomes == {Outcome.ACCEPTED: 20}
    assert len(second.stored) == 20
    assert first.connections <= 1, "a relay that failed is left alone"


def test_a_greeting_that_does_not_come_holds_up_no_other_relay() -> None:
    """Five minutes are long (RFC 5321 §4.5.3.2.1)."""

    def silent(moment: Moment) -> Answer | None:
        return HANG if moment.at == "GREETING" else None

    limits = replace(PATIENT, connect=0.1, greeting=300.0)
    with MailServer(silent) as first, MailServer() as second:
        posting = post(3, relay(first.port), relay(second.port), timeouts=limits)
    assert posting.outcomes == {Outcome.ACCEPTED: 3}
    assert posting.results[0].relay.endswith(str(second.port))


def test_when_no_relay_can_be_had_the_parcels_come_back_with_the_reason() -> None:
    def refuse(moment: Moment) -> Answer | None:
        return says("554 5.7.1 not you", drop=True)

    posting = Posting(30)
    with silent_port() as nobody, MailServer(refuse) as server:
        ours = courier(relay(nobody), relay(server.port), timeouts=PATIENT)
        with closing(ours):
            assert ours.retry_in == 0
            posting.carry(ours)
            assert posting.outcomes == {Outcome.UNSENT: 30 - len(posting.waiting)}
            text = posting.results[0].text
            assert f"127.0.0.1:{nobody} can't be reached (Connection refused)" in text
            assert f"127.0.0.1:{server.port} greets with 554 not you" in text
            assert 50 < ours.retry_in <= 60
            asked = len(posting.fetches)
            posting.carry(ours)
            assert len(posting.fetches) == asked, "nothing is fetched while nothing could be sent"


def test_a_relay_that_takes_connections_and_no_mail_is_left_alone() -> None:
    def hang_up(moment: Moment) -> Answer | None:
        return says("421 4.3.2 overloaded", drop=True) if moment.at == "MAIL" else None

    with MailServer(hang_up) as first, MailServer() as second:
        posting = post(10, relay(first.port), relay(second.port), timeouts=PATIENT)
    assert posting.outcomes == {Outcome.UNSENT: 1, Outcome.ACCEPTED: 9}
    assert first.connections == 1


def test_two_connections_where_the_server_allows_two() -> None:
    full = threading.Event()

    def only_two(moment: Moment) -> Answer | None:
        if moment.connection >= 2 and moment.at == "GREETING":
            full.set()
            return says("421 4.7.0 too many connections", drop=True)
        # Until a third is tried, the two are kept busy.
        return Answer(b"250 ok\r\n", before=lambda: full.wait(PATIENCE)) if moment.at == "CONTENT" else None

    with MailServer(only_two) as server:
        posting = post(30, relay(server.port), connections=5, timeouts=PATIENT)
    assert posting.outcomes == {Outcome.ACCEPTED: 30}
    assert 3 <= server.connections <= 5


def _away_until(back: threading.Event, then: Callable[[Moment], Answer | None] = lambda moment: None) -> MailServer:
    """A server that takes nobody until it is back."""

    def away(moment: Moment) -> Answer | None:
        gone = moment.at == "GREETING" and not back.is_set()
        return says("421 soon", drop=True) if gone else then(moment)

    return MailServer(away)


def test_the_better_relay_is_taken_up_again_though_the_worse_one_keeps_up() -> None:
    """Nothing ever waits for a connection, and still the better relay is tried."""
    back, seen = threading.Event(), list[str]()
    until = time.monotonic() + PATIENCE
    posting = Posting(0)

    def one_at_a_time(count: int) -> list[Parcel]:
        assert time.monotonic() < until, "the better relay was never used again"
        return [] if name in seen[-1:] else [parcel(0)]

    def note(results: Sequence[Result]) -> None:
        seen.extend(result.relay for result in results)
        if len(seen) > 20:
            back.set()

    posting.fetch, posting.on_settle = one_at_a_time, note
    with (
        _away_until(back) as first,
        MailServer() as second,
        closing(courier(relay(first.port), relay(second.port), connections=2)) as ours,
    ):
        name = f"127.0.0.1:{first.port}"
        posting.carry(ours)
    assert seen[0] == f"127.0.0.1:{second.port}"
    assert seen[-1] == name
    assert set(posting.outcomes) == {Outcome.ACCEPTED}


def test_a_worse_relay_is_given_no_more_once_the_better_is_back() -> None:
    back, served = threading.Event(), threading.Event()

    def hold(moment: Moment) -> Answer | None:
        if moment.at != "CONTENT" or moment.nth:
            return None
        back.set()
        return Answer(b"250 ok\r\n", before=lambda: served.wait(PATIENCE))

    def wait_for_its_leaving(moment: Moment) -> Answer | None:
        if moment.at != "CONTENT" or moment.nth:
            return None
        served.set()
        return Answer(b"250 ok\r\n", before=lambda: wait_for(lambda: "QUIT" in second.verbs()))

    posting = Posting(100)
    posting.fetch = lambda count, fetch=posting.fetch: fetch(100)
    with _away_until(back, wait_for_its_leaving) as first, MailServer(hold) as second:
        with closing(courier(relay(first.port), relay(second.port))) as ours:
            posting.carry(ours)
        assert len(second.stored) == 2, "what was on its way there, and no more"
        assert len(first.stored) == 98
    assert posting.outcomes == {Outcome.ACCEPTED: 100}


def test_a_parcel_that_hangs_at_a_worse_relay_goes_to_the_better_one_that_is_back() -> None:
    back = threading.Event()

    def hang_on_second(moment: Moment) -> Answer | None:
        return Answer(hang=True, before=back.set) if moment.at == "MAIL" and moment.nth == 1 else None

    limits = replace(QUICK, mail=0.3)
    with (
        _away_until(back) as first,
        MailServer(hang_on_second) as second,
        closing(courier(relay(first.port), relay(second.port), timeouts=limits)) as ours,
    ):
        assert Posting(1).carry(ours).outcomes == {Outcome.ACCEPTED: 1}
        assert Posting(20).carry(ours).outcomes == {Outcome.ACCEPTED: 20}
    assert len(second.stored) == 1
    assert len(first.stored) == 20


def test_an_idle_connection_takes_over_from_one_that_died_while_no_new_one_may_be_tried() -> None:
    full, dying = threading.Event(), threading.Event()

    def only_two(moment: Moment) -> Answer | None:
        if moment.connection >= 2 and moment.at == "GREETING":
            full.set()
            return says("421 4.7.0 too many connections", drop=True)
        if moment.at == "MAIL" and dying.is_set():
            dying.clear()
            return DROP
        return Answer(b"250 ok\r\n", before=lambda: full.wait(PATIENCE)) if moment.at == "CONTENT" else None

    with MailServer(only_two) as server, closing(courier(relay(server.port), connections=3, timeouts=PATIENT)) as ours:
        assert Posting(30).carry(ours).outcomes == {Outcome.ACCEPTED: 30}
        dying.set()
        assert Posting(1).carry(ours).outcomes == {Outcome.ACCEPTED: 1}
    assert not dying.is_set()
    assert server.connections == 3


def test_rest_grows_and_ends_with_success() -> None:
    limits = Timeouts(rest_first=1.0, rest_most=10.0)
    standing = Standing(relay(25), 0)
    now, rests = 1000.0, []
    for _ in range(6):
        assert standing.failed("down", now, limits)
        assert not standing.failed("down", now, limits), "several at once are one failure"
        rests.append(standing.rest_until - now)
        assert standing.rests(now)
        now = standing.rest_until
        assert not standing.rests(now)
    assert rests == [1, 2, 4, 8, 10, 10]
    standing.worked(dialled_at=now - 100)
    assert standing.rests(now - 1), "it was dialled before the failure"
    standing.worked(dialled_at=now)
    assert not standing.rests(now - 1)
    assert standing.failed("down", now, limits)
    assert standing.rest_until - now == 1


def test_a_relay_down_for_years_still_rests() -> None:
    standing = Standing(relay(25), 0, failures=5000)
    assert standing.failed("down", 0.0, Timeouts())
    assert standing.rest_until == 300


# ── connections that are kept ───────────────────────────────────────────────────────────────────────────────────────


def test_connections_are_used_again() -> None:
    with MailServer() as server, closing(courier(relay(server.port))) as ours:
        for _ in range(4):
            assert Posting(3).carry(ours).outcomes == {Outcome.ACCEPTED: 3}
    assert server.connections == 1
    assert server.verbs().count("EHLO") == server.verbs().count("QUIT") == 1


def test_a_connection_idle_for_long_is_closed_and_another_opened() -> None:
    limits = replace(QUICK, idle=0.0)
    with MailServer() as server, closing(courier(relay(server.port), timeouts=limits)) as ours:
        for _ in range(2):
            assert Posting(3).carry(ours).outcomes == {Outcome.ACCEPTED: 3}
    assert server.connections == 2
    assert server.verbs().count("QUIT") == 2


@pytest.mark.parametrize("words", [b"", b"421 4.4.2 idle for too long\r\n"])
def test_a_connection_the_server_closed_meanwhile_is_no_failure(words: bytes) -> None:
    closed = threading.Event()

    def close_idle(moment: Moment) -> Answer | None:
        if moment.at == "CONTENT" and moment.connection == 0:
            return Answer(b"250 2.0.0 ok\r\n" + words, drop=True, before=closed.set)
        return None

    with MailServer(close_idle) as server, closing(courier(relay(server.port))) as ours:
        assert Posting(1).carry(ours).outcomes == {Outcome.ACCEPTED: 1}
        assert closed.wait(PATIENCE)
        assert Posting(3).carry(ours).outcomes == {Outcome.ACCEPTED: 3}
    assert server.connections == 2


@pytest.mark.parametrize("answer", [DROP, says("421 4.4.2 idle for too long", drop=True)])
def test_a_connection_that_turns_out_dead_when_used_is_no_failure(answer: Answer) -> None:
    def die_when_used(moment: Moment) -> Answer | None:
        return answer if moment.at == "MAIL" and (moment.connection, moment.nth) == (0, 1) else None

    with MailServer(die_when_used) as server, closing(courier(relay(server.port), timeouts=PATIENT)) as ours:
        assert Posting(1).carry(ours).outcomes == {Outcome.ACCEPTED: 1}
        assert Posting(3).carry(ours).outcomes == {Outcome.ACCEPTED: 3}
    assert server.connections == 2
    assert len(server.stored) == 4


def test_as_many_connections_as_parcels_wait() -> None:
    with MailServer() as server, closing(courier(relay(server.port), connections=8)) as ours:
        Posting(1).carry(ours)
        wait_for(lambda: server.connections == 1)  # the server counts a connection once it has begun to serve it
        Posting(200).carry(ours)
        wait_for(lambda: server.connections == 8)
    assert len(server.stored) == 201


def test_closing_waits_for_no_server_long() -> None:
    def silent(moment: Moment) -> Answer | None:
        return HANG if moment.at == "QUIT" else None

    with MailServer(silent) as server:
        ours = courier(relay(server.port), connections=3)
        Posting(50).carry(ours)
        began = time.monotonic()
        ours.close()
        assert time.monotonic() - began < 3
