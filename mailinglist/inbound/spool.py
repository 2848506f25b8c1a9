"""The spool: what came in, kept until it is handled. The only writer of spool.

A mail is kept before its sender is told so, and once: its digest is its key, so that a server that asks again after a
lost answer changes nothing. A claim lasts as long as its transaction: the mail is handled and marked in one commit, or
waits as before. So whatever is killed, each mail is handled exactly once.

What is for a person is sent on to the list's owner (forward.py):

    pending → handing → accepted | uncertain
       ↑          └→ pending (a server put it off) | failed
       └→ withheld: the owner has had enough for a day; it stands in the console all the same
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, literal_column, or_, select, update
from sqlalchemy import delete as delete_rows
from sqlalchemy.orm import Session, undefer

from .. import db
from ..consent.address import fold
from ..db import among, changed, insert_new
from . import reading
from .tables import Spooled

OWNER, HANDLED, SEEN, FAILED, WAITING = "owner", "handled", "seen", "failed", "waiting"

_IN_HAND = 32 * 1024 * 1024
"""Octets that are read at once, and a mail more."""
_AGAIN = (timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6))
"""Pauses before a mail that could not be handled is tried again; after them it has failed."""
_FORWARD_AGAIN = (timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2), timedelta(hours=12))
_FORGOTTEN = timedelta(minutes=15)
"""Handing over one mail takes no longer: whoever began it is dead."""
_HEADER, _AT_ONCE = 64 * 1024, 50
"""Octets at the beginning of a mail in which its From stands, and mails that are looked at at once."""
_IS_WAITING = Spooled.state == literal_column("'waiting'")  # spelt out, so that the partial index serves
_IS_UNSEEN = Spooled.state.in_([literal_column("'owner'"), literal_column("'failed'")])
_IS_OWNERS = Spooled.state == literal_column("'owner'")
_NO_OBJECTS = {"synchronize_session": False}


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


# ── in ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def keep(session: Session, *, recipient: str, sender: str, via: str, raw: bytes, now: datetime) -> bool:
    """Keep one mail. False: it was here before, in whatever state it is now."""
    values = _values(Arrived(recipient, sender, via, raw, now))
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


# ── handled ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def peek(session: Session, after: int, limit: int, now: datetime) -> list[Peeked]:
    """Up to `limit` mails that wait and have a later number, with their content, to be read: they are nobody's yet."""
    found = session.execute(
        select(Spooled.id, Spooled.size)
        .where(_IS_WAITING, Spooled.not_before <= now, Spooled.id > after)
        .order_by(Spooled.id)
        .limit(limit)
    ).all()
    chosen: list[int] = []
    octets = 0
    for number, size in found:
        if chosen and octets + size > _IN_HAND:
            break
        chosen.append(number)
        octets += size
    if not chosen:
        return []
    columns = (Spooled.id, Spooled.recipient, Spooled.sender, Spooled.raw)
    rows = session.execute(select(*columns).where(among(Spooled.id, chosen)).order_by(Spooled.id))
    return [Peeked(number, recipient, sender, raw or b"") for number, recipient, sender, raw in rows]


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
    now: datetime,
) -> None:
    """Mark a claimed mail as `handled` (its content goes) or as the `owner`'s (it is sent on, and stands in the
    console)."""
    row.state, row.kind, row.outcome = state, kind, outcome[:40]
    row.list_id, row.person_id, row.handled_at = list_id, person_id, now
    if state == OWNER:
        row.forwarded, row.tries, row.not_before = "pending", 0, now
    else:
        row.raw = None


def done_many(session: Session, numbers: Sequence[int], *, kind: str, outcome: str, now: datetime) -> None:
    """The same as `done(state="handled")` for many claimed mails that came to the same, in one statement. Objects in
    memory are not changed."""
    session.execute(
        update(Spooled)
        .where(among(Spooled.id, numbers))
        .values(state=HANDLED, kind=kind, outcome=outcome, handled_at=now, raw=None),
        execution_options=_NO_OBJECTS,
    )


def failed(row: Spooled, *, now: datetime) -> bool:
    """A claimed mail could not be handled: it waits for another try, or, after some, has failed and is a person's to
    look at. Whether that was the last try."""
    row.tries += 1
    if row.tries > len(_AGAIN):
        row.state, row.handled_at = FAILED, now
        return True
    row.not_before = now + _AGAIN[row.tries - 1]
    return False


def put_off(row: Spooled, *, now: datetime) -> None:
    """A claimed mail can't be handled now, through no fault of its own: it waits for a while, and no try is counted."""
    row.not_before = now + _AGAIN[0]


def waiting(session: Session, *, now: datetime) -> tuple[int, datetime | None]:
    """How many mails wait to be handled, and since when the oldest of those that are due does."""
    number = session.scalar(select(func.count()).select_from(Spooled).where(_IS_WAITING)) or 0
    oldest = session.scalar(
        select(Spooled.not_before).where(_IS_WAITING, Spooled.not_before <= now).order_by(Spooled.not_before).limit(1)
    )
    return number, oldest


# ── for a person ──────────────────────────────────────────────────────────────────────────────────────────────────────


def for_persons(session: Session, *, before: int | None = None, limit: int = 50) -> list[Spooled]:
    """A page of what waits for a person, of all lists, newest first. Without the content: ask `content`."""
    earlier = [Spooled.id < before] if before is not None else []
    return list(session.scalars(select(Spooled).where(_IS_UNSEEN, *earlier).order_by(Spooled.id.desc()).limit(limit)))


def unseen(session: Session, list_id: int | None) -> int:
    """How many wait for a person, of a list; None: of no list. A look at an index, however much came in."""
    whose = Spooled.list_id.is_(None) if list_id is None else Spooled.list_id == list_id
    return session.scalar(select(func.count()).select_from(Spooled).where(whose, _IS_UNSEEN)) or 0


def get(session: Session, number: int) -> Spooled | None:
    """One mail, without its content."""
    return session.get(Spooled, number)


def content(session: Session, number: int) -> bytes | None:
    """One mail as it came; None where it is gone."""
    return session.scalar(select(Spooled.raw).where(Spooled.id == number))


def seen(session: Session, number: int, *, now: datetime) -> bool:
    """A person has dealt with it. False: there is no such mail that waits for a person."""
    changes = update(Spooled).where(Spooled.id == number, Spooled.state.in_([OWNER, FAILED]))
    return changed(session.execute(changes.values(state=SEEN, handled_at=now))) == 1


def again(session: Session, number: int, *, now: datetime) -> bool:
    """Try once more to handle a mail that has failed. False: there is no such mail."""
    changes = update(Spooled).where(Spooled.id == number, Spooled.state == FAILED, Spooled.raw.is_not(None))
    fresh = changes.values(state=WAITING, tries=0, not_before=now, handled_at=None)
    if changed(session.execute(fresh)) != 1:
        return False
    db.ring(session, db.INBOUND)
    return True


# ── sent on to the owner ──────────────────────────────────────────────────────────────────────────────────────────────


def any_to_forward(session: Session, now: datetime) -> bool:
    """Whether there is anything to send on, or left of a worker that died. Reads only."""
    due = or_(Spooled.forwarded == "pending", Spooled.forwarded == "handing") & (Spooled.not_before <= now)
    return session.scalar(select(Spooled.id).where(_IS_OWNERS, due).limit(1)) is not None


def forward_due(session: Session, limit: int, now: datetime) -> list[Spooled]:
    """Claim mails that are to be sent on, oldest first: they are `handing` once this transaction is committed."""
    rows = session.scalars(
        select(Spooled)
        .where(_IS_OWNERS, Spooled.forwarded == "pending", Spooled.not_before <= now)
        .order_by(Spooled.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .options(undefer(Spooled.raw))
    ).all()
    for row in rows:
        row.forwarded, row.not_before = "handing", now
    return list(rows)


def forwarded_since(session: Session, list_id: int | None, since: datetime) -> int:
    """How many of a list's mails were sent on since then, or are just being."""
    return (
        session.scalar(
            select(func.count())
            .select_from(Spooled)
            .where(
                Spooled.received_at > since - timedelta(days=2),
                Spooled.list_id.is_(None) if list_id is None else Spooled.list_id == list_id,
                Spooled.forwarded.in_(["handing", "accepted", "uncertain"]),
                Spooled.not_before > since,
            )
        )
        or 0
    )


def withhold(row: Spooled) -> None:
    """It is not sent on: the owner has had enough for a day, or there is none."""
    row.forwarded = "withheld"


def settle_forward(session: Session, number: int, *, state: str, now: datetime) -> None:
    """What came of sending a mail on: accepted, uncertain, or `deferred`, which is tried again or fails."""
    row = session.get(Spooled, number, with_for_update=True)
    if row is None or row.forwarded != "handing":
        return
    if state != "deferred":
        row.forwarded, row.not_before = state, now
        return
    row.tries += 1
    if row.tries > len(_FORWARD_AGAIN):
        row.forwarded = "failed"
        return
    row.forwarded, row.not_before = "pending", now + _FORWARD_AGAIN[row.tries - 1]


def forwards_left(session: Session, now: datetime) -> int:
    """What was being sent on when a worker died: nobody knows whether it arrived, and it is not sent again."""
    left = update(Spooled).where(_IS_OWNERS, Spooled.forwarded == "handing", Spooled.not_before < now - _FORGOTTEN)
    return changed(session.execute(left.values(forwarded="uncertain")))


# ── whose ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def of_person(session: Session, person_id: int) -> list[Spooled]:
    """A person's mails, newest first, without their content."""
    return list(session.scalars(select(Spooled).where(Spooled.person_id == person_id).order_by(Spooled.id.desc())))


def come_back(session: Session, *, now: datetime) -> int:
    """After a restore: what waited when the backup was made has been handled since. Handled once more, an answer, a
    leave or a report does nothing twice, and an opt-out must not be lost; a wish to join would bring a second letter to
    somebody who asked long ago, and is closed. What was to be sent on to an owner may have been, and is not sent again;
    it stands in the console. How many were closed."""
    may_have_gone = update(Spooled).where(_IS_OWNERS, Spooled.forwarded.in_(["pending", "handing"]))
    session.execute(may_have_gone.values(forwarded="uncertain"), execution_options=_NO_OBJECTS)
    joins = update(Spooled).where(_IS_WAITING, func.lower(Spooled.recipient).like("%-join@%"))
    values = {"state": HANDLED, "kind": "command", "outcome": "restored", "raw": None, "handled_at": now}
    return changed(session.execute(joins.values(**values), execution_options=_NO_OBJECTS))


# ── gone ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def clear(session: Session, before: datetime, *, limit: int = 5000) -> int:
    """Delete mails that came before then and need nobody any more; how many. Mails that wait, for the program or for a
    person, stay. What is deleted is not known when it is handed in again: so keep them longer than any server tries."""
    old = (
        select(Spooled.id)
        .where(Spooled.received_at < before, Spooled.state.in_([HANDLED, SEEN]))
        .order_by(Spooled.received_at)
        .limit(limit)
    )
    return changed(session.execute(delete_rows(Spooled).where(Spooled.id.in_(old)), execution_options=_NO_OBJECTS))


def over(session: Session, before: datetime) -> int:
    """How many mails `clear` would delete in all."""
    old = (Spooled.received_at < before, Spooled.state.in_([HANDLED, SEEN]))
    return session.scalar(select(func.count()).select_from(Spooled).where(*old)) or 0


def forget(session: Session, person_id: int, *, addresses: Sequence[str] = ()) -> int:
    """A person is erased: the content of their mails goes, and the return path; that there was a mail stays. Also mails
    from these `addresses` that were not known to be theirs: by return path, or by whom they say that they are from. How
    many rows that was."""
    theirs: ColumnElement[bool] = Spooled.person_id == person_id
    if addresses:
        theirs = or_(
            theirs,
            func.lower(Spooled.sender).in_([address.lower() for address in addresses]),
            among(Spooled.id, _written_by(session, {fold(address) for address in addresses})),
        )
    open_ones = update(Spooled).where(theirs, Spooled.state.in_([OWNER, FAILED])).values(state=SEEN)
    session.execute(open_ones, execution_options=_NO_OBJECTS)
    gone = update(Spooled).where(theirs, Spooled.state != WAITING).values(raw=None, sender="", person_id=None)
    return changed(session.execute(gone, execution_options=_NO_OBJECTS))


def _written_by(session: Session, folded: Set[str]) -> list[int]:
    """Mails whose content is kept and whose From names one of these addresses: a forwarder gives a return path of its
    own. Each is looked at, since only what waits for a person, or failed, has its content still."""
    found = []
    last = 0
    header = func.substr(Spooled.raw, 1, _HEADER)
    kept = select(Spooled.id, header).where(Spooled.raw.is_not(None), Spooled.state != WAITING).order_by(Spooled.id)
    while rows := session.execute(kept.where(Spooled.id > last).limit(_AT_ONCE)).all():
        last = rows[-1][0]
        found += [
            number
            for number, begin in rows
            if folded & {fold(address) for address in reading.read(bytes(begin)).addresses("From")}
        ]
    return found
