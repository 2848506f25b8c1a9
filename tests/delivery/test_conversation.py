"""One connection's transactions, octet by octet, on a clock of the test's own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from posting import in_pieces

from mailinglist.delivery.conversation import Conversation
from mailinglist.delivery.offers import Offers
from mailinglist.delivery.parcels import Outcome, Parcel, Result, Stage, Timeouts

AT = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
BODY = b"Subject: hi\r\n\r\nhello\r\n"
REFUSAL = (Outcome.EXCLUDED, "no longer")


def commands(key: int) -> bytes:
    return f"MAIL FROM:<s@example.com>\r\nRCPT TO:<r{key}@example.org>\r\nDATA\r\n".encode()


class Line:
    """A conversation and its surroundings."""

    def __init__(self, *, pipelining: bool = True, one_by_one: bool = False, timeouts: Timeouts | None = None) -> None:
        self.results: list[Result] = []
        self.now = 1000.0
        self.talk = Conversation(
            Offers(pipelining=pipelining),
            timeouts or Timeouts(),
            relay="mail.example:25",
            fresh_for=0.5,
            one_by_one=one_by_one,
            settle=self.results.append,
        )

    def load(self, key: int, content: bytes = BODY, read_at: float | None = None) -> None:
        assert self.talk.hungry
        read_at = self.now if read_at is None else read_at
        self.talk.load(Parcel(key, "s@example.com", f"r{key}@example.org", in_pieces(content, 5), read_at), AT)

    def write(self, most: int | None = None) -> bytes:
        """What goes into a socket that takes `most` octets at once."""
        data = b"".join(self.talk.outgoing(self.now))[:most]
        self.talk.took(len(data), self.now)
        return data

    def say(self, *replies: str) -> None:
        self.talk.receive("".join(f"{reply}\r\n" for reply in replies).encode(), self.now, AT)

    def outcomes(self) -> list[tuple[int, Outcome]]:
        return [(result.key, result.outcome) for result in self.results]


def told_to_go(**options: Any) -> Line:
    """A line on which parcel 1 may begin its content."""
    line = Line(**options)
    line.load(1)
    line.write()
    line.say("250 ok", "250 ok", "354 go")
    return line


def closing(**options: Any) -> Line:
    """A line on which parcel 1 waits for the answer to its final dot, and the envelope of parcel 2 is out."""
    line = told_to_go(**options)
    line.load(2)
    line.write()
    return line


def test_content_and_the_next_envelope_are_one_write() -> None:
    """RFC 2920 §3.1."""
    line = Line()
    line.load(1)
    assert line.write() == commands(1)
    assert not line.talk.hungry
    assert line.write() == b""
    line.say("250 ok", "250 ok", "354 go")
    line.load(2)
    assert line.write() == BODY + b".\r\n" + commands(2)
    assert not line.talk.hungry, "at most one waits for its final answer, and one for its 354"
    line.say("250 2.0.0 queued as 4F")
    assert line.results == [
        Result(1, Outcome.ACCEPTED, 250, "2.0.0", "queued as 4F", AT, "mail.example:25", Stage.CONTENT)
    ]
    line.say("250 ok", "250 ok", "354 go")
    assert line.write() == BODY + b".\r\n"
    line.say("250 ok")
    assert line.outcomes() == [(1, Outcome.ACCEPTED), (2, Outcome.ACCEPTED)]
    assert not line.talk.laden
    assert line.talk.completed == 2


def test_without_pipelining_each_command_waits_for_its_answer() -> None:
    line = Line(pipelining=False)
    line.load(1)
    assert line.write() == b"MAIL FROM:<s@example.com>\r\n"
    for expected in (b"RCPT TO:<r1@example.org>\r\n", b"DATA\r\n"):
        assert line.write() == b""
        line.say("250 ok")
        assert line.write() == expected
    line.say("354 go")
    assert not line.talk.hungry
    assert line.write() == BODY + b".\r\n"
    assert not line.talk.hungry
    line.say("250 ok")
    assert line.talk.hungry
    assert line.outcomes() == [(1, Outcome.ACCEPTED)]


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize(
    ("replies", "stage", "outcome"),
    [
        (["451 4.3.0 later"], Stage.MAIL, Outcome.DEFERRED),
        (["550 5.7.1 no"], Stage.MAIL, Outcome.REJECTED),
        (["250 ok", "451 4.3.0 later"], Stage.RCPT, Outcome.DEFERRED),
        (["250 ok", "550 5.1.1 no"], Stage.RCPT, Outcome.REJECTED),
        (["250 ok", "250 ok", "451 4.3.0 later"], Stage.DATA, Outcome.DEFERRED),
        (["250 ok", "250 ok", "554 5.3.0 no"], Stage.DATA, Outcome.REJECTED),
    ],
)
def test_a_refusal_before_the_content(pipelining: bool, replies: list[str], stage: Stage, outcome: Outcome) -> None:
    line = Line(pipelining=pipelining)
    line.load(1)
    line.write()
    for reply in replies:
        line.say(reply)
        if not pipelining:
            sent = line.write()
    if pipelining:
        line.say(*["503 bad sequence"] * (3 - len(replies)))
        line.load(2)
        assert line.write() == b"RSET\r\n" + commands(2), "the server may still hold the first MAIL"
        line.say("250 reset", "250 ok", "250 ok", "354 go")
        assert line.write() == BODY + b".\r\n"
    else:
        assert sent == b"RSET\r\n"
        assert not line.talk.hungry
        line.say("250 reset")
        assert line.talk.hungry
    [result] = line.results
    assert (result.outcome, result.stage) == (outcome, stage)
    assert f"{result.code} {result.enhanced} {result.text}" == replies[-1]


@pytest.mark.parametrize("said", ["554 no valid recipients", "250 ok", "451 hm"])
def test_354_without_a_recipient_gets_a_lone_dot(said: str) -> None:
    """RFC 2920 §3.1."""
    line = Line()
    line.load(1)
    line.write()
    line.say("250 ok", "550 5.1.1 no such", "354 go")
    line.load(2)
    assert line.write() == b".\r\n" + commands(2)
    line.say(said, "250 ok", "250 ok", "354 go")
    assert line.outcomes() == [(1, Outcome.REJECTED)]
    assert line.write() == BODY + b".\r\n"


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ("250 ok", "accepted"),
        ("452 4.2.2 full", "deferred"),
        ("554 5.7.1 spam", "rejected"),
        ("421 4.7.0 slow", "deferred"),
    ],
)
def test_the_answer_to_the_final_dot(reply: str, outcome: str) -> None:
    line = told_to_go()
    line.write()
    line.say(reply)
    assert line.outcomes() == [(1, Outcome(outcome))]
    assert line.results[0].stage is Stage.CONTENT
    assert (line.talk.lost is not None) == reply.startswith("421")


@pytest.mark.parametrize("answered", [0, 1, 2])
def test_421_before_the_content_is_no_answer_about_the_parcel(answered: int) -> None:
    line = Line()
    line.load(1)
    line.write()
    line.say(*["250 ok"] * answered, "421 4.3.2 closing", "250 ok", "354 go")
    assert line.outcomes() == [(1, Outcome.UNSENT)]
    assert line.results[0].code == 421
    assert line.talk.lost
    assert line.talk.at_fault, "it did nothing for us at all"
    assert line.write() == b""


def test_421_to_the_final_dot_leaves_the_next_unsent() -> None:
    line = closing()
    line.say("421 4.3.2 closing")
    assert line.outcomes() == [(1, Outcome.DEFERRED), (2, Outcome.UNSENT)]


def test_a_loss_after_the_dot_is_uncertain_and_the_next_unsent() -> None:
    line = closing()
    line.talk.lose("gone", AT)
    assert line.outcomes() == [(1, Outcome.UNCERTAIN), (2, Outcome.UNSENT)]
    line.talk.lose("again", AT)
    line.say("250 ok")
    assert len(line.results) == 2, "one result each"


@pytest.mark.parametrize("taken", [1, len(BODY) - 1, len(BODY), len(BODY) + 1, len(BODY) + 2, len(BODY) + 3])
def test_uncertain_begins_with_the_final_dot(taken: int) -> None:
    line = told_to_go()
    assert len(line.write(taken)) == taken
    line.talk.lose("gone", AT)
    assert line.outcomes() == [(1, Outcome.UNCERTAIN if taken > len(BODY) else Outcome.UNSENT)]


@pytest.mark.parametrize("taken", range(1, len(BODY + b".\r\n" + commands(2))))
@pytest.mark.parametrize("one_by_one", [False, True])
def test_a_write_taken_in_any_two_pieces_says_the_same(taken: int, one_by_one: bool) -> None:
    line = told_to_go(one_by_one=one_by_one)
    line.load(2)
    sent = line.write(taken)
    while piece := line.write():
        sent += piece
    assert sent == BODY + b".\r\n" + commands(2)
    line.say("250 ok", "250 ok", "250 ok", "354 go")
    assert line.outcomes() == [(1, Outcome.ACCEPTED)]
    assert line.write() == BODY + b".\r\n"


def test_a_large_content_is_written_without_being_copied_each_time() -> None:
    content = b"x" * 200_000 + b"\r\n"
    line = Line()
    line.load(1, content)
    line.write()
    line.say("250 ok", "250 ok", "354 go")
    line.load(2)
    sent = line.write(1000)
    offered = line.talk.outgoing(line.now)
    assert offered[0] is line.talk.outgoing(line.now)[0], "the same octets, not a copy"
    while piece := line.write(50_000):
        sent += piece
    assert sent == content + b".\r\n" + commands(2)


# ── the gate ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("one_by_one", [False, True])
def test_an_old_reading_holds_back_the_envelope(one_by_one: bool) -> None:
    line = Line(one_by_one=one_by_one)
    line.load(1)
    line.now += 0.6
    assert line.write() == b""
    assert line.talk.stale
    line.talk.renew({1}, line.now, AT, REFUSAL)
    assert line.write() == commands(1)
    assert not line.talk.stale


def test_an_old_reading_holds_back_the_content() -> None:
    line = told_to_go()
    line.now += 0.6
    line.load(2)
    assert line.write() == b""
    assert line.talk.stale
    assert [parcel.key for parcel in line.talk.waiting()] == [1, 2]
    line.talk.renew({1, 2}, line.now, AT, REFUSAL)
    assert line.write() == BODY + b".\r\n" + commands(2)


def test_a_no_before_the_content_drops_the_connection_and_not_the_next_parcel() -> None:
    line = told_to_go()
    line.now += 0.6
    line.load(2)
    assert line.write() == b""
    line.talk.renew({2}, line.now, AT, REFUSAL)
    assert line.outcomes() == [(1, Outcome.EXCLUDED)]
    assert line.write() == b""
    assert line.talk.lost
    assert not line.talk.at_fault
    assert [parcel.key for parcel in line.talk.returned] == [2]


def test_a_no_before_the_envelope_sends_nothing_and_keeps_the_connection() -> None:
    line = Line()
    line.load(1)
    line.now += 0.6
    line.write()
    line.talk.renew((), line.now, AT, REFUSAL)
    assert line.outcomes() == [(1, Outcome.EXCLUDED)]
    line.load(2)
    assert line.write() == commands(2)


def test_content_goes_while_the_next_envelope_waits_for_the_gate() -> None:
    line = told_to_go()
    line.load(2, read_at=line.now - 1)
    assert line.write() == BODY + b".\r\n"
    assert line.talk.stale
    line.talk.renew({2}, line.now, AT, REFUSAL)
    assert line.write() == commands(2)


@pytest.mark.parametrize("one_by_one", [False, True])
def test_content_that_the_socket_did_not_take_has_not_begun(one_by_one: bool) -> None:
    """A stalled server's full socket: what was only offered is asked about again."""
    line = told_to_go(one_by_one=one_by_one)
    assert b"".join(line.talk.outgoing(line.now)) == BODY + b".\r\n"
    line.talk.took(0, line.now)
    line.now += 0.6
    assert line.write() == b""
    assert line.talk.stale
    line.talk.renew((), line.now, AT, REFUSAL)
    assert line.outcomes() == [(1, Outcome.EXCLUDED)]


@pytest.mark.parametrize("one_by_one", [False, True])
def test_content_that_has_begun_is_finished(one_by_one: bool) -> None:
    line = told_to_go(one_by_one=one_by_one)
    first = line.write(5)
    line.now += 60
    assert first + line.write() == BODY + b".\r\n"
    assert not line.talk.stale


def test_an_envelope_begun_is_finished_and_its_content_asked_about() -> None:
    line = Line()
    line.load(1)
    first = line.write(5)
    line.now += 60
    assert first + line.write() == commands(1)
    line.say("250 ok", "250 ok", "354 go")
    assert line.write() == b""
    assert line.talk.stale


def test_openssl_is_offered_the_same_octets_again() -> None:
    """A TLS write that would have blocked must be repeated: an envelope offered then counts as begun."""
    line = Line(one_by_one=True)
    line.load(1)
    offered = b"".join(line.talk.outgoing(line.now))
    line.talk.took(0, line.now)
    line.now += 60
    assert line.write() == offered == commands(1)


# ── what servers must not do ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "said",
    [
        ["354 go"],
        ["250 ok", "354 go"],
        ["250 ok", "250 ok", "250 ok"],
        ["hello"],
        ["250-a", "251 b"],
        ["250 ok", "250 ok", "334 who"],
    ],
)
def test_answers_out_of_step_end_the_connection(said: list[str]) -> None:
    line = Line()
    line.load(1)
    line.write()
    line.say(*said)
    assert line.outcomes() == [(1, Outcome.UNSENT)]
    assert line.talk.lost
    assert line.write() == b""


@pytest.mark.parametrize("said", ["354 go", "garbage", "\0\0\0"])
def test_garbage_after_the_dot_leaves_it_uncertain(said: str) -> None:
    line = closing()
    line.say(said)
    assert line.outcomes() == [(1, Outcome.UNCERTAIN), (2, Outcome.UNSENT)]


def test_a_result_before_the_garbage_counts() -> None:
    line = closing()
    line.say("250 ok", "garbage")
    assert line.outcomes() == [(1, Outcome.ACCEPTED), (2, Outcome.UNSENT)]


@pytest.mark.parametrize("said", ["250 ok", "421 bye", "nonsense"])
def test_words_unasked_end_an_idle_connection_and_are_nobodys_fault(said: str) -> None:
    line = Line()
    line.say(said)
    assert line.talk.lost
    assert not line.talk.at_fault
    assert line.results == []


def test_250_in_the_middle_of_the_content_accepts_nothing() -> None:
    line = told_to_go()
    line.write(5)
    line.say("250 ok")
    assert line.outcomes() == [(1, Outcome.UNSENT)]
    assert line.talk.lost


def test_a_refusal_in_the_middle_of_the_content_is_one() -> None:
    line = told_to_go()
    line.write(5)
    line.say("552 5.3.4 too much")
    assert line.outcomes() == [(1, Outcome.REJECTED)]
    assert line.talk.lost
    assert line.write() == b""


def test_a_reset_that_fails_ends_the_connection() -> None:
    line = Line()
    line.load(1)
    line.write()
    line.say("250 ok", "451 later", "503 no")
    line.load(2)
    line.write()
    line.say("502 what?")
    assert line.outcomes() == [(1, Outcome.DEFERRED), (2, Outcome.UNSENT)]


# ── dying idle, and time ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["421", "closed"])
def test_a_connection_that_died_idle_returns_its_parcel(how: str) -> None:
    line = told_to_go()
    line.write()
    line.say("250 ok")
    line.load(2)
    assert line.write() == commands(2)
    if how == "421":
        line.say("421 4.4.2 timeout")
    else:
        line.talk.lose("closed", AT)
    assert line.outcomes() == [(1, Outcome.ACCEPTED)]
    assert [parcel.key for parcel in line.talk.returned] == [2]
    assert not line.talk.at_fault


def test_a_new_connection_that_dies_at_once_is_at_fault() -> None:
    line = Line()
    line.load(1)
    line.write()
    line.talk.lose("closed", AT)
    assert line.outcomes() == [(1, Outcome.UNSENT)]
    assert line.talk.at_fault


def test_each_answer_has_its_own_time() -> None:
    limits = Timeouts(mail=1, rcpt=2, data=3, block=4, final=5)
    line = Line(timeouts=limits)
    line.load(1)
    line.write()
    for command, limit, reply in (("MAIL", 1, "250 ok"), ("RCPT", 2, "250 ok"), ("DATA", 3, "354 go")):
        line.now += limit - 0.1
        assert line.talk.overdue(line.now) is None
        assert command in (line.talk.overdue(line.now + 0.2) or "")
        line.say(reply)
    line.talk.renew({1}, line.now, AT, REFUSAL)
    line.write(5)
    assert "octets" in (line.talk.overdue(line.now + 4.1) or "")
    line.now += 3
    line.write()
    line.now += 4.9
    assert line.talk.overdue(line.now) is None
    assert "dot" in (line.talk.overdue(line.now + 0.2) or "")
    line.say("250 ok")
    assert line.talk.overdue(line.now + 9999) is None


def test_a_dribbling_server_gains_no_time() -> None:
    line = Line(timeouts=Timeouts(mail=1))
    line.load(1)
    line.write()
    for octet in b"250-slow\r\n250":
        line.now += 0.1
        line.talk.receive(bytes([octet]), line.now, AT)
    assert line.talk.overdue(line.now)


def test_content_that_never_begins_is_overdue() -> None:
    line = told_to_go()
    line.talk.outgoing(line.now)
    line.talk.took(0, line.now)
    assert line.talk.overdue(line.now + 181)


def test_overstaying() -> None:
    line = Line()
    line.load(1)
    line.write()
    assert not line.talk.overstays(line.now)
    assert line.talk.overstays(line.now + 0.6)
    line = closing()
    assert not line.talk.overstays(line.now + 0.6), "the answer to the first one's dot is worth the wait"


def test_a_parcel_the_server_cannot_carry_is_refused_in_our_words() -> None:
    line = Line()
    line.load(1, "Subject: å\r\n\r\n".encode())
    assert line.outcomes() == [(1, Outcome.REJECTED)]
    assert line.results[0].stage is None
    assert line.talk.hungry
