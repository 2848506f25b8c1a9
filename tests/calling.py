"""Programs that call the API, each with a token of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from mailinglist import db
from mailinglist.consent.tables import MailingList
from mailinglist.staff import programs
from mailinglist.staff.audit import Actor
from mailinglist.staff.programs import Scope

BASE = "/api/v1"
BY = Actor(None, "root", "")


@dataclass
class Program:
    """Another system, with its token."""

    client: FlaskClient
    secret: str
    number: int
    """The token's."""

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}"}

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.client.get(BASE + path, headers=self.headers, **options)

    def post(self, path: str, body: Any, **headers: str) -> TestResponse:
        """Call with `body` as JSON, or, where it is bytes, as it is."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **self.headers, **headers}
        return self.client.post(BASE + path, data=data, headers=sent)


def program(
    app: Flask, *scopes: Scope, list_id: int | None = None, name: str = "Web shop", now: datetime | None = None
) -> Program:
    """A program with a token for these scopes, or for all of them; inside an application context."""
    with db.transaction() as session:
        row, secret = programs.issue(
            session, name, scopes or tuple(Scope), only=session.get_one(MailingList, list_id) if list_id else None,
            by=BY, now=now or db.utcnow(),
        )  # fmt: skip
    return Program(app.test_client(), secret, row.id)
