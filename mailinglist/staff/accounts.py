"""Accounts and their links: the only writer of both. Second factors are in `factors`, sign-ins in `sign_ins`.

Every verb that changes something writes its own line into the audit.
"""

from __future__ import annotations

import hashlib
import secrets
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from .. import moments
from ..consent.address import parse
from ..consent.tables import MailingList
from ..db import changed, insert_new
from ..errors import NotAllowed, TokenForged, TokenSpent, Unknown
from ..i18n import DEFAULT_LANGUAGE, LANGUAGES
from ..stationery.sentences import SaidBadInput
from ..stationery.sentences import noted as _
from . import audit, naming, passwords, programs, sign_ins
from .audit import Actor
from .factors import about
from .levels import Level, Right, rights_of
from .secrecy import VERSION as SECRECY_VERSION
from .tables import Account, Enrolment, SignIn

Purpose = Literal["enrol", "password", "factor"]
"""What a link is for: the first set-up, a forgotten password, a lost second factor."""

LINK_HOLDS = timedelta(days=1)
_SECRET = 32  # bytes
_LONGEST_NAME = 200


# ── finding ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def find(session: Session, account_id: int) -> Account:
    """One account. Raises Unknown."""
    found = session.get(Account, account_id)
    if found is None:
        raise Unknown(_("There is no such account."))
    return found


def by_address(session: Session, folded: str) -> Account | None:
    """The account that signs in with this case-folded address."""
    return session.scalar(select(Account).where(Account.folded == folded))


def every(session: Session) -> Sequence[Account]:
    """All accounts, by name; disabled ones too."""
    return session.scalars(select(Account).order_by(Account.name, Account.id)).all()


def nobody_enrolled(session: Session) -> bool:
    """Whether nobody has ever set up an account: then the console has no way in yet."""
    return session.scalar(select(Account.id).where(Account.password.is_not(None)).limit(1)) is None


def usable(account: Account, now: datetime) -> bool:
    """Whether its owner may work here: not disabled, and not past its end."""
    return account.usable(now)


def publishers(session: Session, *, now: datetime) -> Sequence[Account]:
    """Who may approve and send: set up, and neither disabled nor past their end."""
    return [
        each
        for each in every(session)
        if each.enrolled and usable(each, now) and Right.SEND in rights_of(map(Level, each.levels))
    ]


# ── making ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def enrol(
    session: Session,
    address: str,
    *,
    name: str = "",
    levels: Iterable[str],
    by: Actor,
    until: datetime | None = None,
    language: str = DEFAULT_LANGUAGE,
    now: datetime,
) -> tuple[Account, str]:
    """Make an account. Returns it, and the secret of the link (/staff/enrol/SECRET) by which its owner sets it up.

    Without a name, the address is the name. `until` is the end of an outsider's account. Raises BadInput, BadAddress,
    NotAllowed (there is one for this address).
    """
    found = parse(address)
    fresh = insert_new(session, Account).values(
        address=found.mailbox,
        folded=found.folded,
        name=_named(name or found.mailbox),
        levels=_sorted(levels),
        language=_known(language),
        until=_ahead(until, now),
        created_at=now,
        created_by=by.who,
    )
    # Of two who add it at once, the second waits for the first, and is told.
    made = session.scalar(fresh.on_conflict_do_nothing(index_elements=["folded"]).returning(Account.id))
    if made is None:
        raise NotAllowed(_("There is an account for this address already."))
    account = session.get_one(Account, made)
    audit.note(session, "account_made", by=by, about=about(account), now=now, levels=account.levels)
    return account, issue_link(session, account, "enrol", by=by, now=now)


def issue_link(session: Session, account: Account, purpose: Purpose, *, by: Actor, now: datetime) -> str:
    """The secret of a fresh link, good for a day and for once. Earlier links of the account are void.

    Raises NotAllowed when the account can't be used, or the purpose does not suit it.
    """
    if not account.usable(now):
        raise NotAllowed(_("This account is disabled, or past its end."))
    if (purpose == "enrol") == account.enrolled:
        raise NotAllowed(
            _("This account has been set up already.") if account.enrolled else _("This account is not set up yet.")
        )
    _void_links(session, account, now=now)
    secret = secrets.token_urlsafe(_SECRET)
    session.add(
        Enrolment(
            digest=_digest(secret),
            account_id=account.id,
            purpose=purpose,
            issued_at=now,
            issued_by=by.who,
            expires_at=now + LINK_HOLDS,
        )
    )
    session.flush()
    audit.note(session, "link_issued", by=by, about=about(account), now=now, purpose=purpose)
    return secret


def open_link(session: Session, secret: str, *, now: datetime) -> Enrolment:
    """What a link's secret stands for. It is not used up by this: `spend_link` does that, with the last step.

    Raises TokenForged (none of ours), TokenSpent (used, expired, overtaken by another, or the account is disabled).
    """
    link = session.get(Enrolment, _digest(secret))
    if link is None:
        raise TokenForged("This link is not ours, or a part of it is missing.")
    young = now < link.expires_at and moments.recent(link.issued_at, now, LINK_HOLDS)
    if link.used_at is not None or not young or not find(session, link.account_id).usable(now):
        raise TokenSpent("This link has been used, or has expired.")
    return link


def spend_link(session: Session, link: Enrolment, *, now: datetime) -> None:
    """The link has done its work. Raises TokenSpent when somebody else was quicker."""
    unused = update(Enrolment).where(Enrolment.digest == link.digest, Enrolment.used_at.is_(None))
    if not changed(session.execute(unused.values(used_at=now))):
        raise TokenSpent("This link has been used, or has expired.")


def _void_links(session: Session, account: Account, *, now: datetime) -> None:
    # Void whatever the clock says: one that is ahead would take it for expired, and it would open again afterwards.
    unused = (Enrolment.account_id == account.id, Enrolment.used_at.is_(None))
    session.execute(update(Enrolment).where(*unused).values(expires_at=Enrolment.issued_at))


def void_every_link(session: Session, *, now: datetime) -> int:
    """Void every link that is still open, after a restore: it may have been used since the backup. Returns how many."""
    still_open = (Enrolment.used_at.is_(None), Enrolment.expires_at > now)
    return changed(session.execute(update(Enrolment).where(*still_open).values(expires_at=now)))


# ── by the owner ──────────────────────────────────────────────────────────────────────────────────────────────────────


def set_password(
    session: Session, account: Account, password: str, *, by: Actor, now: datetime, keep: SignIn | None = None
) -> None:
    """Take a new password, and end all sign-ins but `keep`. Raises BadInput, which says in words what is wrong."""
    lists = session.execute(select(MailingList.name, MailingList.slug))
    passwords.require_good(password, known=[account.address, account.name, *(word for row in lists for word in row)])
    account.password = passwords.hash_of(password)
    session.flush()
    audit.note(session, "password_set", by=by, about=about(account), now=now)
    sign_ins.end_all(session, account, by=by, now=now, keep=keep)


def accept_secrecy(session: Session, account: Account, *, by: Actor, now: datetime) -> None:
    """The owner accepts the present secrecy statement (T8)."""
    account.secrecy_version, account.secrecy_at = SECRECY_VERSION, now
    session.flush()
    audit.note(session, "secrecy_accepted", by=by, about=about(account), now=now, version=SECRECY_VERSION)


def rename(session: Session, account: Account, name: str, *, by: Actor, now: datetime) -> None:
    """Change what somebody is called, from now on in the audit too. Raises BadInput, also for another's name: lines of
    the audit would be read as theirs."""
    named = _named(name)
    account = _locked(session, account)
    before = account.name
    if named == before:
        return
    if any(row.id != account.id and _alike(row.name) == _alike(named) for row in every(session)):
        raise SaidBadInput(_("Somebody else has this name already."))
    account.name = named
    session.flush()
    told = before if "@" not in before else "an address"  # made without a name; the audit holds no addresses
    audit.note(session, "account_renamed", by=by, about=about(account), now=now, before=told, after=named)


def set_language(session: Session, account: Account, language: str) -> None:
    """Change the language of somebody's pages. Raises BadInput. No line in the audit: it changes nothing for others."""
    account.language = _known(language)
    session.flush()


# ── by an administrator ───────────────────────────────────────────────────────────────────────────────────────────────


def set_levels(session: Session, account: Account, levels: Iterable[str], *, by: Actor, now: datetime) -> None:
    """Change somebody's levels; it holds from their next request on.

    Raises BadInput, NotAllowed (the last administrator stays one; nobody gives themselves a level).
    """
    wanted = _sorted(levels)
    account = _locked(session, account)
    before = list(account.levels)
    if wanted == before:
        return
    if by.account_id == account.id and set(wanted) - set(before):
        raise NotAllowed(_("Nobody gives themselves a level: ask another administrator."))
    if Level.ADMINISTRATOR not in wanted:
        _assert_another(session, account, now)
    account.levels = wanted
    session.flush()
    audit.note(session, "levels_set", by=by, about=about(account), now=now, before=before, after=wanted)


def set_until(session: Session, account: Account, until: datetime | None, *, by: Actor, now: datetime) -> None:
    """Set or take away the end of somebody's account. Raises BadInput (it has passed), NotAllowed (the last
    administrator has none)."""
    account = _locked(session, account)
    if until is not None:
        _assert_another(session, account, now)
    account.until = _ahead(until, now)
    session.flush()
    end = until.date().isoformat() if until else None
    audit.note(session, "account_end_set", by=by, about=about(account), now=now, until=end)


def disable(session: Session, account: Account, *, by: Actor, now: datetime) -> None:
    """Shut somebody out, at once: sign-ins end, links are void. Raises NotAllowed (the last administrator stays)."""
    account = _locked(session, account)
    if account.disabled_at is not None:
        return
    _assert_another(session, account, now)
    account.disabled_at = now
    _void_links(session, account, now=now)
    session.flush()
    audit.note(session, "account_disabled", by=by, about=about(account), now=now)
    sign_ins.end_all(session, account, by=by, now=now)


def enable(session: Session, account: Account, *, by: Actor, now: datetime) -> None:
    """Let somebody in again, with the password and factors that they had."""
    account = _locked(session, account)
    if account.disabled_at is None:
        return
    account.disabled_at = None
    session.flush()
    audit.note(session, "account_enabled", by=by, about=about(account), now=now)


def clear_links(session: Session, *, before: datetime) -> int:
    """Delete links that ran out before this moment."""
    return changed(session.execute(delete(Enrolment).where(Enrolment.expires_at < before)))


def links_over(session: Session, *, before: datetime) -> int:
    """How many links ran out before this moment."""
    return session.scalar(select(func.count()).select_from(Enrolment).where(Enrolment.expires_at < before)) or 0


def _locked(session: Session, account: Account) -> Account:
    """The account as it is now, with all accounts locked, in one order: who counts administrators must not be
    overtaken by somebody who counts them too."""
    rows = session.scalars(
        select(Account).order_by(Account.id).with_for_update().execution_options(populate_existing=True)
    ).all()
    return next(row for row in rows if row.id == account.id)


def _assert_another(session: Session, account: Account, now: datetime) -> None:
    """Raise NotAllowed if `account` is the only administrator who can sign in for good: set up, and without an end.

    All accounts are locked.
    """
    standing = [row.id for row in every(session) if _administers(row, now)]
    if standing == [account.id]:
        raise NotAllowed(_("This is the last administrator: make somebody else one first."))


def _administers(account: Account, now: datetime) -> bool:
    return Level.ADMINISTRATOR in account.levels and account.enrolled and account.until is None and account.usable(now)


# ── what is handed in ─────────────────────────────────────────────────────────────────────────────────────────────────


def _sorted(levels: Iterable[str]) -> list[str]:
    wanted = {str(level) for level in levels}
    if not wanted:
        raise SaidBadInput(_("An account needs at least one level."))
    if wanted - set(Level):
        raise SaidBadInput(_("There is no such level."))
    return sorted(wanted)


def _named(name: str) -> str:
    plain = naming.plain(name, longest=_LONGEST_NAME)
    if programs.named(plain) is not None:  # the audit's lines would be read as those of another system
        raise SaidBadInput(_("Other systems are named like this. Choose a name that can't be taken for one."))
    return plain


def _alike(name: str) -> str:
    """The same for names that look the same."""
    return unicodedata.normalize("NFKC", name).casefold()


def _known(language: str) -> str:
    if language not in LANGUAGES:
        raise SaidBadInput(_("There is no such language."))
    return language


def _ahead(until: datetime | None, now: datetime) -> datetime | None:
    if until is not None and until <= now:
        raise SaidBadInput(_("The end of an account has to lie ahead."))
    return until


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
