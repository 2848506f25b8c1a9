"""The proof of a consent, from the registrar's desk."""

from __future__ import annotations

import json
import re
from hashlib import sha256

import pytest
from flask import Flask
from sqlalchemy import select

import staffing
from mailinglist import db
from mailinglist.consent import proof_file, seals
from mailinglist.consent.states import State
from mailinglist.staff.levels import Level
from mailinglist.staff.tables import AuditEntry
from making import person


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_a_proof_as_a_file_or_a_page_and_it_is_in_the_audit(app: Flask) -> None:
    desk = staffing.signed_in(app, Level.REGISTRAR)
    with db.transaction() as session:
        number = person(session, "Matti@example.fi", now=db.utcnow(), state=State.LEFT).id
    seals.make()
    address = f"/staff/persons/{number}/proof"
    assert f'href="{address}"' in desk.get(f"/staff/persons/{number}").text
    form = desk.get(address)
    assert form.status_code == 200
    assert "Matti@example.fi" in form.text
    answer = desk.post(address, {"form": "file"})
    assert answer.headers["Content-Disposition"].startswith(f'attachment; filename="proof-{number}-')
    told = json.loads(answer.data)
    assert proof_file.written(told) == answer.data
    assert told["chains"][0]["sealed"]["seal"] == 1
    page = desk.post(address, {"form": "page", "language": "sv"})
    assert page.headers["Content-Disposition"].endswith('.html"')
    assert '<html lang="sv">' in page.text
    assert "Bevis på samtycke" in page.text
    assert "Register- och dataskyddsbeskrivningen, version 1" in page.text
    assert sha256(f"fi\n{told['notices'][0]['body']}".encode()).hexdigest() in page.text
    assert "<h3>Rekisterinpitäjä</h3>" in page.text
    for entry in page.text.split("<li>")[1:]:
        labels = re.findall(r"<dt>(.*?)</dt>", entry.partition("</li>")[0])
        assert len(labels) == len(set(labels)), labels
    with db.reading() as session:
        noted = session.scalars(select(AuditEntry).where(AuditEntry.act == "proof_exported").order_by(AuditEntry.id))
        assert [(row.about, row.detail) for row in noted] == [
            (f"person {number}", {"page": False}), (f"person {number}", {"page": True})
        ]  # fmt: skip
