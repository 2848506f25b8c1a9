"""The journal of opt-outs: what people took away from us, outside the database too. The only writer of its two tables.

A restored database forgets what came after its backup. The journal does not: each leave, ban, erasure and corrected
address is a line of a file, on disk before the transaction that makes it true is committed, and so before anybody is
answered. `privacy/restore.py` replays it. Joins and lifted bans are noted too, to be reported and never replayed.

No line holds an address, and what is altered or missing shows: `journal_file`.

    verb ─note→ session ─(just before COMMIT)→ file, fsync → head, fsync → COMMIT → answer

A crash after the file and before the commit leaves a line for something that did not happen. That is harmless:
replayed, it honours an opt-out that was asked for. The file is locked only while a piece is appended, when the
transaction waits for nothing any more, so that no two can wait for each other. A file that can't be written stops no
opt-out: its lines go into `journal_backlog` in the same transaction, follow later, and the alarm is loud until they
have. Until then the head says that the file is behind: should the database be lost meanwhile, a restore knows that
opt-outs are. The lines of leaves that are kept while the register is unsound wait there, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from .. import db, moments, observe
from . import journal_file, keys
from .journal_file import Journal, Line, Position, Reading
from .keys import assert_key
from .ledger import moment
from .tables import JournalBacklog, JournalMark

_log = observe.logger(__name__)

_PIECE = 1000
"""Digests in one line: a list of a million bans is a thousand lines."""
_SURE = timedelta(minutes=1)
"""So long after the file refused a line, its row is in `journal_backlog` for everybody to see: it is written at the
very end of its transaction."""
_LINES = 50
"""Lines that are written under one lock: some ten milliseconds."""
_INFO, _NOTED = "journal", "mailinglist_noted"


def note(
    session: Session,
    what: str,
    digest: bytes,
    *,
    list_slug: str | None = None,
    channels: Iterable[str] = (),
    to: bytes | None = None,
    source: str = "",
    now: datetime,
) -> None:
    """Have it written that something was taken from us (or given) by whoever has this keyed digest.

    `now` is that of the ledger's entry: by it a restored copy is asked whether it knows. `to`: of a corrected address,
    the digest of the new one. `source`: of an erasure, how it was asked for. The line is on disk before the session's
    transaction commits.
    """
    note_many(session, what, [digest], list_slug=list_slug, channels=channels, to=to, source=source, now=now)


def note_later(
    session: Session,
    what: str,
    digest: bytes,
    *,
    list_slug: str | None = None,
    channels: Iterable[str] = (),
    now: datetime,
) -> None:
    """`note`, where the register is unsound: signed with a wrong ban key the line would be lost, and the journal
    broken. It waits with those that the file would not take, and is written as soon as the key is right
    (`catch_up`)."""
    [line] = _lines(what, [digest], list_slug=list_slug, channels=channels, now=now)
    session.add(JournalBacklog(line={**line, "who": [digest.hex()]}, at=db.utcnow()))


def note_many(
    session: Session,
    what: str,
    digests: Sequence[bytes],
    *,
    list_slug: str | None = None,
    channels: Iterable[str] = (),
    to: bytes | None = None,
    source: str = "",
    now: datetime,
) -> None:
    """`note` for many persons at once, who share all the rest."""
    noted: list[dict[str, Any]] = session.info.setdefault(_NOTED, [])
    noted += _lines(what, digests, list_slug=list_slug, channels=channels, to=to, source=source, now=now)


def _lines(
    what: str,
    digests: Sequence[bytes],
    *,
    list_slug: str | None,
    channels: Iterable[str],
    to: bytes | None = None,
    source: str = "",
    now: datetime,
) -> list[dict[str, Any]]:
    assert what in journal_file.TAKEN_AWAY or what in journal_file.GIVEN, what
    forbidden = sorted(str(channel) for channel in channels)
    alike = {
        "what": what,
        "given": moment(now),
        **({"list": list_slug} if list_slug else {}),
        **({"channels": forbidden} if forbidden else {}),
        **({"to": to.hex()} if to else {}),
        **({"source": source} if source else {}),
    }
    return [{**alike, "who": list(digests[start : start + _PIECE])} for start in range(0, len(digests), _PIECE)]


def write(session: Session) -> None:
    """Write down what this transaction noted: the last thing before its COMMIT (`db.transaction` calls it)."""
    noted: list[dict[str, Any]] = session.info.pop(_NOTED, [])
    if not noted:
        return
    journal: Journal = session.info[_INFO]
    refused = False
    for start in range(0, len(noted), _LINES):
        lines = [{**line, "who": [digest.hex() for digest in line["who"]]} for line in noted[start : start + _LINES]]
        try:
            journal.append(lines)
        except OSError as error:
            observe.count("journal_not_written", len(lines))
            _log.error("journal_not_written", lines=len(lines), error=type(error).__name__, reason=error.strerror)
            at = db.utcnow()
            journal.fall_behind(now=at)
            refused = True
            session.execute(insert(JournalBacklog), [{"line": line, "at": at} for line in lines])
    if not refused:
        _caught_up(session)


def pass_over(session: Session) -> None:
    """What this transaction noted so far is in a journal already: it is being replayed."""
    session.info.pop(_NOTED, None)


def take_over(session: Session, lines: Iterable[Line]) -> None:
    """Have another journal's opt-outs written into this one too, so that a later restore finds them here."""
    for line in lines:
        if line.what not in journal_file.TAKEN_AWAY:
            continue
        note_many(
            session, line.what, line.who, list_slug=line.list, channels=line.channels, to=line.to, now=line.given
        )  # fmt: skip


def catch_up(session: Session, *, limit: int = 200) -> int:
    """Write down what the file would not take when it was due. Returns how many lines; 0: none waits, or it still
    won't.

    Their rows go in this transaction; should its commit fail, they are written twice, which does no harm. Raises
    RegisterUnsound while the ban key is wrong.
    """
    waiting = session.scalars(
        select(JournalBacklog).order_by(JournalBacklog.id).limit(limit).with_for_update(skip_locked=True)
    ).all()
    if not waiting:
        _caught_up(session)
        return 0
    assert_key(session)  # signed with a wrong key they would be lost
    try:
        journal_of(session).append([row.line for row in waiting])
    except OSError:
        if journal_of(session).head().behind is None:  # the head could not be written, either, when they were refused
            journal_of(session).fall_behind(now=db.utcnow())
        return 0
    session.execute(delete(JournalBacklog).where(JournalBacklog.id.in_([row.id for row in waiting])))
    return len(waiting)


def _caught_up(session: Session) -> None:
    """Have the head of this machine's journal say no longer that it is behind, once no line waits for it."""
    journal = journal_of(session)
    behind = journal.head().behind
    if behind is None or moments.recent(behind, db.utcnow(), _SURE):
        return
    # A database that was restored does not know what waited in the one that was lost: a person decides about that.
    if keys.held(session) or session.scalar(select(JournalBacklog.id).limit(1)) is not None:
        return
    journal.caught_up()


def look_through(session: Session, *, now: datetime) -> Reading:
    """Read the whole journal, and mark how far it has come and what is wrong with it."""
    reading = journal_file.read(journal_of(session))
    reading.problems.extend(missed for missed in _missed(session, reading) if missed not in reading.problems)
    if reading.last is not None:
        _mark(session, reading.last, "; ".join(reading.problems)[:1000] or None, now)
    elif reading.problems:  # the journal is gone: that is marked on those that were known
        for mark in session.scalars(select(JournalMark)):
            mark.trouble, mark.at = "; ".join(reading.problems)[:1000], now
    session.flush()
    return reading


def accept(session: Session, *, now: datetime) -> Reading:
    """A person has said which opt-outs are lost: from here on, what is wrong so far counts as known.

    Says so in the journal too, and makes its head anew. Raises OSError.
    """
    journal = journal_of(session)
    journal.append([{"what": journal_file.ACCEPTED, "given": moment(now), "who": []}], renew=True)
    reading = journal_file.read(journal)
    session.execute(delete(JournalMark))
    if reading.last is not None:
        _mark(session, reading.last, None, now)
    return reading


@dataclass(frozen=True, slots=True)
class Standing:
    """How the journal stands, as far as a quick look shows."""

    waiting: int = 0
    """Lines that are not in the file yet: it would not take them, or leaves came in while the ban key was wrong or the
    register held (`note_later`)."""
    since: datetime | None = None
    trouble: str | None = None
    """What is wrong with what was written, in words."""


def standing(session: Session) -> Standing:
    """A quick look: what waits, whether file and head fit, and what was found when all of it was last read."""
    counted = select(func.count(), func.min(JournalBacklog.at)).select_from(JournalBacklog)
    waiting, since = session.execute(counted).one()
    marks = session.scalars(select(JournalMark).order_by(JournalMark.at.desc())).all()
    found = [mark.trouble for mark in marks if mark.trouble]
    if not found:
        journal = journal_of(session)
        try:
            tail, head = journal.tail(), journal.head()
        except OSError as error:
            return Standing(waiting, since, f"the journal can't be read ({error.strerror})")
        found = journal_file.misfits(tail, head)
        known = {mark.journal: mark for mark in marks}
        if tail is None:
            found = ["the journal is missing"] if known else found
        elif tail.journal in known and known[tail.journal].number > tail.number:
            found = [*found, "the journal is shorter than it was"]
    return Standing(waiting, since, found[0] if found else None)


def journal_of(session: Session) -> Journal:
    """The journal that the session carries."""
    journal: Journal = session.info[_INFO]
    return journal


def _mark(session: Session, at: Position, trouble: str | None, now: datetime) -> None:
    known = session.get(JournalMark, at.journal)
    if known is None:
        known = JournalMark(journal=at.journal, number=0, mac="")
        session.add(known)
    if trouble is None or at.number >= known.number:  # what is missing stays marked
        known.number, known.mac = at.number, at.mac
    known.trouble, known.at = trouble, now


def _missed(session: Session, reading: Reading) -> Iterator[str]:
    """What the database saw earlier, and the file does not have any more."""
    for mark in session.scalars(select(JournalMark)):
        if reading.last is None:
            yield "the journal is missing"
            return
        if mark.journal == reading.last.journal and not reading.holds(Position(mark.journal, mark.number, mark.mac)):
            yield f"line {mark.number} of the journal, which was there on {mark.at:%Y-%m-%d}, is missing or altered"
