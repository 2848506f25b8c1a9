"""Accounts: made, set up by a link, changed, shut out; and what the audit says of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from enrolling import BY, CLIENT, PASSWORD, hash_quickly, member
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from conftest import NOW
from mailinglist import db
from mailinglist.errors import BadInput, NotAllowed, TokenForged, TokenSpent, Unknown
from mailinglist.staff import accounts, audit, passwords, sign_ins
from mailinglist.staff.levels import Level
from mailinglist.staff.tables import Account, Enrolment

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    hash_quickly(monkeypatch)


def acts(session: Session) -> list[str]:
    """What the audit has, oldest first."""
    return [line.act for line in reversed(audit.search(session))]


def enrolled(session: Session, **values: object) -> tuple[Account, str]:
    options = {"name": "Maija", "levels": ["editor"], "by": BY, "now": NOW} | values
    return accounts.enrol(session, "Maija@Example.fi", **options)  # type: ignore[arg-type]


class TestMaking:
    def test_an_account_and_its_link(self, app: Flask) -> None:
        with db.transaction() as session:
            account, secret = enrolled(session, levels=[Level.PUBLISHER, "editor", "editor"])
            assert (account.address, account.folded) == ("Maija@example.fi", "maija@example.fi")
            assert account.levels == ["editor", "publisher"]
            assert account.created_by == "root"
            assert not account.enrolled
            assert account.usable(NOW)
            assert accounts.open_link(session, secret, now=NOW).account_id == account.id
            assert accounts.by_address(session, "maija@example.fi") is account
            assert accounts.find(session, account.id) is account
            assert acts(session) == ["account_made", "link_issued"]
            kept = session.scalars(select(Enrolment.digest)).one()
            assert secret.encode() not in kept, "a copy of the database opens no door"

    def test_one_for_an_address_whatever_its_case(self, app: Flask) -> None:
        with db.transaction() as session:
            enrolled(session)
            with pytest.raises(NotAllowed):
                accounts.enrol(session, "MAIJA@example.fi", levels=["editor"], by=BY, now=NOW)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"levels": []}, {"levels": ["emperor"]}, {"name": "x" * 201}, {"name": "a\u202eb"}, {"language": "de"},
            {"until": NOW}, {"until": NOW - DAY},
        ],
    )  # fmt: skip
    def test_what_is_refused(self, app: Flask, wrong: dict[str, object]) -> None:
        with db.transaction() as session:
            with pytest.raises(BadInput):
                enrolled(session, **wrong)
            assert accounts.every(session) == []

    def test_nobody_of_that_number(self, app: Flask) -> None:
        with db.transaction() as session, pytest.raises(Unknown):
            accounts.find(session, 1)


class TestLinks:
    def test_good_for_a_day(self, app: Flask) -> None:
        with db.transaction() as session:
            _, secret = enrolled(session)
            accounts.open_link(session, secret, now=NOW + DAY - SECOND)
            with pytest.raises(TokenSpent):
                accounts.open_link(session, secret, now=NOW + DAY)

    def test_good_once(self, app: Flask) -> None:
        with db.transaction() as session:
            _, secret = enrolled(session)
            link = accounts.open_link(session, secret, now=NOW)
            accounts.spend_link(session, link, now=NOW)
            with pytest.raises(TokenSpent):
                accounts.open_link(session, secret, now=NOW)
            with pytest.raises(TokenSpent):
                accounts.spend_link(session, link, now=NOW)

    def test_a_fresh_one_makes_the_earlier_void(self, app: Flask) -> None:
        with db.transaction() as session:
            account, first = enrolled(session)
            second = accounts.issue_link(session, account, "enrol", by=BY, now=NOW + SECOND)
            with pytest.raises(TokenSpent):
                accounts.open_link(session, first, now=NOW + SECOND)
            assert accounts.open_link(session, second, now=NOW + SECOND).purpose == "enrol"

    @pytest.mark.parametrize("secret", ["", "x", "x" * 43, "ä" * 50])
    def test_what_is_none_of_ours(self, app: Flask, secret: str) -> None:
        with db.transaction() as session, pytest.raises(TokenForged):
            accounts.open_link(session, secret, now=NOW)

    def test_the_purpose_has_to_suit_the_account(self, app: Flask) -> None:
        with db.transaction() as session:
            account, _ = enrolled(session)
            for purpose in ("password", "factor"):
                with pytest.raises(NotAllowed):
                    accounts.issue_link(session, account, purpose, by=BY, now=NOW)
            other = member(session, now=NOW, address="other@example.fi")
            with pytest.raises(NotAllowed):
                accounts.issue_link(session, other, "enrol", by=BY, now=NOW)
            assert accounts.issue_link(session, other, "factor", by=BY, now=NOW)

    def test_none_of_somebody_who_is_shut_out(self, app: Flask) -> None:
        with db.transaction() as session:
            account, secret = enrolled(session)
            accounts.disable(session, account, by=BY, now=NOW)
            with pytest.raises(TokenSpent):
                accounts.open_link(session, secret, now=NOW)
            with pytest.raises(NotAllowed):
                accounts.issue_link(session, account, "enrol", by=BY, now=NOW)
            accounts.enable(session, account, by=BY, now=NOW)
            with pytest.raises(TokenSpent):
                accounts.open_link(session, secret, now=NOW)

    def test_they_go_thirty_days_after_their_end(self, app: Flask) -> None:
        with db.transaction() as session:
            _, secret = enrolled(session)
            assert accounts.clear_links(session, before=NOW + DAY) == 0
            assert accounts.clear_links(session, before=NOW + DAY + SECOND) == 1
            with pytest.raises(TokenForged):
                accounts.open_link(session, secret, now=NOW)


class TestPassword:
    def test_set_and_in_the_audit_without_the_password(self, app: Flask) -> None:
        with db.transaction() as session:
            account, _ = enrolled(session)
            assert accounts.nobody_enrolled(session)
            accounts.set_password(session, account, PASSWORD, by=BY, now=NOW)
            assert account.enrolled
            assert not accounts.nobody_enrolled(session)
            assert passwords.fits(account.password, PASSWORD)
            line = audit.search(session, act="password_set")[0]
            assert line.about == f"account {account.id}"
            assert line.detail == {}

    @pytest.mark.parametrize("wrong", ["short", "maija@example.fi!", "Tector tiedottaa 1"])
    def test_refused_also_for_what_is_known_here(self, app: Flask, wrong: str) -> None:
        with db.transaction() as session:
            account, _ = enrolled(session)
            with pytest.raises(BadInput):
                accounts.set_password(session, account, wrong, by=BY, now=NOW)
            assert not account.enrolled

    def test_a_new_one_ends_all_other_sign_ins(self, app: Flask) -> None:
        with db.transaction() as session:
            account = member(session, now=NOW)
            one, other = (sign_ins.begin(session, account, client=CLIENT, agent="", now=NOW) for _ in range(2))
            here = sign_ins.of(session, other, now=NOW)
            assert here is not None
            accounts.set_password(session, account, "another lamp laughs", by=BY, now=NOW, keep=here.sign_in)
            assert sign_ins.of(session, one, now=NOW) is None
            assert sign_ins.of(session, other, now=NOW) is not None


class TestChanging:
    def test_the_secrecy_statement_is_dated(self, app: Flask) -> None:
        with db.transaction() as session:
            account = member(session, now=NOW)
            assert not sign_ins.accepted_secrecy(account)
            accounts.accept_secrecy(session, account, by=BY, now=NOW)
            assert sign_ins.accepted_secrecy(account)
            assert account.secrecy_at == NOW
            account.secrecy_version = 0
            assert not sign_ins.accepted_secrecy(account), "a new version is accepted anew"

    def test_levels_and_what_they_were(self, app: Flask) -> None:
        with db.transaction() as session:
            account = member(session, Level.EDITOR, now=NOW)
            accounts.set_levels(session, account, ["publisher", "auditor"], by=BY, now=NOW)
            accounts.set_levels(session, account, ["auditor", "publisher"], by=BY, now=NOW)
            [line] = audit.search(session, act="levels_set")
            assert line.detail == {"before": ["editor"], "after": ["auditor", "publisher"]}
            with pytest.raises(BadInput):
                accounts.set_levels(session, account, [], by=BY, now=NOW)

    def test_nobody_gives_themselves_a_level(self, app: Flask) -> None:
        with db.transaction() as session:
            member(session, Level.ADMINISTRATOR, now=NOW)
            account = member(session, Level.ADMINISTRATOR, Level.EDITOR, address="oma@example.fi", now=NOW)
            oneself = audit.actor(account, CLIENT)
            with pytest.raises(NotAllowed, match="themselves"):
                accounts.set_levels(session, account, ["administrator", "publisher"], by=oneself, now=NOW)
            accounts.set_levels(session, account, ["administrator"], by=oneself, now=NOW)
            assert account.levels == ["administrator"]

    def test_name_and_language(self, app: Flask) -> None:
        with db.transaction() as session:
            account = member(session, now=NOW)
            accounts.rename(session, account, "  Maija   Mainio ", by=BY, now=NOW)
            accounts.set_language(session, account, "sv")
            assert (account.name, account.language) == ("Maija Mainio", "sv")
            for wrong in ("", "  ", "a\x00b"):
                with pytest.raises(BadInput):
                    accounts.rename(session, account, wrong, by=BY, now=NOW)

    def test_an_end(self, app: Flask) -> None:
        with db.transaction() as session:
            account = member(session, now=NOW, until=NOW + DAY)
            assert account.usable(NOW + DAY - SECOND)
            assert not account.usable(NOW + DAY)
            accounts.set_until(session, account, None, by=BY, now=NOW)
            assert account.usable(NOW + 400 * DAY)

    def test_disabled_is_out_at_once(self, app: Flask) -> None:
        with db.transaction() as session:
            account = member(session, now=NOW)
            secret = sign_ins.begin(session, account, client=CLIENT, agent="", now=NOW)
        with db.transaction() as session:
            accounts.disable(session, accounts.find(session, account.id), by=BY, now=NOW)
            accounts.disable(session, accounts.find(session, account.id), by=BY, now=NOW)
        with db.transaction() as session:
            assert sign_ins.of(session, secret, now=NOW) is None
            accounts.enable(session, accounts.find(session, account.id), by=BY, now=NOW)
            assert sign_ins.of(session, secret, now=NOW) is None, "what was ended stays so"
            assert acts(session).count("account_disabled") == 1


AWAY: dict[str, Callable[[Session, Account], None]] = {
    "levels": lambda session, account: accounts.set_levels(session, account, ["editor"], by=BY, now=NOW),
    "disable": lambda session, account: accounts.disable(session, account, by=BY, now=NOW),
    "until": lambda session, account: accounts.set_until(session, account, NOW + DAY, by=BY, now=NOW),
}


class TestTheLastAdministrator:
    @pytest.mark.parametrize("how", AWAY)
    def test_stays(self, app: Flask, how: str) -> None:
        with db.transaction() as session:
            last = member(session, Level.ADMINISTRATOR, now=NOW)
            accounts.enrol(session, "new@example.fi", levels=["administrator"], by=BY, now=NOW)  # never set up
            member(session, Level.ADMINISTRATOR, now=NOW, address="outsider@example.fi", until=NOW + DAY)
            gone = member(session, Level.ADMINISTRATOR, now=NOW, address="gone@example.fi")
            accounts.disable(session, gone, by=BY, now=NOW)
            with pytest.raises(NotAllowed, match="last administrator"):
                AWAY[how](session, last)
            assert last.levels == ["administrator"]
            assert last.usable(NOW + 2 * DAY)

    @pytest.mark.parametrize("how", AWAY)
    def test_another_may_go(self, app: Flask, how: str) -> None:
        with db.transaction() as session:
            one = member(session, Level.ADMINISTRATOR, now=NOW)
            other = member(session, Level.ADMINISTRATOR, now=NOW, address="other@example.fi")
            AWAY[how](session, one)
            with pytest.raises(NotAllowed):
                AWAY[how](session, other)

    def test_stays_when_two_go_at_the_same_moment(self, app: Flask) -> None:
        with db.transaction() as session:
            pair = [
                member(session, Level.ADMINISTRATOR, now=NOW, address=f"{number}@example.fi").id for number in (1, 2)
            ]
        together, refused = threading.Barrier(2), []

        def go(number: int) -> None:
            with app.app_context():
                together.wait()
                try:
                    with db.transaction() as session:
                        accounts.disable(session, accounts.find(session, number), by=BY, now=NOW)
                except NotAllowed:
                    refused.append(number)

        threads = [threading.Thread(target=go, args=(number,)) for number in pair]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with db.reading() as session:
            left = session.scalar(select(func.count()).where(Account.disabled_at.is_(None)))
        assert (left, len(refused)) == (1, 1)
