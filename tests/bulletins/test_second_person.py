"""Who may approve what: nobody a change that only they have seen, and with two publishers one of them always may."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import product

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from conftest import NOW
from mailinglist import db
from mailinglist.bulletins import approvals, blocks, drafts
from mailinglist.bulletins.drafts import Author
from mailinglist.bulletins.tables import Bulletin, Issue
from mailinglist.consent import lists
from mailinglist.errors import NotAllowed
from making import the_list, written

MAIJA, PEKKA, KAISA, EEVA = Author(1, "Maija"), Author(2, "Pekka"), Author(3, "Kaisa"), Author(4, "Eeva")
TWO = (1, 2)
"""Maija and Pekka may approve; Eeva only writes."""
THREE = (1, 2, 3)
COMMAND = Author(None, "root")


@pytest.fixture
def session(app: Flask) -> Iterator[Session]:
    with db.transaction() as session:
        yield session


def change(session: Session, bulletin: Bulletin, by: Author, *, minutes: int = 0) -> None:
    number = bulletin.revision + 1
    source = blocks.write(blocks.Draft({"fi": blocks.Version("Uutisia", "", (blocks.Text(f"Teksti {number}"),))}))
    now = NOW + timedelta(minutes=minutes)
    drafts.save(session, bulletin, base=bulletin.revision, source=source, by=by, now=now)


def written_by(session: Session, *authors: Author, minutes: int = 0) -> Bulletin:
    """A bulletin that the first began, and the others changed in this order."""
    bulletin = written(session, now=NOW, by=authors[0])
    for number, author in enumerate(authors[1:], start=1):
        change(session, bulletin, author, minutes=number * minutes)
    return bulletin


def approve(session: Session, bulletin: Bulletin, by: Author, publishers: Sequence[int] = TWO) -> Issue:
    return approvals.approve(session, bulletin, sender="t@example.fi", by=by, publishers=publishers, now=NOW)


def may(session: Session, bulletin: Bulletin, publishers: Sequence[int] = TWO) -> set[str]:
    """Who may approve it, of all."""
    found = set()
    for author in (MAIJA, PEKKA, KAISA, EEVA):
        if author.account_id not in publishers:
            continue  # the pages keep them out by their level
        try:
            approvals.assert_second(session, bulletin, author.account_id, publishers=publishers)
        except NotAllowed:
            continue
        found.add(author.who)
    return found


@pytest.mark.parametrize(
    ("setting", "publishers", "refused"),
    [("auto", TWO, True), ("auto", (1,), False), ("on", (1,), True), ("off", TWO, False)],
)
def test_when_a_second_person_is_wanted(
    session: Session, setting: str, publishers: tuple[int, ...], refused: bool
) -> None:
    lists.set_value(session, the_list(session), "approval", setting, now=NOW)
    bulletin = written_by(session, MAIJA)
    for author in (MAIJA, COMMAND):
        if refused:
            with pytest.raises(NotAllowed, match=r"another person|somebody else"):
                approve(session, bulletin, author, publishers)
        else:
            approve(session, bulletin, author, publishers)
            approvals.withdraw_approval(session, bulletin, now=NOW)
    approve(session, bulletin, PEKKA, publishers)


def test_of_two_who_both_wrote_the_one_who_did_not_change_it_last_approves(session: Session) -> None:
    bulletin = written_by(session, MAIJA)
    assert may(session, bulletin) == {"Pekka"}
    change(session, bulletin, PEKKA)
    assert may(session, bulletin) == {"Maija"}
    change(session, bulletin, MAIJA)
    assert may(session, bulletin) == {"Pekka"}


def test_a_third_who_wrote_nothing_may_always(session: Session) -> None:
    assert may(session, written_by(session, MAIJA, PEKKA), THREE) == {"Maija", "Kaisa"}
    assert may(session, written_by(session, MAIJA, PEKKA, KAISA), THREE) == {"Maija", "Pekka"}
    assert may(session, written_by(session, EEVA, EEVA), THREE) == {"Maija", "Pekka", "Kaisa"}


def test_whom_nobody_trusts_with_approving_makes_no_change_seen(session: Session) -> None:
    """A comma by somebody who only writes must not let a publisher approve their own text."""
    assert may(session, written_by(session, MAIJA, EEVA)) == {"Pekka"}
    assert may(session, written_by(session, MAIJA, PEKKA, EEVA)) == {"Maija"}
    bulletin = written_by(session, MAIJA, PEKKA)
    assert approvals.only_seen_by(session, bulletin, MAIJA.account_id, [1, 3]), "Pekka may not approve any more"


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
@pytest.mark.parametrize("minutes", [0, 11], ids=["in one go", "over an hour"])
def test_whoever_wrote_in_whatever_order_somebody_may_and_the_last_may_not(session: Session, minutes: int) -> None:
    """Also where their revisions of ten minutes are written over by later ones."""
    wrong = []
    for order in product((MAIJA, PEKKA, EEVA), repeat=3):
        bulletin = written_by(session, *order, minutes=minutes)
        found = may(session, bulletin)
        own = [author for author in order if author is not EEVA]
        expected = {"Maija", "Pekka"} - {own[-1].who} if own else {"Maija", "Pekka"}
        if found != expected:
            wrong.append((" ".join(author.who for author in order), found))
    assert wrong == []


def test_an_approval_that_was_taken_back_or_made_void_counts_for_nobody(session: Session) -> None:
    bulletin = written_by(session, MAIJA)
    approve(session, bulletin, PEKKA)
    approvals.withdraw_approval(session, bulletin, now=NOW)
    assert may(session, bulletin) == {"Pekka"}
    approve(session, bulletin, PEKKA)
    change(session, bulletin, EEVA)  # makes it void
    assert approvals.approval_of(session, bulletin.id) is None
    assert may(session, bulletin) == {"Pekka"}, "what Pekka approved of Maija's is not what stands now"


def test_a_copy_is_no_way_around_the_second_person(session: Session) -> None:
    bulletin = written_by(session, MAIJA)
    template = drafts.as_template(session, bulletin, by=EEVA, now=NOW)
    for made in (
        drafts.duplicate(session, bulletin, by=EEVA, now=NOW),
        drafts.from_template(session, template, by=EEVA, now=NOW),
        drafts.duplicate(session, bulletin, by=MAIJA, now=NOW),
    ):
        assert may(session, made) == {"Pekka"}
    again = drafts.duplicate(session, written_by(session, MAIJA, PEKKA), by=EEVA, now=NOW)
    assert may(session, again) == {"Maija"}, "the order in which they wrote goes along"


def test_a_text_that_was_given_up_is_nobodys_change(session: Session) -> None:
    bulletin = written_by(session, MAIJA)
    other = blocks.write(blocks.Draft({"fi": blocks.Version("Pekan", "", (blocks.Text("Pekan"),))}))
    assert drafts.give_up(session, bulletin, other, by=PEKKA, now=NOW) == -1
    assert drafts.give_up(session, bulletin, other, by=MAIJA, now=NOW) == -2
    assert drafts.give_up(session, bulletin, bulletin.source, by=PEKKA, now=NOW) is None
    assert may(session, bulletin) == {"Pekka"}
    assert [each.number for each in drafts.revisions(session, bulletin.id)] == [1, -2, -1]
    assert drafts.restore(session, bulletin, -1, base=1, by=PEKKA, now=NOW) == 2
    assert bulletin.source == other
    assert may(session, bulletin) == {"Maija"}
