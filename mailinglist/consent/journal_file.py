"""The file of the journal of opt-outs, and its head: how lines are written, and how it shows that some were taken away.

A line is JSON and holds no address: keyed digests, a list, channels, times. Each carries a MAC of its own and that of
the line before it, so that a line that was altered, left out or put elsewhere shows. How long the journal is stands
under a MAC in a second place, the *head*, on another disk if one is wise: so a cut tail or a missing file shows. When
the file takes no line, the head says that too, as `behind`, until the line is in the file: so a restore knows that one
is missing. A version that does not know the word reads such a head as any other.

The file is locked only while a piece is appended. What it is for, and who writes: `journal`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hmac
import json
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from .. import db, disk, observe
from . import ledger
from .keys import Keys
from .ledger import moment
from .states import Event

_log = observe.logger(__name__)

FILE = "optouts.jsonl"

LEFT, DISOWNED, MUTED = Event.LEAVE.value, Event.DISOWN.value, "muted"
BANNED, ERASED, MOVED, RESTRICTED = ledger.BANNED, ledger.ERASED, ledger.MOVED, ledger.RESTRICTED
TAKEN_AWAY = (LEFT, DISOWNED, BANNED, ERASED, MOVED, MUTED, RESTRICTED)
"""What is replayed: `moved` is a corrected address, from a digest to another; `muted` is “I did not ask for this” by
somebody who was on no list any more."""
CONFIRMED, IMPORTED = Event.CONFIRM.value, Event.IMPORT.value
LIFTED, UNRESTRICTED = ledger.BAN_LIFTED, ledger.UNRESTRICTED
GIVEN = (CONFIRMED, IMPORTED, LIFTED, UNRESTRICTED)
"""What is reported, and never replayed. All of these names but `muted` are those of the ledger's events: by
them a restored copy is asked what it knows."""

ACCEPTED = "loss_accepted"
"""A person said that opt-outs are lost: what is wrong before this line counts as known."""
_BEGUN = "begun"
_PATIENCE = 5.0
"""Seconds to wait for the file's lock; another process may have been stopped with it in hand."""
_HEAD_PATIENCE = 1.0
"""Seconds to wait for the head's. Without it the head is written all the same."""
_SLOT = 512
"""Octets of each of the head's two places, which are written in turn: one of them is always whole."""
_START = "0" * 64


@dataclass(frozen=True, slots=True)
class Line:
    """One line, read."""

    journal: str
    number: int
    mac: str
    what: str
    written: datetime
    """When it was written to the file, by that machine's clock."""
    given: datetime
    """When it was asked for: the moment that its ledger entry names."""
    who: tuple[bytes, ...] = ()
    """Keyed digests of case-folded addresses."""
    list: str | None = None
    """Of a ban: the one list that it is about; None: all lists."""
    channels: tuple[str, ...] = ()
    to: bytes | None = None
    """Of MOVED: the keyed digest of the address that the person has now."""
    source: str = ""
    """Of ERASED: how it was asked for; empty: it is not said."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a journal has come."""

    journal: str
    number: int
    mac: str


@dataclass(slots=True)
class Reading:
    """A journal, read from its beginning to its end."""

    path: Path
    lines: list[Line] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What is missing or altered, in words."""
    last: Position | None = None
    """The last line that fits; None: there is none."""
    accepted: list[Position] = field(default_factory=list)
    """Where a person said that opt-outs are lost: a copy from before does not know of what is missing there."""
    behind: datetime | None = None
    """When a line was last refused by the file, while that line is not known to be in it; None: none is missing."""
    macs: set[str] = field(default_factory=set)
    """Of every genuine line, also of those that only say how the journal goes on."""

    def holds(self, position: Position) -> bool:
        """Whether the journal has come at least this far, with that very line."""
        return position.mac in self.macs


@dataclass(frozen=True, slots=True)
class Head:
    """The head: a position, under a MAC, in its two places."""

    position: Position | None
    """None: there is no head, or none that we made."""
    exists: bool
    behind: datetime | None = None
    """See `Reading.behind`."""


@dataclass(frozen=True, slots=True)
class _Stated:
    """What one of the head's two places says."""

    position: Position
    behind: datetime | None


class Journal:
    """The file and its head. Opens nothing by itself; safe to use from several threads and processes at once."""

    def __init__(self, folder: Path, head: Path, keys: Keys) -> None:
        self.path, self._head, self._keys = folder / FILE, head, keys

    def append(self, lines: Sequence[dict[str, Any]], *, renew: bool = False) -> None:
        """Write lines at the end, and see them on the disk. Raises OSError: then none of them is there.

        `renew`: make the head anew, whatever it says now.
        """
        with self._locked() as (file, fresh):
            size, tail = _tail(file)
            head = self.head()
            last = _further(tail, head.position)
            if last is None:
                last = Position(secrets.token_hex(8), 0, _START)
                lines = [{"what": _BEGUN, "given": moment(db.utcnow()), "who": []}, *lines]
            data, last = self._composed(lines, last)
            try:
                os.ftruncate(file, size)  # what a crash left of a line that was never whole
                _write_all(file, data, size)
                os.fdatasync(file)
                if fresh:
                    disk.sync_folder(self.path.parent)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(file, size)
                raise
            self._advance(head, last, empty=size == 0, renew=renew)

    def tail(self) -> Position | None:
        """How far the file has come; None: there is no line. Raises OSError."""
        try:
            file = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            return _tail(file)[1]
        finally:
            os.close(file)

    def head(self) -> Head:
        """What the head says; raises nothing: one that can't be read is none."""
        try:
            raw = self._head.read_bytes()
        except FileNotFoundError:
            return Head(None, exists=False)
        except OSError:
            return Head(None, exists=True)
        stated = self._stated(raw)
        return Head(stated.position, exists=True, behind=stated.behind) if stated else Head(None, exists=True)

    def begin(self) -> None:
        """Make the journal, if there is none. Raises OSError."""
        if self.tail() is None and self.head().position is None:
            self.append([])

    def fall_behind(self, *, now: datetime) -> None:
        """Have the head say that the file has refused a line. Both places say so, the one in use last: whatever tears,
        one of them is whole, and what is written afterwards goes on saying it."""
        self._say(now)

    def caught_up(self) -> None:
        """Every line that the file has refused is in it by now."""
        self._say(None)

    def _say(self, behind: datetime | None) -> None:
        try:
            with self._head_locked() as file:
                stated = self._stated(os.pread(file, 2 * _SLOT, 0))
                if stated is None:  # then it does not fit the journal anyway, and that shows
                    return
                own = stated.position.number % 2
                for slot in (1 - own, own):
                    self._put(file, slot, stated.position, behind)
        except OSError as error:
            observe.count("journal_head_not_written")
            _log.error("journal_head_not_written", reason=error.strerror)

    def genuine(self, body: bytes, mac: str) -> bool:
        """Whether a line is ours, and as it was written."""
        return hmac.compare_digest(mac.encode(), self._keys.journal_mac(body).hex().encode())

    def _composed(self, lines: Sequence[dict[str, Any]], last: Position) -> tuple[bytes, Position]:
        written = moment(db.utcnow())
        parts = []
        for line in lines:
            number = last.number + 1
            body = _canonical({**line, "after": last.mac, "at": written, "journal": last.journal, "n": number})
            mac = self._keys.journal_mac(body).hex()
            parts.append(body[:-1] + b',"mac":"' + mac.encode() + b'"}\n')
            last = Position(last.journal, number, mac)
        return b"".join(parts), last

    def _advance(self, head: Head, last: Position, *, empty: bool, renew: bool) -> None:
        """Let the head follow. The line is safe already, so a head that can't be written is an alarm, and no error.

        A head that is missing beside a journal that has lines, or that is of another one, is left as it is: made anew
        in silence, it would hide what was cut. A person accepts that (`renew`).
        """
        ours = head.position is not None and head.position.journal == last.journal
        if not (ours or renew or (empty and not head.exists)):
            observe.count("journal_head_left")
            _log.error("journal_head_does_not_fit")
            return
        try:
            self._head.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._head_locked(os.O_CREAT) as file:
                # Once more, under the lock: another process's line may have been refused meanwhile.
                now = self._stated(os.pread(file, 2 * _SLOT, 0)) if ours and not renew else None
                for slot in (0, 1) if renew else (last.number % 2,):
                    self._put(file, slot, last, now.behind if now else None)
            if not head.exists:
                disk.sync_folder(self._head.parent)
        except OSError as error:
            observe.count("journal_head_not_written")
            _log.error("journal_head_not_written", reason=error.strerror)

    @contextlib.contextmanager
    def _head_locked(self, flags: int = 0) -> Iterator[int]:
        """The head, open and locked. Raises OSError."""
        file = os.open(self._head, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
        try:
            end = time.monotonic() + _HEAD_PATIENCE
            with contextlib.suppress(OSError):  # a file system without locks: one machine writes there, and seldom
                while not _lock(file) and time.monotonic() < end:
                    time.sleep(0.002)
            yield file
        finally:
            os.close(file)  # and so unlocked

    def _put(self, file: int, slot: int, at: Position, behind: datetime | None) -> None:
        said = {"journal": at.journal, "mac": at.mac, "n": at.number, **({"behind": moment(behind)} if behind else {})}
        signed = _canonical({"head": said, "signed": self._keys.journal_mac(b"head" + _canonical(said)).hex()})
        _write_all(file, signed.ljust(_SLOT - 1) + b"\n", slot * _SLOT)
        os.fdatasync(file)

    def _stated(self, raw: bytes) -> _Stated | None:
        """What the head says: its later place; of two that are equally late, the one that says `behind`."""
        found = (self._slot(raw[start : start + _SLOT]) for start in (0, _SLOT))
        return max(
            (stated for stated in found if stated),
            key=lambda stated: (stated.position.number, stated.behind is not None),
            default=None,
        )

    def _slot(self, raw: bytes) -> _Stated | None:
        try:
            said = json.loads(raw)
            stated, signed = said["head"], str(said["signed"])
            position = Position(str(stated["journal"]), int(stated["n"]), str(stated["mac"]))
            behind = datetime.fromisoformat(stated["behind"]) if "behind" in stated else None
        except (ValueError, KeyError, TypeError):
            return None
        expected = self._keys.journal_mac(b"head" + _canonical(stated)).hex()
        return _Stated(position, behind) if hmac.compare_digest(signed.encode(), expected.encode()) else None

    @contextlib.contextmanager
    def _locked(self) -> Iterator[tuple[int, bool]]:
        """The file, open and locked, and whether it was made now. Raises OSError, also when the lock isn't had in
        time."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        end = time.monotonic() + _PATIENCE
        while True:
            fresh = not self.path.exists()
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                while not _lock(file):
                    if time.monotonic() > end:
                        raise OSError(0, "its lock was not given in time")
                    time.sleep(0.002)
                if not _same_file(file, self.path):  # put in its place while we waited
                    continue
                yield file, fresh
                return
            finally:
                os.close(file)  # and so unlocked


def read(journal: Journal) -> Reading:
    """A whole journal: its lines that are genuine, and what is wrong with the rest of it. Raises OSError."""
    reading = Reading(journal.path)
    head = journal.head()  # before the file, which may grow meanwhile
    reading.behind = head.behind
    last: Position | None = None
    headed = False
    try:
        file = journal.path.open("rb")
    except FileNotFoundError:
        if head.exists:
            reading.problems.append("the journal is missing")
        return reading
    with file:
        for at, raw in enumerate(file, start=1):
            if not raw.endswith(b"\n"):
                break  # a line that was never whole, so nothing rests on it
            line, after = _parsed(journal, raw)
            if line is None:
                reading.problems.append(f"the journal was altered at its {at}. line")
                continue
            if line.what == ACCEPTED:
                reading.problems.clear()  # a person has said so
                reading.accepted.append(Position(line.journal, line.number, line.mac))
            else:
                reading.problems.extend(_breaks(last, line, after))
            last = Position(line.journal, line.number, line.mac)
            reading.macs.add(line.mac)
            headed = headed or last == head.position
            if line.what in TAKEN_AWAY or line.what in GIVEN:
                reading.lines.append(line)
    reading.last = last
    if not headed:
        reading.problems.extend(misfits(last, head) or _unknown(head))
    return reading


def _unknown(head: Head) -> list[str]:
    return ["the line that the head of the journal names is missing or altered"] if head.position else []


def misfits(tail: Position | None, head: Head) -> list[str]:
    """What file and head say of each other."""
    if tail is None:
        return ["the journal is missing"] if head.exists else []
    if head.position is None:
        return ["the head of the journal is missing or altered"]
    if head.position.journal != tail.journal:
        return ["the head is that of another journal"]
    if head.position.number > tail.number:
        return [f"the end of the journal is missing, from line {tail.number + 1} on"]
    return []


def _breaks(last: Position | None, line: Line, after: str) -> Iterator[str]:
    expected = last.number + 1 if last else 1
    if last is not None and line.journal != last.journal:
        yield f"another journal goes on from line {line.number}"
    elif line.number > expected:
        lines = f"lines {expected} to {line.number - 1}" if line.number > expected + 1 else f"line {expected}"
        yield f"missing from the journal: {lines}"
    elif line.number < expected:
        yield f"line {line.number} of the journal stands in a place that is not its own"
    elif after != (last.mac if last else _START):
        yield f"line {line.number} of the journal does not follow the one before it"


def _parsed(journal: Journal, raw: bytes) -> tuple[Line | None, str]:
    """One line, and the MAC that it follows; None: it is not as it was written."""
    body, mark, rest = raw.rstrip(b"\n").rpartition(b',"mac":"')
    mac = rest[:-2].decode("ascii", "replace")
    if not mark or not journal.genuine(body + b"}", mac):
        return None, ""
    said = json.loads(body + b"}")
    line = Line(
        said["journal"], said["n"], mac, said["what"], datetime.fromisoformat(said["at"]),
        datetime.fromisoformat(said["given"]), tuple(map(bytes.fromhex, said["who"])), said.get("list"),
        tuple(said.get("channels", ())), bytes.fromhex(said["to"]) if "to" in said else None,
        said.get("source", ""),
    )  # fmt: skip
    return line, said["after"]


def _tail(file: int) -> tuple[int, Position | None]:
    """Where the last whole line ends, and what it says of itself; None: there is none, or it can't be read."""
    size = os.fstat(file).st_size
    step, raw = 4096, b""
    while True:
        start = max(0, size - step)
        raw = os.pread(file, size - start, start)
        whole = raw[: raw.rfind(b"\n") + 1]
        begins = whole.rfind(b"\n", 0, -1) + 1
        if begins or start == 0:
            break
        step *= 8
    end = start + len(whole)
    try:
        said = json.loads(whole[begins:])
        return end, Position(str(said["journal"]), int(said["n"]), str(said["mac"]))
    except (ValueError, KeyError, TypeError):
        return end, None


def _further(tail: Position | None, head: Position | None) -> Position | None:
    """Where the journal goes on. A file that was cut goes on after what it had: the gap stays to be seen."""
    if tail is None or (head is not None and head.journal == tail.journal and head.number > tail.number):
        return head or tail
    return tail


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _same_file(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _write_all(file: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(file, view, at)
        view, at = view[done:], at + done


def _canonical(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
