"""Tokens of other systems: made, shown once, found by their digest, and over; and what the audit says of it."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

import pytest
from enrolling import BY
from flask import Flask
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from conftest import NOW
from mailinglist import db
from mailinglist.delivery.attention import Place
from mailinglist.errors import BadInput, Unknown
from mailinglist.privacy import needs, retention
from mailinglist.staff import accounts, audit, programs
from mailinglist.staff.levels import Level
from mailinglist.staff.programs import Scope, State
from mailinglist.staff.tables import ApiToken
from making import the_list

DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)


def issued(session: Session, **values: object) -> tuple[ApiToken, str]:
    options = {"scopes": [Scope.BANS_READ], "by": BY, "now": NOW} | values
    return programs.issue(session, "Web shop", **options)  # type: ignore[arg-type]


def known(session: Session, secret: str, after: timedelta = SECOND) -> int | None:
    """The number of the token that a secret opens."""
    found = programs.bearer(session, secret, now=NOW + after)
    return found.id if found else None


class TestIssuing:
    def test_a_token_and_its_secret(self, app: Flask) -> None:
        with db.transaction() as session:
            row, secret = issued(session, scopes=[Scope.PEOPLE_WRITE, "bans:read", "bans:read"])
            _, other = issued(session)
        assert secret.startswith("mlt_")
        assert (len(secret), secret.isascii()) == (4 + 43, True), "32 random bytes in base64url, without padding"
        assert secret != other
        with db.reading() as session:
            row = programs.find(session, row.id)
            assert (row.name, row.scopes, row.list_id) == ("Web shop", ["bans:read", "people:write"], None)
            assert (row.created_by, row.created_at, row.expires_at) == ("root", NOW, NOW + 365 * DAY)
            assert (row.used_at, row.revoked_at, row.revoked_by) == (None, None, None)
            assert row.digest == hashlib.sha256(secret.encode()).digest()
            [line, _] = reversed(audit.search(session))
            assert (line.act, line.about, line.who) == ("api_token_issued", f"program {row.id}", "root")
            assert line.detail == {
                "name": "Web shop", "scopes": ["bans:read", "people:write"],
                "until": (NOW + 365 * DAY).isoformat(timespec="minutes"),
            }  # fmt: skip

    def test_the_secret_is_kept_nowhere(self, app: Flask) -> None:
        with db.transaction() as session:
            row, secret = issued(session)
            programs.revoke(session, row.id, by=BY, now=NOW)
        with db.reading() as session:
            rows = [session.execute(text(f"SELECT * FROM {table}")).all() for table in ("api_tokens", "audit")]
        assert len(rows[1]) == 2
        assert secret not in repr(rows)
        assert secret.removeprefix(programs.PREFIX) not in repr(rows)

    @pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
    def test_what_is_refused(self, app: Flask) -> None:
        wrong: list[dict[str, object]] = [
            {"scopes": []}, {"scopes": ["bans:lift"]}, {"scopes": ["bans:read", ""]}, {"days": 0}, {"days": 731},
        ]  # fmt: skip
        with db.transaction() as session:
            for values in wrong:
                with pytest.raises(BadInput):
                    issued(session, **values)
            for name in ("", " \n", "x" * 101, "a\u202eb", "a\0b"):
                with pytest.raises(BadInput):
                    programs.issue(session, name, ["bans:read"], by=BY, now=NOW)
            here = the_list(session)
            assert programs.every(session) == []
            assert audit.search(session) == []
            for days in (1, 730):
                made, _ = issued(session, days=days, only=here)
                assert (made.expires_at, made.list_id) == (NOW + days * DAY, here.id)
                assert audit.search(session, limit=1)[0].detail["list"] == here.id

    def test_no_scope_takes_addresses_out_or_undoes(self) -> None:
        """T7.3: whoever adds one looks at what programs.py promises, and at docs/api.md."""
        assert set(Scope) == {"bans:read", "bans:write", "people:write", "requests:write", "bulletins:read"}


class TestPresenting:
    def test_who_has_the_secret_is_known(self, app: Flask) -> None:
        with db.transaction() as session:
            row, secret = issued(session)
            other, its = issued(session)
        with db.reading() as session:
            assert (known(session, secret), known(session, its)) == (row.id, other.id)
            strangers = (
                "", "mlt_", secret[:-1], secret + "A", secret.upper(), f" {secret}", row.digest.hex(), "ä", "\udcff",
                "mlt_" + "A" * 43, "x" * 100_000,
            )  # fmt: skip
            assert [known(session, each) for each in strangers] == [None] * len(strangers)

    def test_not_when_its_time_is_over_or_it_is_revoked(self, app: Flask) -> None:
        with db.transaction() as session:
            row, secret = issued(session, days=1)
            assert known(session, secret, DAY - SECOND) == row.id
            assert known(session, secret, DAY) is None
            assert programs.state(row, NOW + DAY) is State.ENDED
            programs.revoke(session, row.id, by=BY, now=NOW + HOUR)
        with db.reading() as session:
            assert known(session, secret) is None, "whatever the clock says"
            assert programs.state(programs.find(session, row.id), NOW) is State.REVOKED

    @pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
    def test_it_is_the_firms_and_not_its_makers(self, app: Flask) -> None:
        with db.transaction() as session:
            account, _ = accounts.enrol(session, "maija@example.fi", levels=[Level.READER], by=BY, now=NOW)
            _, secret = issued(session, by=audit.actor(account, ""))
            accounts.disable(session, account, by=BY, now=NOW)
            assert known(session, secret)

    @pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
    def test_its_use_is_written_down_once_an_hour(self, app: Flask) -> None:
        with db.transaction() as session:
            row, secret = issued(session)
        with db.reading() as session:
            found = programs.bearer(session, secret, now=NOW)
            assert found is not None
            assert not session.dirty, "a call costs no write"
            assert programs.unnoted(found, now=NOW)
        with db.transaction() as session:
            programs.used(session, row.id, now=NOW)
        with db.reading() as session:
            found = programs.find(session, row.id)
            assert found.used_at == NOW
            assert not programs.unnoted(found, now=NOW + HOUR - SECOND)
            assert programs.unnoted(found, now=NOW + HOUR)
            assert programs.unnoted(found, now=NOW - DAY), "written down by a clock that was ahead"


class TestEnding:
    def test_revoked_once_and_by_whom(self, app: Flask) -> None:
        with db.transaction() as session:
            row, _ = issued(session)
            programs.revoke(session, row.id, by=BY, now=NOW + DAY)
            programs.revoke(session, row.id, by=audit.Actor(None, "somebody", ""), now=NOW + 2 * DAY)
            with pytest.raises(Unknown):
                programs.revoke(session, row.id + 1, by=BY, now=NOW)
        with db.reading() as session:
            found = programs.find(session, row.id)
            assert (found.revoked_at, found.revoked_by) == (NOW + DAY, "root")
            assert [line.act for line in audit.search(session)] == ["api_token_revoked", "api_token_issued"]
            assert audit.search(session)[0].about == f"program {row.id}"

    def test_after_a_restore_none_is_good(self, app: Flask) -> None:
        with db.transaction() as session:
            _, secret = issued(session)
            over, _ = issued(session, days=1)
            revoked, _ = issued(session)
            programs.revoke(session, revoked.id, by=BY, now=NOW)
            assert programs.revoke_every(session, by="restorer", now=NOW + 2 * DAY) == 1
        with db.reading() as session:
            assert known(session, secret, 2 * DAY) is None
            assert programs.find(session, revoked.id).revoked_by == "root"
            assert programs.find(session, over.id).revoked_by is None

    def test_they_go_with_the_audit_once_they_are_over(self, app: Flask) -> None:
        """Two years after the end, which is when it was revoked or when its time ran out."""
        with db.transaction() as session:
            ran_out, _ = issued(session, days=1, now=NOW - 732 * DAY)
            lately, _ = issued(session, days=3, now=NOW - 732 * DAY)
            revoked, _ = issued(session, days=730, now=NOW - 1000 * DAY)
            still, _ = issued(session, days=730, now=NOW - 1000 * DAY)
            session.flush()
            programs.revoke(session, revoked.id, by=BY, now=NOW - 731 * DAY)
            programs.revoke(session, lately.id, by=BY, now=NOW - 729 * DAY)
            before = NOW - 730 * DAY
            due = {each.rule.name: each.number for each in retention.due(session, now=NOW)}
            assert due["programs"] == programs.over(session, before=before) == 2
            assert programs.clear(session, before=before) == 2
            assert {row.id for row in programs.every(session)} == {lately.id, still.id}
            assert ran_out.id not in {row.id for row in programs.every(session)}
            assert issued(session)[0].id > still.id, "the audit knows it by its number"
            assert session.scalar(select(func.count()).select_from(ApiToken)) == 3


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_nobody_is_called_as_a_program_is(app: Flask) -> None:
    with db.transaction() as session:
        row, _ = issued(session)
        who = programs.actor(row, "192.0.2.7")
        assert (who.account_id, who.client) == (None, "192.0.2.7")
        assert programs.named(who.who) == f"Web shop ({row.id})"
        assert programs.named("Program Planner") is None
        account, _ = accounts.enrol(session, "maija@example.fi", name="Maija", levels=["reader"], by=BY, now=NOW)
        with pytest.raises(BadInput, match="Other systems"):
            accounts.rename(session, account, who.who, by=BY, now=NOW)
        accounts.rename(session, account, "program Web shop", by=BY, now=NOW)


def test_a_token_in_use_that_ends_soon_needs_somebody(app: Flask) -> None:
    now = NOW + 350 * DAY
    with db.transaction() as session:
        mine, _ = issued(session)
        idle, _ = programs.issue(session, "Till", [Scope.BANS_READ], by=BY, now=NOW)
        programs.used(session, mine.id, now=now - DAY)
        assert needs_of(session, now - 350 * DAY) == []
        assert needs_of(session, now) == [("The token of “%(name)s” ends soon. Days left: %(days)s.", "Web shop", 15)]
        issued(session, now=now)
        assert needs_of(session, now) == [], "another has taken over"
        programs.used(session, idle.id, now=NOW)
        assert needs_of(session, now) == [], "nobody misses what nobody uses"


def needs_of(session: Session, now: datetime) -> list[tuple[object, ...]]:
    """What is said of tokens."""
    found = [need for need in needs.of_list(session, the_list(session), now=now) if need.place is Place.PROGRAMS]
    return [(need.what.words, *need.what.values.values()) for need in found]
