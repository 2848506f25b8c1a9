"""The journal of opt-outs: on disk before the commit, whole under any number of hands, and telling of every injury."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import func, select

from commanding import ROOT, environment
from conftest import NOW, SECRETS
from mailinglist import db
from mailinglist.consent import address, bans, journal, journal_file, register, registrar
from mailinglist.consent.journal_file import Journal
from mailinglist.consent.keys import Keys
from mailinglist.consent.states import ALL_CHANNELS, Channel
from mailinglist.consent.tables import Ban, JournalBacklog, JournalMark, LedgerEntry
from mailinglist.privacy import rights
from mailinglist.settings import SETTINGS
from making import ORIGIN, leave_token, person, the_list

KEYS = Keys(SECRETS["ban_key"].encode())
SOMEBODY = KEYS.digest("matti@example.fi")


def a_journal(folder: Path) -> Journal:
    return Journal(folder / "journal", folder / "head" / "journal.head", KEYS)


def line(number: int) -> dict[str, object]:
    return {"what": "left", "given": "2026-11-02T09:30:00.000000Z", "who": [f"{number:064x}"], "list": "uutiset"}


def written(folder: Path, count: int = 5) -> Journal:
    made = a_journal(folder)
    for number in range(count):
        made.append([line(number)])
    return made


def file_lines(made: Journal) -> list[bytes]:
    return made.path.read_bytes().splitlines(keepends=True)


# ── what is noted ─────────────────────────────────────────────────────────────────────────────────────────────────────


def noted(session) -> list[tuple[str, str | None, tuple[str, ...]]]:
    reading = journal_file.read(journal.journal_of(session))
    assert reading.problems == []
    return [(each.what, each.list, each.channels) for each in reading.lines]


def test_each_opt_out_is_a_line_by_keyed_digest_alone(app: Flask) -> None:
    with db.transaction() as session:
        made = person(session, "Matti@Example.fi", now=NOW)
        digest, token = made.digest, leave_token(session, made)
        slug = the_list(session).slug
    with db.transaction() as session:
        register.leave(session, token, origin=ORIGIN, ban=[Channel.EMAIL], now=NOW + timedelta(hours=1))
    with db.transaction() as session:  # said twice, it is still one
        register.leave(session, token, origin=ORIGIN, ban=[Channel.EMAIL], now=NOW + timedelta(hours=2))
        bans.lift(session, address.parse("matti@example.fi"), [Channel.EMAIL], evidence="rang", who="Maija", now=NOW)
        rights.erase(session, address.parse("matti@example.fi"), NOW + timedelta(hours=3))
        lines = noted(session)
    with db.reading() as session:
        lines = noted(session)
        reading = journal_file.read(journal.journal_of(session))
    assert lines == [
        ("confirmed", slug, ()),
        ("left", slug, ()),
        ("banned", None, ("email",)),
        ("ban_lifted", None, ("email",)),
        ("erased", None, ()),
    ]
    assert {each.who for each in reading.lines} == {(digest,)}
    assert reading.lines[1].given == NOW + timedelta(hours=1)
    raw = reading.path.read_bytes()
    assert b"matti" not in raw.lower()
    assert b"example" not in raw


def test_a_corrected_address_leads_from_the_old_digest_to_the_new(app: Flask) -> None:
    told = registrar.Told("phone", "rang, and spelt it", NOW.date(), "Maija")
    with db.transaction() as session:
        made = person(session, "matti@example.fi", now=NOW)
        registrar.correct_address(session, made.id, address.parse("matti@example.com"), told, now=NOW)
    with db.reading() as session:
        last = journal_file.read(journal.journal_of(session)).lines[-1]
    assert (last.what, last.who, last.to) == ("moved", (SOMEBODY,), KEYS.digest("matti@example.com"))


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_an_import_of_bans_is_written_in_pieces(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs: list[int] = []
    sync = os.fdatasync

    def counted(file: int) -> None:
        syncs.append(file)
        sync(file)

    monkeypatch.setattr(os, "fdatasync", counted)
    digests = [KEYS.digest(f"p{number}@example.fi") for number in range(1500)]
    with db.transaction() as session:
        bans.add_many(session, digests, ALL_CHANNELS, source="a list", now=NOW)
    with db.reading() as session:
        reading = journal_file.read(journal.journal_of(session))
    assert sorted(digest for each in reading.lines for digest in each.who) == sorted(digests)
    assert len(reading.lines) <= 3
    assert len(syncs) <= 4


def test_a_transaction_that_fails_before_its_end_leaves_no_line(app: Flask) -> None:
    with pytest.raises(RuntimeError), db.transaction() as session:
        bans.add(session, SOMEBODY, [Channel.EMAIL], source="told us", now=NOW)
        raise RuntimeError
    with db.reading() as session:
        assert journal_file.read(journal.journal_of(session)).lines == []


@pytest.mark.parametrize("databases", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)], indirect=True)
def test_the_line_is_on_disk_before_the_commit(app: Flask) -> None:
    """Killed between the two: the register knows nothing, and the journal does."""
    code = (
        "import os, signal, sys\n"
        "from mailinglist import db\n"
        "from mailinglist.app import create_app\n"
        "from mailinglist.consent import bans, journal\n"
        "from mailinglist.consent.states import Channel\n"
        "from mailinglist.settings import Settings\n"
        "app = create_app(Settings.load())\n"
        "def die(session):\n"
        "    journal.write(session)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "db.install(app, last_act=die)\n"
        "with app.app_context(), db.transaction() as session:\n"
        "    bans.add(session, bytes.fromhex(sys.argv[1]), [Channel.EMAIL], source='told us', now=db.utcnow())\n"
    )
    command = [sys.executable, "-c", code, SOMEBODY.hex()]
    done = subprocess.run(command, cwd=ROOT, env=environment(app.config[SETTINGS]), check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    with db.reading() as session:
        assert session.scalar(select(func.count()).select_from(Ban)) == 0
        assert session.scalar(select(func.count()).select_from(LedgerEntry)) == 0
        reading = journal_file.read(journal.journal_of(session))
    assert [(each.what, each.who) for each in reading.lines] == [("banned", (SOMEBODY,))]
    assert reading.problems == []


# ── when it can't be written ──────────────────────────────────────────────────────────────────────────────────────────


def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", refuse)


def test_a_full_disk_stops_no_opt_out_and_the_lines_follow(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    with db.transaction() as session:
        token = leave_token(session, person(session, "matti@example.fi", now=NOW))
    with monkeypatch.context() as patched:
        full_disk(patched)
        with db.transaction() as session:
            register.leave(session, token, origin=ORIGIN, ban=[Channel.EMAIL], now=NOW)
        with db.transaction() as session:
            assert bans.forbids_mail(session, [SOMEBODY], the_list(session))
            assert journal.standing(session).waiting == 2
            assert journal.catch_up(session) == 0
    with db.transaction() as session:
        assert journal.standing(session).waiting == 2
        assert journal.catch_up(session) == 2
    with db.transaction() as session:
        assert journal.catch_up(session) == 0
        assert journal.standing(session) == journal.Standing()
        assert session.scalar(select(func.count()).select_from(JournalBacklog)) == 0
        reading = journal_file.read(journal.journal_of(session))
    assert [each.what for each in reading.lines] == ["confirmed", "left", "banned"]
    assert reading.problems == []


def test_the_head_says_that_the_file_is_behind_until_it_is_not(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    now = db.utcnow()

    def behind() -> bool:
        with db.reading() as session:
            return journal.journal_of(session).head().behind is not None

    def forbid(number: int) -> None:
        with db.transaction() as session:
            bans.add(session, KEYS.digest(f"p{number}@example.fi"), [Channel.EMAIL], source="told us", now=NOW)

    forbid(1)
    append = Journal.append
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "append", lambda *_args, **_options: (_ for _ in ()).throw(OSError(errno.ENOSPC, "")))
        forbid(2)
        assert behind()
        with db.transaction() as session:
            assert journal.catch_up(session) == 0
    assert Journal.append is append
    forbid(3)  # the file takes lines again, and one still waits
    assert behind()
    with db.transaction() as session:
        assert journal.catch_up(session) == 1
    assert behind(), "another transaction may be about to commit"
    monkeypatch.setattr(db, "utcnow", lambda: now + timedelta(minutes=5))
    with db.transaction() as session:
        assert journal.catch_up(session) == 0
    assert not behind()
    with db.reading() as session:
        reading = journal_file.read(journal.journal_of(session))
    assert (len(reading.lines), reading.problems, reading.behind) == (3, [], None)


@pytest.mark.parametrize("torn", [0, 1])
def test_a_head_that_is_behind_is_so_whatever_tears_and_an_older_version_reads_it(tmp_path: Path, torn: int) -> None:
    made = written(tmp_path)
    before = made.head()
    made.fall_behind(now=NOW)
    head = tmp_path / "head" / "journal.head"
    whole = head.read_bytes()
    assert (made.head().position, made.head().behind) == (before.position, NOW)
    for slot in (0, 512):  # as the version before did it: any words, under the MAC of all of them
        said = json.loads(whole[slot : slot + 512])
        body = json.dumps(said["head"], sort_keys=True, separators=(",", ":")).encode()
        assert said["signed"] == KEYS.journal_mac(b"head" + body).hex()
        assert (said["head"]["journal"], said["head"]["n"]) == (before.position.journal, 6)
    head.write_bytes(whole[: torn * 512] + bytes(512) + whole[(torn + 1) * 512 :])
    assert made.head().behind == NOW
    head.write_bytes(whole)
    made.append([line(6)])
    assert (made.head().position.number, made.head().behind) == (7, NOW), "the next line goes on saying it"
    made.caught_up()
    assert (made.head().position.number, made.head().behind) == (7, None)
    made.fall_behind(now=NOW)
    made.append([line(7)], renew=True)
    assert made.head().behind is None, "a person accepted it"
    assert journal_file.read(made).problems == []


def test_half_a_line_on_a_full_disk_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = written(tmp_path)
    before = made.path.read_bytes()
    pwrite, writes = os.pwrite, []

    def half(file: int, data: memoryview, at: int) -> int:
        writes.append(at)
        if len(writes) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(file, data[: len(data) // 2], at)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", half)
        with pytest.raises(OSError, match="No space"):
            made.append([line(9)])
    assert made.path.read_bytes() == before
    assert journal_file.read(made).problems == []


def test_half_a_line_that_a_crash_left_is_no_line(tmp_path: Path) -> None:
    made = written(tmp_path)
    with made.path.open("ab") as file:
        file.write(b'{"after":"0123')
    assert journal_file.read(made).problems == []
    made.append([line(9)])
    reading = journal_file.read(made)
    assert reading.problems == []
    assert len(reading.lines) == 6


def test_a_head_that_could_not_follow_is_no_injury(tmp_path: Path) -> None:
    """A crash after the line and before the head: the line counts, and the next head names it."""
    made = written(tmp_path)
    head = tmp_path / "head" / "journal.head"
    before = head.read_bytes()
    made.append([line(9)])
    head.write_bytes(before)
    assert journal_file.read(made).problems == []
    made.append([line(10)])
    assert journal_file.read(made).problems == []
    assert made.head().position == made.tail()


# ── injuries ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _cut(lines: list[bytes]) -> list[bytes]:
    return lines[:-2]


def _alter(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[2].replace(b"uutiset", b"utiiset"), *lines[3:]]


def _forge(lines: list[bytes]) -> list[bytes]:
    said = json.loads(lines[2])
    said["who"] = ["ab" * 32]
    return [*lines[:2], json.dumps(said, sort_keys=True, separators=(",", ":")).encode() + b"\n", *lines[3:]]


INJURIES: dict[str, tuple[Callable[[list[bytes]], list[bytes]], str]] = {
    "cut": (_cut, "the end of the journal is missing, from line 5 on"),
    "emptied": (lambda _lines: [], "the journal is missing"),
    "beheaded": (lambda lines: lines[2:], "missing from the journal: lines 1 to 2"),
    "thinned": (lambda lines: [*lines[:2], *lines[3:]], "missing from the journal: line 3"),
    "altered": (_alter, "the journal was altered at its 3. line"),
    "forged": (_forge, "the journal was altered at its 3. line"),
    "swapped": (lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], "place that is not its own"),
    "doubled": (lambda lines: [*lines[:3], *lines[2:]], "place that is not its own"),
}


@pytest.mark.parametrize("name", INJURIES)
def test_every_injury_is_seen_and_the_next_line_does_not_hide_it(name: str, tmp_path: Path) -> None:
    injure, words = INJURIES[name]
    made = written(tmp_path)
    made.path.write_bytes(b"".join(injure(file_lines(made))))
    assert any(words in problem for problem in journal_file.read(made).problems), journal_file.read(made).problems
    made.append([line(9)])
    reading = journal_file.read(made)
    assert reading.problems, "the injury was healed over"
    assert reading.lines[-1].who == (bytes.fromhex(f"{9:064x}"),), "a later opt-out counts all the same"


def test_a_journal_that_is_gone_is_missed(tmp_path: Path) -> None:
    made = written(tmp_path)
    made.path.unlink()
    assert journal_file.read(made).problems == ["the journal is missing"]
    made.append([line(9)])
    assert journal_file.read(made).problems == ["missing from the journal: lines 1 to 6"]


def test_a_head_that_is_gone_is_missed_and_not_made_anew_in_silence(tmp_path: Path) -> None:
    made = written(tmp_path)
    (tmp_path / "head" / "journal.head").unlink()
    made.path.write_bytes(b"".join(_cut(file_lines(made))))
    for _ in range(2):
        assert journal_file.read(made).problems == ["the head of the journal is missing or altered"]
        made.append([line(9)])


def test_another_key_s_journal_is_not_taken_for_ours(tmp_path: Path) -> None:
    made = written(tmp_path)
    other = Journal(made.path.parent, tmp_path / "head" / "journal.head", Keys(b"another-key-another-key"))
    reading = journal_file.read(other)
    assert reading.lines == []
    assert len(reading.problems) >= 6


def test_the_database_misses_a_journal_and_a_head_that_went_together(app: Flask) -> None:
    with db.transaction() as session:
        bans.add(session, SOMEBODY, [Channel.EMAIL], source="told us", now=NOW)
    with db.transaction() as session:
        assert journal.look_through(session, now=NOW).problems == []
        own = journal.journal_of(session)
        own.path.unlink()
        app.config[SETTINGS].journal_head_file.unlink()
        assert journal.standing(session).trouble == "the journal is missing"
        assert journal.look_through(session, now=NOW).problems == ["the journal is missing"]
    with db.transaction() as session:  # the next opt-out begins another one, and that is no cure
        bans.add(session, KEYS.digest("b@example.fi"), [Channel.EMAIL], source="told us", now=NOW)
    with db.reading() as session:
        assert journal.standing(session).trouble == "the journal is missing"


def test_a_person_accepts_a_loss_and_later_ones_are_seen_again(app: Flask) -> None:
    with db.transaction() as session:
        for number in range(4):
            bans.add(session, KEYS.digest(f"p{number}@example.fi"), [Channel.EMAIL], source="told us", now=NOW)
    with db.transaction() as session:
        own = journal.journal_of(session)
        own.path.write_bytes(b"".join(_cut(file_lines(own))))
        assert journal.look_through(session, now=NOW).problems
        assert journal.standing(session).trouble
        assert journal.accept(session, now=NOW).problems == []
        assert journal.standing(session) == journal.Standing()
        assert journal.look_through(session, now=NOW).problems == []
        assert session.scalar(select(func.count()).select_from(JournalMark)) == 1
        own.path.write_bytes(b"".join(file_lines(own)[:-1]))
        assert journal.look_through(session, now=NOW).problems


# ── several at once ───────────────────────────────────────────────────────────────────────────────────────────────────

_WRITE_MANY = """
import sys
from pathlib import Path
from mailinglist.consent.journal_file import Journal
from mailinglist.consent.keys import Keys
folder, key, who, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
made = Journal(folder / "journal", folder / "head" / "journal.head", Keys(key.encode()))
for number in range(count):
    made.append([{"what": "left", "given": "2026-11-02T09:30:00Z", "who": [f"{who * 10000 + number:064x}"]}])
"""


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_two_processes_writing_at_once_make_one_whole_chain(count: int, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _WRITE_MANY, str(tmp_path), SECRETS["ban_key"]]
    writers = [subprocess.Popen([*command, str(who), str(count)], cwd=ROOT, env=environment()) for who in (1, 2)]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    reading = journal_file.read(a_journal(tmp_path))
    assert reading.problems == []
    assert [each.number for each in reading.lines] == list(range(2, 2 * count + 2))
    wanted = {bytes.fromhex(f"{who * 10000 + number:064x}") for who in (1, 2) for number in range(count)}
    assert {each.who[0] for each in reading.lines} == wanted
    assert a_journal(tmp_path).head().position == reading.last


def test_a_lock_that_is_not_given_is_an_error_and_no_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = written(tmp_path)
    monkeypatch.setattr(journal_file, "_PATIENCE", 0.05)
    holder = os.open(made.path, os.O_RDWR)
    try:
        assert journal_file._lock(holder)
        with pytest.raises(OSError, match="lock"):
            made.append([line(9)])
    finally:
        os.close(holder)
    made.append([line(9)])
    assert journal_file.read(made).problems == []
