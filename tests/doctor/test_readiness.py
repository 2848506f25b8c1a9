"""What is still to be set before the first real bulletin: one source for the doctor and the console's first page."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from flask import Flask

import staffing
from conftest import SECRETS
from mailinglist import db
from mailinglist.consent import lists
from mailinglist.doctor import readiness
from mailinglist.doctor.findings import Level as Health
from mailinglist.doctor.readiness import Page
from mailinglist.privacy.tables import Backup
from mailinglist.settings import Settings
from mailinglist.staff.levels import Level
from making import the_list

pytestmark = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)

REAL = {
    "smtp_url": "smtp://relay.tector.fi", "base_url": "https://lists.tector.fi", "backup_dir": "/srv/backups",
    "mail_from": "Tector tiedottaa <tiedote@tector.fi>",
}  # fmt: skip


def pages(**values: object) -> list[tuple[str, Page]]:
    """What is left: the list that it is about, and where it is set."""
    with db.reading() as session:
        found = readiness.points(session, Settings.of(**(SECRETS | values)), now=db.utcnow())
    return [(each.list, each.page) for each in found]


def settle(**values: str) -> None:
    with db.transaction() as session:
        for key, value in values.items():
            lists.set_value(session, the_list(session), key, value, now=db.utcnow())


def test_each_point_goes_when_it_is_done(app: Flask) -> None:
    slug = lists.DEFAULT_SLUG
    settle(postal_address="")
    assert pages() == [
        (slug, Page.GENERAL), (slug, Page.GENERAL), (slug, Page.GENERAL), (slug, Page.NOTICE), ("", Page.STAFF),
        ("", Page.SERVER), ("", Page.SERVER), ("", Page.SERVER),
    ]  # fmt: skip
    assert pages(**REAL) == [(slug, Page.GENERAL), (slug, Page.GENERAL), (slug, Page.NOTICE), ("", Page.STAFF)]
    settle(postal_address="Rälssintie 12, 00720 Helsinki")
    assert pages(**REAL) == [(slug, Page.GENERAL), (slug, Page.NOTICE), ("", Page.STAFF)]
    settle(owner="omistaja@tector.fi")
    assert pages(**REAL) == [("", Page.STAFF)]
    staffing.account(Level.PUBLISHER, totp=b"set up")
    assert pages(**REAL) == []


def test_backups_on_a_schedule_of_ones_own_are_backups(app: Flask) -> None:
    settle(owner="omistaja@tector.fi")
    staffing.account(Level.PUBLISHER, totp=b"set up")
    own = REAL | {"backup_dir": None}
    assert pages(**own) == [("", Page.SERVER)]
    for days, left in ((9, [("", Page.SERVER)]), (2, [])):
        with db.transaction() as session:
            began = db.utcnow() - timedelta(days=days)
            session.add(Backup(began_at=began, ended_at=began, file="x", size=1, rows=1, encrypted=True))
        assert pages(**own) == left


def test_who_has_no_second_factor_is_counted_and_not_named(app: Flask) -> None:
    settle(owner="omistaja@tector.fi")
    staffing.account(Level.PUBLISHER, totp=b"set up")
    staffing.account(Level.READER, name="Aino Aalto")
    staffing.account(Level.READER, disabled_at=db.utcnow())
    with db.reading() as session:
        [point] = readiness.points(session, Settings.of(**(SECRETS | REAL)), now=db.utcnow())
    assert (point.page, point.words.values) == (Page.STAFF, {"number": 1})


def test_the_doctor_says_the_same_whatever_way_mail_comes_in(app: Flask) -> None:
    found = list(readiness.check(Settings.of(**(SECRETS | REAL))))
    assert {each.level for each in found} == {Health.WARNING}
    assert [each.subject for each in found] == [f"list {lists.DEFAULT_SLUG}"] * 2 + ["staff"]
    assert found[0].words == "it has no owner: nobody is mailed what needs a person"
    assert found[0].mend == f"mailinglist lists set {lists.DEFAULT_SLUG} owner ADDRESS"
    assert "GDPR 13(1)(a)" in found[1].mend
    settle(owner="omistaja@tector.fi")
    staffing.account(Level.PUBLISHER, totp=b"set up")
    assert [each.level for each in readiness.check(Settings.of(**(SECRETS | REAL)))] == [Health.OK]


def test_the_first_page_tells_who_may_change_it(app: Flask) -> None:
    chief = staffing.signed_in(app, Level.ADMINISTRATOR, totp=b"set up")
    page = chief.get("/staff/").text
    ahead = page.partition('id="ahead-heading"')[2].partition("</section>")[0]
    here = f"/staff/lists/{lists.DEFAULT_SLUG}"
    assert re.findall(r'href="([^"]+)"', ahead) == [here, here, f"{here}/notice", "/staff/staff"]
    assert "MAILINGLIST_SMTP_URL" in ahead
    for level in set(Level) - {Level.ADMINISTRATOR}:
        assert "ahead-heading" not in staffing.signed_in(app, level, totp=b"set up").get("/staff/").text
    settle(owner="omistaja@tector.fi", sender="Tector <tiedote@tector.fi>")
    ahead = chief.get("/staff/").text.partition('id="ahead-heading"')[2].partition("</section>")[0]
    assert re.findall(r'href="([^"]+)"', ahead) == [], "a publisher is there by now"
