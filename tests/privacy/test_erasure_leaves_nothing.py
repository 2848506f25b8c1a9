"""After an erasure neither the address nor the name is anywhere: not in the files of the database, a dump, the data
folder or the logs; nor is the unkeyed SHA-1, SHA-256 or MD5 of either."""

from __future__ import annotations

import base64
import quopri
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

import servers
from conftest import NOW
from mailinglist import db
from mailinglist.consent import (
    address,
    bans,
    bans_by_name,
    import_errand,
    import_jobs,
    names,
    notes,
    registrar,
    verification,
)
from mailinglist.consent.registrar import Told
from mailinglist.consent.states import ALL_CHANNELS, Channel
from mailinglist.consent.tables import ImportJob, Person
from mailinglist.delivery import bounces, handoffs
from mailinglist.delivery.verdicts import Verdict
from mailinglist.inbound import spool
from mailinglist.inbound.tables import OWNER, Spooled
from mailinglist.local.catcher.store import Store
from mailinglist.privacy import disclosures, leftovers, rights, tasks
from mailinglist.settings import Settings
from mailinglist.staff.audit import Actor
from making import ask, person, the_list
from searching import found

NAME = "Xaver Nimikäinen"
FIRST, WRITTEN = "Matti.Vanhanen@Example.fi", "Matti.Meikalainen@Example.fi"
OTHER, OWNERS = "somebody.else@example.fi", "owner@example.org"
FILES = f"email,name\n{WRITTEN},{NAME}\n{OTHER},Else\n", f"email\n{WRITTEN.upper()}\n"
"""What is taken in: of one with few people in it anybody could try a plain digest."""
TOLD = Told("phone", f"{WRITTEN} rang", date(2026, 11, 1), "Maija")


@pytest.fixture
def postgres(request: pytest.FixtureRequest, app: Flask) -> servers.Postgres | None:
    return request.getfixturevalue("postgres_server") if db.db.engine.dialect.name == "postgresql" else None


@pytest.fixture
def caught(settings: Settings, app: Flask) -> Iterator[Store]:
    """The catcher's file, open as the running catcher has it, with mails to all of them."""
    with Store(settings.data_dir / "catcher" / "mails.db") as store:
        for mailbox in (FIRST, WRITTEN, OTHER):
            body = f"Hei {mailbox}, tämä on sinulle."
            encoded = {
                "base64": base64.encodebytes(body.encode()),
                "quoted-printable": quopri.encodestring(body.encode()),
            }
            for encoding, text in encoded.items():
                head = f"From: a@example.fi\nTo: {mailbox}\nSubject: x\nContent-Transfer-Encoding: {encoding}\n\n"
                store.add("bounce@example.fi", [mailbox], head.encode() + text)
        # What somebody wrote to us was sent on to the list's owner (`inbound.forward`).
        for number, mailbox in enumerate((FIRST, WRITTEN, OTHER), 1):
            head = f"To: {OWNERS}\r\nMessage-ID: <mail-{number}@lists.example.fi>\r\n"
            store.add("", [OWNERS], f"{head}Reply-To: {mailbox}\r\n\r\n> {mailbox} asks\r\n".encode())
            report = base64.encodebytes(f"No such user: {mailbox}.".encode()).decode()
            store.add("", [OWNERS], f"{head}Content-Transfer-Encoding: base64\r\n\r\n{report}".encode())
        yield store


def work() -> None:
    while import_errand.go_on(stop=lambda: False):
        pass


def live(mailbox: str) -> int:
    """A life on the list: banned before they were known, allowed again, joined, mailed, refused by their server,
    corrected, noted, brought in by a file, and told of to an authority. Their number."""
    found_by = address.parse(WRITTEN)
    with db.transaction() as session:
        origin = {"source": f"{WRITTEN} wrote", "client": "192.0.2.9"}
        digest = bans.digests(session, found_by)[0]
        bans.add(session, digest, ALL_CHANNELS, source=f"letter of {WRITTEN}", origin=origin, now=NOW)
        bans.lift(
            session, found_by, [Channel.EMAIL, Channel.DISCLOSURE], evidence=f"{WRITTEN} rang", who="Maija", now=NOW
        )
        number = person(session, FIRST, now=NOW).id
        row = the_list(session)
        registrar.correct_address(session, number, found_by, TOLD, now=NOW)
        registrar.correct_details(session, number, TOLD, name=NAME, language="sv", now=NOW)
        notes.add(session, number, "note", f"{WRITTEN} was {FIRST}", on=NOW, who="Maija", now=NOW)
        handoffs.enqueue(session, kind="bulletin", about=1, list_id=row.id, person_id=number, now=NOW)
        shift = handoffs.begin_shift(session, now=NOW)
        [claimed] = handoffs.claim(session, shift, kinds=["bulletin"], limit=1, now=NOW)
        words = f"550 5.1.1 <{WRITTEN}>: {WRITTEN.partition('@')[0]} unknown"
        handoffs.settle(session, shift, [handoffs.Settled(claimed.id, "rejected", NOW, code=550, reply=words)])
        bounces.note(session, claimed.id, Verdict.DEAD, words=f"{WRITTEN.partition('@')[0]} unknown", now=NOW)
        # The last by a forwarder that has a return path of its own, when nobody knew whose it is.
        for sender, known in ((WRITTEN, None), ("", number), ("srs0=x@forwarder.example", None)):
            raw = f"From: {WRITTEN}\r\n\r\n{sender} says hello\r\n".encode()
            spool.keep(session, recipient="x-owner@x.fi", sender=sender, via="pipe", raw=raw, now=NOW)
            came = session.scalars(select(Spooled).where(Spooled.sender == sender)).one()
            spool.done(came, state=OWNER, kind="other", outcome="owner", person_id=known, now=NOW)
            session.flush()
        # A server's report at an address that names no mail of ours: for a person to read.
        report = f"From: MAILER-DAEMON@mx.example\r\n\r\nFinal-Recipient: rfc822; {WRITTEN.lower()}\r\n".encode()
        spool.keep(session, recipient="x-owner@x.fi", sender="", via="pipe", raw=report, now=NOW + timedelta(1))
        came = session.scalars(select(Spooled).where(Spooled.received_at > NOW)).one()
        spool.done(came, state=OWNER, kind="bounce", outcome="unnamed-bounce", person_id=None, now=NOW)
        tasks.open(session, "other", person_id=number, words=f"{WRITTEN} asks", due_at=NOW, now=NOW)
        disclosures.note(
            session, [number], recipient="Tax office", basis="Act 1558/1995, section 19", fields=["address"],
            reference="T/17", by=Actor(None, "root", ""), now=NOW,
        )  # fmt: skip
    ask_again(mailbox)
    for data in FILES:
        with db.transaction() as session:
            job = import_jobs.upload(session, the_list(session), data.encode(), file_name="f.csv", who="Maija", now=NOW)
            meanings = ["email", "name"][: len(job.columns)]
            import_jobs.check(session, job.id, meanings=meanings, basis="consent", source="the old program")
        work()
    with db.transaction() as session:
        import_jobs.start(session, 1, who="Maija")
    work()
    return number


def ask_again(mailbox: str) -> None:
    """One more request, taken by the worker; and one that it has not taken yet."""
    with db.transaction() as session:
        ask(session, mailbox, now=NOW + timedelta(minutes=11))


def test_nothing_is_found_anywhere(
    app: Flask, settings: Settings, postgres: servers.Postgres | None, caught: Store, tmp_path: Path
) -> None:
    number = live(WRITTEN)
    before = found(settings, postgres, WRITTEN)
    assert any("mails.db" in place for place in before)
    assert any("persons" in place or "mailinglist.db" in place for place in before)
    assert found(settings, postgres, FIRST), "in a note, and in the catcher"
    assert found(settings, postgres, NAME)
    assert leftovers.cut(db.db.engine)  # what is deleted lies in the file itself, too
    with db.transaction() as session:
        erasure = rights.erase(session, address.parse(WRITTEN.upper()), NOW + timedelta(hours=1))
    assert found(settings, postgres, WRITTEN) == []
    assert found(settings, postgres, FIRST) == []
    for name in (NAME, names.key(NAME), *FILES):
        assert found(settings, postgres, name) == []
    assert found(settings, postgres, OTHER), "others stay, and this test finds what there is"
    assert [each.to for each in caught.newest()] == [[OWNERS]] * 2 + [[OTHER]] * 2
    assert erasure.recipients == ("Tax office",)
    with db.transaction() as session:
        assert list(verification.verify(session)) == []
        [task] = tasks.waiting(session)
        assert (task.kind, task.person_id) == ("tell_recipient", number)
        assert "T/17" in task.words
        assert bans.check(session, address.parse(WRITTEN)).channels == ("post", "phone")
        assert bans_by_name.check(session, NAME).channels == ("post", "phone"), "by its keyed digest"
        assert [job.trouble for job in session.query(ImportJob).order_by(ImportJob.id)] == [
            None, "it named somebody who was erased since",
        ]  # fmt: skip


def test_who_was_erased_does_not_come_back_by_an_import(app: Flask) -> None:
    from mailinglist.consent import transfer
    from mailinglist.consent.states import Basis

    with db.transaction() as session:
        person(session, WRITTEN, now=NOW)
        digest = bans.digests(session, address.parse(OTHER))[0]
        person(session, OTHER, now=NOW)
        bans.add(session, digest, ALL_CHANNELS, source="phone", now=NOW)
        for each in (WRITTEN, OTHER):
            rights.erase(session, address.parse(each), NOW)
    data = f"email\n{WRITTEN}\n{OTHER}\n".encode()
    with db.transaction() as session:
        consignment = transfer.read(data, basis=Basis.CONSENT, source="the old program", file="old.csv")
        report = transfer.take_in(session, the_list(session), consignment, who="root", now=NOW)
        assert [refusal.reason.partition(":")[0] for refusal in report.refused] == ["left", "banned"]
        assert session.query(Person).count() == 0
