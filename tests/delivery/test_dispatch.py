"""A bulletin's audience and its account: written down when it begins, adding up at every moment after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import delete, event, func, insert, select, text, update
from sqlalchemy.orm import Session

from conftest import NOW
from mailinglist import db
from mailinglist.bulletins import drafts
from mailinglist.consent import address, register
from mailinglist.consent.tables import Person, Subscription
from mailinglist.delivery import account, dispatch, handoffs, server_words
from mailinglist.delivery.dispatch import Status
from mailinglist.delivery.handoffs import PART, Settled
from mailinglist.delivery.tables import AudiencePart, Handoff
from mailinglist.privacy import rights
from making import ORIGIN, leave_token, person, the_list

SENDER = "Tector <tiedote@lists.example.fi>"
STATES = ("accepted", "deferred", "rejected", "excluded", "uncertain", "pending")


def subscribe(session: Session, count: int) -> None:
    """Many active persons, straight into the tables: what is tested reads no ledger."""
    listed = the_list(session).id
    numbers = range(1, count + 1)
    session.execute(
        insert(Person),
        [
            {
                "id": n, "mailbox": f"p{n}@example.fi", "folded": f"p{n}@example.fi", "exact_digest": b"%d" % n,
                "digest": b"%d" % n, "chain": b"%d" % n, "language": "fi", "created_at": NOW,
            }
            for n in numbers
        ],
    )  # fmt: skip
    session.execute(
        insert(Subscription),
        [
            {
                "person_id": n, "list_id": listed, "state": "active", "basis": "consent", "since": NOW, "epoch": 0,
                "source": "test",
            }
            for n in numbers
        ],
    )  # fmt: skip


def begun(session: Session) -> int:
    """A bulletin whose sending has begun."""
    bulletin = drafts.add(session, the_list(session), subject="Hei", source="Moi", form="markdown", now=NOW)
    dispatch.send(session, bulletin.id, sender=SENDER, by="test", at=None, publishers=(), now=NOW)
    assert dispatch.begin_due(session, now=NOW) == [bulletin.id]
    return bulletin.id


def claimed(session: Session, shift: int, number: int, limit: int) -> list[handoffs.Claimed]:
    return handoffs.claim(session, shift, kinds=[handoffs.BULLETIN], about=number, limit=limit, now=NOW)


def adds_up(session: Session, number: int) -> Status:
    """The account; it adds up, and its parts are what the rows say."""
    found = dispatch.status(session, number)
    assert sum(getattr(found, name) for name in STATES) == found.audience
    rows = dict(
        session.execute(
            select(Handoff.state, func.count())
            .where(Handoff.kind == handoffs.BULLETIN, Handoff.about == number)
            .group_by(Handoff.state)
        ).all()
    )
    waiting = session.scalar(select(func.sum(AudiencePart.size)).where(AudiencePart.bulletin_id == number)) or 0
    rows["pending"] = rows.get("pending", 0) + rows.pop("handing", 0)
    rows["excluded" if found.state == "cancelled" else "pending"] = waiting + rows.get(
        "excluded" if found.state == "cancelled" else "pending", 0
    )
    assert {name: getattr(found, name) for name in STATES} == {name: rows.get(name, 0) for name in STATES}
    return found


def everybody(session: Session) -> list[int]:
    return sorted(session.scalars(select(Handoff.person_id)))


def test_each_of_the_audience_is_claimed_once(app: Flask):
    people = 2 * PART + 30
    with db.transaction() as session:
        subscribe(session, people)
        number = begun(session)
        assert adds_up(session, number).pending == people
        assert everybody(session) == []
        shift = handoffs.begin_shift(session, now=NOW)
    taken: list[int] = []
    while rows := _in_own_transaction(shift, number, limit=70):
        taken += [row.person_id for row in rows]
        assert len({row.id for row in rows}) == len(rows) <= 70
    assert sorted(taken) == list(range(1, people + 1))
    with db.reading() as session:
        assert everybody(session) == sorted(taken)
        assert adds_up(session, number).pending == people


def _in_own_transaction(shift: int, number: int, limit: int) -> list[handoffs.Claimed]:
    with db.transaction() as session:
        rows = claimed(session, shift, number, limit)
        adds_up(session, number)
    return rows


def test_a_claim_that_is_not_committed_takes_nobody(app: Flask):
    with db.transaction() as session:
        subscribe(session, PART + 1)
        number = begun(session)
        shift = handoffs.begin_shift(session, now=NOW)
    with pytest.raises(ZeroDivisionError), db.transaction() as session:
        assert len(claimed(session, shift, number, 30)) == 30
        raise ZeroDivisionError
    with db.transaction() as session:
        assert everybody(session) == []
        assert adds_up(session, number).pending == PART + 1
        assert len(claimed(session, shift, number, 10 * PART)) == PART + 1


def test_two_workers_share_an_audience(app: Flask):
    if db.db.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer: the second waits")
    with db.transaction() as session:
        subscribe(session, 2 * PART)
        number = begun(session)
        shifts = [handoffs.begin_shift(session, now=NOW) for _ in range(2)]
    with db.transaction() as one, db.transaction() as other:
        first = claimed(one, shifts[0], number, PART)
        second = claimed(other, shifts[1], number, PART)
    assert sorted(row.person_id for row in first + second) == list(range(1, 2 * PART + 1))


def test_a_shift_that_was_taken_for_dead_claims_nobody(app: Flask):
    with db.transaction() as session:
        subscribe(session, 3)
        number = begun(session)
        shift = handoffs.begin_shift(session, now=NOW)
        handoffs.end_shift(session, shift, now=NOW)
        assert claimed(session, shift, number, 10) == []
        assert adds_up(session, number).pending == 3


def test_the_audience_is_who_was_active_when_it_began(app: Flask):
    with db.transaction() as session:
        stays, leaves, goes = (person(session, f"{name}@example.fi", now=NOW) for name in ("stays", "leaves", "goes"))
        number = begun(session)
        person(session, "late@example.fi", now=NOW)
        register.leave(session, leave_token(session, leaves), origin=ORIGIN, now=NOW + timedelta(seconds=2))
        rights.erase(session, address.parse("goes@example.fi"), NOW + timedelta(seconds=2))
        assert adds_up(session, number).audience == 3
        shift = handoffs.begin_shift(session, now=NOW)
        assert [row.person_id for row in claimed(session, shift, number, 10)] == [stays.id, leaves.id, goes.id]


def test_not_sent_before_everybody_has_had_their_turn(app: Flask):
    with db.transaction() as session:
        subscribe(session, PART + 5)
        number = begun(session)
        shift = handoffs.begin_shift(session, now=NOW)
        rows = claimed(session, shift, number, PART)
        assert handoffs.settle(session, shift, [Settled(row.id, "accepted", NOW) for row in rows]) == PART
        assert handoffs.any_due(session, kinds=[handoffs.BULLETIN], about=number, now=NOW)
        assert not dispatch.finish(session, number, now=NOW)
        rows = claimed(session, shift, number, PART)
        assert not handoffs.any_due(session, kinds=[handoffs.BULLETIN], about=number, now=NOW)
        assert not dispatch.finish(session, number, now=NOW)
        handoffs.settle(session, shift, [Settled(row.id, "accepted", NOW) for row in rows])
        assert dispatch.finish(session, number, now=NOW)
        found = adds_up(session, number)
    assert (found.state, found.accepted, found.trouble) == ("sent", PART + 5, None)


def test_every_state_is_in_the_account(app: Flask):
    with db.transaction() as session:
        subscribe(session, 3 * PART)
        number, other = begun(session), begun(session)
        shift = handoffs.begin_shift(session, now=NOW)
        rows = claimed(session, shift, number, PART)
        later = NOW + timedelta(seconds=7)
        fates = (
            [("accepted", NOW)] * 40 + [("accepted", later)] * 5 + [("deferred", later)] * 4 + [("rejected", NOW)] * 3
        )
        fates += [("uncertain", NOW)] * 2 + [("pending", NOW)]
        settled = [Settled(row.id, state, at) for row, (state, at) in zip(rows, fates, strict=False)]
        handoffs.settle(session, shift, settled)
        handoffs.exclude(session, shift, {row.id: "left" for row in rows[-6:]}, now=NOW)
        found = adds_up(session, number)
        assert adds_up(session, other).pending == 3 * PART
    assert {name: getattr(found, name) for name in STATES[:5]} == {
        "accepted": 45, "deferred": 4, "rejected": 3, "excluded": 6, "uncertain": 2,
    }  # fmt: skip
    assert (found.first_at, found.last_at) == (NOW, later)


def test_a_lost_row_is_not_passed_over(app: Flask):
    with db.transaction() as session:
        subscribe(session, 4)
        number = begun(session)
        shift = handoffs.begin_shift(session, now=NOW)
        rows = claimed(session, shift, number, 10)
        handoffs.settle(session, shift, [Settled(row.id, "accepted", NOW) for row in rows])
        session.execute(delete(Handoff).where(Handoff.id == rows[0].id))
        assert dispatch.finish(session, number, now=NOW)
        trouble = dispatch.status(session, number).trouble
    assert trouble == "the account does not add up: 3 rows for an audience of 4"


def test_paused_it_waits_and_goes_on_with_the_same_audience(app: Flask):
    with db.transaction() as session:
        subscribe(session, PART + 2)
        number = begun(session)
        shift = handoffs.begin_shift(session, now=NOW)
        first = claimed(session, shift, number, PART)
        dispatch.pause(session, number)
        assert adds_up(session, number).pending == PART + 2
        dispatch.resume(session, number, now=NOW)
        rest = claimed(session, shift, number, PART)
    assert len({row.person_id for row in first + rest}) == PART + 2


def test_cancelled_the_rest_is_excluded_at_once_and_row_by_row_later(app: Flask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dispatch, "_CALLED_OFF_AT_ONCE", PART)
    with db.transaction() as session:
        subscribe(session, 3 * PART)
        number = begun(session)
        shift = handoffs.begin_shift(session, now=NOW)
        rows = claimed(session, shift, number, 10)
        handoffs.settle(session, shift, [Settled(row.id, "accepted", NOW) for row in rows])
        dispatch.cancel(session, number, now=NOW)
        rows_then = len(everybody(session))
        found = adds_up(session, number)
        assert rows_then == PART
        assert (found.accepted, found.excluded, found.pending) == (10, 3 * PART - 10, 0)
    for expected in (2 * PART, 3 * PART, 3 * PART):
        with db.transaction() as session:
            dispatch.call_off_cancelled(session, now=NOW)
            assert len(everybody(session)) == expected
            assert adds_up(session, number).excluded == 3 * PART - 10
    with db.reading() as session:
        said = session.scalars(select(Handoff.reply).where(Handoff.state == "excluded").distinct()).all()
    assert said == ["cancelled"]


def test_one_that_breaks_holds_up_no_other_and_leaves_nothing_behind(app: Flask, monkeypatch: pytest.MonkeyPatch):
    with db.transaction() as session:
        subscribe(session, 3)
        both = [
            drafts.add(session, the_list(session), subject="Hei", source="Moi", form="markdown", now=NOW).id
            for _ in range(2)
        ]
        for bulletin_id in both:
            dispatch.send(session, bulletin_id, sender=SENDER, by="test", at=None, publishers=(), now=NOW)
    fan_out = handoffs.fan_out

    def breaks(session: Session, *, bulletin_id: int, **rest: Any) -> int:
        number = fan_out(session, bulletin_id=bulletin_id, **rest)
        if bulletin_id == both[0]:
            raise OverflowError("date value out of range")
        return number

    monkeypatch.setattr(handoffs, "fan_out", breaks)
    with db.transaction() as session:
        assert dispatch.begin_due(session, now=NOW) == [both[1]]
    with db.reading() as session:
        first, second = (dispatch.status(session, bulletin_id) for bulletin_id in both)
        assert (first.state, first.audience) == ("scheduled", 0)
        assert first.trouble is not None
        assert "OverflowError" in first.trouble
        assert (second.state, second.audience, second.trouble) == ("sending", 3, None)
        assert set(session.scalars(select(AudiencePart.bulletin_id))) == {both[1]}


def test_an_audience_of_nobody_is_sent(app: Flask):
    with db.transaction() as session:
        number = begun(session)
        assert dispatch.finish(session, number, now=NOW)
        assert adds_up(session, number).audience == 0


# ── what it costs ─────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def told() -> Iterator[list[tuple[str, object]]]:
    """Every statement with its parameters."""
    heard: list[tuple[str, object]] = []

    def hear(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        heard.append((statement, parameters))

    event.listen(db.db.engine, "before_cursor_execute", hear)
    try:
        yield heard
    finally:
        event.remove(db.db.engine, "before_cursor_execute", hear)


def test_a_look_at_the_account_reads_no_accepted_row_but_two(app: Flask):
    """The plans: partial indexes serve, whatever the size."""
    with db.transaction() as session:
        subscribe(session, 20 * PART)
        number = begun(session)
        shift = handoffs.begin_shift(session, now=NOW)
        claimed(session, shift, number, 20 * PART)
        session.execute(update(Handoff).values(state="accepted", shift_id=None, settled_at=NOW))
        session.execute(text("ANALYZE"))
    with db.reading() as session:
        with told() as statements:
            account.counts(session, number)
            account.acceptances(session, number)
        explain = "EXPLAIN QUERY PLAN " if db.db.engine.dialect.name == "sqlite" else "EXPLAIN "
        connection = session.connection()
        plan = "\n".join(
            str(row)
            for statement, parameters in statements
            for row in connection.exec_driver_sql(explain + statement, parameters)  # type: ignore[arg-type]
        )
    for index in ("ix_handoffs_rare", "ix_handoffs_open", "ix_handoffs_held", "ix_handoffs_accepted"):
        assert index in plan
    assert "uq_handoffs" not in plan
    assert "sqlite_autoindex_handoffs" not in plan
    assert "Seq Scan on handoffs" not in plan
    assert "SCAN handoffs\n" not in plan


def test_forgetting_finds_a_persons_rows_in_bulletins_and_letters(app: Flask):
    """There is no index by person for bulletins: their rows are found by each bulletin's number."""
    with db.transaction() as session:
        for kind, about in (("bulletin", 3), ("bulletin", 5), ("bulletin", 900), ("confirm", 4), ("leave", 2)):
            for who in (1, 2, 3):
                handoffs.enqueue(session, kind=kind, about=about, list_id=1, person_id=who, now=NOW)
        session.execute(update(Handoff).values(reply="said"))
        assert server_words.forget(session, 2) == 5
        assert server_words.forget(session, 4) == 0
        kept = session.scalars(select(Handoff.person_id).where(Handoff.reply.is_not(None)))
        assert sorted(kept) == [1] * 5 + [3] * 5
