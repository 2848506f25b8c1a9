"""What is mailed is what was approved: also what comes from the list's settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from conftest import NOW
from mailinglist import db
from mailinglist.bulletins import approvals, drafts, imprint
from mailinglist.bulletins.comparison import Part
from mailinglist.bulletins.drafts import Author
from mailinglist.bulletins.tables import Approval, Bulletin, Issue
from mailinglist.consent import lists, register
from mailinglist.consent.address import parse
from mailinglist.consent.keys import keys_of
from mailinglist.consent.lists import ListSettings
from mailinglist.consent.register import tokens_of
from mailinglist.consent.tables import Subscription
from mailinglist.delivery import audience_query, dispatch, handoffs, proofs
from mailinglist.delivery.bulletin_desk import BulletinDesk
from mailinglist.delivery.dkim import Signer
from mailinglist.delivery.handoffs import Claimed
from mailinglist.delivery.run import Written
from mailinglist.errors import Fault, NotAllowed
from mailinglist.settings import Settings
from making import person, the_list, written

# What is tested here does not come to the database, or would be the same on another.
on_sqlite = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)

PEKKA = Author(2, "Pekka")
DAY = '{"joined_after":"2026-11-02"}'

OTHER: dict[str, str] = {
    "controller": "Toinen Oy", "sender": "Toinen <toinen@example.fi>", "owner": "toinen@example.fi",
    "postal_address": "Toinen katu 2", "colour": "#990000", "logo": "https://example.fi/toinen.png",
    "name": "Toinen", "name_fi": "Toinen nimi", "name_sv": "Annat namn", "name_en": "Another name",
    "confirm_days": "3", "welcome": "false", "rate": "5", "language": "sv", "approval": "on",
    "time_zone": "America/Los_Angeles", "origins": "https://example.fi", "proof_of_work": "on",
    "business_id": "1234567-8", "phone": "09 123", "register_contact": "rekisteri@example.fi",
    "protection_officer": "Erkki, 09 456", "processors_fi": "Palvelin Oy", "processors_sv": "Server Ab",
    "processors_en": "Server Ltd", "transfers_fi": "Norjaan.", "transfers_sv": "Till Norge.",
    "transfers_en": "To Norway.",
}  # fmt: skip
"""Another value for each setting."""


@pytest.fixture
def session(app: Flask) -> Iterator[Session]:
    with db.transaction() as session:
        yield session


def bulletin_of(session: Session) -> Bulletin:
    made = written(session, now=NOW, fi="Uutisia", sv="Nyheter", en="News")
    drafts.save(session, made, base=1, audience=DAY, by=Author(1, "Maija"), now=NOW)
    return made


def approved(session: Session, bulletin: Bulletin, settings: Settings) -> Issue:
    sender = drafts.sender_of(the_list(session), settings.mail_from)
    return approvals.approve(session, bulletin, sender=sender, by=PEKKA, now=NOW)


def put(session: Session, key: str, value: str) -> None:
    """Set it, as a program would that does not know of approvals."""
    if key == "letters":
        words = lists.LetterWords(subject="Tervetuloa", body="Hei")
        lists.set_letter(session, the_list(session), "welcome", "fi", words)
    else:
        lists.set_value(session, the_list(session), key, value, now=NOW)


def mailed(session: Session, bulletin_id: int, settings: Settings) -> dict[str, bytes]:
    """The very bytes that readers of each language would get."""
    desk = BulletinDesk(session, bulletin_id, settings, tokens_of(session), Signer(()))
    found = {}
    for number, language in enumerate(("fi", "sv", "en"), start=1):
        made = register.find(session, parse(f"{language}@example.fi"))
        if made is None:
            made = person(session, f"{language}@example.fi", now=NOW)
            made.language = language
            session.flush()
        row = Claimed(number, handoffs.BULLETIN, bulletin_id, the_list(session).id, made.id, 1, None)
        result = desk.write(session, [row], now=NOW + timedelta(hours=1))[number]
        assert isinstance(result, Written), result
        found[language] = bytes(result.content)
    return found


@on_sqlite
def test_every_setting_is_either_seen_or_not(app: Flask) -> None:
    settings = {"name", *ListSettings.model_fields}
    assert imprint.SEEN.keys() | imprint.UNSEEN.keys() == settings
    assert not imprint.SEEN.keys() & imprint.UNSEEN.keys()
    assert OTHER.keys() | {"letters"} == settings


@on_sqlite
def test_no_setting_changes_what_was_approved(session: Session, settings: Settings) -> None:
    """Even where nothing made the approval void: each setting is changed below the approval, and the mails compared."""
    bulletin = bulletin_of(session)
    approved(session, bulletin, settings)
    before = mailed(session, bulletin.id, settings)
    for key in sorted({*OTHER, "letters"}):
        put(session, key, OTHER.get(key, ""))
        session.expire_all()
        assert mailed(session, bulletin.id, settings) == before, key


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_who_reads_none_of_its_languages_gets_the_one_that_was_the_lists(session: Session, settings: Settings) -> None:
    bulletin = written(session, now=NOW, fi="Uutisia", sv="Nyheter")
    approved(session, bulletin, settings)
    before = mailed(session, bulletin.id, settings)["en"]
    assert b"Uutisia" in before
    put(session, "language", "sv")
    assert mailed(session, bulletin.id, settings)["en"] == before


@pytest.mark.parametrize("key", sorted({*OTHER, "letters"}))
@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_what_recipients_see_makes_the_approval_void_and_is_named(
    session: Session, settings: Settings, key: str
) -> None:
    bulletin = bulletin_of(session)
    approved(session, bulletin, settings)
    put(session, key, OTHER.get(key, ""))
    gone = approvals.void_outdated(session, the_list(session), now=NOW)
    [approval] = approvals.approvals(session, bulletin.id)
    if key in imprint.UNSEEN:
        assert (gone, approval.void_at) == ([], None)
        assert approvals.give_out(session, bulletin.id, now=NOW)
        return
    assert (gone, approval.void_at) == ([bulletin.id], NOW)
    assert approvals.issue_of(session, bulletin.id) is None
    [change] = approvals.changed_since(session, approval)
    assert (change.part, change.setting, change.after) == (Part.SETTING, key, OTHER[key])


def test_settings_that_the_bulletin_does_not_show_leave_its_approval(session: Session, settings: Settings) -> None:
    bulletin = written(session, now=NOW, fi="Uutisia")
    approved(session, bulletin, settings)
    for key in ("name_sv", "name_en", "time_zone"):  # no such version, no days in its audience
        put(session, key, OTHER[key])
        assert approvals.void_outdated(session, the_list(session), now=NOW) == [], key
    assert approvals.give_out(session, bulletin.id, now=NOW)


def test_what_nobody_made_void_is_still_not_given_out(session: Session, settings: Settings) -> None:
    bulletin = bulletin_of(session)
    approved(session, bulletin, settings)
    put(session, "owner", OTHER["owner"])
    with pytest.raises(NotAllowed, match="settings have changed since the approval"):
        dispatch.send(
            session, bulletin.id, sender=settings.mail_from, by="test", at=None, publishers=(), now=NOW
        )  # fmt: skip
    approvals.withdraw_approval(session, bulletin, now=NOW)
    approved(session, bulletin, settings)
    assert approvals.give_out(session, bulletin.id, now=NOW)
    put(session, "owner", "")
    assert approvals.void_outdated(session, the_list(session), now=NOW) == [], "it was given to be sent"


@pytest.mark.parametrize("column", ["imprint", "sender"])
def test_a_frozen_setting_that_was_altered_is_noticed(session: Session, settings: Settings, column: str) -> None:
    bulletin = bulletin_of(session)
    approved(session, bulletin, settings)
    issue = session.get_one(Issue, bulletin.id)
    altered = getattr(issue, column).replace("localhost", "elsewhere").replace("#1f4e5f", "#1f4e5e")
    session.execute(update(Issue).values({column: altered}))
    session.expire_all()
    with pytest.raises(Fault, match="altered"):
        approvals.issue_of(session, bulletin.id)


def test_days_of_an_audience_begin_where_they_did_at_the_approval(session: Session, settings: Settings) -> None:
    bulletin = bulletin_of(session)
    issue = approved(session, bulletin, settings)
    made = person(session, "a@example.fi", now=NOW)
    early = NOW.replace(hour=3)  # the second of November in Helsinki, the first in Los Angeles
    session.execute(update(Subscription).where(Subscription.person_id == made.id).values(since=early))
    put(session, "time_zone", OTHER["time_zone"])
    row = the_list(session)
    zone = approvals.issue_imprint(issue, row)["time_zone"]
    assert zone == "Europe/Helsinki"
    reached = audience_query.members_of(session, row.id, issue.audience, zone=zone)
    assert session.scalars(reached).all() == [made.id]
    assert session.scalars(audience_query.members_of(session, row.id, issue.audience)).all() == []


def test_a_test_mail_has_the_frozen_sender_and_before_the_approval_the_one_it_would_have(
    session: Session, settings: Settings
) -> None:
    def test_mail() -> str:
        made = proofs.proof(session, bulletin.id, parse("colleague@example.fi"), settings, language="fi", now=NOW)
        return bytes(made.content).decode()

    bulletin = bulletin_of(session)
    put(session, "sender", "Ensin <ensin@example.fi>")
    put(session, "owner", "ensin@example.fi")
    before = test_mail()
    assert "From: Ensin <ensin@example.fi>" in before
    assert "Reply-To: ensin@example.fi" in before
    approved(session, bulletin, settings)
    put(session, "sender", OTHER["sender"])
    put(session, "owner", OTHER["owner"])
    after = test_mail()
    assert "From: Ensin <ensin@example.fi>" in after
    assert "Reply-To: ensin@example.fi" in after
    approvals.withdraw_approval(session, bulletin, now=NOW)
    assert "From: Toinen <toinen@example.fi>" in test_mail()


def test_an_issue_from_before_settings_were_frozen_still_goes(session: Session, settings: Settings) -> None:
    """Its digest does not know of them, and holds; they are read from the list, as they were then."""
    bulletin = bulletin_of(session)
    issue = approved(session, bulletin, settings)
    old: list[Any] = [bulletin.list_id, issue.sender, issue.subject, issue.html, issue.text, issue.audience]
    old += [issue.language, issue.versions]
    digest = keys_of(session).seal(json.dumps(old, ensure_ascii=False).encode())
    session.execute(update(Issue).values(imprint=None, digest=digest))
    session.execute(update(Approval).values(imprint=None, digest=digest))
    session.expire_all()
    put(session, "owner", OTHER["owner"])
    assert approvals.void_outdated(session, the_list(session), now=NOW) == []
    assert approvals.changed_since(session, session.scalars(select(Approval)).one()) == []
    assert b"Reply-To: toinen@example.fi" in mailed(session, bulletin.id, settings)["fi"]
    assert approvals.give_out(session, bulletin.id, now=NOW)
