"""The intake: what people ask for, written down without looking at who they are; `requests` is what the worker makes of
it.

It costs the same for everybody: one row. The lane without a proof of work slows a request down and never loses it
(REQUIREMENTS 5). With `requests` the only writer of requests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from .. import db, moments
from ..i18n import DEFAULT_LANGUAGE
from . import confirming, journal, journal_file, lists, readdressed, register
from .address import Address, parse
from .requests import EXIT, JOIN, MAIL, WAIT, WEB
from .states import Channel
from .tables import FOREMOST, Confirmation, ConsentText, MailingList, Request

# More requests than this in a minute, or in a quarter of an hour, is an attack: the proof of work is asked for.
_ATTACK = ((timedelta(minutes=1), 300), (timedelta(minutes=15), 1000))


def write_down(
    session: Session,
    row: MailingList,
    address: Address,
    *,
    kind: str = JOIN,
    entrance: str,
    language: str,
    text: ConsentText | None = None,
    origin: register.Origin,
    name: str | None = None,
    browser: bytes | None = None,
    slow: bool = False,
    now: datetime,
) -> None:
    """Write a request down; nobody is looked up. `browser` is the nonce of the cookie that the answer sets."""
    session.add(
        Request(
            kind=kind, list_id=row.id, entrance=entrance, mailbox=address.mailbox, domain=address.domain, name=name,
            language=language, text_id=text.id if text else None, origin=origin,
            browser=hashlib.sha256(browser).digest() if browser else None,
            received_at=now, not_before=now + WAIT if slow else now, letter_due=False,
        )
    )  # fmt: skip
    db.ring(session, db.REQUESTS)


def write_down_exit(
    session: Session, token: str, *, origin: register.Origin, ban: Collection[Channel], now: datetime
) -> MailingList:
    """Keep a leave that can't be entered now: with a wrong ban key the ledger can't be signed, and nothing is mailed.

    The worker enters it as soon as the key is right. Raises TokenForged, TokenSpent, Unknown.
    """
    ticket, row = register.ticket_of(session, token)
    keep_exit(session, ticket, row, entrance=WEB, origin=origin, ban=ban, now=now)
    return row


def keep_exit(
    session: Session,
    ticket: register.Ticket,
    row: MailingList,
    *,
    entrance: str,
    origin: register.Origin,
    ban: Collection[Channel],
    now: datetime,
) -> None:
    """`write_down_exit`, for a token that has been read. It is in the journal of opt-outs, too: once as it is kept, and
    once as it is entered. From its commit on the gate lets no marketing through until it is entered."""
    person = readdressed.owner(session, ticket.digest)
    digests = list(dict.fromkeys((ticket.digest, person.digest if person else ticket.digest)))
    journal.note_later(session, journal_file.LEFT, digests[-1], list_slug=row.slug, now=now)
    for digest in digests if ban else ():
        journal.note_later(session, journal_file.BANNED, digest, channels=[channel.value for channel in ban], now=now)
    kept = {**origin, "ticket": ticket.pack().hex(), "ban": [channel.value for channel in ban]}
    session.add(
        Request(
            kind=EXIT, list_id=row.id, entrance=entrance, mailbox=None, domain="", language=DEFAULT_LANGUAGE,
            origin=kept, received_at=now, not_before=FOREMOST, letter_due=False,
        )
    )  # fmt: skip
    db.ring(session, db.REQUESTS)


def ask_again(
    session: Session, token: str, *, origin: register.Origin, browser: bytes | None, now: datetime
) -> MailingList:
    """A fresh letter for a confirmation link that is spent. Raises TokenForged, TokenSpent (nothing is kept of it)."""
    found = confirming.knock(session, token, now=now)
    return _ask_again(session, found, entrance=WEB, origin=origin, browser=browser, now=now)


def ask_again_by_answer(session: Session, secret: bytes, *, origin: register.Origin, now: datetime) -> MailingList:
    """The same for an answer to a letter that is spent. Raises TokenSpent (nothing is kept of it)."""
    found = confirming.knock_by_answer(session, secret, now=now)
    return _ask_again(session, found, entrance=MAIL, origin=origin, browser=None, now=now)


def _ask_again(
    session: Session,
    found: confirming.Knock,
    *,
    entrance: str,
    origin: register.Origin,
    browser: bytes | None,
    now: datetime,
) -> MailingList:
    text = lists.current_text(session, found.list, found.text.language)
    write_down(
        session, found.list, parse(found.person.mailbox), entrance=entrance, language=found.text.language, text=text,
        origin=origin, browser=browser, now=now,
    )  # fmt: skip
    return found.list


def proof_wanted(session: Session, row: MailingList, *, now: datetime) -> bool:
    """Whether the list's form asks for a proof of work now: switched on, or armed by an attack on any list."""
    mode = lists.settings_of(row).proof_of_work
    if mode != "auto":
        return mode == "on"
    for window, most in _ATTACK:
        within = Request.received_at.between(now - window, moments.latest(now))
        recent = select(Request.id).where(within).limit(most + 1).subquery()
        if (session.scalar(select(func.count()).select_from(recent)) or 0) > most:
            return True
    return False


def came_from(session: Session, confirmation: Confirmation, browser: bytes) -> bool:
    """Whether this browser made one of the requests that the confirmation's letter answers."""
    return (
        session.scalar(
            select(Request.id)
            .where(
                Request.person_id == confirmation.person_id,
                Request.list_id == confirmation.list_id,
                Request.epoch == confirmation.epoch,
                Request.browser == hashlib.sha256(browser).digest(),
            )
            .limit(1)
        )
        is not None
    )
