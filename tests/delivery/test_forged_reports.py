"""What somebody with addresses of their own on a list can report, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, update

import staffing
from coming_back import begun, mailed
from conftest import NOW
from mailinglist import db
from mailinglist.consent import transfer
from mailinglist.consent.states import Basis, State
from mailinglist.consent.tables import Person, Subscription
from mailinglist.delivery import bounces, complaints, dispatch, failures, returned, troubles
from mailinglist.delivery.bounces import Refused, Reported
from mailinglist.delivery.failures import Blame, Failure
from mailinglist.delivery.tables import Handoff
from mailinglist.delivery.verdicts import Verdict
from mailinglist.staff.levels import Level
from making import person, the_list

DAY = timedelta(days=1)
JOINED = NOW - 30 * DAY
ON_SQLITE = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "utcnow", lambda: NOW)


def reported(domains: Sequence[str]) -> list[Blame]:
    return [Blame(1000 - n, domain, reported=True) for n, domain in enumerate(domains)]


def test_of_one_domain_few_reports_count_unless_most_mail_goes_there() -> None:
    mine = reported(["evil.example"] * 20)
    assert len(failures.counting(mine, main_domain="example.fi")) == failures.OF_ONE_DOMAIN
    assert failures.counting(mine, main_domain="evil.example") == mine
    four = reported([f"{name}.example" for name in "abcd" for _ in range(5)])
    assert len(failures.counting(four, main_domain=None)) == 4 * failures.OF_ONE_DOMAIN > failures.MOST_BLAMED
    relay = [Blame(n, "evil.example", reported=False) for n in range(20)]
    assert failures.counting(relay, main_domain=None) == relay, "what our own relay was told is no hearsay"


def a_bulletin(domains: Sequence[str]) -> tuple[int, list[int]]:
    """A bulletin on its way, and the mails of it, one to each of these domains."""
    with db.transaction() as session:
        people = "email\n" + "".join(f"p{n}@{domain}\n" for n, domain in enumerate(domains))
        consignment = transfer.read(people.encode(), basis=Basis.CONSENT, source="test", file="people.csv")
        transfer.take_in(session, the_list(session), consignment, who="test", now=JOINED)
        bulletin = begun(session, now=NOW)
        numbers = dict(session.execute(select(Person.mailbox, Person.id)).all())
        persons = [numbers[f"p{n}@{domain}"] for n, domain in enumerate(domains)]
        return bulletin, mailed(session, bulletin, persons[:-1], now=NOW)


def blame(mails: Sequence[int]) -> set[str]:
    said = [Reported(mail, Verdict.SENDER, "5.7.1", "blocked") for mail in mails]
    with db.transaction() as session:
        return set(bounces.note_many(session, said, now=NOW))


def test_eleven_addresses_of_one_domain_pause_no_bulletin(app: Flask) -> None:
    bulletin, mails = a_bulletin(["evil.example"] * 11 + [f"d{n}.example" for n in range(30)] + ["last.example"])
    assert blame(mails[:11]) == {bounces.NOTED}
    with db.reading() as session:
        assert dispatch.state_of(session, bulletin) == "sending"
    assert bounces.PAUSED in blame(mails[11:19]), "eight others say so, too: three and eight are eleven"


def test_where_most_mail_goes_to_one_domain_its_reports_count(app: Flask) -> None:
    _, mails = a_bulletin(["gmail.example"] * 30 + [f"d{n}.example" for n in range(9)] + ["last.example"])
    assert bounces.PAUSED in blame(mails[:11])


def test_what_the_relay_was_told_counts_in_full(app: Flask) -> None:
    bulletin, mails = a_bulletin(["outlook.example"] * 11 + [f"d{n}.example" for n in range(30)] + ["last.example"])
    with db.transaction() as session:
        session.execute(update(Handoff).where(Handoff.id.in_(mails[:11])).values(state="rejected"))
        refused = [Refused(mail, 550, "5.7.1", "blocked") for mail in mails[:11]]
        assert bounces.watch(session, bounces.note_refused(session, refused, now=NOW)) == {bulletin}


def test_letters_that_a_stranger_has_sent_do_not_take_anybody_off() -> None:
    letters = [Failure(Verdict.MAILBOX, 0, NOW + n * DAY) for n in range(9)]
    assert failures.unreachable(letters) is None
    bulletins = [Failure(Verdict.MAILBOX, n + 1, NOW + n * DAY) for n in range(5)]
    assert failures.unreachable([*letters, *bulletins[:4]]) is None
    assert failures.unreachable([*letters, *bulletins]) is Verdict.MAILBOX


def test_letters_are_noted_and_count_for_nothing(app: Flask) -> None:
    with db.transaction() as session:
        matti = person(session, "matti@example.fi", now=JOINED)
        [letter] = mailed(session, 0, [matti.id], now=NOW)
        assert bounces.note(session, letter, Verdict.MAILBOX, now=NOW) == bounces.NOTED
        standing = session.get_one(Subscription, (matti.id, the_list(session).id))
        assert standing.standing is State.ACTIVE


@ON_SQLITE
def test_the_page_of_a_hold_says_who_complained_and_since_when_they_were_there(app: Flask) -> None:
    _, mails = a_bulletin(["evil.example"] * 5 + [f"d{n}.example" for n in range(10)] + ["last.example"])
    with db.transaction() as session:
        matti = person(session, "matti@example.fi", now=NOW - 2 * DAY)
        [his] = mailed(session, begun(session, now=NOW), [matti.id], now=NOW)
        for mail in (*mails[:5], his):
            complaints.note(session, mail, "fbl", evidence={}, now=NOW)
        hold = complaints.held(session, the_list(session).id)
        assert hold is not None
        by = returned.complainants(session, hold)
        assert {(each.address, each.joined, each.confirmed) for each in by} >= {("p0@evil.example", JOINED, False)}
    chief, reader = staffing.signed_in(app, Level.PUBLISHER), staffing.signed_in(app, Level.READER)
    page = chief.get("/staff/complaints").text
    assert page.count("@evil.example") == 5
    assert "/staff/persons/" not in page, "a publisher sees no person's page"
    masked = reader.get("/staff/complaints").text
    assert "@" not in masked.partition("Who complained")[2].partition("</table>")[0]
    assert masked.count("Person ") >= 5
    both = staffing.signed_in(app, Level.PUBLISHER, Level.REGISTRAR).get("/staff/complaints").text
    assert both.count('href="/staff/persons/') == 5


# ── why it stands, in words ───────────────────────────────────────────────────────────────────────────────────────────

OLD = (
    "Paused by itself: of 200 mails in a row, more than 10 were refused because of us, not of the recipients. "
    "A server said: 550 5.7.1 blocked"
)


def test_why_a_bulletin_stands_is_kept_as_a_code_and_old_words_are_understood() -> None:
    kept = troubles.refused(window=200, most=10, words="550 5.7.1 blocked")
    assert troubles.in_english(kept) == troubles.in_english(OLD) == OLD
    before = "It comes from the backup of 2026-11-22 02:30 UTC, and may have gone out since. Look into the mail server's log, or ask a few recipients, before you resume it."  # noqa: E501
    assert troubles.in_english(before) == troubles.in_english(troubles.restored("2026-11-22 02:30 UTC")) == before
    for other in ("blocked by hand", "", '{"code": "unheard"}', "{", "[1]", '{"code": "refused"}'):
        assert troubles.read(other) is None
        assert troubles.in_english(other) == other
    for words in ("x" * 600, "ä€" * 600, '"\\' * 600):
        kept = troubles.refused(window=200, most=10, words=words)
        assert len(kept) <= troubles.LONGEST
        assert troubles.read(kept) is not None


@ON_SQLITE
@pytest.mark.parametrize("kept", [OLD, troubles.refused(window=200, most=10, words="550 5.7.1 blocked")])
def test_it_is_said_in_the_language_of_the_page(app: Flask, kept: str) -> None:
    with db.transaction() as session:
        number = begun(session, now=NOW)
        dispatch.pause(session, number, trouble=kept)
    reader = staffing.signed_in(app, Level.READER)
    for address in ("/staff/", f"/staff/bulletins/{number}"):
        page = reader.get(f"{address}?lang=fi", headers={"Accept-Language": "fi"}).text
        assert "550 5.7.1 blocked" in page
        assert "refused because of us" not in page
