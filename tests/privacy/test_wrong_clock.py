"""A clock that is ahead for a while, and is then put right: nothing that is kept goes, nothing is left undone, and it
is told."""

from __future__ import annotations

import errno
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from conftest import NOW
from mailinglist import db, moments
from mailinglist.consent import address, intake, journal, requests, seals, seals_outside
from mailinglist.consent.tables import Request
from mailinglist.delivery import handoffs
from mailinglist.delivery.tables import Handoff, Shift
from mailinglist.doctor import Level, safety
from mailinglist.errors import Fault
from mailinglist.inbound import spool
from mailinglist.inbound.tables import InHand, Spooled
from mailinglist.privacy import alarms, archive, backup, restore, retention, safekeeping, wrong_clock
from mailinglist.privacy.tables import Backup, Cleared
from mailinglist.settings import SETTINGS, Settings
from making import ORIGIN, ask, never, person, the_list

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
AHEAD = 40 * DAY

Clock = Callable[[timedelta], None]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Puts both clocks, this machine's and the database's, to so long after the beginning."""
    begun = db.utcnow()

    def put(since: timedelta) -> None:
        monkeypatch.setattr(db, "utcnow", lambda: begun + since)
        monkeypatch.setattr(db, "clock", lambda _session: begun + since)

    put(timedelta())
    return put


@pytest.fixture
def backups(app: Flask, tmp_path: Path) -> Path:
    changed = app.config[SETTINGS].model_copy(update={"backup_dir": tmp_path / "b", "backup_keep": 30})
    app.config[SETTINGS] = changed
    return changed.backup_dir


def test_one_rule_says_what_is_recent():
    known = {timedelta(): True, DAY - HOUR: True, DAY: False, -moments.SLACK: True, -HOUR: False}
    for ago, expected in known.items():
        assert moments.recent(NOW - ago, NOW, DAY) is expected, ago


def words(app: Flask) -> list[str]:
    with db.reading() as session:
        return [need.what.words for need in alarms.of_list(session, the_list(session), db.utcnow())]


def kept(backups: Path) -> list[str]:
    return sorted(path.name for path in backups.glob("*.tar.gz"))


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_a_leap_ahead_costs_one_backup_for_each_that_is_made_and_it_is_told(
    app: Flask, backups: Path, clock: Clock
) -> None:
    settings: Settings = app.config[SETTINGS]
    for day in range(3):
        clock(day * DAY)
        backup.make_due(app)
    before = kept(backups)
    assert len(before) == 3
    for later, left in ((timedelta(), 2), (HOUR, 2), (DAY, 1)):
        clock(AHEAD + later)
        backup.make_due(app)
        assert kept(backups)[:left] == before[3 - left :], "the oldest goes, and no more for each that is made"
    [told] = words(app)
    assert told.startswith("For a time no backups were made, or the clock leapt ahead.")
    clock(3 * DAY)
    with db.reading() as session:
        assert not backup.overdue(session, settings, now=db.utcnow()), "the last one that counts is of yesterday"
    clock(5 * DAY)
    with db.reading() as session:
        assert backup.overdue(session, settings, now=db.utcnow())
    backup.make_due(app)
    assert len(kept(backups)) == 4
    told = "A clock was ahead: a backup or a seal is dated %(hours)s hours ahead."
    assert told in words(app)
    found = [finding for finding in safety.check(settings) if finding.subject == "dates"]
    assert [finding.level for finding in found] == [Level.WARNING] * 2
    clock(13 * DAY)
    backup.make_due(app)
    assert told not in words(app), "for a week, and then it is known"


def of_days(backups: Path, *days: float) -> list[Path]:
    """Old backups that were made so many days ago, the oldest first."""
    backups.mkdir(exist_ok=True)
    made = [backups / f"mailinglist-{db.utcnow() - day * DAY:%Y%m%dT%H%M%SZ}.tar.gz" for day in sorted(days)[::-1]]
    for path in made:
        path.write_bytes(b"old")
    return made


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
@pytest.mark.parametrize("room", [15, 16, 20, 22])
def test_a_pause_fills_no_disk_and_a_full_one_keeps_none_from_being_made(
    app: Flask, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """With room for so many: a pause, and then some days on which something else had taken all of it."""
    folder = tmp_path / "b"
    app.config[SETTINGS] = app.config[SETTINGS].model_copy(update={"backup_dir": folder, "backup_keep": 13})
    monkeypatch.setattr(backup, "make", lambda _settings, path: made(path))
    taken, failed = 0, set()

    def made(path: Path) -> backup.Made:
        full = len(kept(folder)) + taken >= room
        now, trouble = db.utcnow(), "No space left on device" if full else None
        with db.transaction() as session:
            session.add(
                Backup(began_at=now, ended_at=now, file=path.name, size=1, rows=1, encrypted=False, trouble=trouble)
            )
        if full:
            failed.add(day)
            raise Fault("No space left on device")
        path.write_bytes(b"x")
        return backup.Made(path, now, 1, 1, False, 0.0)

    for day in range(75):
        if 20 <= day < 24:
            continue
        taken = room if 50 <= day < 53 else 0
        for minute in range(0, 121, 40):
            clock(day * DAY + timedelta(minutes=minute))
            backup.make_due(app)
    if room > 15:  # as many as are kept, the one that is made, and the one that goes by it
        assert failed == {50, 51, 52}
    with db.reading() as session:
        last = backup.last(session, now=db.utcnow())
        assert last is not None
        assert db.utcnow() - last.began_at < DAY, "they go on"
    assert len(kept(folder)) <= 15


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_while_none_can_be_made_one_goes_in_each_period(
    app: Flask, backups: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    old = of_days(backups, *range(28, 40))
    monkeypatch.setattr(archive, "write", full)
    noon = timedelta(hours=12) - timedelta(seconds=db.utcnow().timestamp() % 86400)  # a period is a day in UTC
    for day, left in ((0, 11), (1, 10), (2, 9)):
        for minutes in (0, 40, 80):
            clock(day * DAY + noon + timedelta(minutes=minutes))
            backup.make_due(app)
        assert kept(backups) == [path.name for path in old][12 - left :], day
    clock(40 * DAY)
    backup.make_due(app)
    clock(3 * DAY)
    assert len(kept(backups)) == 8, "a leap for one sweep costs one"


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_old_backups_go_once_they_have_followed_each_other_for_a_week(app: Flask, backups: Path, clock: Clock) -> None:
    old = of_days(backups, *range(31, 45))
    later = backups / f"mailinglist-{db.utcnow() + AHEAD:%Y%m%dT%H%M%SZ}.tar.gz"
    later.write_bytes(b"old")
    backup.make_due(app)
    assert not any(path.exists() for path in old), "no pause is known of"
    of_days(backups, *range(31, 45))
    for day, left in ((4, 13), (6, 12), (8, 11), (10, 10), (11, 9), (12, 0)):
        clock(day * DAY)
        backup.make_due(app)
        assert [path.exists() for path in old] == [False] * (14 - left) + [True] * left, day
    assert later.exists(), "what is dated later than now is never old"


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_whoever_is_erased_is_told_a_day_that_holds_after_a_pause_too(app: Flask, backups: Path, clock: Clock) -> None:
    told = app.config[SETTINGS].backups_kept
    *_, old = of_days(backups, 0, 0.1, 0.2, 0.3, 0.4, 0.5)  # those before it go one at a time
    for day in (27, 30, 32, 34, 36, 38):
        clock(day * DAY)
        backup.make_due(app)
        assert old.exists() is (day * DAY < told), day


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_a_seal_that_is_dated_ahead_keeps_none_back(app: Flask, tmp_path: Path, clock: Clock) -> None:
    for number, day in enumerate((20, 0, 1)):
        clock(day * DAY)
        with db.transaction() as session:
            person(session, f"p{number}@example.fi", now=db.utcnow())
        made = seals_outside.seal_due(tmp_path / "seals", now=db.utcnow(), stop=never)
        assert made is not None, f"day {day}"
    with db.reading() as session:
        assert wrong_clock.hours_ahead(session, now=db.utcnow()) == 19 * 24
        assert wrong_clock.hours_ahead(session, now=db.utcnow() + 8 * DAY) is None
        assert seals.wrongly_dated(session, now=db.utcnow() + 20 * DAY, told_for=DAY) is None, "its time has come"


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_retention_waits_a_day_after_a_leap(app: Flask, clock: Clock) -> None:
    with db.transaction() as session:
        ask(session, "a@example.fi", now=db.utcnow())
    assert retention.run_daily(stop=never) is None, "it never ran before"
    for day, expected in ((AHEAD, None), (DAY, 0), (2 * DAY, 0), (AHEAD, None), (AHEAD + DAY, 1)):
        clock(day)
        went = retention.run_daily(stop=never)
        assert (went and went["unanswered"]) == expected, day
    with db.reading() as session:
        assert session.scalar(select(Cleared.number).where(Cleared.rule == "unanswered")) == 1


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_a_machine_that_is_on_once_a_week_lets_go_every_other_week(app: Flask, clock: Clock) -> None:
    ran = []
    for week in range(4):
        for hours in (0, 1):  # a task that is handed out twice is no second word for the leap
            clock(week * 7 * DAY + hours * HOUR)
            ran.append(retention.run_daily(stop=never) is not None)
    assert ran[2:] == [False, False, True, True, False, False]


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_dates_that_can_t_be_put_right_keep_neither_the_journal_nor_a_backup(
    app: Flask, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []

    def locked(_session: object) -> int:
        done.append("dates")
        raise OperationalError("UPDATE requests", {}, Exception("database is locked"))

    monkeypatch.setattr(journal, "catch_up", lambda _session: done.append("journal"))
    monkeypatch.setattr(wrong_clock, "put_right", locked)
    safekeeping.go_on(app).join(30)
    assert done == ["journal", "dates"]
    assert len(kept(backups)) == 1


def test_what_was_enqueued_meanwhile_goes_on(app: Flask, clock: Clock) -> None:
    """A wish to leave is among what waits: it must not wait for the date that a wrong clock gave it."""
    clock(AHEAD)
    now = db.utcnow()
    with db.transaction() as session:
        matti = person(session, "matti@example.fi", now=now)
        maija = address.parse("maija@example.fi")
        intake.write_down(
            session, the_list(session), maija, kind=requests.LEAVE, entrance=requests.WEB, language="fi",
            origin=ORIGIN, now=now,
        )  # fmt: skip
        spool.keep(session, recipient="x-leave@example.fi", sender="", via="lmtp", raw=b"a", now=now)
        shift = handoffs.begin_shift(session, now=now)
        handoffs.enqueue(session, kind="leave", about=1, list_id=the_list(session).id, person_id=matti.id, now=now)
        session.add(InHand(mail_id=77, hand="x", process="y", beat_at=now))
    clock(timedelta())
    with db.transaction() as session:
        assert not requests.take(session, now=db.utcnow())
    safekeeping.go_on(app).join(30)
    now = db.utcnow()
    with db.reading() as session:
        assert session.scalars(select(Request.not_before).where(Request.taken_at.is_(None))).all() == [now]
        assert session.scalars(select(Spooled.not_before)).all() == [now]
        assert session.scalars(select(Handoff.not_before)).all() == [now]
        assert session.scalar(select(Shift.beat_at).where(Shift.id == shift)) == now, "else it would live till then"
        assert session.scalars(select(InHand.beat_at)).one() < now + HOUR
        assert wrong_clock.hours_ahead(session, now=now) is None
    with db.transaction() as session:
        assert requests.take(session, now=now) == 1
        session.execute(update(Handoff).values(not_before=now + 6 * HOUR))
        session.execute(update(Spooled).values(not_before=now + 6 * HOUR))
        assert wrong_clock.put_right(session) == 0, "what was put off for hours waits for them"


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_limits_count_neither_letters_nor_acts_that_are_to_come(app: Flask) -> None:
    with db.transaction() as session:
        for at in (NOW + AHEAD, NOW + AHEAD + DAY, NOW + AHEAD + 2 * DAY):
            ask(session, "a@example.fi", now=at)
        ask(session, "a@example.fi", now=NOW)
        first = session.scalars(select(Request).order_by(Request.id.desc()).limit(1)).one()
        assert first.letter == requests.CONFIRM_LETTER
        ask(session, "a@example.fi", now=NOW + timedelta(minutes=1))
        second = session.scalars(select(Request).order_by(Request.id.desc()).limit(1)).one()
        assert second.letter is None, "what was just now counts"


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_a_beat_that_is_to_come_keeps_nobody_from_restoring(app: Flask) -> None:
    with db.transaction() as session:
        handoffs.begin_shift(session, now=db.utcnow() + AHEAD)
    restore._assert_no_shift(db.db.engine)
