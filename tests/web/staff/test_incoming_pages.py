"""Mail that waits for a person, in the console: done for all of one sender, and what the program does not read."""

from __future__ import annotations

import html

import pytest
from flask import Flask
from sqlalchemy import select, update

import staffing
from arriving import TAKES_MAIL
from mailinglist import db
from mailinglist.inbound import handle, reading, spool
from mailinglist.inbound.tables import Spooled
from mailinglist.staff.levels import Level
from mailinglist.staff.tables import AuditEntry
from waiting import keep, never, rows

pytestmark = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)


@pytest.fixture
def extra_settings() -> dict[str, str]:
    return {name: value for name, value in TAKES_MAIL.items() if name != "base_url"}


def wrote(sender: str, number: int, *, first: int = 0) -> None:
    for n in range(first, first + number):
        keep(f"From: {sender}\r\nSubject: {n}\r\n\r\nMoi\r\n".encode(), sender=sender)
    handle.handle(stop=never)


def test_all_of_one_sender_is_done_at_once_but_not_what_came_since(app: Flask) -> None:
    wrote("flood@example.com", 3)
    wrote("liisa@example.fi", 1)
    desk = staffing.signed_in(app, Level.REGISTRAR)
    page = html.unescape(desk.get("/staff/mail").text)
    assert page.count("Done with all 3 from this sender") == 3
    first, newest = rows()[0].id, rows()[2].id
    assert f'name="until" value="{newest}"' in page
    wrote("flood@example.com", 1, first=9)
    for _ in range(2):
        assert desk.post(f"/staff/mail/{first}/done-with-sender", {"until": str(newest)}).location == "/staff/mail"
    assert [row.state for row in rows()] == ["seen"] * 3 + ["owner"] * 2
    with db.reading() as session:
        noted = session.scalars(select(AuditEntry.detail).where(AuditEntry.act == "mails_dealt_with")).all()
    assert noted == [{"mail": first, "number": 3}]


def test_a_mail_that_killed_workers_is_not_read_by_the_page(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    wrote("a@example.fi", 1)
    with db.transaction() as session:
        session.execute(update(Spooled).values(state=spool.FAILED, outcome=spool.KILLS))
    original = reading.read

    def read(raw: bytes) -> reading.Mail:
        assert b"a@example.fi" not in raw
        return original(raw)

    monkeypatch.setattr(reading, "read", read)
    page = html.unescape(staffing.signed_in(app, Level.REGISTRAR).get("/staff/mail").text)
    assert rows()[0].digest.hex() in page
    assert "The program broke off each time" in page
    assert "Try it again" in page
    assert "It holds no text." not in page
