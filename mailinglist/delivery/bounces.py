"""Mails that failed: refused in the conversation, or reported afterwards. The only writer of bounces.

A mail fails once, whatever comes in about it. It is noted in the transaction that settles the refusal or handles the
report, in a few statements for many; whom it means can't be reached any more is weighed afterwards (`weigh`), person
by person, so that nothing waits for that. What is said of us rather than of the person pauses a bulletin (`watch`).
The policy is in `failures`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row, TextClause, bindparam, func, select, text, update
from sqlalchemy.orm import Session

from .. import observe
from ..consent import pins, register
from ..consent.states import State
from ..consent.tables import MailingList, Person, Subscription
from ..db import NO_OBJECTS, UtcDateTime, among, changed
from . import dispatch, failures, troubles, verdicts
from .failures import Blame, Failure, Went
from .handoffs import BULLETIN, look_up_by_key
from .tables import Bounce, Dispatch, Handoff
from .verdicts import Verdict

_log = observe.logger(__name__)

CONVERSATION, REPORT = "conversation", "report"

NOTED = "noted"
UNDELIVERABLE = "undeliverable"
"""Noted; and the person can't be reached any more."""
PAUSED = "paused"
"""Noted; and a bulletin that was being sent stands still."""
AGAIN = "again"
"""The mail had failed already."""
OLD = "old"
"""The mail is from so long ago that it doesn't count."""
UNKNOWN = "unknown"
"""There is no such mail, or it went to nobody in the register."""
NOTHING = "nothing"
"""Nothing failed."""

_COUNTING = (Verdict.DEAD, Verdict.MAILBOX, Verdict.SENDER)
_SOURCES = {Verdict.DEAD: "bounces: dead", Verdict.MAILBOX: "bounces: mailbox"}
"""What the ledger says of why somebody was given up."""
_MANY = 200
_NEAR = 20 * failures.WINDOW
"""Mails of one bulletin that go one after the other have numbers so near: others, and letters, may go at the same
time."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A mail that a server refused for good in the conversation, in the server's words."""

    handoff_id: int
    code: int
    status: str | None
    words: str


@dataclass(frozen=True, slots=True)
class Reported:
    """A mail that a report says has failed."""

    handoff_id: int
    verdict: Verdict
    status: str | None = None
    words: str = ""


# ── noting ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def note_refused(session: Session, refused: Sequence[Refused], *, now: datetime) -> Collection[tuple[int, int]]:
    """Note what servers refused, in the transaction that settled it: one statement for all of a group. A row that is
    not `rejected` (it was taken back meanwhile) is passed over.

    Returns the bulletins and mails of which a server spoke ill because of us: they are to be watched (`watch`).
    """
    failed = []
    for each in refused:
        verdict = verdicts.judge(code=each.code, status=each.status, words=each.words)
        if verdict is Verdict.DEAD and each.code < 500:
            verdict = Verdict.MAILBOX  # put off for four days: nobody said that there is no such address for good
        if verdict in _COUNTING:
            failed.append(_row(each.handoff_id, verdict, each.code, each.status, each.words))
    added = _insert(session, failed, CONVERSATION, now) if failed else ()
    return _blamed(added)


def note_many(session: Session, reported: Sequence[Reported], *, now: datetime) -> list[str]:
    """Note what reports say, in a handful of statements; what came of each, in their order: NOTED, PAUSED, AGAIN, OLD,
    UNKNOWN or NOTHING. Who can't be reached by that is weighed later (`weigh`)."""
    wanted = sorted({each.handoff_id for each in reported if each.verdict in _COUNTING})
    if not wanted:
        return [NOTHING] * len(reported)
    look_up_by_key(session)
    known = {
        number: (person, settled)
        for number, person, settled in session.execute(
            select(Handoff.id, Handoff.person_id, Handoff.settled_at).where(among(Handoff.id, wanted))
        )
    }
    # Nobody of them is erased until this is committed: else a server's words would come after.
    persons = sorted({person for person, _settled in known.values()})
    pins.pin_many(session, select(Person.id).where(among(Person.id, persons)))
    failed: dict[int, dict[str, object]] = {}
    for each in reported:
        if each.verdict in _COUNTING:
            row = _row(each.handoff_id, each.verdict, None, each.status, each.words)
            failed.setdefault(each.handoff_id, row)
    added = {row.handoff_id: row for row in _insert(session, list(failed.values()), REPORT, now)}
    paused = watch(session, _blamed(added.values()))
    came = []
    for each in reported:
        person, settled = known.get(each.handoff_id, (0, None))
        if each.verdict not in _COUNTING:
            came.append(NOTHING)
        elif not person:
            came.append(UNKNOWN)
        elif settled is not None and settled < now - failures.REPORTED_WITHIN:
            came.append(OLD)
        elif (new := added.pop(each.handoff_id, None)) is None:
            came.append(AGAIN)
        else:
            came.append(PAUSED if new.verdict == Verdict.SENDER and new.bulletin_id in paused else NOTED)
    return came


def note(
    session: Session, handoff_id: int, verdict: Verdict, *, status: str | None = None, words: str = "", now: datetime
) -> str:
    """Note what one report says, and weigh at once what it means. Returns what came of it: a word of those above."""
    [came] = note_many(session, [Reported(handoff_id, verdict, status, words)], now=now)
    if came == NOTED:
        found = session.execute(
            select(Bounce.id, Bounce.person_id).where(Bounce.handoff_id == handoff_id, Bounce.due)
        ).all()
        if _weigh(session, found, now=now):
            return UNDELIVERABLE
    return came


def _row(number: int, verdict: Verdict, code: int | None, status: str | None, words: str) -> dict[str, object]:
    return {
        "id": number, "verdict": verdict.value, "code": code, "status": status[:11] if status else None,
        "words": observe.redact(words)[:500] if words else None,
    }  # fmt: skip


def _insert(
    session: Session, failed: Sequence[Mapping[str, object]], origin: str, now: datetime
) -> Sequence[Row[int, int, str]]:
    """The rows that are new: handoff, bulletin, verdict."""
    dialect = session.get_bind().dialect.name
    values = {"rows": json.dumps(failed), "origin": origin, "now": now, "oldest": now - failures.REPORTED_WITHIN}
    return session.execute(_INSERT[dialect], values).all()


def _blamed(added: Iterable[Row[int, int, str]]) -> set[tuple[int, int]]:
    """Which bulletins and mails of them failed because of us."""
    return {(row.bulletin_id, row.handoff_id) for row in added if row.verdict == Verdict.SENDER and row.bulletin_id}


def _inserting(given: str) -> TextClause:
    """One statement for all: the rest of what is known of a mail comes from its row. Of who is erased, no words."""
    statement = (
        "INSERT INTO bounces (handoff_id, bulletin_id, list_id, person_id, domain, verdict, origin, code, status, "
        "words, at, mailed_at, due) SELECT h.id, CASE WHEN h.kind = 'bulletin' THEN h.about ELSE 0 END, h.list_id, "
        "h.person_id, coalesce(p.domain, ''), v.verdict, CAST(:origin AS TEXT), v.code, v.status, "
        "CASE WHEN p.id IS NOT NULL THEN v.words END, :now, coalesce(h.settled_at, :now), "
        "v.verdict <> 'sender' AND p.id IS NOT NULL "
        "FROM {given} JOIN handoffs AS h ON h.id = v.id LEFT JOIN persons AS p ON p.id = h.person_id "
        # CASE hides from the planner how few rows are rejected: it would begin with all of those (see handoffs).
        "WHERE CASE WHEN h.person_id > 0 AND coalesce(h.settled_at, :now) >= :oldest "
        "THEN CAST(:origin AS TEXT) = 'report' OR h.state = 'rejected' ELSE FALSE END "
        # In one order: two who note reports of the same mails must not wait for each other.
        "ORDER BY h.id "
        "ON CONFLICT (handoff_id) DO NOTHING RETURNING handoff_id, bulletin_id, verdict"
    )
    moments = (bindparam("now", type_=UtcDateTime), bindparam("oldest", type_=UtcDateTime))
    return text(statement.format(given=given)).bindparams(*moments)


_INSERT = {
    "sqlite": _inserting(
        "(SELECT value ->> '$.id' AS id, value ->> '$.verdict' AS verdict, value ->> '$.code' AS code, "
        "value ->> '$.status' AS status, value ->> '$.words' AS words FROM json_each(:rows)) AS v",
    ),
    "postgresql": _inserting(
        "json_to_recordset(CAST(:rows AS json)) AS v (id bigint, verdict text, code int, status text, words text)",
    ),
}


# ── what it means for the person ──────────────────────────────────────────────────────────────────────────────────────


def weigh(session: Session, *, now: datetime, limit: int = _MANY) -> int:
    """Look at some of the bounces that nobody has weighed, oldest first: who can't be reached any more is given up.
    Returns how many bounces that were; 0: none is left. Two at once do the same work, and nothing twice."""
    found = session.execute(
        select(Bounce.id, Bounce.person_id).where(Bounce.due).order_by(Bounce.id).limit(limit)
    ).all()
    _weigh(session, found, now=now)
    return len(found)


def _weigh(session: Session, found: Sequence[Row[int, int]], *, now: datetime) -> int:
    """How many subscriptions were given up."""
    if not found:
        return 0
    number = 0
    given_up = sorted({person for person, _list, _why in _unreachable(session, [row[1] for row in found])})
    for person_id in register.sorted_by_address(session, given_up):
        if register.locked(session, person_id) is None:
            continue
        # Once more, under the lock: a sign-up of their own may have come in between.
        for person, list_id, why in _unreachable(session, [person_id]):
            row = session.get_one(MailingList, list_id)
            register.give_up(session, person, row, source=_SOURCES[why], now=now)
            _log.info("person_given_up", person=person, list=list_id, why=why.value)
            observe.count("persons_given_up")
            number += 1
    weighed = update(Bounce).where(among(Bounce.id, [row[0] for row in found])).values(due=False)
    session.execute(weighed, execution_options=NO_OBJECTS)
    return number


def _unreachable(session: Session, persons: Collection[int]) -> list[tuple[int, int, Verdict]]:
    """Of these persons: who can't be reached, on which list, and why. What failed before the present state of a
    subscription began does not count for it."""
    look_up_by_key(session)
    rows = session.execute(
        select(
            Subscription.person_id, Subscription.list_id, Bounce.verdict, Bounce.bulletin_id, Bounce.mailed_at
        )
        .join(Bounce, Bounce.person_id == Subscription.person_id)
        .where(
            among(Subscription.person_id, sorted(set(persons))),
            Subscription.state == State.ACTIVE.value,
            Bounce.mailed_at >= Subscription.since,
            Bounce.verdict != Verdict.SENDER.value,
        )
        .order_by(Subscription.person_id, Subscription.list_id)
    )  # fmt: skip
    by_place: dict[tuple[int, int], list[Failure]] = {}
    for person, list_id, verdict, bulletin, mailed_at in rows:
        by_place.setdefault((person, list_id), []).append(Failure(Verdict(verdict), bulletin, mailed_at))
    return [
        (person, list_id, why)
        for (person, list_id), failed in by_place.items()
        if (why := failures.unreachable(failed)) is not None
    ]


# ── what it means for a bulletin ──────────────────────────────────────────────────────────────────────────────────────


def watch(session: Session, blamed: Collection[tuple[int, int]]) -> Collection[int]:
    """These bulletins have mails that failed because of us, these: pause those that are being sent while too many mails
    around one of them failed in the same way. Returns which.

    Of the mails as they were handed over one after the other, wherever that was: reports may come a while after the
    mails have gone, and then stop what is still to go; and what failed later hides nothing.
    """
    of_bulletin: dict[int, list[int]] = defaultdict(list)
    for bulletin_id, mail in sorted(set(blamed)):
        of_bulletin[bulletin_id].append(mail)
    paused = set()
    for bulletin_id, mails in of_bulletin.items():
        found = session.execute(
            select(Dispatch.state, Dispatch.resumed_at).where(Dispatch.bulletin_id == bulletin_id)
        ).one_or_none()
        if found is None or found.state != "sending":
            continue
        look_up_by_key(session)
        for first, last in _stretches(mails):
            ill = _ill(session, bulletin_id, found.resumed_at, first - _NEAR, last + _NEAR)
            if len(ill) <= failures.MOST_BLAMED:
                continue
            too_many = failures.too_many(_went(session, bulletin_id, ill, first, last))
            if not too_many:
                continue
            words = next((each.words for each in too_many if each.words), "–")
            trouble = troubles.refused(window=failures.WINDOW, most=failures.MOST_BLAMED, words=words)
            dispatch.pause(session, bulletin_id, trouble=trouble)
            _log.warning("bulletin_paused_by_refusals", bulletin=bulletin_id)
            observe.count("bulletins_paused_by_refusals")
            paused.add(bulletin_id)
            break
    return paused


def _stretches(mails: Sequence[int]) -> list[tuple[int, int]]:
    """Mails, by number, put together where they are near to each other: the first and the last of each."""
    found: list[tuple[int, int]] = []
    for mail in mails:
        if found and mail - found[-1][1] <= failures.WINDOW:
            found[-1] = (found[-1][0], mail)
        else:
            found.append((mail, mail))
    return found


def _ill(session: Session, bulletin_id: int, since: datetime | None, first: int, last: int) -> dict[int, Blame]:
    """The mails of a bulletin that failed because of us, of these numbers; only those since somebody let it go on."""
    wanted = select(Bounce.handoff_id, Bounce.origin == REPORT, Bounce.words).where(
        Bounce.handoff_id >= first, Bounce.handoff_id <= last, Bounce.bulletin_id == bulletin_id,
        Bounce.verdict == Verdict.SENDER.value,
    )  # fmt: skip
    if since is not None:
        wanted = wanted.where(Bounce.mailed_at > since)
    return {number: Blame(reported, words) for number, reported, words in session.execute(wanted)}


def _went(session: Session, bulletin_id: int, ill: Mapping[int, Blame], first: int, last: int) -> list[Went]:
    """The mails of a bulletin from one to another in the order in which they were handed over, with those that stand in
    one WINDOW with either."""
    # In expressions, so that the key by number serves, and not the one with all of the bulletin's rows.
    sent = (
        select(Handoff.id, Person.domain)
        .outerjoin(Person, Person.id == Handoff.person_id)
        .where(
            Handoff.kind + "" == BULLETIN, Handoff.about + 0 == bulletin_id,
            Handoff.state.not_in(("pending", "excluded")),
        )
    )  # fmt: skip
    earlier = sent.where(Handoff.id < first, Handoff.id >= first - _NEAR).order_by(Handoff.id.desc())
    later = sent.where(Handoff.id >= first, Handoff.id <= last + _NEAR).order_by(Handoff.id)
    rows = [
        *reversed(session.execute(earlier.limit(failures.WINDOW - 1)).all()),
        *session.execute(later.limit(last - first + failures.WINDOW)).all(),
    ]
    return [Went(domain or "", ill.get(number)) for number, domain in rows]


# ── letting go ────────────────────────────────────────────────────────────────────────────────────────────────────────


def forget(session: Session, person_id: int) -> int:
    """The person is erased: what servers said goes, and the domain of the address. How many rows are kept."""
    gone = update(Bounce).where(Bounce.person_id == person_id).values(words=None, domain="", due=False)
    return changed(session.execute(gone, execution_options=NO_OBJECTS))


def forget_words(session: Session, *, before: datetime, limit: int) -> int:
    """Delete what servers said before this moment, of up to `limit` mails. How many."""
    old = select(Bounce.id).where(Bounce.words.is_not(None), Bounce.at < before).order_by(Bounce.at).limit(limit)
    gone = update(Bounce).where(Bounce.id.in_(old)).values(words=None)
    return changed(session.execute(gone, execution_options=NO_OBJECTS))


def said(session: Session, *, before: datetime) -> int:
    """How many `forget_words` would empty in all."""
    wanted = select(func.count()).select_from(Bounce).where(Bounce.words.is_not(None), Bounce.at < before)
    return session.scalar(wanted) or 0
