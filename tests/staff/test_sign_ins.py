"""Sign-ins: both factors, how long they last, how they end, and that each try is on record."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from enrolling import BY, CLIENT, PASSWORD, authenticator, hash_quickly, member, row_of
from flask import Flask
from passkey_device import Device
from sqlalchemy import select

from conftest import NOW, SECRETS
from mailinglist import db
from mailinglist.errors import BadInput, NotAllowed, TokenSpent, Unknown
from mailinglist.pace import Pace, TooMany
from mailinglist.settings import Settings
from mailinglist.staff import accounts, audit, factors, passwords, sign_ins
from mailinglist.staff.levels import Level, Right
from mailinglist.staff.passkeys import Site
from mailinglist.staff.tables import Account, AuditEntry, RecoveryCode, SignIn
from mailinglist.staff.vault import Vault

LATER = NOW + timedelta(minutes=1)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
SITE = Site("lists.example.fi", "https://lists.example.fi")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    hash_quickly(monkeypatch)


def half(session, account: Account, now=NOW) -> tuple[str, SignIn]:
    secret = sign_ins.begin(session, account, client=CLIENT, agent="Browser", now=now)
    return secret, row_of(session, account)


def whole(session, account: Account, now=NOW) -> str:
    _, sign_in = half(session, account, now)
    return sign_ins.pass_factor(session, sign_in, now=now)


def lines(session) -> list[tuple[str, object]]:
    return [(line.act, line.detail.get("why") or line.detail.get("how")) for line in reversed(audit.search(session))]


class TestPassword:
    def test_half_a_sign_in_has_no_rights(self, app: Flask) -> None:
        with db.transaction() as session:
            account = member(session, Level.ADMINISTRATOR, now=NOW)
            accounts.accept_secrecy(session, account, by=BY, now=NOW)
            secret = sign_ins.try_password(
                session, " MAIJA@example.fi", PASSWORD, client=CLIENT, agent="Browser", now=NOW
            )
            assert secret is not None
            found = sign_ins.of(session, secret, now=NOW)
            assert found is not None
            assert (found.account.id, found.complete, found.rights) == (account.id, False, frozenset())
            assert not sign_ins.fresh(found.sign_in, NOW)
            kept = session.scalars(select(SignIn.digest)).one()
            assert secret.encode() not in kept

    @pytest.mark.parametrize(
        ("address", "password", "why"),
        [
            ("maija@example.fi", "not the password", "password"), ("maija@example.fi", "", "password"),
            ("nobody@example.fi", PASSWORD, "unknown"), ("new@example.fi", PASSWORD, "password"),
            ("gone@example.fi", PASSWORD, "disabled"), ("over@example.fi", PASSWORD, "past its end"),
        ],
    )  # fmt: skip
    def test_a_refusal_is_on_record_and_says_nothing(self, app: Flask, address: str, password: str, why: str) -> None:
        with db.transaction() as session:
            member(session, now=NOW)
            accounts.enrol(session, "new@example.fi", levels=["editor"], by=BY, now=NOW)
            gone = member(session, now=NOW, address="gone@example.fi")
            accounts.disable(session, gone, by=BY, now=NOW)
            member(session, now=NOW, address="over@example.fi", until=NOW + SECOND)
            assert sign_ins.try_password(session, address, password, client=CLIENT, agent="", now=LATER) is None
            [line] = audit.search(session, act="sign_in_refused")
            assert (line.detail["why"], line.client) == (why, CLIENT)
            assert "example.fi" not in repr((line.detail, line.about, line.who if why == "unknown" else ""))
            assert session.scalar(select(SignIn.id)) is None

    def test_a_stranger_is_the_same_stranger_and_no_more(self, app: Flask) -> None:
        with db.transaction() as session:
            for address in ("a@example.fi", "A@example.fi ", "b@example.fi"):
                sign_ins.try_password(session, address, "x", client=CLIENT, agent="", now=NOW)
            found = [line.detail["address"] for line in audit.search(session)]
        assert found[1] == found[2] != found[0]

    def test_a_dated_hash_is_made_anew(self, app: Flask) -> None:
        import argon2

        weak = argon2.PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
        with db.transaction() as session:
            account = member(session, now=NOW)
            account.password = weak
            session.flush()
            assert sign_ins.try_password(session, account.address, PASSWORD, client=CLIENT, agent="", now=NOW)
            session.refresh(account)
            assert account.password != weak
            assert passwords.fits(account.password, PASSWORD)

    def test_an_unknown_address_costs_a_verification_too(self, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
        """The work, not the clock: a clock's figures would be the machine's."""
        verified: list[str] = []
        real = passwords._hasher

        class Counting:
            def __getattr__(self, name: str) -> object:
                return getattr(real, name)

            def verify(self, stored: str, password: str) -> bool:
                verified.append(stored.rsplit("$", 2)[0])
                return real.verify(stored, password)

        monkeypatch.setattr(passwords, "_hasher", Counting())
        with db.transaction() as session:
            member(session, now=NOW)
            for address in ("maija@example.fi", "nobody@example.fi"):
                sign_ins.try_password(session, address, "not the password", client=CLIENT, agent="", now=NOW)
        assert len(verified) == 2
        assert verified[0] == verified[1], "with the same settings"


class TestSecondFactor:
    def test_the_authenticator_makes_it_whole(self, app: Flask) -> None:
        with db.transaction() as session:
            account = member(session, Level.EDITOR, now=NOW)
            codes = authenticator(session, account, now=NOW)
            accounts.accept_secrecy(session, account, by=BY, now=NOW)
            before, sign_in = half(session, account)
            assert sign_ins.try_totp(session, sign_in, "000000", client=CLIENT, now=LATER) is None
            after = sign_ins.try_totp(session, sign_in, codes.at(LATER), client=CLIENT, now=LATER)
            assert after is not None
            assert sign_ins.of(session, before, now=LATER) is None, "no session fixation: the secret is another one"
            found = sign_ins.of(session, after, now=LATER)
            assert found is not None
            assert found.complete
            assert found.rights == {Right.SEE, Right.WRITE}
            assert sign_ins.fresh(found.sign_in, LATER)
            assert lines(session)[-2:] == [("sign_in_refused", "totp"), ("sign_in", "totp")]

    def test_without_the_secrecy_statement_there_are_no_rights(self, app: Flask) -> None:
        with db.transaction() as session:
            found = sign_ins.of(session, whole(session, member(session, now=NOW)), now=NOW)
            assert found is not None
            assert found.complete
            assert found.rights == frozenset()

    def test_a_code_is_good_once(self, app: Flask) -> None:
        with db.transaction() as session:
            account = member(session, now=NOW)
            codes = authenticator(session, account, now=NOW)
            _, sign_in = half(session, account)
            assert sign_ins.try_totp(session, sign_in, codes.at(NOW), client=CLIENT, now=NOW) is None, "the first code"
            assert sign_ins.try_totp(session, sign_in, codes.at(LATER), client=CLIENT, now=LATER)
            _, another = half(session, account)
            assert sign_ins.try_totp(session, another, codes.at(LATER), client=CLIENT, now=LATER) is None

    def test_also_when_it_comes_twice_at_the_same_moment(self, app: Flask) -> None:
        with db.transaction() as session:
            account = member(session, now=NOW)
            codes = authenticator(session, account, now=NOW)
            tries = [half(session, account)[1] for _ in range(2)]
        together, let_in = threading.Barrier(2), []

        def go(sign_in: SignIn) -> None:
            with app.app_context():
                together.wait()
                with db.transaction() as session:
                    if sign_ins.try_totp(session, sign_in, codes.at(LATER), client=CLIENT, now=LATER):
                        let_in.append(sign_in.id)

        threads = [threading.Thread(target=go, args=(sign_in,)) for sign_in in tries]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(let_in) == 1

    def test_the_secret_is_encrypted_and_another_accounts_does_not_fit(self, app: Flask) -> None:
        with db.transaction() as session:
            one, other = member(session, now=NOW), member(session, now=NOW, address="other@example.fi")
            codes = authenticator(session, one, now=NOW)
            assert one.totp is not None
            assert codes.secret.encode() not in one.totp
            other.totp = one.totp
            session.flush()
            assert not factors.use_totp(session, other, codes.at(LATER), now=LATER)

    def test_a_secret_of_an_older_key_is_sealed_anew_when_it_is_used(self, app: Flask) -> None:
        with db.transaction() as session:
            account = member(session, now=NOW)
            codes = authenticator(session, account, now=NOW)
            old = account.totp
            rotated = session.info["vault"] = Vault(["a-newer-key-0123456789abcdef", SECRETS["secret_keys"]])
            assert not factors.use_totp(session, account, "000000", now=LATER)
            assert factors.use_totp(session, account, codes.at(LATER), now=LATER)
            session.refresh(account)
            assert account.totp is not None
            assert account.totp != old
            session.info["vault"] = Vault(["a-newer-key-0123456789abcdef"])  # the older one is taken away
            later = LATER + MINUTE
            assert factors.use_totp(session, account, codes.at(later), now=later)
            kept = account.totp
            session.info["vault"] = rotated
            session.refresh(account)
            assert account.totp == kept, "once is enough"

    def test_a_wrong_first_code_sets_nothing(self, app: Flask) -> None:
        with db.transaction() as session:
            account, other = member(session, now=NOW), member(session, now=NOW, address="other@example.fi")
            offer = factors.propose_totp(session, account, site="test")
            again = factors.proposed_again(session, account, offer.sealed, site="test")
            assert again == offer
            for sealed, code in ((offer.sealed, "000000"), ("zz", "000000"), ("", "")):
                with pytest.raises(BadInput):
                    factors.set_totp(session, account, sealed, code, by=BY, now=NOW)
            assert factors.proposed_again(session, other, offer.sealed, site="test") is None, "bound to its account"
            assert account.totp is None

    def test_recovery_codes(self, app: Flask) -> None:
        with db.transaction() as session:
            account, other = member(session, now=NOW), member(session, now=NOW, address="other@example.fi")
            old = factors.recovery_codes(session, account, NOW, by=BY)
            codes = factors.recovery_codes(session, account, NOW, by=BY)
            assert (len(set(codes)), factors.codes_left(session, account)) == (10, 10)
            kept = b"".join(session.scalars(select(RecoveryCode.digest)))
            assert not any(code.encode() in kept for code in codes)
            _, sign_in = half(session, account)
            assert sign_ins.try_recovery(session, sign_in, old[0], client=CLIENT, now=NOW) is None
            assert sign_ins.try_recovery(session, sign_in, "", client=CLIENT, now=NOW) is None
            assert sign_ins.try_recovery(session, half(session, other)[1], codes[0], client=CLIENT, now=NOW) is None
            assert sign_ins.try_recovery(session, sign_in, f" {codes[0].upper()} ", client=CLIENT, now=NOW)
            assert sign_ins.try_recovery(session, sign_in, codes[0], client=CLIENT, now=NOW) is None, "good once"
            assert factors.codes_left(session, account) == 9


class TestPasskeys:
    def enrolled(self, session) -> tuple[Account, Device]:
        account, device = member(session, now=NOW), Device(SITE.origin, SITE.host)
        options, sealed = factors.propose_passkey(session, account, site=SITE, now=NOW)
        factors.add_passkey(
            session, account, answer=device.register(options), sealed=sealed, site=SITE, name="Key", by=BY, now=NOW
        )
        return account, device

    def test_one_signs_in(self, app: Flask) -> None:
        with db.transaction() as session:
            account, device = self.enrolled(session)
            assert len(factors.passkeys_of(session, account)) == 1
            _, sign_in = half(session, account)
            options = sign_ins.passkey_options(session, sign_in, site=SITE)
            answer = device.sign(options)
            secret = sign_ins.try_passkey(session, sign_in, answer, site=SITE, client=CLIENT, now=LATER)
            assert secret is not None
            found = sign_ins.of(session, secret, now=LATER)
            assert found is not None
            assert found.complete
            assert sign_ins.try_passkey(session, sign_in, answer, site=SITE, client=CLIENT, now=LATER) is None, "replay"
            assert factors.passkeys_of(session, account)[0].used_at == LATER

    def test_what_does_not(self, app: Flask) -> None:
        with db.transaction() as session:
            account, device = self.enrolled(session)
            _, sign_in = half(session, account)
            elsewhere = Device("https://evil.example", SITE.host)
            elsewhere.id, elsewhere._key = device.id, device._key
            stranger = Device(SITE.origin, SITE.host)
            old = sign_ins.passkey_options(session, sign_in, site=SITE)
            for answer_of in (
                elsewhere.sign, stranger.sign, lambda _: device.sign(old), lambda _: "", lambda _: "{}",
                lambda _: "null", lambda _: "x" * 30_000, lambda options: options,
            ):  # fmt: skip
                options = sign_ins.passkey_options(session, sign_in, site=SITE)
                answer = answer_of(options)
                assert sign_ins.try_passkey(session, sign_in, answer, site=SITE, client=CLIENT, now=NOW) is None
                # Each challenge is good for one try.
                assert sign_ins.try_passkey(
                    session, sign_in, device.sign(options), site=SITE, client=CLIENT, now=NOW
                ) is None  # fmt: skip

    def test_a_copied_one_shows_by_its_count(self, app: Flask) -> None:
        with db.transaction() as session:
            account, device = self.enrolled(session)
            _, sign_in = half(session, account)
            for count, right in ((4, True), (3, False)):
                device.count = count
                options = sign_ins.passkey_options(session, sign_in, site=SITE)
                secret = sign_ins.try_passkey(session, sign_in, device.sign(options), site=SITE, client=CLIENT, now=NOW)
                assert (secret is not None) == right

    def test_adding_refuses_what_does_not_fit(self, app: Flask) -> None:
        with db.transaction() as session:
            account, device = self.enrolled(session)
            options, sealed = factors.propose_passkey(session, account, site=SITE, now=NOW)
            answer = Device(SITE.origin, SITE.host).register(options)
            late = NOW + timedelta(minutes=11)
            for change in (
                {"answer": device.register(options)}, {"answer": "{}"}, {"sealed": "00"}, {"sealed": "no hex"},
                {"now": late}, {"site": Site("evil.example", "https://evil.example")},
            ):  # fmt: skip
                values: dict[str, Any] = {"answer": answer, "sealed": sealed, "site": SITE, "now": NOW} | change
                with pytest.raises(BadInput):
                    factors.add_passkey(session, account, name="", by=BY, **values)
            assert len(factors.passkeys_of(session, account)) == 1

    def test_the_only_factor_stays(self, app: Flask) -> None:
        with db.transaction() as session:
            account, _ = self.enrolled(session)
            [key] = factors.passkeys_of(session, account)
            with pytest.raises(NotAllowed):
                factors.remove_passkey(session, account, key.id, by=BY, now=NOW)
            with pytest.raises(Unknown):
                factors.remove_passkey(session, account, key.id + 1, by=BY, now=NOW)
            authenticator(session, account, now=NOW)
            factors.remove_passkey(session, account, key.id, by=BY, now=NOW)
            assert factors.passkeys_of(session, account) == []

    def test_a_lost_factor_takes_all_with_it(self, app: Flask) -> None:
        with db.transaction() as session:
            account, _ = self.enrolled(session)
            codes = authenticator(session, account, now=NOW)
            [code, *_] = factors.recovery_codes(session, account, NOW, by=BY)
            factors.drop(session, account, by=BY, now=NOW)
            assert (account.totp, factors.passkeys_of(session, account)) == (None, [])
            assert not factors.use_totp(session, account, codes.at(LATER), now=LATER)
            assert not factors.use_recovery(session, account, code, now=LATER)

    @pytest.mark.parametrize(
        ("url", "site"),
        [
            ("https://lists.example.fi", SITE),
            ("https://lists.example.fi:8443/x", Site("lists.example.fi", "https://lists.example.fi:8443")),
            ("http://localhost:8000", Site("localhost", "http://localhost:8000")),
            ("http://127.0.0.1:8000", None), ("https://[::1]", None), ("http://lists.example.fi", None),
        ],
    )  # fmt: skip
    def test_where_browsers_have_them(self, url: str, site: Site | None) -> None:
        assert Site.of(url) == site


class TestLasting:
    def test_idle_and_longest(self, app: Flask) -> None:
        with db.transaction() as session:
            account = member(session, now=NOW)
            secret = whole(session, account)
            row = row_of(session, account)
            assert sign_ins.of(session, secret, now=NOW + 30 * MINUTE - SECOND) is not None
            assert sign_ins.of(session, secret, now=NOW + 30 * MINUTE) is None
            at = NOW
            while at < NOW + timedelta(hours=12) - 20 * MINUTE:
                at += 20 * MINUTE
                sign_ins.seen(session, row.id, now=at)
            session.expire_all()
            assert sign_ins.of(session, secret, now=NOW + timedelta(hours=12) - SECOND) is not None
            assert sign_ins.of(session, secret, now=NOW + timedelta(hours=12)) is None

    def test_half_a_one_lasts_ten_minutes(self, app: Flask) -> None:
        with db.transaction() as session:
            secret, row = half(session, member(session, now=NOW))
            sign_ins.seen(session, row.id, now=NOW + 9 * MINUTE)
            assert sign_ins.of(session, secret, now=NOW + 10 * MINUTE - SECOND) is not None
            assert sign_ins.of(session, secret, now=NOW + 10 * MINUTE) is None

    def test_a_sign_in_by_a_clock_that_was_ahead_ends_when_it_is_right(self, app: Flask) -> None:
        ahead = NOW + 3 * 60 * MINUTE
        with db.transaction() as session:
            account = member(session, Level.ADMINISTRATOR, now=NOW)
            secret = whole(session, account, ahead)
            row = row_of(session, account)
            assert sign_ins.of(session, secret, now=ahead) is not None
            assert sign_ins.of(session, secret, now=NOW) is None
            assert not sign_ins.fresh(row, NOW)
            assert sign_ins.fresh(row, ahead - MINUTE), "clocks of two machines differ by a little"
            link = accounts.issue_link(session, account, "password", by=BY, now=NOW)
            late = accounts.issue_link(session, account, "password", by=BY, now=ahead + 24 * 60 * MINUTE)
            for each in (link, late):
                with pytest.raises(TokenSpent):
                    accounts.open_link(session, each, now=NOW)

    def test_freshness_passes_and_comes_back_with_both_factors(self, app: Flask) -> None:
        with db.transaction() as session:
            account = member(session, now=NOW)
            codes = authenticator(session, account, now=NOW)
            [code, *_] = factors.recovery_codes(session, account, NOW, by=BY)
            secret = whole(session, account)
            row = row_of(session, account)
            assert sign_ins.fresh(row, NOW + 10 * MINUTE - SECOND)
            late = NOW + 10 * MINUTE
            assert not sign_ins.fresh(row, late)

            def again(password: str, code: str, now=late) -> str | None:
                return sign_ins.try_again(session, row, password, code=code, client=CLIENT, now=now)

            assert again("not the password", codes.at(late)) is None
            assert again(PASSWORD, "000000") is None
            assert again(PASSWORD, "") is None
            assert not sign_ins.fresh(row_of(session, account), late)
            fresh = again(PASSWORD, codes.at(late))
            assert fresh is not None
            assert sign_ins.of(session, secret, now=late) is None
            assert sign_ins.fresh(row_of(session, account), late)
            assert again(PASSWORD, code, late + MINUTE) is not None, "a recovery code does too"

    def test_a_demotion_holds_at_the_next_look(self, app: Flask) -> None:
        with db.transaction() as session:
            account = member(session, Level.PUBLISHER, now=NOW)
            accounts.accept_secrecy(session, account, by=BY, now=NOW)
            secret = whole(session, account)
        with db.transaction() as session:
            accounts.set_levels(session, accounts.find(session, account.id), ["reader"], by=BY, now=NOW)
        with db.reading() as session:
            found = sign_ins.of(session, secret, now=NOW)
            assert found is not None
            assert found.rights == {Right.SEE}

    def test_an_accounts_end_is_a_sign_ins_end(self, app: Flask) -> None:
        with db.transaction() as session:
            secret = whole(session, member(session, now=NOW, until=NOW + 5 * MINUTE))
            assert sign_ins.of(session, secret, now=NOW + 5 * MINUTE - SECOND) is not None
            assert sign_ins.of(session, secret, now=NOW + 5 * MINUTE) is None


class TestEnding:
    def test_signing_out_makes_the_secret_worthless(self, app: Flask) -> None:
        with db.transaction() as session:
            account = member(session, now=NOW)
            secret = whole(session, account)
            row = row_of(session, account)
            sign_ins.end(session, row, by=BY, now=NOW)
            sign_ins.end(session, row, by=BY, now=NOW)
            assert sign_ins.of(session, secret, now=NOW) is None
            assert len(audit.search(session, act="sign_out")) == 1
            revived = sign_ins.pass_factor(session, row, now=NOW)
            assert sign_ins.of(session, revived, now=NOW) is None, "an ended one is not made whole any more"

    def test_all_but_this_one(self, app: Flask) -> None:
        with db.transaction() as session:
            account, other = member(session, now=NOW), member(session, now=NOW, address="other@example.fi")
            secrets = [whole(session, account), whole(session, other), whole(session, account)]
            here = row_of(session, account)
            assert len(sign_ins.open_of(session, account, now=NOW)) == 2
            assert sign_ins.end_all(session, account, by=BY, now=NOW, keep=here) == 1
            assert [sign_ins.of(session, secret, now=NOW) is not None for secret in secrets] == [False, True, True]
            assert [row.id for row in sign_ins.open_of(session, account, now=NOW)] == [here.id]
            assert sign_ins.open_of(session, account, now=NOW + 30 * MINUTE) == []

    @pytest.mark.parametrize("secret", ["", "x", "ä" * 100, "\x00"])
    def test_what_is_no_secret(self, app: Flask, secret: str) -> None:
        with db.reading() as session:
            assert sign_ins.of(session, secret, now=NOW) is None

    def test_they_go_after_their_time(self, app: Flask) -> None:
        with db.transaction() as session:
            whole(session, member(session, now=NOW))
            assert sign_ins.clear(session, before=NOW) == 0
            assert sign_ins.clear(session, before=NOW + SECOND) == 1


class TestSlowingDown:
    def tries(self, work) -> int:
        number = 0
        try:
            while number < 1000:
                work()
                number += 1
        except TooMany:
            pass
        return number

    def test_by_address_whatever_its_case_and_by_account(self) -> None:
        pace = Pace(Settings.of())
        spellings = iter(["maija@example.fi", " Maija@EXAMPLE.fi"] * 500)
        assert self.tries(lambda: sign_ins.slow(pace, next(spellings))) == 30
        assert self.tries(lambda: sign_ins.slow(pace, "other@example.fi")) == 30
        assert self.tries(lambda: sign_ins.slow_factor(pace, 1)) == 5
        assert self.tries(lambda: sign_ins.slow_factor(pace, 2)) == 5


def test_no_secret_is_in_the_audit(app: Flask) -> None:
    """All that was typed, and each secret that was given out, looked for in every line."""
    with db.transaction() as session:
        account, link = accounts.enrol(session, "maija@example.fi", levels=["editor"], by=BY, now=NOW)
        accounts.set_password(session, account, PASSWORD, by=BY, now=NOW)
        codes = authenticator(session, account, now=NOW)
        recovery = factors.recovery_codes(session, account, NOW, by=BY)
        cookie = sign_ins.try_password(session, account.address, PASSWORD, client=CLIENT, agent="", now=NOW)
        whole_cookie = sign_ins.try_totp(session, row_of(session, account), codes.at(LATER), client=CLIENT, now=LATER)
        accounts.rename(session, account, "Maija", by=BY, now=NOW)
        lines = repr([(line.act, line.about, line.detail) for line in session.scalars(select(AuditEntry))])
    for secret in (PASSWORD, link, codes.secret, cookie, whole_cookie, "maija@example.fi", *recovery):
        assert secret is not None
        assert secret not in lines
