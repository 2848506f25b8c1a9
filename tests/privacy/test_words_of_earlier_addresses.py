"""An erasure takes the words of bans on addresses that the person had before: also of a ban that came before they did,
and of one that named the address as it was written. What is said of others who had the same address stays."""

from __future__ import annotations

from datetime import date, timedelta

from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from conftest import NOW
from mailinglist import db
from mailinglist.consent import address, bans, keys, register, registrar, verification
from mailinglist.consent.states import Channel
from mailinglist.consent.tables import Ban, Evidence, Person
from mailinglist.privacy import rights
from making import person

TOLD = registrar.Told("phone", "said so", date(2026, 11, 2), "Maija")
MINUTE = timedelta(minutes=1)


def ban(session: Session, written: str, words: str, *channels: Channel, minutes: int) -> None:
    """By an entrance that knows the address as it is written here alone."""
    digest = keys.keys_of(session).digest(written)
    origin = {"source": words}
    bans.add(session, digest, channels or [Channel.PHONE], source=words, origin=origin, now=NOW + minutes * MINUTE)


def correct(session: Session, made: Person, written: str, *, minutes: int) -> None:
    registrar.correct_address(session, made.id, address.parse(written), TOLD, now=NOW + minutes * MINUTE)


def words_left(session: Session, words: str) -> list[str]:
    """Where these words still stand."""
    found = [f"ban {row.id}" for row in session.scalars(select(Ban)) if words in f"{row.source} {row.lifted_by}"]
    return [
        *found,
        *(f"evidence {row.id}" for row in session.scalars(select(Evidence)) if words.encode() in row.content),
    ]


def test_whatever_address_they_had(app: Flask):
    with db.transaction() as session:
        ban(session, "old@example.fi", "Olli, before", minutes=0)
        made = person(session, "old@example.fi", now=NOW + MINUTE)
        correct(session, made, "Older@Example.fi", minutes=2)
        ban(session, "Older@example.fi", "Olli, as written", Channel.POST, minutes=3)
        correct(session, made, "OLDER@example.fi", minutes=4)
        ban(session, "OLDER@example.fi", "Olli, in capitals", Channel.DISCLOSURE, minutes=5)
        lifted = [Channel.DISCLOSURE]
        bans.lift(
            session, address.parse("OLDER@example.fi"), lifted, evidence="Olli rang", who="M", now=NOW + 6 * MINUTE
        )
        correct(session, made, "new@example.fi", minutes=7)
        ban(session, "old@example.fi", "Olli, afterwards", Channel.EMAIL, minutes=8)
        assert len(words_left(session, "Olli")) == 9
        assert list(verification.verify(session)) == []
        rights.erase(session, address.parse("new@example.fi"), NOW + 9 * MINUTE)
    with db.transaction() as session:
        assert words_left(session, "Olli") == []
        assert list(verification.verify(session)) == []
        asked = {name: bans.check(session, address.parse(f"{name}@example.fi")).channels for name in ("old", "Older")}
        assert asked == {"old": ("email", "phone"), "Older": ("post", "phone")}, "the bans stay"
        # Erased for a word that nobody has a reason to miss: it is found.
        person(session, "other@example.fi", now=NOW)
        ban(session, "other@example.fi", "Other", minutes=1)
        session.scalars(select(Ban).where(Ban.source == "Other")).one().source = bans.FORGOTTEN
        session.flush()
        assert [str(each) for each in verification.verify(session) if "no erasure explains it" in str(each)]


def test_but_not_what_is_said_of_whoever_had_it_before_or_has_it_now(app: Flask):
    with db.transaction() as session:
        first = person(session, "desk@example.fi", now=NOW)
        ban(session, "desk@example.fi", "First", minutes=1)
        correct(session, first, "first@example.fi", minutes=2)
        second = person(session, "desk@example.fi", now=NOW + 3 * MINUTE)
        ban(session, "desk@example.fi", "Second", Channel.POST, minutes=4)
        correct(session, second, "second@example.fi", minutes=5)
        third = person(session, "desk@example.fi", now=NOW + 6 * MINUTE)
        ban(session, "desk@example.fi", "Third", Channel.DISCLOSURE, minutes=7)
        assert third.chain not in (first.chain, second.chain)
        rights.erase(session, address.parse("second@example.fi"), NOW + 8 * MINUTE)
    with db.transaction() as session:
        assert words_left(session, "Second") == []
        assert len(words_left(session, "First")) == len(words_left(session, "Third")) == 2
        assert list(verification.verify(session)) == []
        rights.erase(session, address.parse("first@example.fi"), NOW + 9 * MINUTE)
    with db.transaction() as session:
        assert (words_left(session, "First"), len(words_left(session, "Third"))) == ([], 2)
        assert list(verification.verify(session)) == []
        assert register.find(session, address.parse("desk@example.fi")) is not None
