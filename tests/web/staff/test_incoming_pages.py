"""Mail that waits for a person, in the console: done for all of one sender, and what the program does not read."""

from __future__ import annotations

import html
import re

import pytest
from flask import Flask
from sqlalchemy import select, update

import staffing
from arriving import TAKES_MAIL
from mailinglist import db
from mailinglist.inbound import handle, reading, spool
from mailinglist.inbound.tables import FAILED, Spooled
from mailinglist.staff.levels import Level
from mailinglist.staff.tables import AuditEntry
from making import never
from spooled import keep, rows

pytestmark = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)


@pytest.fixture
def extra_settings() -> dict[str, str]:
    return {name: value for name, value in TAKES_MAIL.items() if name != "base_url"}


def wrote(sender: str, number: int, *, first: int = 0) -> None:
    for n in range(first, first + number):
        keep(f"From: {sender}\r\nSubject: {n}\r\n\r\nMoi\r\n".encode(), sender=sender)
    handle.handle(stop=never)


def test_all_of_one_sender_that_a_page_shows_is_done_at_once_but_not_what_came_since(app: Flask) -> None:
    wrote("flood@example.com", 3)
    wrote("liisa@example.fi", 1)
    desk = staffing.signed_in(app, Level.REGISTRAR)
    page = html.unescape(desk.get("/staff/mail").text)
    assert page.count("Done with all 3 on this page from this sender") == 3
    first, mails = rows()[0].id, ",".join(str(row.id) for row in reversed(rows()[:3]))
    assert f'name="mails" value="{mails}"' in page
    assert "Return path" not in page
    wrote("flood@example.com", 1, first=9)
    other = rows()[3].id
    for _ in range(2):
        sent = {"mails": f"{mails},{other},x,"}
        assert desk.post(f"/staff/mail/{first}/done-with-sender", sent).location == "/staff/mail"
    assert [row.state for row in rows()] == ["seen"] * 3 + ["owner"] * 2
    with db.reading() as session:
        noted = session.scalars(select(AuditEntry.detail).where(AuditEntry.act == "mails_dealt_with")).all()
    assert noted == [{"mail": first, "number": 3}]


def test_nobody_is_done_with_what_the_page_has_not_shown(app: Flask) -> None:
    """An opt-out, and then a flood with the same return path, or the same From too: a page shows twenty."""
    his = "From: matti@example.fi\r\nSubject: {}\r\n\r\nOttakaa minut pois\r\n"
    keep(his.format("POISTAKAA").encode(), sender="matti@example.fi")
    for n in range(9):
        keep(f"From: spam@example.com\r\nSubject: {n}\r\n\r\nosta\r\n".encode(), sender="matti@example.fi")
    for n in range(11):
        keep(his.format(n).encode(), sender="matti@example.fi")
    handle.handle(stop=never)
    desk = staffing.signed_in(app, Level.REGISTRAR)
    page = html.unescape(desk.get("/staff/mail").text)
    assert "POISTAKAA" not in page
    assert page.count("Done with all 11 on this page") == 11
    assert page.count("Done with all 9 on this page") == 9
    assert page.count("Another address than the sender's.") == 9
    forms = re.findall(r'action="(/staff/mail/\d+/done-with-sender)".*?name="mails" value="([0-9,]+)"', page, re.DOTALL)
    desk.post(forms[0][0], {"mails": forms[-1][1]})
    assert {row.state for row in rows()} == {"owner"}, "one sender's button is not for another's mails"
    for action, mails in (forms[0], forms[-1]):
        desk.post(action, {"mails": mails})
    assert [row.state for row in rows()] == ["owner"] + ["seen"] * 20


def test_a_mail_that_killed_workers_is_not_read_by_the_page(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    wrote("a@example.fi", 1)
    with db.transaction() as session:
        session.execute(update(Spooled).values(state=FAILED, outcome=spool.KILLS))
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
