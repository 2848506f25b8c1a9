from __future__ import annotations

import csv
import hashlib
import io
import threading
from datetime import timedelta

import pytest
from flask import Flask

from conftest import NOW
from mailinglist import db
from mailinglist.consent import (
    address,
    bans,
    confirming,
    intake,
    keys,
    proof,
    register,
    register_many,
    requests,
    transfer,
    verification,
)
from mailinglist.consent.people import look_up
from mailinglist.consent.states import Basis, Channel, State
from mailinglist.consent.tables import KeyCheck
from mailinglist.errors import BadInput, RegisterUnsound
from mailinglist.privacy import rights
from making import ORIGIN, ask, leave_token, letter, person, the_list


def file(*rows: tuple[str, ...], columns: str = "email,name,language,sale_reference") -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([columns.split(","), *rows])
    return text.getvalue().encode()


def take_in(session, data: bytes, basis: Basis = Basis.CONSENT, source: str = "the old program", now=NOW):
    consignment = transfer.read(data, basis=basis, source=source, file="old.csv")
    return transfer.take_in(session, the_list(session), consignment, who="maija", now=now)


def stands(session, mailbox: str):
    (standing,) = look_up(session, address.parse(mailbox)).subscriptions
    return standing.state, standing.basis


def history(session, mailbox: str):
    return proof.prove(session, address.parse(mailbox).folded)


def test_people_are_active_at_once_with_their_provenance_and_without_a_letter(app: Flask, bells: list[frozenset[str]]):
    data = file(("Matti@Example.fi", "Matti", "sv", "A1"), ("maija@example.fi",))
    with db.transaction() as session:
        report = take_in(session, data, Basis.ORGANISATION)
    assert (report.added, report.updated, report.unchanged, report.refused) == (2, 0, 0, ())
    with db.reading() as session:
        assert stands(session, "matti@example.fi") == ("active", "organisation")
        found = register.find(session, address.parse("matti@example.fi"))
        assert found is not None
        assert (found.mailbox, found.name, found.language) == ("Matti@example.fi", "Matti", "sv")
        standing = register.subscription(session, found.id, the_list(session).id)
        assert standing is not None
        assert (standing.source, standing.sale_reference, standing.since) == ("import: the old program", "A1", NOW)
        (entry,) = history(session, "matti@example.fi")
        assert (entry["event"], entry["basis"], entry["source"], entry["state"]) == (
            "imported", "organisation", "import", "active",
        )  # fmt: skip
        evidence = entry["evidence_content"]
        assert evidence["source"] == "the old program"
        assert evidence["recorded_by"] == "maija"
        plain = hashlib.sha256(data).digest()
        assert evidence["file_digest"] == keys.keys_of(session).file(plain).hex()
        assert plain.hex() not in str(evidence), "whoever guesses a file of one person could see it"
        assert requests.letters_due(session, limit=10) == []
        assert confirming.welcomes_due(session, limit=10) == []
        assert list(verification.verify(session)) == []
    assert bells == []


def test_taken_in_again_nothing_changes(app: Flask):
    data = file(("a@example.fi", "A", "fi", ""))
    with db.transaction() as session:
        take_in(session, data)
    with db.transaction() as session:
        report = take_in(session, data)
        assert (report.added, report.updated, report.unchanged) == (0, 0, 1)
        assert len(history(session, "a@example.fi")) == 1


def test_corrections_carry_their_source(app: Flask):
    with db.transaction() as session:
        take_in(session, file(("a@example.fi", "A", "fi", "")))
        report = take_in(session, file(("A@example.fi", "Aino", "sv", "")), source="the post office")
        assert report.updated == 1
        found = register.find(session, address.parse("a@example.fi"))
        assert found is not None
        session.refresh(found)
        assert (found.name, found.language, found.mailbox) == ("Aino", "sv", "a@example.fi")
        assert [entry["evidence_content"]["source"] for entry in history(session, "a@example.fi")] == [
            "the old program",
            "the post office",
        ]


def test_empty_cells_take_nothing_away(app: Flask):
    with db.transaction() as session:
        take_in(session, file(("a@example.fi", "A", "sv", "7")), Basis.CUSTOMER)
        assert take_in(session, file(("a@example.fi",)), Basis.ORGANISATION).updated == 1
        found = register.find(session, address.parse("a@example.fi"))
        assert found is not None
        assert (found.name, found.language) == ("A", "sv")
        standing = register.subscription(session, found.id, the_list(session).id)
        assert standing is not None
        assert (standing.basis, standing.sale_reference) == ("organisation", "7")


def test_consent_that_a_person_gave_stands(app: Flask):
    with db.transaction() as session:
        made = person(session, "a@example.fi", now=NOW)
        before = register.subscription(session, made.id, the_list(session).id)
        assert before is not None
        text, since = before.text_id, before.since
        report = take_in(session, file(("a@example.fi", "", "", "S1")), Basis.CUSTOMER, now=NOW + timedelta(days=1))
        assert report.unchanged == 1
        after = register.subscription(session, made.id, the_list(session).id)
        assert after is not None
        assert (after.basis, after.text_id, after.since, after.sale_reference) == ("consent", text, since, None)


def test_pending_becomes_active_and_the_open_letter_does_no_harm(app: Flask):
    with db.transaction() as session:
        confirm, _ = letter(session, ask(session, "a@example.fi", now=NOW), now=NOW)
        assert take_in(session, file(("a@example.fi",))).updated == 1
        assert stands(session, "a@example.fi") == ("active", "consent")
        assert confirming.confirm(session, confirm, origin=ORIGIN, now=NOW).door is confirming.Door.DONE
        assert list(verification.verify(session)) == []


@pytest.mark.parametrize(("state", "word"), [(State.LEFT, "left: "), (State.UNDELIVERABLE, "undeliverable: ")])
def test_who_left_or_can_not_be_reached_is_refused(app: Flask, state: State, word: str):
    with db.transaction() as session:
        person(session, "a@example.fi", now=NOW, state=state)
        before = history(session, "a@example.fi")
        report = take_in(session, file(("b@example.fi",), ("a@example.fi", "Renamed")))
        assert report.added == 1
        assert report.refused[0].line == 3
        assert report.refused[0].reason.startswith(word)
        assert stands(session, "a@example.fi")[0] == state
        assert history(session, "a@example.fi") == before
        found = register.find(session, address.parse("a@example.fi"))
        assert found is not None
        assert found.name is None


@pytest.mark.parametrize("mailbox", ["a@example.fi", "A@example.fi"])
@pytest.mark.parametrize("known", [True, False])
def test_who_is_banned_is_refused_and_the_ban_stands(app: Flask, mailbox: str, known: bool):
    with db.transaction() as session:
        if known:
            person(session, "a@example.fi", now=NOW)
        digest = keys.keys_of(session).digest(mailbox)
        bans.add_many(session, [digest], [Channel.EMAIL], source="a list of SHA-256", now=NOW)
        report = take_in(session, file((mailbox,)))
        assert report.added == report.updated == report.unchanged == 0
        assert report.refused[0].reason.startswith("banned: ")
        assert bans.check(session, address.parse(mailbox)).channels == ("email",)


def test_a_ban_of_another_channel_does_not_stop_an_import(app: Flask):
    with db.transaction() as session:
        digest = keys.keys_of(session).digest("a@example.fi")
        bans.add(session, digest, [Channel.POST], source="phone", now=NOW)
        assert take_in(session, file(("a@example.fi",))).added == 1
        assert [entry["event"] for entry in history(session, "a@example.fi")] == ["banned", "imported"]
        assert list(verification.verify(session)) == []


def test_who_left_and_was_erased_is_not_brought_back(app: Flask):
    with db.transaction() as session:
        person(session, "left@example.fi", now=NOW, state=State.LEFT)
        person(session, "active@example.fi", now=NOW)
        for mailbox in ("left@example.fi", "active@example.fi"):
            rights.erase(session, address.parse(mailbox), NOW)
        report = take_in(session, file(("left@example.fi",), ("active@example.fi",)))
        assert [(refusal.line, refusal.reason[:5]) for refusal in report.refused] == [(2, "left:"), (3, "left:")]
        for mailbox in ("left@example.fi", "active@example.fi"):  # to be erased is to leave
            assert register.find(session, address.parse(mailbox)) is None
        assert list(verification.verify(session)) == []
        # The person themselves may come back, by the form.
        confirm, _ = letter(session, ask(session, "left@example.fi", now=NOW), now=NOW)
        confirming.confirm(session, confirm, origin=ORIGIN, now=NOW)
        assert stands(session, "left@example.fi")[0] == "active"


def test_refusals_come_in_the_order_of_the_file(app: Flask):
    with db.transaction() as session:
        person(session, "z@example.fi", now=NOW, state=State.LEFT)
        bans.add(session, keys.keys_of(session).digest("a@example.fi"), [Channel.EMAIL], source="phone", now=NOW)
        report = take_in(session, file(("z@example.fi",), ("nonsense",), ("a@example.fi",)))
    assert [refusal.line for refusal in report.refused] == [2, 3, 4]


def test_groups_are_taken_in_alike(app: Flask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(register_many, "GROUP", 7)
    data = file(*((f"p{n}@example.fi", f"P {n}") for n in range(50)))
    done: list[int] = []
    with db.transaction() as session:
        consignment = transfer.read(data, basis=Basis.CONSENT, source="old", file="x")
        row = the_list(session)
        report = transfer.take_in(session, row, consignment, who="maija", now=NOW, progress=done.append)
        assert report.added == 50
    assert done == [7] * 7 + [1]
    with db.reading() as session:
        assert list(verification.verify(session)) == []


def test_nothing_is_half_done(app: Flask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(register_many, "GROUP", 2)
    consignment = transfer.read(
        file(*((f"p{n}@example.fi",) for n in range(5))), basis=Basis.CONSENT, source="old", file="x"
    )

    def break_off(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), db.transaction() as session:
        transfer.take_in(session, the_list(session), consignment, who="maija", now=NOW, progress=break_off)
    with db.reading() as session:
        assert register.find(session, address.parse("p0@example.fi")) is None
        assert list(verification.verify(session)) == []


def test_without_a_source_there_is_no_import():
    with pytest.raises(BadInput, match="source"):
        transfer.read(file(("a@example.fi",)), basis=Basis.CONSENT, source="  ", file="x")


def test_with_a_wrong_ban_key_there_is_no_import(app: Flask):
    with db.transaction() as session:
        session.get_one(KeyCheck, "ban").value = b"another"
        session.flush()
        with pytest.raises(RegisterUnsound):
            take_in(session, file(("a@example.fi",)))


def test_an_import_and_sign_ups_of_the_same_people_do_not_harm_each_other(app: Flask):
    """A worker takes requests of people whom an import brings at the same time: nobody is there twice, none is lost."""
    mailboxes = [f"p{n:03}@example.fi" for n in range(120)]
    with db.transaction() as session:
        for mailbox in mailboxes[::3]:
            intake.write_down(
                session,
                the_list(session),
                address.parse(mailbox),
                entrance="web",
                language="fi",
                origin=ORIGIN,
                now=NOW,
            )
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with app.app_context():
                while True:
                    with db.transaction() as session:
                        if not requests.take(session, limit=10, now=NOW):
                            return
        except BaseException as error:
            errors.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    with db.transaction() as session:
        report = take_in(session, file(*((mailbox,) for mailbox in reversed(mailboxes))))
    worker.join(60)
    assert not worker.is_alive()
    assert errors == []
    assert report.refused == ()
    with db.reading() as session:
        assert all(stands(session, mailbox)[0] == "active" for mailbox in mailboxes)
        assert list(verification.verify(session)) == []


def test_leaving_after_an_import_holds_against_the_next(app: Flask):
    with db.transaction() as session:
        take_in(session, file(("a@example.fi",)))
        made = register.find(session, address.parse("a@example.fi"))
        assert made is not None
        register.leave(session, leave_token(session, made), origin=ORIGIN, now=NOW)
        assert take_in(session, file(("a@example.fi",))).refused[0].reason.startswith("left: ")
