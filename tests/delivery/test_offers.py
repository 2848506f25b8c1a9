"""What EHLO offers, and the envelopes it allows."""

from __future__ import annotations

import pytest

from mailinglist.delivery.offers import Envelope, Offers, Refusal, address
from mailinglist.delivery.parcels import Content, Parcel
from mailinglist.delivery.replies import ReplyReader

EVERYTHING = Offers(pipelining=True, eight_bit=True, utf8=True, size=True)
BODY = b"Subject: hi\r\n\r\nhello\r\n"


def offers(*lines: str) -> Offers:
    every = ["mail.example greets you", *lines]
    raw = "".join(f"250{'-' if n < len(every) - 1 else ' '}{line}\r\n" for n, line in enumerate(every)).encode()
    [reply] = ReplyReader().feed(raw)
    return Offers.read(reply)


def envelope(
    sender: str = "a@example.com", recipient: str = "b@example.org", content: bytes = BODY, to: Offers = EVERYTHING
) -> Envelope | Refusal:
    return address(Parcel(1, sender, recipient, Content.of(content), 0.0), to)


def test_offers_are_read_whatever_their_case_and_order() -> None:
    read = offers("size 1000", "Pipelining", "8BITMIME", "SMTPUTF8", "AUTH PLAIN LOGIN", "STARTTLS", "X-ODD 1 2", "")
    assert read == Offers(True, True, True, True, True, 1000, frozenset({"PLAIN", "LOGIN"}))
    assert offers() == Offers()
    assert offers("AUTH=LOGIN").sign_in == {"LOGIN"}
    assert offers("SIZE").size
    assert offers("SIZE").most_octets == 0
    assert offers("SIZE lots").most_octets == 0


def test_a_greeting_is_no_offer() -> None:
    [reply] = ReplyReader().feed(b"250 PIPELINING\r\n")
    assert not Offers.read(reply).pipelining


def test_parameters_go_only_where_needed_and_offered() -> None:
    assert envelope(to=Offers()) == Envelope(b"MAIL FROM:<a@example.com>\r\n", b"RCPT TO:<b@example.org>\r\n")
    assert envelope() == Envelope(b"MAIL FROM:<a@example.com> SIZE=22\r\n", b"RCPT TO:<b@example.org>\r\n")
    assert envelope("", to=Offers()) == Envelope(b"MAIL FROM:<>\r\n", b"RCPT TO:<b@example.org>\r\n")


def test_eight_bit_content() -> None:
    content = "Subject: hi\r\n\r\nhyvää\r\n".encode()
    sent = envelope(content=content)
    assert isinstance(sent, Envelope)
    assert sent.mail == b"MAIL FROM:<a@example.com> SIZE=24 BODY=8BITMIME\r\n"
    refused = envelope(content=content, to=Offers())
    assert isinstance(refused, Refusal)
    assert "8BITMIME" in refused.text


@pytest.mark.parametrize(
    ("sender", "recipient", "content"),
    [
        ("a@example.com", "määttä@example.org", BODY),
        ("äiti@example.com", "b@example.org", BODY),
        ("a@example.com", "b@example.org", "Subject: hyvää\r\n\r\nhello\r\n".encode()),
    ],
)
def test_internationalised_mail_needs_smtputf8(sender: str, recipient: str, content: bytes) -> None:
    sent = envelope(sender, recipient, content)
    assert isinstance(sent, Envelope)
    assert sent.mail.endswith(b" SMTPUTF8\r\n" if content is BODY else b" SMTPUTF8 BODY=8BITMIME\r\n")
    assert sent.rcpt == f"RCPT TO:<{recipient}>\r\n".encode()
    refused = envelope(sender, recipient, content, Offers(eight_bit=True))
    assert isinstance(refused, Refusal)
    assert refused.text == "the mail server can't take internationalised addresses (SMTPUTF8)"


def test_a_message_larger_than_the_server_takes() -> None:
    assert isinstance(envelope(to=Offers(size=True, most_octets=22)), Envelope)
    refused = envelope(to=Offers(size=True, most_octets=21))
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.enhanced) == (552, "5.3.4")
    assert "22" in refused.text
    assert "21" in refused.text


@pytest.mark.parametrize(
    "bad",
    [
        "b@example.org\r\nRCPT TO:<c@example.org>",
        "b@example.org\n",
        "b\r@example.org",
        "b\0@example.org",
        "b@example.org> NOTIFY=NEVER",
        "<b@example.org>",
        "b c@example.org",
        '"b\r\n"@example.org',
        '"b\\\r\n"@example.org',
        "b\ud800@example.org",
        "b\x7f@example.org",
    ],
)
def test_what_would_leave_the_path_is_never_sent(bad: str) -> None:
    """REQUIREMENTS.md §5: no SMTP injection."""
    assert isinstance(envelope(recipient=bad), Refusal)
    assert isinstance(envelope(sender=bad), Refusal)


def test_nobody_is_no_recipient() -> None:
    assert isinstance(envelope(recipient=""), Refusal)


@pytest.mark.parametrize("good", ['"b c"@example.org', '"b>c"@example.org', '"b\\"c"@example.org', "b+c=d@example.org"])
def test_odd_but_legal_paths_go(good: str) -> None:
    sent = envelope(recipient=good)
    assert isinstance(sent, Envelope)
    assert sent.rcpt == f"RCPT TO:<{good}>\r\n".encode()


@pytest.mark.parametrize(
    "content",
    [b"", b"Subject: hi", b"a\r\n\r\nb\n", b".\r\n", b"a\r\n\r\n.\r\nMAIL FROM:<x@y>\r\n", b"a\r\n\r\nb\n.\nRSET\r\n"],
)
def test_content_that_would_end_early_is_never_sent(content: bytes) -> None:
    assert isinstance(envelope(content=content), Refusal)


@pytest.mark.parametrize("content", [b"a\r\n\r\n..\r\n", b"a\r\n\r\n..b\r\n", b"a\r\n\r\nb.\r\n"])
def test_stuffed_dots_go(content: bytes) -> None:
    assert isinstance(envelope(content=content), Envelope)
