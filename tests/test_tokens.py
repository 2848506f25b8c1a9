from __future__ import annotations

import base64
import hashlib
import string
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from itsdangerous import Signer
from itsdangerous.encoding import base64_encode

from mailinglist.errors import TokenForged, TokenSpent
from mailinglist.tokens import Purpose, Tokens

OLD, NEW = "an-old-key-an-old-key", "a-new-key-a-new-key-a"
PAYLOAD = bytes(range(30))
BASE64URL = string.ascii_letters + string.digits + "-_"


@pytest.fixture
def tokens() -> Tokens:
    return Tokens([NEW])


def test_without_a_key_there_are_no_tokens() -> None:
    with pytest.raises(ValueError, match="key"):
        Tokens([])


@pytest.mark.parametrize("purpose", Purpose)
@pytest.mark.parametrize("size", [1, 16, 30])
def test_what_was_issued_is_read(tokens: Tokens, purpose: Purpose, size: int) -> None:
    payload = PAYLOAD[:size]
    assert tokens.read(purpose, tokens.issue(purpose, payload)) == payload
    assert tokens.read_from_mail(purpose, tokens.issue_for_mail(purpose, payload)) == payload


def test_the_payload_of_a_mail_token_may_hold_any_octet(tokens: Tokens) -> None:
    for octet in range(256):
        token = tokens.issue_for_mail(Purpose.RETURN_PATH, bytes([octet]) * 5)
        assert tokens.read_from_mail(Purpose.RETURN_PATH, token) == bytes([octet]) * 5


def test_the_signature_is_the_one_that_itsdangerous_makes(tokens: Tokens) -> None:
    salt = Purpose.UNSUBSCRIBE.salt
    plain = Signer(NEW, salt=salt, key_derivation="hmac", digest_method=hashlib.sha256)
    for size in (1, 41, 64, 200):
        payload = bytes(range(size))
        assert tokens.issue(Purpose.UNSUBSCRIBE, payload) == plain.sign(base64_encode(payload)).decode()


@pytest.mark.parametrize("purpose", Purpose)
@pytest.mark.parametrize("other", Purpose)
def test_a_token_of_one_purpose_is_forged_for_every_other(tokens: Tokens, purpose: Purpose, other: Purpose) -> None:
    if purpose is other:
        return
    with pytest.raises(TokenForged):
        tokens.read(other, tokens.issue(purpose, PAYLOAD))
    with pytest.raises(TokenForged):
        tokens.read_from_mail(other, tokens.issue_for_mail(purpose, PAYLOAD))


def test_a_mail_token_is_no_web_token_even_in_its_signature(tokens: Tokens) -> None:
    """Who gets mail to a return path must not come to hold what opens a page."""
    web = tokens.issue(Purpose.UNSUBSCRIBE, PAYLOAD)
    mac = base64.urlsafe_b64decode(web.rpartition(".")[2] + "=")
    mail = tokens.issue_for_mail(Purpose.UNSUBSCRIBE, PAYLOAD)
    assert base64.b32decode(mail.upper())[-10:] != mac[:10]
    with pytest.raises(TokenForged):
        tokens.read(Purpose.UNSUBSCRIBE, mail)


@pytest.mark.parametrize("purpose", Purpose)
def test_the_newest_key_signs_and_all_verify(purpose: Purpose) -> None:
    before, between, after = Tokens([OLD]), Tokens([NEW, OLD]), Tokens([NEW])
    assert between.read(purpose, before.issue(purpose, PAYLOAD)) == PAYLOAD
    assert between.read_from_mail(purpose, before.issue_for_mail(purpose, PAYLOAD)) == PAYLOAD
    assert after.read(purpose, between.issue(purpose, PAYLOAD)) == PAYLOAD
    assert after.read_from_mail(purpose, between.issue_for_mail(purpose, PAYLOAD)) == PAYLOAD
    with pytest.raises(TokenForged):
        after.read(purpose, before.issue(purpose, PAYLOAD))
    with pytest.raises(TokenForged):
        after.read_from_mail(purpose, before.issue_for_mail(purpose, PAYLOAD))


@pytest.mark.parametrize("purpose", [Purpose.UNSUBSCRIBE, Purpose.BROWSER])
def test_an_altered_or_cut_web_token_is_forged(tokens: Tokens, purpose: Purpose) -> None:
    """Every character counts, with the last of each part, which has spare bits."""
    token = tokens.issue(purpose, PAYLOAD[:16])
    for at, own in enumerate(token):
        for character in f"{BASE64URL}.":
            if character != own:
                with pytest.raises(TokenForged):
                    tokens.read(purpose, token[:at] + character + token[at + 1 :])
        with pytest.raises(TokenForged):
            tokens.read(purpose, token[:at])


@pytest.mark.parametrize("spelt", ["{}=", "{}==", "{} ", " {}", "{}\n", "{}.", ".{}", "{}A", "A{}", "ä{}", "{}\0"])
def test_other_spellings_of_a_web_token_are_forged(tokens: Tokens, spelt: str) -> None:
    token = tokens.issue(Purpose.CONFIRM, PAYLOAD[:16])
    with pytest.raises(TokenForged):
        tokens.read(Purpose.CONFIRM, spelt.format(token))


def test_a_web_token_in_another_case_is_forged(tokens: Tokens) -> None:
    token = tokens.issue(Purpose.CONFIRM, PAYLOAD)
    for spelt in (token.upper(), token.lower(), token.swapcase()):
        with pytest.raises(TokenForged):
            tokens.read(Purpose.CONFIRM, spelt)


@pytest.mark.parametrize("nonsense", ["", ".", "..", "a", "a.b", "a" * 10_000, "😀", "\ud800", "%2e"])
def test_nonsense_is_forged(tokens: Tokens, nonsense: str) -> None:
    for purpose in Purpose:
        with pytest.raises(TokenForged):
            tokens.read(purpose, nonsense)
        with pytest.raises(TokenForged):
            tokens.read_from_mail(purpose, nonsense)


def test_mail_tokens_are_read_in_any_case_and_fit_a_local_part(tokens: Tokens) -> None:
    token = tokens.issue_for_mail(Purpose.RETURN_PATH, PAYLOAD[:20])
    assert set(token) <= set(string.ascii_lowercase + "234567")
    assert len(token) <= 56
    mixed = "".join(c.upper() if at % 2 else c for at, c in enumerate(token))
    for spelt in (token, token.upper(), mixed):
        assert tokens.read_from_mail(Purpose.RETURN_PATH, spelt) == PAYLOAD[:20]


def test_an_altered_or_cut_mail_token_is_forged(tokens: Tokens) -> None:
    token = tokens.issue_for_mail(Purpose.RETURN_PATH, PAYLOAD[:20])
    assert len(token) % 8 == 0, "no spare bits"
    for at, own in enumerate(token):
        for character in "abcdefghijklmnopqrstuvwxyz234567":
            if character != own:
                with pytest.raises(TokenForged):
                    tokens.read_from_mail(Purpose.RETURN_PATH, token[:at] + character + token[at + 1 :])
        with pytest.raises(TokenForged):
            tokens.read_from_mail(Purpose.RETURN_PATH, token[:at])


def test_a_mail_token_without_a_payload_is_forged(tokens: Tokens) -> None:
    with pytest.raises(TokenForged):
        tokens.read_from_mail(Purpose.RETURN_PATH, tokens.issue_for_mail(Purpose.RETURN_PATH, b""))


def test_a_browsers_token_is_spent_after_60_days_and_no_other_is() -> None:
    tokens, begin = Tokens([NEW]), datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
    with time_machine.travel(begin, tick=False):
        issued = {purpose: tokens.issue(purpose, PAYLOAD) for purpose in Purpose}
    with time_machine.travel(begin + timedelta(days=60), tick=False):
        assert tokens.read(Purpose.BROWSER, issued[Purpose.BROWSER]) == PAYLOAD
    with time_machine.travel(begin + timedelta(days=60, seconds=1), tick=False), pytest.raises(TokenSpent):
        tokens.read(Purpose.BROWSER, issued[Purpose.BROWSER])
    with time_machine.travel(begin + timedelta(days=4000), tick=False):
        for purpose in set(Purpose) - {Purpose.BROWSER}:
            assert tokens.read(purpose, issued[purpose]) == PAYLOAD


def test_an_expired_token_of_another_key_is_forged_not_spent() -> None:
    begin = datetime(2026, 11, 2, tzinfo=UTC)
    with time_machine.travel(begin, tick=False):
        token = Tokens([OLD]).issue(Purpose.BROWSER, PAYLOAD)
    with time_machine.travel(begin + timedelta(days=90), tick=False), pytest.raises(TokenForged):
        Tokens([NEW]).read(Purpose.BROWSER, token)


def test_messages_hold_no_token(tokens: Tokens) -> None:
    token = Tokens([OLD]).issue(Purpose.CONFIRM, PAYLOAD)
    with pytest.raises(TokenForged) as told:
        tokens.read(Purpose.CONFIRM, token)
    assert token[:12] not in str(told.value)
