"""An erasure that is done again after a restore leaves the ban's name as the first one did."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from flask import Flask

from conftest import NOW
from mailinglist import db, migrate
from mailinglist.consent import address, bans, bans_by_name, keys
from mailinglist.consent.states import Channel
from mailinglist.privacy import backup, restore, rights
from mailinglist.settings import SETTINGS
from mailinglist.staff.audit import Actor
from making import named

AFTER = NOW + timedelta(days=1)


def test_who_was_erased_since_the_backup_is_still_found_by_name(app: Flask, tmp_path: Path) -> None:
    with db.transaction() as session:
        people = [(f"{who}@example.fi", f"{who.title()} Person") for who in ("before", "after", "free")]
        named(session, *people, now=NOW)
        digest = keys.keys_of(session).digest
        bans.add(session, digest("before@example.fi"), [Channel.POST], source="letter", now=NOW)
    path = tmp_path / "old.tar.gz"
    backup.make(app.config[SETTINGS], path)
    with db.transaction() as session:
        bans.add(session, keys.keys_of(session).digest("after@example.fi"), [Channel.PHONE], source="told", now=AFTER)
        for who in ("before", "after", "free"):
            rights.erase(session, address.parse(f"{who}@example.fi"), AFTER)
    done = restore.restore(
        app, path, identity=None, replace=True, journals=(), by=Actor(None, "root", ""),
        make_tables=migrate.make_tables, upgrade=migrate.upgrade,
    )  # fmt: skip
    assert done.released, done.troubles
    assert done.report["replayed"]["erased"] == 3
    with db.transaction() as session:
        found = {who: bans_by_name.check(session, who) for who in ("Before Person", "After Person", "Free Person")}
        assert [(each.known, each.channels) for each in found.values()] == [
            (True, ("post",)), (True, ("phone",)), (False, ())
        ]  # fmt: skip
