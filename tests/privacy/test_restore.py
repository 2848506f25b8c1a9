"""A restored backup loses no opt-out that was given since (REQUIREMENTS 2.6), whatever else it lost."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from pydantic import SecretStr
from sqlalchemy import MetaData, create_engine, select, text

import making
import servers
from coming_back import begun, everybody, mailed
from conftest import NOW
from mailinglist import db, migrate
from mailinglist.app import create_app
from mailinglist.consent import (
    address,
    bans,
    confirming,
    gate,
    journal,
    journal_file,
    keys,
    register,
    registrar,
    requests,
    restriction,
    transfer,
    verification,
)
from mailinglist.consent.states import ALL_CHANNELS, Basis, Channel
from mailinglist.consent.tables import LedgerEntry, Person
from mailinglist.delivery import bounces, complaints, dispatch, handoffs
from mailinglist.delivery.tables import Bounce, Handoff
from mailinglist.delivery.verdicts import Verdict
from mailinglist.errors import BadInput, Fault, NotAllowed, RegisterUnsound, TokenSpent, Unknown
from mailinglist.inbound import spool
from mailinglist.inbound.tables import OWNER, Spooled
from mailinglist.privacy import backup, needs, restore, rights, snapshot
from mailinglist.settings import SETTINGS, Settings
from mailinglist.staff import accounts, audit, programs
from mailinglist.staff.audit import Actor
from making import ORIGIN, ask, leave_token, letter, person, the_list

BY = Actor(None, "root", "")
AFTER = NOW + timedelta(days=1)


def back_up(app: Flask, path: Path) -> Path:
    backup.make(app.config[SETTINGS], path)
    return path


def bring_back(app: Flask, path: Path, **options: Any) -> restore.Restored:
    given = {"identity": None, "replace": True, "journals": (), "by": BY, **options}
    return restore.restore(app, path, make_tables=migrate.make_tables, upgrade=migrate.upgrade, **given)


def state(session, mailbox: str) -> str | None:
    found = register.find(session, address.parse(mailbox))
    standing = register.subscription(session, found.id, the_list(session).id) if found else None
    return standing.state if standing else None


def leave(session, mailbox: str, *, now=AFTER) -> None:
    found = register.find(session, address.parse(mailbox))
    assert found is not None
    register.leave(session, leave_token(session, found), origin=ORIGIN, now=now)


def ban(session, mailbox: str, channels=ALL_CHANNELS, *, now=AFTER) -> None:
    digest = keys.keys_of(session).digest(address.parse(mailbox).folded)
    bans.add(session, digest, channels, source="told us", now=now)


def members(count: int) -> list[str]:
    return [f"p{number}@example.fi" for number in range(count)]


def admit(session, mailboxes: Sequence[str], *, now=NOW) -> transfer.Report:
    """People brought along from another system: many at once."""
    data = "\n".join(["email", *mailboxes]).encode()
    consignment = transfer.read(data, basis=Basis.CONSENT, source="the old system", file="people.csv")
    return transfer.take_in(session, the_list(session), consignment, who="root", now=now)


def mailable(session) -> list[str]:
    """To whom a bulletin may go now. Raises RegisterUnsound."""
    persons = dict(session.execute(select(Person.id, Person.mailbox)).all())
    found = gate.read(session, gate.Mail.BULLETIN, list_id=the_list(session).id, persons=list(persons), now=AFTER)
    return sorted((each.mailbox for each in found.values() if each.why is None), key=lambda name: (len(name), name))


def problems(session) -> list[verification.Problem]:
    return list(verification.verify(session))


# ── opt-outs ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_leave_ban_and_erasure_given_since_holds(app: Flask, tmp_path: Path) -> None:
    everybody = members(80)
    with db.transaction() as session:
        admit(session, everybody)
    old = back_up(app, tmp_path / "old.tar.gz")
    with db.transaction() as session:
        for mailbox in everybody[:50]:
            leave(session, mailbox)
        for mailbox in everybody[50:70]:
            ban(session, mailbox)
        for mailbox in everybody[70:75]:
            rights.erase(session, address.parse(mailbox), AFTER)
    done = bring_back(app, old)
    assert done.released, done.troubles
    assert done.report["replayed"] == {"left": 50, "banned": 20, "erased": 5}
    with db.transaction() as session:
        assert [state(session, mailbox) for mailbox in everybody[:50]] == ["left"] * 50
        assert [state(session, mailbox) for mailbox in everybody[70:75]] == [None] * 5
        for mailbox in everybody[50:70]:
            assert bans.check(session, address.parse(mailbox)).channels == tuple(map(str, ALL_CHANNELS))
        assert mailable(session) == everybody[75:]
        assert problems(session) == []
        again = admit(session, everybody, now=AFTER + timedelta(days=1))
        assert (again.added, len(again.refused)) == (0, 75)
    with pytest.raises(Unknown), app.app_context():
        restore.replay_again(app, journals=(), accept=None, by=BY)


@pytest.mark.long
def test_erased_imported_and_restored_from_yesterday_still_banned(app: Flask, tmp_path: Path) -> None:
    with db.transaction() as session:
        admit(session, ["matti@example.fi"])
    old = back_up(app, tmp_path / "yesterday.tar.gz")
    with db.transaction() as session:
        ban(session, "matti@example.fi")
        rights.erase(session, address.parse("matti@example.fi"), AFTER)
        assert admit(session, ["matti@example.fi"], now=AFTER).added == 0
    assert bring_back(app, old).released
    with db.transaction() as session:
        assert bans.forbids_mail(session, bans.digests(session, address.parse("matti@example.fi")), the_list(session))
        assert state(session, "matti@example.fi") is None
        assert admit(session, ["matti@example.fi"], now=AFTER).added == 0
        assert problems(session) == []


@pytest.mark.long
def test_who_came_and_left_after_the_backup_is_not_imported_again(app: Flask, tmp_path: Path) -> None:
    with db.transaction() as session:
        person(session, "known@example.fi", now=NOW)
    old = back_up(app, tmp_path / "old.tar.gz")
    with db.transaction() as session:
        person(session, "new@example.fi", now=AFTER)
        leave(session, "new@example.fi", now=AFTER + timedelta(hours=1))
    done = bring_back(app, old)
    assert done.report["replayed"] == {"left": 1}
    with db.transaction() as session:
        assert admit(session, ["new@example.fi"], now=AFTER + timedelta(days=1)).added == 0
        assert problems(session) == []
        # They themselves can come back, by the form.
        person(session, "new@example.fi", now=AFTER + timedelta(days=2))
        assert state(session, "new@example.fi") == "active"
        assert problems(session) == []


@pytest.mark.long
def test_who_came_back_before_the_backup_is_not_taken_off_again(app: Flask, tmp_path: Path) -> None:
    with db.transaction() as session:
        person(session, "matti@example.fi", now=NOW)
        leave(session, "matti@example.fi")
        ban(session, "matti@example.fi")
        bans.lift(session, address.parse("matti@example.fi"), ALL_CHANNELS, evidence="rang", who="Maija", now=AFTER)
        person(session, "matti@example.fi", now=AFTER + timedelta(days=1))
    done = bring_back(app, back_up(app, tmp_path / "new.tar.gz"))
    assert done.report["replayed"] == {}
    with db.reading() as session:
        assert mailable(session) == ["matti@example.fi"]


@pytest.mark.long
def test_joins_and_lifted_bans_are_told_and_not_done_again(app: Flask, tmp_path: Path) -> None:
    with db.transaction() as session:
        left, banned = (person(session, name, now=NOW) for name in ("left@example.fi", "banned@example.fi"))
        leave(session, left.mailbox, now=NOW + timedelta(minutes=1))
        ban(session, banned.mailbox, [Channel.EMAIL], now=NOW)
        numbers = left.id, banned.id
    old = back_up(app, tmp_path / "old.tar.gz")
    with db.transaction() as session:
        person(session, "left@example.fi", now=AFTER)
        bans.lift(session, address.parse("banned@example.fi"), [Channel.EMAIL], evidence="rang", who="M", now=AFTER)
        person(session, "new@example.fi", now=AFTER)
    done = bring_back(app, old)
    assert done.released
    assert done.report["replayed"] == {"joins": 2, "lifts": 1}
    told = [(item["what"], item["person"]) for item in done.report["missing"]]
    assert told == [("confirmed", numbers[0]), ("ban_lifted", numbers[1]), ("confirmed", None)]
    with db.reading() as session:
        assert mailable(session) == []


@pytest.mark.long
def test_an_address_that_was_corrected_since_gets_nothing(app: Flask, tmp_path: Path) -> None:
    """The copy has the old address, maybe somebody else's now. What the new one's owner said holds for the person."""
    told = registrar.Told("phone", "rang, and spelt it", NOW.date(), "Maija")
    with db.transaction() as session:
        one, two = (person(session, name, now=NOW) for name in ("old1@example.fi", "old2@example.fi"))
    old = back_up(app, tmp_path / "old.tar.gz")
    with db.transaction() as session:
        registrar.correct_address(session, one.id, address.parse("new1@example.fi"), told, now=AFTER)
        registrar.correct_address(session, two.id, address.parse("new2@example.fi"), told, now=AFTER)
        ban(session, "new1@example.fi")
        rights.erase(session, address.parse("new2@example.fi"), AFTER + timedelta(hours=1))
    done = bring_back(app, old)
    assert done.released
    assert done.report["replayed"]["corrected"] == 2
    assert done.report["replayed"]["erased"] == 1
    with db.reading() as session:
        assert mailable(session) == []
        assert state(session, "old1@example.fi") == "left"
        assert state(session, "old2@example.fi") is None
        for mailbox in ("old1@example.fi", "new1@example.fi"):
            assert bans.forbids_mail(session, bans.digests(session, address.parse(mailbox)), the_list(session))
        assert problems(session) == []


@pytest.mark.long
def test_a_restriction_and_not_me_hold_too(app: Flask, tmp_path: Path) -> None:
    with db.transaction() as session:
        made = person(session, "restricted@example.fi", now=NOW)
        asked = ask(session, "stranger@example.fi", now=NOW)
        _, not_me = letter(session, asked, now=NOW)
    old = back_up(app, tmp_path / "old.tar.gz")
    with db.transaction() as session:
        restriction.restrict(session, made, source="own page", origin=ORIGIN, now=AFTER)
        confirming.disown(session, not_me, origin=ORIGIN, now=AFTER)
    assert bring_back(app, old).report["replayed"] == {"restricted": 1, "left": 1}
    with db.reading() as session:
        assert register.find(session, address.parse("restricted@example.fi")).restricted_at is not None
        stranger = register.find(session, address.parse("stranger@example.fi"))
        assert stranger.muted_until == AFTER + timedelta(days=365)


# ── journals ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _missing(path: Path, _head: Path) -> None:
    path.unlink()


def _all_gone(path: Path, head: Path) -> None:
    path.unlink()
    head.unlink()


def _cut(path: Path, _head: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def _altered(path: Path, _head: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:-2], lines[-2].replace(b'"left"', b'"mute"'), lines[-1]]))


_INJURIES = (_missing, _all_gone, _altered)


@pytest.mark.parametrize("injure", [_cut, *(pytest.param(each, marks=pytest.mark.long) for each in _INJURIES)])
def test_without_the_whole_journal_nothing_is_sent_until_a_person_says_what_is_lost(
    injure: Callable[[Path, Path], None], app: Flask, settings: Settings, tmp_path: Path
) -> None:
    with db.transaction() as session:
        admit(session, members(4))
    old = back_up(app, tmp_path / "old.tar.gz")
    with db.transaction() as session:
        leave(session, "p0@example.fi")
    with db.transaction() as session:
        leave(session, "p1@example.fi")
    injure(settings.journal_folder / journal_file.FILE, settings.journal_head_file)
    done = bring_back(app, old)
    assert not done.released
    assert done.troubles
    with db.reading() as session:
        with pytest.raises(RegisterUnsound, match="restore --replay"):
            mailable(session)
        assert [need.what.words for need in needs.of_list(session, the_list(session), now=AFTER)]
    with pytest.raises(RegisterUnsound), db.transaction() as session:
        admit(session, ["new@example.fi"])
    migrate.upgrade(app)  # even an upgrade does not let it go
    assert not restore.replay_again(app, journals=(), accept=None, by=BY).released
    with pytest.raises(BadInput):
        restore.replay_again(app, journals=(), accept="yes", by=BY)
    words = "Leaves of the night to Tuesday: the disk was lost."
    assert restore.replay_again(app, journals=(), accept=words, by=BY).released
    with db.transaction() as session:
        mailable(session)
        assert problems(session) == []
        assert [
            (entry.who, entry.detail["words"]) for entry in audit.search(session, act="lost_opt_outs_accepted")
        ] == [("root", words)]
        bodies = [json.loads(body) for body in session.scalars(select(LedgerEntry.body).order_by(LedgerEntry.id))]
        assert "opt_outs_lost" in [body["event"] for body in bodies]
        assert journal.look_through(session, now=AFTER).problems == []


@pytest.mark.long
def test_a_journal_of_another_machine_is_brought(app: Flask, settings: Settings, tmp_path: Path) -> None:
    with db.transaction() as session:
        admit(session, members(2))
    old = back_up(app, tmp_path / "old.tar.gz")
    with db.transaction() as session:
        leave(session, "p0@example.fi")
    brought = tmp_path / "brought"
    settings.journal_folder.rename(brought)
    settings.journal_head_file.rename(brought / restore.HEAD)
    assert not bring_back(app, old).released
    done = restore.replay_again(app, journals=[brought], accept=None, by=BY)
    assert done.released, done.troubles
    with db.transaction() as session:
        assert mailable(session) == ["p1@example.fi"]
        assert [line.what for line in journal_file.read(journal.journal_of(session)).lines] == ["left"], (
            "noted here as well"
        )


@pytest.mark.long
def test_a_whole_journal_put_back_in_its_place_is_enough(app: Flask, settings: Settings, tmp_path: Path) -> None:
    with db.transaction() as session:
        admit(session, members(3))
    old = back_up(app, tmp_path / "old.tar.gz")
    for mailbox in ("p0@example.fi", "p1@example.fi"):
        with db.transaction() as session:
            leave(session, mailbox)
    path = settings.journal_folder / journal_file.FILE
    whole = path.read_bytes()
    _cut(path, settings.journal_head_file)
    assert bring_back(app, old).report["replayed"] == {"left": 1}
    path.write_bytes(whole)
    done = restore.replay_again(app, journals=(), accept=None, by=BY)
    assert done.released, done.troubles
    assert done.report["replayed"] == {"left": 2}
    with db.reading() as session:
        assert mailable(session) == ["p2@example.fi"]


@pytest.mark.long
def test_a_leave_meanwhile_is_kept_and_entered(app: Flask, settings: Settings, tmp_path: Path) -> None:
    with db.transaction() as session:
        made = person(session, "matti@example.fi", now=NOW)
        token = leave_token(session, made)
    old = back_up(app, tmp_path / "old.tar.gz")
    _all_gone(settings.journal_folder / journal_file.FILE, settings.journal_head_file)
    assert not bring_back(app, old).released
    assert app.test_client().post(f"/unsubscribe/{token}").status_code == 200
    with pytest.raises(RegisterUnsound), db.transaction() as session:
        requests.take(session, now=db.utcnow())
    restore.replay_again(app, journals=(), accept="Nothing was lost, it is a test.", by=BY)
    with db.transaction() as session:
        requests.take(session, now=db.utcnow())
    with db.reading() as session:
        assert state(session, "matti@example.fi") == "left"


# ── what was on its way ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_bulletin_that_was_running_comes_back_paused_with_its_open_rows_uncertain(app: Flask, tmp_path: Path) -> None:
    with db.transaction() as session:
        admit(session, members(250))
        running, later = (making.written(session, now=NOW, fi=name).id for name in ("Running", "Later"))
        for number, at in ((running, None), (later, AFTER)):
            dispatch.send(
                session, number, sender="a@example.fi", by="root", at=at, publishers=(), now=NOW
            )  # fmt: skip
        assert dispatch.begin_due(session, now=NOW) == [running]
        shift = handoffs.begin_shift(session, now=NOW)
        rows = handoffs.claim(session, shift, kinds=["bulletin"], about=running, limit=120, now=NOW)
        settled = [handoffs.Settled(row.id, "accepted", NOW) for row in rows[:40]]
        settled += [handoffs.Settled(row.id, "deferred", NOW, not_before=AFTER) for row in rows[40:50]]
        handoffs.settle(session, shift, settled)
        ask(session, "waits@example.fi", now=NOW)
    done = bring_back(app, back_up(app, tmp_path / "running.tar.gz"))
    assert done.report["paused"] == 2
    with db.transaction() as session:
        found, scheduled = dispatch.status(session, running), dispatch.status(session, later)
        assert (found.state, found.audience, found.accepted, found.uncertain) == ("paused", 250, 40, 210)
        assert found.pending == found.deferred == found.rejected == found.excluded == 0
        assert "may have gone out since" in (found.trouble or "")
        assert (scheduled.state, scheduled.audience) == ("paused", 0)
        letters = session.execute(select(Handoff.kind, Handoff.state).where(Handoff.kind != "bulletin")).all()
        assert [tuple(row) for row in letters] == [("confirm", "uncertain")]
        assert dispatch.begin_due(session, now=AFTER) == []
        assert dispatch.resolve(session, running, resend=True, by="Maija", now=AFTER) == 210
        dispatch.resume(session, running, now=db.utcnow())
        assert dispatch.status(session, running).pending == 210


def test_what_came_back_by_mail_is_as_it_was_and_no_wish_to_join_is_answered_twice(app: Flask, tmp_path: Path) -> None:
    with db.transaction() as session:
        admit(session, members(8))
        listed, persons = the_list(session), everybody(session)
        rows = mailed(session, begun(session, now=NOW), persons, now=NOW)
        for row in rows[:5]:
            complaints.note(session, row, "example.net", evidence={}, now=NOW)
        bounces.note(session, rows[6], Verdict.DEAD, words="no such user", now=NOW)
        mails = {f"{listed.slug}-JOIN@x.fi": b"join", f"{listed.slug}-leave@x.fi": b"leave", "c-abc@x.fi": b"yes"}
        for recipient, raw in mails.items():
            spool.keep(session, recipient=recipient, sender="a@x.fi", via="lmtp", raw=raw, now=NOW)
        spool.keep(session, recipient="x-owner@x.fi", sender="a@x.fi", via="lmtp", raw=b"hello", now=NOW)
        last = session.scalars(select(Spooled).order_by(Spooled.id.desc()).limit(1)).one()
        spool.done(last, state=OWNER, kind="other", outcome="for-a-person", list_id=listed.id, now=NOW)
    bring_back(app, back_up(app, tmp_path / "mail.tar.gz"))
    with db.reading() as session:
        assert complaints.held(session, the_list(session).id) is not None
        assert session.scalars(select(Bounce.words)).all() == ["no such user"]
        found = session.execute(
            select(Spooled.recipient, Spooled.state, Spooled.outcome, Spooled.forwarded).order_by(Spooled.id)
        ).all()
        assert [tuple(row)[1:] for row in found] == [
            ("handled", "restored", None), ("waiting", "restored", None), ("waiting", "restored", None),
            ("owner", "for-a-person", "uncertain"),
        ]  # fmt: skip


@pytest.mark.long
def test_nobody_is_signed_in_and_numbers_are_not_given_twice(app: Flask, tmp_path: Path) -> None:
    with db.transaction() as session:
        _, enrolled = accounts.enrol(session, "minna@example.fi", levels=["editor"], by=BY, now=db.utcnow())
        _, token = programs.issue(session, "Web shop", ["bans:read"], by=BY, now=db.utcnow())
        made = person(session, "matti@example.fi", now=NOW)
    old = back_up(app, tmp_path / "old.tar.gz")
    with db.transaction() as session:
        after = person(session, "after@example.fi", now=NOW)
        assert after.id > made.id
    done = bring_back(app, old)
    assert (done.report["links"], done.report["ended"], done.report["tokens"]) == (1, 0, 1)
    with db.transaction() as session:
        with pytest.raises(TokenSpent):
            accounts.open_link(session, enrolled, now=db.utcnow())
        assert programs.bearer(session, token, now=db.utcnow()) is None, "it may have been revoked since"
        assert person(session, "new@example.fi", now=NOW).id > after.id


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.long
def test_a_filled_database_is_replaced_only_when_that_is_said(app: Flask, tmp_path: Path) -> None:
    with db.transaction() as session:
        admit(session, members(1))
    old = back_up(app, tmp_path / "old.tar.gz")
    with pytest.raises(NotAllowed, match="--replace"):
        bring_back(app, old, replace=False)
    with db.transaction() as session:
        handoffs.begin_shift(session, now=db.utcnow())
    with pytest.raises(NotAllowed, match="worker"):
        bring_back(app, old)


@pytest.mark.long
def test_nobody_else_may_be_connected(app: Flask, settings: Settings, tmp_path: Path) -> None:
    old = back_up(app, tmp_path / "old.tar.gz")
    other = create_engine(settings.sqlalchemy_url)
    with other.connect() as connection:
        connection.execute(text("SELECT count(*) FROM persons"))
        with pytest.raises(NotAllowed, match="stop web"):
            bring_back(app, old)
    other.dispose()
    assert bring_back(app, old).released


def test_nor_may_somebody_connect_while_it_is_unpacked(
    app: Flask, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they write would be lost with the database that is replaced. Just before the switch, and at the switch."""
    old = back_up(app, tmp_path / "old.tar.gz")
    with db.transaction() as session:
        admit(session, ["later@example.fi"])
    late = create_engine(settings.sqlalchemy_url)
    opened = []

    def joins(called: Callable[..., None]) -> Callable[..., None]:
        def calls(*arguments: Any) -> None:
            called(*arguments)
            opened.append(late.connect())
            opened[-1].execute(text("SELECT count(*) FROM persons"))

        return calls

    for place, name in ((restore, "_look_over"), (snapshot.Landing, "_leap")):
        with monkeypatch.context() as patched, pytest.raises(NotAllowed, match="stop web"):
            patched.setattr(place, name, joins(getattr(place, name)))
            bring_back(app, old)
        opened.pop().close()
        late.dispose()
        with db.reading() as session:
            assert mailable(session) == ["later@example.fi"]
    assert bring_back(app, old).released
    with db.reading() as session:
        assert mailable(session) == []


def without_the_mark(path: Path, mac: str | None) -> Path:
    """As a backup was before it had a MAC, or with one of somebody else's making."""
    with tarfile.open(path) as tar:
        held = {info.name: tar.extractfile(info).read() for info in tar}
    manifest = json.loads(held["manifest.json"])
    del manifest["mac"]
    held["manifest.json"] = json.dumps(manifest | ({"mac": mac} if mac else {})).encode()
    target = path.with_name(f"of-{mac}-{path.name}")
    with tarfile.open(target, "w:gz") as tar:
        for name, data in held.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return target


def test_a_backup_that_does_not_prove_to_be_ours_is_restored_only_when_that_is_said(app: Flask, tmp_path: Path) -> None:
    with db.transaction() as session:
        admit(session, ["matti@example.fi"])
    ours = back_up(app, tmp_path / "ours.tar.gz")
    before, of_another = without_the_mark(ours, None), without_the_mark(ours, "00" * 32)
    with db.transaction() as session:
        leave(session, "matti@example.fi")
        admit(session, ["later@example.fi"])
    for path, words in ((before, "Nothing in this backup shows"), (of_another, "was altered, or made with another")):
        with pytest.raises(NotAllowed, match=words):
            bring_back(app, path)
        with db.reading() as session:
            assert mailable(session) == ["later@example.fi"]
    for path, authentic in ((ours, True), (before, False)):
        done = bring_back(app, path, unauthenticated=not authentic)
        assert (done.released, done.report["authentic"]) == (True, authentic)
        with db.reading() as session:
            assert state(session, "matti@example.fi") == "left"
            assert [entry.detail["authentic"] for entry in audit.search(session, act="database_restored")] == [
                authentic
            ]


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_on_another_machine_there_need_be_nothing(app: Flask, settings: Settings, tmp_path: Path) -> None:
    """No data directory, no database: the backup, and the journal with its head."""
    with db.transaction() as session:
        admit(session, members(2))
    old = back_up(app, tmp_path / "old.tar.gz")
    with db.transaction() as session:
        leave(session, "p0@example.fi")
    place = tmp_path / "another" / "var"
    there = settings.model_copy(update={"data_dir": place, "database_url": None})
    brought = tmp_path / "brought"
    shutil.copytree(settings.journal_folder, brought)
    shutil.copy(settings.journal_head_file, brought / restore.HEAD)
    done = bring_back(create_app(there), old, replace=False, journals=[brought])
    assert "the head" not in str(done.troubles)
    assert done.released, done.troubles
    assert done.report["replayed"] == {"left": 1}
    assert place.stat().st_mode & 0o077 == 0


def _empty(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if db.db.engine.dialect.name == "sqlite":
        return f"sqlite:///{tmp_path}/earlier.db"
    server: servers.Postgres = request.getfixturevalue("postgres_server")
    return server.url(server.create(f"e{uuid.uuid4().hex}"))


@pytest.mark.parametrize("revision", ["0009", pytest.param("0008", marks=pytest.mark.long)])
def test_a_backup_of_an_earlier_revision_is_brought_to_this_one(
    revision: str, app: Flask, settings: Settings, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A register with a history, as that revision would hold it; backups are since 0008."""
    with db.transaction() as session:
        admit(session, members(6))
        leave(session, "p0@example.fi", now=NOW + timedelta(minutes=1))
        ban(session, "p1@example.fi", now=NOW + timedelta(minutes=1))
    earlier = create_app(settings.model_copy(update={"database_url": SecretStr(_empty(request, tmp_path))}))
    with db.reading() as here, earlier.app_context():
        with db.db.engine.connect() as there:
            migrate.make_tables(there, revision)
            old = MetaData()
            old.reflect(there)
            for table in db.Base.metadata.sorted_tables:
                if table.name in old.tables:
                    theirs = old.tables[table.name]
                    rows = [dict(row) for row in here.execute(table.select()).mappings()]
                    kept = [{name: value for name, value in row.items() if name in theirs.c} for row in rows]
                    there.execute(theirs.delete())
                    for row in kept:
                        there.execute(theirs.insert(), row)
            there.commit()
        path = back_up(earlier, tmp_path / "earlier.tar.gz")
        db.db.engine.dispose()
    with tarfile.open(path) as tar:
        assert json.load(tar.extractfile("about.json"))["revision"] == revision
    with db.transaction() as session:
        leave(session, "p2@example.fi")
        ban(session, "p3@example.fi")
        rights.erase(session, address.parse("p4@example.fi"), AFTER)
    done = bring_back(app, path)
    assert done.released, done.troubles
    assert done.report["replayed"] == {"left": 1, "banned": 1, "erased": 1}
    with db.transaction() as session:
        assert migrate.revision(session) == migrate.head()
        assert mailable(session) == ["p5@example.fi"]
        assert problems(session) == []


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_a_file_that_is_exchanged_while_it_is_read_changes_nothing(
    app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read twice: first to know it, then to unpack it."""
    with db.transaction() as session:
        admit(session, ["matti@example.fi"])
    path, other = (back_up(app, tmp_path / name) for name in ("a.tar.gz", "b.tar.gz"))
    begin = snapshot.Landing.begin

    def exchanged(landing: snapshot.Landing, about: dict[str, Any]) -> None:
        begin(landing, about)
        other.replace(path)

    monkeypatch.setattr(snapshot.Landing, "begin", exchanged)
    with pytest.raises(Fault, match="changed while"):
        bring_back(app, path)
    with db.reading() as session:
        assert mailable(session) == ["matti@example.fi"]


@pytest.mark.long
def test_another_ban_key_is_refused_and_nothing_is_changed(app: Flask, settings: Settings, tmp_path: Path) -> None:
    with db.transaction() as session:
        admit(session, members(1))
    old = back_up(app, tmp_path / "old.tar.gz")
    with db.transaction() as session:
        admit(session, ["later@example.fi"])
    db.db.engine.dispose()
    other = create_app(settings.model_copy(update={"ban_key": SecretStr("another-key-another-key")}))
    with pytest.raises(NotAllowed, match="another ban key"):
        bring_back(other, old)
    with pytest.raises(RegisterUnsound):
        bring_back(other, old, unauthenticated=True)
    with db.reading() as session:
        assert mailable(session) == ["p0@example.fi", "later@example.fi"]


@pytest.mark.long
def test_a_damaged_backup_is_refused_and_nothing_is_changed(app: Flask, tmp_path: Path) -> None:
    with db.transaction() as session:
        admit(session, members(3))
    whole = back_up(app, tmp_path / "old.tar.gz").read_bytes()
    damaged = tmp_path / "damaged.tar.gz"
    spoilt = bytearray(whole)
    spoilt[len(whole) // 2] ^= 0xFF
    for data in (whole[: len(whole) // 2], bytes(spoilt), b"hello"):
        damaged.write_bytes(data)
        with pytest.raises((Fault, BadInput)):
            bring_back(app, damaged)
    with db.reading() as session:
        assert len(mailable(session)) == 3


@pytest.mark.parametrize("databases", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)], indirect=True)
def test_a_restore_that_is_broken_off_sends_nothing(
    app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with db.transaction() as session:
        admit(session, members(2))
    old = back_up(app, tmp_path / "old.tar.gz")

    def power_cut(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(restore, "_come_back", power_cut)
        bring_back(app, old)
    with db.reading() as session, pytest.raises(RegisterUnsound):
        mailable(session)
    with pytest.raises(Fault, match="broken off"):
        restore.replay_again(app, journals=(), accept=None, by=BY)
    assert bring_back(app, old).released


def test_a_clock_that_was_wrong_loses_no_leave(app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The backup was made while the clock was three hours ahead; then it was mended, and somebody left."""
    with db.transaction() as session:
        person(session, "matti@example.fi", now=NOW)
    true = db.utcnow
    monkeypatch.setattr(db, "utcnow", lambda: true() + timedelta(hours=3))
    old = back_up(app, tmp_path / "old.tar.gz")
    monkeypatch.setattr(db, "utcnow", true)
    with db.transaction() as session:
        leave(session, "matti@example.fi")
    bring_back(app, old)
    with db.reading() as session:
        assert state(session, "matti@example.fi") == "left"


def test_an_opt_out_that_only_the_lost_database_had_is_missed(
    app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal's disk was full when somebody left, and then the database was lost."""
    with db.transaction() as session:
        person(session, "matti@example.fi", now=NOW)
        other = person(session, "other@example.fi", now=NOW)
        register.leave(session, leave_token(session, other), origin=ORIGIN, now=NOW)
    old = back_up(app, tmp_path / "old.tar.gz")

    def full(*_args: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, db.transaction() as session:
        patched.setattr(journal_file.Journal, "append", full)
        leave(session, "matti@example.fi")
        journal.write(session)
    done = bring_back(app, old)
    assert not done.released
    assert any("it took no opt-outs at" in trouble for trouble in done.troubles)
    late = db.utcnow() + timedelta(hours=1)
    monkeypatch.setattr(db, "utcnow", lambda: late)
    with db.transaction() as session:
        assert journal.catch_up(session) == 0
    assert not restore.replay_again(app, journals=(), accept=None, by=BY).released, "no worker makes it forgotten"
    assert restore.replay_again(app, journals=(), accept="Leaves of Tuesday: the disk was full.", by=BY).released
    with db.reading() as session:
        assert journal.journal_of(session).head().behind is None


def test_a_backup_from_before_the_first_opt_out_finds_its_journal(app: Flask, tmp_path: Path) -> None:
    old = back_up(app, tmp_path / "old.tar.gz")
    with db.transaction() as session:
        assert journal.look_through(session, now=NOW).problems == []
        person(session, "matti@example.fi", now=NOW)
        leave(session, "matti@example.fi")
    with db.transaction() as session:
        assert journal.look_through(session, now=NOW).problems == []
    assert bring_back(app, old).released


def test_a_loss_that_was_accepted_after_the_backup_is_named_again(app: Flask, tmp_path: Path) -> None:
    """The copy has not the opt-outs that the database had when somebody accepted that the journal lost them."""
    with db.transaction() as session:
        person(session, "other@example.fi", now=NOW)
        leave(session, "other@example.fi")
        person(session, "matti@example.fi", now=NOW)
    old = back_up(app, tmp_path / "old.tar.gz")
    with db.transaction() as session:
        path = journal.journal_of(session).path
    before = path.read_bytes()
    with db.transaction() as session:
        leave(session, "matti@example.fi")
    path.write_bytes(before)
    with db.transaction() as session:
        journal.accept(session, now=NOW)
    done = bring_back(app, old)
    assert not done.released
    assert any("said to be lost" in trouble for trouble in done.troubles)
