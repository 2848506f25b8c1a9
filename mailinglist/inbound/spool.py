"""The spool: what came in, kept until it is handled. With unseen.py and onward.py the only writer of spool.

A mail is kept before its sender is told so, and once: its digest is its key, so that a server that asks again after a
lost answer changes nothing. A claim lasts as long as its transaction: the mail is handled and marked in one commit, or
waits as before. So whatever is killed, each mail is handled exactly once.

What is for a person waits for them (unseen.py), and is sent on to the list's owner (onward.py, forward.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, case, delete, exists, func, literal_column, or_, select, update
from sqlalchemy.orm import Session

from .. import db, moments
from ..consent import pins
from ..consent.address import Address, fold
from ..consent.tables import Person
from ..db import NO_OBJECTS, among, changed, insert_new
from ..observe import count
from . import hands, onward, whose
from .intents import BOUNCE, COMPLAINT
from .tables import FAILED, HANDLED, IS_UNSEEN, NOBODYS, OWNER, SEEN, WAITING, WENT_UNREAD, InHand, Spooled

KILLS, TOO_LARGE, ERASED, RESTORED = "kills", "too-large", "erased", "restored"
"""Outcomes (`act.OUTCOMES`) that are told here: it was set aside since workers died over it; only its header was
fetched; whoever wrote it was erased; it waited when a backup was made that was restored since. Of TOO_LARGE and
RESTORED a mail that waits is marked, too."""

_LARGEST_NUMBER = 2**31 - 1
_IN_HAND = 32 * 1024 * 1024
"""Octets that are read at once, and a mail more."""
_AGAIN = (timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6))
"""Pauses before a mail that could not be handled is tried again; after them it has failed."""
MOST_DEATHS = 3
"""Workers that may die over a mail."""
_APART = timedelta(minutes=1)
"""After the second of them: where workers are killed a few times in a row, no mail is to blame."""
_SOON = timedelta(seconds=5)
_AT_ONCE = 50
"""Mails whose From is looked at at once."""
_IS_WAITING = Spooled.state == literal_column(f"'{WAITING}'")  # spelt out, so that the partial index serves
_IS_ASKED = Spooled.outcome == literal_column("'asked'")


@dataclass(frozen=True, slots=True)
class Arrived:
    """A mail on its way into the spool, for one of our addresses."""

    recipient: str
    sender: str
    """The return path; empty: the null return path."""
    via: str
    """lmtp, smtp, pipe or imap."""
    raw: bytes
    at: datetime


@dataclass(frozen=True, slots=True)
class Peeked:
    """A mail that waits, to be read."""

    number: int
    recipient: str
    sender: str
    raw: bytes
    beheaded: bool
    """Only its header is here: it was too large."""


# ── in ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def keep(
    session: Session, *, recipient: str, sender: str, via: str, raw: bytes, octets: int | None = None, now: datetime
) -> bool:
    """Keep one mail. `octets`: so large it is, too large to be taken, and `raw` is its header only. False: it was here
    before, in whatever state it is now."""
    values = _values(Arrived(recipient, sender, via, raw, now))
    if octets is not None:
        values |= {"size": min(octets, _LARGEST_NUMBER), "outcome": TOO_LARGE}
    added = insert_new(session, Spooled).values(**values).on_conflict_do_nothing().returning(Spooled.id)
    if session.scalar(added) is None:
        return False
    db.ring(session, db.INBOUND)
    return True


def keep_many(session: Session, mails: Iterable[Arrived]) -> None:
    """Keep mails, in one statement. What was here before stays as it is."""
    # In the order of their digests: two who keep the same mails must not wait for each other.
    rows = sorted(map(_values, mails), key=lambda row: bytes(row["digest"]))  # type: ignore[call-overload]
    if rows:
        session.execute(insert_new(session, Spooled).on_conflict_do_nothing(), rows)
        db.ring(session, db.INBOUND)


def _values(mail: Arrived) -> dict[str, object]:
    recipient = _storable(mail.recipient)[:320]
    return {
        "digest": digest(recipient, mail.raw), "recipient": recipient, "sender": _storable(mail.sender)[:320],
        "via": mail.via, "size": len(mail.raw), "raw": mail.raw, "received_at": mail.at, "not_before": mail.at,
        "tries": 0, "state": WAITING,
    }  # fmt: skip


def digest(recipient: str, raw: bytes) -> bytes:
    """What makes a mail one, however often and by whichever way it is handed in."""
    return hashlib.sha256(recipient.lower().encode() + b"\n" + raw).digest()


def _storable(address: str) -> str:
    """Octets that are no UTF-8, and NUL, which PostgreSQL does not hold, are marked."""
    return address.encode("utf-8", "replace").decode("utf-8", "replace").replace("\0", "\ufffd")


def writer_of(written_by: str) -> str:
    """Whom a mail's From names, as limits count it: folded. Nobody has checked it; with the return path and the client
    it is who wrote the mail (`crowding.Writer`)."""
    return _storable(fold(written_by.strip()))[:320]


# ── handled ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def due(session: Session, after: int, limit: int, now: datetime) -> list[int]:
    """Up to `limit` mails that wait, are in nobody's hand and have a later number, to be read together. One that a
    worker died over comes alone: so that the others of its group are not counted for it."""
    found = session.execute(
        select(Spooled.id, Spooled.size, Spooled.deaths)
        .where(
            _IS_WAITING, Spooled.not_before <= now, Spooled.id > after,
            ~exists().where(InHand.mail_id == Spooled.id),
        )
        .order_by(Spooled.id)
        .limit(limit)
    ).all()  # fmt: skip
    chosen: list[int] = []
    octets = 0
    for number, size, deaths in found:
        if chosen and (deaths or octets + size > _IN_HAND):
            break
        chosen.append(number)
        octets += size
        if deaths:
            break
    return chosen


def peek(session: Session, numbers: Sequence[int]) -> list[Peeked]:
    """Those of these mails that still wait, with their content, to be read."""
    if not numbers:
        return []
    columns = (Spooled.id, Spooled.recipient, Spooled.sender, Spooled.raw, Spooled.outcome)
    rows = session.execute(select(*columns).where(among(Spooled.id, numbers), _IS_WAITING).order_by(Spooled.id))
    return [
        Peeked(number, recipient, sender, raw or b"", beheaded=outcome == TOO_LARGE)
        for number, recipient, sender, raw, outcome in rows
    ]


def claim(session: Session, numbers: Sequence[int], now: datetime) -> list[Spooled]:
    """Those of these mails that still wait, oldest first: this transaction's alone until it ends.

    Several workers share the spool: rows are locked, and those that another one holds are skipped. The content is read
    when it is asked for.
    """
    return list(
        session.scalars(
            select(Spooled)
            .where(among(Spooled.id, numbers), _IS_WAITING, Spooled.not_before <= now)
            .order_by(Spooled.id)
            .with_for_update(skip_locked=True)
        )
    )


def done(
    row: Spooled,
    *,
    state: str,
    kind: str,
    outcome: str,
    list_id: int | None = None,
    person_id: int | None = None,
    writer: str | None = None,
    now: datetime,
) -> None:
    """Mark a claimed mail as `handled` (its content goes) or as the `owner`'s (it is sent on, and stands in the
    console). `writer`: of what is the owner's, whom its From names (`writer_of`)."""
    row.state, row.kind, row.outcome = state, kind, outcome[:40]
    row.list_id, row.person_id, row.handled_at = list_id, person_id, now
    if state == OWNER:
        row.writer = writer
        onward.send_on(row, now)
    else:
        row.raw = None


def done_many(session: Session, numbers: Sequence[int], *, kind: str, outcome: str, now: datetime) -> None:
    """The same as `done(state="handled")` for many claimed reports that came to the same, in one statement. Nobody
    needs their return paths any more. Objects in memory are not changed."""
    session.execute(
        update(Spooled)
        .where(among(Spooled.id, numbers))
        .values(state=HANDLED, kind=kind, outcome=outcome, handled_at=now, raw=None, **NOBODYS),
        execution_options=NO_OBJECTS,
    )


def failed(session: Session, row: Spooled, *, list_id: int | None = None, now: datetime) -> bool:
    """A claimed mail could not be handled: it waits for another try, or, after some, has failed and is a person's to
    look at: it is sent on as what is the owner's. Whether it is a person's now."""
    row.tries += 1
    if row.tries > len(_AGAIN):
        return _set_aside(session, {row: list_id}, now) == [row]
    row.not_before = now + _AGAIN[row.tries - 1]
    return False


def died(
    session: Session, numbers: Sequence[int], *, list_of: Callable[[str], int | None], now: datetime
) -> list[Spooled]:
    """A worker died with these mails in hand. Which of them have had enough of that: they are a person's to look at,
    and nobody reads them any more. `list_of` says of which list a recipient is."""
    aside: dict[Spooled, int | None] = {}
    for row in session.scalars(
        select(Spooled)
        .where(among(Spooled.id, numbers), _IS_WAITING)
        .order_by(Spooled.id)
        .with_for_update(skip_locked=True)  # who holds it is not dead
    ):
        row.deaths += 1
        row.not_before = now + _APART * (row.deaths - 1)
        if row.deaths >= MOST_DEATHS:
            row.outcome = KILLS
            aside[row] = list_of(row.recipient)
    waits = _set_aside(session, aside, now)
    session.flush()
    return waits


def _set_aside(session: Session, lists: Mapping[Spooled, int | None], now: datetime) -> list[Spooled]:
    """These claimed mails, each with its list, are a person's to look at: which of them. Of whoever was erased while a
    mail waited nothing is kept, as in `act`."""
    writers = {row: _writers(session, row) for row in lists}
    everybody = {address.folded for each in writers.values() for address in each}
    if everybody:  # an erasure waits from here on, and finds what is kept
        pins.pin_many(session, select(Person.id).where(Person.folded.in_(everybody)))
    waits = []
    for row, list_id in lists.items():
        row.handled_at, row.list_id = now, list_id
        if whose.erased(session, writers[row], row.received_at):
            count("inbound_of_the_erased")
            row.state, row.outcome, row.raw = HANDLED, ERASED, None
            nobodys(row)
            continue
        row.state, row.writer = FAILED, None  # nobody reads its From
        onward.send_on(row, now)
        waits.append(row)
    return waits


def _writers(session: Session, row: Spooled) -> list[Address]:
    begins = session.scalar(select(func.substr(Spooled.raw, 1, whose.BEGINNING)).where(Spooled.id == row.id)) or b""
    return whose.writers(row.sender, _named(row.outcome, bytes(begins)))


def _named(outcome: str | None, begins: bytes) -> list[str]:
    """Whom a mail's From names. What workers died over is not read any more, only looked at."""
    return whose.glimpsed(begins) if outcome == KILLS else whose.named(begins)


def put_off(row: Spooled, *, soon: bool = False, now: datetime) -> None:
    """A claimed mail can't be handled now, through no fault of its own: it waits for a while, and no try is counted.
    `soon`: what is in its way takes no longer than a transaction."""
    row.not_before = now + (_SOON if soon else _AGAIN[0])


def waiting(session: Session, *, now: datetime) -> tuple[int, datetime | None]:
    """How many mails wait to be handled, and since when the oldest of those that are due does."""
    number = session.scalar(select(func.count()).select_from(Spooled).where(_IS_WAITING)) or 0
    oldest = session.scalar(
        select(Spooled.not_before).where(_IS_WAITING, Spooled.not_before <= now).order_by(Spooled.not_before).limit(1)
    )
    return number, oldest


def came_from(row: Spooled, client: str | None) -> None:
    """A request to join, or what is the owner's, came from this client, as the relay says."""
    row.client = client


def nobodys(row: Spooled) -> None:
    """Whoever wrote it was erased: nothing of them is kept."""
    for column, nothing in NOBODYS.items():
        setattr(row, column, nothing)


def asked_since(session: Session, since: datetime, *, client: str | None = None, domain: str | None = None) -> int:
    """How many requests to join by mail were written down since then, of a client or of return paths at a domain."""
    whose = Spooled.client == client if client else Spooled.sender.iendswith("@" + (domain or ""), autoescape=True)
    wanted = select(func.count()).select_from(Spooled).where(_IS_ASKED, Spooled.handled_at > since, whose)
    return session.scalar(wanted) or 0


# ── a person looks at it ──────────────────────────────────────────────────────────────────────────────────────────────


def get(session: Session, number: int) -> Spooled | None:
    """One mail, without its content."""
    return session.get(Spooled, number)


def content(session: Session, number: int) -> bytes | None:
    """One mail as it came; None where it is gone."""
    return session.scalar(select(Spooled.raw).where(Spooled.id == number))


def again(session: Session, number: int, *, now: datetime) -> bool:
    """Try once more to handle a mail that has failed. False: there is no such mail."""
    changes = update(Spooled).where(Spooled.id == number, Spooled.state == FAILED, Spooled.raw.is_not(None))
    outcome = case((Spooled.outcome.in_([TOO_LARGE, RESTORED]), Spooled.outcome), else_=None)
    fresh = changes.values(state=WAITING, outcome=outcome, deaths=0, tries=0, not_before=now, handled_at=None)
    if changed(session.execute(fresh)) != 1:
        return False
    db.ring(session, db.INBOUND)
    return True


# ── whose ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def of_person(session: Session, person_id: int) -> list[Spooled]:
    """A person's mails, newest first, without their content."""
    return list(session.scalars(select(Spooled).where(Spooled.person_id == person_id).order_by(Spooled.id.desc())))


def put_right(session: Session, *, now: datetime) -> int:
    """Have mails that wait for a moment that none can wait for be handled, or sent on, now: they came in by a clock
    that was ahead. Returns how many mails that were."""
    never = update(Spooled).where(_IS_WAITING, Spooled.not_before > moments.latest(now) + _AGAIN[-1])
    number = changed(session.execute(never.values(not_before=now), execution_options=NO_OBJECTS))
    hands.put_right(session)
    return number + onward.put_right(session, now=now)


def come_back(session: Session, *, now: datetime) -> int:
    """After a restore: what waited when the backup was made has been handled since. It is handled once more, since an
    opt-out must not be lost, and marked: who has left by now gets no second letter for it (`act`), and an answer, a
    leave by a token or a report does nothing twice. A wish to join would bring a letter to somebody who asked long ago,
    and is closed. What was to be sent on to an owner may have been, and is not sent again; it stands in the console.
    How many were closed."""
    hands.clear(session)
    onward.come_back(session)
    joins = update(Spooled).where(_IS_WAITING, func.lower(Spooled.recipient).like("%-join@%"))
    values = {"state": HANDLED, "kind": "command", "outcome": RESTORED, "raw": None, "handled_at": now}
    closed = changed(session.execute(joins.values(**values), execution_options=NO_OBJECTS))
    others = update(Spooled).where(Spooled.state.in_([WAITING, FAILED]), Spooled.outcome.is_(None))
    session.execute(others.values(outcome=RESTORED), execution_options=NO_OBJECTS)
    return closed


# ── gone ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def clear(session: Session, before: datetime, *, limit: int = 5000) -> int:
    """Delete mails that came before then and need nobody any more; how many. Mails that wait, for the program or for a
    person, stay; so does, for as long again, that one went unread. What is deleted is not known when it is handed in
    again: so keep them longer than any server tries."""
    old = select(Spooled.id).where(*_over(before)).order_by(Spooled.received_at).limit(limit)
    return changed(session.execute(delete(Spooled).where(Spooled.id.in_(old)), execution_options=NO_OBJECTS))


def over(session: Session, before: datetime) -> int:
    """How many mails `clear` would delete in all."""
    return session.scalar(select(func.count()).select_from(Spooled).where(*_over(before))) or 0


def _over(before: datetime) -> tuple[ColumnElement[bool], ...]:
    told = or_(Spooled.outcome.is_(None), ~WENT_UNREAD, Spooled.handled_at < before)
    return Spooled.received_at < before, Spooled.state.in_([HANDLED, SEEN]), told


def forget(session: Session, person_id: int, *, addresses: Sequence[str] = ()) -> int:
    """A person is erased: the content of their mails goes, the return path and the client; that there was a mail stays.
    What still waits to be handled goes when it is (`act`): it may forbid something. Also mails from these `addresses`
    that were not known to be theirs: by return path, or by whom they say that they are from; and reports about them of
    which nobody knew which mail they are about. How many rows that was."""
    theirs: ColumnElement[bool] = Spooled.person_id == person_id
    if addresses:
        theirs = or_(
            theirs,
            func.lower(Spooled.sender).in_([address.lower() for address in addresses]),
            Spooled.writer.in_({fold(address) for address in addresses}),
            among(Spooled.id, _written_by(session, {fold(address) for address in addresses})),
            among(Spooled.id, _reported(session, {fold(address) for address in addresses})),
        )
    open_ones = update(Spooled).where(theirs, IS_UNSEEN).values(state=SEEN)
    session.execute(open_ones, execution_options=NO_OBJECTS)
    gone = update(Spooled).where(theirs, Spooled.state != WAITING).values(raw=None, person_id=None, **NOBODYS)
    return changed(session.execute(gone, execution_options=NO_OBJECTS))


def _written_by(session: Session, folded: Set[str]) -> list[int]:
    """Mails whose content is kept and whose From names one of these addresses: a forwarder gives a return path of its
    own. Each is looked at, since only what waits for a person, or failed, has its content still."""
    found = []
    last = 0
    begins = func.substr(Spooled.raw, 1, whose.BEGINNING)
    kept = select(Spooled.id, Spooled.outcome, begins).where(Spooled.raw.is_not(None), Spooled.state != WAITING)
    kept = kept.order_by(Spooled.id)
    while rows := session.execute(kept.where(Spooled.id > last).limit(_AT_ONCE)).all():
        last = rows[-1][0]
        found += [
            number
            for number, outcome, begin in rows
            if folded & {fold(address) for address in _named(outcome, bytes(begin))}
        ]
    return found


def _reported(session: Session, folded: Set[str]) -> list[int]:
    """Reports of servers whose content is kept and that name one of these addresses. What a person wrote is not looked
    through: it may ask for something for somebody else."""
    reports = (Spooled.raw.is_not(None), Spooled.state != WAITING, Spooled.kind.in_([BOUNCE, COMPLAINT]))
    numbers = session.scalars(select(Spooled.id).where(*reports).order_by(Spooled.id)).all()
    raws = ((number, session.scalar(select(Spooled.raw).where(Spooled.id == number))) for number in numbers)
    return [number for number, raw in raws if raw is not None and whose.mentions(bytes(raw), folded)]
