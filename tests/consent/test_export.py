from __future__ import annotations

import csv
import io
import re

import pytest
from flask import Flask

from conftest import NOW
from mailinglist import db
from mailinglist.consent import bans, export, keys, transfer
from mailinglist.consent.states import Basis, Channel, State
from mailinglist.consent.tables import KeyCheck
from mailinglist.errors import RegisterUnsound
from making import person, the_list


def exported(session, *, names: bool) -> list[list[str]]:
    return list(csv.reader(io.StringIO("".join(export.lines(session, the_list(session), names=names)), newline="")))


def test_only_who_would_be_mailed_now(app: Flask):
    with db.transaction() as session:
        for state in (State.ACTIVE, State.PENDING, State.LEFT, State.UNDELIVERABLE):
            person(session, f"{state}@example.fi", now=NOW, state=state)
        banned = person(session, "banned@example.fi", now=NOW)
        bans.add(session, banned.digest, [Channel.EMAIL], source="phone", now=NOW)
        person(session, "Exact@example.fi", now=NOW)
        exact = keys.keys_of(session).digest("Exact@example.fi")
        bans.add_many(session, [exact], [Channel.EMAIL], source="a list", now=NOW)
        no_post = person(session, "nopost@example.fi", now=NOW)
        bans.add(session, no_post.digest, [Channel.POST], source="phone", now=NOW)
        assert exported(session, names=False) == [
            ["email", "language"], ["active@example.fi", "fi"], ["nopost@example.fi", "fi"],
        ]  # fmt: skip


def test_cells_are_no_formulas_and_names_only_for_those_who_may(app: Flask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(export, "_ROWS", 2)
    rows = [("=1+1@example.fi", '=HYPERLINK("x")'), ("+a@example.fi", "+1"), ("-a@example.fi", "-1"),
            ("a@example.fi", "@SUM(A1)"), ("b@example.fi", 'Matti "M", jr')]  # fmt: skip
    text = io.StringIO()
    csv.writer(text).writerows([("email", "name"), *rows])
    with db.transaction() as session:
        consignment = transfer.read(text.getvalue().encode(), basis=Basis.CONSENT, source="old", file="x")
        assert transfer.take_in(session, the_list(session), consignment, who="maija", now=NOW).added == 5
    with db.reading() as session:
        found = exported(session, names=True)
        assert found[0] == ["email", "language", "name"]
        assert {(row[0], row[2]) for row in found[1:]} == {
            ("'=1+1@example.fi", "'=HYPERLINK(\"x\")"), ("'+a@example.fi", "'+1"), ("'-a@example.fi", "'-1"),
            ("a@example.fi", "'@SUM(A1)"), ("b@example.fi", 'Matti "M", jr'),
        }  # fmt: skip
        assert all(len(row) == 2 for row in exported(session, names=False))


@pytest.mark.parametrize(
    "name",
    [
        "=1+1", "  =1+1", "\t=1+1", "a;=1+1", "a; =1+1", 'a;"=1+1"', "a;\"\t@SUM(A1)", "a\t+1", "a\n-1", "a\r\n=1",
        "＝1+1", ";;=1+1", 'a;"=1+1', ";\t;-1",
    ],
)  # fmt: skip
def test_no_formula_however_the_spreadsheet_divides_a_line(name: str):
    line = export.written([("a@example.fi", "fi", export.cell(name))])
    for parts in (next(csv.reader(io.StringIO(line, newline=""))), re.split("[;\t\r\n]", line)):
        for part in parts:
            assert part.strip(' \t\r\n"')[:1] not in tuple("=+-@＝"), line


@pytest.mark.parametrize("name", ["Matti Meikäläinen", "Anna-Liisa", "Oy A + B", "a;b", "m@x", 'Matti "M", jr', ""])
def test_what_is_no_formula_stays_as_it_is(name: str):
    assert export.cell(name) == name


def test_with_a_wrong_ban_key_nothing_leaves(app: Flask):
    with db.transaction() as session:
        person(session, "a@example.fi", now=NOW)
        session.get_one(KeyCheck, "ban").value = b"another"
        session.flush()
        with pytest.raises(RegisterUnsound):
            next(export.lines(session, the_list(session), names=False))
