"""Mail that waited when a backup was made, and that is handled once more after the restore: nobody who has left gets a
letter for it, and no opt-out is lost."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import update

import answering
from arriving import JOIN, LEAVE, TAKES_MAIL, comes, letters, request, state
from catching import Caught
from mailinglist import db, migrate
from mailinglist.consent import address, keys, register
from mailinglist.consent.tables import Request
from mailinglist.inbound import handle
from mailinglist.privacy import backup, restore, rights
from mailinglist.settings import SETTINGS
from mailinglist.staff.audit import Actor
from making import leave_token, never, person
from spooled import OWNER, keep, rows

MATTI = address.parse("matti@example.fi")
pytestmark = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)


@pytest.fixture
def extra_settings(mail_host: Caught) -> dict[str, str]:
    return TAKES_MAIL | {"smtp_url": mail_host.url}


def back_up(app: Flask, folder: Path) -> Path:
    backup.make(app.config[SETTINGS], folder / "backup.tar.gz")
    return folder / "backup.tar.gz"


def bring_back(app: Flask, path: Path) -> None:
    done = restore.restore(
        app, path, identity=None, replace=True, journals=(), by=Actor(None, "root", ""),
        make_tables=migrate.make_tables, upgrade=migrate.upgrade,
    )  # fmt: skip
    assert done.released
    with db.transaction() as session:  # their limits on letters are over
        session.execute(update(Request).values(letter_at=db.utcnow() - timedelta(days=2)))


def leave() -> None:
    with db.transaction() as session:
        token = leave_token(session, register.find(session, MATTI))
        register.leave(session, token, origin={"how": "button"}, now=db.utcnow())


def test_a_yes_that_waited_brings_no_letter_to_who_has_left_since(app: Flask, caught: Caught, tmp_path: Path) -> None:
    comes(app, request(), JOIN)
    letters()
    letter = caught.to("matti@example.fi")[-1]
    keep(answering.gmail(letter, "Kyllä, liityn"), letter["Reply-To"])
    path = back_up(app, tmp_path)
    handle.handle(stop=never)
    assert state() == "active"
    leave()
    bring_back(app, path)
    assert state() == "left"
    caught.mails.clear()
    handle.handle(stop=never)
    letters()
    assert [(row.state, row.outcome) for row in rows()] == [("handled", "restored")]
    assert caught.mails == []
    later = comes(app, answering.gmail(letter, "Kyllä, liityn"), letter["Reply-To"])
    assert later.outcome == "fresh-letter", "what comes after the restore is answered as ever"


def test_a_leave_that_waited_brings_a_letter_to_who_is_on_the_list_only(
    app: Flask, caught: Caught, tmp_path: Path
) -> None:
    with db.transaction() as session:
        for mailbox in ("matti@example.fi", "liisa@example.fi"):
            person(session, mailbox, now=db.utcnow() - timedelta(days=3))
    letters()
    keep(request(LEAVE, "pois"), LEAVE)
    keep(request(LEAVE, "pois").replace(b"matti@", b"liisa@"), LEAVE, sender="liisa@example.fi")
    path = back_up(app, tmp_path)
    leave()
    bring_back(app, path)
    caught.mails.clear()
    handle.handle(stop=never)
    letters()
    assert [row.outcome for row in rows()] == ["restored", "letter"]
    assert [message["To"] for _, _, message in caught.mails] == ["liisa@example.fi"]


def test_what_waited_is_handled_once_it_is_known_who_left_and_was_erased(app: Flask, tmp_path: Path) -> None:
    with db.transaction() as session:
        person(session, "matti@example.fi", now=db.utcnow() - timedelta(days=3))
    keep(request(OWNER, "Kysymys"), OWNER)
    path = back_up(app, tmp_path)
    with db.transaction() as session:
        rights.erase(session, MATTI, db.utcnow())
    bring_back(app, path)
    with db.transaction() as session:
        keys.hold(session)
    handle.handle(stop=never)
    assert [row.state for row in rows()] == ["waiting"]
    with db.transaction() as session:
        keys.release(session)
        session.execute(update(type(rows()[0])).values(not_before=db.utcnow() - timedelta(minutes=1)))
    handle.handle(stop=never)
    assert [(row.outcome, row.sender) for row in rows()] == [("erased", "")]
