"""Makes what tests need, through the program's own verbs."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailinglist.bulletins import blocks, drafts
from mailinglist.bulletins.tables import Bulletin
from mailinglist.consent import address, confirming, intake, lists, register, requests, transfer
from mailinglist.consent.states import Basis, State
from mailinglist.consent.tables import MailingList, Person, Request

ORIGIN = {"how": "button", "client": "192.0.2.7", "user_agent": "test"}


def the_list(session: Session) -> MailingList:
    """The list that exists from the first start."""
    return lists.find(session, lists.DEFAULT_SLUG)


def ask(
    session: Session,
    mailbox: str,
    *,
    now: datetime,
    kind: str = requests.JOIN,
    language: str = "fi",
    browser: bytes | None = None,
) -> Request:
    """A request by the form, taken by the worker. Returns its row."""
    row = the_list(session)
    text = lists.current_text(session, row, language) if kind == requests.JOIN else None
    intake.write_down(
        session, row, address.parse(mailbox), kind=kind, entrance="web", language=language, text=text, origin=ORIGIN,
        browser=browser, now=now,
    )  # fmt: skip
    requests.take(session, now=now)
    return session.scalars(select(Request).order_by(Request.id.desc()).limit(1)).one()


def letter(session: Session, request: Request, *, now: datetime, days: int = 7) -> tuple[str, str]:
    """The tokens of the confirmation letter that answers `request`: confirm, not-me."""
    assert request.person_id is not None
    assert request.text_id is not None
    assert request.epoch is not None
    issued = confirming.issue(
        session, request_id=request.id, person_id=request.person_id, list_id=request.list_id, text_id=request.text_id,
        epoch=request.epoch, days=days, now=now,
    )  # fmt: skip
    assert issued is not None
    return issued[0], issued[1]


def person(session: Session, mailbox: str, *, now: datetime, state: State = State.ACTIVE) -> Person:
    """Somebody in this state on the default list, brought there as a person would come there."""
    request = ask(session, mailbox, now=now)
    made = register.find(session, address.parse(mailbox))
    assert made is not None
    if state is not State.PENDING:
        confirm, _ = letter(session, request, now=now)
        confirming.confirm(session, confirm, origin=ORIGIN, now=now + timedelta(seconds=1))
    if state is State.LEFT:
        register.leave(session, leave_token(session, made), origin=ORIGIN, now=now + timedelta(seconds=2))
    if state is State.UNDELIVERABLE:
        register.give_up(session, made.id, the_list(session), source="bounces", now=now + timedelta(seconds=2))
    return made


def crowd(session: Session, number: int, *, now: datetime) -> None:
    """So many active persons on the default list, p0@example.fi and on, by an import: far cheaper than one by one."""
    people = "email\n" + "".join(f"p{n}@example.fi\n" for n in range(number))
    consignment = transfer.read(people.encode(), basis=Basis.CONSENT, source="test", file="people.csv")
    transfer.take_in(session, the_list(session), consignment, who="test", now=now)


def named(session: Session, *people: tuple[str, str], now: datetime) -> None:
    """Active persons on the default list, by address and name, by an import."""
    data = "email,name\n" + "".join(f'{mailbox},"{name}"\n' for mailbox, name in people)
    consignment = transfer.read(data.encode(), basis=Basis.CONSENT, source="test", file="people.csv")
    transfer.take_in(session, the_list(session), consignment, who="test", now=now)


def leave_token(session: Session, made: Person, dispatch: int = 0) -> str:
    """An unsubscribe token for the default list."""
    return register.unsubscribe_token(register.tokens_of(session), the_list(session).id, made.digest, dispatch)


def written(session: Session, *, now: datetime, by: drafts.Author | None = None, **subjects: str) -> Bulletin:
    """A bulletin of blocks on the default list that can be mailed: one version for each language, by its subject."""
    versions = {
        language: blocks.Version(subject, "", (blocks.Text(f"{subject}: {{name|x}}"),))
        for language, subject in (subjects or {"fi": "Uutisia"}).items()
    }
    author = by or drafts.Author(1, "Maija")
    return drafts.begin(session, the_list(session), blocks.Draft(versions), by=author, now=now)


def never() -> bool:
    """For `stop`: work goes on to its end."""
    return False
