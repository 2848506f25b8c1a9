"""Backups: whole or not at all, read back, encrypted, rotated, and missed when they are overdue."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import textwrap
import threading
import tracemalloc
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from pyrage import x25519
from sqlalchemy import select

from commanding import Commands, environment, start
from conftest import NOW
from mailinglist import db
from mailinglist.consent import journal_file
from mailinglist.doctor import Level, safety
from mailinglist.errors import BadInput, Fault, NotAllowed
from mailinglist.privacy import alarms, archive, backup, safekeeping
from mailinglist.privacy.tables import Backup
from mailinglist.settings import SETTINGS, Settings
from making import person, the_list
from servers import wait_for


def MAC(content: bytes) -> bytes:
    return hmac.digest(b"the key", content, "sha256")


def settings_of(app: Flask, **values: object) -> Settings:
    changed = app.config[SETTINGS].model_copy(update=values)
    app.config[SETTINGS] = changed
    return changed


# ── the file ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def filled(writer: archive.Writer) -> None:
    writer.add_json(archive.ABOUT, {"format": 1})
    writer.add("tables/x.copy", io.BytesIO(b"1\n2\n" * 50_000), rows=100_000)


def test_anybody_can_open_it_with_tar(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    contents = archive.write(path, filled, recipient=None, mac=MAC)
    assert contents.rows == 100_000
    with tarfile.open(path) as tar:
        assert tar.getnames() == ["about.json", "tables/x.copy", "manifest.json"]
        manifest = json.load(tar.extractfile("manifest.json"))
    assert manifest["members"]["tables/x.copy"]["rows"] == 100_000
    assert path.stat().st_mode & 0o077 == 0
    assert os.listdir(tmp_path) == ["a.tar.gz"]
    with pytest.raises(NotAllowed, match="never replaces"):
        archive.write(path, filled, recipient=None, mac=MAC)


def test_encrypted_only_the_recipient_s_key_opens_it(tmp_path: Path) -> None:
    key, path = x25519.Identity.generate(), tmp_path / "a.tar.gz.age"
    archive.write(path, filled, recipient=str(key.to_public()), mac=MAC)
    assert path.read_bytes().startswith(b"age-encryption.org/v1")
    right, wrong, empty = (tmp_path / name for name in ("right", "wrong", "empty"))
    right.write_text(f"# created: today\n# public key: {key.to_public()}\n{key}\n")
    wrong.write_text(str(x25519.Identity.generate()))
    empty.write_text("hello")
    taken = []
    found = archive.read(path, lambda name, source: taken.append((name, len(source.read()))), identity=key, mac=MAC)
    assert (found.rows, taken) == (100_000, [("tables/x.copy", 200_000)])
    assert str(archive.identity_of(right)) == str(key)
    with pytest.raises(BadInput, match="no secret key"):
        archive.identity_of(empty)
    for identity, words in ((archive.identity_of(wrong), "can't be opened"), (None, "--identity")):
        with pytest.raises(BadInput, match=words):
            archive.read(path, lambda *_: None, identity=identity, mac=MAC)
    for data in (path.read_bytes()[:-1], path.read_bytes()[:-200], path.read_bytes()[:300] + b"x" * 300):
        path.write_bytes(data)
        with pytest.raises((Fault, BadInput)):
            archive.read(path, lambda *_: None, identity=key, mac=MAC)


def test_a_changed_byte_is_seen_whatever_it_belongs_to(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    archive.write(path, lambda writer: writer.add_json(archive.ABOUT, {"format": 1}), recipient=None, mac=MAC)
    plain = gzip.decompress(path.read_bytes())
    at = plain.index(b'"format": 1')
    altered = plain[:at] + b'"format": 2' + plain[at + 11 :]
    path.write_bytes(gzip.compress(altered))
    with pytest.raises(Fault, match="manifest"):
        archive.read(path, lambda *_: None, identity=None, mac=MAC)


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None], *more: tuple[str, bytes]) -> Path:
    """The backup as somebody would write it who can write files, but has no key: another content, its digest right."""
    with tarfile.open(path) as tar:
        held = {info.name: tar.extractfile(info).read() for info in tar}
    manifest = json.loads(held.pop(archive.MANIFEST))
    change(held)
    for name, data in held.items():
        manifest["members"][name] |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    target = path.with_name(f"forged-{path.name}")
    with tarfile.open(target, "w:gz") as tar:
        for name, data in [*more, *held.items(), (archive.MANIFEST, json.dumps(manifest).encode())]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return target


def test_only_who_has_the_key_can_make_one_that_is_ours(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    assert archive.write(path, filled, recipient=None, mac=MAC).authentic
    forged = rewritten(path, lambda held: held.update({"tables/x.copy": b"3\n4\n" * 50_000}))
    for each, mac, authentic in (
        (path, MAC, True), (path, lambda content: MAC(content + b" "), False), (forged, MAC, False)
    ):  # fmt: skip
        found = archive.read(each, lambda *_: None, identity=None, mac=mac)
        assert (found.rows, found.authentic) == (100_000, authentic)
    # Nor can they put another member of the same name before the one that the manifest tells of.
    doubled = rewritten(path, lambda _held: None, ("tables/x.copy", b"5\n"))
    with pytest.raises(Fault, match="no part of one"):
        archive.read(doubled, lambda *_: None, identity=None, mac=MAC)


def test_a_file_that_does_not_prove_to_be_ours_when_it_is_read_back_is_no_backup(tmp_path: Path) -> None:
    asked: list[bytes] = []

    def forgets(content: bytes) -> bytes:
        asked.append(content)
        return MAC(content if len(asked) == 1 else b"")

    with pytest.raises(Fault, match="reads otherwise"):
        archive.write(tmp_path / "a.tar.gz", filled, recipient=None, mac=forgets)
    assert os.listdir(tmp_path) == []


def test_what_can_t_be_written_leaves_nothing(tmp_path: Path) -> None:
    def breaks(writer: archive.Writer) -> None:
        filled(writer)
        raise OSError(28, "No space left on device")

    for recipient in (None, str(x25519.Identity.generate().to_public())):
        with pytest.raises(Fault, match="No space"):
            archive.write(tmp_path / "a.tar.gz", breaks, recipient=recipient, mac=MAC)
        assert os.listdir(tmp_path) == []


def test_what_a_crash_left_goes_with_the_next_one_and_what_is_being_written_stays(tmp_path: Path) -> None:
    (tmp_path / f".old.tar.gz{archive.PART}").write_bytes(b"half")
    inside = threading.Event()
    go_on = threading.Event()

    def slow(writer: archive.Writer) -> None:
        inside.set()
        go_on.wait(10)
        filled(writer)

    thread = threading.Thread(
        target=archive.write, args=(tmp_path / "slow.tar.gz", slow), kwargs={"recipient": None, "mac": MAC}
    )
    thread.start()
    inside.wait(10)
    archive.write(tmp_path / "quick.tar.gz", filled, recipient=None, mac=MAC)
    assert (tmp_path / f".slow.tar.gz{archive.PART}").exists()
    go_on.set()
    thread.join(10)
    assert sorted(os.listdir(tmp_path)) == ["quick.tar.gz", "slow.tar.gz"]


# ── of the database ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_is_of_one_moment_while_others_write(app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody joins while the tables are copied: their person and their subscription are in it both, or neither."""
    with db.transaction() as session:
        person(session, "before@example.fi", now=NOW)
    add = archive.Writer.add

    def joined_meanwhile(writer: archive.Writer, name: str, source, *, rows=None) -> None:
        if name == archive.ABOUT:
            with app.app_context(), db.transaction() as session:
                person(session, "meanwhile@example.fi", now=NOW)
        add(writer, name, source, rows=rows)

    monkeypatch.setattr(archive.Writer, "add", joined_meanwhile)
    made = backup.make(app.config[SETTINGS], tmp_path / "a.tar.gz")
    with tarfile.open(made.path) as tar:
        held = b"".join(tar.extractfile(name).read() for name in tar.getnames())
        about = json.load(tar.extractfile("about.json"))
    assert b"before@example.fi" in held
    assert b"meanwhile@example.fi" not in held
    assert [each["number"] for each in about["journals"]] == [2]
    assert about["revision"]
    with db.reading() as session:
        kept = session.scalars(select(Backup)).one()
        assert (kept.rows, kept.size, kept.trouble) == (made.rows, made.path.stat().st_size, None)
    assert b"test-ban-key" not in held
    assert b"test-secret-key" not in held


@pytest.mark.long
def test_killed_on_the_way_it_leaves_no_broken_file(app: Flask, settings: Settings, tmp_path: Path) -> None:
    with db.transaction() as session:
        for number in range(30):
            person(session, f"p{number}@example.fi", now=NOW)
    folder = tmp_path / "backups"
    folder.mkdir()
    db.db.engine.dispose()
    killed = 0
    for delay in (0.0, 0.01, 0.03, 0.1):
        path = folder / f"at-{delay}.tar.gz"
        process = start(settings, "backup", path)
        wait_for(lambda p=process: p.poll() is not None or any(folder.glob(".*")), seconds=30)
        threading.Event().wait(delay)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        if path.exists():  # it had been quicker: then it is whole
            archive.read(path, lambda *_: None, identity=None, mac=MAC)
    assert killed
    backup.make(settings, folder / "last.tar.gz")
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_nothing_unencrypted_lies_beside_the_backups_and_what_a_kill_left_goes_with_the_next(
    app: Flask, settings: Settings, tmp_path: Path
) -> None:
    with db.transaction() as session:
        person(session, "matti@example.fi", now=NOW)
    folder, key = tmp_path / "backups", x25519.Identity.generate()
    settings = settings.model_copy(update={"backup_recipient": str(key.to_public())})
    copying = backup.copying(settings)
    program = """
        import sys, time
        from pathlib import Path
        from mailinglist.app import create_app
        from mailinglist.privacy import backup, snapshot
        from mailinglist.cli.opening import load
        from mailinglist.settings import SETTINGS

        def stands_still(*_):  # the copy is whole, and nothing of it is packed yet
            print("here", flush=True)
            time.sleep(60)

        snapshot._only = stands_still
        app = create_app(load())
        with app.app_context():
            backup.make(app.config[SETTINGS], Path(sys.argv[1]))
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), folder / "a.tar.gz.age"], env=environment(settings),
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "here\n", process.stderr.read()
    finally:
        process.kill()
        process.communicate()
    beside = [path.read_bytes() for path in folder.iterdir()]
    assert not any(b"matti@example.fi" in data or b"SQLite format" in data for data in beside)
    [left] = copying.iterdir()
    assert b"matti@example.fi" in left.read_bytes()
    assert (left.stat().st_mode & 0o777, copying.stat().st_mode & 0o777) == (0o600, 0o700)
    backup.make(settings, folder / "b.tar.gz.age")
    assert list(copying.iterdir()) == []
    assert os.listdir(folder) == ["b.tar.gz.age"]
    (copying / f".left{archive.PART}").write_bytes(b"half")
    safekeeping.go_on(app).join(30)
    assert list(copying.iterdir()) == [], "nor does it wait for the next backup"


def test_only_what_is_ours_is_cleared_away_and_a_pipe_keeps_nobody_waiting(tmp_path: Path) -> None:
    (tmp_path / ".thesis.docx.part").write_text("somebody's download")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("somebody's")
    (tmp_path / f".link{archive.PART}").symlink_to(elsewhere)
    os.mkfifo(tmp_path / f".pipe{archive.PART}")
    (tmp_path / f".old.tar.gz{archive.PART}").write_bytes(b"half")
    cleared = threading.Thread(target=archive.clear_parts, args=(tmp_path,), daemon=True)
    cleared.start()
    cleared.join(5)
    assert not cleared.is_alive()
    names = [".link", ".pipe"]
    assert sorted(os.listdir(tmp_path)) == sorted(
        [".thesis.docx.part", "elsewhere", *(f"{name}{archive.PART}" for name in names)]
    )


def tar_of(*headers: bytes) -> bytes:
    return gzip.compress(b"".join(headers) + bytes(1024))


def test_no_header_fills_the_memory(tmp_path: Path) -> None:
    """What `tarfile` would read whole, or keep: before the MAC is looked at, whoever can write there has no key."""

    def header(kind: bytes, size: int) -> bytes:
        info = tarfile.TarInfo("x")
        info.type, info.size = kind, size
        return info.tobuf(tarfile.USTAR_FORMAT)

    sparse = b"22 GNU.sparse.major=1\n".ljust(512, b"\0")
    plain = header(tarfile.REGTYPE, 0)
    cases = {
        "long": tar_of(header(tarfile.XHDTYPE, 64 << 20), bytes(64 << 20)),
        "name": tar_of(header(tarfile.GNUTYPE_LONGNAME, 64 << 20), bytes(64 << 20)),
        "global": tar_of(header(tarfile.XGLTYPE, 512), sparse, plain),
        "sparse": tar_of(header(tarfile.XHDTYPE, 22), sparse, plain),
        "nested": tar_of(*[header(tarfile.XHDTYPE, 22) + sparse] * 3000, plain),
        "deep": tar_of(rewritten_header(archive.ABOUT, 100_000), b"[" * 100_000, bytes(-100_000 % 512)),
        "many": tar_of(*(rewritten_header(f"t{number}", 0) for number in range(10_001))),
    }
    for name, data in cases.items():
        path = tmp_path / name
        path.write_bytes(data)
        tracemalloc.start()
        with pytest.raises(Fault, match=r"cut or altered|no part of one"):
            archive.read(path, lambda *_: None, identity=None, mac=MAC)
        _now, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 8 << 20, name


def rewritten_header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.USTAR_FORMAT)


def test_a_table_beyond_eight_gigabytes_is_read_as_it_was_written() -> None:
    info = tarfile.TarInfo("tables/handoffs.copy")
    info.size = 9 << 30
    with gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(info.tobuf(tarfile.PAX_FORMAT)))) as zipped:
        name, part = next(archive._parts_of(zipped))
    assert (name, part.size) == ("tables/handoffs.copy", 9 << 30)


# ── by the clock ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_the_scheduled_one_is_made_once_kept_for_its_days_and_missed(app: Flask, tmp_path: Path) -> None:
    settings = settings_of(app, backup_dir=tmp_path / "b", backup_every=24, backup_keep=30)
    now = db.utcnow()
    with db.transaction() as session:
        the_list(session).created_at = now
    with db.reading() as session:
        assert backup.due(session, settings, now=now)
        assert not backup.overdue(session, settings, now=now + timedelta(hours=25)), "a young installation"
        [need] = alarms.of_list(session, the_list(session), now + timedelta(hours=27))
        assert need.what.words == "There is no backup yet.", "the worker never ran"
    for _ in range(2):
        safekeeping.go_on(app).join(30)
    [made] = [path for path in settings.backup_dir.iterdir() if path.name != ".lock"]
    archive.read(made, lambda *_: None, identity=None, mac=MAC)
    with db.reading() as session:
        assert not backup.due(session, settings, now=now + timedelta(hours=23))
        assert not backup.overdue(session, settings, now=now + timedelta(hours=25))
        assert backup.due(session, settings, now=now + timedelta(hours=25))
        assert backup.overdue(session, settings, now=now + timedelta(hours=27))
        row = the_list(session)
        assert list(alarms.of_list(session, row, now)) == []
        [need] = alarms.of_list(
            session, row, backup.last(session, now=now + timedelta(minutes=1)).began_at + timedelta(hours=40)
        )
        assert need.grave
        assert need.what.values == {"hours": 40}
    for days in (10, 31, 40):
        stamp = (now - timedelta(days=days)).strftime("%Y%m%dT%H%M%SZ")
        (settings.backup_dir / f"mailinglist-{stamp}.tar.gz").write_bytes(b"old")
    (settings.backup_dir / "mine.tar.gz").write_bytes(b"not ours")
    assert len(backup.rotate(settings, now=now)) == 2
    assert len(list(settings.backup_dir.glob("*.tar.gz"))) == 3
    assert backup.rotate(settings, now=now + timedelta(days=400)), "older ones"
    assert made.exists(), "the newest stays, whatever its age"


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_one_that_fails_is_written_down_and_told(app: Flask, tmp_path: Path) -> None:
    nowhere = tmp_path / "file"
    nowhere.write_text("in the way")
    settings = settings_of(app, backup_dir=nowhere / "b")
    with pytest.raises(Fault):
        backup.make(settings, nowhere / "b" / "x.tar.gz")
    with db.reading() as session:
        assert session.scalars(select(Backup.trouble)).one()
        assert backup.overdue(session, settings, now=db.utcnow())
        [need] = alarms.of_list(session, the_list(session), db.utcnow())
        assert need.what.words.startswith("There is no backup")
    found = {finding.subject: finding for finding in safety.check(settings)}
    assert found["backup"].level is Level.FAILURE


# ── by command ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_the_drill(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As docs/operating.md has it: a key, a backup, an opt-out, a lost database, a restore."""
    key = x25519.Identity.generate()
    (tmp_path / "key.txt").write_text(str(key))
    settings = settings.model_copy(update={"backup_recipient": str(key.to_public())})
    cli = Commands(settings, monkeypatch, capsys)
    file = tmp_path / "b.tar.gz.age"
    people = tmp_path / "people.csv"
    people.write_text("email\nmatti@example.fi\nmaija@example.fi\n")
    took = cli("people", "import", people, "--list", "tector-tiedottaa", "--basis", "consent", "--source", "old")
    assert took.code == 0, took.err
    made = cli("backup", file)
    assert made.code == 0, made.err
    assert "read back, encrypted." in made.out
    assert cli("backup", file).code == 1
    assert cli("bans", "add", "matti@example.fi", "--channel", "email", "--source", "rang").code == 0
    Path(settings.sqlalchemy_url.removeprefix("sqlite:///")).unlink()
    assert cli("restore", file).code == 2
    refused = cli("restore", file, "--identity", people)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    os.mkfifo(tmp_path / "pipe")  # so that the key need not lie on the machine; a pipe is read only once
    writing = threading.Thread(target=(tmp_path / "pipe").write_text, args=(str(key),))
    writing.start()
    done = cli("restore", file, "--identity", tmp_path / "pipe")
    writing.join(10)
    assert done.code == 0, done.err
    assert "1 address was banned" in done.out
    assert "Mail may go out again." in done.out
    assert cli("bans", "check", "matti@example.fi").code == 1
    assert cli("bans", "check", "maija@example.fi").code == 0
    assert cli("journal", "check").code == 0
    assert cli("restore", "--replay").code == 1
    assert cli("restore").code == 2
    assert cli("ledger", "verify").code == 0
    (settings.journal_folder / journal_file.FILE).unlink()
    assert cli("journal", "check").out.startswith("the journal is missing")
    assert cli("journal", "accept", "The folder was deleted by mistake.").code == 0
    assert cli("journal", "check").code == 0
