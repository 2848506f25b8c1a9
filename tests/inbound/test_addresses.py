"""Our addresses: what each means, in any case, and that a forged one means nothing."""

from __future__ import annotations

import pytest

from conftest import SECRETS
from mailinglist.consent.register import Ticket, unsubscribe_token
from mailinglist.delivery.addressing import Addressing
from mailinglist.inbound.addresses import Addresses, To
from mailinglist.inbound.reading import read
from mailinglist.settings import Settings
from mailinglist.tokens import Purpose, Tokens

OLD, NEW = "old-key-0123456789abcdef0123456789", "new-key-0123456789abcdef0123456789"
SECRET = bytes(range(16))
DIGEST = bytes(range(32))


@pytest.fixture
def settings() -> Settings:
    return Settings.of(mail_from="Tector <tiedote@example.fi>", bounce_domain="Lists.example.fi", **SECRETS)


@pytest.fixture
def tokens() -> Tokens:
    return Tokens([NEW, OLD])


@pytest.fixture
def addresses(settings: Settings, tokens: Tokens) -> Addresses:
    return Addresses(settings, tokens)


def test_each_address_means_what_it_was_made_for(settings: Settings, tokens: Tokens, addresses: Addresses):
    made = Addressing(settings, tokens)
    confirm = tokens.issue(Purpose.CONFIRM, SECRET)
    for case in (str, str.upper, str.title):
        assert addresses.read(case(made.reply_address(confirm))) == To("answer", secret=SECRET)
        assert addresses.read(case(made.of(4711)[0])) == To("bounce", handoff_id=4711)
        assert addresses.read(case("b-c-join@lists.example.fi")) == To("join", slug="b-c")
        assert addresses.read(case("<uutis-kirje-leave@lists.example.fi>")) == To("leave", slug="uutis-kirje")
        assert addresses.read(case("c-owner@lists.example.fi")) == To("owner", slug="c")
        assert addresses.read(case("postmaster@lists.example.fi")) == To("desk")
    assert len(made.reply_address(confirm).partition("@")[0]) <= 64
    before = Addressing(settings, Tokens([OLD])).of(1)[0]
    assert addresses.read(before) == To("bounce", handoff_id=1), "keys rotate"


@pytest.mark.parametrize(
    "recipient",
    [
        "", "@", "join@lists.example.fi", "-join@lists.example.fi", "tector@lists.example.fi", "a-join@example.fi",
        "a-join@lists.example.fi.evil.example", "a-join", "b-@lists.example.fi", "c-@lists.example.fi",
        "b-aaaaaaaaaaaaaaaaaaaaaaaaaa@lists.example.fi", "c-" + "a" * 42 + "@lists.example.fi",
        "b-" + "a" * 5000 + "@lists.example.fi", "b-ää@lists.example.fi", "tiedote@example.fi",
    ],
)  # fmt: skip
def test_what_is_none_of_ours(addresses: Addresses, recipient: str):
    assert addresses.read(recipient) is None


def test_a_token_of_one_purpose_is_none_of_another(settings: Settings, tokens: Tokens, addresses: Addresses):
    reply = tokens.issue_for_mail(Purpose.REPLY, SECRET)
    path = tokens.issue_for_mail(Purpose.RETURN_PATH, (1).to_bytes(6, "big"))
    for forged in (
        f"b-{reply}",
        f"c-{path}",
        f"c-{tokens.issue_for_mail(Purpose.REPLY, SECRET[:6])}",
        f"c-{reply[:-2]}aa",
    ):
        assert addresses.read(f"{forged}@lists.example.fi") is None
    stranger = Addressing(settings, Tokens(["another-key-0123456789abcdef012345"]))
    assert addresses.read(stranger.of(1)[0]) is None


def test_a_token_is_found_in_subjects_bodies_and_broken_lines(tokens: Tokens, addresses: Addresses):
    token, ticket = unsubscribe_token(tokens, 3, DIGEST, 12), Ticket(3, DIGEST, 12)
    assert addresses.find_token(token) == ticket
    assert addresses.find_token(f"unsubscribe {token}, please") == ticket
    link = f"https://lists.example.fi/unsubscribe/{token}"
    assert addresses.find_token(f"> pois\n> <{link}>\n") == ticket
    assert addresses.find_token(f"> {link[:60]}\n> {link[60:]}\n> jatkuu\n") == ticket
    assert addresses.find_token(f"{'x' * 55}.{'y' * 43} {link}") == ticket
    last = "A" if token[0] != "A" else "B"
    for forged in (last + token[1:], token[:-5], token.lower(), "", "x" * 100_000):
        assert addresses.find_token(forged) is None


REPORT = """\
From: fbl@provider.example
To: abuse@lists.example.fi
Content-Type: multipart/report; report-type=feedback-report; boundary=b

--b
Content-Type: text/plain

A complaint.
--b
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: x/1
Version: 1
{own}
--b
Content-Type: {kind}

{header}
Subject: x

--b--
"""


def test_a_report_names_the_mail_by_signed_ids_only(settings: Settings, tokens: Tokens, addresses: Addresses):
    path, message_id = Addressing(settings, tokens).of(99)
    for kind in ("message/rfc822", "text/rfc822-headers"):
        for header in (f"Message-ID: {message_id}", f"Return-Path: <{path.upper()}>"):
            mail = read(REPORT.format(own="", kind=kind, header=header).encode())
            assert addresses.handoff_named(mail) == 99
    mail = read(REPORT.format(own=f"Original-Mail-From: <{path}>", kind="message/rfc822", header="X: y").encode())
    assert addresses.handoff_named(mail) == 99
    foreign = read(REPORT.format(own="", kind="message/rfc822", header=f"Message-ID: <{path}x>").encode())
    assert addresses.handoff_named(foreign) is None
    token = unsubscribe_token(tokens, 3, DIGEST, 12)
    redacted = f"List-Unsubscribe: <https://lists.example.fi/unsubscribe/{token}>,\n <mailto:x@y.fi>"
    mail = read(REPORT.format(own="", kind="message/rfc822", header=redacted).encode())
    assert addresses.handoff_named(mail) is None
    assert addresses.ticket_named(mail) == Ticket(3, DIGEST, 12)


def test_our_own_mail_is_known_again(settings: Settings, tokens: Tokens, addresses: Addresses):
    path, message_id = Addressing(settings, tokens).of(7)
    assert addresses.sent_by_us(read(f"Message-ID: {message_id}\n\n".encode()))
    assert not addresses.sent_by_us(read(f"In-Reply-To: {message_id}\nMessage-ID: <a@b>\n\n".encode()))
    assert addresses.from_us(read(b"From: Tector <TIEDOTE@example.fi>\n\n"))
    assert addresses.from_us(read(f"From: x <{path}>\n\n".encode()))
    assert not addresses.from_us(read(b"From: matti@example.fi\n\n"))
