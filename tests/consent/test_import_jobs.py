from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from conftest import NOW
from mailinglist import db
from mailinglist.consent import (
    address,
    import_errand,
    import_jobs,
    lists,
    proof,
    register,
    register_many,
    sheet,
    verification,
)
from mailinglist.consent.people import look_up
from mailinglist.consent.states import State
from mailinglist.consent.tables import Evidence, ImportJob
from mailinglist.errors import BadInput, NotAllowed, Unknown
from making import person, the_list

FILE = "Sähköposti;Nimi;Kenkä\nMatti@example.fi;Matti;45\nnonsense;;\nleft@example.fi;Lassi;40\n;;\n".encode()
MEANINGS = ("email", "name", "ignore")


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "utcnow", lambda: NOW)


def upload(data: bytes = FILE, name: str = "C:\\files\\old.csv") -> int:
    with db.transaction() as session:
        return import_jobs.upload(session, the_list(session), data, file_name=name, who="maija", now=NOW).id


def checked(data: bytes, meanings=("email",)) -> int:
    job_id = upload(data)
    with db.transaction() as session:
        import_jobs.check(session, job_id, meanings=meanings, basis="consent", source="the old program")
    work()
    return job_id


def start(job_id: int) -> None:
    with db.transaction() as session:
        import_jobs.start(session, job_id, who="liisa")


def work() -> None:
    while import_errand.go_on(stop=lambda: False, seconds=0.05):
        pass


def job_of(job_id: int) -> import_jobs.Job:
    with db.reading() as session:
        return import_jobs.find(session, job_id)


def counts(job: import_jobs.Job) -> tuple[int, ...]:
    return job.lines, job.done, job.added, job.updated, job.unchanged, job.refused


def many(number: int) -> bytes:
    return ("email\n" + "".join(f"p{n:04}@example.fi\n" for n in range(number))).encode()


def test_from_upload_to_the_result(app: Flask, bells: list[frozenset[str]]):
    with db.transaction() as session:
        person(session, "left@example.fi", now=NOW, state=State.LEFT)
    bells.clear()
    job_id = upload()
    job = job_of(job_id)
    assert (job.state, job.file_name, job.lines) == ("uploaded", "old.csv", 3)
    assert job.columns == (
        sheet.Column("Sähköposti", "email", ("Matti@example.fi", "nonsense", "left@example.fi")),
        sheet.Column("Nimi", "name", ("Matti", "Lassi")),
        sheet.Column("Kenkä", "ignore", ("45", "40")),
    )
    with db.transaction() as session:
        import_jobs.check(session, job_id, meanings=MEANINGS, basis="consent", source=" the old program ")
        with pytest.raises(NotAllowed, match="not been looked through"):
            import_jobs.start(session, job_id, who="liisa")
    assert bells == [frozenset({db.IMPORTS})]
    work()
    rehearsed = job_of(job_id)
    assert rehearsed.state == "checked"
    assert counts(rehearsed) == (3, 3, 1, 0, 0, 2)
    assert [refusal.line for refusal in rehearsed.refusals] == [3, 4]
    assert rehearsed.refusals[1].reason.startswith("left: ")
    with db.reading() as session:
        assert register.find(session, address.parse("matti@example.fi")) is None
    start(job_id)
    work()
    done = job_of(job_id)
    assert (done.state, done.who, done.refusals, counts(done)) == (
        "done", "liisa", rehearsed.refusals, counts(rehearsed),
    )  # fmt: skip
    assert done.finished_at is not None
    assert done.columns[0] == sheet.Column("Sähköposti", "email", ()), "no samples are kept"
    with db.reading() as session:
        assert session.scalars(select(ImportJob.file)).one() is None
        assert look_up(session, address.parse("matti@example.fi")).subscriptions[0].state == "active"
        (entry,) = proof.prove(session, "matti@example.fi")
        assert (entry["evidence_content"]["recorded_by"], entry["evidence_content"]["file"]) == ("liisa", "old.csv")
        assert list(verification.verify(session)) == []


@pytest.mark.parametrize("data", [b"", "email,nimi\na@example.fi,\xe4".encode("latin-1"), b"a@example.fi\n",
                                  b"email,Password\na@example.fi,x\n", b"email;Luottokortti\n"])  # fmt: skip
def test_a_file_that_can_not_be_taken_is_not_kept(app: Flask, data: bytes):
    with pytest.raises(BadInput):
        upload(data)
    with db.reading() as session:
        assert session.scalar(select(ImportJob.id)) is None


@pytest.mark.parametrize(
    ("meanings", "basis", "source", "words"),
    [
        (("name", "ignore", "ignore"), "consent", "x", "must be the e-mail"),
        (("email", "email", "ignore"), "consent", "x", "mean the same"),
        (("email", "name"), "consent", "x", "Each column"),
        (("email", "name", "shoe"), "consent", "x", "Each column"),
        (MEANINGS, "consent", " ", "source"),
        (MEANINGS, "consent", "x" * 191, "190"),
        (MEANINGS, "guess", "x", "rests on"),
        (MEANINGS, "customer", "x", "sale reference"),
    ],
)
def test_what_staff_must_say(app: Flask, meanings: tuple[str, ...], basis: str, source: str, words: str):
    job_id = upload()
    with db.transaction() as session, pytest.raises(BadInput, match=words):
        import_jobs.check(session, job_id, meanings=meanings, basis=basis, source=source)
    assert job_of(job_id).state == "uploaded"


def test_a_fault_on_the_way_fails_the_file_in_words(app: Flask, monkeypatch: pytest.MonkeyPatch):
    job_id = upload(b"email\na@example.fi\nb@example.fi\n")
    monkeypatch.setattr(sheet, "MAX_LINES", 2)  # found only when it is read again
    with db.transaction() as session:
        import_jobs.check(session, job_id, meanings=("email",), basis="consent", source="x")
    work()
    job = job_of(job_id)
    assert job.state == "failed"
    assert "more than 2 lines" in (job.trouble or "")


def test_refusals_are_counted_and_the_first_thousand_kept(app: Flask):
    job = job_of(checked(("email\n" + "nonsense\n" * 1200 + "ok@example.fi\n").encode()))
    assert counts(job) == (1201, 1201, 1, 0, 0, 1200)
    assert [refusal.line for refusal in job.refusals] == list(range(2, 1002))


def test_what_is_corrected_is_said_line_by_line_before_and_after(app: Flask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(import_jobs, "KEPT_REFUSALS", 3)
    with db.transaction() as session:
        lists.set_value(session, the_list(session), "language", "sv", now=NOW)
        for name in ("a", "b", "c"):
            person(session, f"{name}@example.fi", now=NOW)
        person(session, "e@example.fi", now=NOW, state=State.PENDING)
    rows = ("a@example.fi,Aino,ruotsi", "b@example.fi,,suomi", "nonsense,,", "c@example.fi,,fr", "d@example.fi,,fr",
            "e@example.fi,,", "f@example.fi,,", "g@example.fi,Gun,en-GB")  # fmt: skip
    job_id = checked(("email,name,language\n" + "\n".join(rows)).encode(), ("email", "name", "language"))
    said = {
        2: ("new name", "new language"),
        5: ("unknown language: mails go out in Finnish",),
        6: ("unknown language: mails go out in Swedish",),
    }
    for state in ("checked", "done"):
        job = job_of(job_id)
        assert (job.state, counts(job)) == (state, (8, 8, 3, 2, 2, 1))
        assert {remark.line: remark.words for remark in job.remarks} == said, "the first three of four"
        assert [refusal.line for refusal in job.refusals] == [4]
        if state == "checked":
            monkeypatch.setattr(import_jobs, "KEPT_REFUSALS", 4)
            said[7] = ("waited for a confirmation, and is put on the list",)
            start(job_id)
            work()
    with db.reading() as session:
        found = [register.find(session, address.parse(f"{name}@example.fi")) for name in "abcdefg"]
        assert [each.language for each in found if each] == ["sv", "fi", "fi", "sv", "fi", "sv", "en"]


def test_a_killed_worker_is_followed_by_one_that_doubles_nothing(app: Flask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(register_many, "GROUP", 40)
    data = many(200) + b"nonsense\np0001@example.fi\n"
    job_id = checked(data)
    start(job_id)
    now = NOW
    monkeypatch.setattr(db, "utcnow", lambda: now)
    while job_of(job_id).done < 82:  # 2 refused, two groups
        assert import_errand.go_on(stop=lambda: False, seconds=0)
    app.extensions.pop("mailinglist_import")  # the process dies
    half = job_of(job_id)
    assert (half.state, half.added) == ("running", half.done - 2)
    assert import_errand.go_on(stop=lambda: False) is False, "while the other one may be alive, nobody goes on"
    now = NOW + import_jobs.STALE + timedelta(seconds=1)
    work()
    job = job_of(job_id)
    assert (job.state, counts(job)) == ("done", (202, 202, 200, 0, 0, 2))
    with db.reading() as session:
        assert len(proof.prove(session, "p0001@example.fi")) == 1
        assert len(session.scalars(select(Evidence.id).where(Evidence.person_id.is_(None))).all()) == 1
        assert list(verification.verify(session)) == []


def test_a_worker_that_was_thought_dead_stops(app: Flask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(register_many, "GROUP", 40)
    job_id = checked(many(200))
    start(job_id)
    now = NOW
    monkeypatch.setattr(db, "utcnow", lambda: now)
    while not job_of(job_id).done:
        assert import_errand.go_on(stop=lambda: False, seconds=0)
    slow = app.extensions.pop("mailinglist_import")["errand"]
    now = NOW + import_jobs.STALE + timedelta(seconds=1)
    assert import_errand.go_on(stop=lambda: False, seconds=0)
    before = job_of(job_id).done
    assert slow.go_on(1e12, lambda: False) is False
    assert job_of(job_id).done == before
    work()
    assert counts(job_of(job_id)) == (200, 200, 200, 0, 0, 0)


def test_an_import_lets_others_write_between_its_pieces(app: Flask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(register_many, "GROUP", 20)
    job_id = checked(many(100))
    start(job_id)
    written = 0
    while import_errand.go_on(stop=lambda: False, seconds=0):
        with db.transaction() as session:  # no lock is held from one piece to the next
            person(session, f"web{written}@example.fi", now=NOW)
        written += 1
    assert written >= 4
    assert job_of(job_id).added == 100


def test_giving_up_and_what_nobody_decides_about(app: Flask, monkeypatch: pytest.MonkeyPatch):
    job_id, other, running = upload(), upload(), checked(b"email\na@example.fi\n")
    with db.transaction() as session:
        import_jobs.give_up(session, job_id, who="maija", now=NOW)
        with pytest.raises(NotAllowed):
            import_jobs.check(session, job_id, meanings=MEANINGS, basis="consent", source="x")
        with pytest.raises(Unknown):
            import_jobs.find(session, 4711)
        assert [job.id for job in import_jobs.recent(session, the_list(session).id)] == [running, other, job_id]
        assert [job.id for job in import_jobs.recent(session, the_list(session).id, before_id=running, limit=1)] == [
            other
        ]
        assert import_jobs.drop_abandoned(session, before=NOW - timedelta(days=1), now=NOW) == 0
        assert import_jobs.abandoned(session, before=NOW + timedelta(days=1)) == 2
        assert import_jobs.drop_abandoned(session, before=NOW + timedelta(days=1), now=NOW) == 2
        assert session.scalars(select(ImportJob.file)).all() == [None] * 3
    monkeypatch.setattr(import_jobs, "MAX_FILES", 1)
    upload()
    with pytest.raises(NotAllowed, match="Many files"):
        upload()


def test_where_every_line_is_refused_there_is_nothing_to_start(app: Flask):
    job_id = checked(b"email\nnonsense\n")
    with db.transaction() as session, pytest.raises(NotAllowed, match="nobody to take in"):
        import_jobs.start(session, job_id, who="liisa")
