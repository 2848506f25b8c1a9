"""Mails to join in the name of others: where they come from has its limits, and who the relay says is forged is not
answered."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from arriving import JOIN, LEAVE, TAKES_MAIL
from mailinglist import db
from mailinglist.consent.tables import Request
from mailinglist.inbound import act, handle, traces
from mailinglist.inbound.reading import read
from making import never
from spooled import keep, rows

RECEIVED = (
    "Received: from mx (unknown [{}])\r\n\tby relay.example.fi (Postfix) with ESMTP id 4Abc;\r\n\tSun, 22 Nov 2026"
)
CLIENT = "93.184.216.34"
RESULTS = (
    "Authentication-Results: relay.example.fi; spf=pass smtp.mailfrom=a.example;\r\n\tdmarc={} (p=reject) header.from=b"
)


@pytest.fixture
def extra_settings() -> dict[str, str]:
    return TAKES_MAIL | {"inbound_authserv_id": "Relay.example.fi"}


def asks(number: int, *, client: str | None = None, sender: str | None = None, more: str = "", to: str = JOIN) -> None:
    head = f"{RECEIVED.format(client)}\r\n" if client else ""
    head += f"{more}\r\n" if more else ""
    raw = f"{head}From: victim{number}@example{number}.fi\r\nTo: {to}\r\nSubject: x\r\n\r\nliity\r\n"
    keep(raw.encode(), to, sender=sender or f"a@d{number}.example")


def outcomes() -> list[str | None]:
    handle.handle(stop=never)
    return [row.outcome for row in rows()]


def test_of_one_client_and_one_domain_so_many_are_answered_in_an_hour(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(act, "FROM_A_CLIENT", 2)
    monkeypatch.setattr(act, "FROM_A_DOMAIN", 3)
    for n in range(3):
        asks(n, client=CLIENT)
    asks(3, client="93.184.216.35")
    for n in range(4, 8):
        asks(n, sender=f"b{n}@ONE.example")
    asks(8)
    assert outcomes() == ["asked"] * 2 + ["too-many", "asked"] + ["asked"] * 3 + ["too-many", "asked"]
    assert [row.client for row in rows()] == [CLIENT] * 2 + [None, "93.184.216.35"] + [None] * 5
    with db.reading() as session:
        assert len(session.scalars(select(Request.id)).all()) == 7
    later = db.utcnow() + timedelta(minutes=61)
    monkeypatch.setattr(db, "utcnow", lambda: later)
    asks(9, client=CLIENT)
    assert outcomes()[-1] == "asked"


def test_what_the_relay_says_is_forged_is_not_answered(app: Flask) -> None:
    asks(0, more=RESULTS.format("fail"))
    asks(1, more=RESULTS.format("fail"), to=LEAVE)
    asks(2, more=RESULTS.format("pass"))
    assert outcomes() == ["dmarc", "dmarc", "asked"]
    assert [row.state for row in rows()] == ["handled", "owner", "handled"], "a leave is at least read"
    with db.reading() as session:
        assert len(session.scalars(select(Request.id)).all()) == 1


@pytest.mark.parametrize(
    ("results", "name", "forged"),
    [
        ("relay.example.fi; dmarc=fail header.from=a", "relay.example.fi", True),
        ("relay.example.fi 1; spf=pass; dmarc = FAIL (p=none)", "relay.example.fi", True),
        ("elsewhere.example; dmarc=fail", "relay.example.fi", False),
        ("relay.example.fi; dmarc=fail", None, False),
        ("relay.example.fi; dmarc=pass (dmarc=fail)", "relay.example.fi", False),
        ("relay.example.fi; x-dmarc=fail; dmarc=failure", "relay.example.fi", False),
        ("relay.example.fi; none", "relay.example.fi", False),
        ("", "relay.example.fi", False),
    ],
)
def test_only_a_failure_that_the_relay_names_is_believed(results: str, name: str | None, forged: bool) -> None:
    mail = read(f"Authentication-Results: {results}\r\nFrom: a@example.fi\r\n\r\n".encode())
    assert traces.forged(mail, name) is forged


@pytest.mark.parametrize(
    ("received", "client"),
    [
        (f"from mx (unknown [{CLIENT}]) by relay", CLIENT),
        ("from mx (mx.example [IPv6:2a00:1450:4001:81c::200e])\r\n\tby relay", "2a00:1450:4001:81c::/64"),
        ("from inner (inner [10.0.0.7]) by relay", None),
        ("by relay with local", None),
        ("from mx (unknown [999.1.1.1]) by relay", None),
        ("from mx ([::::]) by relay", None),
    ],
)
def test_the_client_is_whom_the_topmost_received_names(received: str, client: str | None) -> None:
    forged = "Received: from other (unknown [8.8.8.8]) by relay\r\nFrom: a@example.fi\r\n\r\n"
    assert traces.client(read(f"Received: {received}\r\n{forged}".encode())) == client
