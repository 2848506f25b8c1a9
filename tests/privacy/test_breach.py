"""The breach helper leaves nothing out: no look at persons that the audit knows, and no place that a setting moved."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask

from conftest import NOW
from mailinglist import db
from mailinglist.privacy import breach
from mailinglist.settings import SETTINGS, Settings
from mailinglist.staff import audit
from mailinglist.staff.audit import Actor
from mailinglist.web import words_of_acts

pytestmark = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)


def test_every_look_that_the_audit_knows_is_told(app: Flask) -> None:
    with app.test_request_context():
        known = set(words_of_acts.acts())
    looks = {act for act in known if re.search(r"_(seen|exported|checked|looked_up|disclosed)$", act)}
    assert looks <= set(breach.LOOKS) <= known
    by = Actor(None, "Maija Mainio", "192.0.2.44")
    with db.transaction() as session:
        for act in sorted(looks):
            audit.note(session, act, by=by, now=NOW)
        found = breach.look(session, app.config[SETTINGS], since=NOW, until=NOW + timedelta(1))
    assert {each.act for each in found.looks} == looks


def test_folders_are_looked_at_where_they_lie(app: Flask, settings: Settings, tmp_path: Path) -> None:
    for name in ("optouts", "copies"):
        (tmp_path / name).mkdir()
        for file in ("one", "two", ".lock"):
            (tmp_path / name / file).touch()
    moved = settings.model_copy(update={"journal_dir": tmp_path / "optouts", "backup_dir": tmp_path / "copies"})
    with db.reading() as session:
        places = {each.name: each for each in breach.look(session, moved, since=NOW, until=NOW).places}
        unset = breach.look(session, settings, since=NOW, until=NOW).places
    assert (places["journal/"].where, places["journal/"].number) == (str(tmp_path / "optouts"), 2)
    assert (places["backups/"].where, places["backups/"].number) == (str(tmp_path / "copies"), 2)
    assert "backups/" not in {each.name for each in unset}, "none are scheduled"
