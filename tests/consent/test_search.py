from __future__ import annotations

import pytest
from flask import Flask

from conftest import NOW
from mailinglist import db
from mailinglist.consent import search, transfer
from mailinglist.consent.states import Basis, State
from mailinglist.errors import BadInput
from making import person, the_list

MAILBOXES = ("Ä.ö@example.fi", "a_b@example.fi", "aXb@example.fi", "a%@sub.example.fi", "z@zz.fi", "ab-c@example.fi")


def names(page: search.Page) -> list[str]:
    return [found.address for found in page.persons]


def fill(session, mailboxes) -> None:
    data = "email\n" + "".join(f"{mailbox}\n" for mailbox in mailboxes)
    consignment = transfer.read(data.encode(), basis=Basis.CONSENT, source="old", file="x")
    assert transfer.take_in(session, the_list(session), consignment, who="maija", now=NOW).refused == ()


def test_by_the_start_of_the_address_in_any_case(app: Flask):
    with db.transaction() as session:
        fill(session, MAILBOXES)
        assert names(search.by_address(session, "A")) == ["a%@sub.example.fi", "a_b@example.fi",
                                                          "ab-c@example.fi", "aXb@example.fi"]  # fmt: skip
        assert names(search.by_address(session, " a_ ")) == ["a_b@example.fi"], "no pattern"
        assert names(search.by_address(session, "a%")) == ["a%@sub.example.fi"]
        assert names(search.by_address(session, "ä")) == ["Ä.ö@example.fi"]
        assert names(search.by_address(session, "axb@example.fi")) == ["aXb@example.fi"]
        assert names(search.by_address(session, "nobody")) == []
        assert len(names(search.by_address(session, ""))) == 6


def test_by_domain(app: Flask):
    with db.transaction() as session:
        fill(session, (*MAILBOXES, "x@Ääkkönen.fi"))
        assert len(names(search.by_address(session, "@EXAMPLE.fi"))) == 4
        assert names(search.by_address(session, "@sub.example.fi")) == ["a%@sub.example.fi"]
        assert names(search.by_address(session, "@ääkkönen.fi")) == ["x@xn--kknen-fraa0m.fi"]
        assert names(search.by_address(session, "@ple.fi")) == []
        with pytest.raises(BadInput):
            search.by_address(session, "@ä..fi" + "ä" * 80)


@pytest.mark.parametrize("wanted", ["", "p", "@example.fi"])
def test_pages_follow_each_other_without_gap_or_repeat(app: Flask, wanted: str):
    mailboxes = [f"p{n:02}@example.fi" for n in range(25)]
    with db.transaction() as session:
        fill(session, mailboxes)
        seen: list[str] = []
        after = None
        while True:
            page = search.by_address(session, wanted, after=after, limit=10)
            seen += names(page)
            if page.next is None:
                break
            after = page.next
        assert seen == mailboxes


def test_filters_look_at_a_bounded_number_and_lose_nobody(app: Flask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(search, "_PIECE", 5)
    monkeypatch.setattr(search, "_PIECES", 2)
    with db.transaction() as session:
        fill(session, [f"p{n:02}@example.fi" for n in range(30)])
        for mailbox in ("p07x@example.fi", "p28x@example.fi", "p29x@example.fi"):
            person(session, mailbox, now=NOW, state=State.LEFT)
        row = the_list(session)
        for filters in ({"state": "left"}, {"list_id": row.id, "state": "left"}):
            seen: list[str] = []
            pages, after = 0, None
            while True:
                page = search.by_address(session, "p", after=after, limit=2, **filters)
                assert len(page.persons) <= 2
                assert all(found.places[0].state == "left" for found in page.persons)
                seen, pages, after = seen + names(page), pages + 1, page.next
                if after is None:
                    break
            assert seen == ["p07x@example.fi", "p28x@example.fi", "p29x@example.fi"]
            assert pages > 2
        assert names(search.by_address(session, "p", list_id=row.id + 1, limit=2)) == []
        with pytest.raises(BadInput):
            search.by_address(session, "p", state="none")


def test_the_start_is_a_range_of_the_index_whatever_the_collation(app: Flask):
    if db.db.engine.dialect.name != "postgresql":
        pytest.skip("SQLite compares by bytes anyway")
    from sqlalchemy import text

    with db.transaction() as session:
        fill(session, [f"p{n}@example.fi" for n in range(300)])
        collated = (
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'persons' AND collation_name = 'C'"
        )
        assert set(session.scalars(text(collated))) >= {"folded", "domain"}
        session.execute(text("SET LOCAL enable_seqscan = off"))
        session.execute(text("SET LOCAL enable_sort = off"))
        for condition, index in (
            ("folded >= 'p1' AND folded < 'p2' ORDER BY folded", "uq_persons_folded"),
            ("domain = 'example.fi' AND folded > 'p1' ORDER BY domain, folded", "ix_persons_domain_folded"),
        ):
            plan = "\n".join(session.scalars(text(f"EXPLAIN SELECT id FROM persons WHERE {condition} LIMIT 50")))
            assert index in plan
            assert "Index Cond" in plan
            assert "Sort" not in plan
