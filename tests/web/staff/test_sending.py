"""From a written bulletin to the report: nobody sends a wrong one by accident, and none sends who may not."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest
from flask import Flask

import staffing
from catching import Caught
from mailinglist import db
from mailinglist.bulletins import approvals, blocks, drafts, templates
from mailinglist.bulletins.blocks import Button, Draft, Text, Version
from mailinglist.bulletins.drafts import Author
from mailinglist.consent import lists, register
from mailinglist.consent.tables import Person
from mailinglist.delivery import dispatch, post
from mailinglist.delivery.tables import Dispatch, Handoff, Hold
from mailinglist.staff import accounts, audit
from mailinglist.staff.levels import Level
from mailinglist.stationery.sentences import SaidBadInput
from mailinglist.web import figures
from mailinglist.web.staff import local_time
from making import leave_token, person, the_list, written

HELSINKI = ZoneInfo("Europe/Helsinki")
READERS = ("aino@example.fi", "eero@example.fi", "ilta@example.fi")


@pytest.fixture
def extra_settings(caught: Caught) -> dict[str, str]:
    return {"smtp_url": caught.url}


@pytest.fixture
def writer(app: Flask) -> staffing.Signed:
    return staffing.signed_in(app, Level.EDITOR, name="Eeva Editori")


@pytest.fixture
def chief(app: Flask) -> staffing.Signed:
    return staffing.signed_in(app, Level.PUBLISHER, name="Paavo Päättäjä")


@pytest.fixture
def number(app: Flask, writer: staffing.Signed) -> int:
    """A bulletin that the editor wrote, for three readers."""
    now = db.utcnow()
    with db.transaction() as session:
        lists.set_value(session, the_list(session), "welcome", "false", now=now)
        for reader in READERS:
            person(session, reader, now=now)
        return written(session, now=now, by=Author(writer.account_id, "Eeva Editori"), fi="Uutisia").id


def change(number: int, by: int, *, text: str | None = None, audience: str | None = None) -> None:
    draft = Draft({"fi": Version("Uutisia", "", (Text(text),))}) if text else None
    now = db.utcnow()
    with db.transaction() as session:
        bulletin = drafts.find(session, number)
        drafts.save(
            session, bulletin, base=bulletin.revision, source=blocks.write(draft) if draft else None,
            audience=audience, by=Author(by, "Eeva Editori"), now=now,
        )  # fmt: skip


def revision(number: int) -> int:
    with db.reading() as session:
        return drafts.find(session, number).revision


def approve(who: staffing.Signed, number: int) -> str:
    """Approve it as it stands, with every warning acknowledged. Returns whether that was done, else why not."""
    checked = who.get(f"/staff/bulletins/{number}/preflight?now=1").text
    warnings = re.findall(r'name="acknowledged" value="([^"]+)"', checked)
    fields = {"revision": revision(number), "acknowledged": warnings, "imprint": imprint_in(checked)}
    answer = who.post(f"/staff/bulletins/{number}/approve", fields)
    return "done" if answer.location == f"/staff/bulletins/{number}" else str(answer.status_code)


def imprint_in(page: str) -> str:
    """What the page's form says that it showed of the list's settings."""
    found = re.search(r'name="imprint" value="([^"]+)"', page)
    return found[1] if found else ""


def freeze(who: staffing.Signed, number: int) -> None:
    """Approve it by the verb, where the test is about something else."""
    now = db.utcnow()
    with db.transaction() as session:
        by = Author(who.account_id, "Paavo Päättäjä")
        approvals.approve(session, drafts.find(session, number), sender="Tector <tiedote@example.fi>", by=by, now=now)


def state(number: int) -> str:
    with db.reading() as session:
        return dispatch.status(session, number).state


def approval(number: int) -> str:
    with db.reading() as session:
        found = approvals.approval_of(session, number)
        return str(found.id) if found else ""


def asked(number: int, **fields: object) -> dict[str, object]:
    """The form that sends, filled in rightly unless said otherwise."""
    return {"when": "now", "recipients": "3", "shown": "3", "approval": approval(number)} | fields


def acts(number: int) -> list[str]:
    """What the audit tells about the bulletin, oldest first."""
    with db.reading() as session:
        return [each.act for each in audit.search(session, about=f"bulletin {number}")][::-1]


def run() -> None:
    post.letters(stop=lambda: False)
    post.bulletins(stop=lambda: False)


# ── approval ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_editor_asks_a_publisher_approves_and_sends(
    number: int, writer: staffing.Signed, chief: staffing.Signed, caught: Caught
) -> None:
    page = f"/staff/bulletins/{number}"
    for path in ("approve", "withdraw", "pause", "resume", "cancel"):
        assert writer.post(f"{page}/{path}", {"revision": 1}).status_code == 403
    for path in ("send", "uncertain"):
        assert writer.post(f"{page}/{path}", asked(number)).status_code == 403
    assert "A publisher approves it." in writer.get(page).text
    assert writer.post(f"{page}/ask").status_code == 303
    assert "Waits for approval" in chief.get(page).text
    assert "by Eeva Editori" in chief.get(page).text
    refused = chief.post(f"{page}/send", asked(number))
    assert refused.status_code == 409
    assert f'<a href="{page}">Back to the bulletin</a>' in refused.text
    assert approve(chief, number) == "done"
    assert state(number) == "approved"
    form = chief.get(f"{page}/send").text
    assert f'name="approval" value="{approval(number)}"' in form
    assert '<strong class="much">3</strong>' in form
    assert writer.post(f"{page}/send", asked(number)).status_code == 403
    assert chief.post(f"{page}/send", asked(number)).location == page
    run()
    assert state(number) == "sent"
    assert all(caught.to(reader) for reader in READERS)
    assert acts(number) == ["approval_asked", "bulletin_approved", "bulletin_sent"]


def test_a_publisher_does_not_approve_their_own_last_change_where_there_is_another(
    app: Flask, number: int, chief: staffing.Signed
) -> None:
    change(number, chief.account_id, text="Omaa tekstiä")
    page = f"/staff/bulletins/{number}"
    assert "Approving freezes" in chief.get(page).text  # the only one there is
    other = staffing.signed_in(app, Level.PUBLISHER, name="Pirkko Toinen")
    for path in (page, f"{page}/preflight", f"{page}/preflight?now=1", f"{page}/preflight/found"):
        shown = chief.get(path).text
        assert "somebody else has to approve it" in shown
        assert "They can: Pirkko Toinen." in shown
        assert f"{page}/approve" not in shown
        assert 'name="acknowledged"' not in shown
    assert f"{page}/approve" in other.get(f"{page}/preflight?now=1").text
    assert approve(chief, number) == "409"
    assert approve(other, number) == "done"
    change(number, chief.account_id, text="Vielä omaa tekstiä")
    with db.transaction() as session:
        accounts.find(session, other.account_id).disabled_at = db.utcnow()
    assert approve(chief, number) == "done"
    with db.transaction() as session:
        lists.set_value(session, the_list(session), "approval", "on", now=db.utcnow())
    change(number, chief.account_id, text="Ja vielä")
    assert "Nobody else can" in chief.get(page).text
    assert approve(chief, number) == "409"


def test_the_rule_of_the_second_person_holds_when_it_is_sent(app: Flask, number: int, chief: staffing.Signed) -> None:
    change(number, chief.account_id, text="Omaa tekstiä")
    assert approve(chief, number) == "done"  # the only one there is
    other = staffing.signed_in(app, Level.PUBLISHER, name="Pirkko Toinen")
    page = f"/staff/bulletins/{number}"
    for who in (chief, other):
        refused = who.post(f"{page}/send", asked(number))
        assert refused.status_code == 409
        assert "Have it approved by somebody else." in refused.text
    assert state(number) == "approved"
    chief.post(f"{page}/withdraw", {})
    assert approve(other, number) == "done"
    assert chief.post(f"{page}/send", asked(number)).location == page


def test_of_two_publishers_who_both_wrote_the_other_approves(app: Flask, number: int, chief: staffing.Signed) -> None:
    other = staffing.signed_in(app, Level.PUBLISHER, name="Pirkko Toinen")
    page = f"/staff/bulletins/{number}"
    change(number, chief.account_id, text="Omaa tekstiä")
    change(number, other.account_id, text="Omaa tekstiä ja toisen")
    assert "so somebody else has to approve it" in other.get(page).text
    assert approve(other, number) == "409"
    assert "Approving freezes" in chief.get(page).text
    assert approve(chief, number) == "done"
    assert other.post(f"{page}/send", asked(number)).location == page


def test_a_setting_that_recipients_see_voids_the_approval_and_the_page_says_which(
    app: Flask, number: int, chief: staffing.Signed
) -> None:
    admin = staffing.signed_in(app, Level.ADMINISTRATOR)
    assert approve(chief, number) == "done"
    form = asked(number)
    looks = admin.get("/staff/lists/tector-tiedottaa/looks").text
    seen = re.search(r'name="seen" value="([^"]+)"', looks)
    assert seen
    new = {"seen": seen[1], "colour": "#990000", "logo": ""}
    answer = admin.post("/staff/lists/tector-tiedottaa/looks", new)
    assert "approved bulletins that have to be approved again: 1." in admin.get(answer.location).text
    page = chief.get(f"/staff/bulletins/{number}").text
    assert "The approval is void" in page
    assert "List settings: Colour" in page
    assert re.search(r"<del>.*1f4e5f.*</del>.*<ins>.*990000", page, re.S)
    assert chief.post(f"/staff/bulletins/{number}/send", form).status_code == 409
    assert state(number) == "draft"
    assert approve(chief, number) == "done"


def test_looks_that_were_changed_while_one_looked_are_not_approved(number: int, chief: staffing.Signed) -> None:
    checked = chief.get(f"/staff/bulletins/{number}/preflight?now=1").text
    warnings = re.findall(r'name="acknowledged" value="([^"]+)"', checked)
    with db.transaction() as session:
        lists.set_value(session, the_list(session), "colour", "#990000", now=db.utcnow())
    for shown in (imprint_in(checked), ""):
        fields = {"revision": revision(number), "acknowledged": warnings, "imprint": shown}
        answer = chief.post(f"/staff/bulletins/{number}/approve", fields)
        assert answer.status_code == 409
        assert "settings were changed while you looked" in answer.text
    assert (state(number), acts(number)) == ("draft", [])


@pytest.mark.parametrize("what", ["a letter", "the audience"])
def test_one_change_voids_the_approval_and_the_page_says_which(
    number: int, writer: staffing.Signed, chief: staffing.Signed, what: str
) -> None:
    change(number, writer.account_id, text="Kevään uutiset")
    freeze(chief, number)
    form = asked(number)
    if what == "a letter":
        change(number, writer.account_id, text="Kevään Uutiset")
    else:
        change(number, writer.account_id, audience='{"languages":["sv"]}')
    page = chief.get(f"/staff/bulletins/{number}").text
    assert "The approval is void" in page
    assert "Paavo Päättäjä approved an earlier state" in page
    if what == "a letter":
        assert re.search(r"<del>.*?uutiset</del>", page)
        assert re.search(r"<ins>.*?Uutiset</ins>", page)
    else:
        assert re.search(r"<del>.*?Everybody", page, re.S)
        assert re.search(r"<ins>.*?Language", page, re.S)
    assert chief.post(f"/staff/bulletins/{number}/send", form).status_code == 409
    assert state(number) == "draft"


def test_what_was_changed_while_one_looked_is_not_approved(number: int, chief: staffing.Signed) -> None:
    before = revision(number)
    checked = chief.get(f"/staff/bulletins/{number}/preflight?now=1").text
    warnings = re.findall(r'name="acknowledged" value="([^"]+)"', checked)
    change(number, 99, text="Muuta")
    answer = chief.post(f"/staff/bulletins/{number}/approve", {"revision": before, "acknowledged": warnings})
    assert answer.status_code == 409
    assert "changed while you looked" in answer.text
    assert (state(number), acts(number)) == ("draft", [])


def test_a_warning_that_nobody_looked_at_keeps_it_from_being_approved(number: int, chief: staffing.Signed) -> None:
    answer = chief.post(f"/staff/bulletins/{number}/approve", {"revision": revision(number)})
    assert answer.location == f"/staff/bulletins/{number}/preflight?now=1"
    assert "It is not approved yet" in chief.get(answer.location).text
    assert (state(number), acts(number)) == ("draft", [])
    assert approve(chief, number) == "done"
    with db.reading() as session:
        [detail] = [each.detail for each in audit.search(session, act="bulletin_approved")]
    assert "sender_private" in detail["acknowledged"]


def test_the_desk_says_what_the_check_found(number: int, chief: staffing.Signed, writer: staffing.Signed) -> None:
    page = f"/staff/bulletins/{number}"
    change(number, writer.account_id, text="Hei {name}! " + "Hyviä uutisia kesästä. " * 20)
    for who in (chief, writer):
        shown = text_of(who.get(page).text)
        found = re.search(r"The check found something Please check: (\d+)\.", shown)
        assert found, shown
        assert who.get(f"{page}/preflight").text.count('class="notice warn"') == int(found[1]) > 0
    freeze(chief, number)
    assert f"{page}/approve" not in chief.get(f"{page}/preflight?now=1").text  # it is approved


def found_in(page: str, kind: str) -> list[str]:
    """The boxes of the check's page, `bad` or `warn`."""
    return [each.partition("</form>")[0] for each in page.split(f'<li class="notice {kind}">')[1:]]


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_what_stands_in_many_places_is_said_once_and_counted_once(number: int, chief: staffing.Signed) -> None:
    here, near = f"/staff/bulletins/{number}", "http://127.0.0.1:8000/tapahtumat"
    column = (Text("[Kirjoita] " + "Hyviä uutisia. " * 20), Text(f"[Ja tähän] [lue]({near})"), Button("Lue", near))
    rewrite(number, Draft({each: Version(f"Kesä {each}", "", column) for each in ("fi", "sv")}))
    boxes = found_in(chief.get(f"{here}/preflight").text, "warn")
    [brackets] = [each for each in boxes if "There is text in brackets." in each]
    assert re.findall(r">(\[[^<]+)</a>", brackets) == ["[Kirjoita]", "[Ja tähän]"] * 2
    [link] = [each for each in boxes if "opens only on this machine" in each]
    assert re.findall(r'#block-b(\d)">(\w+)</a>', link) == [("1", "Text"), ("2", "Button")] * 2
    assert f"Please check: {len(boxes)}." in text_of(chief.get(here).text)


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_a_template_that_nobody_wrote_in_is_one_short_list(number: int, chief: staffing.Signed) -> None:
    here = f"/staff/bulletins/{number}"
    rewrite(number, templates.built_in("news").of(["fi", "sv", "en"]))
    boxes = found_in(chief.get(f"{here}/preflight").text, "bad")
    assert len(boxes) < 7
    assert len([each for each in boxes if "Text of the template is left." in each]) == 1
    desk = chief.get(here).text
    assert f"Must be fixed: {len(boxes)}." in text_of(desk)
    assert desk.count('<div class="notice bad"') == 1
    assert desk.count("A bulletin needs a subject.") == 1


def rewrite(number: int, draft: Draft) -> None:
    with db.transaction() as session:
        bulletin = drafts.find(session, number)
        drafts.save(
            session, bulletin, base=bulletin.revision, source=blocks.write(draft), by=Author(9, "x"), now=db.utcnow()
        )


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_who_approves_can_write_to_who_wrote(
    app: Flask, number: int, writer: staffing.Signed, chief: staffing.Signed
) -> None:
    here = f"/staff/bulletins/{number}"
    rewrite(number, Draft({"fi": Version("Kevät & kesä", "", (Text("Hei!"),))}))
    assert "mailto:" not in chief.get(here).text, "who changed it last has no account"
    change(number, writer.account_id, text="Hei vain!")
    with db.reading() as session:
        address = accounts.find(session, writer.account_id).address
    page = chief.get(here).text
    assert f'href="mailto:{address}?subject=Uutisia"' in page
    assert "Mail to the writer: Eeva Editori" in page
    for other in (writer, staffing.signed_in(app, Level.READER)):
        assert "mailto:" not in other.get(here).text
    with db.transaction() as session:
        accounts.find(session, writer.account_id).disabled_at = db.utcnow()
    assert "mailto:" not in chief.get(here).text
    change(number, chief.account_id, text="Oma muutos")
    assert "mailto:" not in chief.get(here).text, "nobody writes to themselves"


def test_an_approval_is_taken_back(number: int, chief: staffing.Signed) -> None:
    freeze(chief, number)
    assert chief.post(f"/staff/bulletins/{number}/withdraw").status_code == 303
    assert state(number) == "draft"
    assert "Nothing of it has changed since." in chief.get(f"/staff/bulletins/{number}").text
    assert acts(number) == ["approval_withdrawn"]


def test_what_can_not_be_mailed_is_said_and_not_approved(number: int, chief: staffing.Signed) -> None:
    with db.transaction() as session:
        bulletin = drafts.find(session, number)
        empty = blocks.write(Draft({"fi": Version("", "", ())}))
        drafts.save(session, bulletin, base=bulletin.revision, source=empty, by=Author(9, "x"), now=db.utcnow())
    page = chief.get(f"/staff/bulletins/{number}").text
    assert "A bulletin needs a subject." in page
    assert "It can be approved once it can be mailed." in page
    assert approve(chief, number) == "303"


def test_a_subject_is_text(number: int, chief: staffing.Signed) -> None:
    with db.transaction() as session:
        bulletin = drafts.find(session, number)
        hostile = Draft({"fi": Version("<script>alert(1)</script>{{ 7*7 }}", "", (Text("<img src=x onerror=y>"),))})
        drafts.save(
            session, bulletin, base=bulletin.revision, source=blocks.write(hostile), by=Author(9, "x"), now=db.utcnow()
        )
    freeze(chief, number)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;{{ 7*7 }}" in chief.get(f"/staff/bulletins/{number}").text
    for path in ("", "/send", "/test", "/cancel", "/report"):
        page = chief.get(f"/staff/bulletins/{number}{path}").text
        assert "<script>alert" not in page


# ── sending ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_wrong_number_of_recipients_sends_nothing(number: int, chief: staffing.Signed) -> None:
    freeze(chief, number)
    for typed in ("", "2", "4", "30", "kolme", "-3"):
        answer = chief.post(f"/staff/bulletins/{number}/send", asked(number, recipients=typed))
        assert answer.status_code == 422, typed
        assert "Type the number of recipients" in answer.text
    assert state(number) == "approved"


def test_who_joins_meanwhile_does_not_make_the_number_wrong(number: int, chief: staffing.Signed) -> None:
    freeze(chief, number)
    form = asked(number)
    with db.transaction() as session:
        person(session, "uusi@example.fi", now=db.utcnow())
    assert chief.post(f"/staff/bulletins/{number}/send", form | {"shown": "4"}).status_code == 422
    assert chief.post(f"/staff/bulletins/{number}/send", form).status_code == 303


def test_sending_wants_a_fresh_sign_in(app: Flask, number: int, chief: staffing.Signed) -> None:
    freeze(chief, number)
    stale = staffing.client_of(app, chief.account_id, *staffing.sign_in(chief.account_id, fresh=False))
    assert urlsplit(stale.get(f"/staff/bulletins/{number}/send").location).path == "/staff/again"
    assert urlsplit(stale.post(f"/staff/bulletins/{number}/send", asked(number)).location).path == "/staff/again"
    assert state(number) == "approved"


def test_another_approval_than_the_one_that_was_shown_sends_nothing(number: int, chief: staffing.Signed) -> None:
    freeze(chief, number)
    form = asked(number)
    change(number, 99, text="Muuta")
    freeze(chief, number)
    assert chief.post(f"/staff/bulletins/{number}/send", form).status_code == 409
    assert state(number) == "approved"
    assert acts(number) == []


def test_it_is_sent_once(number: int, chief: staffing.Signed) -> None:
    freeze(chief, number)
    form = asked(number)
    assert chief.post(f"/staff/bulletins/{number}/send", form).status_code == 303
    assert chief.post(f"/staff/bulletins/{number}/send", form).status_code == 409
    assert chief.get(f"/staff/bulletins/{number}/send").status_code == 409
    assert chief.post(f"/staff/bulletins/{number}/approve", {"revision": "1"}).status_code == 409


def test_it_is_scheduled_in_the_lists_time_zone(number: int, chief: staffing.Signed) -> None:
    freeze(chief, number)
    day = (db.utcnow().astimezone(HELSINKI) + timedelta(days=2)).date()
    page = f"/staff/bulletins/{number}"
    late = asked(number, when="later", day=day.isoformat(), time="09:30")
    for wrong in ({"day": ""}, {"time": ""}, {"time": "25:00"}, {"day": "2020-01-01"}, {"day": "2999-01-01"}):
        answer = chief.post(f"{page}/send", late | wrong)
        assert (answer.status_code, state(number)) == (422, "approved")
        assert 'id="time-error"' in answer.text
    assert chief.post(f"{page}/send", late).status_code == 303
    with db.reading() as session:
        due = dispatch.status(session, number).due_at
    assert due == datetime(day.year, day.month, day.day, 9, 30, tzinfo=HELSINKI)
    shown = chief.get(page).text
    assert "Scheduled" in shown
    assert " at\u00a009:30</time>" in shown
    assert "(Europe/Helsinki)" in shown


NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_time_that_is_skipped_is_refused_and_one_that_comes_twice_is_asked_about() -> None:
    with pytest.raises(SaidBadInput, match="does not exist on that day"):
        local_time.read("2026-03-29", "03:30", "", HELSINKI, now=NOW)
    with pytest.raises(local_time.Twice) as twice:
        local_time.read("2026-10-25", "03:30", "", HELSINKI, now=NOW)
    first, second = datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert (twice.value.first, twice.value.second) == (first, second)
    assert local_time.read("2026-10-25", "03:30", "first", HELSINKI, now=NOW) == first
    assert local_time.read("2026-10-25", "3.30", "second", HELSINKI, now=NOW) == second
    assert local_time.read("2026-03-29", "04:00", "", HELSINKI, now=NOW) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert local_time.read("2026-03-29", "02:59", "", HELSINKI, now=NOW) == datetime(2026, 3, 29, 0, 59, tzinfo=UTC)
    with pytest.raises(SaidBadInput, match="passed"):
        local_time.read("2026-03-01", "14:00", "", HELSINKI, now=NOW)


def test_a_time_that_comes_twice_is_asked_about_on_the_page(
    number: int, chief: staffing.Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    freeze(chief, number)
    year = db.utcnow().year
    back = [datetime(each, 10, 31, tzinfo=HELSINKI) for each in (year, year + 1)]
    days = [day - timedelta(days=(day.weekday() + 1) % 7) for day in back]
    day = next(each for each in days if each > db.utcnow() + timedelta(days=1)).date().isoformat()
    form = asked(number, when="later", day=day, time="03:30")
    answer = chief.post(f"/staff/bulletins/{number}/send", form)
    assert answer.status_code == 422
    assert "GMT+03:00" in answer.text
    assert "GMT+02:00" in answer.text
    assert chief.post(f"/staff/bulletins/{number}/send", form | {"which": "second"}).status_code == 303
    with db.reading() as session:
        due = dispatch.status(session, number).due_at
    assert due is not None
    assert due.hour == 1


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("1234", 1234), ("1 234", 1234), ("1\u00a0234", 1234), ("1,234", 1234), ("1.234", 1234), ("٣", None), ("", None)],
)
def test_numbers_are_read_as_people_write_them(typed: str, meant: int | None) -> None:
    assert figures.read(typed) == meant


def test_a_rate_has_a_decimal_while_it_is_small(app: Flask) -> None:
    with app.test_request_context("/staff/?lang=en"):
        assert [figures.rate(value) for value in (0.04, 9.94, 9.97, 19.9)] == ["0.0", "9.9", "10", "20"]


# ── on its way ────────────────────────────────────────────────────────────────────────────────────────────────────────


def given(chief: staffing.Signed, number: int) -> str:
    freeze(chief, number)
    assert chief.post(f"/staff/bulletins/{number}/send", asked(number)).status_code == 303
    return f"/staff/bulletins/{number}"


def part(who: staffing.Signed, page: str, shown: str) -> str:
    answer = who.get(f"{page}/progress?shown={shown}", headers={"HX-Request": "true"})
    assert answer.status_code == 200
    return answer.text


def test_it_is_watched_paused_resumed_and_cancelled(number: int, chief: staffing.Signed) -> None:
    page = given(chief, number)
    assert 'hx-trigger="every 1s"' in chief.get(page).text
    assert 'id="standing"' not in part(chief, page, "scheduled")
    with db.transaction() as session:
        dispatch.begin_due(session, now=db.utcnow())
    moved = part(chief, page, "scheduled")
    assert 'hx-swap-oob="true"' in moved
    assert "shown=sending" in moved
    assert re.search(r'<progress class="bar" max="3" value="0"', moved)
    assert chief.post(f"{page}/pause").location == page
    assert "Resume" in part(chief, page, "sending")
    assert chief.post(f"{page}/pause").status_code == 409
    assert chief.post(f"{page}/resume").location == page
    assert state(number) == "sending"
    assert "Cancel for good" in chief.get(f"{page}/cancel").text
    assert chief.post(f"{page}/cancel").location == page
    assert state(number) == "cancelled"
    answer = chief.post(f"{page}/resume")
    assert answer.status_code == 409
    assert "moved on meanwhile" in answer.text
    assert acts(number)[1:] == ["bulletin_paused", "bulletin_resumed", "bulletin_cancelled"]
    assert "The bulletin was cancelled" in chief.get(f"{page}/report").text
    assert chief.get(f"{page}/progress").location == page


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_one_that_is_let_go_on_after_its_time_is_not_late(number: int, chief: staffing.Signed) -> None:
    page = given(chief, number)
    earlier = db.utcnow() - timedelta(minutes=20)
    with db.transaction() as session:
        session.get_one(Dispatch, number).due_at = earlier
    assert "It has not begun" in part(chief, page, "scheduled")
    assert chief.post(f"{page}/pause").location == page
    assert "is paused: nobody has got it yet." in chief.get("/staff/").text
    assert chief.post(f"{page}/resume").location == page
    for shown in (chief.get(page).text, chief.get("/staff/").text):
        assert "It has not begun" not in shown
        assert "nobody has begun" not in shown
    assert "It begins in a moment." in chief.get(page).text
    with db.transaction() as session:
        session.get_one(Dispatch, number).resumed_at = earlier
    assert "It has not begun" in chief.get(page).text


def test_a_reader_watches_and_touches_nothing(app: Flask, number: int, chief: staffing.Signed) -> None:
    page = given(chief, number)
    reader = staffing.signed_in(app, Level.READER)
    shown = reader.get(page).text
    assert "<form" not in re.sub(r"<header.*?</header>", "", shown, flags=re.S)
    assert reader.get(f"{page}/report").status_code == 200
    for path in ("recipients/uncertain", "uncertain", "cancel", "send", "test"):
        assert reader.get(f"{page}/{path}").status_code == 403
    for path in ("pause", "resume", "cancel", "uncertain", "ask", "approve"):
        assert reader.post(f"{page}/{path}").status_code == 403


# ── afterwards ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def ended(number: int, chief: staffing.Signed, caught: Caught) -> str:
    """A bulletin that one got, a server refused to one, of one nobody knows, and one left before their turn."""
    with db.transaction() as session:
        person(session, "kielto@example.fi", now=db.utcnow())
    caught.answers["eero@example.fi"] = "550 5.1.1 <eero@example.fi>: no such user"
    freeze(chief, number)
    assert chief.post(f"/staff/bulletins/{number}/send", asked(number, recipients="4", shown="4")).status_code == 303
    with db.transaction() as session:
        dispatch.begin_due(session, now=db.utcnow())
        found = session.query(Person).filter_by(mailbox="kielto@example.fi").one()
        register.leave(session, leave_token(session, found), origin={"how": "page"}, now=db.utcnow())
    run()
    with db.transaction() as session:
        row = session.query(Handoff).join(Person, Person.id == Handoff.person_id)
        one = row.filter(Person.mailbox == "ilta@example.fi", Handoff.kind == "bulletin").one()
        one.state, one.reply = "uncertain", "the worker stopped"
    return f"/staff/bulletins/{number}"


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_the_report_adds_up_and_says_why(number: int, ended: str, chief: staffing.Signed) -> None:
    with db.transaction() as session:
        aino = session.query(Person).filter_by(mailbox="aino@example.fi").one()
        register.leave(session, leave_token(session, aino, number), origin={"how": "one-click"}, now=db.utcnow())
    report = text_of(chief.get(f"{ended}/report").text)
    for words in (
        "Accepted 1 25 %", "Rejected 1 25 %", "Left out 1 25 %", "Uncertain 1 25 %", "Audience 4",
        "550 1 &lt;[address]&gt;: no such user", "Has left the list 1", "Sent by Paavo Päättäjä",
        "link 1 (100 %)",
    ):  # fmt: skip
        assert words in report, (words, report)
    assert not any(reader in report for reader in READERS)


def test_what_servers_said_is_for_who_may_see_recipients(app: Flask, number: int, ended: str) -> None:
    report = text_of(staffing.signed_in(app, Level.READER).get(f"{ended}/report").text)
    assert "550 1 The server refused it" in report
    assert "no such user" not in report


def test_recipients_are_personal_data(app: Flask, number: int, ended: str, chief: staffing.Signed) -> None:
    registrar = staffing.signed_in(app, Level.REGISTRAR)
    page = registrar.get(f"{ended}/recipients/rejected").text
    assert "eero@example.fi" in page
    assert "550" in page
    assert "ilta@example.fi" in chief.get(f"{ended}/recipients/uncertain").text
    assert registrar.get(f"{ended}/recipients/accepted").status_code == 404
    assert registrar.get(f"{ended}/recipients/rejected?after={2**62}").status_code == 200
    assert registrar.get(f"{ended}/uncertain").status_code == 403
    with db.reading() as session:
        seen = [(each.about, each.detail) for each in audit.search(session, act="recipients_seen")]
    assert seen == [
        (f"bulletin {number}", {"state": "uncertain", "number": 1}),
        (f"bulletin {number}", {"state": "rejected", "number": 1}),
    ]


def test_a_held_list_says_so_of_its_bulletins_and_who_may_go_on(
    app: Flask, number: int, writer: staffing.Signed, chief: staffing.Signed
) -> None:
    freeze(chief, number)
    later = {"when": "later", "day": (db.utcnow() + timedelta(days=2)).date().isoformat(), "time": "12:00"}
    assert chief.post(f"/staff/bulletins/{number}/send", asked(number, **later)).status_code == 303
    with db.transaction() as session:
        session.add(Hold(list_id=1, bulletin_id=number, complaints=5, mails=1000, since=db.utcnow()))
    for page in ("/staff/", "/staff/bulletins", f"/staff/bulletins/{number}", f"/staff/bulletins/{number}/report"):
        badges = re.findall(r'class="badge \w+">([^<]+)<', writer.get(page).text)
        assert "Held" in badges, page
        assert "Scheduled" not in badges, page
    told = text_of(writer.get(f"/staff/bulletins/{number}").text)
    assert "Too many recipients of this list" in told
    assert "Publishers: Paavo Päättäjä." in told
    assert "let the list go on or cancel this bulletin" in text_of(chief.get(f"/staff/bulletins/{number}").text)
    script = {"HX-Request": "true"}
    moved = chief.get(f"/staff/bulletins/{number}/progress?shown=scheduled", headers=script)
    assert 'id="standing"' in moved.text  # held meanwhile: what stands around the account is shown anew
    assert (
        'id="standing"'
        not in chief.get(f"/staff/bulletins/{number}/progress?shown=scheduled-held", headers=script).text
    )


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_what_was_looked_at_before_the_approval_is_not_said_again(
    app: Flask, number: int, writer: staffing.Signed, chief: staffing.Signed
) -> None:
    page = f"/staff/bulletins/{number}"
    with db.transaction() as session:
        person(session, "sven@example.fi", now=db.utcnow()).language = "sv"  # for whom there is no version
    assert "The check found something" in chief.get(page).text
    assert approve(chief, number) == "done"
    assert "The check found something" not in chief.get(page).text
    found = text_of(chief.get(f"{page}/preflight?now=1").text)
    assert "Paavo Päättäjä looked at it before the approval" in found


def test_times_are_written_as_each_language_writes_them(app: Flask) -> None:
    at = datetime(2026, 11, 22, 7, 5, tzinfo=UTC)
    for language, sentence, cell, full in (
        ("fi", "22.11.2026 klo 9.05", "22.11.2026 9.05", "sunnuntai 22. marraskuuta 2026 klo 9.05 (UTC+02:00)"),
        ("sv", "22 nov. 2026 kl. 9.05", "22 nov. 2026 9.05", "söndag 22 november 2026 kl. 9.05 (GMT+02:00)"),
        ("en", "22 Nov 2026 at 09:05", "22 Nov 2026, 09:05", "Sunday 22 November 2026 at 09:05 (GMT+02:00)"),
    ):
        with app.test_request_context(f"/?lang={language}"):
            assert figures.moment(at, HELSINKI).replace("\u00a0", " ") == sentence
            assert figures.moment_in_a_cell(at, HELSINKI) == cell
            assert figures.moment_in_full(at, HELSINKI).replace("\u00a0", " ") == full


def test_recipients_are_paged_by_key(number: int, ended: str, chief: staffing.Signed) -> None:
    with db.transaction() as session:
        for each in range(60):
            session.add(
                Handoff(
                    kind="bulletin", about=number, list_id=1, person_id=900_000 + each, state="uncertain",
                    not_before=db.utcnow(), attempts=1,
                )
            )  # fmt: skip
    first = chief.get(f"{ended}/recipients/uncertain").text
    assert first.count("<tr>") == 51  # with the heading
    following = re.search(r'href="([^"]+)">Next page', first)
    assert following
    second = chief.get(following[1]).text
    assert second.count("<tr>") == 12
    assert "Erased" in second


def test_a_person_decides_about_uncertain_mails(
    app: Flask, number: int, ended: str, chief: staffing.Signed, caught: Caught
) -> None:
    stale = staffing.client_of(app, chief.account_id, *staffing.sign_in(chief.account_id, fresh=False))
    assert urlsplit(stale.post(f"{ended}/uncertain", {"decision": "resend"}).location).path == "/staff/again"
    assert "Send once more" in chief.get(f"{ended}/uncertain").text
    for wrong in ({}, {"decision": "accepted"}, {"decision": "accepted", "seen": "2"}, {"decision": "x", "seen": "1"}):
        assert chief.post(f"{ended}/uncertain", wrong).status_code == 422
    before = len(caught.to("ilta@example.fi"))
    assert chief.post(f"{ended}/uncertain", {"decision": "resend", "seen": "1"}).location == ended
    run()
    assert len(caught.to("ilta@example.fi")) == before + 1
    assert chief.get(f"{ended}/uncertain").location == ended
    assert acts(number)[-1] == "uncertain_settled"


def test_of_uncertain_mails_some_are_chosen(number: int, ended: str, chief: staffing.Signed, caught: Caught) -> None:
    with db.transaction() as session:
        query = session.query(Handoff).join(Person, Person.id == Handoff.person_id).filter(Handoff.kind == "bulletin")
        rows = {name: query.filter(Person.mailbox == f"{name}@example.fi").one() for name in ("aino", "ilta", "eero")}
        rows["aino"].state = "uncertain"
        aino, ilta, eero = (rows[name].id for name in ("aino", "ilta", "eero"))
    listed = chief.get(f"{ended}/recipients/uncertain").text
    assert re.findall(r'name="row" value="(\d+)"', listed) == sorted(map(str, (aino, ilta)), key=int)
    assert 'name="row"' not in chief.get(f"{ended}/recipients/rejected").text
    assert chief.get(f"{ended}/uncertain?chosen=1").location == f"{ended}/recipients/uncertain"
    form = chief.get(f"{ended}/uncertain?chosen=1&row={ilta}&row={eero}&row=x&row={2**62}").text
    assert "1 of 2" in text_of(form)
    assert re.findall(r'name="row" value="(\d+)"', form) == [str(ilta)]
    resend: dict[str, object] = {"decision": "resend", "chosen": "1", "seen": "1"}
    for wrong in ({}, {"row": [eero]}, {"row": [aino, ilta]}):
        assert chief.post(f"{ended}/uncertain", resend | wrong).status_code == 422
    before = {reader: len(caught.to(reader)) for reader in READERS}
    assert chief.post(f"{ended}/uncertain", resend | {"row": [ilta]}).location == ended
    run()
    after = {reader: len(caught.to(reader)) for reader in READERS}
    assert after == before | {"ilta@example.fi": before["ilta@example.fi"] + 1}
    with db.reading() as session:
        assert dispatch.status(session, number).uncertain == 1
        [detail] = [each.detail for each in audit.search(session, act="uncertain_settled")]
    assert detail == {"decision": "resend", "number": 1, "rows": [ilta]}


# ── test mails ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_test_mail_to_oneself_and_a_colleague_and_no_address_outside(
    app: Flask, number: int, writer: staffing.Signed, chief: staffing.Signed, caught: Caught
) -> None:
    page = f"/staff/bulletins/{number}"
    assert "Nobody has sent a test mail yet." in writer.get(page).text
    form = writer.get(f"{page}/test").text
    assert re.search(rf'value="{writer.account_id}" checked', form)
    assert 'name="other"' not in form
    assert chief.post(f"{page}/test", {}).status_code == 422
    sent = {"colleagues": [writer.account_id, chief.account_id], "other": "Vieras@Example.org"}
    assert writer.post(f"{page}/test", sent).location == page
    assert [mail["Subject"] for _, _, mail in caught.mails] == ["[Testi] Uutisia"] * 2
    assert not caught.to("Vieras@example.org")
    with db.reading() as session:
        [detail] = [each.detail for each in audit.search(session, act="test_mailed")]
    assert detail["colleagues"] == sorted([writer.account_id, chief.account_id])
    assert "xample" not in str(detail)
    assert "The last test mail was sent by Eeva Editori" in writer.get(page).text
    change(number, writer.account_id, text="Muuta")
    assert "went before the latest change" in writer.get(page).text


def test_test_mails_are_limited_and_none_of_those_over_leaves(
    number: int, writer: staffing.Signed, chief: staffing.Signed, caught: Caught
) -> None:
    page = f"/staff/bulletins/{number}/test"
    both = {"colleagues": [writer.account_id, chief.account_id]}
    for _ in range(9):
        assert writer.post(page, both).status_code == 303
    assert writer.post(page, {"colleagues": [writer.account_id]}).status_code == 303
    assert writer.post(page, both).status_code == 429  # 19 and two
    assert len(caught.mails) == 19
    assert acts(number).count("test_mailed") == 10
    assert chief.post(page, both).status_code == 303


def test_a_test_mail_that_can_not_go_says_why(app: Flask, number: int, writer: staffing.Signed, caught: Caught) -> None:
    page = f"/staff/bulletins/{number}/test"
    with db.transaction() as session:
        address = accounts.find(session, writer.account_id).address
        left = person(session, address, now=db.utcnow())
        register.leave(session, leave_token(session, left), origin={"how": "page"}, now=db.utcnow())
    assert "has left the list" in writer.post(page, {"colleagues": [writer.account_id]}).text
    assert writer.post(page, {"other": "kiinni@example.org"}).status_code == 422
    assert writer.post(page, {"colleagues": ["999"]}).status_code == 422
    assert caught.mails == []
    other = staffing.signed_in(app, Level.EDITOR, name="Kiinni Kaino")
    with db.reading() as session:
        caught.answers[accounts.find(session, other.account_id).address] = "550 5.7.1 closed"
    answer = other.post(page, {"colleagues": [other.account_id]})
    assert answer.status_code == 503
    assert "5.7.1 closed" in answer.text or "closed" in answer.text
