"""The courier against real servers, well-behaved and not."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from posting import BODY, QUICK, Posting, courier, in_pieces, parcel, post, relay

from mailinglist.delivery.smtp import Courier, Outcome, Parcel, Stage, Timeouts
from mailservers import ALL, DROP, HANG, PATIENCE, Answer, MailServer, Moment, aiosmtpd_server, says

NO_PIPELINING = tuple(offer for offer in ALL if offer != "PIPELINING")


# ── a server that behaves ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("split", [False, True], ids=["at-once", "by-octets"])
@pytest.mark.parametrize("offers", [ALL, NO_PIPELINING, ()], ids=["all", "no-pipelining", "nothing"])
@pytest.mark.parametrize("connections", [1, 3])
def test_each_arrives_once_as_it_is(connections: int, offers: tuple[str, ...], split: bool) -> None:
    bodies = {f"r{key}@example.org": f"Subject: {key}\r\n\r\n..dot {key}\r\n".encode() for key in range(30)}
    parcels = [parcel(key, body, recipient) for key, (recipient, body) in enumerate(bodies.items())]
    with MailServer(offers=offers, split=split) as server:
        posting = post(parcels, relay(server.port), connections=connections)
    assert posting.outcomes == {Outcome.ACCEPTED: 30}
    assert {each.recipient: each.content for each in server.stored} == {
        recipient: body.replace(b"\r\n..", b"\r\n.") for recipient, body in bodies.items()
    }
    assert len(server.stored) == 30
    assert server.violations == []
    assert server.connections <= connections
    assert "QUIT" in server.verbs()


def test_a_result_says_who_what_and_when() -> None:
    before = datetime.now(UTC)
    with MailServer() as server:
        result = post([parcel(7)], relay(server.port)).only
    assert (result.key, result.outcome, result.stage) == (7, Outcome.ACCEPTED, Stage.CONTENT)
    assert (result.code, result.enhanced, result.text) == (250, "2.0.0", "Ok: queued as 4X1")
    assert result.relay == f"127.0.0.1:{server.port}"
    assert timedelta(0) <= result.at - before < timedelta(seconds=PATIENCE)
    assert result.at.tzinfo is UTC


def test_nothing_to_carry_opens_no_connection() -> None:
    with MailServer() as server:
        assert post(0, relay(server.port)).results == []
    assert server.connections == 0


class Inbox:
    """An aiosmtpd handler."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, bytes]] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.mails.append((envelope.rcpt_tos[0], envelope.content))
        return "250 2.0.0 kept"


def test_against_aiosmtpd() -> None:
    inbox = Inbox()
    large = b"Subject: large\r\n\r\n" + (b"x" * 76 + b"\r\n") * 3000
    utf8 = "Subject: hyvää\r\n\r\npäivää\r\n".encode()
    parcels = [parcel(0), parcel(1, large), parcel(2, utf8, "määttä@example.org"), parcel(3, large + large)]
    with aiosmtpd_server(inbox, enable_SMTPUTF8=True, data_size_limit=300_000, hostname="mail.example") as port:
        posting = post(parcels, relay(port), connections=2)
    assert sorted(inbox.mails) == sorted(
        [("r0@example.org", BODY), ("r1@example.org", large), ("määttä@example.org", utf8)]
    )
    assert posting.of(3).code == 552
    assert posting.outcomes == {Outcome.ACCEPTED: 3, Outcome.REJECTED: 1}


def test_a_server_without_ehlo_is_greeted_by_helo() -> None:
    def no_ehlo(moment: Moment) -> Answer | None:
        return says("502 5.5.2 EHLO? What's that") if moment.at == "EHLO" else None

    with MailServer(no_ehlo, offers=()) as server:
        assert post(3, relay(server.port)).outcomes == {Outcome.ACCEPTED: 3}
    assert server.violations == []
    assert server.verbs()[:2] == ["EHLO", "HELO"]
    assert server.lines[1] == "HELO client.example"


def test_an_internationalised_address_without_smtputf8_is_refused_in_words() -> None:
    with MailServer(offers=("PIPELINING",)) as server:
        posting = post([parcel(0, recipient="määttä@example.org"), parcel(1)], relay(server.port))
    assert posting.of(0).outcome is Outcome.REJECTED
    assert posting.of(0).text == "the mail server can't take internationalised addresses (SMTPUTF8)"
    assert posting.of(1).outcome is Outcome.ACCEPTED


def test_a_line_break_in_an_address_reaches_no_server() -> None:
    evil = "b@example.org>\r\nRCPT TO:<c@example.org"
    with MailServer() as server:
        posting = post([parcel(0, recipient=evil), parcel(1)], relay(server.port))
    assert posting.of(0).outcome is Outcome.REJECTED
    assert server.recipients() == ["r1@example.org"]


# ── answers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("offers", [ALL, NO_PIPELINING], ids=["pipelining", "no-pipelining"])
@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "CONTENT"])
@pytest.mark.parametrize("code", [451, 550])
def test_a_refusal_is_about_one_parcel(code: int, stage: str, offers: tuple[str, ...]) -> None:
    def refuse_second(moment: Moment) -> Answer | None:
        if moment.at == stage and moment.nth == 1:
            return says(f"{code}-{code // 100}.2.1 not", f"{code} {code // 100}.2.1 this one")
        return None

    with MailServer(refuse_second, offers=offers) as server:
        posting = post(4, relay(server.port))
    assert posting.outcomes == {Outcome.ACCEPTED: 3, (Outcome.DEFERRED if code == 451 else Outcome.REJECTED): 1}
    result = posting.of(1)
    assert (result.code, result.enhanced, result.text) == (code, f"{code // 100}.2.1", "not this one")
    assert result.stage is Stage(stage.lower())
    assert server.violations == []
    assert server.connections == 1
    assert "r1@example.org" not in server.recipients()


def test_421_is_no_answer_and_the_rest_goes_over_a_new_connection() -> None:
    def close_after_two(moment: Moment) -> Answer | None:
        return says("421 4.3.2 enough", drop=True) if moment.at == "RCPT" and moment.nth == 2 else None

    with MailServer(close_after_two) as server:
        posting = post(10, relay(server.port))
    assert posting.outcomes[Outcome.ACCEPTED] == len(server.stored)
    assert posting.outcomes[Outcome.UNSENT] == 10 - len(server.stored)
    assert all(result.code == 421 for result in posting.results if result.outcome is Outcome.UNSENT)
    assert server.connections > 2


@pytest.mark.parametrize("stored", [True, False])
def test_no_answer_to_the_final_dot_is_uncertain(stored: bool) -> None:
    def drop(moment: Moment) -> Answer | None:
        if moment.at == "CONTENT" and moment.line == "r1@example.org":
            return Answer(drop=True, store=stored)
        return None

    with MailServer(drop) as server:
        posting = post(4, relay(server.port))
    assert posting.of(1).outcome is Outcome.UNCERTAIN
    assert ("r1@example.org" in server.recipients()) == stored
    assert posting.of(0).outcome is posting.of(3).outcome is Outcome.ACCEPTED
    assert posting.of(2).outcome is Outcome.UNSENT, "its envelope was out when the connection broke"


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "BODY"])
def test_a_connection_that_breaks_before_the_final_dot_leaves_it_unsent(stage: str) -> None:
    content = b"Subject: hi\r\n\r\n" + (b"x" * 76 + b"\r\n") * 100_000  # more than the sockets hold

    def drop(moment: Moment) -> Answer | None:
        return DROP if moment.at == stage and moment.nth == 1 else None

    with MailServer(drop, offers=("PIPELINING",)) as server:
        posting = post([parcel(0), parcel(1, content), parcel(2)], relay(server.port))
    assert posting.of(0).outcome is Outcome.ACCEPTED
    assert posting.of(1).outcome is Outcome.UNSENT
    assert server.recipients()[0] == "r0@example.org"
    assert "r1@example.org" not in server.recipients()


@pytest.mark.parametrize(
    "garbage", [b"\0\1\2\r\n", b"hello there\r\n", b"250-a\r\n251 b\r\n", b"354 go\r\n", b"9" * 9000]
)
def test_garbage_ends_the_connection(garbage: bytes) -> None:
    def gibber(moment: Moment) -> Answer | None:
        return Answer(garbage) if moment.at == "CONTENT" and moment.nth == 1 else None

    with MailServer(gibber) as server:
        posting = post(3, relay(server.port))
    assert posting.of(0).outcome is Outcome.ACCEPTED
    assert posting.of(1).outcome is Outcome.UNCERTAIN


@pytest.mark.parametrize(
    ("stage", "outcome", "limits"),
    [
        ("MAIL", Outcome.UNSENT, replace(QUICK, mail=0.1)),
        ("RCPT", Outcome.UNSENT, replace(QUICK, rcpt=0.1)),
        ("DATA", Outcome.UNSENT, replace(QUICK, data=0.1)),
        ("BODY", Outcome.UNSENT, replace(QUICK, block=0.1)),
        ("CONTENT", Outcome.UNCERTAIN, replace(QUICK, final=0.1)),
    ],
)
def test_a_server_that_hangs_is_given_up(stage: str, outcome: Outcome, limits: Timeouts) -> None:
    content = b"Subject: hi\r\n\r\n" + (b"x" * 76 + b"\r\n") * (100_000 if stage == "BODY" else 1)

    def hang(moment: Moment) -> Answer | None:
        return HANG if moment.at == stage and moment.nth == 1 else None

    with MailServer(hang, offers=("PIPELINING",)) as server:
        posting = post([parcel(0), parcel(1, content)], relay(server.port), timeouts=limits)
    assert posting.of(0).outcome is Outcome.ACCEPTED
    assert posting.of(1).outcome is outcome


def test_a_content_of_more_pieces_than_one_write_takes() -> None:
    body = b"Subject: many\r\n\r\n" + b"abc\r\n" * 1000
    with MailServer() as server:
        posting = post([parcel(0)._replace(content=in_pieces(body, 1))], relay(server.port), connections=1)
    assert posting.outcomes == {Outcome.ACCEPTED: 1}
    assert [each.content for each in server.stored] == [body]


# ── the gate, read last ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("offers", [ALL, NO_PIPELINING], ids=["pipelining", "no-pipelining"])
@pytest.mark.parametrize("banned", [True, False])
def test_who_leaves_while_the_server_stalls_gets_nothing(banned: bool, offers: tuple[str, ...]) -> None:
    """The gate's reading is young when the content begins, on a stalled server too."""
    posting = Posting(1)

    def stall(moment: Moment) -> Answer | None:
        def leave_meanwhile() -> None:
            if banned:
                posting.banned.add(0)
            time.sleep(0.1)  # the reading ages: that is what this is about

        return Answer(b"354 go\r\n", before=leave_meanwhile) if moment.at == "DATA" else None

    with MailServer(stall, offers=offers) as server, closing(courier(relay(server.port), fresh_for=0.1)) as ours:
        posting.carry(ours)
    assert posting.asked[-1:] == [[0]]
    if banned:
        assert posting.only.outcome is Outcome.EXCLUDED
        assert server.content_octets == 0
        assert server.stored == []
    else:
        assert posting.only.outcome is Outcome.ACCEPTED
        assert server.recipients() == ["r0@example.org"]


def test_who_left_before_the_envelope_is_not_even_named() -> None:
    posting = Posting(3)
    posting.banned = {1}
    taken = posting.fetch

    def fetch(count: int) -> list[Parcel]:
        return [each._replace(read_at=each.read_at - 1) for each in taken(count)]

    posting.fetch = fetch
    with MailServer() as server, closing(courier(relay(server.port), connections=2)) as ours:
        posting.carry(ours)
    assert posting.of(1).outcome is Outcome.EXCLUDED
    assert posting.outcomes == {Outcome.ACCEPTED: 2, Outcome.EXCLUDED: 1}
    assert not any("r1@" in line for line in server.lines)
    assert posting.asked == [[0, 1, 2]], "one reading for all that wait"


def test_a_fresh_reading_is_not_asked_for_again() -> None:
    with MailServer() as server:
        posting = post(50, relay(server.port), connections=2, fresh_for=60.0)
    assert posting.asked == []


def test_a_gate_that_cannot_be_read_sends_nothing() -> None:
    posting = Posting(3)

    def broken(keys: object) -> list[int]:
        raise ConnectionError("database gone")

    posting.still_allowed = broken
    with (
        MailServer() as server,
        closing(courier(relay(server.port), fresh_for=1e-9)) as ours,
        pytest.raises(ConnectionError),
    ):
        posting.carry(ours)
    assert posting.outcomes == {Outcome.UNSENT: 3 - len(posting.waiting)}
    assert server.stored == []


# ── results, stopping, callbacks ───────────────────────────────────────────────────────────────────────────────────


def test_a_result_is_not_held_back_by_a_slow_server() -> None:
    settled = threading.Event()
    posting = Posting(2)
    posting.on_settle = lambda results: settled.set()

    def wait_for_settling(moment: Moment) -> Answer | None:
        if moment.at == "CONTENT" and moment.nth == 1:
            return Answer(b"250 ok\r\n", before=lambda: settled.wait(PATIENCE))
        return None

    with MailServer(wait_for_settling) as server, closing(courier(relay(server.port))) as ours:
        posting.carry(ours)
    first, second = posting.batches
    assert first[1][0].key == 0
    assert second[1][0].key == 1


def test_batches_grow_and_are_bounded() -> None:
    with MailServer() as server:
        posting = post(1500, relay(server.port), connections=2, fresh_for=60.0)
    assert posting.outcomes == {Outcome.ACCEPTED: 1500}
    assert max(len(batch) for _, batch in posting.batches) <= 500
    assert posting.fetches[:8] == [4, 8, 16, 32, 64, 128, 256, 500], "as much as leaves while the reading is young"
    assert max(posting.fetches) == 500


def test_what_is_not_there_yet_is_waited_for_and_meanwhile_answers_are_taken() -> None:
    posting = Posting(12)
    taken, first_settled, asked_in_vain = posting.fetch, threading.Event(), threading.Event()
    posting.on_settle = lambda results: first_settled.set()

    def fetch(count: int) -> Sequence[Parcel] | None:
        if len(posting.waiting) < 12 and not first_settled.is_set():
            asked_in_vain.set()
            return None
        return taken(count)

    posting.fetch = fetch
    with MailServer() as server, closing(courier(relay(server.port), connections=2)) as ours:
        posting.carry(ours)
    assert asked_in_vain.is_set()
    assert posting.outcomes == {Outcome.ACCEPTED: 12}


def test_waking_ends_the_waiting() -> None:
    posting = Posting(1)
    taken, ready = posting.fetch, threading.Event()
    with MailServer() as server, closing(courier(relay(server.port))) as ours:

        def make_ready() -> None:
            ready.set()
            for _ in range(100_000):  # more calls than the pipe holds, and none blocks
                ours.wake()

        later = threading.Timer(0.1, make_ready)

        def fetch(count: int) -> Sequence[Parcel] | None:
            if not later.is_alive() and not ready.is_set():
                later.start()
            return taken(count) if ready.is_set() else None

        posting.fetch = fetch
        posting.carry(ours)
        later.join()
    assert posting.only.outcome is Outcome.ACCEPTED


def test_stop_hands_back_what_has_not_begun_and_waits_for_what_has() -> None:
    posting = Posting(100)

    def stop_then_answer(moment: Moment) -> Answer | None:
        if moment.at == "CONTENT" and moment.nth == 3:
            return Answer(b"250 ok\r\n", before=posting.stopped.set)
        return None

    with MailServer(stop_then_answer) as server, closing(courier(relay(server.port))) as ours:
        posting.carry(ours)
    assert posting.outcomes[Outcome.ACCEPTED] == len(server.stored)
    assert posting.outcomes[Outcome.ACCEPTED] >= 4
    assert set(posting.outcomes) <= {Outcome.ACCEPTED, Outcome.UNSENT}
    assert len(posting.results) + len(posting.waiting) == 100


def test_stop_does_not_wait_for_a_server_that_stalls_before_the_content() -> None:
    posting = Posting(2)

    def stall(moment: Moment) -> Answer | None:
        return Answer(hang=True, before=posting.stopped.set) if moment.at == "DATA" else None

    with MailServer(stall) as server, closing(courier(relay(server.port), fresh_for=0.1)) as ours:
        began = time.monotonic()
        posting.carry(ours)
        assert time.monotonic() - began < QUICK.data
    assert posting.outcomes == {Outcome.UNSENT: 2}
    assert server.content_octets == 0


def test_stop_before_anything() -> None:
    posting = Posting(2)
    posting.stopped.set()
    with MailServer() as server, closing(courier(relay(server.port))) as ours:
        posting.carry(ours)
    assert posting.fetches == []
    assert server.connections == 0


def test_a_fetch_that_fails_is_raised_after_all_that_is_out_is_settled() -> None:
    posting = Posting(2)
    taken = posting.fetch

    def fetch(count: int) -> Sequence[Parcel] | None:
        if not posting.waiting:
            raise ConnectionError("database gone")
        return taken(count)

    posting.fetch = fetch
    with MailServer() as server, closing(courier(relay(server.port))) as ours, pytest.raises(ConnectionError):
        posting.carry(ours)
    assert len(posting.results) == 2
    assert posting.outcomes[Outcome.ACCEPTED] == len(server.stored)


def test_a_settle_that_fails_is_raised_and_the_courier_can_go_on() -> None:
    broken, whole = Posting(3), Posting([parcel(key) for key in range(10, 13)])

    def fail(results: object) -> None:
        raise ConnectionError("database gone")

    broken.on_settle = fail
    with MailServer() as server, closing(courier(relay(server.port))) as ours:
        with pytest.raises(ConnectionError):
            broken.carry(ours)
        whole.carry(ours)
    assert whole.outcomes == {Outcome.ACCEPTED: 3}
    assert {result.key for result in whole.results} == {10, 11, 12}


@pytest.mark.parametrize("helo", ["", "a b", "a\r\nQUIT", "ä.example"])
def test_a_name_that_is_none_is_refused(helo: str) -> None:
    with pytest.raises(ValueError, match="our own name"):
        Courier([relay(25)], connections=1, helo=helo)


@pytest.mark.parametrize(
    "more", [{"relays": []}, {"connections": 0}, {"fresh_for": 0.0}], ids=["no-relay", "no-connection", "no-time"]
)
def test_a_courier_needs_a_relay_a_connection_and_some_time(more: dict[str, Any]) -> None:
    given: dict[str, Any] = {"relays": [relay(25)], "connections": 1, "helo": "client.example"}
    with pytest.raises(ValueError, match="a courier needs"):
        Courier(**(given | more))
