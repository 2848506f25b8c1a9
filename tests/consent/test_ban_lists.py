from __future__ import annotations

import hashlib

import pytest
from flask import Flask

from conftest import NOW
from mailinglist import db
from mailinglist.consent import address, ban_lists, bans, lists, people, registrar, transfer, verification
from mailinglist.consent.states import ALL_CHANNELS, Basis, Channel
from mailinglist.errors import BadInput
from mailinglist.privacy import rights
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
        assert ban_lists.take_in(session, found.sha256, [Channel.EMAIL], source="the opt-out register", now=NOW) == 2
        assert banned(session, "matti@example.fi") == banned(session, "maija@example.fi") == ("email",)
        assert list(verification.verify(session)) == []
        assert ban_lists.take_in(session, found.sha256, [Channel.EMAIL], source="the opt-out register", now=NOW) == 0


def test_a_hash_of_the_address_as_written_bans_it_too(app: Flask):
    with db.transaction() as session:
        found = ban_lists.read(sha256("Matti@Example.fi".replace("Example", "example")).encode())
        ban_lists.take_in(session, found.sha256, ALL_CHANNELS, source="a list", now=NOW)
        assert banned(session, "Matti@example.fi") == ("email", "post", "phone", "disclosure")


def test_a_person_whom_a_hash_bans_is_banned_however_they_are_written_later(app: Flask):
    """Only the register knows that the two are one address, and so the gate does: all others say the same."""
    with db.transaction() as session:
        person(session, "Matti@example.fi", now=NOW)
        person(session, "Free@example.fi", now=NOW)
        digest = bytes.fromhex(sha256("Matti@example.fi"))
        ban_lists.take_in(session, [digest], ALL_CHANNELS, source="a list", now=NOW)
        small = address.parse("matti@example.fi")
        assert people.look_up(session, small).bans == bans.check(session, small).channels == tuple(ALL_CHANNELS)
        data = b"matti@example.fi\nfree@example.fi\n"
        assert [bool(each.forbidden) for each in ban_lists.look_up(session, ban_lists.rows(data))] == [True, False]
        brought = transfer.read(b"email\n" + data, basis=Basis.CONSENT, source="old", file="old.csv")
        other = lists.add(session, "other", "Other", now=NOW)
        report = transfer.take_in(session, other, brought, who="root", now=NOW)
        assert (report.added, [each.reason.partition(":")[0] for each in report.refused]) == (1, ["banned"])
        lifted = bans.lift(session, small, ALL_CHANNELS, evidence="said so", who="x", now=NOW)
        assert bans.channels_of(lifted) == tuple(ALL_CHANNELS)


@pytest.mark.parametrize("gone", ["erased", "corrected"])
def test_and_stays_banned_when_the_register_does_not_know_the_address_any_more(app: Flask, gone: str):
    with db.transaction() as session:
        made = person(session, "Matti@example.fi", now=NOW)
        digest = bytes.fromhex(sha256("Matti@example.fi"))
        other = lists.add(session, "other", "Other", now=NOW)
        ban_lists.take_in(session, [digest], [Channel.EMAIL], source="a list", now=NOW)
        ban_lists.take_in(session, [digest], [Channel.POST], only=other, source="a list", now=NOW)
        if gone == "erased":
            rights.erase(session, address.parse("matti@example.fi"), NOW)
        else:
            told = registrar.Told("phone", "Call 17", NOW.date(), "Maija")
            registrar.correct_address(session, made.id, address.parse("new@example.fi"), told, now=NOW)
    with db.transaction() as session:
        assert banned(session, "matti@example.fi") == banned(session, "Matti@example.fi") == ("email", "post")
        brought = transfer.read(b"email\nmatti@example.fi\n", basis=Basis.CONSENT, source="old", file="old.csv")
        report = transfer.take_in(session, lists.find(session, "other"), brought, who="root", now=NOW)
        assert [each.reason.partition(":")[0] for each in report.refused] == ["banned"]
        assert list(verification.verify(session)) == []


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


def test_a_list_is_taken_in_by_groups(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ban_lists, "_GROUP", 4)
    found = ban_lists.read("\n".join(f"p{n}@example.fi" for n in range(10)).encode())
    assert [len(group) for group in found.groups()] == [4, 4, 2]
    assert sum(found.groups(), ()) == found.sha256


def test_a_list_is_looked_up_by_address_as_written_and_folded_and_by_sha256(
    app: Flask, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ban_lists, "_GROUP", 2)
    as_written = ban_lists.read(sha256("Matti@example.fi").encode())
    folded = ban_lists.read(b"maija@example.fi")
    with db.transaction() as session:
        ban_lists.take_in(session, as_written.sha256, [Channel.EMAIL], source="a list", now=NOW)
        ban_lists.take_in(session, folded.sha256, [Channel.POST, Channel.PHONE], source="a list", now=NOW)
        bans.lift(session, address.parse("maija@example.fi"), [Channel.PHONE], evidence="said so", who="x", now=NOW)
        asked = [
            "Matti@EXAMPLE.fi",
            "matti@example.fi",
            "Maija@example.fi",
            "free@example.fi",
            sha256("maija@example.fi"),
        ]
        answers = list(ban_lists.look_up(session, ban_lists.rows("\n".join([*asked, "nonsense"]).encode())))
    assert [(each.row.text, each.channels) for each in answers] == [
        (asked[0], ("email",)), (asked[1], ()), (asked[2], ("post",)), (asked[3], ()), (asked[4], ("post",)),
    ]  # fmt: skip
    table = "".join(ban_lists.table(answers)).splitlines()
    assert table[:2] == ["line,given,banned,channels,one_list,by", "1,Matti@EXAMPLE.fi,yes,email,,address"]
