"""The listener's protocol, octet by octet: what is taken, what is refused and in which words, and that nothing of it
ends in an error or grows without bound."""

from __future__ import annotations

import random
import time
import tracemalloc

import pytest

from mailinglist.inbound import conversation as protocol
from mailinglist.inbound.bounds import LARGEST, RECIPIENTS, TOGETHER
from mailinglist.inbound.conversation import Asked, Conversation, Given


class Client:
    """Speaks to a conversation: everybody at example.fi is ours, and every mail is kept."""

    def __init__(self) -> None:
        self.conversation = Conversation("lists.example.fi")
        self.mails: list[Given] = []
        assert self.conversation.take().startswith(b"220 lists.example.fi ")

    def says(self, octets: bytes, *, piece: int | None = None) -> list[str]:
        """What is answered, line by line; sent in pieces of so many octets."""
        piece = piece or max(len(octets), 1)
        for start in range(0, len(octets), piece):
            if self.conversation.over:
                break
            self.conversation.receive(octets[start : start + piece])
            while step := self.conversation.next():
                if isinstance(step, Asked):
                    ours = step.recipient.endswith("@example.fi")
                    self.conversation.admit(None if ours else "550 5.1.1 No such address")
                else:
                    self.mails.append(step)
                    self.conversation.settle([f"250 2.0.0 Kept for {who}" for who in step.recipients])
        return self.conversation.take().decode("ascii").splitlines()


BEGIN = b"LHLO relay\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.fi>\r\nDATA\r\n"


def mailed(content: bytes, begin: bytes = BEGIN, **options: int) -> tuple[Client, str]:
    """A client that has sent this content; the last word."""
    client = Client()
    assert client.says(begin)[-1].startswith("354 ")
    return client, "".join(client.says(content, **options)[-1:])


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1000])
def test_a_mail_by_lmtp_is_answered_for_each_recipient(piece: int) -> None:
    client = Client()
    said = client.says(
        b"LHLO relay\r\nMAIL FROM:<x@y.fi> SIZE=10 BODY=8BITMIME\r\nRCPT TO:<a@example.fi>\r\n"
        b"RCPT TO:<no@example.com>\r\nRCPT TO:<b@example.fi>\r\nDATA\r\n"
        b"..dot\r\n.x\r\n\r\n.\r\nNOOP\r\nMAIL FROM:<>\r\nRCPT TO:<c@example.fi>\r\nDATA\r\n.\r\nQUIT\r\nNOOP\r\n",
        piece=piece,
    )
    assert [line[:9] for line in said if not line.startswith("250-")] == [
        "250 ENHAN", "250 2.1.0", "250 2.1.5", "550 5.1.1", "250 2.1.5", "354 Go on",
        "250 2.0.0", "250 2.0.0", "250 2.0.0", "250 2.1.0", "250 2.1.5", "354 Go on", "250 2.0.0", "221 2.0.0",
    ]  # fmt: skip
    assert [(mail.sender, mail.recipients, mail.raw, mail.via) for mail in client.mails] == [
        ("x@y.fi", ("a@example.fi", "b@example.fi"), b".dot\r\nx\r\n\r\n", "lmtp"),
        ("", ("c@example.fi",), b"", "lmtp"),
    ]
    assert client.conversation.over


def test_smtp_answers_once_for_all() -> None:
    client, _ = mailed(
        b".\r\n", b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.fi>\r\nRCPT TO:<b@example.fi>\r\nDATA\r\n"
    )
    assert client.mails[0].via == "smtp"
    client, word = mailed(b"x\r\n.\r\n", b"HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.fi>\r\nDATA\r\n")
    assert (word, len(client.mails)) == ("250 2.0.0 Kept for a@example.fi", 1)


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"MAIL FROM:<a@b> SIZE=99999999", "552 5.3.4"),
        (b"MAIL FROM:<a@b> SIZE=-1", "501 5.5.4"),
        (b"MAIL FROM:<a@b> SIZE=" + b"9" * 500, "501 5.5.4"),
        (b"MAIL FROM:<a@b> BODY=BINARYMIME", "501 5.5.4"),
        (b"MAIL FROM:<a@b> RET=FULL", "555 5.5.4"),
        (b"MAIL FROM:a@b", "501 5.1.7"),
        (b"MAIL FROM:<a@b", "501 5.1.7"),
        (b"MAIL FROM:<a b@b>", "501 5.1.7"),
        (b"MAIL FROM:<" + b"a" * 400 + b"@b>", "501 5.1.7"),
        ("MAIL FROM:<ä@b>".encode(), "553 5.6.7"),
        ("MAIL FROM:<ä@b> SMTPUTF8".encode(), "250 2.1.0"),
        (b"MAIL FROM:<\xe4@b> SMTPUTF8", "500 5.6.7"),
        (b'mail from: <"a b\\""@b>', "250 2.1.0"),
        (b"MAIL FROM:<@c,@d:a@b>", "250 2.1.0"),
        (b"RCPT TO:<a@example.fi>", "503 5.5.1"),
        (b"DATA", "503 5.5.1"),
        (b"STARTTLS", "502 5.5.1"),
        (b"AUTH PLAIN AAAA", "502 5.5.1"),
        (b"VRFY a@example.fi", "252 2.5.0"),
        (b"", "500 5.5.2"),
        (b"GET / HTTP/1.1", "521 5.5.1"),
        (b"NOOP\0", "500 5.5.2"),
        (b"NOOP\rNOOP", "500 5.5.2"),
        (b"x" * 5000, "500 5.5.6"),
    ],
)
def test_what_a_command_is_answered(line: bytes, reply: str) -> None:
    client = Client()
    client.says(b"EHLO x\r\n")
    assert client.says(line + b"\r\n")[0].startswith(reply)


def test_a_bare_line_feed_ends_no_command() -> None:
    client = Client()
    assert client.says(b"EHLO x\nMAIL FROM:<>\n")[0].startswith("500 5.5.2")
    assert client.conversation.over


SMUGGLED = b"MAIL FROM:<>\r\nRCPT TO:<b@example.fi>\r\nDATA\r\nsecond\r\n.\r\n"


@pytest.mark.parametrize(
    "end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r\n\0.\r\n", b"\n\n.\r\n"]
)
def test_nothing_else_ends_a_mail(end: bytes) -> None:
    """What another server may take for the end of a mail: what follows is never a second one."""
    client, word = mailed(b"first" + end + SMUGGLED)
    assert [mail.recipients for mail in client.mails] in ([], [("a@example.fi",)])
    if b"\0" not in end:
        assert (word[:9], client.mails) == ("550 5.6.0", [])
    assert client.says(b"NOOP\r\n") == ["250 2.0.0 Ok"]


def test_what_is_too_large_is_read_to_its_end_and_not_kept() -> None:
    tracemalloc.start()
    client, _ = mailed(b"x" * 70 + b"\r\n")
    line = b"y" * 998 + b"\r\n"
    for _ in range(50 * 1024 * 1024 // len(line) // 64):
        assert client.says(line * 64) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert client.says(b".\r\nNOOP\r\n") == [
        f"552 5.3.4 The mail is too large; {LARGEST} octets are taken",
        "250 2.0.0 Ok",
    ]
    assert client.mails == []
    assert peak < 3 * LARGEST


def test_the_largest_is_taken() -> None:
    line = b"y" * 98 + b"\r\n"
    content = line * (LARGEST // len(line))
    client, word = mailed(content + b".\r\n", piece=65_536)
    assert word.startswith("250 ")
    assert client.mails[0].raw == content


def test_a_long_line_is_refused() -> None:
    assert mailed(b"X-Long: " + b"y" * 1_000_000 + b"\r\n.\r\n", piece=65_536)[1].startswith("550 5.6.0")


def test_who_never_ends_is_left() -> None:
    client, _ = mailed(b"x" * 70)
    for _ in range(protocol.SWALLOWED // 1_000_000 + 2):
        client.says(b"z" * 1_000_000)
    assert client.conversation.over


def test_recipients_commands_and_faults_are_counted() -> None:
    client = Client()
    client.says(b"LHLO x\r\nMAIL FROM:<>\r\n")
    said = client.says(b"".join(b"RCPT TO:<a%d@example.fi>\r\n" % n for n in range(RECIPIENTS + 1)))
    assert (said[-2][:3], said[-1][:9]) == ("250", "452 4.5.3")
    client = Client()
    assert client.says(b"NOOP\r\n" * (protocol.MOST_COMMANDS + 1))[-1].startswith("421 4.7.0")
    client = Client()
    assert client.says(b"FOO\r\n" * (protocol.MOST_FAULTS + 1))[-1].startswith("421 4.7.0")
    assert client.conversation.over


_WORDS = (
    b"LHLO x\r\n", b"EHLO x\r\n", b"MAIL FROM:<>\r\n", b"MAIL FROM:<a@b> SIZE=3\r\n", b"RCPT TO:<a@example.fi>\r\n",
    b"RSET\r\n", b"RCPT TO:<a@b>\r\n", b"DATA\r\n", b".\r\n", b"\r\n.\r\n", b"\n.\n", b"\r", b"\n", b".", b"\0",
    b"QUIT", b" ",
    b"NOOP\r\n", b"<" * 60, b'"' * 31, b"\\" * 33, b"x" * 900, b"\xff\xfe", "ä".encode(), b"..\r\n", b"@a,@b:",
    b"DATA \r\n", b"\r\n",
)  # fmt: skip


def fuzz(seconds: float, seed: int) -> int:
    """Random words in random pieces: every answer is a line of SMTP, and memory stays bounded."""
    chance = random.Random(seed)
    ends = time.monotonic() + seconds
    rounds = 0
    while time.monotonic() < ends:
        client = Client()
        for _ in range(chance.randrange(1, 60)):
            word = chance.choice(_WORDS) if chance.random() < 0.9 else chance.randbytes(chance.randrange(1, 300))
            for line in client.says(word, piece=chance.choice((1, 2, 50, 5000))):
                assert line[:3].isdigit(), line
                assert line[3] in " -", line
            assert client.conversation.held < 3 * LARGEST
        for mail in client.mails:
            assert mail.raw.count(b"\r") == mail.raw.count(b"\n") == mail.raw.count(b"\r\n")
            assert mail.recipients
        rounds += 1
    return rounds


def test_random_words_break_nothing() -> None:
    assert fuzz(1.5, seed=6) > 100


@pytest.mark.long
def test_random_words_break_nothing_for_a_minute() -> None:
    assert fuzz(60, seed=random.randrange(10**9)) > 1000


def test_a_large_mail_for_many_is_kept_for_few_at_once() -> None:
    client = Client()
    recipients = b"".join(b"RCPT TO:<r%d@example.fi>\r\n" % n for n in range(RECIPIENTS))
    said = client.says(b"LHLO relay\r\nMAIL FROM:<> SIZE=%d\r\n" % (LARGEST - 1) + recipients + b"DATA\r\n")
    answers = [line[:9] for line in said[-RECIPIENTS - 1 : -1]]
    assert answers == ["250 2.1.5"] * 2 + ["452 4.5.3"] * (RECIPIENTS - 2)
    assert said[-1].startswith("354 "), "the relay sends it to the others again"
    client.says(b"x\r\n.\r\n")
    assert [len(mail.recipients) for mail in client.mails] == [2]


def test_a_large_mail_for_many_that_was_announced_as_small_is_refused() -> None:
    client = Client()
    client.says(BEGIN[:-6] + b"RCPT TO:<b@example.fi>\r\nRCPT TO:<c@example.fi>\r\nDATA\r\n")
    line = b"x" * 998 + b"\r\n"
    said = client.says(line * (TOGETHER // 3 // 1000 + 1) + b".\r\n")
    assert [each[:9] for each in said] == ["552 5.3.4"] * 3
    assert client.mails == []
