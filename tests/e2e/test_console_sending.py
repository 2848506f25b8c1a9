"""A written bulletin is tested, approved, sent and watched until it is sent: in a real browser, on the real `run`, by
mouse and by keyboard alone; and what the pages about sending look like: axe, 320 px."""

# ruff: noqa: F811 - fixtures are asked for by the very names that they are imported under

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from browsing import Site, complaints, site  # noqa: F401
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, Page, expect
from sqlalchemy import delete

import staffing
from accessible import violations
from mailinglist import db
from mailinglist.app import create_app
from mailinglist.bulletins import approvals, drafts
from mailinglist.bulletins.drafts import Author
from mailinglist.delivery import dispatch
from mailinglist.delivery.tables import AudiencePart, Handoff
from mailinglist.settings import Settings
from mailinglist.staff.levels import Level
from making import person, the_list, written
from running import Run

pytestmark = pytest.mark.browser
READERS = 240
SENDER = "Tector <tiedote@example.fi>"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, Flask]]:
    """The whole program with a list of READERS, at a pace that can be watched; and an application on its data. It costs
    some seconds to start: its tests are long, and stay together."""
    run = Run(tmp_path_factory.mktemp("sending"), MAILINGLIST_SEND_RATE="80")
    try:
        run.start()
        people = run.data_dir.parent / "people.csv"
        people.write_text("email,name\n" + "".join(f"reader{each}@example.fi,L {each}\n" for each in range(READERS)))
        words = ("--list", "tector-tiedottaa", "--basis", "consent", "--source", "test")
        done = run.command("people", "import", str(people), *words)
        assert done.returncode == 0, done.stderr
        app = create_app(Settings.of(data_dir=run.data_dir, base_url=run.web).with_keys())
        yield run, app
        with app.app_context():
            db.db.engine.dispose()
        run.stop()
    finally:
        run.end()


@pytest.fixture
def context(browser: Browser, running: tuple[Run, Flask]) -> Iterator[BrowserContext]:
    """A publisher's browser; they wrote nothing themselves."""
    run, app = running
    made = browser.new_context(locale="en", viewport={"width": 1280, "height": 900})
    made.set_default_timeout(20_000)
    staffing.sign_browser_in(made, app, run.web, [Level.PUBLISHER], name="Paavo Päättäjä")
    yield made
    made.close()


def wrote(app: Flask, subject: str) -> int:
    """A bulletin that is written."""
    with app.app_context(), db.transaction() as session:
        return written(session, now=db.utcnow(), by=Author(None, "Eeva"), fi=subject).id


def watched(page: Page) -> set[int]:
    """How far the bar was, each time that one looks, until the bulletin is sent; without one reload."""
    page.evaluate("window.same = true")
    seen: set[int] = set()
    badge = page.locator("#standing .badge")
    while badge.inner_text() != "Sent":
        if page.locator("#progress").count():
            seen.add(int(page.locator("progress").get_attribute("value") or 0))
        page.wait_for_timeout(300)
    assert page.evaluate("window.same") is True
    return seen


@pytest.mark.long
@pytest.mark.xdist_group("console_sending")
def test_from_written_to_sent_by_mouse(running: tuple[Run, Flask], context: BrowserContext) -> None:
    run, app = running
    number = wrote(app, "Hiirellä")
    page = context.new_page()
    heard = complaints(page)
    page.goto(f"{run.web}/staff/bulletins/{number}")

    page.get_by_role("link", name="Send a test mail").click()
    page.get_by_role("button", name="Send the test").click()
    expect(page.locator(".notice.good")).to_contain_text("Test mails sent: 1.")
    assert any(to[0].startswith("publisher.") for to in run.caught())

    page.get_by_role("link", name="Check and approve").click()
    for box in page.locator("#approving input[type=checkbox]").all():
        box.check()
    page.locator("#approving button").click()
    expect(page.locator(".notice.good")).to_contain_text("Approved.")

    page.get_by_role("link", name="Send or schedule").click()
    page.get_by_label("Number of recipients").fill("24")
    page.get_by_role("button", name="Send now").click()
    expect(page.get_by_role("alert")).to_contain_text("Type the number of recipients")
    page.get_by_label("Number of recipients").fill(str(READERS))
    page.get_by_role("button", name="Send now").click()
    assert len(watched(page)) >= 2
    expect(page.locator(".counts .accepted dd")).to_have_text(str(READERS))
    expect(page.locator("#progress")).not_to_have_attribute("hx-get", re.compile("."))

    page.get_by_role("link", name="Report").click()
    expect(page.locator("tr.total")).to_contain_text(str(READERS))
    assert [line for line in heard if "Failed to load resource" not in line] == []


@pytest.mark.long
@pytest.mark.xdist_group("console_sending")
def test_from_written_to_sent_by_keyboard(running: tuple[Run, Flask], context: BrowserContext) -> None:
    run, app = running
    number = wrote(app, "Näppäimillä")
    page = context.new_page()
    page.goto(f"{run.web}/staff/bulletins/{number}")

    def to(selector: str) -> None:
        """Move the focus there, as Tab does."""
        for _ in range(80):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"Tab does not reach {selector}")

    def follow(selector: str, key: str = "Enter") -> None:
        to(selector)
        with page.expect_navigation():
            page.keyboard.press(key)

    follow("#approve")
    page.wait_for_selector("#approving button")
    for _ in range(page.locator("#approving input[type=checkbox]").count()):
        to("#approving input[type=checkbox]:not(:checked)")
        page.keyboard.press("Space")
    follow("#approving button")
    follow('main a[href$="/send"]')
    to("#recipients")
    page.keyboard.type(str(READERS))
    follow("#send")
    page.wait_for_selector("#standing:has-text('Being sent')")
    follow("button#act")
    expect(page.locator("#standing .badge")).to_have_text("Paused")
    assert dispatched(app, number) == "paused"
    follow("button#act")
    watched(page)
    with app.app_context(), db.reading() as session:
        assert dispatch.status(session, number).accepted == READERS


def dispatched(app: Flask, number: int) -> str | None:
    with app.app_context(), db.reading() as session:
        return dispatch.state_of(session, number)


# ── looks ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def gallery(app: Flask) -> dict[str, str]:
    """Every page about sending, in every state that looks different: name → path."""
    with app.app_context(), db.transaction() as session:
        now = db.utcnow()
        for each in range(6):
            person(session, f"lukija{each}@example.fi", now=now)
        author = Author(None, "Eeva Editori")
        numbers = [
            written(session, now=now, by=author, fi=f"Syksyn uutiset {each}", sv="Höstens nyheter").id
            for each in range(5)
        ]
        new, changed, ready, moving, done = numbers
        for number in numbers[1:]:
            approvals.approve(session, drafts.find(session, number), sender=SENDER, by=Author(7, "Pirkko"), now=now)
        bulletin = drafts.find(session, changed)
        source = bulletin.source.replace("Syksyn uutiset", "Syksyn tuoreimmat uutiset")
        drafts.save(session, bulletin, base=bulletin.revision, source=source, by=author, now=now)
        approvals.ask_approval(session, bulletin, by=author, now=now)
        for number in (moving, done):
            dispatch.send(session, number, sender=SENDER, by="Pirkko", at=None, publishers=(), now=now)
        dispatch.begin_due(session, now=now)
        dispatch.note_trouble(session, moving, "127.0.0.1:25: connection refused")
        persons = [person(session, f"lukija{each}@example.fi", now=now).id for each in range(6)]
        session.execute(delete(AudiencePart).where(AudiencePart.bulletin_id == done))
        states = ("accepted", "rejected", "rejected", "uncertain", "deferred", "excluded")
        for each, state in zip(persons, states, strict=True):
            reply = "banned" if state == "excluded" else "<[address]>: no such user here"
            session.add(
                Handoff(
                    kind="bulletin", about=done, list_id=the_list(session).id, person_id=each, state=state,
                    not_before=now, attempts=1, settled_at=now, code=550 if state == "rejected" else None, reply=reply,
                )
            )  # fmt: skip
        session.flush()
        assert dispatch.finish(session, done, now=now)
    base = "/staff/bulletins"
    return {
        "new": f"{base}/{new}", "void": f"{base}/{changed}", "ready": f"{base}/{ready}", "moving": f"{base}/{moving}",
        "test": f"{base}/{new}/test", "send": f"{base}/{ready}/send", "cancel": f"{base}/{moving}/cancel",
        "done": f"{base}/{done}", "rejected": f"{base}/{done}/recipients/rejected",
        "uncertain": f"{base}/{done}/recipients/uncertain", "decide": f"{base}/{done}/uncertain",
        "report": f"{base}/{done}/report",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("language", "scheme"),
    [
        ("fi", "light"),
        pytest.param("sv", "dark", marks=pytest.mark.long),
        pytest.param("en", "light", marks=pytest.mark.long),
    ],
)
def test_axe_finds_nothing_and_pages_fit(site: Site, browser: Browser, language: str, scheme: str) -> None:
    pages = gallery(site.app)
    with browser.new_context(color_scheme=scheme, locale=language) as context:  # type: ignore[arg-type]
        context.set_default_timeout(15_000)
        staffing.sign_browser_in(context, site.app, site.base, language=language)
        page = context.new_page()
        heard = complaints(page)
        for name, path in pages.items():
            page.set_viewport_size({"width": 1280, "height": 800})
            answer = page.goto(site.base + path)
            assert answer is not None
            assert answer.status == 200, name
            assert violations(page) == "", name
            page.set_viewport_size({"width": 320, "height": 480})
            assert page.evaluate("document.documentElement.scrollWidth") <= 320, name
        assert heard == []


def test_works_without_scripts(site: Site, browser: Browser) -> None:
    pages = gallery(site.app)
    with browser.new_context(java_script_enabled=False, locale="en") as context:
        staffing.sign_browser_in(context, site.app, site.base)
        page = context.new_page()
        page.goto(site.base + pages["moving"])
        page.get_by_role("button", name="Pause").click()
        assert "Paused." in page.inner_text(".notice.good")
        page.get_by_role("link", name="Look again").click()
        page.get_by_role("button", name="Resume").click()
        page.get_by_role("link", name="Cancel …").click()
        page.get_by_role("button", name="Cancel for good").click()
        assert page.inner_text("#standing .badge") == "Cancelled"
