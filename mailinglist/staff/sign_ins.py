"""Sign-ins, kept on the server: the only writer of them.

Half a sign-in begins with the password; the second factor makes it whole. The secret in the cookie changes with each
step, so that one which somebody planted or saw before is worth nothing after it. A sign-in ends after 30 minutes
without a request, and after 12 hours in any case; one that was begun by a clock that was ahead ends when it is right.

The verbs named `try_…` answer None when they refuse, and never say why: the reason is in the audit, so the entrance
commits after a refusal too.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from .. import moments
from .. import pace as paces
from ..consent.keys import keys_of
from ..db import changed
from . import audit, factors, passkeys, passwords, secrecy
from .audit import Actor
from .levels import Level, Right, rights_of
from .passkeys import Site
from .tables import Account, SignIn

IDLE = timedelta(minutes=30)
LONGEST = timedelta(hours=12)
FRESH = timedelta(minutes=10)
"""For how long both factors count as just shown: before export, lifting a ban, sending, changing levels."""

_HALF = timedelta(minutes=10)
"""Within which the second factor follows the password."""
_SECRET = 32  # bytes
_LONGEST_CLIENT, _LONGEST_AGENT = 64, 300
_PASSWORD, _BOTH = "password", "both"


@dataclass(frozen=True, slots=True)
class Standing:
    """Who asks, as it is at this request. `rights` is empty until both factors and the secrecy statement are there."""

    sign_in: SignIn
    account: Account
    rights: frozenset[Right]

    @property
    def complete(self) -> bool:
        """Both factors have been shown."""
        return self.sign_in.passed == _BOTH


# ── at each request ───────────────────────────────────────────────────────────────────────────────────────────────────


def of(session: Session, secret: str, *, now: datetime) -> Standing | None:
    """The sign-in that a cookie's secret stands for, with its account as it is now. Reads only.

    None: there is none, it has ended or run out, or the account is disabled or past its end.
    """
    found = session.execute(
        select(SignIn, Account)
        .join(Account, Account.id == SignIn.account_id)
        .where(SignIn.digest == _digest(secret), SignIn.ended_at.is_(None))
    ).first()
    if found is None:
        return None
    sign_in, account = found
    if not account.usable(now) or not _lives(sign_in, now):
        return None
    rights: frozenset[Right] = frozenset()
    if sign_in.passed == _BOTH and accepted_secrecy(account):
        rights = rights_of(Level(level) for level in account.levels)
    return Standing(sign_in, account, rights)


def seen(session: Session, sign_in_id: int, *, now: datetime) -> None:
    """There was a request: the idle time begins anew. Once a minute is often enough."""
    session.execute(update(SignIn).where(SignIn.id == sign_in_id, SignIn.seen_at < now).values(seen_at=now))


def fresh(sign_in: SignIn, now: datetime) -> bool:
    """Whether both factors were shown in the last minutes."""
    return sign_in.passed == _BOTH and sign_in.fresh_at is not None and moments.recent(sign_in.fresh_at, now, FRESH)


def accepted_secrecy(account: Account) -> bool:
    """Whether the present secrecy statement has been accepted."""
    return account.secrecy_at is not None and account.secrecy_version == secrecy.VERSION


def _lives(sign_in: SignIn, now: datetime) -> bool:
    longest = LONGEST if sign_in.passed == _BOTH else _HALF
    return moments.recent(sign_in.began_at, now, longest) and moments.recent(sign_in.seen_at, now, IDLE)


# ── beginning ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def slow(pace: paces.Pace, address: str) -> None:
    """Count a try with this address. Raises TooMany. Before the transaction: the broker may take its time."""
    pace.spend(paces.ACCOUNT, hashlib.sha256(address.strip().casefold().encode()).hexdigest()[:32])


def slow_factor(pace: paces.Pace, account_id: int) -> None:
    """Count a try of a second factor. Raises TooMany. Tighter: whoever gets here has the password."""
    pace.spend(paces.FACTOR, str(account_id))


def try_password(
    session: Session, address: str, password: str, *, client: str, agent: str, now: datetime
) -> str | None:
    """Half a sign-in, by address and password: the secret for its cookie. None: refused.

    Costs the same work for an address that nobody has.
    """
    folded = address.strip().casefold()
    account = session.scalar(select(Account).where(Account.folded == folded))
    right = passwords.fits(account.password if account else None, password)
    if account is None:
        by = Actor(None, "", client)
        address_digest = keys_of(session).digest(folded[:320])[:8].hex()  # the same stranger is the same, and no more
        audit.note(session, "sign_in_refused", by=by, now=now, why="unknown", address=address_digest)
        return None
    if not right or not account.usable(now):
        why = "password" if not right else "disabled" if account.disabled_at else "past its end"
        _refused(session, account, why, client=client, now=now)
        return None
    if account.password is not None and passwords.is_dated(account.password):
        # Only where it is still the one that was tried: it may have been changed since.
        unchanged = (Account.id == account.id, Account.password == account.password)
        session.execute(update(Account).where(*unchanged).values(password=passwords.hash_of(password)))
    audit.note(session, "password_shown", by=audit.actor(account, client), about=factors.about(account), now=now)
    return begin(session, account, client=client, agent=agent, now=now)


def begin(session: Session, account: Account, *, client: str, agent: str, now: datetime) -> str:
    """Half a sign-in of somebody whose password was right. Returns the secret for its cookie."""
    secret = secrets.token_urlsafe(_SECRET)
    session.add(
        SignIn(
            digest=_digest(secret),
            account_id=account.id,
            passed=_PASSWORD,
            began_at=now,
            seen_at=now,
            client=client[:_LONGEST_CLIENT],
            agent=agent[:_LONGEST_AGENT],
        )
    )
    session.flush()
    return secret


def try_totp(session: Session, sign_in: SignIn, code: str, *, client: str, now: datetime) -> str | None:
    """The authenticator's code: the new secret for the cookie of what is now a whole, fresh sign-in. None: refused."""
    account = _account(session, sign_in)
    if not factors.use_totp(session, account, code, now=now):
        _refused(session, account, "totp", client=client, now=now)
        return None
    return _let_in(session, sign_in, account, "totp", client=client, now=now)


def try_recovery(session: Session, sign_in: SignIn, code: str, *, client: str, now: datetime) -> str | None:
    """A recovery code; as `try_totp`."""
    account = _account(session, sign_in)
    if not factors.use_recovery(session, account, code, now=now):
        _refused(session, account, "recovery code", client=client, now=now)
        return None
    return _let_in(session, sign_in, account, "recovery code", client=client, now=now)


def passkey_options(session: Session, sign_in: SignIn, *, site: Site) -> str:
    """What the browser asks the person's passkeys: JSON. Its challenge is good for one try."""
    challenge = passkeys.fresh_challenge()
    session.execute(update(SignIn).where(SignIn.id == sign_in.id).values(challenge=challenge))
    known = factors.passkeys_of(session, _account(session, sign_in))
    return passkeys.authentication_options(challenge, known, site=site)


def try_passkey(
    session: Session, sign_in: SignIn, answer: str, *, site: Site, client: str, now: datetime
) -> str | None:
    """A passkey's answer to `passkey_options`; as `try_totp`."""
    account = _account(session, sign_in)
    if not _answered(session, sign_in, account, answer, site=site, now=now):
        _refused(session, account, "passkey", client=client, now=now)
        return None
    return _let_in(session, sign_in, account, "passkey", client=client, now=now)


def try_again(
    session: Session,
    sign_in: SignIn,
    password: str,
    *,
    code: str = "",
    passkey: str = "",
    site: Site | None = None,
    client: str,
    now: datetime,
) -> str | None:
    """Show both factors once more, in one step, before something grave: the new secret for the cookie. None: refused.

    `code` is the authenticator's or a recovery code; `passkey` an answer to `passkey_options`.
    """
    account = _account(session, sign_in)
    if not passwords.fits(account.password, password):
        _refused(session, account, "password, again", client=client, now=now)
        return None
    if passkey and site is not None:
        right = _answered(session, sign_in, account, passkey, site=site, now=now)
    else:
        right = factors.use_totp(session, account, code, now=now) or factors.use_recovery(
            session, account, code, now=now
        )
    if not right:
        _refused(session, account, "second factor, again", client=client, now=now)
        return None
    audit.note(session, "sign_in_refreshed", by=audit.actor(account, client), about=factors.about(account), now=now)
    return pass_factor(session, sign_in, now=now)


def pass_factor(session: Session, sign_in: SignIn, *, now: datetime) -> str:
    """Both factors have been shown just now: the sign-in is whole and fresh. Returns the new secret for its cookie.

    The one before is void from here on, so that a planted or overheard one opens nothing (session fixation).
    """
    secret = secrets.token_urlsafe(_SECRET)
    # Conditional: one that was ended in the meantime stays ended, and this secret then opens nothing.
    session.execute(
        update(SignIn)
        .where(SignIn.id == sign_in.id, SignIn.ended_at.is_(None))
        .values(digest=_digest(secret), passed=_BOTH, fresh_at=now, seen_at=now, challenge=None)
    )
    return secret


def rotate(session: Session, sign_in: SignIn) -> str:
    """The new secret for the cookie of a sign-in that stays as it is; the one before is void from here on."""
    secret = secrets.token_urlsafe(_SECRET)
    still = update(SignIn).where(SignIn.id == sign_in.id, SignIn.ended_at.is_(None))
    session.execute(still.values(digest=_digest(secret)))
    return secret


def _let_in(session: Session, sign_in: SignIn, account: Account, how: str, *, client: str, now: datetime) -> str:
    by = audit.actor(account, client)
    audit.note(session, "sign_in", by=by, about=factors.about(account), now=now, how=how, levels=account.levels)
    return pass_factor(session, sign_in, now=now)


def _refused(session: Session, account: Account, why: str, *, client: str, now: datetime) -> None:
    by = audit.actor(account, client)
    audit.note(session, "sign_in_refused", by=by, about=factors.about(account), now=now, why=why)


def _answered(session: Session, sign_in: SignIn, account: Account, answer: str, *, site: Site, now: datetime) -> bool:
    """Whether a passkey answered the challenge that is out. It is void from here on."""
    challenge = session.scalar(select(SignIn.challenge).where(SignIn.id == sign_in.id))
    if challenge is None:
        return False
    void = update(SignIn).where(SignIn.id == sign_in.id, SignIn.challenge == challenge).values(challenge=None)
    if not changed(session.execute(void)):
        return False
    return factors.use_passkey(session, account, answer, challenge, site=site, now=now)


def _account(session: Session, sign_in: SignIn) -> Account:
    """The sign-in's account, as it is now; locked, so that tries of one account follow each other."""
    return session.scalars(
        select(Account)
        .where(Account.id == sign_in.account_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()


# ── ending ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def end(session: Session, sign_in: SignIn, *, by: Actor, now: datetime) -> None:
    """End one: its secret is worth nothing from the commit on."""
    ended = update(SignIn).where(SignIn.id == sign_in.id, SignIn.ended_at.is_(None)).values(ended_at=now)
    if changed(session.execute(ended)):
        audit.note(session, "sign_out", by=by, about=f"account {sign_in.account_id}", now=now, sign_in=sign_in.id)


def end_all(session: Session, account: Account, *, by: Actor, now: datetime, keep: SignIn | None = None) -> int:
    """End all sign-ins of an account, but `keep`. Returns how many were open."""
    others = [SignIn.account_id == account.id, SignIn.ended_at.is_(None)]
    if keep is not None:
        others.append(SignIn.id != keep.id)
    number = changed(session.execute(update(SignIn).where(*others).values(ended_at=now)))
    if number:
        audit.note(session, "signed_out_everywhere", by=by, about=factors.about(account), now=now, number=number)
    return number


def end_every(session: Session, *, now: datetime) -> int:
    """End every sign-in of everybody, after a restore: whose were ended since the backup must not live again. Returns
    how many."""
    return changed(session.execute(update(SignIn).where(SignIn.ended_at.is_(None)).values(ended_at=now)))


def open_of(session: Session, account: Account, *, now: datetime) -> Sequence[SignIn]:
    """Where somebody is signed in, the latest first."""
    rows = session.scalars(
        select(SignIn)
        .where(SignIn.account_id == account.id, SignIn.ended_at.is_(None), SignIn.began_at > now - LONGEST)
        .order_by(SignIn.seen_at.desc(), SignIn.id.desc())
    )
    return [row for row in rows if _lives(row, now)]


def clear(session: Session, *, before: datetime) -> int:
    """Delete sign-ins that were last used before this moment: what is left of them is in the audit."""
    return changed(session.execute(delete(SignIn).where(SignIn.seen_at < before)))


def over(session: Session, *, before: datetime) -> int:
    """How many sign-ins were last used before this moment."""
    return session.scalar(select(func.count()).select_from(SignIn).where(SignIn.seen_at < before)) or 0


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
