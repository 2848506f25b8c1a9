"""The name that a ban keeps after an erasure is bound in the ledger: who takes it away, or puts another in its place,
would have systems that ask by name told that its owner is free."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from conftest import NOW
from mailinglist import db
from mailinglist.consent import address, bans, bans_by_name, keys, ledger, register, registrar, verification
from mailinglist.consent.bans import Forbidden
from mailinglist.consent.states import Channel
from mailinglist.consent.tables import Ban, LedgerEntry, Person
from mailinglist.privacy import rights
from making import named, person, the_list

WRITTEN, NAME = "Erased@example.fi", "Eero Erased"
TOLD = registrar.Told("phone", "said so", NOW.date(), "Maija")
EMAIL, POST, PHONE = Channel.EMAIL, Channel.POST, Channel.PHONE
ONE_DATABASE = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)


def problems(session: Session) -> list[str]:
    session.flush()
    return [each.what for each in verification.verify(session)]


def erased(session: Session, mailbox: str = WRITTEN, name: str = NAME) -> None:
    """Somebody of this name, with bans by each way of writing the address, and on one list alone, is erased."""
    named(session, (mailbox, name), now=NOW)
    found = register.find(session, address.parse(mailbox))
    assert found is not None
    bans.add(session, found.exact_digest, [POST], source="a list of SHA-256", now=NOW)
    bans.add(session, found.digest, [EMAIL], source="letter", now=NOW)
    bans.add(session, found.digest, [EMAIL], only=the_list(session), source="letter", now=NOW)
    rights.erase(session, address.parse(mailbox), NOW)


def test_whatever_is_done_by_the_rules_fits(app: Flask) -> None:
    who = address.parse(WRITTEN)
    digest = keys.Keys.digest
    with db.transaction() as session:
        erased(session)
        assert problems(session) == []
        registrar.forbid(session, who, [PHONE], TOLD, now=NOW)
        bans.add_many(session, [digest(keys.keys_of(session), who.folded)], [Channel.DISCLOSURE], source="x", now=NOW)
        assert len(bans_by_name.check(session, NAME).channels) == 4, "what is forbidden later has the name, too"
        assert problems(session) == []
        registrar.lift(session, who, [EMAIL, Forbidden(EMAIL, the_list(session).slug)], TOLD, now=NOW)
        assert problems(session) == []
        # They come back under another name, and are erased once more; and then without any.
        for name in ("Eero Other", ""):
            made = person(session, WRITTEN, now=NOW)
            registrar.correct_details(session, made.id, TOLD, name=name, language="fi", now=NOW)
            registrar.forbid(session, who, [EMAIL], TOLD, now=NOW)
            assert problems(session) == []
            rights.erase(session, who, NOW)
            assert problems(session) == []
            for either in (NAME, "Eero Other"):
                assert bans_by_name.check(session, either).channels == ("email", "post", "phone", "disclosure")
            registrar.lift(session, who, [EMAIL], TOLD, now=NOW)
        registrar.forbid(session, who, [EMAIL], TOLD, now=NOW)
        registrar.lift(session, who, [EMAIL, POST, PHONE, Channel.DISCLOSURE], TOLD, now=NOW)
        registrar.forbid(session, who, [POST], TOLD, now=NOW)
        assert not bans_by_name.check(session, "Eero Other").known, "a lift takes the name away"
        assert problems(session) == []


@ONE_DATABASE
@pytest.mark.parametrize("put", ["nothing", "another name"])
@pytest.mark.parametrize("channel", [EMAIL, POST, PHONE])
def test_a_name_that_was_taken_away_or_exchanged_is_found(app: Flask, channel: Channel, put: str) -> None:
    """Of a ban by the case-folded address, by the address as written, and of one that was given after the erasure."""
    with db.transaction() as session:
        erased(session)
        registrar.forbid(session, address.parse(WRITTEN), [PHONE], TOLD, now=NOW)
        name = None if put == "nothing" else keys.keys_of(session).name_digest("other")
        rows = session.scalars(select(Ban).where(Ban.channel == channel)).all()
        session.execute(update(Ban).where(Ban.channel == channel).values(name_digest=name))
        expected = [f"the name that ban {row.id} is found by was altered, or is gone" for row in rows]
        assert problems(session) == expected


@ONE_DATABASE
def test_a_ledger_of_a_version_that_did_not_bind_it_is_whole(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_name = bans.keep_name

    def unbound(session: Session, made: Person) -> list[ledger.NameKept]:
        keep_name(session, made)
        return []

    monkeypatch.setattr(bans, "keep_name", unbound)
    with db.transaction() as session:
        erased(session)
        monkeypatch.undo()
        assert bans_by_name.check(session, NAME).known
        assert problems(session) == []
        registrar.forbid(session, address.parse(WRITTEN), [PHONE], TOLD, now=NOW)
        assert problems(session) == []


@ONE_DATABASE
def test_no_entry_holds_what_a_name_can_be_asked_by(app: Flask) -> None:
    with db.transaction() as session:
        erased(session)
        erased(session, "namesake@example.fi")
        [name] = session.scalars(select(Ban.name_digest).distinct()).all()
        bodies = [body.decode() for body in session.scalars(select(LedgerEntry.body)).all()]
        assert name is not None
        assert sum("names_kept" in body for body in bodies) == 2
        assert not any(name.hex() in body for body in bodies)
        kept = [keys.keys_of(session).name_kept(each, name).hex() for each in session.scalars(select(Ban.digest))]
        assert len(set(kept)) == 3, "for each address another"
        assert all(sum(each in body for body in bodies) == 1 for each in set(kept))
