from __future__ import annotations

import hashlib

import pytest
from flask import Flask

from conftest import NOW
from mailinglist import db
from mailinglist.consent import address, ban_lists, bans, ledger
from mailinglist.consent.states import ALL_CHANNELS, Channel
from mailinglist.errors import BadInput
from making import person


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def banned(session, mailbox: str) -> tuple[str, ...]:
    return bans.check(session, address.parse(mailbox)).channels


@pytest.mark.parametrize(
    "data",
    [
        "Matti@Example.fi\nmaija@example.fi\n",
        f"{sha256('matti@example.fi')}\n{sha256('maija@example.fi').upper()}\n",
        f"\ufeffEmail\nmatti@example.fi\n\n{sha256('maija@example.fi')}\n",
        "name;SHA-256;since\nMatti;"
        + sha256("matti@example.fi")
        + ";2020\nMaija;"
        + sha256("maija@example.fi")
        + ";\n",
    ],
)
def test_addresses_and_hashes_in_one_column_or_in_a_table(app: Flask, data: str):
    found = ban_lists.read(data.encode())
    assert found.refused == ()
    with db.transaction() as session:
        person(session, "matti@example.fi", now=NOW)
        assert ban_lists.take_in(session, found, [Channel.EMAIL], source="the opt-out register", now=NOW) == 2
        assert banned(session, "matti@example.fi") == banned(session, "maija@example.fi") == ("email",)
        assert list(ledger.verify(session)) == []
        assert ban_lists.take_in(session, found, [Channel.EMAIL], source="the opt-out register", now=NOW) == 0


def test_a_hash_of_the_address_as_written_bans_it_too(app: Flask):
    with db.transaction() as session:
        found = ban_lists.read(sha256("Matti@Example.fi".replace("Example", "example")).encode())
        ban_lists.take_in(session, found, ALL_CHANNELS, source="a list", now=NOW)
        assert banned(session, "Matti@example.fi") == ("email", "post", "phone", "disclosure")


def test_lines_with_a_fault_are_refused_and_the_others_stand():
    found = ban_lists.read(b"address\na@example.fi\nabc\na@example.fi\n" + b"f" * 63 + b"\n")
    assert len(found.sha256) == 1
    assert [refusal.line for refusal in found.refused] == [3, 5]
    assert found.refused[0].reason.startswith("neither an address nor a SHA-256")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"a@example.fi,b@example.fi\n", "names no column"),
        (b"email,sha256\na@example.fi,\n", "more than one column"),
        (b"\xff\xfe", "UTF-16"),
    ],
)
def test_a_file_that_can_not_be_taken_as_a_whole(data: bytes, words: str):
    with pytest.raises(BadInput, match=words):
        ban_lists.read(data)


def test_groups_are_taken_in_alike(app: Flask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ban_lists, "_GROUP", 4)
    found = ban_lists.read("\n".join(f"p{n}@example.fi" for n in range(10)).encode())
    done: list[int] = []
    with db.transaction() as session:
        added = ban_lists.take_in(session, found, [Channel.EMAIL], source="a list", now=NOW, progress=done.append)
    assert (added, done) == (10, [4, 4, 2])
