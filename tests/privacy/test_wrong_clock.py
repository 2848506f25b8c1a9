"""A clock that is ahead for a while, and is then put right: nothing that is kept goes, nothing is left undone, and it
is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select, update

from conftest import NOW
from mailinglist import db, moments
from mailinglist.consent import address, intake, requests, seals, seals_outside
from mailinglist.consent.tables import Request
from mailinglist.delivery import handoffs
from mailinglist.delivery.tables import Handoff, Shift
from mailinglist.doctor import Level, safety
from mailinglist.inbound import spool
from mailinglist.inbound.tables import InHand, Spooled
from mailinglist.privacy import alarms, backup, restore, retention, safekeeping, wrong_clock
from mailinglist.privacy.tables import Cleared
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
def test_a_leap_ahead_deletes_no_backup_and_the_next_one_is_made_and_it_is_told(
    app: Flask, backups: Path, clock: Clock
) -> None:
    settings: Settings = app.config[SETTINGS]
    for day in range(3):
        clock(day * DAY)
        backup.make_due(app)
    before = kept(backups)
    assert len(before) == 3
    for later in (timedelta(), DAY, 3 * DAY):  # it may well be wrong for some days
        clock(AHEAD + later)
        backup.make_due(app)
    assert kept(backups)[:3] == before, "nothing goes by the word of one clock"
    [told] = words(app)
    assert told.startswith("For a time no backups were made, or the clock leapt ahead.")
    clock(3 * DAY)
    with db.reading() as session:
        assert not backup.overdue(session, settings, now=db.utcnow()), "the last one that counts is of yesterday"
    clock(5 * DAY)
    with db.reading() as session:
        assert backup.overdue(session, settings, now=db.utcnow())
    backup.make_due(app)
    assert len(kept(backups)) == 7
    told = "A clock was ahead: a backup or a seal has a date that comes in %(hours)s hours."
    assert told in words(app)
    found = [finding for finding in safety.check(settings) if finding.subject == "dates"]
    assert [finding.level for finding in found] == [Level.WARNING] * 2
    clock(13 * DAY)
    backup.make_due(app)
    assert told not in words(app), "for a week, and then it is known"


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_old_backups_go_once_they_have_followed_each_other_for_a_week(app: Flask, backups: Path, clock: Clock) -> None:
    backups.mkdir()
    old = backups / f"mailinglist-{db.utcnow() - 31 * DAY:%Y%m%dT%H%M%SZ}.tar.gz"
    later = backups / f"mailinglist-{db.utcnow() + AHEAD:%Y%m%dT%H%M%SZ}.tar.gz"
    for path in (old, later):
        path.write_bytes(b"old")
    backup.make_due(app)
    assert not old.exists(), "no pause is known of"
    old.write_bytes(b"old")
    for day in (4, 6, 8, 10, 11, 12):
        clock(day * DAY)
        backup.make_due(app)
        assert old.exists() is (day < 12), day
    assert later.exists(), "what is dated later than now is never old"


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
