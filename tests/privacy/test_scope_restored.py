"""Bans of one list alone, given after a backup was made: the restored register has them as what they are."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from flask import Flask

from conftest import NOW
from mailinglist import db, migrate
from mailinglist.consent import address, bans, keys, lists, verification
from mailinglist.consent.bans import Forbidden
from mailinglist.consent.states import Channel
from mailinglist.privacy import backup, restore
from mailinglist.settings import SETTINGS
from mailinglist.staff.audit import Actor

AFTER = NOW + timedelta(days=1)
EMAIL, POST = Channel.EMAIL, Channel.POST


def test_each_comes_back_with_its_own_scope(app: Flask, tmp_path: Path) -> None:
    def digest(session, name: str) -> bytes:
        return keys.keys_of(session).digest(f"{name}@example.fi")

    with db.transaction() as session:
        row = lists.add(session, "toinen", "Toinen", now=NOW)
        bans.add(session, digest(session, "lifted"), [POST], only=row, source="before", now=NOW)
        bans.add(session, digest(session, "known"), [EMAIL], only=row, source="before", now=NOW)
    path = tmp_path / "old.tar.gz"
    backup.make(app.config[SETTINGS], path)
    with db.transaction() as session:
        row = lists.find(session, "toinen")
        later = lists.add(session, "myohempi", "Myöhempi", now=AFTER)
        bans.add(session, digest(session, "one"), [EMAIL], only=row, source="told", now=AFTER)
        bans.add(session, digest(session, "all"), [EMAIL, POST], source="told", now=AFTER)
        bans.add(session, digest(session, "gone"), [EMAIL], only=later, source="told", now=AFTER)
        # The very moment of an entry that the copy has, of one list: this one is of all, and is not taken for known.
        bans.add(session, digest(session, "known"), [EMAIL], source="told", now=NOW)
        gone = [Forbidden(POST, "toinen")]
        bans.lift(session, address.parse("lifted@example.fi"), gone, evidence="rang", who="Maija", now=AFTER)
    done = restore.restore(
        app, path, identity=None, replace=True, journals=(), by=Actor(None, "root", ""),
        make_tables=migrate.make_tables, upgrade=migrate.upgrade,
    )  # fmt: skip
    assert done.released, done.troubles
    assert done.report["replayed"] == {"banned": 3, "lists": 1, "lifts": 1}
    [missing] = done.report["missing"]
    assert (missing["what"], missing["list"], missing["channels"]) == ("ban_lifted", "toinen", ["post"])
    with db.transaction() as session:
        held = {
            name: bans.check(session, address.parse(f"{name}@example.fi")).forbidden
            for name in ("one", "all", "gone", "known", "lifted")
        }
        assert held == {
            "one": (Forbidden(EMAIL, "toinen"),), "all": (Forbidden(EMAIL), Forbidden(POST)), "gone": (),
            "known": (Forbidden(EMAIL), Forbidden(EMAIL, "toinen")), "lifted": (Forbidden(POST, "toinen"),),
        }  # fmt: skip
        assert list(verification.verify(session)) == []
