from __future__ import annotations

import threading
from datetime import date, timedelta

from flask import Flask
from sqlalchemy import select

from conftest import NOW
from mailinglist import db
from mailinglist.consent import address, bans, confirming, growth, keys, register, registrar, transfer, verification
from mailinglist.consent.registrar import Told
from mailinglist.consent.states import Basis, Channel, State
from mailinglist.consent.tables import DailyCount
from making import ORIGIN, ask, leave_token, letter, person, the_list
from servers import wait_for

TODAY = NOW.date()
TOLD = Told(how="phone", words="x", on=date(2026, 11, 2), who="maija")


def counted(list_id: int, day: date = TODAY) -> growth.Day:
    with db.reading() as session:
        (found,) = growth.by_day(session, list_id, since=day, until=day)
    return found


def catch_up() -> int:
    return growth.catch_up(stop=lambda: False, seconds=20)


def imported(session, *mailboxes: str, name: str = "", now=NOW) -> None:
    data = "email,name\n" + "".join(f"{mailbox},{name}\n" for mailbox in mailboxes)
    consignment = transfer.read(data.encode(), basis=Basis.CONSENT, source="old", file="x")
    transfer.take_in(session, the_list(session), consignment, who="maija", now=now)


def test_each_event_counts_on_its_day_and_once(app: Flask):
    with db.transaction() as session:
        row = the_list(session)
        person(session, "active@example.fi", now=NOW)
        person(session, "left@example.fi", now=NOW, state=State.LEFT)
        person(session, "pending@example.fi", now=NOW, state=State.PENDING)
        lost = person(session, "lost@example.fi", now=NOW, state=State.UNDELIVERABLE)
        register.restore(session, lost.id, row, source="staff", now=NOW)
        # A no to what was never answered is no leave: the list did not get smaller.
        _, not_me = letter(session, ask(session, "stranger@example.fi", now=NOW), now=NOW)
        confirming.disown(session, not_me, origin=ORIGIN, now=NOW)
        imported(session, "old1@example.fi", "old2@example.fi")
        imported(session, "old1@example.fi", name="Corrected")
        digest = keys.keys_of(session).digest("x@example.fi")
        bans.add(session, digest, [Channel.EMAIL, Channel.POST], source="phone", now=NOW)
        bans.add(session, digest, [Channel.PHONE], source="phone", now=NOW)
        list_id = row.id
    assert catch_up() > 0
    expected = growth.Day(TODAY, confirmed=3, imported=2, restored=1, left=1, undeliverable=1, banned=1)
    assert counted(list_id) == expected
    assert catch_up() == 0
    assert counted(list_id) == expected
    with db.reading() as session:
        found = growth.confirming(session, list_id, since=TODAY)
        assert (found.asked, found.confirmed) == (5, 3)
        assert growth.confirming(session, list_id, since=TODAY + timedelta(days=1)) == growth.Confirming(0, 0)
        assert growth.standing(session, list_id) == {"pending": 1, "active": 4, "left": 2, "undeliverable": 0}


def test_a_plot_has_every_day_and_costs_as_many_rows_as_days(app: Flask):
    with db.transaction() as session:
        list_id = the_list(session).id
        for n in range(3):
            imported(session, *(f"p{n}-{i}@example.fi" for i in range(20)), now=NOW + timedelta(days=2 * n))
    catch_up()
    with db.reading() as session:
        days = growth.by_day(session, list_id, since=TODAY, until=TODAY + timedelta(days=5))
        assert [day.imported for day in days] == [20, 0, 20, 0, 20, 0]
        assert len(session.scalars(select(DailyCount)).all()) == 3
        assert growth.by_day(session, list_id, since=TODAY, until=TODAY - timedelta(days=1)) == ()
        assert len(growth.by_day(session, list_id, since=date.min, until=TODAY)) == growth.MAX_DAYS


def test_in_pieces_by_two_workers_nothing_is_counted_twice(app: Flask):
    with db.transaction() as session:
        list_id = the_list(session).id
        imported(session, *(f"p{i}@example.fi" for i in range(200)))
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with app.app_context():
                for _ in range(40):
                    with db.transaction() as session:
                        growth.take(session, limit=7)
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert errors == []
    catch_up()
    assert counted(list_id).imported == 200


def test_an_entry_that_is_committed_late_is_not_lost(app: Flask):
    """PostgreSQL gives ids out before the commit: a bookmark must not pass what is still being written."""
    with db.transaction() as session:
        list_id = the_list(session).id
        imported(session, "first@example.fi")
    written, go_on = threading.Event(), threading.Event()

    def late() -> None:
        with app.app_context(), db.transaction() as session:
            imported(session, "late@example.fi")
            written.set()
            go_on.wait(30)

    writer = threading.Thread(target=late)
    writer.start()
    try:
        assert written.wait(30)
        if db.db.engine.dialect.name == "postgresql":
            with db.transaction() as session:
                imported(session, "after@example.fi")
            catch_up()
            assert counted(list_id).imported <= 1
    finally:
        go_on.set()
        writer.join(30)
    with db.transaction() as session:
        imported(session, "last@example.fi")
    wanted = 4 if db.db.engine.dialect.name == "postgresql" else 3
    wait_for(lambda: catch_up() >= 0 and counted(list_id).imported == wanted)


def test_a_corrected_address_is_no_leave_and_its_answer_is_a_join(app: Flask):
    with db.transaction() as session:
        row = the_list(session)
        made = person(session, "a@example.fi", now=NOW)
        registrar.correct_address(session, made.id, address.parse("b@example.fi"), TOLD, now=NOW)
        register.leave(session, leave_token(session, made), origin=ORIGIN, now=NOW)
        list_id = row.id
        assert list(verification.verify(session)) == []
    catch_up()
    assert (counted(list_id).confirmed, counted(list_id).left) == (1, 0)
