"""The file that a backup is: a gzipped tar, encrypted in age's format to a recipient's key when one is set.

Nothing of it is ours: `age --decrypt --identity KEY FILE | tar --extract --gzip` opens one without this program. Its
members, in this order:

    about.json      when, of which database and revision, by which version; how far the journals of opt-outs had come
    …               the database: see `snapshot`
    manifest.json   of each member the size, the SHA-256 and, of tables, the number of rows; and a MAC of all that

The manifest comes last, so that a file without one was cut. `write` puts nothing under the final name before it has
read all of it back. To be able to read back what only the recipient can open, it is encrypted to a second key as well,
which is made for this one file, and forgotten.

The MAC is made with the ban key, which a restore needs anyway. Without it whoever can write where backups lie could
hand us a register of their own: anybody can encrypt to the recipient. What it can't tell is which of our own backups
somebody put there: the journal of opt-outs makes good for an old one.

Keys of the program are not in it: whoever finds a backup must not be able to test addresses against the bans. Keep them
elsewhere: without the ban key no backup can be restored.
"""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import hashlib
import hmac
import io
import json
import os
import re
import stat
import tarfile
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from pyrage import DecryptError, IdentityError, decrypt_io, encrypt_io, x25519

from .. import disk
from ..errors import BadInput, Fault, NotAllowed

ABOUT, MANIFEST = "about.json", "manifest.json"
_AGE = b"age-encryption.org/"
_GZIP = b"\x1f\x8b"
_CHUNK = 1 << 20
_SMALL = 16 << 20
"""Octets that `about.json` and the manifest have at most: they are read whole."""
_HEADER = tarfile.BLOCKSIZE
_LARGE = re.compile(rb"[0-9]{1,3} size=([0-9]{1,18})\n")
"""The only extended header that we write: of a member that is larger than a plain one can say (8 GiB)."""
_MOST = 10_000
"""Members of a backup; ours have one for each table, and two."""
PART = ".mailinglist.part"
"""Ends the hidden name of a file that is being written, and that its writer holds a lock on. Nobody else's ends so."""

_NO_PART = "The backup was altered: it holds what is no part of one."
_TO_LOCK = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
"""A pipe with such a name must not keep us waiting, and a link leads elsewhere."""

Mac = Callable[[bytes], bytes]
"""Makes the MAC of a manifest: `Keys.backup_mac`."""


@dataclass(slots=True)
class Member:
    """What the manifest says of one member."""

    size: int
    sha256: str
    rows: int | None = None


@dataclass(slots=True)
class Contents:
    """What is in a file, once all of it was read and found as it was written."""

    about: dict[str, Any] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    authentic: bool | None = None
    """Whether the manifest's MAC was made with our key; None: it has none."""

    @property
    def rows(self) -> int:
        """In all tables together."""
        return sum(member.rows or 0 for member in self.members.values())


class Writer:
    """Takes the members, one after the other."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.members: dict[str, Member] = {}

    def add(self, name: str, source: IO[bytes], *, rows: int | None = None) -> None:
        """A member from a file, which is read from its beginning to its end."""
        source.seek(0, os.SEEK_END)
        info = tarfile.TarInfo(name)
        info.size, info.mode = source.tell(), 0o600
        source.seek(0)
        digested = _Digested(source)
        self._tar.addfile(info, cast(IO[bytes], digested))
        self.members[name] = Member(info.size, digested.sha256.hexdigest(), rows)

    def add_json(self, name: str, value: dict[str, Any]) -> None:
        """A member that is JSON."""
        self.add(name, io.BytesIO(json.dumps(value, indent=1, sort_keys=True).encode()))


Fill = Callable[[Writer], None]


def write(path: Path, fill: Fill, *, recipient: str | None, mac: Mac) -> Contents:
    """Write a backup, read it back, and only then give it its name. `fill` adds the members but the manifest.

    Raises NotAllowed (there is such a file), Fault (it could not be written, or reads otherwise than it was written).
    """
    if path.exists():
        raise NotAllowed(f"{path} exists already. A backup never replaces a file.")
    part = path.with_name(f".{path.name}{PART}")
    own = x25519.Identity.generate() if recipient else None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        clear_parts(path.parent)
        with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # while it is, nobody takes it for what a crash left
            members = _written(file, fill, recipient, own, mac)
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            found = _read(file, own, lambda _name, _member: None, mac)
            if found.members != members or not found.authentic:
                raise Fault("The backup reads otherwise than it was written: the disk may be failing.")
            os.link(part, path)  # never replaces a file
        disk.sync_folder(path.parent)
    except FileExistsError:
        raise NotAllowed(f"{path} exists already. A backup never replaces a file.") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise Fault(f"The backup can't be written to {path.parent}: {reason}.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    return found


def clear_parts(folder: Path) -> None:
    """Delete what a crash left of backups that were never whole."""
    for part in folder.glob(f".*{PART}"):
        with contextlib.suppress(OSError), os.fdopen(os.open(part, _TO_LOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                continue
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()
            part.with_name(f"{part.name}-journal").unlink(missing_ok=True)  # of SQLite's copy


def read(path: Path, take: Callable[[str, IO[bytes]], None], *, identity: x25519.Identity | None, mac: Mac) -> Contents:
    """Hand each member but about and manifest to `take`, as a stream; what it leaves unread is read here. Only at the
    end it is known whether the file is ours (`Contents.authentic`).

    Raises BadInput (no backup, or encrypted and no key fits), Fault (it was cut or altered; `take` may have had some).
    """
    try:
        with path.open("rb") as file:
            return _read(file, identity, take, mac)
    except OSError as error:
        raise BadInput(f"{path} can't be read: {error.strerror or type(error).__name__}.") from error


def identity_of(path: Path) -> x25519.Identity:
    """The secret key in a file of `age-keygen`; it is read once, so that it may be a pipe. Raises BadInput."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} can't be read: it should be the file that `age-keygen` wrote.") from error
    for line in lines:
        if line.strip().startswith("AGE-SECRET-KEY-"):
            with contextlib.suppress(IdentityError):
                return x25519.Identity.from_str(line.strip())
    raise BadInput(f"{path} holds no secret key of age.")


# ── writing ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _written(
    file: IO[bytes], fill: Fill, recipient: str | None, own: x25519.Identity | None, mac: Mac
) -> dict[str, Member]:
    if recipient is None or own is None:
        return _packed(file, fill, mac)
    reader, writer = os.pipe()
    members: dict[str, Member] = {}
    failed: list[BaseException] = []

    def pack() -> None:
        try:
            with os.fdopen(writer, "wb") as into:
                members.update(_packed(into, fill, mac))
        except BaseException as error:  # the other side sees a pipe that ends, and this one is raised below
            failed.append(error)

    # The packing is done here, and the encrypting beside it: `fill` keeps its own thread, as databases like it.
    def encrypt() -> None:
        try:
            with os.fdopen(reader, "rb") as plain:
                encrypt_io(plain, file, [x25519.Recipient.from_str(recipient), own.to_public()])
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=encrypt, name="backup", daemon=True)
    thread.start()
    pack()
    thread.join()
    for error in failed:
        if not isinstance(error, BrokenPipeError) or len(failed) == 1:
            raise error
    return members


def _packed(into: IO[bytes], fill: Fill, mac: Mac) -> dict[str, Member]:
    with (
        gzip.GzipFile(fileobj=into, mode="wb", compresslevel=6, mtime=0, filename="") as zipped,
        tarfile.open(fileobj=zipped, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        writer = Writer(tar)
        fill(writer)
        members = dict(writer.members)
        stated = {
            name: {"size": m.size, "sha256": m.sha256, **({"rows": m.rows} if m.rows is not None else {})}
            for name, m in members.items()
        }
        writer.add_json(MANIFEST, {"members": stated, "mac": mac(_canonical(stated)).hex()})
    return members


def _canonical(stated: Any) -> bytes:
    """What the MAC is of: the manifest's members, written in one way."""
    return json.dumps(stated, sort_keys=True, separators=(",", ":")).encode()


# ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _read(file: IO[bytes], own: x25519.Identity | None, take: Callable[[str, Any], None], mac: Mac) -> Contents:
    start = file.read(len(_AGE))
    file.seek(0)
    if start.startswith(_GZIP):
        return _unpacked(file, take, mac)
    if start != _AGE:
        raise BadInput("This file is no backup of this program.")
    if own is None:
        raise BadInput("This backup is encrypted: give the file of the secret key with --identity.")
    reader, writer = os.pipe()
    failed: list[BaseException] = []

    def decrypt() -> None:
        try:
            with os.fdopen(writer, "wb") as into:
                decrypt_io(file, into, [own])
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=decrypt, name="backup", daemon=True)
    thread.start()
    try:
        with os.fdopen(reader, "rb") as plain:
            found = _unpacked(plain, take, mac)
            while plain.read(_CHUNK):  # the last of what age checks
                pass
    except Fault:
        thread.join()
        if failed and isinstance(failed[0], DecryptError):
            raise BadInput("This backup can't be opened with this key.") from failed[0]
        raise
    thread.join()
    if failed:
        raise Fault("The backup was cut or altered.") from failed[0]
    return found


def _unpacked(plain: IO[bytes], take: Callable[[str, Any], None], mac: Mac) -> Contents:
    found = Contents()
    stated: dict[str, Any] | None = None
    try:
        with gzip.GzipFile(fileobj=plain, mode="rb") as zipped:
            for name, source in _parts_of(zipped):
                small = name not in (ABOUT, MANIFEST) or source.size <= _SMALL
                if stated is not None or not small or name in found.members or len(found.members) >= _MOST:
                    raise Fault(_NO_PART)
                if name == MANIFEST:
                    stated = json.loads(source.read())
                    continue
                digested = _Digested(source)
                if name == ABOUT:
                    found.about = json.loads(digested.read())
                else:
                    take(name, digested)
                while digested.read(_CHUNK):
                    pass
                found.members[name] = Member(source.size, digested.sha256.hexdigest())
            while zipped.read(_CHUNK):  # the checksum of the whole
                pass
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, ValueError, OSError, zlib.error, RecursionError) as error:
        raise Fault("The backup was cut or altered.") from error
    if stated is None or ABOUT not in found.members:
        raise Fault("The backup was cut: its end is missing.")
    try:
        expected = {name: Member(**values) for name, values in stated["members"].items()}
        made = stated.get("mac")
        if made is not None:
            found.authentic = hmac.compare_digest(bytes.fromhex(made), mac(_canonical(stated["members"])))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise Fault("The backup was altered: its manifest can't be read.") from error
    for name, member in expected.items():
        if name in found.members:
            found.members[name].rows = member.rows
    if found.members != expected:
        raise Fault("The backup was altered: its members do not fit its manifest.")
    return found


def _parts_of(tar: gzip.GzipFile) -> Iterator[tuple[str, _Part]]:
    """The members of a tar, each with what is in it; what of it is left unread is passed over. Raises TarError,
    EOFError; Fault: there is something that we never write.

    `tarfile` itself reads extended headers whole, however long they are, and whoever put a file where backups lie could
    have it fill the memory before the MAC is looked at. So it is asked for plain headers only.
    """
    while any(header := _exactly(tar, _HEADER)):
        info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        size = info.size
        if info.type == tarfile.XHDTYPE:
            if not 0 < size <= _HEADER:
                raise Fault(_NO_PART)
            large = _LARGE.fullmatch(_exactly(tar, _HEADER)[:size])
            info = tarfile.TarInfo.frombuf(_exactly(tar, _HEADER), "utf-8", "surrogateescape")
            size = int(large[1]) if large else -1
        if info.type != tarfile.REGTYPE or size < 0:
            raise Fault(_NO_PART)
        part = _Part(tar, size)
        yield info.name, part
        while part.read(_CHUNK):
            pass
        _exactly(tar, -size % _HEADER)


def _exactly(source: gzip.GzipFile, size: int) -> bytes:
    data = source.read(size)
    if len(data) != size:
        raise EOFError
    return data


class _Part(io.RawIOBase):
    """One member: so many octets of a stream."""

    def __init__(self, source: gzip.GzipFile, size: int) -> None:
        self._source, self._left = source, size
        self.size = size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._source.read(wanted) if wanted else b""
        if wanted and not data:
            raise EOFError
        self._left -= len(data)
        return data


class _Digested(io.RawIOBase):
    """A stream that is digested as it is read."""

    def __init__(self, source: IO[bytes] | io.RawIOBase) -> None:
        self._source = source
        self.sha256 = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size) or b""
        self.sha256.update(data)
        return data
