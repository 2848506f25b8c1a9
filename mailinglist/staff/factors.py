"""Second factors: setting them up, and using them. The only writer of passkeys, recovery codes and authenticators.

Each use is one conditional UPDATE, so that a code that arrives twice at the same moment is good once.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from ..db import changed
from ..errors import NotAllowed, Unknown
from ..stationery.sentences import SaidBadInput
from ..stationery.sentences import noted as _
from . import audit, passkeys, totp
from .audit import Actor
from .passkeys import Site
from .tables import Account, Passkey, RecoveryCode
from .vault import Vault

CODES = 10
"""Recovery codes at a time."""
_CODE_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # without those that are taken for another
_CODE_LENGTH = 12  # 59 bits
_MOST_PASSKEYS = 10
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Proposal:
    """A shared secret that an authenticator app is offered."""

    secret: str
    """Base32, to be typed where no camera is."""
    uri: str
    """What the QR code holds."""
    sealed: str
    """For a hidden field: comes back with the first code."""


# ── authenticator ─────────────────────────────────────────────────────────────────────────────────────────────────────


def propose_totp(session: Session, account: Account, *, site: str) -> Proposal:
    """A fresh secret for an authenticator app, which shows it as of `site`. Nothing is written yet."""
    secret = totp.fresh_secret()
    sealed = _vault(session).seal(secret.encode(), about=f"offer to account {account.id}")
    return Proposal(secret, totp.uri(secret, who=account.address, where=site), sealed.hex())


def proposed_again(session: Session, account: Account, sealed: str, *, site: str) -> Proposal | None:
    """The same proposal, for a form that is shown again. None: it is none of ours."""
    secret = _unsealed(session, account, sealed)
    return Proposal(secret, totp.uri(secret, who=account.address, where=site), sealed) if secret else None


def set_totp(session: Session, account: Account, sealed: str, code: str, *, by: Actor, now: datetime) -> None:
    """Take the proposed secret, once the app has shown a code of it; an earlier one is void. Raises BadInput."""
    secret = _unsealed(session, account, sealed)
    step = totp.step_of(secret, code, after=None, now=now) if secret else None
    if secret is None or step is None:
        raise SaidBadInput(_("This code does not fit. Type the one that the app shows now."))
    account.totp = _vault(session).seal(secret.encode(), about=_about(account.id))
    account.totp_step = step
    audit.note(session, "totp_set", by=by, about=about(account), now=now)


def use_totp(session: Session, account: Account, code: str, *, now: datetime) -> bool:
    """Whether this is a code of the authenticator, near enough to `now`, and not used before.

    A secret that an older key sealed is sealed anew, so that the older one can go once everybody has signed in.
    """
    vault, sealed = _vault(session), account.totp
    opened = vault.open(sealed, about=_about(account.id)) if sealed else None
    step = totp.step_of(opened.decode(), code, after=account.totp_step, now=now) if opened else None
    if step is None or opened is None or sealed is None:
        return False
    if not vault.of_newest_key(sealed, about=_about(account.id)):
        sealed = vault.seal(opened, about=_about(account.id))
    unused = or_(Account.totp_step.is_(None), Account.totp_step < step)
    used = update(Account).where(Account.id == account.id, unused).values(totp_step=step, totp=sealed)
    return changed(session.execute(used)) == 1


def _unsealed(session: Session, account: Account, sealed: str) -> str | None:
    try:
        secret = _vault(session).open(bytes.fromhex(sealed), about=f"offer to account {account.id}")
    except ValueError:
        return None
    return secret.decode() if secret else None


# ── passkeys ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def passkeys_of(session: Session, account: Account) -> Sequence[Passkey]:
    """The account's passkeys, oldest first."""
    return session.scalars(select(Passkey).where(Passkey.account_id == account.id).order_by(Passkey.id)).all()


def propose_passkey(session: Session, account: Account, *, site: Site, now: datetime) -> tuple[str, str]:
    """What the browser is asked (JSON), and a sealed note for a hidden field. Nothing is written yet."""
    known = passkeys_of(session, account)
    return passkeys.registration_options(account, known, site=site, vault=_vault(session), now=now)


def add_passkey(
    session: Session, account: Account, *, answer: str, sealed: str, site: Site, name: str, by: Actor, now: datetime
) -> Passkey:
    """Take the passkey that the browser made. Raises BadInput, NotAllowed (too many)."""
    found = passkeys.registered(account, answer, sealed, site=site, vault=_vault(session), now=now)
    if len(passkeys_of(session, account)) >= _MOST_PASSKEYS:
        raise NotAllowed(_("There are too many passkeys. Remove one first."))
    if session.scalar(select(Passkey.id).where(Passkey.credential == found.credential)) is not None:
        raise SaidBadInput(_("This passkey is here already."))
    made = Passkey(
        account_id=account.id,
        credential=found.credential,
        public_key=found.public_key,
        sign_count=found.sign_count,
        name=name.strip()[:_LONGEST_NAME] or "Passkey",
        created_at=now,
    )
    session.add(made)
    session.flush()
    audit.note(session, "passkey_added", by=by, about=about(account), now=now, passkey=made.id)
    return made


def remove_passkey(session: Session, account: Account, passkey_id: int, *, by: Actor, now: datetime) -> None:
    """Take a passkey away. Raises Unknown, NotAllowed (the last factor stays)."""
    known = passkeys_of(session, account)
    if passkey_id not in [each.id for each in known]:
        raise Unknown(_("There is no such passkey."))
    if account.totp is None and len(known) == 1:
        raise NotAllowed(_("This is your only second factor. Add another one first."))
    session.execute(delete(Passkey).where(Passkey.id == passkey_id))
    audit.note(session, "passkey_removed", by=by, about=about(account), now=now, passkey=passkey_id)


def use_passkey(
    session: Session, account: Account, answer: str, challenge: bytes, *, site: Site, now: datetime
) -> bool:
    """Whether one of the account's passkeys answered this challenge. The caller has made the challenge void."""
    credential = passkeys.credential_of(answer)
    passkey = next((each for each in passkeys_of(session, account) if each.credential == credential), None)
    count = passkeys.count_of(answer, passkey, challenge, site=site) if passkey else None
    if passkey is None or count is None:
        return False
    passkey.sign_count, passkey.used_at = count, now
    session.flush()
    return True


# ── recovery codes ────────────────────────────────────────────────────────────────────────────────────────────────────


def recovery_codes(session: Session, account: Account, now: datetime, *, by: Actor) -> list[str]:
    """Ten fresh codes, each good once; earlier ones are void. They are known this once: only digests are kept."""
    session.execute(delete(RecoveryCode).where(RecoveryCode.account_id == account.id))
    codes = ["".join(secrets.choice(_CODE_LETTERS) for _letter in range(_CODE_LENGTH)) for _code in range(CODES)]
    session.add_all(RecoveryCode(account_id=account.id, digest=_digest(account.id, code)) for code in codes)
    audit.note(session, "recovery_codes_made", by=by, about=about(account), now=now)
    return ["-".join((code[:4], code[4:8], code[8:])) for code in codes]


def codes_left(session: Session, account: Account) -> int:
    """How many recovery codes are still good."""
    unused = select(func.count()).where(RecoveryCode.account_id == account.id, RecoveryCode.used_at.is_(None))
    return session.scalar(unused) or 0


def use_recovery(session: Session, account: Account, code: str, *, now: datetime) -> bool:
    """Whether this is a recovery code that was not used before. Hyphens, spaces and capitals do not matter."""
    plain = "".join(c for c in code.casefold() if c.isalnum())
    unused = (RecoveryCode.digest == _digest(account.id, plain), RecoveryCode.used_at.is_(None))
    return changed(session.execute(update(RecoveryCode).where(*unused).values(used_at=now))) == 1


def drop(session: Session, account: Account, *, by: Actor, now: datetime) -> None:
    """Take every second factor away, recovery codes as well: a lost one must not stay good beside its successor."""
    account.totp = account.totp_step = None
    session.execute(delete(Passkey).where(Passkey.account_id == account.id))
    session.execute(delete(RecoveryCode).where(RecoveryCode.account_id == account.id))
    audit.note(session, "factors_dropped", by=by, about=about(account), now=now)


def about(account: Account) -> str:
    """What a line of the audit calls an account."""
    return f"account {account.id}"


def _vault(session: Session) -> Vault:
    vault: Vault = session.info["vault"]
    return vault


def _about(account_id: int) -> str:
    return f"authenticator of account {account_id}"


def _digest(account_id: int, code: str) -> bytes:
    return hashlib.sha256(f"{account_id} {code}".encode()).digest()
