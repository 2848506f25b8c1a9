"""Members of staff who have set up their accounts, through the room's own verbs."""

from __future__ import annotations

from datetime import datetime

import argon2
import pyotp
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from mailinglist.staff import accounts, factors, passwords
from mailinglist.staff.audit import Actor
from mailinglist.staff.levels import Level
from mailinglist.staff.tables import Account, SignIn

PASSWORD = "vihreä lamppu nauraa"
BY = Actor(None, "root", "")
CLIENT = "192.0.2.7"


_QUICK = argon2.PasswordHasher(time_cost=1, memory_cost=2048, parallelism=1)


def hash_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id with little work: the real settings cost a tenth of a second each, and test_passwords has them."""
    monkeypatch.setattr(passwords, "_hasher", _QUICK)
    passwords._nobodys.cache_clear()


def member(
    session: Session, *levels: Level, now: datetime, address: str = "maija@example.fi", until: datetime | None = None
) -> Account:
    """Somebody with a password and nothing else."""
    wanted = levels or (Level.EDITOR,)
    account, _ = accounts.enrol(session, address, name="Maija", levels=wanted, by=BY, until=until, now=now)
    account.password = _QUICK.hash(PASSWORD)
    session.flush()
    return account


def authenticator(session: Session, account: Account, *, now: datetime) -> pyotp.TOTP:
    """Gives the account an authenticator, whose first code is used up."""
    offer = factors.propose_totp(session, account, site="test")
    app = pyotp.TOTP(offer.secret)
    factors.set_totp(session, account, offer.sealed, app.at(now), by=BY, now=now)
    return app


def row_of(session: Session, account: Account) -> SignIn:
    """The account's latest sign-in."""
    newest = select(SignIn).where(SignIn.account_id == account.id).order_by(SignIn.id.desc()).limit(1)
    return session.scalars(newest.execution_options(populate_existing=True)).one()
