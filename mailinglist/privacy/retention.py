"""What is not needed any more goes by itself, once a day (REQUIREMENTS 2.4, GDPR 5(1)(e)): one rule for each kind.

Periods are settings (`periods`). Each rule lets go a group at a time, so that nobody waits for it, and what went is
counted by day and rule (`cleared`), in the transaction that lets it go. Where most of what is looked at stays, a rule
walks through it, a stretch in each step, and `walks` holds how far it has come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import Session

from .. import db, moments
from ..consent import evidence, import_jobs, register, requests
from ..consent.states import State
from ..consent.tables import Person, Request, Subscription
from ..db import insert_new
from ..delivery import bounces, server_words
from ..inbound import spool, unseen
from ..observe import count, logger
from ..staff import accounts, audit, programs, sign_ins
from . import disclosures, leftovers, rights, tasks
from .access import keep_days
from .tables import Cleared, Task, Walk

_GROUP = 200
_MANY = 2_000
# Some thirty statements each: so many take a quarter of a second on two busy cores, and are locked for no longer.
_PERSONS = 10
_LEAP = 2
"""More days than this between two runs look like a leap of the clock."""
_AGAIN = timedelta(hours=6)
"""After a run that let nothing go because of such a leap, the next one waits for so long at least."""
_SKIPPED = "skipped"
"""Names the walk that holds when that was, in seconds since 1970; 0: the run before was one."""
_DAY = "day"
"""Names the walk that holds the day of the last run, as a number (`date.toordinal`)."""
_SOURCE = "retention"
"""What the ledger says of an erasure that nobody asked for: a period is over."""


_log = logger(__name__)


class Step(NamedTuple):
    """What one step of a rule did."""

    went: int
    more: bool
    """There may be more to let go: once again."""


Clear = Callable[[Session, datetime, datetime], Step]
"""Let one group go of what is from before the first moment; the second is now."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of retention."""

    name: str
    """Of its period, in `periods.PERIODS`; two rules may go by one."""
    what: str
    """What goes."""
    period: str
    basis: str
    """Why it goes then."""
    clear: Clear
    due: Callable[[Session, datetime], int]
    """How much would go now, of what is from before this moment."""

    def before(self, days: Mapping[str, int], now: datetime) -> datetime:
        """What is from before this moment goes."""
        return now - timedelta(days=days[self.period])


def tidy(session: Session, *, now: datetime) -> int:
    """Let one group go by each rule. Returns how much went in groups: call again, in a transaction of its own, until it
    is 0."""
    steps = [_step(session, rule, now) for rule in RULES]
    return sum(step.went + step.more for step in steps)


def _step(session: Session, rule: Rule, now: datetime) -> Step:
    step = rule.clear(session, rule.before(keep_days(session), now), now)
    if step.went:
        _counted(session, rule.name, step.went, now)
        count(f"cleared_{rule.name}", step.went)
    return step


def run(*, stop: Callable[[], bool]) -> dict[str, int]:
    """Let everything go that has had its time: each group in a transaction of its own, so that nobody waits for it.

    For the scheduler and the command, inside an application context. Returns how much went by each rule in this run.
    """
    before = _total()
    for rule in RULES:
        more = True
        while more and not stop():
            with db.transaction() as session:
                more = _step(session, rule, _now(session)).more
    leftovers.cut_log()
    return {name: number - before[name] for name, number in _total().items()}


def run_daily(*, stop: Callable[[], bool]) -> dict[str, int] | None:
    """`run`, for the scheduler. None: the run before was more than two days ago, and so nothing goes before the
    next one, which comes some hours later.

    A clock that leaps ahead makes old what is young, and what is let go does not come back. When it does, it is seldom
    wrong for more than a day; and when the machine was off, a run more does no harm. One run is left out and not two:
    else a machine that is on once a week would never let anything go.
    """
    with db.transaction() as session:
        now = _now(session)
        today, before = now.toordinal(), _walked(session, _DAY)
        skipped = _walked(session, _SKIPPED)
        waiting = bool(skipped) and moments.recent(datetime.fromtimestamp(skipped, UTC), now, _AGAIN)
        leapt = not skipped and today - before > _LEAP
        began = int(now.timestamp()) if leapt and before else 0  # the first run of all says nothing of a clock
        _walk_on(session, _DAY, today)
        if not waiting:
            _walk_on(session, _SKIPPED, began)
    if leapt:
        _log.warning("retention_waits_a_day", days=today - before if before else None)
    return None if leapt or waiting else run(stop=stop)


def _now(session: Session) -> datetime:
    """Of this machine's clock and the database's, what the earlier one says: only what both call old goes."""
    return min(db.utcnow(), db.clock(session))


def _total() -> dict[str, int]:
    with db.reading() as session:
        known = dict(session.execute(select(Cleared.rule, func.sum(Cleared.number)).group_by(Cleared.rule)).all())
    return {name: int(known.get(name, 0)) for name in NAMES}


def days(session: Session) -> dict[str, int]:
    """After how many days each rule lets go, by its name."""
    periods = keep_days(session)
    return {rule.name: periods[rule.period] for rule in RULES}


@dataclass(frozen=True, slots=True)
class Due:
    """What one rule would let go at a moment."""

    rule: Rule
    days: int
    before: datetime
    number: int


def due(session: Session, *, now: datetime) -> list[Due]:
    """What would go if `tidy` was called at this moment. Changes nothing."""
    days = keep_days(session)
    return [
        Due(rule, days[rule.period], rule.before(days, now), rule.due(session, rule.before(days, now)))
        for rule in RULES
    ]


@dataclass(frozen=True, slots=True)
class Gone:
    """What one rule let go on one day (UTC)."""

    day: date
    rule: str
    number: int


def gone(session: Session, *, before: date | None = None, limit: int = 60) -> Sequence[Gone]:
    """What went, the latest day first."""
    wanted = select(Cleared.day, Cleared.rule, Cleared.number)
    if before is not None:
        wanted = wanted.where(Cleared.day < before)
    rows = session.execute(wanted.order_by(Cleared.day.desc(), Cleared.rule).limit(limit))
    return [Gone(*row) for row in rows]


def _counted(session: Session, rule: str, number: int, now: datetime) -> None:
    statement = insert_new(session, Cleared).values(day=now.astimezone(UTC).date(), rule=rule, number=number)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["day", "rule"], set_={"number": Cleared.number + statement.excluded.number}
        )
    )


# ── the rules ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _group(went: int) -> Step:
    """A rule that finds what is to go: until there is none."""
    return Step(went, more=went > 0)


def _walked(session: Session, name: str) -> int:
    return session.scalar(select(Walk.position).where(Walk.name == name)) or 0


def _walk_on(session: Session, name: str, position: int) -> None:
    statement = insert_new(session, Walk).values(name=name, position=position)
    session.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"position": position}))


def _lapse(session: Session, before: datetime, now: datetime) -> Step:
    lapsed, more = register.unanswered(session, before=before, limit=_PERSONS)
    for person, row in lapsed:
        if register.lapse(session, person, row, now=now):
            rights.forget(session, person, now, source=_SOURCE)
    return Step(len(lapsed), more)


def _lapsing(session: Session, before: datetime) -> int:
    return register.count_unanswered(session, before=before)


def _clear_requests(session: Session, before: datetime, _now: datetime) -> Step:
    """A stretch of the walk through all old requests: letters of consent that is relied on rest on most of them."""
    went, last = requests.clear_after(session, _walked(session, "requests"), before=before, limit=_MANY)
    _walk_on(session, "requests", last or 0)
    return Step(went, more=last is not None)


def _requests_due(session: Session, before: datetime) -> int:
    return session.scalar(select(func.count()).select_from(Request).where(*requests.over(before))) or 0


def _forget_gone(session: Session, before: datetime, now: datetime) -> Step:
    """Who left the last list before this moment is forgotten, as by erasure: nothing rests on their data any more. The
    ledger keeps an import from bringing them back."""
    # In no order: for one, all who are due would be looked up for each group. Nobody waits here, so no order is needed.
    wanted = select(Person.id).where(*_long_gone(before)).limit(_PERSONS)
    found = session.scalars(wanted.with_for_update(of=Person, skip_locked=True)).all()
    # Once more: who came back while the first look went on was found there as they had been before.
    still = select(Person).where(Person.id.in_(found), *_long_gone(before))
    persons = session.scalars(still, execution_options={"populate_existing": True}).all()
    for person in persons:
        rights.forget(session, person, now, source=_SOURCE)
    return Step(len(persons), more=bool(found))


def _gone_due(session: Session, before: datetime) -> int:
    return session.scalar(select(func.count()).select_from(Person).where(*_long_gone(before))) or 0


def _long_gone(before: datetime) -> tuple[ColumnElement[bool], ...]:
    theirs = Subscription.person_id == Person.id
    stays = exists().where(theirs, (Subscription.state != State.LEFT.value) | (Subscription.since >= before))
    left = select(Subscription.person_id).where(Subscription.state == State.LEFT.value, Subscription.since < before)
    return Person.id.in_(left), ~stays, Person.restricted_at.is_(None)


def _clear_evidence(session: Session, before: datetime, _now: datetime) -> Step:
    """A stretch of the walk through those who came back: of most of them everything old went long ago."""
    after = _walked(session, "evidence")
    found, last = evidence.unneeded_after(session, after, before=before, persons=_GROUP)
    _walk_on(session, "evidence", last or 0)
    return Step(evidence.let_go(session, found) if found else 0, more=last is not None)


def _evidence_due(session: Session, before: datetime) -> int:
    return len(evidence.unneeded(session, before=before, limit=100_000))


def _clear_audit(session: Session, before: datetime, _now: datetime) -> Step:
    return _group(audit.clear(session, before=before, limit=_MANY))


def _audit_due(session: Session, before: datetime) -> int:
    return audit.count(session, before=before)


def _clear_sign_ins(session: Session, before: datetime, _now: datetime) -> Step:
    return _group(sign_ins.clear(session, before=before) + accounts.clear_links(session, before=before))


def _sign_ins_due(session: Session, before: datetime) -> int:
    return sign_ins.over(session, before=before) + accounts.links_over(session, before=before)


def _clear_programs(session: Session, before: datetime, _now: datetime) -> Step:
    return _group(programs.clear(session, before=before))


def _programs_due(session: Session, before: datetime) -> int:
    return programs.over(session, before=before)


def _clear_uploads(session: Session, before: datetime, now: datetime) -> Step:
    return _group(import_jobs.drop_abandoned(session, before=before, now=now))


def _uploads_due(session: Session, before: datetime) -> int:
    return import_jobs.abandoned(session, before=before)


def _clear_tasks(session: Session, before: datetime, _now: datetime) -> Step:
    return _group(tasks.clear(session, before=before, limit=_GROUP))


def _tasks_due(session: Session, before: datetime) -> int:
    return session.scalar(select(func.count()).select_from(Task).where(Task.done_at < before)) or 0


def _clear_disclosures(session: Session, before: datetime, _now: datetime) -> Step:
    return _group(disclosures.clear(session, before=before, limit=_GROUP))


def _disclosures_due(session: Session, before: datetime) -> int:
    return disclosures.over(session, before=before)


def _clear_returned(session: Session, before: datetime, _now: datetime) -> Step:
    return _group(bounces.forget_words(session, before=before, limit=_MANY))


def _returned_due(session: Session, before: datetime) -> int:
    return bounces.said(session, before=before)


def _clear_incoming(session: Session, before: datetime, _now: datetime) -> Step:
    return _group(spool.clear(session, before, limit=_MANY))


def _incoming_due(session: Session, before: datetime) -> int:
    return spool.over(session, before)


def _clear_unread(session: Session, before: datetime, now: datetime) -> Step:
    return _group(unseen.outlive(session, before, limit=_GROUP, now=now))


def _unread_due(session: Session, before: datetime) -> int:
    return unseen.outliving(session, before)


def _clear_answers(session: Session, before: datetime, _now: datetime) -> Step:
    """A stretch of the walk through all mails, each of which is passed once: most have no answer."""
    after = _walked(session, "answers")
    number, last = server_words.forget_answers(session, after=after, before=before, limit=_MANY)
    if last > after:
        _walk_on(session, "answers", last)
    return Step(number, more=last > after)


def _answers_due(session: Session, before: datetime) -> int:
    return server_words.answered(session, after=_walked(session, "answers"), before=before)


RULES: tuple[Rule, ...] = (
    Rule(
        "unanswered", "requests that nobody answered, with whoever is known by nothing else", "unanswered",
        "no consent came of it", _lapse, _lapsing,
    ),
    Rule("requests", "numbers of requests that were dealt with", "unanswered", "they have served", _clear_requests,
         _requests_due),
    Rule(
        "left", "persons who left the last list, with all that is held about them", "evidence",
        "nobody can ask for the proof any more: three years are the period of limitation (Act 728/2003)",
        _forget_gone, _gone_due,
    ),
    Rule(
        "evidence", "evidence of an earlier consent, of persons who are on the list again", "evidence",
        "it is no longer relied on", _clear_evidence, _evidence_due,
    ),
    Rule("audit", "lines of the audit", "audit", "access can be looked into for so long", _clear_audit, _audit_due),
    Rule("sign_ins", "sign-ins and links of staff that are over", "sign_ins", "what they were is in the audit",
         _clear_sign_ins, _sign_ins_due),
    Rule("programs", "tokens of other systems that are over", "audit", "the audit names them for so long",
         _clear_programs, _programs_due),
    Rule("uploads", "files of people that nobody decided about", "uploads", "nobody needs them", _clear_uploads,
         _uploads_due),
    Rule("tasks", "tasks that were done", "tasks", "that it was answered can be shown for so long", _clear_tasks,
         _tasks_due),
    Rule(
        "disclosures", "disclosures of which nobody is in the register any more", "disclosures",
        "nobody is left whose recipients would have to be told", _clear_disclosures, _disclosures_due,
    ),
    Rule("answers", "answers of mail servers", "answers", "old failures say nothing any more", _clear_answers,
         _answers_due),
    Rule("returned", "what mail servers said of mails that failed", "answers", "old failures say nothing any more",
         _clear_returned, _returned_due),
    Rule("unread", "mails that waited for a person, and nobody dealt with", "unread",
         "nobody needed them for so long; the list's owner was told two weeks before", _clear_unread, _unread_due),
    Rule("incoming", "mails that came in and were dealt with", "incoming", "nobody needs them", _clear_incoming,
         _incoming_due),
)  # fmt: skip
"""Every rule, in the order in which they are looked at."""
NAMES: tuple[str, ...] = tuple(rule.name for rule in RULES)
