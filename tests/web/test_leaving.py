"""The unsubscribe link: RFC 8058, the page, and the ban."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

import making
from mailinglist import db
from mailinglist.consent import address, bans, register, requests, verification
from mailinglist.consent.keys import Keys
from mailinglist.consent.states import ALL_CHANNELS
from mailinglist.consent.tables import Ban, Evidence, Person, Subscription
from mailinglist.errors import RegisterUnsound


@pytest.fixture
def token(app: Flask) -> str:
    """The unsubscribe token of somebody on the list."""
    with db.transaction() as session:
        person = making.person(session, "matti@example.fi", now=db.utcnow() - timedelta(days=1))
        return making.leave_token(session, person, dispatch=7)


def state() -> str | None:
    with db.reading() as session:
        return session.scalar(select(Subscription.state))


def banned() -> set[str]:
    with db.reading() as session:
        return set(session.scalars(select(Ban.channel).where(Ban.lifted_at.is_(None))))


def evidence() -> bytes:
    with db.reading() as session:
        return session.scalars(select(Evidence).order_by(Evidence.id.desc()).limit(1)).one().content


class TestOneClick:
    """RFC 8058 §3: a POST without cookies, redirects or questions."""

    @pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data"])
    def test_leaves_at_once(self, app: Flask, client: FlaskClient, token: str, kind: str) -> None:
        answer = client.post(f"/unsubscribe/{token}", data={"List-Unsubscribe": "One-Click"}, content_type=kind)
        assert answer.status_code == 200
        assert "Set-Cookie" not in answer.headers
        assert answer.mimetype == "text/plain"
        assert len(answer.data) < 200
        assert state() == "left"
        assert b'"how":"one-click"' in evidence()
        assert b'"dispatch":7' in evidence()
        again = client.post(f"/unsubscribe/{token}", data={"List-Unsubscribe": "One-Click"}, content_type=kind)
        assert (again.status_code, again.data) == (answer.status_code, answer.data)

    def test_is_never_limited(self, client: FlaskClient, token: str) -> None:
        """A mailbox provider sends those of all its users from a few addresses."""
        assert {client.post(f"/unsubscribe/{token}").status_code for _ in range(30)} == {200}

    def test_works_from_anywhere(self, client: FlaskClient, token: str) -> None:
        headers = {"Origin": "https://mail.example", "Sec-Fetch-Site": "cross-site"}
        assert client.post(f"/unsubscribe/{token}", headers=headers).status_code == 200
        assert state() == "left"

    @pytest.mark.parametrize(
        ("body", "kind"),
        [(b"", ""), (b"\xff\xfe", "text/plain"), (b"{}", "application/json"),
         (b"--x", "multipart/form-data; boundary=x"),
         (b"List-Unsubscribe=one-click&ban=nonsense", "application/x-www-form-urlencoded")],
    )  # fmt: skip
    def test_whatever_the_body_who_posts_leaves(self, client: FlaskClient, token: str, body: bytes, kind: str) -> None:
        assert client.post(f"/unsubscribe/{token}", data=body, content_type=kind).status_code == 200
        assert state() == "left"
        assert banned() == set()


class TestThePage:
    def test_looking_changes_nothing(self, client: FlaskClient, token: str) -> None:
        for _ in range(5):
            page = client.get(f"/unsubscribe/{token}?lang=en")
            assert client.head(f"/unsubscribe/{token}").status_code == 200
        assert page.status_code == 200
        assert "One click, and “Tector tiedottaa” no longer comes to your inbox." in page.text
        assert state() == "active"

    def test_offers_the_ban_quietly_beneath(self, client: FlaskClient, token: str) -> None:
        text = client.get(f"/unsubscribe/{token}?lang=en").text
        leave, ban = text.index(">Leave the list</button>"), text.index("Leave and forbid all marketing</button>")
        assert leave < ban
        assert '<button class="quiet" type="submit" name="ban" value="all">' in text

    def test_leaves_and_offers_the_ban_afterwards(self, client: FlaskClient, token: str) -> None:
        page = client.post(f"/unsubscribe/{token}?lang=en")
        assert page.status_code == 200
        assert "You have left" in page.text
        assert 'name="ban" value="all"' in page.text
        assert "Set-Cookie" not in page.headers
        assert state() == "left"
        assert b'"how":"page"' in evidence()
        assert "You are not on the list" in client.get(f"/unsubscribe/{token}?lang=en").text

    @pytest.mark.parametrize(
        ("ban", "channels"),
        [("all", {"email", "post", "phone", "disclosure"}), ("email", {"email"}), ("nonsense", set())],
    )
    def test_forbids_what_is_asked(self, client: FlaskClient, token: str, ban: str, channels: set[str]) -> None:
        for _ in range(2):
            page = client.post(f"/unsubscribe/{token}?lang=en", data={"ban": ban})
            assert page.status_code == 200
            assert "You have left" in page.text
            assert ("You have also forbidden" in page.text) == bool(channels)
        assert state() == "left"
        assert banned() == channels

    def test_speaks_the_person_s_language(self, client: FlaskClient, token: str) -> None:
        with db.transaction() as session:
            session.scalars(select(Person)).one().language = "sv"
        assert '<html lang="sv">' in client.get(f"/unsubscribe/{token}", headers={"Accept-Language": "en"}).text
        answer = client.post(f"/unsubscribe/{token}", data={"List-Unsubscribe": "One-Click"})
        assert answer.text == "Du har lämnat listan.\n"

    def test_works_for_somebody_erased_and_takes_their_ban(self, client: FlaskClient, token: str) -> None:
        with db.transaction() as session:
            register.forget(session, session.scalars(select(Person)).one(), now=db.utcnow())
        assert client.get(f"/unsubscribe/{token}").status_code == 200
        assert client.post(f"/unsubscribe/{token}", data={"ban": "all"}).status_code == 200
        assert banned() == {"email", "post", "phone", "disclosure"}

    def test_of_a_spoilt_token_is_404(self, client: FlaskClient, token: str) -> None:
        for spoilt in ("x", token[:-1], token.swapcase(), token + "%00", token.partition(".")[0]):
            assert client.get(f"/unsubscribe/{spoilt}").status_code == 404
            assert client.post(f"/unsubscribe/{spoilt}").status_code == 404
        assert state() == "active"

    def test_is_kept_from_caches_and_referrers(self, client: FlaskClient, token: str) -> None:
        for answer in (client.get(f"/unsubscribe/{token}"), client.post(f"/unsubscribe/{token}")):
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_with_a_wrong_ban_key_a_leave_is_kept_and_entered_later(app: Flask, client: FlaskClient) -> None:
    with db.transaction() as session:
        made = making.person(session, "matti@example.fi", now=db.utcnow())
        token = making.leave_token(session, made)
    right = app.extensions["mailinglist_session"]["info"]["keys"]
    db.install(app, keys=Keys(b"another key, another key, another"))
    assert client.post(f"/unsubscribe/{token}", data={"ban": "all"}).status_code == 200
    with pytest.raises(RegisterUnsound), db.transaction() as session:
        requests.take(session, now=db.utcnow())
    db.install(app, keys=right)
    with db.transaction() as session:
        requests.take(session, now=db.utcnow())
        assert register.exit_for(session, token).left
        assert bans.check(session, address.parse("matti@example.fi")).channels == ALL_CHANNELS
        assert list(verification.verify(session)) == []
