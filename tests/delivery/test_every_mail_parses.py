"""What a mail server stored is read by two parsers that share no code, without a defect, and says what was written.

Bulletins and letters go the whole way, bodies that are hard on the encoding go through the courier and a mail server.
"""

from __future__ import annotations

import email
import email.policy
import html
import re
from contextlib import closing
from datetime import timedelta
from email.message import EmailMessage
from typing import Literal

import pytest
from fast_mail_parser import PyMail, parse_email
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from mails import KINDS, VALUES, arrives, check_form, content_of, fill, message, prose
from posting import Posting, courier, parcel

from catching import Caught
from mailinglist import db
from mailinglist.bulletins import approvals, drafts
from mailinglist.consent import address, confirming, intake, lists, requests
from mailinglist.delivery import dispatch, post
from mailinglist.delivery.parcels import Outcome
from mailinglist.delivery.slots import SlotKind, mark
from mailinglist.delivery.template import compile_message
from mailinglist.errors import BadInput
from mailinglist.settings import Settings
from mailinglist.stationery.slots import SLOT
from making import ORIGIN, never, person, the_list

NAME = mark("name")
LONG_LINK = "https://example.fi/" + "polku/" * 60 + "?" + "&".join(f"avain{n}=arvo={n}" for n in range(40))
HARD = {
    "lone dots": ".\n..\n...\n.\n\n.",
    "lines that begin with dots": "\n".join(f"{'.' * n}rivi" for n in range(1, 80)),
    "a line of 2,000": "x" * 2000,
    "a line of 2,000 that is not ASCII": "åäö🎉" * 500,
    "a long link": f"Lue lisää: {LONG_LINK} ja {LONG_LINK}",
    "links at all columns": "\n".join(f"{'a' * n} {LONG_LINK[:120]}" for n in range(70, 80)),
    "CR and LF alone": "yksi\rkaksi\nkolme\r\nneljä\n\rviisi\r\r\n",
    "emoji": "🎉👩‍👩‍👧‍👦🇫🇮 " * 40,
    "letters": "Åsa ja Öljyä älä äidy, hämähäkki \u00e4 a\u0308",
    "trailing spaces": "välin jälkeen \nsarkain\t\n  \n\t\nloppu ",
    "equals signs at line ends": "=\na=\n==\n=3D=\n=20\nx=" + "=" * 200,
    "From lines": "From Turku with love\n>From me\nFrom \nFrom",
    "something like a boundary": "--=_alternative\n--=_alternative--\n--\n-- ",
    "something like a header": "Subject: x\n\nContent-Type: text/plain\n\n",
    "slots at line ends": f"{NAME}\n{'x' * 74}{NAME}\n.{NAME}\n{NAME}.\n={NAME}",
    "slots in a row": f"{NAME}{NAME} {mark('until')}{NAME}",
}
NAMES = ("Matti Meikäläinen", "Åsa", "🎉 Riemu", ".", "=", "=20", "x" * 74, "ä" * 80, "<b>&amp;", "")


def read_twice(raw: bytes, recipient: str) -> tuple[EmailMessage, PyMail]:
    """The message by both parsers, which find nothing wrong and agree."""
    check_form(raw)
    mail = email.message_from_bytes(raw, policy=email.policy.SMTP)
    assert isinstance(mail, EmailMessage)
    for part in mail.walk():
        assert part.defects == []
        for field in part.values():
            assert field.defects == (), field
    assert [part.get_content_type() for part in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    [to] = mail.get_all("To")
    assert [each.addr_spec for each in to.addresses] == [recipient]
    other = parse_email(raw, strict=True)
    assert other.warnings == []
    assert other.attachments == []
    assert [each.address for each in other.to] == [recipient]
    assert other.subject == mail["Subject"]
    assert [text.replace("\r\n", "\n") for text in other.text_plain] == [content_of(mail, "plain")]
    assert [text.replace("\r\n", "\n") for text in other.text_html] == [content_of(mail, "html")]
    assert {name.lower() for name in other.headers} == {name.lower() for name in mail.keys()}  # noqa: SIM118
    return mail, other


# ── the whole way ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def extra_settings(caught: Caught) -> dict[str, str]:
    return {
        "smtp_url": caught.url,
        "base_url": "https://lists.example.fi",
        "mail_from": "Tector tiedottaa – åäö <tiedote@lists.example.fi>",
    }


def test_letters_of_each_kind_in_each_language(app: Flask, caught: Caught) -> None:
    before = db.utcnow() - timedelta(days=2)

    def ask(mailbox: str, language: str, kind: str) -> None:
        with db.transaction() as session:
            row = the_list(session)
            intake.write_down(
                session, row, address.parse(mailbox), kind=kind, entrance="web", language=language,
                text=lists.current_text(session, row, language), origin=ORIGIN, now=db.utcnow(),
            )  # fmt: skip

    for language in ("fi", "sv", "en"):
        with db.transaction() as session:
            person(session, f"vanha.{language}@example.fi", now=before)
        post.letters(stop=never)
        caught.mails.clear()
        caught.raw.clear()
        ask(f"uusi.{language}@example.fi", language, requests.JOIN)
        ask(f"vanha.{language}@example.fi", language, requests.JOIN)
        post.letters(stop=never)
        ask(f"vanha.{language}@example.fi", language, requests.LEAVE)
        post.letters(stop=never)
        [confirmation] = caught.to(f"uusi.{language}@example.fi")
        token = re.search(r"https://lists\.example\.fi/confirm/(\S+)", content_of(confirmation, "plain"))
        assert token is not None
        with db.transaction() as session:
            confirming.confirm(session, token[1], origin=ORIGIN, now=db.utcnow())
        post.letters(stop=never)
        recipients = [recipient for _, recipient, _ in caught.mails]
        assert sorted(recipients) == [*[f"uusi.{language}@example.fi"] * 2, *[f"vanha.{language}@example.fi"] * 2]
        subjects = set()
        for raw, recipient in zip(caught.raw, recipients, strict=True):
            found, _ = read_twice(raw, recipient)
            subjects.add(found["Subject"])
            assert found["From"].addresses[0].display_name == "Tector tiedottaa – åäö"
        assert len(subjects) == 4  # confirm, already, leave, welcome


def test_bulletins_with_hard_bodies(app: Flask, caught: Caught) -> None:
    """What arrives is the frozen issue, with each person's values where its slots were."""
    people = {f"p{n}@example.fi": name for n, name in enumerate(NAMES)}
    now = db.utcnow()
    with db.transaction() as session:
        lists.set_value(session, the_list(session), "welcome", "false", now=now)
        for mailbox, name in people.items():
            person(session, mailbox, now=now - timedelta(days=2)).name = name or None
    post.letters(stop=never)
    caught.raw.clear()
    caught.mails.clear()
    source = "\n\n".join(["Hei {name|ystävä}", *(SLOT.sub("{name}", body) for body in HARD.values())])
    bodies: dict[Literal["markdown", "html"], str] = {
        "markdown": source, "html": f"<p>{{name|ystävä}}</p><pre>{html.escape(source)}</pre>",
    }  # fmt: skip
    for form, body in bodies.items():
        with db.transaction() as session:
            bulletin = drafts.add(
                session, the_list(session), subject="Hei {name|sinä} 🎉 " + "ääkkösiä " * 20, source=body, form=form,
                now=now,
            )  # fmt: skip
            dispatch.send(
                session, bulletin.id, sender="T <t@lists.example.fi>", by="test", at=None, publishers=(), now=now
            )
            made = bulletin.id
        post.bulletins(stop=never)
        with db.reading() as session:
            issue = approvals.issue_of(session, made)
            assert issue is not None
            frozen_text, frozen_html = issue.text, issue.html
            assert dispatch.status(session, made).accepted == len(NAMES)
        assert len(caught.raw) == len(NAMES)
        for raw, (_, recipient, _) in zip(caught.raw, caught.mails, strict=True):
            found, _ = read_twice(raw, recipient)
            link = found["List-Unsubscribe"].strip("<>")
            values = {
                "name": people[recipient],
                "unsubscribe_url": link,
                "privacy_url": "https://lists.example.fi/privacy/tector-tiedottaa?lang=fi",
                "own_page_url": "https://lists.example.fi/preferences?lang=fi",
            }
            assert content_of(found, "plain") == arrives(written(frozen_text, values))
            assert html.unescape(content_of(found, "html")) == html.unescape(
                arrives(written(frozen_html, values, html.escape))
            )
        caught.raw.clear()
        caught.mails.clear()


def written(text: str, values: dict[str, str], escape=lambda value: value) -> str:
    """`text` with values for its slots."""
    return SLOT.sub(lambda slot: escape(values[slot[1]] or slot[2] or ""), text)


def test_a_bulletin_with_nul_is_refused(app: Flask) -> None:
    with db.transaction() as session, pytest.raises(BadInput):
        drafts.add(session, the_list(session), subject="Hei", source="a\0b", form="markdown", now=db.utcnow())
    with db.transaction() as session, pytest.raises(BadInput):
        drafts.add(session, the_list(session), subject="Hei\0", source="a", form="markdown", now=db.utcnow())


# ── hard bodies, through the courier and a mail server ────────────────────────────────────────────────────────────────


def after_smtp(caught: Caught, contents: list[bytes]) -> list[bytes]:
    """What the server stored of these contents, in their order."""
    caught.forget()
    [relay] = Settings.of(smtp_url=caught.url).relays
    with closing(courier(relay)) as ours:
        posting = Posting([parcel(key, content) for key, content in enumerate(contents)]).carry(ours)
    assert posting.outcomes == {Outcome.ACCEPTED: len(contents)}
    assert len(caught.raw) == len(contents)
    return list(caught.raw)


@pytest.mark.parametrize("body", HARD.values(), ids=HARD)
def test_a_hard_body_arrives_as_it_was_written(caught: Caught, body: str) -> None:
    markup = f"<p>{html.escape(SLOT.sub('', body))}</p>"
    template = compile_message(message(text=body, html=markup, subject="Hei"), slots=KINDS)
    contents = [fill(template, values=VALUES | {"name": name}) for name in NAMES]
    for name, raw in zip(NAMES, after_smtp(caught, contents), strict=True):
        found, _ = read_twice(raw, "matti@example.fi")
        assert content_of(found, "plain") == arrives(written(body, VALUES | {"name": name}))
        assert content_of(found, "html") == arrives(markup)


@settings(max_examples=30, deadline=None)
@given(bodies=st.lists(st.tuples(prose, prose), min_size=1, max_size=10))
def test_any_body_arrives_as_it_was_written(mail_host: Caught, bodies: list[tuple[str, str]]) -> None:
    contents = []
    for text, markup in bodies:
        template = compile_message(message(text=text, html=html.escape(markup)), slots={"name": SlotKind.TEXT})
        contents.append(fill(template))
    for (text, markup), raw in zip(bodies, after_smtp(mail_host, contents), strict=True):
        found = email.message_from_bytes(raw, policy=email.policy.SMTP)
        assert isinstance(found, EmailMessage)
        check_form(raw)
        assert content_of(found, "plain") == arrives(text)
        assert content_of(found, "html") == arrives(html.escape(markup))
        assert [each.replace("\r\n", "\n") for each in parse_email(raw, strict=True).text_plain] == [arrives(text)]
