"""What somebody with addresses of their own on a list can report, and what comes of it."""

from __future__ import annotations

import random
from collections import Counter
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
from mailinglist.delivery import bounces, complaints, dispatch, failures, troubles
from mailinglist.delivery.bounces import Refused, Reported
from mailinglist.delivery.failures import Blame, Failure, Went
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


def going(*parts: tuple[str, int], others: int = 0) -> list[str]:
    """Domains to which mails go: so many to each of these, and one each to others; mixed, in the same way each time."""
    every = [domain for domain, number in parts for _ in range(number)] + alone(others)
    random.Random(1).shuffle(every)
    return every


def alone(number: int) -> list[str]:
    """Domains to which one mail goes, one after the other."""
    return [f"d{n}.example" for n in range(number)]


def one_each(*places: int) -> dict[str, int]:
    """One report about each of these mails of `alone`."""
    return {f"d{place}.example": 1 for place in places}


GMAIL, OUTLOOK, YAHOO = "gmail.example", "outlook.example", "yahoo.example"
EVIL, MALICE, SPITE = "evil.example", "malice.example", "spite.example"


@pytest.mark.parametrize(
    ("mails", "reported", "stops"),
    [
        # One provider blocks: half of all mails go there, a third, a tenth.
        (going((GMAIL, 100), others=100), {GMAIL: 11}, True),
        (going((GMAIL, 70), others=130), {GMAIL: 41}, True),
        (going((GMAIL, 70), others=130), {GMAIL: 40}, False),
        (going((GMAIL, 70), others=130), {GMAIL: 30} | one_each(1, 2, 3), False),
        (going((GMAIL, 70), others=130), {GMAIL: 30} | one_each(1, 2, 3, 4), True),
        (going((GMAIL, 20), others=180), {GMAIL: 20}, False),
        # Two, three, many.
        (going((GMAIL, 120), (OUTLOOK, 120), others=20), {GMAIL: 120, OUTLOOK: 120}, True),
        (going((GMAIL, 90), (OUTLOOK, 90), others=20), {GMAIL: 6, OUTLOOK: 5}, True),
        (going((GMAIL, 18), (OUTLOOK, 18), others=4), {GMAIL: 18, OUTLOOK: 18}, True),
        (going((GMAIL, 100), (OUTLOOK, 100), (YAHOO, 100)), {GMAIL: 4, OUTLOOK: 4, YAHOO: 2}, False),
        (going((GMAIL, 66), (OUTLOOK, 66), (YAHOO, 66)), {GMAIL: 4, OUTLOOK: 4, YAHOO: 3}, True),
        (going((GMAIL, 100), (OUTLOOK, 100), (YAHOO, 100)), {GMAIL: 100, OUTLOOK: 100, YAHOO: 100}, True),
        (going((GMAIL, 60), (OUTLOOK, 50), (YAHOO, 30), others=60), {GMAIL: 7, OUTLOOK: 7}, True),
        (alone(200), one_each(*range(11)), True),
        (alone(200), one_each(*range(10)), False),
        (alone(400), one_each(*range(0, 220, 20)), False),
        (alone(600), one_each(*range(100, 131, 3), 599), True),
        # Somebody's own addresses, at one domain and at three, on a list that is large, small, and tiny.
        (going((EVIL, 11), others=189), {EVIL: 11}, False),
        (going((EVIL, 11), others=31), {EVIL: 11}, False),
        (going((EVIL, 11), others=4), {EVIL: 11}, False),
        (going((EVIL, 40), others=160), {EVIL: 40}, False),
        (going((EVIL, 4), (MALICE, 4), (SPITE, 3), others=189), {EVIL: 4, MALICE: 4, SPITE: 3}, False),
        (going((EVIL, 4), (MALICE, 4), (SPITE, 3), others=30), {EVIL: 4, MALICE: 4, SPITE: 3}, False),
        (going((EVIL, 11), others=189), {EVIL: 11} | one_each(*range(7)), False),
        (going((EVIL, 11), others=189), {EVIL: 11} | one_each(*range(8)), True),
    ],
)  # fmt: skip
def test_when_reports_stop_a_bulletin(mails: Sequence[str], reported: dict[str, int], stops: bool) -> None:
    left = Counter(reported)
    went = []
    for domain in mails:
        went.append(Went(domain, Blame(reported=True) if left[domain] > 0 else None))
        left[domain] -= 1
    assert max(left.values()) <= 0, "each report is about a mail"
    assert bool(failures.too_many(went)) is stops
    ours = [Went(each.domain, each.blame and Blame(reported=False)) for each in went]
    often = max(sum(each.blame is not None for each in ours[n : n + 200]) for n in range(len(ours))) > 10
    assert bool(failures.too_many(ours)) is often, "what our own relay was told is no hearsay"


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
    assert blame(mails[11:16]) == {bounces.NOTED}
    assert bounces.PAUSED in blame(mails[16:17]), "six others say so, too: of the eleven, a quarter of all, five count"


def test_two_providers_that_block_us_stop_a_bulletin(app: Flask) -> None:
    bulletin, mails = a_bulletin([*going((GMAIL, 120), (OUTLOOK, 120), others=20), "last.example"])
    with db.transaction() as session:  # what is in between is another's
        session.execute(update(Handoff).where(Handoff.id.in_(mails[20:60])).values(about=bulletin + 1))
    assert bounces.PAUSED in blame([mail for n, mail in enumerate(mails) if n < 20 or n >= 60])
    with db.reading() as session:
        assert dispatch.state_of(session, bulletin) == "paused"


def test_a_report_of_a_later_mail_hides_nothing(app: Flask) -> None:
    """Eleven of 32 mails in a row, told after one that went long after them; and after 200 of one domain."""
    one, mails = a_bulletin([f"d{n}.example" for n in range(600)] + ["last.example"])
    assert blame([mails[599]]) == {bounces.NOTED}
    for n in range(10):
        assert blame([mails[100 + 3 * n]]) == {bounces.NOTED}
    assert blame([mails[131]]) == {bounces.PAUSED}
    with db.transaction() as session:
        dispatch.resume(session, one, now=NOW)
    assert blame([mails[133]]) == {bounces.NOTED}, "what was before somebody let it go on does not count again"


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
        by = complaints.complainants(session, hold)
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
