"""Each person's bulletin in their own language, on the whole path to a real mail server; and test mails."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from catching import Caught, html_of, text_of
from mailinglist import db
from mailinglist.bulletins import approvals
from mailinglist.bulletins.drafts import Author
from mailinglist.consent import address, lists
from mailinglist.consent.tables import Person
from mailinglist.delivery import dispatch, post, proofs
from mailinglist.errors import BadInput
from mailinglist.settings import Settings
from making import person, the_list, written

SENDER = "Tector <tiedote@lists.example.fi>"
WELCOME = {"fi": "Poistu listalta", "sv": "Lämna listan", "en": "Leave the list"}


@pytest.fixture
def extra_settings(caught: Caught) -> dict[str, str]:
    return {"smtp_url": caught.url, "base_url": "https://lists.example.fi", "bounce_domain": "lists.example.fi"}


def somebody(language: str, name: str | None = None) -> None:
    now = db.utcnow()
    with db.transaction() as session:
        lists.set_value(session, the_list(session), "welcome", "false", now=now)
        number = person(session, f"{language}@example.fi", now=now).id
        made = session.get_one(Person, number)
        made.language, made.name = language, name


def send(**subjects: Any) -> None:
    now = db.utcnow()
    with db.transaction() as session:
        bulletin = written(session, now=now, **subjects)
        dispatch.send(session, bulletin.id, sender=SENDER, by="test", at=None, publishers=(), now=now)
    post.letters(stop=lambda: False)
    post.bulletins(stop=lambda: False)


def test_everybody_gets_their_own_version_else_the_lists(app: Flask, caught: Caught):
    for language in ("fi", "sv", "en"):
        somebody(language, f"Nimi {language}")
    send(fi="Uutisia", sv="Nyheter")
    for reader, version in (("fi", "fi"), ("sv", "sv"), ("en", "fi")):
        [message] = [each for each in caught.to(f"{reader}@example.fi") if each["List-Unsubscribe-Post"]]
        assert message["Subject"] == {"fi": "Uutisia", "sv": "Nyheter"}[version]
        for part in (text_of(message), html_of(message)):
            assert f"Nimi {reader}" in part
            assert WELCOME[version] in part
            assert f"/privacy/tector-tiedottaa?lang={version}" in part
        assert f'<html lang="{version}"' in html_of(message)


def test_one_version_is_everybodys(app: Flask, caught: Caught):
    somebody("fi")
    send(en="News")
    [message] = [each for each in caught.to("fi@example.fi") if each["List-Unsubscribe-Post"]]
    assert message["Subject"] == "News"
    assert WELCOME["en"] in text_of(message)


def test_a_test_mail_in_a_language_with_a_name(app: Flask, settings: Settings, caught: Caught):
    now = db.utcnow()
    with db.transaction() as session:
        number = written(session, now=now, fi="Uutisia", sv="Nyheter").id
        for language, name in ((None, None), ("sv", "Åsa")):
            mail = proofs.proof(
                session, number, address.parse("maija@example.fi"), settings, language=language, name=name, now=now
            )
            proofs.hand_over(mail, settings, "localhost")
        with pytest.raises(BadInput, match="language"):
            proofs.proof(session, number, address.parse("a@example.fi"), settings, language="en", now=now)
    first, second = caught.to("maija@example.fi")
    assert (first["Subject"], second["Subject"]) == ("[Testi] Uutisia", "[Test] Nyheter")
    assert "Uutisia: x" in text_of(first)
    assert "Nyheter: Åsa" in text_of(second)


def test_after_approval_a_test_mail_is_of_what_was_approved(app: Flask, settings: Settings, caught: Caught):
    now = db.utcnow()
    with db.transaction() as session:
        bulletin = written(session, now=now, fi="Uutisia", sv="Nyheter")
        approvals.approve(session, bulletin, sender=SENDER, by=Author(2, "Pekka"), now=now)
        lists.set_value(session, the_list(session), "postal_address", "Uusi osoite 1", now=now)
        mail = proofs.proof(session, bulletin.id, address.parse("a@example.fi"), settings, language="sv", now=now)
        proofs.hand_over(mail, settings, "localhost")
    [message] = caught.to("a@example.fi")
    assert message["Subject"] == "[Test] Nyheter"
    assert "Rälssintie" in text_of(message)
