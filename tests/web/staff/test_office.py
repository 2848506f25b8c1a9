"""The first page, a list's settings and letters: what is shown, kept, refused, and written into the audit."""

from __future__ import annotations

import io
import re
import time
from datetime import date, timedelta

import pytest
from flask import Flask
from PIL import Image
from sqlalchemy import insert
from sqlalchemy.orm import Session

import staffing
from catching import Caught, text_of
from mailinglist import db
from mailinglist.bulletins import approvals, drafts
from mailinglist.consent import address, growth, intake, lists, requests
from mailinglist.consent.growth import Day
from mailinglist.consent.tables import DailyCount, ImportJob
from mailinglist.delivery import post
from mailinglist.letters.texts import source_of
from mailinglist.staff import audit
from mailinglist.staff.levels import Level
from mailinglist.web.staff.plot import MOST_BARS, plot
from making import ORIGIN, the_list, written

LIST = "/staff/lists/tector-tiedottaa"


@pytest.fixture
def extra_settings(caught: Caught) -> dict[str, str]:
    return {"smtp_url": caught.url}


@pytest.fixture
def office(app: Flask) -> staffing.Signed:
    return staffing.signed_in(app, Level.ADMINISTRATOR)


def seen(page: str) -> str:
    match = re.search(r'name="seen" value="([0-9a-f]+)"', page)
    assert match is not None
    return match[1]


def filled(page: str) -> dict[str, object]:
    """The fields of a settings form, as a browser would send them back."""
    found = re.findall(r'<input type="(?:text|hidden|number|color)"[^>]* name="([^"]+)" value="([^"]*)"', page)
    found += re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page)
    for name, options in re.findall(r'<select [^>]*name="([^"]+)"[^>]*>(.*?)</select>', page, re.S):
        found += [(name, value) for value in re.findall(r'<option value="([^"]*)" selected', options)]
    return {name: value.replace("&lt;", "<").replace("&gt;", ">") for name, value in found if name != "csrf"}


def settings() -> lists.ListSettings:
    with db.reading() as session:
        return lists.settings_of(the_list(session))


def last_line() -> tuple[str, str, dict[str, object]]:
    with db.reading() as session:
        [line] = audit.search(session, limit=1)
        return line.act, line.about, dict(line.detail)


# ── the first page ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_first_page_tells_what_needs_whom(app: Flask, office: staffing.Signed) -> None:
    assert "Nothing needs you now." in office.get("/staff/").text
    today = db.utcnow().date()
    with db.transaction() as session:
        row = the_list(session)
        bulletin = written(session, now=db.utcnow(), fi="<script>x</script>")
        approvals.ask_approval(session, bulletin, by=drafts.Author(1, "Maija"), now=db.utcnow())
        session.execute(
            insert(ImportJob).values(
                list_id=row.id, state="failed", file_name="x", columns=[], refusals=[], lines=0, done=0, added=0,
                updated=0, unchanged=0, refused=0, who="x", created_at=db.utcnow(),
            )
        )  # fmt: skip
        counts = {"asked": 8, "confirmed": 6, "left": 2, "imported": 12345}
        for what, number in counts.items():
            session.execute(insert(DailyCount).values(list_id=row.id, day=today, what=what, number=number))
    page = office.get("/staff/?days=30").text
    assert f'href="/staff/bulletins/{bulletin.id}"' in page
    assert "&lt;script&gt;x&lt;/script&gt;” waits for an approval." in page
    assert "Import 1 failed." not in page, "an administrator has no right to imports"
    assert "12,345" in page
    assert "(75%)" in page
    for days in (30, 365):
        ends = re.search(
            r'class="times"[^>]*><span>([^<]+)</span><span>([^<]+)<', office.get(f"/staff/?days={days}").text
        )
        assert ends is not None
        since = today - timedelta(days=days - 1)
        assert ends.groups() == tuple(f"{day.day} {day:%b} {day.year}" for day in (since, today)), "not of a week"
    registrar = staffing.signed_in(app, Level.REGISTRAR)
    assert "Import 1 failed." in registrar.get("/staff/").text
    assert office.get("/staff/?days=nonsense").status_code == 200


def test_a_dear_count_of_all_subscribers_is_kept_for_a_while(
    app: Flask, office: staffing.Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = growth.standing
    made: list[int] = []

    def dear(session: Session, list_id: int) -> dict[str, int]:
        made.append(list_id)
        until = time.monotonic() + 0.05
        while time.monotonic() < until:
            pass
        return counts(session, list_id)

    monkeypatch.setattr(growth, "standing", dear)
    assert [office.get("/staff/").status_code for _ in range(2)] == [200, 200]
    assert made == [1]


def test_a_plot_has_as_many_bars_as_days_up_to_a_limit_and_cuts_what_is_far_above() -> None:
    first = date(2026, 1, 1)
    days = [Day(first + timedelta(days=number), confirmed=number % 5, left=1) for number in range(90)]
    days[10] = Day(days[10].day, imported=5000)
    drawn = plot(days)
    assert [day.day for day in drawn.cut] == [days[10].day]
    assert (len(drawn.days), drawn.weekly, drawn.width) == (90, False, 900)
    assert all(piece.y >= 0 and piece.y + piece.height <= 100.01 for piece in drawn.pieces)
    assert all(piece.x >= 0 and piece.x + piece.width <= drawn.width for piece in drawn.pieces)
    assert drawn.up >= 4
    year = plot([Day(first + timedelta(days=number), confirmed=1) for number in range(365)])
    assert year.weekly
    assert len(year.days) <= MOST_BARS
    assert sum(day.confirmed for day in year.days) == 365
    empty = plot([Day(first)])
    assert (empty.pieces, empty.cut) == ((), ())
    same = plot([Day(first + timedelta(days=number), confirmed=7, left=7) for number in range(9)])
    assert (same.cut, same.share) == ((), 5)


# ── settings ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_settings_are_changed_and_written_down_without_addresses(app: Flask, office: staffing.Signed) -> None:
    page = office.get(LIST).text
    form = filled(page) | {
        "name": "Uutiset", "name_sv": "Nyheter", "sender": "Uutiset <uutiset@example.fi>", "owner": "oma@example.fi",
        "language": "sv", "time_zone": "Europe/Stockholm",
    }  # fmt: skip
    assert office.post(LIST, form).status_code == 303
    own = settings()
    assert (own.sender, own.owner, own.language, own.name_sv) == (
        "Uutiset <uutiset@example.fi>", "oma@example.fi", "sv", "Nyheter",
    )  # fmt: skip
    act, about, detail = last_line()
    assert (act, about) == ("list_set", "list 1")
    changed = detail["changed"]
    assert isinstance(changed, dict)
    assert changed["name"] == ["Tector tiedottaa", "Uutiset"]
    assert changed["language"] == [None, "sv"]
    assert str(changed["owner"][1]).startswith("sha256:")
    assert "example.fi" not in str(detail)
    assert "controller" not in changed
    with db.reading() as session:
        assert "Uutiset" in lists.current_text(session, the_list(session), "fi").body
        assert lists.current_text(session, the_list(session), "fi").version == 2
    before = len(_acts())
    assert office.post(LIST, filled(office.get(LIST).text)).status_code == 303
    assert len(_acts()) == before, "nothing changed: no line"


def _acts() -> list[str]:
    with db.reading() as session:
        return [line.act for line in audit.search(session, limit=100)]


WRONG = (
    ("", "sender", "two@example.fi, three@example.fi"),
    ("", "sender", "x@example.fi\r\nBcc: y@example.fi"),
    ("", "owner", "nobody"),
    ("", "time_zone", "Mars/Olympus"),
    ("", "name", ""),
    ("/looks", "colour", "red"),
    ("/looks", "logo", "javascript:alert(1)"),
    ("/rules", "confirm_days", "0"),
    ("/rules", "rate", "-1"),
    ("/rules", "origins", "https://*.example.fi"),
)


def test_what_a_setting_can_not_be_is_said_at_its_field(app: Flask, office: staffing.Signed) -> None:
    before = settings()
    chosen = {"language": "fi", "approval": "auto", "proof_of_work": "auto", "welcome": "1"}
    for path, field, value in WRONG:
        answer = office.post(LIST + path, chosen | filled(office.get(LIST + path).text) | {field: value})
        assert answer.status_code == 422, (field, value)
        assert 'class="summary"' in answer.text
        assert f'id="{field}-error"' in answer.text or field == "name"
    assert settings() == before
    assert "list_set" not in _acts()


def test_rules_are_kept_and_a_stale_form_writes_over_nobody(app: Flask, office: staffing.Signed) -> None:
    stale = seen(office.get(LIST + "/rules").text)
    form = {
        "seen": stale, "confirm_days": "3", "approval": "on", "rate": "0,5", "proof_of_work": "off",
        "origins": "https://www.example.fi",
    }  # fmt: skip
    assert office.post(LIST + "/rules", dict(form)).status_code == 303
    own = settings()
    assert (own.confirm_days, own.welcome, own.approval, own.rate) == (3, False, "on", 0.5)
    assert own.origins == ("https://www.example.fi",)
    again = office.post(LIST + "/rules", form | {"approval": "off"})
    assert again.status_code == 422
    assert "Somebody has changed these settings meanwhile." in again.text
    assert settings().approval == "on"


def test_a_changed_consent_text_is_a_new_version_and_the_old_ones_are_shown(
    app: Flask, office: staffing.Signed
) -> None:
    page = office.get(LIST + "/texts").text
    with db.reading() as session:
        bodies = {f"consent-{each}": lists.current_text(session, the_list(session), each).body for each in ("fi", "sv")}
    form = {**bodies, "consent-en": "I agree.\r\n<b>Really</b>.", "seen": seen(page)}
    assert office.post(LIST + "/texts", form).status_code == 303
    with db.reading() as session:
        versions = lists.texts(session, the_list(session), "en")
        assert [text.version for text in versions] == [2, 1]
        assert versions[0].body == "I agree.\n<b>Really</b>."
        assert len(lists.texts(session, the_list(session), "fi")) == 1
        oldest = versions[1].body.split("“")[0]
    _act, _about, detail = last_line()
    assert set(detail["changed"]) == {"consent-en"}  # type: ignore[call-overload]
    page = office.get(LIST + "/texts").text
    assert "&lt;b&gt;Really&lt;/b&gt;" in page
    assert oldest in page
    assert office.post(LIST + "/texts", {**form, "consent-en": "", "seen": seen(page)}).status_code == 422


def test_a_list_is_added_once(app: Flask, office: staffing.Signed) -> None:
    answer = office.post("/staff/lists", {"slug": "uutiset", "name": "Uutiset <b>"})
    assert answer.location.endswith("/staff/lists/uutiset")
    assert last_line()[0] == "list_made"
    assert "Uutiset &lt;b&gt;" in office.get("/staff/lists").text
    for slug, name in (("uutiset", "X"), ("Ä", "X"), ("", "X"), ("neu", "")):
        assert office.post("/staff/lists", {"slug": slug, "name": name}).status_code == 422


def test_a_logo_is_taken_in_made_anew_and_no_svg(app: Flask, office: staffing.Signed) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (300, 100), "navy").save(picture, "PNG")
    picture.seek(0)
    assert office.post(LIST + "/logo", {"file": (picture, "logo.png")}).status_code == 303
    assert re.fullmatch(r"http://127\.0\.0\.1:8000/images/[0-9a-f]{64}\.png", settings().logo)
    svg = io.BytesIO(b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')
    answer = office.post(LIST + "/logo", {"file": (svg, "<img src=x>.svg")})
    assert answer.status_code == 422
    assert "<img src=x>" not in answer.text
    assert office.post(LIST + "/logo", {}).status_code == 422


# ── letters ───────────────────────────────────────────────────────────────────────────────────────────────────────────


OWN = "Moi {address}!\n\n{{ 7*7 }} <b>x</b>\n\n> {consent}\n\n**[Juu]({confirm_url})**\n\n[En]({not_me_url})"


def test_a_letter_goes_out_in_the_lists_own_words(app: Flask, office: staffing.Signed, caught: Caught) -> None:
    path = LIST + "/letters/confirm/fi"
    assert "Vahvista liittymisesi: {list}" in office.get(path).text
    words = {"subject": "Tervehdys: {list}", "body": OWN.replace("\n", "\r\n")}
    assert office.post(path, words).status_code == 303
    assert set(last_line()[2]["changed"]) == {"letter-confirm.fi"}  # type: ignore[call-overload]
    with db.transaction() as session:
        row = the_list(session)
        intake.write_down(
            session, row, address.parse("aino@example.fi"), kind=requests.JOIN, entrance="web", language="fi",
            text=lists.current_text(session, row, "fi"), origin=ORIGIN, now=db.utcnow(),
        )  # fmt: skip
    post.letters(stop=lambda: False)
    [got] = caught.to("aino@example.fi")
    assert got["Subject"] == "Tervehdys: Tector tiedottaa"
    assert "Moi aino@example.fi!" in text_of(got)
    assert "{{ 7*7 }} <b>x</b>" in text_of(got)
    assert "/confirm/" in text_of(got)
    assert office.post(path, {"subject": "x", "body": "y", "back": "1"}).status_code == 303
    assert settings().letters == {}


def test_the_letter_with_a_link_to_ones_own_page_may_be_in_own_words_too(app: Flask, office: staffing.Signed) -> None:
    path = LIST + "/letters/preferences/en"
    assert path in office.get(LIST + "/letters").text
    words = {"subject": "Your link", "body": "Hello!\n\n**[Here]({preferences_url})**, until {until}."}
    assert "Here" in office.post(path + "/preview", words).text
    assert office.post(path, words).status_code == 303
    assert settings().letters["preferences.en"].subject == "Your link"
    assert office.post(path, {"subject": "Your link", "body": "Hello!"}).status_code == 422


def test_our_words_saved_are_no_words_of_ones_own(app: Flask, office: staffing.Signed) -> None:
    subject, body = source_of("welcome", "sv")
    answer = office.post(LIST + "/letters/welcome/sv", {"subject": subject, "body": body.replace("\n", "\r\n")})
    assert answer.status_code == 303
    assert settings().letters == {}


def test_what_can_not_be_left_out_of_a_letter_is_said_and_nothing_kept(app: Flask, office: staffing.Signed) -> None:
    for body in (OWN.replace("{consent}", ""), OWN.replace("{confirm_url}", "https://e.example"), "{nmae}" + OWN):
        answer = office.post(LIST + "/letters/confirm/fi", {"subject": "x", "body": body})
        assert answer.status_code == 422
        assert 'id="body-error"' in answer.text
        assert "Moi {address}!" in answer.text, "what was typed is still there"
    assert settings().letters == {}
    assert office.post(LIST + "/letters/confirm/de", {"subject": "x", "body": OWN}).status_code == 404
    assert office.get(LIST + "/letters/nonsense/fi").status_code == 404
    assert office.get("/staff/lists/nowhere/letters").status_code == 404


def test_the_preview_shows_what_is_typed_keeps_nothing_and_runs_nothing(app: Flask, office: staffing.Signed) -> None:
    path = LIST + "/letters/confirm/fi/preview"
    shown = office.post(path, {"subject": "x", "body": OWN})
    assert "Moi aino.esimerkki@example.fi!" in shown.text
    assert "&lt;b&gt;x&lt;/b&gt;" in shown.text
    policy = shown.headers["Content-Security-Policy"]
    assert "sandbox" in policy
    assert "script-src" not in policy
    assert "frame-ancestors 'self'" in policy
    text = office.post(path, {"subject": "x", "body": OWN, "as": "text"})
    assert text.content_type.startswith("text/plain")
    refused = office.post(path, {"subject": "x", "body": "<script>{nmae}</script>"})
    assert "{nmae}" in refused.text
    assert "<script>" not in refused.text
    assert settings().letters == {}
    assert "Vahvistan liittymisen" in office.get(path).text
    assert "frame-src 'self'" in office.get(LIST + "/letters/confirm/fi").headers["Content-Security-Policy"]


def test_what_the_notice_says_is_set_and_makes_a_version(app: Flask, office: staffing.Signed) -> None:
    page = office.get(LIST + "/notice").text
    assert "0700464-5" in page
    assert "The notice is not complete" in page  # no address for register matters
    form = {"seen": seen(page), "business_id": "0700464-5", "register_contact": "rekisteri@example.fi"}
    assert office.post(LIST + "/notice", form).status_code == 303
    page = office.get(LIST + "/notice").text
    assert "The notice is not complete" not in page
    assert "Version 2" in page
    assert "rekisteri@example.fi" in app.test_client().get("/privacy").text
    wrong = office.post(LIST + "/notice", {"seen": seen(page), "register_contact": "no address"})
    assert wrong.status_code == 422
    assert "Write one e-mail address in plain letters." in wrong.text
