"""Audience rules as SQL: each part alone, against the same said in Python; and never anybody who is not active."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import product

import pytest
from flask import Flask
from sqlalchemy import insert, update
from sqlalchemy.orm import Session

from conftest import NOW
from mailinglist import db
from mailinglist.bulletins.audience import Rule
from mailinglist.consent import bans, lists, transfer
from mailinglist.consent.keys import keys_of
from mailinglist.consent.states import Basis, Channel
from mailinglist.consent.tables import Ban, KeyCheck, Person, Subscription
from mailinglist.delivery import audience_query
from mailinglist.delivery.audience_query import Count
from mailinglist.delivery.tables import Handoff
from mailinglist.errors import BadInput, RegisterUnsound
from making import the_list

HELSINKI_MIDNIGHT = datetime(2026, 6, 14, 21, tzinfo=UTC)
"""15 June in Helsinki begins here."""


@pytest.fixture
def session(app: Flask) -> Iterator[Session]:
    with db.transaction() as session:
        yield session


def fill(session: Session) -> dict[int, dict[str, object]]:
    """300 persons of every sort, by id; on another list, too."""
    row, other = the_list(session), lists.add(session, "toinen", "Toinen", now=NOW)
    keys, chance = keys_of(session), random.Random(7)
    persons, subscriptions, handoffs, sorts = [], [], [], {}
    states = ("active", "active", "active", "left", "pending", "undeliverable")
    for number in range(1, 301):
        mailbox = f"{'P' if number % 3 else 'p'}{number}@example.fi"
        persons.append({
            "id": number, "mailbox": mailbox, "folded": mailbox.lower(), "digest": keys.digest(mailbox.lower()),
            "exact_digest": keys.digest(mailbox), "chain": number.to_bytes(16, "big"), "created_at": NOW,
            "language": chance.choice(["fi", "fi", "sv", "en"]),
        })  # fmt: skip
        state, basis = chance.choice(states), chance.choice(["consent", "customer", "organisation"])
        since = HELSINKI_MIDNIGHT + timedelta(minutes=chance.choice([-2880, -1, 0, 1, 2880]))
        values = {"state": state, "basis": basis, "since": since, "source": chance.choice(["confirmed", "Messut"])}
        alike = {"person_id": number, "epoch": 0, "sale_reference": "x", **values}
        subscriptions += [{**alike, "list_id": row.id}, {**alike, "list_id": other.id}]
        reached = chance.choice([None, "accepted", "uncertain", "rejected", "excluded", "deferred"])
        if reached:
            handoffs.append({
                "kind": "bulletin", "about": 5, "list_id": row.id, "person_id": number, "state": reached,
                "not_before": NOW, "attempts": 1,
            })  # fmt: skip
        banned = chance.random() < 0.1
        if banned:
            digest = keys.digest(mailbox if number % 2 else mailbox.lower())
            bans.add_many(session, [digest], [Channel.EMAIL, Channel.POST], source="test", now=NOW)
        elif number % 10 == 0:
            bans.add_many(session, [keys.digest(mailbox)], [Channel.PHONE], source="test", now=NOW)
        sorts[number] = {**values, "language": persons[-1]["language"], "reached": reached, "banned": banned}
    session.execute(insert(Person), persons)
    session.execute(insert(Subscription), subscriptions)
    session.execute(insert(Handoff), handoffs)
    return sorts


def fits(sort: dict[str, object], rule: Rule) -> bool:
    since, reached = sort["since"], sort["reached"] in ("accepted", "uncertain")
    assert isinstance(since, datetime)
    day = (since + timedelta(hours=3)).date()  # summer time in Helsinki
    return (
        (not rule.languages or sort["language"] in rule.languages)
        and (rule.joined_after is None or day >= rule.joined_after)
        and (rule.joined_before is None or day < rule.joined_before)
        and (not rule.bases or sort["basis"] in rule.bases)
        and (rule.source is None or sort["source"] == rule.source)
        and (rule.sent is None or (rule.sent == 5 and reached))
        and (rule.not_sent is None or not (rule.not_sent == 5 and reached))
    )


RULES = [
    Rule(), Rule(languages=("sv",)), Rule(languages=("fi", "en")), Rule(joined_after=date(2026, 6, 15)),
    Rule(joined_before=date(2026, 6, 15)), Rule(joined_after=date(2026, 6, 15), joined_before=date(2026, 6, 16)),
    Rule(bases=("consent",)), Rule(bases=("customer", "organisation")), Rule(source="Messut"),
    Rule(source="'; DROP TABLE persons; --"), Rule(sent=5), Rule(not_sent=5), Rule(sent=6), Rule(not_sent=6),
    Rule(("fi", "sv"), date(2026, 6, 13), date(2026, 6, 17), ("consent", "customer"), "confirmed", 5, 6),
    *(Rule((language,), None, None, (basis,), None, None, sent)
      for language, basis, sent in product(("fi", "sv"), ("consent", "customer"), (None, 5))),
]  # fmt: skip


def test_each_rule_reaches_whom_it_says_and_only_who_is_active(session: Session):
    sorts, row = fill(session), the_list(session)
    for rule in RULES:
        fitting = {number: sort for number, sort in sorts.items() if fits(sort, rule)}
        active = {number for number, sort in fitting.items() if sort["state"] == "active"}
        assert set(session.scalars(audience_query.members(session, row.id, rule))) == active, rule
        banned = sum(bool(sorts[number]["banned"]) for number in active)
        assert audience_query.count(session, row.id, rule) == Count(
            audience=len(active) - banned,
            left=sum(sort["state"] == "left" for sort in fitting.values()),
            banned=banned,
            undeliverable=sum(sort["state"] == "undeliverable" for sort in fitting.values()),
        ), rule


def test_a_sample_of_everybody_says_what_a_count_says(session: Session, monkeypatch: pytest.MonkeyPatch):
    fill(session)
    row = the_list(session)
    for name, value in (("_SMALL", 0), ("_SAMPLE", 10_000), ("_RARE", 1)):
        monkeypatch.setattr(audience_query, name, value)
    for rule in RULES:
        exact, about = audience_query.count(session, row.id, rule), audience_query.estimate(session, row.id, rule)
        assert about == replace(exact, about=exact.audience > 0), rule


def test_a_sample_is_scaled_rounded_and_said_to_be_one(session: Session, monkeypatch: pytest.MonkeyPatch):
    fill(session)
    row = the_list(session)
    exact = audience_query.count(session, row.id, Rule())
    monkeypatch.setattr(audience_query, "_SMALL", 0)
    monkeypatch.setattr(audience_query, "_SAMPLE", 16)
    monkeypatch.setattr(audience_query, "_RARE", 10)
    found = audience_query.estimate(session, row.id, Rule())
    assert found.about
    # Of 300 every second or third, without putting back: four standard errors.
    assert abs(found.audience - exact.audience) < 50
    assert found.audience + found.left + found.banned + found.undeliverable <= 300
    # What is rare is counted.
    monkeypatch.setattr(audience_query, "_RARE", 90)
    assert audience_query.estimate(session, row.id, Rule()) == exact


def test_of_the_few_who_were_not_sent_a_bulletin_the_sample_says_what_it_can(
    session: Session, monkeypatch: pytest.MonkeyPatch
):
    fill(session)
    row, few = the_list(session), Rule(not_sent=5)
    exact = audience_query.count(session, row.id, few)
    everybody = audience_query.count(session, row.id, Rule())
    assert 10 < exact.audience < everybody.audience
    for name, value in (("_SMALL", 0), ("_SAMPLE", 10_000), ("_RARE", exact.audience + 1), ("_FEW", 1)):
        monkeypatch.setattr(audience_query, name, value)
    rounded = int(float(f"{exact.audience:.1g}"))
    assert audience_query.estimate(session, row.id, few) == replace(exact, audience=rounded, about=True)
    monkeypatch.setattr(audience_query, "_FEW", exact.audience + 1)
    below = audience_query.estimate(session, row.id, few)
    assert below == replace(exact, audience=below.audience, about=True, below=True)
    assert exact.audience < below.audience
    assert len(str(below.audience).rstrip("0")) == 1
    # Where nobody fits for another reason, that is soon found, and counted.
    nobody = Rule(source="nowhere", not_sent=5)
    assert audience_query.estimate(session, row.id, nobody) == audience_query.count(session, row.id, nobody)


@pytest.mark.parametrize(("seen", "at_most"), [(0, 2_000), (8, 3_000), (24, 5_000)])
def test_what_nobody_of_the_sample_is_may_still_be_some(seen: int, at_most: int):
    assert audience_query._at_most(seen, 1_000_000 / 16_000) == at_most


def test_a_small_register_is_counted(session: Session):
    fill(session)
    row = the_list(session)
    assert audience_query.estimate(session, row.id, Rule()) == audience_query.count(session, row.id, Rule())


def test_a_sample_follows_no_rhythm_of_the_ids():
    ids = audience_query._sample(1_000_000)
    assert len(ids) == audience_query._SAMPLE * audience_query._NEIGHBOURS
    assert ids == sorted(set(ids))
    assert 1 <= ids[0] < ids[-1] <= 1_000_000
    for period in (2, 3, 7, 10, 16, 20, 50, 64):
        shares = Counter(number % period for number in ids)
        assert all(0.8 < shares[rest] * period / len(ids) < 1.2 for rest in range(period)), period


def test_an_estimate_says_nothing_while_the_bans_can_not_be_read(session: Session, monkeypatch: pytest.MonkeyPatch):
    fill(session)
    monkeypatch.setattr(audience_query, "_SMALL", 0)
    session.execute(update(KeyCheck).values(value=b"another"))
    with pytest.raises(RegisterUnsound):
        audience_query.estimate(session, the_list(session).id, Rule())


def test_a_lifted_ban_leaves_nobody_out(session: Session):
    fill(session)
    row = the_list(session)
    before = audience_query.count(session, row.id, Rule())
    assert before.banned > 0
    session.execute(update(Ban).values(lifted_at=NOW))
    after = audience_query.count(session, row.id, Rule())
    assert (after.banned, after.audience) == (0, before.audience + before.banned)


def test_a_count_says_nothing_while_the_bans_can_not_be_read(session: Session):
    session.execute(update(KeyCheck).values(value=b"another"))
    with pytest.raises(RegisterUnsound):
        audience_query.count(session, the_list(session).id, Rule())


def test_a_frozen_rule_that_is_no_rule_reaches_nobody(session: Session):
    with pytest.raises(BadInput):
        audience_query.members_of(session, the_list(session).id, '{"everybody": true}')


def test_where_imports_came_from(session: Session):
    fill(session)
    assert audience_query.sources(session, the_list(session).id) == ["Messut", "confirmed"]


def test_in_a_large_register_a_sample_and_the_files_tell_where_people_came_from(
    session: Session, monkeypatch: pytest.MonkeyPatch
):
    fill(session)
    row = the_list(session)
    other = lists.find(session, "toinen")
    monkeypatch.setattr(audience_query, "_SMALL", 0)
    assert audience_query.sources(session, row.id) == ["Messut", "confirmed"]
    for to, source in ((row, "crm"), (other, "elsewhere")):
        transfer.file_evidence(
            session, to, basis=Basis.CONSENT, source=source, file="x.csv", digest="0" * 64, who="x", now=NOW
        )
    assert audience_query.sources(session, row.id) == ["Messut", "confirmed", "import: crm"]
    # Few places that are looked at, and none that stand beside each other.
    monkeypatch.setattr(audience_query, "_SAMPLE", 1)
    found = audience_query.sources(session, row.id)
    assert set(found) <= {"Messut", "confirmed", "import: crm"}
    assert len(found) == 2
