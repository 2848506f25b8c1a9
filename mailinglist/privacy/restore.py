"""Restoring a backup so that no opt-out is lost (REQUIREMENTS 2.6). The only writer of `restorations`.

    read the whole file → it is ours → nobody is connected → unpack beside the database → the ban key fits → *hold*
    → still nobody is connected → in its place → migrate → pause what was on its way → replay the journals
    → nothing missing? release

From before the copy is in its place until the last step the register is *held* (`keys.hold`): it counts as unsound, so
that nothing is sent, whatever crashes on the way. Where a journal is missing, cut or altered, it stays held, with what
could be read done again, until the journal is brought, or a person says in words which opt-outs are lost.

`restore` and `replay_again` open their own transactions: they are whole errands, given as commands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import Engine, func, inspect, select, text
from sqlalchemy.orm import Session

from .. import db, moments
from ..consent import journal, journal_file, keys, ledger, requests
from ..delivery import dispatch, letter_desk
from ..delivery.tables import Shift
from ..errors import BadInput, Fault, NotAllowed, Unknown
from ..inbound import spool
from ..staff import accounts, audit, programs, sign_ins
from ..staff.audit import Actor
from . import archive, replay, snapshot
from .backup import FORMAT
from .tables import Restoration

HEAD = "journal.head"
"""The head beside a journal that was brought from another machine."""
_ALIVE = timedelta(seconds=45)
"""A worker whose beat is younger than this is at work, or died just now."""
_REGISTER = "opt-outs of the register itself"
"""In place of an address, for the ledger's entry about what is lost: no address has spaces."""


@dataclass(frozen=True, slots=True)
class Restored:
    """How a restore ended."""

    copy_of: datetime
    released: bool
    """Mail may go out. If not: `troubles` say why."""
    troubles: tuple[str, ...]
    report: dict[str, Any]
    """`replayed`: what was done again, in numbers; `missing`: the first joins and lifted bans that are not in the copy;
    `paused`: bulletins; `uncertain`: mails; `closed`: requests; `ended`: sign-ins; `links`: of staff, void;
    `tokens`: of other systems, revoked; `authentic`: whether the backup proved to be ours."""


def restore(
    app: Flask,
    path: Path,
    *,
    identity: Path | None,
    replace: bool,
    journals: Sequence[Path],
    unauthenticated: bool = False,
    by: Actor,
    make_tables: snapshot.Migrate,
    upgrade: Callable[[Flask], None],
) -> Restored:
    """Restore a backup into this application's database, and replay the opt-outs given since.

    `make_tables` makes those of a revision, `upgrade` brings the database to this version's. With `unauthenticated`
    also a backup that can't prove to be ours; this stays on record. Raises BadInput (no backup, no key for it, another
    kind of database), NotAllowed (it is not ours, something is at work, or the database is not empty), RegisterUnsound
    (the ban key is another one), Fault. Until the copy is in its place, an error has changed nothing.
    """
    with app.app_context():
        engine = db.db.engine
        mac = db.session_info(app)["keys"].backup_mac
        key = archive.identity_of(identity) if identity else None
        contents = archive.read(path, lambda _name, _source: None, identity=key, mac=mac)
        _assert_ours(contents, unauthenticated)
        about = contents.about
        if about.get("program") != "mailinglist" or about.get("format") != FORMAT:
            raise BadInput("This backup is of another program, or of a later version of this one.")
        _assert_replaceable(engine, replace)
        landing = snapshot.Landing(engine, make_tables)
        try:
            landing.begin(about)
            _look_over(app, landing, contents, archive.read(path, landing.take, identity=key, mac=mac))
            _assert_replaceable(engine, replace)  # unpacking took its time: somebody may have started something
            landing.land()
        except BaseException:
            engine.dispose()
            landing.abandon()
            raise
    upgrade(app)
    with app.app_context():
        copy_of = datetime.fromisoformat(about["made_at"])
        with db.transaction() as session:
            _come_back(session, copy_of, about["journals"], bool(contents.authentic), by, now=db.utcnow())
        return _replayed(journals, None, by)


def replay_again(app: Flask, *, journals: Sequence[Path], accept: str | None, by: Actor) -> Restored:
    """Go on with a restore whose opt-outs could not all be replayed: with journals that were brought since, or with
    `accept`: which opt-outs are lost, in a person's words. Raises Unknown (no restore waits for that), BadInput."""
    with app.app_context():
        return _replayed(journals, accept, by)


def waiting(session: Session) -> Restoration | None:
    """The restore whose opt-outs have not all been replayed."""
    wanted = select(Restoration).where(Restoration.replayed_at.is_(None)).order_by(Restoration.id.desc()).limit(1)
    return session.scalar(wanted)


# ── before ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _assert_ours(contents: archive.Contents, unauthenticated: bool) -> None:
    if contents.authentic or unauthenticated:
        return
    why = (
        "Nothing in this backup shows that this installation made it: it may be from before backups had that."
        if contents.authentic is None
        else "This backup was altered, or made with another ban key than this one."
    )
    raise NotAllowed(f"{why} If you know where it was all the time, say --unauthenticated.")


def _assert_replaceable(engine: Engine, replace: bool) -> None:
    snapshot.assert_quiet(engine)
    if not snapshot.is_empty(engine):
        if not replace:
            raise NotAllowed(
                "The database is not empty. What is in it would be lost: make a backup of it first, and then say "
                "--replace."
            )
        _assert_no_shift(engine)


def _assert_no_shift(engine: Engine) -> None:
    with engine.connect() as connection:
        beat = None
        if inspect(connection).has_table(Shift.__tablename__):
            beat = connection.scalar(select(func.max(Shift.beat_at)))
        connection.rollback()
    engine.dispose()
    if beat is not None and moments.recent(beat, db.utcnow(), _ALIVE):
        raise NotAllowed("A worker was at work a moment ago: stop it, and wait for a minute.")


def _look_over(app: Flask, landing: snapshot.Landing, contents: archive.Contents, unpacked: archive.Contents) -> None:
    """What was unpacked is what was read before, and what the backup says; rests on our ban key; and is held."""
    if unpacked != contents:
        raise Fault("The backup was changed while it was being restored.")
    with landing.connect() as connection:
        for name, member in contents.members.items():
            table = name.removeprefix("tables/").removesuffix(".copy")
            if member.rows is None or table == name:
                continue
            rows = connection.scalar(text(f'SELECT count(*) FROM "{table}"'))  # noqa: S608 - of our own manifest
            if rows != member.rows:
                raise Fault(f"The table {table} has {rows} rows, and the backup {member.rows}.")
        if connection.dialect.name == "sqlite" and connection.exec_driver_sql("PRAGMA quick_check(1)").scalar() != "ok":
            raise Fault("The database in the backup is damaged.")
        with Session(connection, info=db.session_info(app)) as session:
            keys.assert_key(session)
            keys.hold(session)
            session.commit()
        connection.commit()  # the session only joined what was begun above


# ── after ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _come_back(
    session: Session, copy_of: datetime, journals: list[dict[str, Any]], authentic: bool, by: Actor, *, now: datetime
) -> None:
    """Nothing goes on by itself: what was on its way is paused, what was open is uncertain, nobody is signed in."""
    closed = requests.come_back(session, now=now)
    while letter_desk.enqueue_due(session, now=now):
        pass
    closed += spool.come_back(session, now=now)
    paused, uncertain = dispatch.come_back(session, copy_of, now=now)
    report = {
        "paused": paused, "uncertain": uncertain, "closed": closed, "ended": sign_ins.end_every(session, now=now),
        "links": accounts.void_every_link(session, now=now), "replayed": {}, "missing": [], "authentic": authentic,
        "tokens": programs.revoke_every(session, by=by.who, now=now),
    }  # fmt: skip
    for earlier in session.scalars(select(Restoration).where(Restoration.replayed_at.is_(None))):
        earlier.replayed_at = now  # of the copy's own past; this one has taken its place
    session.add(
        Restoration(copy_of=copy_of, restored_at=now, journals=journals, troubles=[], report=report)
    )  # fmt: skip
    audit.note(
        session, "database_restored", by=by, now=now, copy_of=f"{copy_of:%Y-%m-%d %H:%M:%S} UTC", paused=paused,
        authentic=authentic,
    )  # fmt: skip


def _replayed(folders: Sequence[Path], accept: str | None, by: Actor) -> Restored:
    words = _tidied(accept)
    with db.transaction() as session:
        now = db.utcnow()
        restoration = waiting(session)
        if restoration is None:
            if keys.held(session):
                raise Fault("A restore was broken off. Give it once more: mailinglist restore FILE --replace")
            raise Unknown("No restore waits for opt-outs.")
        keys.replaying(session)
        readings, troubles = _readings(session, folders, restoration)
        positions = _positions(restoration)
        again = replay.replay(session, readings, copy_of=restoration.copy_of, positions=positions, now=now)
        # Until nothing is missing the journal stays as it is: somebody may yet put the whole file back in its place.
        journal.pass_over(session)
        restoration.report = _added(restoration.report, again)
        restoration.troubles = troubles
        if troubles and words is not None:
            _accept(session, restoration, words, by, now)
        if not troubles or words is not None:
            restoration.replayed_at = now
            keys.release(session)
            for reading in readings[1:]:
                journal.take_over(session, replay.since(reading, restoration.copy_of, positions))
        audit.note(session, "opt_outs_replayed", by=by, now=now, counts=dict(again.counts))
        session.flush()
        return Restored(
            restoration.copy_of, restoration.replayed_at is not None, tuple(troubles), dict(restoration.report)
        )


def _readings(
    session: Session, folders: Sequence[Path], restoration: Restoration
) -> tuple[list[journal_file.Reading], list[str]]:
    """The journals that there are, our own first, and what is wrong with them or missing."""
    own = journal.journal_of(session)
    readings, troubles = [], []
    brought = [journal_file.Journal(folder, folder / HEAD, keys.keys_of(session)) for folder in folders]
    for each in (own, *brought):
        try:
            reading = journal_file.read(each)
        except OSError as error:
            reading = journal_file.Reading(each.path, problems=[f"it can't be read ({error.strerror})"])
        if each is not own and reading.last is None and not reading.problems:
            reading.problems.append("there is no journal")
        readings.append(reading)
        troubles += [f"{each.path}: {problem}" for problem in reading.problems]
        # What the file refused long enough before the copy was made is in the copy itself.
        if reading.behind is not None and reading.behind > restoration.copy_of - replay.MARGIN:
            troubles.append(
                f"{each.path}: it took no opt-outs at {reading.behind:%Y-%m-%d %H:%M} UTC; they were in the database "
                "only, and may be lost."
            )
    if not restoration.journals:
        troubles.append("The backup names no journal, so nobody can tell whether one is missing.")
    for known in restoration.journals:
        position = journal_file.Position(known["journal"], known["number"], known["mac"])
        if not any(reading.holds(position) for reading in readings):
            troubles.append(
                f"The journal {position.journal}, which had {position.number:,} lines when the backup was made, is not "
                "there, or does not reach so far."
            )
    positions = _positions(restoration)
    troubles += [
        f"{reading.path}: at line {place.number}, after the backup was made, opt-outs were said to be lost."
        for reading in readings
        for place in reading.accepted
        if place.number > positions.get(place.journal, 0)
    ]
    return readings, troubles


def _positions(restoration: Restoration) -> dict[str, int]:
    """How many lines each journal had when the backup was made, by its name."""
    return {known["journal"]: known["number"] for known in restoration.journals}


def _accept(session: Session, restoration: Restoration, words: str, by: Actor, now: datetime) -> None:
    restoration.accepted, restoration.accepted_by = words, by.who[:200]
    troubles = list(restoration.troubles)
    content = {"lost": words, "accepted_by": by.who, "troubles": troubles}
    filed = ledger.file_evidence(session, content, person_id=None, now=now)
    subject = keys.keys_of(session).digest(_REGISTER)
    ledger.append(
        session, ledger.chain_of(session, subject), subject,
        ledger.Fact("opt_outs_lost", source="restore", evidence=filed), now=now,
    )  # fmt: skip
    audit.note(session, "lost_opt_outs_accepted", by=by, now=now, words=words, troubles=troubles)
    try:
        journal.accept(session, now=now)
    except OSError as error:
        raise Fault(f"The journal can't be written ({error.strerror}), so this can't be accepted yet.") from error


def _tidied(words: str | None) -> str | None:
    if words is None:
        return None
    words = words.strip()
    if len(words) < 10 or len(words) > 2000 or not words.replace("\n", " ").isprintable():
        raise BadInput("Say in a sentence which opt-outs are lost: from when to when, and how that is known.")
    return words


def _added(report: dict[str, Any], again: replay.Replayed) -> dict[str, Any]:
    """A report with what was done now; what is missing is as it was found last."""
    done = dict(report.get("replayed", {}))
    for name, number in again.counts.items():
        done[name] = number if name in ("joins", "lifts", "lists") else done.get(name, 0) + number
    return {**report, "replayed": done, "missing": again.missing}
