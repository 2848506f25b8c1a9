"""Tokens of programs: which other system may call the API, for what, and until when. The only writer of their table.

A token belongs to the firm, not to whoever made it: that somebody's account is disabled or ends does not end it. It
ends when its time is over, when somebody revokes it, and with every restore. Only the SHA-256 of the secret is kept,
so that a copy of the database opens nothing; the secret is shown once.

No scope reads addresses out, sends mail or lifts a ban, on purpose: list addresses leave only by a disclosure that is
written down (T7.3), what is mailed is for a person to approve and send, and a ban is lifted by whom it is about, or by
staff with evidence. A program can forbid, add people under the rules of an import, hand on a request, and ask
about those it names.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update
from sqlalchemy.orm import Session

from .. import moments
from ..consent.tables import MailingList
from ..db import changed
from ..errors import Unknown
from ..stationery.sentences import SaidBadInput
from ..stationery.sentences import noted as _
from . import audit, naming
from .audit import Actor
from .tables import ApiToken

PREFIX = "mlt_"
"""What every secret begins with, so that scanners of code and logs find one that leaked."""
LEAST_DAYS, DAYS, MOST_DAYS = 1, 365, 730
"""How long a token may be good for, and how long it is if nobody says."""
SOON = timedelta(days=30)
"""So long before a token ends it is said."""
_IN_USE = timedelta(days=60)
LONGEST_NAME = 100
PROGRAM = "program "
"""What the audit says before a program's name."""
_AS_ACTOR = re.compile(rf"{PROGRAM}.+ \([0-9]+\)")
_SECRET = 32  # bytes
_USED_EVERY = timedelta(hours=1)


class Scope(StrEnum):
    """What a token is good for; they add up."""

    BANS_READ = "bans:read"
    """Ask whether addresses are banned; only those that the program names itself."""
    BANS_WRITE = "bans:write"
    """Hand on that somebody forbids marketing, or leaves a list."""
    PEOPLE_WRITE = "people:write"
    """Hand over people, under the rules of an import."""
    REQUESTS_WRITE = "requests:write"
    """Hand on a request to join, which the person then confirms by mail."""
    BULLETINS_READ = "bulletins:read"
    """See how far a bulletin has come, in counts."""


class State(StrEnum):
    """Whether a token is good."""

    GOOD = "good"
    ENDED = "ended"
    """Its time is over."""
    REVOKED = "revoked"


# ── calling ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def bearer(session: Session, presented: str, *, now: datetime) -> ApiToken | None:
    """The token whose secret was presented (RFC 6750). None: unknown, revoked, or past its end.

    Reads only. It is found by its digest, so that the work and the time are the same whatever was presented. The
    caller writes down by `used` that it was used, when `unnoted` says so.
    """
    row = session.scalar(select(ApiToken).where(ApiToken.digest == _digest(presented)))
    return row if row is not None and state(row, now) is State.GOOD else None


def good(session: Session, number: int, *, now: datetime) -> bool:
    """Whether the token with this number, which was good a while ago, is good now."""
    row = session.get(ApiToken, number, populate_existing=True)
    return row is not None and state(row, now) is State.GOOD


def unnoted(token: ApiToken, *, now: datetime) -> bool:
    """Whether the last use that was written down is an hour old: not each call costs a write."""
    return token.used_at is None or not moments.recent(token.used_at, now, _USED_EVERY)


def used(session: Session, number: int, *, now: datetime) -> None:
    """Write down that a token was used."""
    session.execute(update(ApiToken).where(ApiToken.id == number).values(used_at=now))


def actor(token: ApiToken, client: str) -> Actor:
    """A program, as the audit knows it: by its name and number. `client` is its network address."""
    return Actor(None, f"{PROGRAM}{token.name} ({token.id})", client)


def named(who: str) -> str | None:
    """The name and number of the program that `actor` made `who` of; None: it is none. No account is called so."""
    return who.removeprefix(PROGRAM) if _AS_ACTOR.fullmatch(who) else None


def state(token: ApiToken, now: datetime) -> State:
    """Whether a token is good now, and else why not."""
    if token.revoked_at is not None:
        return State.REVOKED
    return State.GOOD if now < token.expires_at else State.ENDED


# ── finding ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def find(session: Session, number: int) -> ApiToken:
    """One token, by its number. Raises Unknown."""
    row = session.get(ApiToken, number)
    if row is None:
        raise Unknown("There is no token with this number.")
    return row


def every(session: Session) -> Sequence[ApiToken]:
    """All tokens, the newest first; also those that are over."""
    return session.scalars(select(ApiToken).order_by(ApiToken.id.desc())).all()


def in_use_and_ending(session: Session, *, now: datetime) -> Sequence[ApiToken]:
    """Tokens that end within `SOON` and were used lately, and whose system has none that lasts longer."""
    good = [row for row in every(session) if state(row, now) is State.GOOD]
    lasting = {row.name for row in good if row.expires_at - now >= SOON}
    return [row for row in good if row.name not in lasting and row.used_at is not None and now - row.used_at < _IN_USE]


# ── by an administrator ───────────────────────────────────────────────────────────────────────────────────────────────


def issue(
    session: Session,
    name: str,
    scopes: Iterable[str],
    *,
    only: MailingList | None = None,
    days: int = DAYS,
    by: Actor,
    now: datetime,
) -> tuple[ApiToken, str]:
    """Make a token for the system `name`. Returns it, and its secret, which is not kept and can't be had again.

    `only`: it is good for this list alone; None: for all. Two tokens may have one name, so that a new one can take over
    before the old one is revoked. Raises BadInput.
    """
    plain = naming.plain(name, longest=LONGEST_NAME)
    wanted = _sorted(scopes)
    if not LEAST_DAYS <= days <= MOST_DAYS:
        raise SaidBadInput(
            _("A token is good for %(least)s to %(most)s days."), least=LEAST_DAYS, most=MOST_DAYS
        )  # fmt: skip
    secret = PREFIX + secrets.token_urlsafe(_SECRET)
    row = ApiToken(
        name=plain,
        digest=_digest(secret),
        scopes=wanted,
        list_id=only.id if only else None,
        created_at=now,
        created_by=by.who,
        expires_at=now + timedelta(days=days),
    )
    session.add(row)
    session.flush()
    audit.note(
        session, "api_token_issued", by=by, about=about(row), now=now,
        name=plain, scopes=wanted, until=row.expires_at.isoformat(timespec="minutes"),
        **audit.of_list(only),
    )  # fmt: skip
    return row, secret


def revoke(session: Session, number: int, *, by: Actor, now: datetime) -> None:
    """End a token: it is worth nothing from the commit on. Once is enough: another time changes nothing. Raises
    Unknown."""
    row = find(session, number)
    open_still = update(ApiToken).where(ApiToken.id == number, ApiToken.revoked_at.is_(None))
    if changed(session.execute(open_still.values(revoked_at=now, revoked_by=by.who))):
        session.refresh(row)
        audit.note(session, "api_token_revoked", by=by, about=about(row), now=now, name=row.name)


def about(token: ApiToken) -> str:
    """What the audit says that an act was about."""
    return f"program {token.id}"


# ── by itself ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def revoke_every(session: Session, *, by: str, now: datetime) -> int:
    """End every token, after a restore: whose were revoked since the backup must not live again. `by` stands for who
    did it. Returns how many were still good."""
    open_still = (ApiToken.revoked_at.is_(None), ApiToken.expires_at > now)
    return changed(session.execute(update(ApiToken).where(*open_still).values(revoked_at=now, revoked_by=by)))


def clear(session: Session, *, before: datetime) -> int:
    """Delete tokens that were over before this moment. Returns how many went."""
    return changed(session.execute(delete(ApiToken).where(_over(before))))


def over(session: Session, *, before: datetime) -> int:
    """How many tokens were over before this moment."""
    return session.scalar(select(func.count()).select_from(ApiToken).where(_over(before))) or 0


def _over(before: datetime) -> ColumnElement[bool]:
    # A revoked one was over when it was revoked, and not before that because its time would have run out.
    return or_(ApiToken.revoked_at < before, and_(ApiToken.revoked_at.is_(None), ApiToken.expires_at < before))


# ── what is handed in ─────────────────────────────────────────────────────────────────────────────────────────────────


def _sorted(scopes: Iterable[str]) -> list[str]:
    wanted = {str(scope) for scope in scopes}
    if not wanted:
        raise SaidBadInput(_("A token needs at least one permission."))
    if wanted - set(Scope):
        raise SaidBadInput(_("There is no such permission."))
    return sorted(wanted)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()
