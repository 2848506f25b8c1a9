"""The sign-up page: what it shows, what it takes, and that it answers everybody alike."""

from __future__ import annotations

from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, select
from werkzeug.test import TestResponse

import making
from mailinglist import db
from mailinglist.consent import address, bans, lists
from mailinglist.consent.states import ALL_CHANNELS, State
from mailinglist.consent.tables import ConsentText, Person, Request

PAGE = "/lists/tector-tiedottaa"
OURS = {"Origin": "http://127.0.0.1:8000"}

MALFORMED = (
    "", " ", "matti", "matti@", "@example.fi", "a@b@example.fi", "a@@example.fi", "a@example", "a@[192.0.2.1]",
    '"a b"@example.fi', '"a"@example.fi', "a b@example.fi", "a@exa mple.fi", "a@-example.fi", "a@example..fi",
    "a\r\nBcc: b@example.fi", "a@example.fi\r\nb@example.fi", "a\0@example.fi", "a@example.fi\0", ".a@example.fi",
    "a" * 65 + "@example.fi", "a@" + "b" * 260 + ".fi", "x" * 10_000 + "@example.fi", "a@ex\u202eample.fi",
    "\ufffd@example.fi", "a\u2028@example.fi", "\ue000name\ue001@example.fi", "%00@",
    "Matti <a@example.fi>", "a@example.fi,b@example.fi",
)  # fmt: skip


class Form(HTMLParser):
    """The fields of the page's form, and the attributes of its e-mail field."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.email: dict[str, str | None] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "input" and given.get("name"):
            self.fields[str(given["name"])] = given.get("value") or ""
            if given["name"] == "email":
                self.email = given


def ask(
    client: FlaskClient, email: str = "matti@example.fi", *, client_at: str = "192.0.2.1", **fields: Any
) -> TestResponse:
    return client.post(
        PAGE, data={"email": email, **fields}, headers=OURS, environ_overrides={"REMOTE_ADDR": client_at}
    )


def written() -> list[Request]:
    with db.reading() as session:
        found = list(session.scalars(select(Request).order_by(Request.id)))
        session.expunge_all()
        return found


class TestThePage:
    def test_shows_list_consent_text_and_one_form(self, client: FlaskClient) -> None:
        page = client.get(PAGE, query_string={"lang": "en"})
        assert page.status_code == 200
        with db.reading() as session:
            text = lists.current_text(session, making.the_list(session), "en")
            body, digest = text.body, text.digest.hex()
        assert body in page.text
        assert "<h1>Tector tiedottaa</h1>" in page.text
        form = Form(page.text)
        assert form.fields == {"email": "", "website": "", "lang": "en", "text": digest}
        assert form.email["autocomplete"] == "email"
        assert "Set-Cookie" not in page.headers

    def test_speaks_the_language_asked_for(self, client: FlaskClient) -> None:
        for asked, preferred, spoken in (
            ("sv", "en", "sv"), (None, "sv-FI,sv;q=0.9", "sv"), (None, "en-GB", "en"), (None, "de,fr", "fi"),
            (None, "", "fi"), ("xx", "en", "en"), (None, "*;q=x,,;", "fi"), (None, "de,sv;q=0.5", "sv"),
        ):  # fmt: skip
            query = {"lang": asked} if asked else {}
            page = client.get(PAGE, query_string=query, headers={"Accept-Language": preferred})
            assert f'<html lang="{spoken}">' in page.text, (asked, preferred)
            assert page.headers["Content-Language"] == spoken
            assert "Accept-Language" in page.headers["Vary"]

    def test_of_no_list_is_404(self, client: FlaskClient) -> None:
        assert client.get("/lists/nothing").status_code == 404
        assert client.post("/lists/nothing", data={"email": "a@example.fi"}).status_code == 404

    def test_the_entrance_leads_to_the_default_list(self, client: FlaskClient) -> None:
        answer = client.get("/")
        assert (answer.status_code, answer.location) == (302, PAGE)
        assert client.get("/?lang=sv").location == f"{PAGE}?lang=sv"


class TestAsking:
    def test_writes_the_request_down_and_rings(self, client: FlaskClient, bells: list[frozenset[str]]) -> None:
        answer = ask(client, "  Matti.Meikäläinen@Näyte.FI ")
        assert (answer.status_code, answer.location) == (303, f"{PAGE}/check-mail")
        (request,) = written()
        assert request.mailbox == "Matti.Meikäläinen@xn--nyte-loa.fi"
        assert (request.kind, request.entrance, request.taken_at) == ("join", "web", None)
        assert request.not_before == request.received_at
        assert request.origin is not None
        assert request.origin["how"] == "form"
        assert request.origin["client"] == "192.0.2.1"
        assert bells == [frozenset({db.REQUESTS})]
        with db.reading() as session:
            assert session.scalar(select(Person)) is None, "nobody is looked up or entered by the page"

    def test_keeps_the_language_of_the_form(self, client: FlaskClient) -> None:
        assert ask(client, lang="sv").location == f"{PAGE}/check-mail?lang=sv"
        assert written()[0].language == "sv"
        page = client.get(f"{PAGE}/check-mail?lang=sv")
        assert '<html lang="sv">' in page.text

    def test_binds_the_text_that_was_shown(self, client: FlaskClient) -> None:
        shown = Form(client.get(PAGE, query_string={"lang": "en"}).text).fields["text"]
        with db.transaction() as session:
            lists.set_value(session, making.the_list(session), "consent-en", "A newer wording.", now=db.utcnow())
        ask(client, lang="en", text=shown)
        ask(client, lang="en")
        ask(client, lang="en", text="f" * 64)
        with db.reading() as session:
            versions = {text.id: text.version for text in session.scalars(select(ConsentText))}
        assert [versions[request.text_id or 0] for request in written()] == [1, 2, 2]

    def test_a_filled_honeypot_changes_nothing_but_looks_the_same(self, client: FlaskClient) -> None:
        good, trapped = ask(client), ask(client, "robot@example.fi", website="https://spam.example")
        assert same(good) == same(trapped)
        assert [request.mailbox for request in written()] == ["matti@example.fi"]

    def test_a_malformed_address_gets_the_form_back_with_the_reason(self, client: FlaskClient) -> None:
        for number, email in enumerate(MALFORMED):
            page = ask(client, email, client_at=f"192.0.2.{number}", lang="en")
            assert page.status_code == 422, email
            form = Form(page.text)
            assert form.email["aria-invalid"] == "true"
            assert form.email["aria-describedby"] == "email-error"
            assert "autofocus" in form.email
            reason = page.text.partition('id="email-error">')[2].partition("<")[0]
            assert reason.replace("&#39;", "'") in address.REASONS
            assert "<title>Error: " in page.text
            assert form.fields["email"] == "".join(c for c in email if c.isprintable())
            assert "Set-Cookie" not in page.headers
        assert written() == []

    def test_odd_but_good_addresses_are_taken(self, client: FlaskClient) -> None:
        for email in ("MATTI@EXAMPLE.FI", "a+b@example.fi", "o'neil@example.co.uk", "päivi@näyte.fi", "a%b@example.fi"):
            assert ask(client, email).status_code == 303, email
        assert ask(client, "a@example.fi.").status_code in (303, 422), "a trailing dot is taken, or refused in words"

    def test_an_address_with_markup_is_shown_as_text(self, client: FlaskClient) -> None:
        page = ask(client, '"><script>alert(1)</script>@@')
        assert page.status_code == 422
        assert "<script" not in page.text


_FORM = "application/x-www-form-urlencoded"
BODIES = (
    # Bytes that are no UTF-8 stay as they came, percent signs and all: an odd address, and a well-formed one.
    (b"email=%FF%FE@example.fi", _FORM, 422),
    (b"email=\xff\xfe@example.fi", _FORM, 422),
    (b"email=a@example.fi", "application/x-www-form-urlencoded; charset=klingon", 303),
    (b"email=a@example.fi", "application/x-www-form-urlencoded; charset=utf-16", 303),
    (b'{"email": "a@example.fi"}', "application/json", 422),
    (b"email=a@example.fi", "text/plain", 422),
    (b"email=a@example.fi", "", 422),
    (b"email=a@example.fi&email=b@example.fi", _FORM, 303),
    (b"", _FORM, 422),
    (b"--x\r\nbroken", "multipart/form-data; boundary=x", 422),
    (b"--x\r\nbroken", "multipart/form-data", 422),
    (b'--x\r\nContent-Disposition: form-data; name="email"\r\n\r\na@example.fi\r\n--x--\r\n',
     "multipart/form-data; boundary=x", 303),
    (b'--x\r\nContent-Disposition: form-data; name="email"; filename="f"\r\n\r\na@example.fi\r\n--x--\r\n',
     "multipart/form-data; boundary=x", 422),
    (b"email=a@example.fi&text=" + b"z" * 500 + b"&lang=%00&altcha=%7B%7D",
     _FORM, 303),
    (b"email=" + b"a" * 70_000, _FORM, 413),
    (b"x=1&" * 10_000 + b"email=a@example.fi", _FORM, 303),
)  # fmt: skip


class TestOddBodies:
    def test_are_answered_in_words(self, client: FlaskClient) -> None:
        for number, (body, content_type, status) in enumerate(BODIES):
            client_at = {"REMOTE_ADDR": f"192.0.2.{number}"}
            page = client.post(PAGE, data=body, content_type=content_type, environ_overrides=client_at)
            assert page.status_code == status, (body[:80], content_type)
            assert status != 413 or "Lähetys oli liian suuri" in page.text

    def test_odd_headers_do_no_harm(self, client: FlaskClient) -> None:
        headers = {
            "User-Agent": "\xff\x01" + "x" * 5000, "Origin": "https://[::", "Cookie": "mailinglist_browser=\xe4;=;;",
            "X-Forwarded-For": "; DROP TABLE persons", "Sec-Fetch-Site": "\xe4",
        }  # fmt: skip
        answer = client.post(PAGE, data={"email": "a@example.fi"}, headers=headers)
        assert answer.status_code == 303
        origin = written()[0].origin
        assert origin is not None
        assert len(origin["user_agent"]) <= 300
        assert "\x01" not in origin["user_agent"]
        assert origin["client"] == "127.0.0.1"


def same(answer: TestResponse) -> tuple[Any, ...]:
    """What everybody must see alike: the signed part of the cookie is replaced by its length."""
    headers = [(name, value) for name, value in answer.headers if name != "Set-Cookie"]
    (cookie,) = answer.headers.getlist("Set-Cookie")
    value, _, attributes = cookie.partition("; ")
    attributes = "; ".join(part for part in attributes.split("; ") if not part.startswith("Expires="))
    return answer.status_code, headers, answer.data, len(value), attributes


KINDS = ("new", "pending", "active", "left", "undeliverable", "banned")


def everybody() -> None:
    """Somebody of each kind; the state is in the address."""
    now = db.utcnow() - timedelta(days=1)
    with db.transaction() as session:
        for state in (State.PENDING, State.ACTIVE, State.LEFT, State.UNDELIVERABLE):
            making.person(session, f"{state.value}@example.fi", now=now, state=state)
        banned = making.person(session, "banned@example.fi", now=now)
        bans.add(session, banned.digest, ALL_CHANNELS, source="phone", now=now)


class TestTheSameForEverybody:
    def test_bytes_status_location_and_cookie(self, client: FlaskClient) -> None:
        everybody()
        answers = {kind: same(ask(client, f"{kind}@example.fi", lang="en")) for kind in KINDS}
        assert len(set(map(repr, answers.values()))) == 1, answers
        pages = {client.get(f"{PAGE}/check-mail?lang=en").data for _ in KINDS}
        assert len(pages) == 1

    def test_the_same_work(self, app: Flask, client: FlaskClient) -> None:
        """ASVS 5.0 §6.3.8: what differs happens later. So the very same statements go to the database."""
        everybody()
        seen: list[str] = []

        @event.listens_for(db.db.engine, "before_cursor_execute")
        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            seen.append(statement)

        done = {}
        for kind in KINDS:
            seen.clear()
            assert ask(client, f"{kind}@example.fi").status_code == 303
            done[kind] = tuple(seen)
        assert len(set(done.values())) == 1, done
        assert not any("persons" in statement or "bans" in statement for statement in done["active"])

    def test_malformed_ones_never_look_anybody_up_either(self, app: Flask, client: FlaskClient) -> None:
        seen: list[str] = []
        event.listen(db.db.engine, "before_cursor_execute", lambda _c, _u, statement, *_: seen.append(statement))
        assert ask(client, "a@@example.fi").status_code == 422
        assert seen
        assert not any("persons" in statement or "INSERT" in statement for statement in seen)


class TestTheCookie:
    def test_is_signed_short_lived_and_for_the_browser_alone(self, client: FlaskClient) -> None:
        cookie = ask(client).headers["Set-Cookie"]
        assert cookie.startswith("mailinglist_browser=")
        for part in ("HttpOnly", "SameSite=Lax", "Path=/", f"Max-Age={7 * 86400}"):
            assert part in cookie.split("; ")
        assert "Domain" not in cookie

    def test_is_fresh_each_time_and_known_to_the_request_by_a_digest(self, client: FlaskClient) -> None:
        first, second = (ask(client).headers["Set-Cookie"].partition(";")[0] for _ in range(2))
        assert first != second
        one, other = written()
        assert one.browser is not None
        assert one.browser != other.browser
        assert len(one.browser) == 32

    def test_is_not_given_to_forms_on_other_sites(self, client: FlaskClient) -> None:
        for headers in (
            {}, {"Origin": "null"}, {"Origin": "https://evil.example"}, {"Origin": "https://127.0.0.1:8000"},
            {"Origin": "http://127.0.0.1:8000.evil.example"}, {"Origin": "http://127.0.0.1"},
            {"Sec-Fetch-Site": "none"},
            {"Origin": "null", "Sec-Fetch-Site": "cross-site"}, {"Referer": f"http://127.0.0.1:8000{PAGE}"},
            {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
        ):  # fmt: skip
            answer = client.post(PAGE, data={"email": "matti@example.fi"}, headers=headers)
            assert answer.status_code == 303
            assert "Set-Cookie" not in answer.headers, headers
        assert {request.browser for request in written()} == {None}

    def test_is_given_to_our_own(self, client: FlaskClient) -> None:
        for headers in ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "same-origin"}, OURS):
            answer = client.post(PAGE, data={"email": "matti@example.fi"}, headers=headers)
            assert "Set-Cookie" in answer.headers, headers

    def test_is_given_to_an_origin_that_the_list_names(self, client: FlaskClient) -> None:
        with db.transaction() as session:
            row = making.the_list(session)
            lists.set_value(
                session, row, "origins", "https://www.tektor.example, https://tektor.example", now=db.utcnow()
            )
        for origin in ("https://www.tektor.example", "https://TEKTOR.example"):
            answer = client.post(PAGE, data={"email": "matti@example.fi"}, headers={"Origin": origin})
            assert "Set-Cookie" in answer.headers

    def test_lasts_as_long_as_the_list_s_links(self, client: FlaskClient) -> None:
        with db.transaction() as session:
            lists.set_value(session, making.the_list(session), "confirm_days", "3", now=db.utcnow())
        assert f"Max-Age={3 * 86400}" in ask(client).headers["Set-Cookie"]


class TestTheLimits:
    def test_the_eleventh_in_a_minute_is_told_to_wait(self, client: FlaskClient) -> None:
        statuses = [ask(client, f"p{n}@example.fi").status_code for n in range(11)]
        assert statuses == [303] * 10 + [429]
        page = ask(client, "p99@example.fi", lang="en")
        assert page.status_code == 429
        assert 1 <= int(page.headers["Retry-After"]) <= 60
        assert "Odota hetki" in page.text
        assert len(written()) == 10

    def test_malformed_and_trapped_ones_count_too(self, client: FlaskClient) -> None:
        for n in range(10):
            ask(client, "nonsense") if n % 2 else ask(client, website="x")
        assert ask(client).status_code == 429

    def test_another_client_goes_on(self, client: FlaskClient) -> None:
        for _ in range(10):
            ask(client)
        assert ask(client).status_code == 429
        assert ask(client, client_at="192.0.2.2").status_code == 303

    def test_a_64_of_ipv6_is_one_client(self, client: FlaskClient) -> None:
        for n in range(10):
            assert ask(client, client_at=f"2001:db8:0:1::{n:x}").status_code == 303
        assert ask(client, client_at="2001:db8:0:1:ffff::1").status_code == 429
        assert ask(client, client_at="2001:db8:0:2::1").status_code == 303

    def test_a_header_is_not_believed_without_a_proxy(self, client: FlaskClient) -> None:
        for n in range(11):
            answer = client.post(PAGE, data={"email": "a@example.fi"}, headers={"X-Forwarded-For": f"198.51.100.{n}"})
        assert answer.status_code == 429

    def test_looking_at_pages_is_not_limited(self, client: FlaskClient) -> None:
        assert {client.get(PAGE).status_code for _ in range(30)} == {200}
