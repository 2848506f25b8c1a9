"""Bans by name: for who holds no address. It errs towards the opt-out, outlives an erasure, and stops no mail."""

from __future__ import annotations

import hashlib

import pytest
from flask import Flask
from sqlalchemy import select

from conftest import NOW
from mailinglist import db
from mailinglist.consent import address, ban_lists, bans, bans_by_name, gate, keys, lists, names, register, verification
from mailinglist.consent.states import ALL_CHANNELS, Channel
from mailinglist.consent.tables import Ban, MailingList
from mailinglist.errors import BadInput
from mailinglist.privacy import rights
from making import named, person, the_list

MATTI = ("Matti.V@example.fi", "Matti Virtanen")
EMAIL, POST, PHONE = Channel.EMAIL, Channel.POST, Channel.PHONE


def forbid(session, mailbox: str, *channels: Channel, only: MailingList | None = None) -> None:
    digest = keys.keys_of(session).digest(address.parse(mailbox).folded)
    bans.add(session, digest, channels or [POST], only=only, source="letter", now=NOW)


def erase(session, mailbox: str) -> None:
    rights.erase(session, address.parse(mailbox), NOW)


def channels(session, name: str) -> tuple[str, ...]:
    return bans_by_name.check(session, name).channels


def kept(session) -> int:
    """In how many bans something is kept of a name."""
    return len(session.scalars(select(Ban.id).where(Ban.name_digest.is_not(None))).all())


def answers(session, text: str, *, by_name: bool = False) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    rows = ban_lists.rows(text.encode(), named=by_name)
    return [(each.row.text, each.channels, each.by) for each in ban_lists.look_up(session, rows)]


def refused(text: str, *, by_name: bool = False) -> list[tuple[int, str]]:
    return [(row.line, row.reason) for row in ban_lists.rows(text.encode(), named=by_name) if row.reason]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Virtanen, Matti", "matti  VIRTANEN", True), ("Virtanen,Matti", "Matti\u00a0Virtanen", True),
        ("Ma\u0308ki Aino", "Aino MÄKI", True), ("Straße Ulla", "ulla strasse", True), ("ﬁnn Åsa", "Åsa Finn", True),
        ("O\u2019Brien Pat", "Pat O'Brien", True), ("Anna\u2011Maija Salo", "anna-maija salo", True),
        ("Anna-Maija Salo", "Anna Maija Salo", False), ("Mäki Aino", "Maki Aino", False),
        ("Mä\u00adki\t\u200bAino", "Aino Mäki", True), ("Virtanen；Matti", "Matti Virtanen", True),
        ("Matti", "Matti Virtanen", False), ("Matti Matti", "Matti", False),
        # What is not seen may stand between a letter and its accent, and some of it looks like a blank.
        ("Ma\u200d\u0308ki Aino", "Aino Mäki", True), ("Ma\u034f\u0308ki Aino", "Aino Mäki", True),
        ("Mäki\ufe0f Aino", "Aino Mäki", True), ("Matti\u3164Virtanen", "Matti Virtanen", True),
        *((f"O{mark}Brien Pat", "Pat O'Brien", True) for mark in "\u2018\u00b4\u2032`\uff07"),
        *((f"Anna{mark}Maija Salo", "Anna-Maija Salo", True) for mark in "\u2212\u2014\u2012\uff0d"),
        ("Anna - Maija Salo", "Anna-Maija Salo", True), ("-Matti 'Virtanen'", "Matti Virtanen", True),
        ('"Matti Virtanen"', "Matti Virtanen", True), ("”Matti Virtanen”", "Matti Virtanen", True),
        ("Virtanen, Matti.", "Matti Virtanen", True), ("J.R. Mäki", "J R Mäki", True),
        *((f"Virtanen{mark}Matti", "Matti Virtanen", True) for mark in "/|_\u060c"),
        # The register may hold it, and others ask without it.
        ("Matti Virtanen 2", "Matti Virtanen", True),
    ],
)  # fmt: skip
def test_when_two_ways_of_writing_are_one_name(one: str, other: str, same: bool) -> None:
    assert names.key(one)
    assert (names.key(one) == names.key(other)) is same


@pytest.mark.parametrize(
    "wrong",
    [
        "", " ", "- ,", "123", "a@example.fi", "f" * 64, "x" * 201, "Matti \udcff", "M\ufffdki Aino", "Matti\x08 V",
        "Matti\x7f V", "M\x80ki Aino", "Matti \ue000", "\u3164", "matti\uff20example.fi", "matti(at)example.fi",
        "abcdefab" * 4, f"sha256:{'a' * 64}", "131052-308T", "Matti Virtanen 131052-308T", "17a Matti Virtanen",
        "Matti V (s. \uff11970)",
    ],
)  # fmt: skip
def test_what_is_no_name_is_not_asked_about(wrong: str) -> None:
    assert names.fault(wrong)
    assert ban_lists.row(1, name=wrong).reason


def test_a_name_never_has_the_digest_of_an_address() -> None:
    made = keys.Keys(b"k" * 32)
    assert made.name_digest("a@example.fi") != made.digest("a@example.fi")
    assert made.name_digest("a") not in (made.digest("a"), hashlib.sha256(b"a").digest())


def test_one_of_two_of_the_same_name_is_banned_and_the_other_still_gets_bulletins(app: Flask) -> None:
    with db.transaction() as session:
        named(session, MATTI, ("free@example.fi", "VIRTANEN, Matti"), ("maija@example.fi", "Maija Mäki"), now=NOW)
        forbid(session, MATTI[0], EMAIL, POST)
        assert answers(session, "Virtanen Matti\nMaija Mäki\nNemo Nobody\n", by_name=True) == [
            ("Virtanen Matti", ("email", "post"), ("name",)), ("Maija Mäki", (), ()), ("Nemo Nobody", (), ()),
        ]  # fmt: skip
        assert bans_by_name.check(session, "matti virtanen").known
        assert bans_by_name.check(session, "Maija Mäki") == bans.Standing(known=True, forbidden=())
        assert bans_by_name.check(session, "Nemo") == bans.Standing(known=False, forbidden=())
        free = register.find(session, address.parse("free@example.fi"))
        mailed = gate.refusals(
            session, gate.Mail.BULLETIN, list_id=the_list(session).id, persons=[free.id], now=db.utcnow()
        )
        assert mailed == {}
        assert kept(session) == 0, "of who is in the register the name is the register's"
        with pytest.raises(BadInput):
            bans_by_name.check(session, "a@example.fi")


def test_a_ban_of_one_list_counts_for_that_list(app: Flask) -> None:
    with db.transaction() as session:
        named(session, MATTI, now=NOW)
        other = lists.add(session, "toinen", "Toinen", now=NOW)
        forbid(session, MATTI[0], POST, only=other)
        for row, expected in ((None, True), (other, True), (the_list(session), False)):
            assert bool(bans_by_name.check(session, MATTI[1], row).forbidden) is expected
            [found] = ban_lists.look_up(session, [ban_lists.row(1, name=MATTI[1])], row)
            assert bool(found.forbidden) is expected
        [found] = ban_lists.look_up(session, [ban_lists.row(1, name=MATTI[1])], channels=[PHONE])
        assert found.by == ()


@pytest.mark.parametrize("written", [False, True], ids=["case-folded", "as written"])
def test_who_was_erased_is_still_found_by_name_until_the_ban_is_lifted(app: Flask, written: bool) -> None:
    who = address.parse(MATTI[0])
    with db.transaction() as session:
        named(session, MATTI, ("other@example.fi", "Other Person"), now=NOW)
        if written:
            digest = hashlib.sha256(MATTI[0].encode()).digest()
            ban_lists.take_in(session, [digest], [EMAIL, POST], source="a list", now=NOW)
        else:
            forbid(session, MATTI[0], EMAIL, POST)
        bans.lift(session, who, [EMAIL], evidence="rang", who="M", now=NOW)
        assert channels(session, MATTI[1]) == ("post",)
        erase(session, MATTI[0])
        erase(session, "other@example.fi")
    with db.transaction() as session:
        assert channels(session, "virtanen MATTI") == ("post",)
        assert not bans_by_name.check(session, "Other Person").known, "without a ban nothing is kept of a name"
        assert kept(session) == (2 if written else 1), "not in the one that was lifted before"
        assert answers(session, "name\nMatti Virtanen\nOther Person\n")[0] == (MATTI[1], ("post",), ("name",))
        # By a link in an old mail: a ban that is given after the erasure is found by the name, too.
        forbid(session, MATTI[0], PHONE)
        ban_lists.take_in(session, [hashlib.sha256(who.folded.encode()).digest()], [EMAIL], source="a list", now=NOW)
        assert channels(session, MATTI[1]) == ("email", "post", "phone")
        bans.lift(session, who, [POST, EMAIL], evidence="rang", who="M", now=NOW)
        assert channels(session, MATTI[1]) == ("phone",)
        bans.lift(session, who, [PHONE], evidence="rang", who="M", now=NOW)
        assert not bans_by_name.check(session, MATTI[1]).known
        assert kept(session) == 0
        assert len(session.scalars(select(Ban.id)).all()) >= 3, "the lifted ones are still there"


def test_who_was_erased_under_two_names_is_found_by_both(app: Flask) -> None:
    who = address.parse(MATTI[0])
    with db.transaction() as session:
        named(session, MATTI, now=NOW)
        forbid(session, MATTI[0], POST)
        erase(session, MATTI[0])
        for name in ("Matti Meikäläinen", "MEIKÄLÄINEN, Matti"):
            person(session, MATTI[0], now=NOW).name = name
            session.flush()
            forbid(session, MATTI[0], PHONE)
            erase(session, MATTI[0])
        forbid(session, MATTI[0], EMAIL)
    with db.transaction() as session:
        for name in (MATTI[1], "Matti Meikäläinen"):
            assert channels(session, name) == ("email", "post", "phone")
        assert {each[1] for each in answers(session, "name\nMatti Virtanen\nMatti Meikäläinen\nMatti\n")} == {
            ("email", "post", "phone"), ()
        }  # fmt: skip
        assert set(bans_by_name.forbidden(session, [Ban.lifted_at.is_(None)])) == {
            keys.keys_of(session).name_digest(names.key(name)) for name in (MATTI[1], "Matti Meikäläinen")
        }
        assert list(verification.verify(session)) == []
        bans.lift(session, who, [EMAIL, POST, PHONE], evidence="rang", who="M", now=NOW)
        assert kept(session) == 0
        assert list(verification.verify(session)) == []


def test_an_erasure_without_a_name_keeps_none(app: Flask) -> None:
    with db.transaction() as session:
        named(session, ("a@example.fi", ""), now=NOW)
        forbid(session, "a@example.fi", *ALL_CHANNELS)
        erase(session, "a@example.fi")
        assert kept(session) == 0


def test_of_a_list_with_both_columns_one_is_enough(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ban_lists, "_GROUP", 2)
    with db.transaction() as session:
        named(session, MATTI, ("maija@example.fi", "Maija Mäki"), now=NOW)
        forbid(session, MATTI[0], POST)
        forbid(session, "maija@example.fi", PHONE)
        erase(session, "maija@example.fi")
        text = (
            "nimi,since,email\nMatti Virtanen,1,matti.v@example.fi\nMatti Virtanen,2,new@example.fi\n"
            "Somebody,3,MAIJA@example.fi\nmatti.v@example.fi,4,matti.v@example.fi\nMatti Virtanen,5,\n"
            "Matti Virtanen,6,maija@example.fi\nNemo,7,free@example.fi\n"
        )
        assert answers(session, text) == [
            ("matti.v@example.fi", ("post",), ("address", "name")), ("new@example.fi", ("post",), ("name",)),
            ("MAIJA@example.fi", ("phone",), ("address",)), ("matti.v@example.fi", ("post",), ("address",)),
            ("Matti Virtanen", ("post",), ("name",)), ("maija@example.fi", ("post", "phone"), ("address", "name")),
            ("free@example.fi", (), ()),
        ]  # fmt: skip


def test_what_can_not_be_read_is_refused_and_never_called_free() -> None:
    assert [line for line, _ in refused("matti.v@exampel,fi\nMatti Virtanen\n".replace(",", "."))] == [2]
    [(line, reason)] = refused("Matti Virtanen\n")
    assert (line, reason.partition(":")[0]) == (1, "neither an address nor a SHA-256")
    assert refused("email;name\nmatti#example.fi;Matti\n;\n;Matti\na@example.fi;Virtanen;Matti\n") == [
        (2, "neither an address nor a SHA-256: The address needs one @, with something before and after it."),
        (5, "more cells than the first line has columns"),
    ]
    assert refused("name;town\nMatti Virtanen;Espoo\n;Espoo\nMatti Virtanen;Espoo;\n") == [
        (3, "neither an address, a SHA-256 nor a name")
    ]
    by_line = "Virtanen, Matti\na@example.fi\n17, Matti Virtanen\n" + "f" * 64 + "\nMäki, Maija, Espoo\nMatti\n"
    assert [line for line, _ in refused(by_line, by_name=True)] == [2, 3, 4, 5]
    for wrong in ("name;nimi\nA;B\n", "name;email;address\nA;;\n"):
        with pytest.raises(BadInput):
            list(ban_lists.rows(wrong.encode()))


@pytest.mark.parametrize(
    "heading",
    ["etunimi;sukunimi", "first name;last name", "Förnamn;Efternamn", "name;first name", "nimi;etunimi",
     "sukunimi,nimi", "email;nimi;sukunimi", "name;first_name;last_name", "efternamn"],
)  # fmt: skip
def test_half_of_a_name_is_not_asked_about(heading: str) -> None:
    for by_name in (False, True):
        with pytest.raises(BadInput, match="together into one column"):
            list(ban_lists.rows(f"{heading}\nVirtanen;Matti\n".encode(), named=by_name))


def test_a_line_that_may_hold_half_of_a_name_is_refused() -> None:
    few, half = "fewer cells than the first line has columns", "maybe half of a name"
    text = "name,phone,town\nVirtanen, Matti\nMatti Virtanen,040,Espoo\nVirtanen, Matti,Espoo\nNokia,,Espoo\nMatti\n"
    assert [(line, reason.partition(":")[0]) for line, reason in refused(text)] == [(2, few), (4, half), (6, few)]
    assert [line for line, _ in refused("name,phone\nVirtanen, Matti\nMatti, 040 123\nMatti Virtanen, x\n")] == [2]
    assert refused("email,name,town\na@example.fi,Virtanen\n") == [(2, few)]
    assert refused("email,name\na@example.fi\n") == [], "the address is asked about, and no name"


def test_beside_an_address_a_name_that_can_not_be_read_is_refused_too() -> None:
    written = ("Matti\x08", "a\uff20example.fi", "-", "Matti s. 1970", "Oy Kuusitie 12")
    text = "".join(["email;name\n", *(f"a@example.fi;{name}\n" for name in written)])
    assert [line for line, _ in refused(text)] == [2, 5]


def test_a_first_line_that_names_columns_says_so_also_of_a_file_of_names() -> None:
    for by_name in (False, True):
        [one, two] = ban_lists.rows(b"Namn\nVirtanen, Matti\nMaija\n", named=by_name)
        assert (one.text, one.name, two.name) == ("Virtanen, Matti", "matti virtanen", "maija")
        [one] = ban_lists.rows(b"email;name\na@example.fi;Matti\n", named=by_name)
        assert (one.text, one.name, len(one.sha256)) == ("a@example.fi", "matti", 1)


def test_names_alone_are_not_taken_in_as_bans() -> None:
    with pytest.raises(BadInput, match="A ban by a name alone can't be taken in"):
        ban_lists.read(b"nimi;osoite\nMatti;Tie 1\n")
    found = ban_lists.read(b"name;email;nimi\nMatti;a@example.fi;x\nMaija;;\n")
    assert (len(found.sha256), [each.line for each in found.refused]) == (1, [3])


def test_one_line_from_its_parts() -> None:
    made = ban_lists.row(7, email=" A@example.fi ", name="Matti Virtanen")
    assert (made.line, made.text, made.name, made.reason) == (7, "A@example.fi", "matti virtanen", "")
    assert made.sha256 == next(iter(ban_lists.rows(b"A@example.fi"))).sha256
    digest = hashlib.sha256(b"a@example.fi").hexdigest()
    assert ban_lists.row(1, sha256=digest.upper()).sha256 == (bytes.fromhex(digest),)
    assert [bool(ban_lists.row(1, **parts).reason) for parts in (
        {}, {"email": "nonsense"}, {"sha256": "abc"}, {"name": "a@b.fi"}, {"email": "a@example.fi", "sha256": "abc"}
    )] == [True] * 5  # fmt: skip
