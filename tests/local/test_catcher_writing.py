"""Answering in the catcher: real forms, handed to a real listener."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, expect
from sqlalchemy import select
from werkzeug.serving import make_server

import conftest
from accessible import violations
from listening import listening
from mailinglist import db
from mailinglist.delivery.verdicts import Verdict
from mailinglist.inbound import reports
from mailinglist.inbound.answers import Sense, said
from mailinglist.inbound.reading import read
from mailinglist.inbound.tables import Spooled
from mailinglist.local import ports
from mailinglist.local.catcher import handing, outgoing
from mailinglist.local.catcher.outgoing import Draft, NoAddress
from mailinglist.local.catcher.store import Caught, Store
from mailinglist.local.catcher.viewer import create_viewer
from mailinglist.settings import HostPort, Settings
from mailinglist.tokens import Purpose, Tokens
from servers import free_port

DOMAIN = "lists.example.fi"
NOW = datetime(2026, 11, 2, 9, 31, tzinfo=UTC)
WORDS = "Hei Mätti,\n\nvahvistatko liittymisesi?\n"
on_sqlite = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)


def _address(purpose: Purpose, letter: str, octets: int) -> str:
    token = Tokens([conftest.SECRETS["secret_keys"]]).issue_for_mail(purpose, bytes(octets))
    return f"{letter}-{token}@{DOMAIN}"


REPLY_TO = _address(Purpose.REPLY, "c", 16)
RETURN_PATH = _address(Purpose.RETURN_PATH, "b", 6)


def letter(**fields: str) -> bytes:
    made = EmailMessage()
    given = {"From": f"Tector tiedottaa <tiedote@{DOMAIN}>", "To": "Mätti <matti@example.fi>", "Reply-To": REPLY_TO}
    given |= {"Subject": "Vahvista liittymisesi", "Message-ID": "<two@example.fi>", "References": "<one@example.fi>"}
    for name, value in (given | {name.replace("_", "-"): value for name, value in fields.items()}).items():
        made[name] = value
    made.set_content(WORDS)
    made.add_alternative("<p>Hei Mätti</p>", subtype="html")
    return made.as_bytes()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "mails.db") as kept:
        yield kept


def catch(store: Store, raw: bytes | None = None, sender: str = RETURN_PATH) -> tuple[Caught, bytes]:
    found = store.get(store.add(sender, ["matti@example.fi"], raw if raw is not None else letter()))
    assert found is not None
    return found


# ── what is written ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_answer_is_begun_as_mail_programs_do(store: Store) -> None:
    caught, raw = catch(store)
    begun = outgoing.answer_to(caught, raw)
    assert (begun.sender, begun.to, begun.subject) == ("matti@example.fi", REPLY_TO, "Re: Vahvista liittymisesi")
    assert "wrote:\n> Hei Mätti,\n>\n> vahvistatko liittymisesi?\n" in begun.text
    mail = outgoing.compose(begun, answers=raw, now=NOW)
    assert (mail.sender, mail.recipient, mail.ascii_only) == ("matti@example.fi", REPLY_TO, True)
    made = message_from_bytes(mail.raw, policy=policy.default)
    assert (made["In-Reply-To"], made["References"]) == ("<two@example.fi>", "<one@example.fi> <two@example.fi>")
    assert said(read(mail.raw)).sense is Sense.YES  # who answers a question, says yes to it
    for words, sense in (("Kyllä", Sense.YES), ("En halua", Sense.NO), ("Miksi?", Sense.UNCLEAR)):
        draft = Draft(begun.sender, begun.to, begun.subject, f"{words}\n{begun.text}")
        heard = said(read(outgoing.compose(draft, answers=raw, now=NOW).raw))
        assert (heard.words, heard.sense) == (words, sense)


def test_without_a_reply_to_the_answer_goes_to_whom_it_is_from(store: Store) -> None:
    caught, raw = catch(
        store, b"From: =?utf-8?q?Tector=2C_tiedottaa?= <a@x.example>\r\nSubject: RE: Hei\r\n\r\nMoi\r\n"
    )
    assert outgoing.answer_to(caught, raw).to == "a@x.example"
    assert outgoing.answer_to(caught, raw).subject == "RE: Hei"
    caught, raw = catch(store, b"")
    assert outgoing.answer_to(caught, raw).to == RETURN_PATH


def test_no_line_of_a_form_becomes_a_field() -> None:
    draft = Draft("a@x.example", "b@x.example", "hei\r\nBcc: c@x.example\n\nx", "rivi\r\n.\r\nQUIT\0\x1b\ud800")
    raw = outgoing.compose(draft, answers=b"Message-ID: <a@b>\r\n\tX: <c d>\r\n\r\n", now=NOW).raw
    made = message_from_bytes(raw, policy=policy.default)
    assert (made["Bcc"], made["In-Reply-To"]) == (None, "<a@b>")
    assert raw.count(b"\n") == raw.count(b"\r\n") == raw.count(b"\r")
    assert b"\0" not in raw


def test_addresses_beyond_ascii_are_written_as_they_are() -> None:
    mail = outgoing.compose(Draft("Väinö <pöytä@exämple.fi>", "a@x.example", "Ä", "ö"), now=NOW)
    assert (mail.sender, mail.ascii_only) == ("pöytä@exämple.fi", False)
    assert "From: Väinö <pöytä@exämple.fi>\r\n".encode() in mail.raw


@pytest.mark.parametrize("text", ["", "matti", "matti@", "@x", "a b@x.example", "a@x\r\nBcc: <b@y>", f"{'a' * 260}@x"])
def test_what_is_no_address_is_named(text: str) -> None:
    with pytest.raises(NoAddress, match="to"):
        outgoing.compose(Draft("a@x.example", text), now=NOW)


@pytest.mark.parametrize("raw", [letter(), b"", b"no header", b"A: \xff\rB: \0\nC: x\r\n\r\ntext"])
def test_a_returned_mail_is_read_as_a_death(store: Store, raw: bytes) -> None:
    mail = outgoing.returned(*catch(store, raw), now=NOW)
    assert (mail.sender, mail.recipient) == ("", RETURN_PATH)
    assert mail.raw.count(b"\n") == mail.raw.count(b"\r\n") == mail.raw.count(b"\r")
    told = reports.report(read(mail.raw))
    assert told is not None
    assert (told.verdict, told.address, told.status) == (Verdict.DEAD, "matti@example.fi", "5.1.1")


# ── where it goes ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, None),
        ({"inbound_bind": "auto"}, None),
        ({"inbound_bind": "127.0.0.1:9"}, HostPort("127.0.0.1", 9)),
        ({"inbound_bind": "0.0.0.0:9"}, HostPort("127.0.0.1", 9)),
        ({"inbound_bind": "localhost:9"}, HostPort("localhost", 9)),
        ({"inbound_bind": "192.0.2.1:9"}, None),
        ({"inbound_bind": "mx.example.fi:9"}, None),
        ({"inbound_bind": "127.0.0.1:9", "smtp_url": "smtp://mx.example.fi"}, None),
        ({"inbound_pipe": "true"}, None),
    ],
)
def test_answers_go_to_a_listener_on_this_machine_or_nowhere(given: dict[str, str], found: HostPort | None) -> None:
    assert handing.listener(Settings.of(**given)) == found


def test_where_nothing_answers_it_is_said() -> None:
    at = HostPort("127.0.0.1", free_port())
    told = handing.hand_in(outgoing.Outgoing("", "a@x.example", b"\r\n"), at)
    assert (told.taken, told.reply) == (False, "")
    assert told.words.startswith(f"Nothing answers at {at}")


@dataclass
class Site:
    """The catcher's pages over a real listener, and what that has kept."""

    store: Store
    client: FlaskClient
    pages: Flask
    bind: HostPort

    def number(self, sender: str = RETURN_PATH) -> int:
        return catch(self.store, sender=sender)[0].id

    def kept(self) -> list[tuple[str, str, bytes]]:
        with db.reading() as session:
            rows = session.scalars(select(Spooled).order_by(Spooled.received_at, Spooled.id))
            return [(row.recipient, row.sender, row.raw or b"") for row in rows]


@pytest.fixture
def extra_settings() -> dict[str, str]:
    return {"bounce_domain": DOMAIN, "inbound_bind": "127.0.0.1:0"}


@contextmanager
def _site(store: Store, settings: Settings) -> Iterator[Site]:
    _smtp, bind = settings.catcher_binds
    pages = create_viewer(store, settings)
    yield Site(store, pages.test_client(), pages, bind)


@pytest.fixture
def site(app: Flask, settings: Settings, store: Store) -> Iterator[Site]:
    with listening(app) as here:
        taken = settings.model_copy(update={"inbound_bind": f"127.0.0.1:{here.port}"})
        with _site(store, taken) as made:
            yield made


WRITTEN = {
    "sender": "Matti <matti@example.fi>",
    "to": f"tector-tiedottaa-join@{DOMAIN}",
    "subject": "",
    "text": "Hei\r\n",
}


@on_sqlite
def test_mails_are_handed_in_and_refusals_are_said(site: Site) -> None:
    form = site.client.get("/write").text
    assert f"/write?to=tector-tiedottaa-join@{DOMAIN}" in form
    assert site.client.post("/write", data=WRITTEN).location == "/?taken=mail"
    assert "took the mail (250)" in site.client.get("/?taken=mail").text
    number = site.number()
    page = site.client.get(f"/mail/{number}").text
    assert f'href="/mail/{number}/answer"' in page
    answered = site.client.post(f"/mail/{number}/answer", data=WRITTEN | {"to": REPLY_TO, "text": "Kyllä"})
    assert answered.location == f"/mail/{number}?taken=answer"
    assert site.client.post(f"/mail/{number}/return").location == f"/mail/{number}?taken=report"
    for word in ("answer", "report"):
        assert "(250)" in site.client.get(f"/mail/{number}?taken={word}").text
    (join, by, raw), (answer, _, replies), (returned, nobody, report) = site.kept()
    assert (join, by, answer, returned, nobody) == (WRITTEN["to"], "matti@example.fi", REPLY_TO, RETURN_PATH, "")
    assert b"\r\n\r\nHei\r\n" in raw
    assert b"In-Reply-To: <two@example.fi>" in replies
    assert b"Status: 5.1.1" in report

    refused = site.client.post("/write", data=WRITTEN | {"to": f"nobody@{DOMAIN}", "text": "säilyy <b>"})
    assert refused.status_code == 422
    assert "has no such address" in refused.text
    assert "550 5.1.1 " in refused.text
    assert "säilyy &lt;b&gt;" in refused.text  # what one wrote is still there
    wrong = site.client.post("/write", data=WRITTEN | {"sender": "matti"})
    assert wrong.status_code == 422
    assert "This is no mail address." in wrong.text
    strange = site.number("b-1@elsewhere.example")
    assert site.client.post(f"/mail/{strange}/return").status_code == 422
    assert "Return:" not in site.client.get(f"/mail/{site.number('')}").text
    assert site.client.post(f"/mail/{site.number('')}/return").status_code == 404
    assert site.client.post("/write", data=WRITTEN | {"text": "x" * 1_300_000}).status_code == 413
    assert len(site.kept()) == 3


@on_sqlite
def test_another_sites_page_writes_nothing(site: Site) -> None:
    number = site.number()
    for path in ("/write", f"/mail/{number}/answer", f"/mail/{number}/return"):
        for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
                        {"Host": "evil.example"}):  # fmt: skip
            assert site.client.post(path, data=WRITTEN, headers=headers).status_code == 403
    assert site.kept() == []


def test_while_incoming_mail_is_off_nothing_is_offered(store: Store) -> None:
    number = catch(store)[0].id
    with _site(store, Settings.of()) as site:
        for path in ("/", f"/mail/{number}"):
            assert not {"answer", "/write", "/return"} & set(site.client.get(path).text.split('"'))
        assert "Incoming mail is off" in site.client.get("/").text
        for path in ("/write", f"/mail/{number}/answer", f"/mail/{number}/return"):
            assert site.client.post(path, data=WRITTEN).status_code == 404
        assert site.client.get("/write").status_code == site.client.get(f"/mail/{number}/answer").status_code == 404


@on_sqlite
@pytest.mark.browser
def test_a_letter_is_answered_in_a_browser_without_javascript(site: Site, browser: Browser) -> None:
    number = site.number()
    with ports.listen(site.bind, setting="catcher_bind") as opened:
        server = make_server(site.bind.host, site.bind.port, site.pages, threaded=True, fd=opened.fileno())
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            with browser.new_context(java_script_enabled=False) as context:
                page = context.new_page()
                page.goto(f"http://{site.bind}/mail/{number}")
                page.get_by_role("link", name="Answer").click()
                page.get_by_label("Text").press("Control+Home")
                page.get_by_label("Text").press_sequentially("Kyllä, liityn")
                page.get_by_role("button", name="Send").click()
                expect(page.get_by_role("status")).to_contain_text("took your answer")
            with browser.new_context() as context:
                page = context.new_page()
                for width, path in ((320, f"/mail/{number}?taken=answer"), (320, "/write"), (1280, "/?taken=mail")):
                    page.set_viewport_size({"width": width, "height": 700})
                    page.goto(f"http://{site.bind}{path}")
                    assert page.evaluate("document.documentElement.scrollWidth") <= width
                    assert violations(page) == "", path
        finally:
            server.shutdown()
    ((recipient, _, raw),) = site.kept()
    assert recipient == REPLY_TO
    heard = said(read(raw))
    assert (heard.words, heard.sense) == ("Kyllä, liityn", Sense.YES)
