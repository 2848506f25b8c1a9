"""What the worker makes of what people asked for (`intake`). With `intake` the only writer of requests.

`take` looks the person up, minutes or milliseconds after the request was written down, and there the states differ: a
letter becomes due, or nothing does. Limits per address are silent; limits per domain and in total slow a request down
and never lose it (REQUIREMENTS 5).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, exists, func, or_, select, update
from sqlalchemy.exc import NoResultFound
from sqlalchemy.orm import Session

from .. import db, moments
from ..errors import MailinglistError, RegisterUnsound
from ..observe import count, logger
from . import bans, ledger, lists, register
from .address import Address, fold, parse
from .keys import keys_of
from .states import Channel, State
from .tables import FOREMOST, Confirmation, ConsentText, MailingList, Person, Request, Subscription

_log = logger(__name__)

JOIN, LEAVE, KEY, EXIT = "join", "leave", "key", "exit"
WEB, MAIL = "web", "mail"
"""Entrances."""
ANSWERS = "in_reply_to"
"""In the origin of what came by mail: the Message-ID that the letter answers."""
CONFIRM_LETTER, ALREADY_LETTER, LEAVE_LETTER, KEY_LETTER = "confirm", "already", "leave", "key"

# Per address: one letter in 10 minutes, three a day, of each kind of request, on every entrance alike.
_ADDRESS_LIMITS = ((timedelta(minutes=10), 1), (timedelta(days=1), 3))
# Of keys to one's own page ten a day: a stranger can bring them about, and must not shut anybody out (`key_used`).
_KEY_LIMITS = ((timedelta(minutes=10), 1), (timedelta(days=1), 10))
UNKNOWN, MUTED, LIMITED = "unknown", "muted", "limited"
"""Outcomes of a request that brings no letter."""
USED = "used"
"""The outcome of a request for a key that came to the person."""
# Per domain and in total, letters in a minute; beyond, requests wait a minute.
_DOMAIN_A_MINUTE = 300
_TOTAL_A_MINUTE = 3000
WAIT = timedelta(minutes=1)
"""How long a request waits that is slowed down."""
# The address of somebody who is known by a ban only is kept for so long after the letter with a key became due: a mail
# server may put the letter off for a while.
_ADDRESS_KEPT = timedelta(hours=3)
_UNREADABLE = (MailinglistError, NoResultFound, KeyError, TypeError, ValueError)
"""What is raised of a kept opt-out that another version wrote, or somebody's hand."""


@dataclass(slots=True)
class _Load:
    """Letters of the last minute, per domain and in total, kept up to date while a group is taken."""

    total: int
    domains: dict[str, int]

    def full(self, domain: str) -> bool:
        return self.total >= _TOTAL_A_MINUTE or self.domains.get(domain, 0) >= _DOMAIN_A_MINUTE

    def add(self, domain: str) -> None:
        self.total += 1
        self.domains[domain] = self.domains.get(domain, 0) + 1


def take(session: Session, *, limit: int = 50, opt_outs: bool = False, now: datetime) -> int:
    """Take up to `limit` due requests, opt-outs that were kept first, and then the oldest; returns how many. 0: nothing
    is due.

    Several workers share the queue: rows are locked, and those that another one holds are skipped. With `opt_outs` only
    those that were kept, all of them, and who else is at it is waited for. One that can't be entered stays, and with it
    the gate's hold on marketing, until a person has seen to it: whoever it is was told that they have left.
    """
    _let_go(session, now)
    due = Request.not_before == FOREMOST if opt_outs else Request.not_before <= now
    waiting = session.scalars(
        select(Request)
        .where(Request.taken_at.is_(None), due)
        .order_by(Request.not_before, Request.id)
        .limit(None if opt_outs else limit)
        .with_for_update(skip_locked=not opt_outs)
    ).all()
    if not waiting:
        return 0
    stuck = 0
    load = _load(session, {request.domain for request in waiting}, now)
    # Persons are locked in one order (`pins.in_order`), so that two workers can't wait for each other.
    for request in sorted(waiting, key=lambda waits: _address(session, waits)):
        if request.kind != EXIT and load.full(request.domain):  # an opt-out brings no letter, and waits for none
            request.not_before = now + WAIT
            count("requests_slowed")
            continue
        try:
            with session.begin_nested():
                _take_one(session, request, now)
        except RegisterUnsound:
            raise
        except _UNREADABLE as error:  # one request that can't be taken must not hold up all others
            _log.error("request_failed", request=request.id, kind=request.kind, error=type(error).__name__)
            if request.kind == EXIT:
                stuck += 1
                continue
            if not isinstance(error, MailinglistError):
                raise
            request.taken_at, request.outcome = now, "failed"
            request.mailbox = request.name = request.origin = None
        if request.letter_due:
            load.add(request.domain)
            db.ring(session, db.LETTERS)
    session.flush()
    return len(waiting) - stuck


def stuck(session: Session, *, before: datetime) -> int:
    """How many opt-outs that were answered before this moment are not entered yet: meanwhile no marketing goes."""
    waits = (Request.taken_at.is_(None), Request.not_before == FOREMOST, Request.received_at < before)
    return session.scalar(select(func.count()).where(*waits)) or 0


def _address(session: Session, request: Request) -> str:
    """The case-folded address of the person whom a request is about; empty: an exit of nobody in the register."""
    if request.kind != EXIT:
        return fold(request.mailbox or "")
    try:
        return register.address_of(session, _ticket(request).digest) or ""
    except _UNREADABLE:  # as it is taken, that is said
        return ""


def _ticket(request: Request) -> register.Ticket:
    """Of a leave that is kept: the token that came with it."""
    return register.Ticket.unpack(bytes.fromhex((request.origin or {})["ticket"]))


def _take_one(session: Session, request: Request, now: datetime) -> None:
    row = session.get_one(MailingList, request.list_id)
    if request.kind == EXIT:
        _take_exit(session, request, row, now)
        return
    address = parse(request.mailbox or "")
    if request.kind == JOIN:
        request.outcome = _take_join(session, request, row, address, now)
    elif request.kind == KEY:
        request.outcome = _take_key(session, request, address, now)
    else:
        request.outcome = _take_leave(session, request, row, address, now)
    request.taken_at = now
    # What was written down now lies with the person, or, for somebody we know nothing of, nowhere.
    request.name, request.origin = None, _still_needed(request)
    if not (request.letter_due and request.person_id is None):
        request.mailbox = None
        if request.person_id is None:
            request.domain = ""
    count(f"requests_{request.outcome}")


def _still_needed(request: Request) -> register.Origin | None:
    """The Message-ID that a letter will answer (RFC 5322 §3.6.4)."""
    answered = (request.origin or {}).get(ANSWERS) if request.letter_due else None
    return {ANSWERS: answered} if answered else None


def answered_by(request: Request) -> str | None:
    """The Message-ID of the mail that this request's letter answers; None: it came otherwise, or had none."""
    answered = (request.origin or {}).get(ANSWERS)
    return answered if isinstance(answered, str) else None


def _take_exit(session: Session, request: Request, row: MailingList, now: datetime) -> None:
    ticket = _ticket(request)
    origin = {key: value for key, value in (request.origin or {}).items() if key != "ticket"}
    ban = [Channel(name) for name in origin.pop("ban")]
    origin["asked_at"] = ledger.moment(request.received_at)
    register.leave_by(session, ticket, row, origin=origin, ban=ban, now=now)
    request.taken_at, request.outcome, request.origin = now, "left", None


def _take_join(session: Session, request: Request, row: MailingList, address: Address, now: datetime) -> str:
    if bans.forbids_mail(session, bans.digests(session, address), row):
        return "banned"
    person = register.enter(session, address, language=request.language, name=request.name, now=now)
    request.person_id = person.id
    standing = register.subscription(session, person.id, row.id)
    state = standing.standing if standing else State.NONE
    if state is not State.ACTIVE and person.muted_until is not None and person.muted_until > now:
        return MUTED
    enough = _enough(session, JOIN, Request.person_id == person.id, standing, now)
    if state is State.ACTIVE:
        request.epoch = standing.epoch if standing else 0
        if enough:
            return LIMITED
        _letter(request, ALREADY_LETTER, now)
        return "already"
    if enough and standing is not None:
        # It joins the open request: the browser that asked is known, the letter is on its way already.
        request.epoch = standing.epoch
        return "joined"
    text = session.get(ConsentText, request.text_id) if request.text_id else None
    text = text or lists.current_text(session, row, request.language)
    request.text_id = text.id
    evidence = {**(request.origin or {}), "asked_at": ledger.moment(request.received_at)}
    standing = register.ask(
        session, person, row, text, source=request.entrance, evidence=evidence, seen_at=request.received_at, now=now
    )
    request.epoch = standing.epoch
    _letter(request, CONFIRM_LETTER, now)
    return "asked"


def _take_leave(session: Session, request: Request, row: MailingList, address: Address, now: datetime) -> str:
    person = register.find(session, address)
    standing = register.subscription(session, person.id, row.id) if person else None
    if person is None or standing is None or standing.standing is State.PENDING:
        return UNKNOWN  # who has never answered is on no list, and a stranger may have typed the address
    request.person_id, request.epoch = person.id, standing.epoch
    if silent := _no_leave_letter(session, person, standing, now):
        return silent
    _letter(request, LEAVE_LETTER, now)
    return "leaving"


def no_leave_letter(session: Session, row: MailingList, address: Address, *, now: datetime) -> str | None:
    """Why a request to leave, written down now, would bring no letter: UNKNOWN, MUTED or LIMITED, the last also where
    another one waits; None: it would. Not for whoever asked: it tells who is on the list."""
    person = register.find(session, address)
    standing = register.subscription(session, person.id, row.id) if person else None
    if person is None or standing is None or standing.standing is State.PENDING:
        return UNKNOWN
    theirs = Request.mailbox.in_([address.mailbox, address.folded, person.mailbox])
    waits = select(Request.id).where(Request.taken_at.is_(None), Request.kind == LEAVE, theirs)
    if session.scalar(waits.limit(1)) is not None:
        return LIMITED
    return _no_leave_letter(session, person, standing, now)


def _no_leave_letter(session: Session, person: Person, standing: Subscription, now: datetime) -> str | None:
    if person.muted_until is not None and person.muted_until > now:
        return MUTED
    return LIMITED if _enough(session, LEAVE, Request.person_id == person.id, standing, now) else None


def _take_key(session: Session, request: Request, address: Address, now: datetime) -> str:
    """A key to one's own page goes to everybody of whom anything is held: also to who is banned, has restricted, has
    disowned a request, or is known by a ban only (GDPR 12(2), 15)."""
    person = register.find(session, address)
    if person is not None:
        request.person_id = person.id
        request.list_id = own_list(session, person.id) or request.list_id
    elif bans.in_force(session, bans.digests(session, address)):
        request.digest = keys_of(session).digest(address.folded)
    else:
        return UNKNOWN
    theirs = Request.digest == request.digest if person is None else Request.person_id == person.id
    if _enough(session, KEY, theirs, None, now):
        return LIMITED
    _letter(request, KEY_LETTER, now)
    return "key"


def key_used(session: Session, digest: bytes, *, until: datetime) -> None:
    """Whoever has the address of this keyed digest pressed something on the page that a key of theirs opens, and the
    letter with the key was written no later than `until`: up to there, letters with keys do not count any more.

    So a stranger who asks for keys in somebody's name mails them ten a day at most, and can't shut them out: the newest
    of the ten is in their mailbox, and its page, also once it has expired, leads on to a fresh one. Opening the page is
    not enough, since mail filters open the links of each mail: then there would be no limit at all. And one key counts
    once, however often it is pressed: whoever finds an old one can't have letter after letter sent.
    """
    person_id = session.scalar(select(Person.id).where(Person.digest == digest))
    theirs = (Request.digest == digest) if person_id is None else (Request.person_id == person_id)
    session.execute(
        update(Request)
        .where(theirs, Request.kind == KEY, Request.outcome == KEY_LETTER, Request.letter_at <= until)
        .values(outcome=USED)
    )


def kept_for_key(session: Session, digest: bytes) -> Address | None:
    """The address that a key was mailed to some hours ago at most, of somebody who is known by a ban only."""
    mailbox = session.scalar(
        select(Request.mailbox)
        .where(Request.digest == digest, Request.mailbox.is_not(None))
        .order_by(Request.id.desc())
        .limit(1)
    )
    return parse(mailbox) if mailbox else None


def own_list(session: Session, person_id: int) -> int | None:
    """The list that the person knows us by: one that they are on, else one that they were on."""
    return session.scalar(
        select(Subscription.list_id)
        .where(Subscription.person_id == person_id)
        .order_by(Subscription.state != State.ACTIVE.value, Subscription.list_id)
        .limit(1)
    )


def _letter(request: Request, kind: str, now: datetime) -> None:
    request.letter, request.letter_due, request.letter_at = kind, True, now


def _enough(
    session: Session, kind: str, theirs: ColumnElement[bool], standing: Subscription | None, now: datetime
) -> bool:
    """Whether the address has had its letters of this kind for now; `theirs` says which requests are its own.

    Counted since the person's own last act: who has just answered or left proved that the mailbox is theirs, and nobody
    else can bring that about. With keys it is the use of one.
    """
    acted = standing.acted_at if standing else None
    if acted is not None and moments.ahead(acted, now):
        acted = None  # else nothing would count until then
    for window, most in _KEY_LIMITS if kind == KEY else _ADDRESS_LIMITS:
        since = now - window if acted is None else max(now - window, acted)
        sent = session.scalar(
            select(func.count())
            .select_from(Request)
            .where(
                theirs, Request.kind == kind, Request.letter.is_not(None), Request.letter_at > since,
                Request.letter_at <= moments.latest(now), Request.outcome != USED,
            )
        )  # fmt: skip
        if (sent or 0) >= most:
            return True
    return False


def _load(session: Session, domains: Collection[str], now: datetime) -> _Load:
    since = now - timedelta(minutes=1)
    recent = (Request.letter_at > since, Request.letter_at <= moments.latest(now))
    total = session.scalar(select(func.count()).select_from(Request).where(*recent)) or 0
    rows = session.execute(
        select(Request.domain, func.count()).where(Request.domain.in_(list(domains)), *recent).group_by(Request.domain)
    ).all()
    return _Load(total, dict(rows))


def _let_go(session: Session, now: datetime) -> None:
    """The address of who is known by a ban only goes again, some hours after they asked for a key."""
    late = session.scalars(
        select(Request.id).where(
            Request.digest.is_not(None),
            Request.mailbox.is_not(None),
            or_(Request.letter_at < now - _ADDRESS_KEPT, Request.letter_at > moments.latest(now)),
        )
    ).all()
    if late:
        session.execute(update(Request).where(Request.id.in_(late)).values(mailbox=None, domain=""))


def put_right(session: Session, *, now: datetime) -> int:
    """Have what waits for a moment that no request can wait for be taken now: it came in by a clock that was ahead.
    Returns how many requests that were."""
    never = (Request.taken_at.is_(None), Request.not_before > moments.latest(now) + WAIT)
    return db.changed(session.execute(update(Request).where(*never).values(not_before=now)))


def come_back(session: Session, *, now: datetime) -> int:
    """After a restore: requests that nobody had taken when the backup was made were taken since, and answered; a second
    letter would go to somebody who asked long ago. They are closed. What somebody left by (`exit`) is not: it goes
    before all else, also where the copy is of a version that let it wait its turn. Returns how many were closed."""
    session.execute(
        update(Request).where(Request.taken_at.is_(None), Request.kind == EXIT).values(not_before=FOREMOST),
        execution_options=db.NO_OBJECTS,
    )
    closed = session.execute(
        update(Request)
        .where(Request.taken_at.is_(None), Request.kind != EXIT)
        .values(taken_at=now, outcome="restored", mailbox=None, name=None, origin=None, domain=""),
        execution_options=db.NO_OBJECTS,
    )
    return db.changed(closed)


def letters_due(session: Session, *, limit: int) -> list[Request]:
    """Requests whose letter is due and not yet in the desk's hand, oldest first."""
    return list(
        session.scalars(
            select(Request)
            .where(Request.letter_due)
            .order_by(Request.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
    )


def letters_enqueued(session: Session, requests: Collection[int]) -> None:
    """The desk has these letters in hand."""
    session.execute(update(Request).where(Request.id.in_(list(requests))).values(letter_due=False))


def over(before: datetime) -> tuple[ColumnElement[bool], ...]:
    """SQL: the row's Request was taken before this moment, and no confirmation letter rests on it."""
    resting = exists().where(Confirmation.request_id == Request.id)
    return Request.taken_at < before, ~Request.letter_due, ~resting


def clear_after(session: Session, after: int, *, before: datetime, limit: int) -> tuple[int, int | None]:
    """Delete those that are `over` among up to `limit` requests whose number is beyond `after`. Returns how many went,
    and the number of the last that was looked at, to go on from; None: there is none beyond that is old enough."""
    beyond = select(Request.id).where(Request.id > after, Request.received_at < before).order_by(Request.id)
    last = session.scalar(select(func.max(beyond.limit(limit).subquery().c.id)))
    if last is None:
        return 0, None
    removed = session.execute(
        delete(Request).where(Request.id > after, Request.id <= last, *over(before)),
        execution_options=db.NO_OBJECTS,
    )
    return db.changed(removed), last


def hold_waiting(session: Session, folded: str) -> None:
    """Before somebody is locked to be erased: what waits of this case-folded address is locked, and what a worker is
    taking at this moment is waited for. `take` locks requests, and then persons: so no two can wait for each other, and
    what was asked before the erasure brings nobody back after it."""
    theirs = db.among(Request.id, _waiting(session, folded))
    still = select(Request.id).where(theirs, Request.taken_at.is_(None)).order_by(Request.id)
    session.scalars(still.with_for_update()).all()


def forget(session: Session, person: Person) -> int:
    """Delete every request of this person, who is locked (their confirmations are gone already). Returns how many.

    One that a worker is taking is left to it: it waits for the person, so who is erased would wait for it for ever. It
    was written after the erasure began (`hold_waiting`), or the person is forgotten without having asked for it.
    """
    session.flush()
    waiting = select(Request.id).where(db.among(Request.id, _waiting(session, person.folded)))
    theirs = session.scalars(waiting.with_for_update(skip_locked=True)).all()
    removed = session.execute(
        delete(Request).where(
            (Request.person_id == person.id) | (Request.digest == person.digest) | db.among(Request.id, theirs)
        ),
        execution_options=db.NO_OBJECTS,
    )
    return db.changed(removed)


def _waiting(session: Session, folded: str) -> list[int]:
    """What waits is known by its address only: all that waits at its domain is looked through."""
    waiting = session.execute(
        select(Request.id, Request.mailbox).where(
            Request.taken_at.is_(None), Request.domain == folded.rpartition("@")[2]
        )
    )
    return sorted(number for number, mailbox in waiting if mailbox and fold(mailbox) == folded)
