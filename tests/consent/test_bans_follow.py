"""A ban follows a corrected address: given by the old one it holds for the new one too, by whatever entrance; and who
asks by the old one is told. What gives something back does not follow."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from conftest import NOW
from mailinglist import db
from mailinglist.consent import address, ban_lists, bans, keys, ledger, readdressed, register, registrar, verification
from mailinglist.consent.states import ALL_CHANNELS, Channel
from mailinglist.errors import NotAllowed
from mailinglist.privacy import rights
from making import person, the_list
from servers import wait_for, waits_for_a_lock

TOLD = registrar.Told("phone", "said so", date(2026, 11, 2), "Maija")
OLD, NEW = address.parse("old@example.fi"), address.parse("new@example.fi")
LATER = NOW + timedelta(minutes=1)


def sha256(who: address.Address) -> bytes:
    return hashlib.sha256(who.folded.encode()).digest()


def corrected(session: Session) -> int:
    """Somebody whose address was corrected, twice. Their number."""
    made = person(session, OLD.mailbox, now=NOW)
    for each in ("between@example.fi", NEW.mailbox):
        registrar.correct_address(session, made.id, address.parse(each), TOLD, now=NOW)
    return made.id


def channels(session: Session, who: address.Address) -> tuple[str, ...]:
    """What is forbidden for this very address."""
    return bans.channels_of(bans.in_force(session, bans.digests(session, who)))


def by_an_entrance(session: Session) -> int:
    asked = {"source": "said so", "origin": {"how": "phone"}, "now": LATER}
    given = bans.forbid(session, bans.digests(session, OLD), [Channel.EMAIL], **asked)  # type: ignore[arg-type]
    assert given.person_id is not None
    return len(given.added)


def by_staff(session: Session) -> int:
    return len(registrar.forbid(session, OLD, [Channel.EMAIL], TOLD, now=LATER))


def by_a_list(session: Session) -> int:
    return ban_lists.take_in(session, [sha256(OLD)], [Channel.EMAIL], source="a list", now=LATER)


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
@pytest.mark.parametrize("give", [by_an_entrance, by_staff, by_a_list])
def test_given_by_the_old_address_it_holds_for_the_new_one(app: Flask, give: Any):
    with db.transaction() as session:
        corrected(session)
        assert give(session) == 1
        assert channels(session, OLD) == channels(session, NEW) == ("email",)
        assert channels(session, address.parse("between@example.fi")) == ()
        assert bans.forbids_mail(session, bans.digests(session, NEW), the_list(session))
        assert give(session) == 0, "said twice it is one ban"
        assert list(verification.verify(session)) == []
        rights.erase(session, NEW, LATER)
        assert list(verification.verify(session)) == []
        assert readdressed.owners(session, bans.digests(session, OLD)) == {}


def test_many_at_once_on_both_databases(app: Flask):
    with db.transaction() as session:
        made = [person(session, f"old-{number}@example.fi", now=NOW) for number in range(3)]
        for number, each in enumerate(made):
            registrar.correct_address(session, each.id, address.parse(f"new-{number}@example.fi"), TOLD, now=NOW)
        listed = [sha256(address.parse(f"old-{number}@example.fi")) for number in (2, 0, 2)]
        assert ban_lists.take_in(session, listed, ALL_CHANNELS[:2], source="a list", now=LATER) == 2
        found = [channels(session, address.parse(f"new-{number}@example.fi")) for number in range(3)]
        assert found == [("email", "post"), (), ("email", "post")]
        bans.add(session, made[1].digest, [Channel.PHONE], source="said so", now=LATER)
        asked = b"\n".join(b"old-%d@example.fi" % number for number in range(3))
        told = list(ban_lists.look_up(session, ban_lists.rows(asked)))
        assert [each.channels for each in told] == [("email", "post"), ("phone",), ("email", "post")]
        assert list(verification.verify(session)) == []


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_who_asks_by_the_old_address_is_told_and_can_lift_nothing_of_the_new_one(app: Flask):
    with db.transaction() as session:
        corrected(session)
        bans.add(session, keys.keys_of(session).digest(NEW.folded), [Channel.POST], source="own page", now=LATER)
        assert bans.check(session, OLD).channels == bans.check(session, NEW).channels == ("post",)
        for line in (OLD.mailbox, sha256(OLD).hex()):
            [found] = ban_lists.look_up(session, ban_lists.rows(line.encode()))
            assert (found.row.text, found.channels, found.by) == (line, ("post",), ("address",))
        with pytest.raises(NotAllowed):
            registrar.lift(session, OLD, [Channel.POST], TOLD, now=LATER)
        assert channels(session, NEW) == ("post",)


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_whoever_comes_to_the_old_address_has_it_alone(app: Flask):
    with db.transaction() as session:
        corrected(session)
        stranger = person(session, OLD.mailbox, now=LATER)
        assert by_staff(session) == by_a_list(session) + 1 == 1
        assert (channels(session, OLD), channels(session, NEW)) == (("email",), ())
        bans.add(session, keys.keys_of(session).digest(NEW.folded), [Channel.POST], source="own page", now=LATER)
        assert bans.check(session, OLD).channels == ("email",)
        assert register.find(session, OLD) is stranger
        assert list(verification.verify(session)) == []


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_a_list_and_a_correction_do_not_wait_for_each_other(app: Flask, monkeypatch: pytest.MonkeyPatch):
    """The list has entered a ban on the new address, and comes to the ledger when the correction is under way."""
    with db.transaction() as session:
        made = person(session, OLD.mailbox, now=NOW)
        number = made.id
        bans.add(session, made.digest, [Channel.EMAIL], source="phone", now=NOW)
        bans.add(session, keys.keys_of(session).digest(NEW.folded), [Channel.POST], source="its chain", now=NOW)
    entered, go_on, real = threading.Event(), threading.Event(), ledger.chains_of

    def chains_of(session: Session, subjects: Any) -> Any:
        if session.info.pop("of the list", False):
            entered.set()
            assert go_on.wait(20)
        return real(session, subjects)

    monkeypatch.setattr(ledger, "chains_of", chains_of)

    def take_in() -> None:
        with app.app_context(), db.transaction() as session:
            session.info["of the list"] = True
            ban_lists.take_in(session, [sha256(NEW)], [Channel.EMAIL], source="a list", now=LATER)

    def correct() -> None:
        with app.app_context(), db.transaction() as session:
            registrar.correct_address(session, number, NEW, TOLD, now=LATER)

    with ThreadPoolExecutor(2) as threads:
        taken = threads.submit(take_in)
        assert entered.wait(20)
        done = threads.submit(correct)
        wait_for(waits_for_a_lock)
        go_on.set()
        taken.result(20)
        done.result(20)
    with db.transaction() as session:
        assert channels(session, NEW) == ("email", "post")
        assert list(verification.verify(session)) == []


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_a_list_waits_for_a_correction_and_follows_it(app: Flask):
    with db.transaction() as session:
        number = person(session, OLD.mailbox, now=NOW).id

    def take_in() -> int:
        with app.app_context(), db.transaction() as session:
            return ban_lists.take_in(session, [sha256(OLD)], [Channel.EMAIL], source="a list", now=LATER)

    with ThreadPoolExecutor(1) as thread:
        with db.transaction() as session:
            registrar.correct_address(session, number, NEW, TOLD, now=LATER)
            taken = thread.submit(take_in)
            wait_for(waits_for_a_lock)
        assert taken.result(20) == 1
    with db.transaction() as session:
        assert channels(session, NEW) == channels(session, OLD) == ("email",)
        assert list(verification.verify(session)) == []
