"""What waits for a person has bounds and an end, nobody pushes out others, and what goes unread is told."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from arriving import TAKES_MAIL
from catching import Caught
from mailinglist import db
from mailinglist.inbound import crowding, forward, handle, unseen
from mailinglist.inbound.crowding import Kept, too_many
from mailinglist.inbound.tables import CROWDED_OUT, OUTLIVED, Spooled
from mailinglist.privacy import needs, retention
from making import never, person, the_list
from spooled import OWNER, keep, owned, rows


def mails(writer: str, number: int, *, first: int = 1, octets: int = 1000, known: bool = False) -> list[Kept]:
    return [Kept(first + n, (writer, writer, ""), octets, known) for n in range(number)]


def test_a_writer_pushes_out_their_own_oldest_mails() -> None:
    others = mails("liisa@example.fi", 2)
    flood = mails("a@example.com", crowding.FROM_ONE + 3, first=10)
    assert too_many([*others, *flood], flood[-1].number) == [10, 11, 12]
    assert too_many([*others, *flood[3:]], flood[-1].number) == []
    large = mails("a@example.com", 3, first=10, octets=crowding.FROM_ONE_OCTETS // 2)
    assert too_many([*others, *large], 12) == [10]


def test_where_all_is_full_the_writer_of_most_loses_their_oldest() -> None:
    many = [mail for n in range(25) for mail in mails(f"w{n}@example.com", 40, first=1 + 40 * n)]
    assert len(many) == crowding.OF_A_LIST
    liisa = mails("liisa@example.fi", 1, first=2000)
    assert too_many([*many, *liisa], 2000) == [1]


def test_whom_the_register_knows_stays_however_many_strangers_write() -> None:
    known = mails("liisa@example.fi", 1, known=True)
    strangers = [mail for n in range(crowding.OF_A_LIST) for mail in mails(f"w{n}@example.com", 1, first=2 + n)]
    assert too_many([*known, *strangers], strangers[-1].number) == [2]
    known = mails("liisa@example.fi", 2, first=0, known=True)
    assert too_many([*known, *strangers], strangers[-1].number) == [2, 3], "also who wrote twice, and they once"
    large = [mail for n in range(11) for mail in mails(f"x{n}@example.com", 1, first=2 + n, octets=2 * 10**7)]
    assert too_many([*known, *large], 12) == [2]


def test_who_makes_up_a_return_path_or_a_from_pushes_out_nothing_of_its_owner() -> None:
    hers = Kept(1, ("liisa@example.fi", "liisa@example.fi", "192.0.2.1"), 1000, known=True)
    for made_up in (
        ("liisa@example.fi", "spam@example.com", ""), ("spam@example.com", "liisa@example.fi", ""),
        ("liisa@example.fi", "liisa@example.fi", "198.51.100.7"),
    ):  # fmt: skip
        flood = [Kept(2 + n, made_up, 1000, known=False) for n in range(crowding.FROM_ONE + 1)]
        assert too_many([hers, *flood], flood[-1].number) == [2]


def test_mails_that_name_nobody_are_not_one_writers() -> None:
    nobodys = [Kept(1 + n, ("", "", ""), 1000, known=False) for n in range(crowding.FROM_ONE + 11)]
    assert too_many(nobodys, nobodys[-1].number) == []


@pytest.fixture
def extra_settings(mail_host: Caught) -> dict[str, str]:
    return TAKES_MAIL | {"smtp_url": mail_host.url}


def write(sender: str, number: int = 1, *, first: int = 0) -> None:
    for n in range(first, first + number):
        keep(f"From: {sender}\r\nSubject: {n}\r\n\r\nOttakaa minut pois\r\n".encode(), sender=sender)


def told(subject: str) -> int | None:
    """The number that the owner is told."""
    with db.reading() as session:
        every = needs.of_list(session, the_list(session), now=db.utcnow())
    return next((int(need.what.values["number"]) for need in every if subject in need.what.words), None)


def test_what_is_pushed_out_is_counted_and_told(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowding, "FROM_ONE", 3)
    monkeypatch.setattr(crowding, "OF_A_LIST", 5)
    with db.transaction() as session:
        person(session, "matti@example.fi", now=db.utcnow())
    write("matti@example.fi")
    write("flood@example.com", 5)
    handle.handle(stop=never)
    assert [row.outcome for row in rows()] == ["for-a-person"] + [CROWDED_OUT] * 2 + ["for-a-person"] * 3
    for n in range(3):
        write(f"stranger{n}@example.com")
    handle.handle(stop=never)
    kept = [row.writer for row in rows() if row.state == "owner"]
    assert kept[0] == "matti@example.fi"
    assert len(kept) == 5
    assert told("wait for a person:") == 5
    assert told("deleted unread in 7 days") == 4
    with db.reading() as session:
        assert session.scalar(select(func.count()).where(Spooled.raw.is_not(None))) == 5


def test_what_nobody_reads_has_an_end_that_is_told_before_and_after(app: Flask) -> None:
    write("matti@example.fi")
    write("liisa@example.fi")
    handle.handle(stop=never)
    old, young = rows()
    with db.transaction() as session:  # however long it had waited for the program
        session.execute(update(Spooled).values(received_at=db.utcnow() - timedelta(days=100)))
        session.execute(update(Spooled).where(Spooled.id == old.id).values(handled_at=db.utcnow() - timedelta(days=80)))
    assert told("will be deleted unread") == 1
    assert told("deleted unread in 7 days") is None
    with db.transaction() as session:
        assert {each.rule.name: each.number for each in retention.due(session, now=db.utcnow())}["unread"] == 0
        session.execute(update(Spooled).where(Spooled.id == old.id).values(handled_at=db.utcnow() - timedelta(days=91)))
    assert retention.run(stop=never)["unread"] == 1
    assert told("wait for a person:") == 1
    assert told("will be deleted unread") is None
    assert told("deleted unread in 7 days") == 1
    assert [(row.state, row.outcome) for row in rows()] == [("handled", OUTLIVED), ("owner", "for-a-person")]
    with db.transaction() as session:
        assert session.scalar(select(Spooled.raw).where(Spooled.id == old.id)) is None
        session.execute(update(Spooled).where(Spooled.id == old.id).values(handled_at=db.utcnow() - timedelta(days=31)))
    retention.run(stop=never)
    assert [row.id for row in rows()] == [young.id]


def test_one_writer_does_not_take_up_the_owners_day(
    app: Flask, caught: Caught, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "OF_ONE_A_DAY", 2)
    monkeypatch.setattr(forward, "OF_A_DOMAIN_A_DAY", 3)
    owned()
    write("flood@example.com", 4)
    for n in range(3):
        write(f"other{n}@example.com")
    write("matti@example.fi")
    write("matti@notexample.com")
    handle.handle(stop=never)
    accepted = [row.writer for row in rows() if row.forwarded == "accepted"]
    assert accepted == ["flood@example.com"] * 2 + ["other0@example.com", "matti@example.fi", "matti@notexample.com"]
    assert {row.state for row in rows()} == {"owner"}
    assert len(caught.mails) == 5


def test_a_flood_with_ones_return_path_withholds_nothing_of_ones_own(
    app: Flask, caught: Caught, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does one with one's From too, from another client: else five such mails would keep an opt-out from the owner,
    and fifty would throw it away."""
    monkeypatch.setattr(crowding, "FROM_ONE", 3)
    monkeypatch.setattr(forward, "OF_ONE_A_DAY", 2)
    owned()
    with db.transaction() as session:
        person(session, "matti@example.fi", now=db.utcnow())
    flood = [f"From: spam@example.com\r\nSubject: {n}\r\n\r\nosta\r\n".encode() for n in range(8)]
    received = b"Received: from mx (unknown [8.8.8.8]) by relay.example.fi; Sun, 22 Nov 2026 10:00:00 +0200\r\n"
    his = b"From: matti@example.fi\r\nSubject: POISTAKAA\r\n\r\nOttakaa minut pois\r\n"

    def made_up(mails: list[bytes]) -> None:
        for raw in mails:
            keep(raw, sender="matti@example.fi")
            keep(received + raw.replace(b"spam@example.com", b"matti@example.fi"))
        handle.handle(stop=never)

    made_up(flood[:4])
    keep(his, sender="Matti@example.fi")
    handle.handle(stop=never)
    made_up(flood[4:])
    found = rows()
    assert (found[8].state, found[8].forwarded, found[8].client) == ("owner", "accepted", None)
    assert found[-1].client == "8.8.8.8"
    assert [row.state for row in found].count("owner") == 7, "of each of the three the newest"
    assert "POISTAKAA" in "".join(str(mail["Subject"]) for _, _, mail in caught.mails)


def test_who_writes_from_nowhere_is_counted_by_from(app: Flask) -> None:
    keep(b"From: Liisa <LIISA@example.fi>\r\n\r\nMoi\r\n", OWNER, sender="")
    keep(b"\r\nMoi\r\n", OWNER, sender="")
    handle.handle(stop=never)
    assert [row.writer for row in rows()] == ["liisa@example.fi", ""]
    with db.transaction() as session:  # as what had waited before there were writers
        session.execute(update(Spooled).values(writer=None))
        last = session.get_one(Spooled, rows()[1].id)
        assert unseen.make_room(session, last, now=db.utcnow()) == 0
