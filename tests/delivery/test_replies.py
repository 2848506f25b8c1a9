"""Replies, however they are cut (RFC 5321 §4.2)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailinglist.delivery.replies import Reply, ReplyReader, one_line

STREAM = (
    b"220 mail.example ESMTP\r\n"
    b"250-mail.example\r\n250-SIZE 1000\r\n250 PIPELINING\r\n"
    b"250\r\n"
    b"550-5.1.1 No such\r\n550 5.1.1 mailbox here\r\n"
    b"354 go\r\n250 2.0.0 Ok: queued as 4F\r\n"
)
REPLIES = [
    Reply(220, None, ("mail.example ESMTP",)),
    Reply(250, None, ("mail.example", "SIZE 1000", "PIPELINING")),
    Reply(250, None, ("",)),
    Reply(550, "5.1.1", ("No such", "mailbox here")),
    Reply(354, None, ("go",)),
    Reply(250, "2.0.0", ("Ok: queued as 4F",)),
]


def read(*pieces: bytes) -> tuple[list[Reply], ReplyReader]:
    reader = ReplyReader()
    return [reply for piece in pieces for reply in reader.feed(piece)], reader


def test_a_stream_at_once_and_octet_by_octet() -> None:
    assert read(STREAM)[0] == REPLIES
    replies, reader = read(*(STREAM[n : n + 1] for n in range(len(STREAM))))
    assert replies == REPLIES
    assert reader.fault is None
    assert not reader.midway


@given(st.lists(st.integers(0, len(STREAM)), max_size=8).map(sorted))
def test_a_stream_cut_anywhere(cuts: list[int]) -> None:
    edges = [0, *cuts, len(STREAM)]
    assert read(*(STREAM[a:b] for a, b in pairwise(edges)))[0] == REPLIES


@given(st.lists(st.integers(0, len(STREAM)), max_size=8).map(sorted))
def test_a_cut_never_gives_a_reply_early(cuts: list[int]) -> None:
    reader, taken = ReplyReader(), 0
    ends = [end for end in range(1, len(STREAM) + 1) if len(read(STREAM[:end])[0]) > len(read(STREAM[: end - 1])[0])]
    seen = 0
    for cut in [*cuts, len(STREAM)]:
        seen += len(reader.feed(STREAM[taken:cut]))
        taken = cut
        assert seen == sum(end <= cut for end in ends)


@pytest.mark.parametrize(
    "text", [b"250 \r\n", b"250 Ok\n", b"250  two spaces\r\n", b"250 \xe4\xf6\r\n", b"250 a\x00b\r\n"]
)
def test_what_servers_do_say_is_understood(text: bytes) -> None:
    replies, reader = read(text)
    assert [reply.code for reply in replies] == [250]
    assert reader.fault is None


@pytest.mark.parametrize(
    "garbage",
    [
        b"\r\n",
        b"hello\r\n",
        b"25 short\r\n",
        b"2500 long\r\n",
        b"250x\r\n",
        b"150 no such class\r\n",
        b"650 no such class\r\n",
        b"\xff\xfe\x00\r\n",
        b"250-one\r\n251 other code\r\n",
        b"250-one\r\nnothing\r\n",
        b"250 a\rb\r\n",
        b"\xb2\xb3\xb4 digits, but not ASCII\r\n",
    ],
)
def test_garbage_is_a_fault_and_nothing_after_it_counts(garbage: bytes) -> None:
    replies, reader = read(b"250 good\r\n" + garbage + b"250 never\r\n", b"250 never\r\n")
    assert [reply.text for reply in replies] == ["good"]
    assert reader.fault is not None


@pytest.mark.parametrize("endless", [b"250 " + b"x" * 5000, b"x" * 5000, b"250-more\r\n" * 300])
def test_endless_replies_are_a_fault(endless: bytes) -> None:
    assert read(endless)[1].fault is not None
    assert read(*(endless[n : n + 100] for n in range(0, len(endless), 100)))[1].fault is not None


def test_midway() -> None:
    assert read(b"220 go ah")[1].midway
    assert read(b"220-go\r\n")[1].midway
    assert not read(b"220 go\r\n")[1].midway


def test_an_enhanced_code_counts_only_where_it_agrees_with_the_code() -> None:
    assert read(b"550 2.1.0 odd\r\n")[0] == [Reply(550, None, ("2.1.0 odd",))]
    assert read(b"550 5.1.1\r\n")[0] == [Reply(550, "5.1.1", ("",))]
    assert read(b"550 5.1.1000 odd\r\n")[0] == [Reply(550, None, ("5.1.1000 odd",))]


def test_the_text_is_one_line_and_short() -> None:
    [reply], _ = read(b"550-5.7.1 a\x1b[31m\x7fb\r\n550 5.7.1 " + "c\u2028d".encode() + b"x" * 900 + b"\r\n")
    assert reply.text.startswith("a [31m b c d")
    assert len(reply.text) == 500
    assert str(Reply(250, None, ("",))) == "250"
    assert one_line(" a\r\nb\t") == "a b"
