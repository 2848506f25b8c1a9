"""A ban of one list alone: it forbids that list and no other, and is told of, kept and lifted as what it is."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from conftest import NOW
from mailinglist import db
from mailinglist.bulletins.audience import Rule
from mailinglist.consent import (
    address,
    bans,
    confirming,
    evidence,
    export,
    gate,
    growth,
    intake,
    journal,
    journal_file,
    keys,
    ledger,
    lists,
    own_page,
    people,
    proof,
    register,
    registrar,
    requests,
    transfer,
    verification,
)
from mailinglist.consent.bans import Forbidden
from mailinglist.consent.gate import Mail
from mailinglist.consent.states import Basis, Channel
from mailinglist.consent.tables import Ban, Evidence, LedgerEntry, MailingList, Request
from mailinglist.delivery import audience_query
from mailinglist.errors import Banned, NotAllowed
from mailinglist.privacy import access, disclosures, rights
from mailinglist.staff.audit import Actor
from making import ORIGIN, ask, leave_token, letter, person, the_list

TOLD = registrar.Told("phone", "Call 17", NOW.date(), "Maija")
LATER = NOW + timedelta(days=1)
MATTI = "matti@example.fi"


def second(session) -> MailingList:
    return lists.add(session, "toinen", "Toinen", now=NOW)


def on_both(session, mailbox: str = MATTI):
    """Somebody on the default list and on a second one. Returns them and that list."""
    made, other = person(session, mailbox, now=NOW), second(session)
    _admit(session, other, mailbox)
    return made, other


def _admit(session, row: MailingList, *mailboxes: str) -> transfer.Report:
    data = "\n".join(["email", *mailboxes]).encode()
    consignment = transfer.read(data, basis=Basis.CONSENT, source="old", file="people.csv")
    return transfer.take_in(session, row, consignment, who="root", now=NOW)


def _mailed(session, row: MailingList, made) -> str | None:
    found = gate.refusals(session, Mail.BULLETIN, list_id=row.id, persons=[made.id], now=NOW)
    return found.get(made.id)


def _problems(session) -> list[str]:
    return [problem.what for problem in verification.verify(session)]


def test_it_stops_its_own_list_on_every_way_out_and_no_other(app: Flask) -> None:
    with db.transaction() as session:
        made, other = on_both(session)
        bans.add(session, made.digest, [Channel.EMAIL], only=other, source="said so", now=NOW)
        row = the_list(session)
        assert (_mailed(session, row, made), _mailed(session, other, made)) == (None, "banned")
        assert (MATTI in "".join(export.lines(session, row, names=False)), MATTI in "".join(
            export.lines(session, other, names=False))) == (True, False)  # fmt: skip
        counts = [audience_query.count(session, each.id, Rule()) for each in (row, other)]
        assert [(each.audience, each.banned) for each in counts] == [(1, 0), (0, 1)]
        assert [_admit(session, each, MATTI).unchanged for each in (row, other)] == [1, 0]
        who = address.parse(MATTI)
        assert [bans.check(session, who, each).channels for each in (row, other, None)] == [(), ("email",), ("email",)]
        for each, outcome in ((row, "already"), (other, "banned")):
            intake.write_down(session, each, who, entrance="web", language="fi", origin=ORIGIN, now=LATER)
            requests.take(session, now=LATER)
            newest = session.scalars(select(Request).order_by(Request.id.desc()).limit(1)).one()
            assert newest.outcome == outcome
        with pytest.raises(Banned):
            registrar.enter(session, other, who, TOLD, now=LATER)
        assert _problems(session) == []


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_one_about_a_list_that_is_missing_outlives_the_address_as_written(app: Flask) -> None:
    with db.transaction() as session:
        made = person(session, "Matti@example.fi", now=NOW)
        bans.add(session, made.exact_digest, [Channel.POST], source="said so", now=NOW)
        session.add(Ban(digest=made.exact_digest, channel="email", list_id=4711, source="a list of old", given_at=NOW))
        bans.fold_in(session, made, now=NOW)
        rows = session.execute(select(Ban.channel, Ban.list_id).where(Ban.digest == made.digest)).all()
        assert sorted(rows) == [("email", 4711), ("post", 0)]
        assert len(bans.in_force(session, [made.digest, made.exact_digest])) == 2
        assert _problems(session) == [
            "ban 2, on email of list number 4711 alone, is in force, and the ledger does not know it"
        ]


def test_a_letter_that_is_out_confirms_no_list_that_was_forbidden_since(app: Flask) -> None:
    with db.transaction() as session:
        row = the_list(session)
        request = ask(session, "a@example.fi", now=NOW)
        confirm, _ = letter(session, request, now=NOW)
        digest = keys.keys_of(session).digest("a@example.fi")
        other = second(session)
        bans.add(session, digest, [Channel.EMAIL], only=row, source="said so", now=NOW)
        with pytest.raises(Banned):
            confirming.confirm(session, confirm, origin=ORIGIN, now=NOW)
        bans.lift(session, address.parse("a@example.fi"), [Forbidden(Channel.EMAIL, row.slug)], evidence="rang",
                  who="Maija", now=NOW)  # fmt: skip
        bans.add(session, digest, [Channel.EMAIL], only=other, source="said so", now=NOW)
        assert confirming.confirm(session, confirm, origin=ORIGIN, now=NOW).person.digest == digest


def test_each_entrance_adds_only_what_no_way_of_writing_holds_yet(app: Flask) -> None:
    """Of whom the register knows. Of nobody known, a ban by how an address was written once finds nobody else."""
    with db.transaction() as session:
        made = person(session, "Matti@example.fi", now=NOW)
        keyed, who = keys.keys_of(session).digest, address.parse("MATTI@example.fi")
        bans.add(session, made.exact_digest, [Channel.EMAIL], source="a list of SHA-256", now=NOW)
        bans.add(session, keyed("Nemo@example.fi"), [Channel.EMAIL], source="a list of SHA-256", now=NOW)
        how: dict[str, Any] = {"source": "told", "origin": ORIGIN, "now": LATER}
        before = session.scalar(select(func.count()).select_from(Evidence))
        both = (Forbidden(Channel.EMAIL), Forbidden(Channel.POST))
        given = bans.forbid(session, bans.digests(session, who), [Channel.POST, Channel.EMAIL], **how)
        assert given == bans.Given((Channel.POST,), both, made.id)
        assert registrar.forbid(session, who, [Channel.EMAIL], TOLD, now=LATER) == ()
        key = own_page.Key(made.digest, made.exact_digest, NOW)
        assert own_page.forbid(session, key, [Channel.EMAIL], origin=ORIGIN, now=LATER) == ()
        assert session.scalar(select(func.count()).select_from(Evidence)) == before + 1, "of the post"
        nemo = bans.digests(session, address.parse("Nemo@example.fi"))
        assert bans.forbid(session, nemo, [Channel.EMAIL], **how) == bans.Given((Channel.EMAIL,), both[:1], None)
        bans.fold_in(session, made, now=LATER)
        for mailbox in ("nemo@example.fi", "matti@example.fi"):
            assert Forbidden(Channel.EMAIL) in bans.in_force(session, [keyed(mailbox)])
        assert _problems(session) == []


def test_each_scope_stands_by_itself_and_is_lifted_by_itself(app: Flask) -> None:
    with db.transaction() as session:
        made, other = on_both(session)
        who = address.parse(MATTI)
        assert bans.add(session, made.digest, [Channel.EMAIL], source="all", now=NOW) == (Channel.EMAIL,)
        one = {"only": other, "source": "one", "now": NOW}
        assert bans.add(session, made.digest, [Channel.EMAIL, Channel.POST], **one) == (Channel.EMAIL, Channel.POST)
        assert bans.add(session, made.digest, [Channel.EMAIL], **one) == (), "saying it twice is one ban"
        both = (Forbidden(Channel.EMAIL), Forbidden(Channel.EMAIL, "toinen"), Forbidden(Channel.POST, "toinen"))
        assert bans.check(session, who).forbidden == both
        how: dict[str, Any] = {"evidence": "rang", "who": "Maija", "now": LATER}
        assert bans.lift(session, who, [Channel.EMAIL], **how) == both[:1]
        assert (_mailed(session, the_list(session), made), _mailed(session, other, made)) == (None, "banned")
        with pytest.raises(NotAllowed):
            bans.lift(session, who, [Channel.EMAIL], **how)
        assert bans.lift(session, who, [both[1]], **how) == both[1:2]
        assert _mailed(session, other, made) is None
        assert bans.check(session, who).forbidden == both[2:]
        history = [(e["event"], e.get("list"), e["channels"]) for e in proof.prove(session, MATTI) if "channels" in e]
        assert history == [
            ("banned", None, ["email"]), ("banned", "toinen", ["email", "post"]), ("ban_lifted", None, ["email"]),
            ("ban_lifted", "toinen", ["email"]),
        ]  # fmt: skip
        assert _problems(session) == []


def test_a_ban_of_all_lists_counts_on_a_list_that_came_later(app: Flask) -> None:
    with db.transaction() as session:
        made = person(session, MATTI, now=NOW)
        bans.add(session, made.digest, [Channel.EMAIL], source="said so", now=NOW)
        assert _admit(session, second(session), MATTI).refused


def test_a_disclosure_is_of_no_list_so_a_narrow_ban_forbids_it_too(app: Flask) -> None:
    with db.transaction() as session:
        made, other = on_both(session)
        bans.add(session, made.digest, [Channel.DISCLOSURE], only=other, source="said so", now=NOW)
        with pytest.raises(Banned):
            disclosures.note(session, [made.id], recipient="Police", basis="Act 872/2011", fields=["address"],
                             by=Actor(1, "Maija", ""), now=NOW)  # fmt: skip


@pytest.mark.parametrize("harm", ["wider", "narrower", "another list"])
def test_a_scope_that_was_altered_in_the_table_is_named(app: Flask, harm: str) -> None:
    with db.transaction() as session:
        made, other = on_both(session)
        only = None if harm == "narrower" else other
        bans.add(session, made.digest, [Channel.EMAIL], only=only, source="said so", now=NOW)
        assert _problems(session) == []
        list_id = {"wider": 0, "narrower": other.id, "another list": 77}[harm]
        session.execute(update(Ban).values(list_id=list_id))
        session.expire_all()
        held = {"wider": "email", "narrower": "email of list toinen alone", "another list": "email of list number 77 "
                "alone"}[harm]  # fmt: skip
        told = "email" if harm == "narrower" else "email of list toinen alone"
        assert _problems(session) == [
            f"ban 1, on {held}, is in force, and the ledger does not know it",
            f"a ban on {told} that the ledger tells of is not in force",
        ]


def test_an_entry_from_before_there_were_scopes_is_about_all_lists(app: Flask) -> None:
    """Such an entry names no list, as one of all lists does not: nothing in it says less than it did."""
    with db.transaction() as session:
        made = person(session, MATTI, now=NOW)
        bans.add(session, made.digest, [Channel.EMAIL], source="said so", now=NOW)
        body = session.scalars(select(LedgerEntry.body).order_by(LedgerEntry.id.desc()).limit(1)).one()
        assert "list" not in json.loads(body)
        assert session.scalars(select(Ban.list_id)).all() == [0]


def test_it_follows_a_corrected_address_and_holds_back_only_its_own_letter(app: Flask) -> None:
    with db.transaction() as session:
        made, other = on_both(session)
        bans.add(session, made.digest, [Channel.EMAIL], only=other, source="said so", now=NOW)
        new = address.parse("uusi@example.fi")
        asked = registrar.correct_address(session, made.id, new, TOLD, now=LATER)
        assert [row.slug for row in asked] == [the_list(session).slug]
        for who in (new, address.parse(MATTI)):
            assert bans.check(session, who).forbidden == (Forbidden(Channel.EMAIL, "toinen"),)
        assert _problems(session) == []


def test_it_outlives_an_erasure_and_a_leave_does_not_take_its_evidence(app: Flask) -> None:
    with db.transaction() as session:
        made, other = on_both(session)
        registrar.forbid(session, address.parse(MATTI), [Channel.EMAIL], TOLD, only=other, now=NOW)
        token = register.unsubscribe_token(register.tokens_of(session), other.id, made.digest)
        register.leave(session, token, origin=ORIGIN, now=NOW + timedelta(minutes=1))
        row = the_list(session)
        register.leave(session, leave_token(session, made), origin=ORIGIN, now=NOW + timedelta(minutes=1))
        request = ask(session, MATTI, now=NOW)
        confirming.confirm(session, letter(session, request, now=LATER)[0], origin=ORIGIN, now=LATER)
        gone = evidence.unneeded(session, before=LATER + timedelta(days=1), limit=100)
        ban = next(each for each in proof.prove(session, MATTI) if each["event"] == "banned")
        assert gone, "what was on the list that they left and came back to"
        assert bytes.fromhex(ban["evidence"]) not in gone
        erased = rights.erase(session, address.parse(MATTI), LATER)
        assert any("email (toinen only)" in each.what for each in erased.kept)
        assert _admit(session, other, MATTI).refused[0].reason.startswith("banned")
        assert row.slug != other.slug
        assert _problems(session) == []


def test_documents_tell_the_scope(app: Flask) -> None:
    with db.transaction() as session:
        made, other = on_both(session)
        bans.add(session, made.digest, [Channel.EMAIL], only=other, source="said so", now=NOW)
        bans.add(session, made.digest, [Channel.POST], source="said so", now=NOW)
        whole = access.document(session, made, now=NOW)["register"]
        assert sorted((each["channel"], each["list"]) for each in whole["bans"]) == [
            ("email", "toinen"), ("post", None)
        ]  # fmt: skip
        assert [e.get("list") for e in whole["history"] if e["event"] == "banned"] == ["toinen", None]
        found = people.look_up(session, address.parse(MATTI))
        assert found.bans == ("email", "post")
        assert found.in_force == (Forbidden(Channel.EMAIL, "toinen"), Forbidden(Channel.POST))


def test_a_line_of_the_journal_says_its_list(app: Flask) -> None:
    with db.transaction() as session:
        other = second(session)
        digest = keys.keys_of(session).digest(MATTI)
        bans.add(session, digest, [Channel.EMAIL], only=other, source="said so", now=NOW)
        bans.add_many(session, [digest], [Channel.POST], only=other, source="said so", now=NOW)
        bans.add(session, digest, [Channel.PHONE], source="said so", now=NOW)
        bans.lift(session, address.parse(MATTI), [Forbidden(Channel.POST, "toinen")], evidence="rang", who="M",
                  now=NOW)  # fmt: skip
    with db.reading() as session:
        lines = journal_file.read(journal.journal_of(session)).lines
    assert [(line.what, line.list, line.channels) for line in lines] == [
        ("banned", "toinen", ("email",)), ("banned", "toinen", ("post",)), ("banned", None, ("phone",)),
        ("ban_lifted", "toinen", ("post",)),
    ]  # fmt: skip


def test_it_is_counted_on_its_own_list(app: Flask) -> None:
    with db.transaction() as session:
        made, other = on_both(session)
        bans.add(session, made.digest, [Channel.EMAIL], only=other, source="said so", now=NOW)
        stranger = keys.keys_of(session).digest("x@example.fi")
        bans.add(session, stranger, [Channel.EMAIL], source="said so", now=NOW)
        row, day = the_list(session), NOW.date()
        ids = row.id, other.id
    growth.catch_up(stop=lambda: False)
    with db.reading() as session:
        counted = [growth.by_day(session, number, since=day, until=day)[0].banned for number in ids]
    assert counted == [1, 2]


def test_a_list_that_says_it_twice_makes_one_entry_in_the_ledger(app: Flask) -> None:
    with db.transaction() as session:
        other, digest = second(session), keys.keys_of(session).digest(MATTI)
        for _ in range(2):
            bans.add_many(session, [digest, digest], [Channel.EMAIL], only=other, source="a file", now=NOW)
        chain = ledger.chain_of(session, digest)
        assert len(session.scalars(select(LedgerEntry.id).where(LedgerEntry.chain == chain)).all()) == 1
