"""An audience rule as SQL, and how many it reaches. It reads only.

`count` is exact, and takes as long as the register is large: about half a second for a million persons. `estimate` is
for pages that count while somebody chooses: of a large register it looks at a sample, and says so.

`members` begins from who is active on the list, and each part of a rule takes some away: so no rule reaches past the
register. Whether the person may be mailed when their turn comes, the gate says once more.

Known limits: who "was sent" an earlier bulletin is told by its rows, so that while that one is still being sent, those
who have no row yet count as not sent.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Select, exists, func, select, true, union
from sqlalchemy.orm import Session

from .. import db
from ..bulletins import audience
from ..bulletins.audience import Rule
from ..consent import gate, keys, lists, transfer
from ..consent.states import State
from ..consent.tables import Ban, Evidence, MailingList, Person, Subscription
from .handoffs import BULLETIN
from .tables import Handoff

_REACHED = ("accepted", "uncertain")

_SMALL = 100_000
"""Persons; so many are counted at once."""
_SAMPLE = 2_000
"""Places in a large register that are looked at. What is half of all is then right within two percent of all, 19 times
in 20, even where whole imports stand together."""
_NEIGHBOURS = 8
"""Persons at each place: they lie on one page of the disk, so that eight cost little more than one."""
_RARE = 100
"""Of the sample: fewer would make an estimate that is wrong by more than a fifth, once in 20 times."""
_FEW = 25
"""Of the sample: so many say the first digit. Fewer say only how many there are at most."""
_FILES = 1_000
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True, slots=True)
class Count:
    """How many a rule reaches now, and who else fits it but is left out."""

    audience: int
    """Active, and not banned."""
    left: int
    banned: int
    """Active otherwise."""
    undeliverable: int
    about: bool = False
    """The numbers are estimates, rounded to three digits; the audience to one, where so few of the sample are in it."""
    below: bool = False
    """Of the audience is known only that it is smaller than this; the others are estimates."""


def members(session: Session, list_id: int, rule: Rule, *, zone: str | None = None) -> Select[int]:
    """SELECT of the ids of who is active on the list and fits the rule; `zone`: where its days begin, if not in the
    list's. Whom a ban protects is among them: the gate excludes them by name of the reason, so that the account shows
    it."""
    row = session.get_one(MailingList, list_id)
    return select(Subscription.person_id).where(
        Subscription.list_id == list_id,
        Subscription.state == State.ACTIVE.value,
        *_conditions(rule, ZoneInfo(zone or lists.settings_of(row).time_zone)),
    )


def members_of(session: Session, list_id: int, rule: str, *, zone: str | None = None) -> Select[int]:
    """The same, for a frozen rule. Raises BadInput."""
    return members(session, list_id, audience.read(rule), zone=zone)


def count(session: Session, list_id: int, rule: Rule) -> Count:
    """How many the rule reaches now. Raises RegisterUnsound when the bans can't be read."""
    keys.assert_sound(session)
    row = session.get_one(MailingList, list_id)
    conditions = list(_conditions(rule, ZoneInfo(lists.settings_of(row).time_zone)))
    seen = (State.ACTIVE, State.LEFT, State.UNDELIVERABLE)
    found: dict[str, int] = dict(
        session.execute(
            select(Subscription.state, func.count())
            .where(
                Subscription.list_id == list_id, Subscription.state.in_([state.value for state in seen]), *conditions
            )
            .group_by(Subscription.state)
        ).all()
    )
    active = found.get(State.ACTIVE.value, 0)
    banned = 0
    if active:
        banned = _count_banned(session, list_id, conditions)
    return Count(
        audience=active - banned,
        left=found.get(State.LEFT.value, 0),
        banned=banned,
        undeliverable=found.get(State.UNDELIVERABLE.value, 0),
    )


def estimate(session: Session, list_id: int, rule: Rule) -> Count:
    """As `count`, in a tenth of a second or two, however many persons there are: of a large register by a sample, the
    same one each time. What is rare in the sample, and a small register, is counted. But who was not sent a bulletin
    that nearly everybody was sent could only be counted by looking up each of a million among a million mails, which
    takes a second: of them the sample says what it can. Raises RegisterUnsound."""
    highest = session.scalar(select(func.max(Person.id))) or 0
    if highest <= _SMALL:
        return count(session, list_id, rule)
    keys.assert_sound(session)
    row = session.get_one(MailingList, list_id)
    ids = _sample(highest)
    # What `gate.banned` says, but for many: the bans are read once instead of looked up for each.
    bans = select(Ban.digest).where(gate.against_mail(list_id))
    # Joined first and filtered afterwards: PostgreSQL takes several conditions for rarer than they are, and would then
    # read the whole sample of the one table for each row of the other (2.4 s instead of 0.1).
    seen = (
        select(
            Subscription.person_id, Subscription.state, Subscription.basis, Subscription.since, Subscription.source,
            Person.language, (Person.digest.in_(bans) | Person.exact_digest.in_(bans)).label("banned"),
        )
        .join(Person, Person.id == Subscription.person_id)
        .where(
            Subscription.list_id == list_id, db.among_many(Subscription.person_id, ids), db.among_many(Person.id, ids)
        )
        .cte("seen")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )  # fmt: skip
    zone = ZoneInfo(lists.settings_of(row).time_zone)
    unsent = true() if rule.not_sent is None else ~_looked_up(_was_sent(rule.not_sent, seen.c.person_id))
    fitting = (
        select(seen.c.state, seen.c.banned, unsent.label("unsent"))
        .where(*_conditions(replace(rule, not_sent=None), zone, seen.c))
        .subquery()
    )
    rows = session.execute(
        select(fitting.c.state, fitting.c.banned, fitting.c.unsent, func.count())
        .group_by(fitting.c.state, fitting.c.banned, fitting.c.unsent)
    )  # fmt: skip
    found, sent = Counter[tuple[str, bool]](), 0
    for state, banned, is_unsent, number in rows:
        if is_unsent:
            found[state, bool(banned)] = number
        elif (state, bool(banned)) == (State.ACTIVE.value, False):
            sent = number
    fit = found[State.ACTIVE.value, False]
    if fit < _RARE and fit + sent < _RARE:  # rare for another reason, by which it is found soon
        return count(session, list_id, rule)

    def about(*which: tuple[State, bool], digits: int = 3) -> int:
        number = sum(found[state.value, banned] for state, banned in which) * highest / len(ids)
        return int(float(f"{number:.{digits}g}"))

    below = fit < min(_FEW, _RARE)
    each, digits = highest / len(ids), 3 if fit >= _RARE else 1
    return Count(
        audience=_at_most(fit, each) if below else about((State.ACTIVE, False), digits=digits),
        left=about((State.LEFT, False), (State.LEFT, True)),
        banned=about((State.ACTIVE, True)),
        undeliverable=about((State.UNDELIVERABLE, False), (State.UNDELIVERABLE, True)),
        about=True,
        below=below,
    )


def _at_most(seen: int, each: float) -> int:
    """A round number that is too small once in 20 times at most, if so few of the sample were seen, of whom each stands
    for `each`: by Poisson's law, and as if neighbours were always alike."""
    places = seen / _NEIGHBOURS
    bound = (places + 2 * math.sqrt(places) + 3) * _NEIGHBOURS * each
    unit = 10 ** math.floor(math.log10(bound))
    return int(math.ceil(bound / unit) * unit)


def sources(session: Session, list_id: int, *, limit: int = 100) -> Sequence[str]:
    """Where the list's subscriptions came from, for a menu; in order of the alphabet. In a large register: by the
    latest files that were taken in, and by a sample for what else there is."""
    found = select(Subscription.source).where(Subscription.list_id == list_id).distinct()
    highest = session.scalar(select(func.max(Person.id))) or 0
    if highest <= _SMALL:
        return session.scalars(found.order_by(Subscription.source).limit(limit)).all()
    seen = set(_of_files(session, list_id))
    # One person at each place: an import's people stand beside each other.
    seen.update(session.scalars(found.where(db.among_many(Subscription.person_id, _sample(highest)[::_NEIGHBOURS]))))
    return sorted(seen)[:limit]


def _of_files(session: Session, list_id: int) -> Iterator[str]:
    """The sources of the files that were taken in, by their evidence: it names nobody and is never deleted."""
    row = session.get_one(MailingList, list_id)
    filed = select(Evidence.content).where(Evidence.person_id.is_(None)).order_by(Evidence.id.desc()).limit(_FILES)
    for content in session.scalars(filed):
        said = json.loads(content)
        if said.get("how") in (transfer.BY_FILE, transfer.BY_PROGRAM) and said.get("list") == row.slug:
            yield transfer.source_of(said["source"], said["how"])


def _count_banned(session: Session, list_id: int, conditions: Sequence[ColumnElement[bool]]) -> int:
    """How many of the active a ban protects: what `gate.banned` says, but begun from the bans, which are few beside a
    list's persons."""
    in_force = gate.against_mail(list_id)
    # Only where the address was written with capitals do the two digests differ.
    written = (
        select(Person.id)
        .join(Ban, Ban.digest == Person.exact_digest)
        .where(in_force, Person.exact_digest != Person.digest)
    )
    active = (Subscription.list_id == list_id, Subscription.state == State.ACTIVE.value, *conditions)
    if session.get_bind().dialect.name == "sqlite":
        folded = select(Person.id).join(Ban, Ban.digest == Person.digest).where(in_force)
        banned = select(union(folded, written).subquery().c.id)
        return session.scalar(select(func.count()).where(Subscription.person_id.in_(banned), *active)) or 0
    # LATERAL with LIMIT: PostgreSQL looks up each by its key. Left to itself it reads all persons and subscriptions.
    one = select(Person.id).where(Person.digest == Ban.digest).limit(1).lateral()
    folded = select(one.c.id).select_from(Ban).join(one, true()).where(in_force)
    ids = union(folded, written).subquery()
    hit = select(Subscription.person_id).where(Subscription.person_id == ids.c.id, *active).limit(1).lateral()
    return session.scalar(select(func.count()).select_from(ids).join(hit, true())) or 0


def _sample(highest: int) -> list[int]:
    """Ids of persons, even over all that were given out: steps of the golden ratio fall in with no rhythm in which an
    import may have come. Ids without a person are among them as often as everywhere."""
    starts = (1 + int(number * _GOLDEN % 1 * highest) for number in range(_SAMPLE))
    found = {each for start in starts for each in range(start, start + _NEIGHBOURS)}
    return sorted(each for each in found if each <= highest)


def _conditions(rule: Rule, zone: ZoneInfo, sample: Any = None) -> Iterator[ColumnElement[bool]]:
    """On subscriptions; or on a sample, which has their columns and the person's language."""
    of = Subscription if sample is None else sample
    if rule.languages and sample is None:
        yield Subscription.person_id.in_(select(Person.id).where(Person.language.in_(rule.languages)))
    elif rule.languages:
        yield sample.language.in_(rule.languages)
    if rule.joined_after is not None:
        yield of.since >= _begin_of(rule.joined_after, zone)
    if rule.joined_before is not None:
        yield of.since < _begin_of(rule.joined_before, zone)
    if rule.bases:
        yield of.basis.in_(rule.bases)
    if rule.source is not None:
        yield of.source == rule.source
    for bulletin_id, wanted in ((rule.sent, True), (rule.not_sent, False)):
        if bulletin_id is not None:
            earlier = _was_sent(bulletin_id, of.person_id)
            found = exists(earlier) if sample is None else _looked_up(earlier)
            yield found if wanted else ~found


def _looked_up(earlier: Select[int]) -> ColumnElement[bool]:
    """One look-up for each of a sample: as an EXISTS it would become a join."""
    return earlier.scalar_subquery().is_not(None)


def _was_sent(bulletin_id: int, person_id: Any) -> Select[int]:
    return select(Handoff.person_id).where(
        Handoff.kind == BULLETIN,
        Handoff.about == bulletin_id,
        Handoff.person_id == person_id,
        Handoff.state.in_(_REACHED),
    )


def _begin_of(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)
