"""The links of the confirmation letter: what looking at them does (nothing), and what pressing the button does."""

from __future__ import annotations

from datetime import timedelta

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, func, select

import making
from mailinglist import db
from mailinglist.consent import bans, lists, register
from mailinglist.consent.states import ALL_CHANNELS, Event, State
from mailinglist.consent.tables import Confirmation, Evidence, LedgerEntry, Person, Request, Subscription
from mailinglist.tokens import Purpose

PAGE = "/lists/tector-tiedottaa"
OURS = {"Origin": "http://127.0.0.1:8000"}
MAILBOX = "matti@example.fi"


def state() -> str | None:
    with db.reading() as session:
        return session.scalar(select(Subscription.state))


def events() -> int:
    with db.reading() as session:
        return session.scalar(select(func.count()).select_from(LedgerEntry)) or 0


def tokens(*, age: timedelta = timedelta(), language: str = "fi") -> tuple[str, str]:
    """Somebody has asked, and got a letter: its confirm and not-me tokens."""
    now = db.utcnow() - age
    with db.transaction() as session:
        return making.letter(session, making.ask(session, MAILBOX, now=now, language=language), now=now)


def signed_up_here(client: FlaskClient) -> str:
    """The client asks by the form; the worker takes it; the confirm token of the letter."""
    assert client.post(PAGE, data={"email": MAILBOX}, headers=OURS).status_code == 303
    return taken()


def taken() -> str:
    """The worker takes what is waiting, and writes the letter."""
    from mailinglist.consent import requests

    now = db.utcnow()
    with db.transaction() as session:
        requests.take(session, now=now)
        newest = session.scalars(select(Request).order_by(Request.id.desc()).limit(1)).one()
        return making.letter(session, newest, now=now)[0]


class TestLooking:
    def test_shows_the_text_and_one_button(self, client: FlaskClient) -> None:
        confirm, _ = tokens(language="sv")
        page = client.get(f"/confirm/{confirm}")
        assert page.status_code == 200
        assert '<html lang="sv">' in page.text, "the language in which the person asked"
        with db.reading() as session:
            assert lists.current_text(session, making.the_list(session), "sv").body in page.text
        assert page.text.count("<button") == 1

    def test_fifty_times_changes_nothing(self, client: FlaskClient) -> None:
        confirm, not_me = tokens()
        before = events()
        for path in (f"/confirm/{confirm}", f"/not-me/{not_me}"):
            for _ in range(25):
                assert client.get(path).status_code == 200
                assert client.head(path).status_code == 200
        assert (state(), events()) == ("pending", before)

    def test_opens_no_transaction_that_could_write(self, app: Flask, client: FlaskClient) -> None:
        confirm, _ = tokens()
        statements: list[str] = []
        event.listen(db.db.engine, "before_cursor_execute", lambda _c, _u, statement, *_: statements.append(statement))
        assert client.get(f"/confirm/{confirm}").status_code == 200
        assert statements
        assert all(statement.startswith(("SELECT", "BEGIN")) for statement in statements), statements
        assert "BEGIN IMMEDIATE" not in statements

    def test_is_kept_from_caches_referrers_and_indexes(self, client: FlaskClient) -> None:
        confirm, not_me = tokens()
        for path in (f"/confirm/{confirm}", f"/not-me/{not_me}", "/confirm/forged"):
            headers = client.get(path).headers
            assert headers["Cache-Control"] == "no-store"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["X-Robots-Tag"] == "noindex"
            assert "Set-Cookie" not in headers


class TestPressing:
    def test_confirms_once_and_then_says_already(self, client: FlaskClient, bells: list[frozenset[str]]) -> None:
        confirm, _ = tokens()
        bells.clear()
        first = client.post(f"/confirm/{confirm}?lang=en")
        assert first.status_code == 200
        assert "Thank you, you are on the list" in first.text
        assert state() == "active"
        assert bells == [frozenset({db.LETTERS})]
        count = events()
        for again in (client.post(f"/confirm/{confirm}?lang=en"), client.get(f"/confirm/{confirm}?lang=en")):
            assert again.status_code == 200
            assert "You are on the list already" in again.text
        assert events() == count

    def test_keeps_how_where_and_by_what(self, client: FlaskClient) -> None:
        confirm, _ = tokens()
        client.post(f"/confirm/{confirm}", headers={"User-Agent": "Netscape 4"})
        with db.reading() as session:
            newest = session.scalars(select(Evidence).order_by(Evidence.id.desc()).limit(1)).one().content
        for part in (b'"how":"button"', b'"client":"127.0.0.1"', b'"user_agent":"Netscape 4"', b'"language":"fi"'):
            assert part in newest

    def test_either_of_two_letters_confirms(self, client: FlaskClient) -> None:
        early, _ = tokens(age=timedelta(hours=1))
        _late, _ = tokens()
        assert client.post(f"/confirm/{early}").status_code == 200
        assert state() == "active"

    def test_of_an_expired_letter_is_410_with_a_way_on(self, client: FlaskClient, bells: list[frozenset[str]]) -> None:
        confirm, _ = tokens(age=timedelta(days=8))
        for page in (client.get(f"/confirm/{confirm}?lang=en"), client.post(f"/confirm/{confirm}?lang=en")):
            assert page.status_code == 410
            assert "This link has expired" in page.text
            assert 'name="fresh"' in page.text
        assert state() == "pending"

    def test_after_a_leave_is_410(self, client: FlaskClient) -> None:
        confirm, not_me = tokens()
        client.post(f"/not-me/{not_me}")
        page = client.post(f"/confirm/{confirm}?lang=en")
        assert page.status_code == 410
        assert "This link is no longer valid" in page.text
        assert state() == "left"

    def test_after_a_leave_and_a_ban_is_410_and_offers_no_letter(self, client: FlaskClient) -> None:
        """A fresh letter would be stopped by the ban without a word. Whoever holds the link reads the mailbox."""
        confirm, _ = tokens()
        client.post(f"/confirm/{confirm}")
        with db.transaction() as session:
            person = session.scalars(select(Person)).one()
            register.end(
                session, person, making.the_list(session), Event.LEAVE, source="page", origin={}, now=db.utcnow()
            )
            bans.add(session, person.digest, ALL_CHANNELS, source="phone", now=db.utcnow())
        for page in (client.get(f"/confirm/{confirm}?lang=en"), client.post(f"/confirm/{confirm}?lang=en")):
            assert page.status_code == 410
            assert "Marketing to this address is forbidden" in page.text
            assert 'name="fresh"' not in page.text

    def test_of_a_letter_to_an_earlier_address_says_nothing_of_a_ban(self, client: FlaskClient) -> None:
        confirm, _ = tokens()
        with db.transaction() as session:
            person = session.scalars(select(Person)).one()
            session.scalars(select(Confirmation)).one().address = b"another"
            bans.add(session, person.digest, ALL_CHANNELS, source="phone", now=db.utcnow())
        page = client.get(f"/confirm/{confirm}?lang=en")
        assert page.status_code == 410
        assert "forbidden" not in page.text

    def test_of_somebody_erased_is_410(self, client: FlaskClient) -> None:
        confirm, _ = tokens()
        with db.transaction() as session:
            register.forget(session, session.scalars(select(Person)).one(), now=db.utcnow())
        for page in (
            client.get(f"/confirm/{confirm}?lang=en"),
            client.post(f"/confirm/{confirm}", data={"fresh": "1"}),
        ):
            assert page.status_code == 410
        assert "no longer kept" in client.get(f"/confirm/{confirm}?lang=en").text

    def test_of_somebody_banned_is_409_in_words(self, client: FlaskClient) -> None:
        confirm, _ = tokens()
        with db.transaction() as session:
            person = session.scalars(select(Person)).one()
            bans.add(session, person.digest, ALL_CHANNELS, source="phone", now=db.utcnow())
        page = client.post(f"/confirm/{confirm}?lang=en")
        assert page.status_code == 409
        assert "Marketing to this address is forbidden" in page.text
        assert state() == "pending"

    def test_of_a_spoilt_token_is_404(self, client: FlaskClient) -> None:
        confirm, not_me = tokens()
        for page, token in (("/confirm", confirm), ("/not-me", not_me)):
            for spoilt in (
                "forged", token[:-1], token[1:], token + "A", token.swapcase(), token.replace(".", ".."), token + "%00",
                "\u00e4" + token, token.partition(".")[0], token * 40,
            ):  # fmt: skip
                path = f"{page}/{spoilt}"
                assert client.get(path).status_code == 404, path
                assert client.post(path).status_code == 404, path
        assert client.post(f"/confirm/{confirm[:-1]}", data={"fresh": "1"}).status_code == 404
        assert state() == "pending"

    def test_of_a_token_of_another_purpose_is_404(self, app: Flask, client: FlaskClient) -> None:
        confirm, not_me = tokens()
        with db.reading() as session:
            person = session.scalars(select(Person)).one()
            unsubscribe = making.leave_token(session, person)
            secret = register.tokens_of(session).read(Purpose.CONFIRM, confirm)
            browser = register.tokens_of(session).issue(Purpose.BROWSER, secret)
        for page, token in (
            ("confirm", not_me), ("confirm", unsubscribe), ("confirm", browser), ("not-me", confirm),
            ("unsubscribe", confirm), ("unsubscribe", not_me),
        ):  # fmt: skip
            assert client.post(f"/{page}/{token}").status_code == 404
        assert state() == "pending"


class TestAFreshLetter:
    def test_is_asked_for_by_the_button(self, client: FlaskClient, bells: list[frozenset[str]]) -> None:
        confirm, _ = tokens(age=timedelta(days=8), language="sv")
        bells.clear()
        headers = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}
        answer = client.post(f"/confirm/{confirm}", data={"fresh": "1"}, headers=headers)
        assert (answer.status_code, answer.location) == (303, f"{PAGE}/check-mail?lang=sv")
        assert bells == [frozenset({db.REQUESTS})]
        assert "Set-Cookie" in answer.headers
        fresh = taken()
        assert client.get(f"/confirm/{fresh}", headers={"X-Nothing": "1"}).status_code == 200
        assert state() == "active", "the browser that asked for the fresh letter is known"

    def test_is_limited_like_the_form(self, client: FlaskClient) -> None:
        confirm, _ = tokens(age=timedelta(days=8))
        statuses = [client.post(f"/confirm/{confirm}", data={"fresh": "1"}).status_code for _ in range(11)]
        assert statuses == [303] * 10 + [429]
        assert client.post(f"/confirm/{confirm}").status_code == 410, "the button itself is not limited"


class TestTheBrowserThatSignedUp:
    def test_is_confirmed_by_the_link_alone(self, client: FlaskClient) -> None:
        confirm = signed_up_here(client)
        page = client.get(f"/confirm/{confirm}?lang=en")
        assert page.status_code == 200
        assert "Thank you, you are on the list" in page.text
        assert state() == "active"
        with db.reading() as session:
            newest = session.scalars(select(Evidence).order_by(Evidence.id.desc()).limit(1)).one().content
        assert b'"how":"browser"' in newest
        assert "You are on the list already" in client.get(f"/confirm/{confirm}?lang=en").text

    def test_is_known_with_its_newest_cookie_for_the_older_letter_too(self, client: FlaskClient) -> None:
        confirm = signed_up_here(client)
        assert client.post(PAGE, data={"email": MAILBOX}, headers=OURS).status_code == 303
        with db.transaction() as session:
            from mailinglist.consent import requests

            requests.take(session, now=db.utcnow())
        client.get(f"/confirm/{confirm}")
        assert state() == "active"

    def test_is_not_confirmed_while_it_fetches_ahead(self, client: FlaskClient) -> None:
        confirm = signed_up_here(client)
        for headers in (
            {"Sec-Purpose": "prefetch"}, {"Sec-Purpose": "prefetch;prerender"}, {"Purpose": "prefetch"},
            {"X-Moz": "prefetch"}, {"X-Purpose": "preview"},
        ):  # fmt: skip
            assert client.get(f"/confirm/{confirm}", headers=headers).text.count("<button") == 1
        assert state() == "pending"

    def test_is_not_confirmed_by_head(self, client: FlaskClient) -> None:
        confirm = signed_up_here(client)
        assert client.head(f"/confirm/{confirm}").status_code == 200
        assert state() == "pending"

    def test_is_no_other_browser(self, app: Flask, client: FlaskClient) -> None:
        confirm = signed_up_here(client)
        other = app.test_client()
        other.post(PAGE, data={"email": "other@example.fi"}, headers=OURS)
        assert other.get(f"/confirm/{confirm}").text.count("<button") == 1
        assert state() == "pending"

    def test_is_not_somebody_with_a_made_up_cookie(self, client: FlaskClient) -> None:
        confirm = signed_up_here(client)
        for value in ("", "x", "a.b.c", "\u00e4"):
            client.set_cookie("mailinglist_browser", value)
            assert client.get(f"/confirm/{confirm}").status_code == 200
        assert state() == "pending"

    def test_is_told_when_it_is_banned(self, client: FlaskClient) -> None:
        confirm = signed_up_here(client)
        with db.transaction() as session:
            person = session.scalars(select(Person)).one()
            bans.add(session, person.digest, ALL_CHANNELS, source="phone", now=db.utcnow())
        assert client.get(f"/confirm/{confirm}").status_code == 409


class TestNotMe:
    def test_has_one_button_that_ends_the_request(self, client: FlaskClient) -> None:
        confirm, not_me = tokens()
        page = client.get(f"/not-me/{not_me}?lang=en")
        assert page.status_code == 200
        assert page.text.count("<button") == 1
        for _ in range(2):
            done = client.post(f"/not-me/{not_me}?lang=en")
            assert done.status_code == 200
            assert "The request has ended" in done.text
        assert state() == "left"
        assert client.post(f"/confirm/{confirm}").status_code == 410

    def test_stops_further_letters(self, client: FlaskClient) -> None:
        _, not_me = tokens()
        client.post(f"/not-me/{not_me}")
        with db.transaction() as session:
            assert making.ask(session, MAILBOX, now=db.utcnow() + timedelta(days=300)).outcome == "muted"

    def test_takes_an_active_person_off_the_list(self, client: FlaskClient) -> None:
        confirm, not_me = tokens()
        client.post(f"/confirm/{confirm}")
        client.post(f"/not-me/{not_me}")
        assert state() == State.LEFT.value
