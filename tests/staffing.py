"""Members of staff for the tests, signed in: written as rows, so that a test of a page need not go through the door."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import BrowserContext
from werkzeug.test import TestResponse

from mailinglist import db
from mailinglist.staff import passwords, secrecy, sign_ins
from mailinglist.staff.levels import Level
from mailinglist.staff.tables import Account, SignIn
from mailinglist.web.staff import frame

ORIGIN = "http://127.0.0.1:8000"
"""The origin that the fixture `settings` gives the pages."""
EVERY_LEVEL = tuple(Level)


PASSWORD = "kolme vihreää norsua"
"""Everybody's, unless a test says another."""


@cache
def _hash() -> str:
    return passwords.hash_of(PASSWORD)


@dataclass
class Signed:
    """A member of staff at their browser. Forms are sent as from our own page, with the form's token."""

    client: FlaskClient
    account_id: int
    sign_in_id: int
    secret: str
    origin: str = ORIGIN
    forms: str = ""
    """The token of this sign-in's forms; it stays the same."""

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.client.get(path, **options)

    def post(self, path: str, data: Mapping[str, object] | None = None, **options: Any) -> TestResponse:
        """Send a form. `token=` and `headers=` replace what a browser on our page would send."""
        token = options.pop("token", None)
        headers = options.pop("headers", {"Origin": self.origin})
        fields = {"csrf": self.token() if token is None else token, **(data or {})}
        return self.client.post(path, data=fields, headers=headers, **options)

    def token(self) -> str:
        """The token of this sign-in's forms."""
        if not self.forms:
            with self.client.application.test_request_context(), db.reading() as session:
                row = session.get_one(SignIn, self.sign_in_id)
                account = session.get_one(Account, self.account_id)
                standing = sign_ins.Standing(row, account, frozenset())
                self.forms = frame.token_of(standing, self.client.application.config["MAILINGLIST"])
        return self.forms


def account(
    *levels: Level | str,
    name: str = "Maija Mainio",
    address: str | None = None,
    language: str = "en",
    accepted: bool = True,
    **columns: object,
) -> int:
    """An account with these levels; its id. Inside an application context."""
    address = address or f"{'.'.join(levels) or 'nobody'}.{secrets.token_hex(4)}@example.fi"
    now = db.utcnow()
    with db.transaction() as session:
        row = Account(
            address=address, folded=address.casefold(), name=name, levels=sorted(map(str, levels)), language=language,
            secrecy_version=secrecy.VERSION if accepted else None, secrecy_at=now if accepted else None,
            created_at=now, created_by="a test", **{"password": _hash(), **columns},
        )  # fmt: skip
        session.add(row)
        session.flush()
        return row.id


def sign_in(
    account_id: int, *, passed: str = "both", fresh: bool = True, now: datetime | None = None
) -> tuple[int, str]:
    """A sign-in of the account: its id, and the secret of its cookie."""
    secret, now = secrets.token_urlsafe(32), now or db.utcnow()
    with db.transaction() as session:
        row = SignIn(
            digest=hashlib.sha256(secret.encode()).digest(), account_id=account_id, passed=passed, began_at=now,
            seen_at=now, fresh_at=now if fresh and passed == "both" else None, client="127.0.0.1", agent="a test",
        )  # fmt: skip
        session.add(row)
        session.flush()
        return row.id, secret


def signed_in(app: Flask, *levels: Level | str, passed: str = "both", fresh: bool = True, **columns: object) -> Signed:
    """A client of `app` whose sign-in is complete and fresh, by an account of its own with these levels."""
    with app.app_context():
        account_id = account(*levels, **columns)  # type: ignore[arg-type]
        sign_in_id, secret = sign_in(account_id, passed=passed, fresh=fresh)
    return client_of(app, account_id, sign_in_id, secret)


def client_of(app: Flask, account_id: int, sign_in_id: int, secret: str) -> Signed:
    """A client with the cookie of that sign-in."""
    client = app.test_client()
    client.set_cookie("staff", secret)
    return Signed(client, account_id, sign_in_id, secret, app.config["MAILINGLIST"].base_url)


def sign_browser_in(
    context: BrowserContext, app: Flask, base: str, levels: Iterable[Level | str] = EVERY_LEVEL, **columns: object
) -> int:
    """Give a browser the cookie of a complete, fresh sign-in at the site `base`. Returns the account's id."""
    with app.app_context():
        account_id = account(*levels, **columns)  # type: ignore[arg-type]
        _, secret = sign_in(account_id)
    context.add_cookies([{"name": "staff", "value": secret, "url": base, "httpOnly": True, "sameSite": "Lax"}])
    return account_id
