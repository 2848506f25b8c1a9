"""The proof of work: asked for when wanted, checked, good once; without it a request is slower and not lost."""

from __future__ import annotations

import base64
import html
import json
import re
from datetime import timedelta
from typing import Any

import altcha
from flask.testing import FlaskClient
from sqlalchemy import insert, select

import making
from mailinglist import db
from mailinglist.consent import lists
from mailinglist.consent.tables import Request
from mailinglist.web import proof

PAGE = "/lists/tector-tiedottaa"
KEYS = ("newest-key-0123456789", "older-key-0123456789")


def switch(mode: str) -> None:
    with db.transaction() as session:
        lists.set_value(session, making.the_list(session), "proof_of_work", mode, now=db.utcnow())


def challenge_on(page: str) -> dict[str, Any] | None:
    found = re.search(r'data-challenge="([^"]*)"', page)
    return json.loads(html.unescape(found[1])) if found else None


def solution(challenge: dict[str, Any]) -> str:
    """What the browser's worker finds."""
    made = altcha.Challenge.from_dict(challenge)
    found = altcha.solve_challenge(made)
    assert found is not None
    return altcha.Payload(made, found).to_base64()


def delay(client: FlaskClient, **fields: str) -> timedelta:
    """How long the request that is made by this has to wait."""
    assert client.post(PAGE, data={"email": "matti@example.fi", **fields}).status_code == 303
    with db.reading() as session:
        newest = session.scalars(select(Request).order_by(Request.id.desc()).limit(1)).one()
        return newest.not_before - newest.received_at


class TestTheForm:
    def test_asks_for_none_in_peace(self, client: FlaskClient) -> None:
        page = client.get(PAGE)
        assert challenge_on(page.text) is None
        assert "<script" not in page.text
        assert "script-src" not in page.headers["Content-Security-Policy"]
        assert delay(client) == timedelta()

    def test_asks_where_the_list_wants_it(self, client: FlaskClient) -> None:
        switch("on")
        page = client.get(PAGE)
        assert challenge_on(page.text)
        assert "script-src 'self'; worker-src 'self'" in page.headers["Content-Security-Policy"]
        assert page.headers["Cache-Control"] == "no-store"
        assert challenge_on(client.get(PAGE).text) != challenge_on(page.text)

    def test_arms_itself_under_attack(self, client: FlaskClient) -> None:
        now = db.utcnow()
        with db.transaction() as session:
            row = {
                "kind": "join", "list_id": making.the_list(session).id, "entrance": "web", "mailbox": "x@example.fi",
                "domain": "example.fi", "language": "fi", "received_at": now, "not_before": now, "letter_due": False,
            }  # fmt: skip
            session.execute(insert(Request), [row] * 301)
        assert challenge_on(client.get(PAGE).text)
        assert delay(client) == timedelta(minutes=1)
        switch("off")
        assert challenge_on(client.get(PAGE).text) is None
        assert delay(client) == timedelta()


class TestAnswers:
    def test_a_good_one_goes_the_fast_lane_once(self, client: FlaskClient) -> None:
        switch("on")
        challenge = challenge_on(client.get(PAGE).text)
        assert challenge
        answer = solution(challenge)
        assert delay(client, altcha=answer) == timedelta()
        assert delay(client, altcha=answer) == timedelta(minutes=1), "used up"

    def test_nonsense_goes_the_slow_lane(self, client: FlaskClient) -> None:
        switch("on")
        for answer in (
            "", "x", "e30=", "bnVsbA==", "W10=", "\u00e4", "A" * 50_000, base64.b64encode(b"[" * 5000).decode(),
            base64.b64encode(b'{"challenge":{"parameters":[]},"solution":1}').decode(),
        ):  # fmt: skip
            assert delay(client, altcha=answer) == timedelta(minutes=1), answer[:40]


class TestSolved:
    def check(self, answer: str, keys: tuple[str, ...] = KEYS) -> bool:
        return proof.solved(keys, answer, once=lambda _what, *, seconds: seconds > 0)

    def test_with_any_of_our_keys(self) -> None:
        challenge = json.loads(proof.challenge(KEYS[1:], now=db.utcnow()))
        assert self.check(solution(challenge))
        assert not self.check(solution(challenge), ("another-key-0123456789",))

    def test_not_when_expired(self) -> None:
        challenge = json.loads(proof.challenge(KEYS, now=db.utcnow() - timedelta(minutes=31)))
        assert not self.check(solution(challenge))

    def test_not_with_an_easier_challenge_of_one_s_own(self) -> None:
        easy = altcha.create_challenge("PBKDF2/SHA-256", 1, counter=1, hmac_secret="mine", hmac_key_secret="mine")
        assert not self.check(solution(easy.to_dict()))
        eased = json.loads(proof.challenge(KEYS, now=db.utcnow()))
        eased["parameters"]["keyPrefix"] = "00"
        assert not self.check(solution(eased))

    def test_not_with_another_solution(self) -> None:
        made = altcha.Challenge.from_dict(json.loads(proof.challenge(KEYS, now=db.utcnow())))
        assert not self.check(altcha.Payload(made, altcha.Solution(1, "00" * 32)).to_base64())
        assert not self.check(altcha.Payload(made, altcha.Solution(1, None)).to_base64())
