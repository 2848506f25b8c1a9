"""The catcher's page in a real browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from werkzeug.serving import make_server

from accessible import violations
from mailinglist.local import ports
from mailinglist.local.catcher.store import Store
from mailinglist.local.catcher.viewer import create_viewer
from mailinglist.settings import HostPort, Settings
from servers import free_port

pytestmark = pytest.mark.browser


@dataclass(frozen=True)
class Viewer:
    """A running viewer, and the store that it shows."""

    url: str
    store: Store

    def catch(self, subject: str) -> int:
        made = EmailMessage()
        made["From"], made["To"], made["Subject"] = (
            "Tector tiedottaa <tiedote@tector.example>",
            "matti@example.fi",
            subject,
        )
        made.set_content("Vahvista: http://127.0.0.1:8000/confirm/abc\n")
        link = f"<a href='{self.url}/health/live'>Vahvistan</a>"
        script = "<script>document.body.append('script ran')</script><img src='http://127.0.0.1:1/pixel.png'>"
        made.add_alternative(f"<html lang='fi'><head></head><body>{link}{script}</body></html>", subtype="html")
        return self.store.add("b-1@lists.example", ["matti@example.fi"], made.as_bytes())


@pytest.fixture
def viewer(tmp_path: Path) -> Iterator[Viewer]:
    bind = HostPort("127.0.0.1", free_port())
    settings = Settings.of(catcher_bind=f"127.0.0.1:{free_port()},{bind}")
    with ports.listen(bind, setting="catcher_bind") as opened, Store(tmp_path / "mails.db") as store:
        server = make_server(bind.host, bind.port, create_viewer(store, settings), threaded=True, fd=opened.fileno())
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield Viewer(f"http://{bind}", store)
        server.shutdown()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context() as context:
        yield context.new_page()


def test_a_new_mail_appears_by_itself(page: Page, viewer: Viewer) -> None:
    page.goto(viewer.url)
    expect(page.locator("#status")).to_have_text("No mail yet")
    viewer.catch("Ensimmäinen")
    expect(page.get_by_role("link", name="Ensimmäinen")).to_be_visible()
    expect(page.locator("#status")).to_have_text("1 mail, newest first")


def test_a_mail_is_read_in_four_views(page: Page, viewer: Viewer) -> None:
    viewer.catch("Vahvista tilauksesi")
    page.goto(viewer.url)
    page.get_by_role("link", name="Vahvista tilauksesi").click()
    expect(page.frame_locator("iframe").get_by_role("link", name="Vahvistan")).to_be_visible()
    page.get_by_role("link", name="Text", exact=True).click()
    expect(page.get_by_role("link", name="http://127.0.0.1:8000/confirm/abc")).to_be_visible()
    page.get_by_role("link", name="Headers").click()
    expect(page.get_by_role("row", name="Envelope from b-1@lists.example")).to_be_visible()
    page.get_by_role("link", name="Raw").click()
    expect(page.locator("pre")).to_contain_text("MIME-Version: 1.0")


def test_a_mails_html_runs_nothing_and_loads_nothing_and_its_links_open_elsewhere(page: Page, viewer: Viewer) -> None:
    asked: list[str] = []
    page.on("requestfinished", lambda request: asked.append(request.url))
    page.goto(f"{viewer.url}/mail/{viewer.catch('Vahvista')}")
    frame = page.frame_locator("iframe")
    link = frame.get_by_role("link", name="Vahvistan")
    expect(link).to_be_visible()
    expect(frame.get_by_text("script ran")).to_have_count(0)
    with page.context.expect_page() as opened:
        link.click()
    expect(opened.value.locator("body")).to_have_text("ok")
    assert all(url.startswith(viewer.url) for url in asked)


def test_delete_all_asks_first(page: Page, viewer: Viewer) -> None:
    viewer.catch("Yksi")
    page.goto(viewer.url)
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Delete all").click()
    assert viewer.store.count == 1
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete all").click()
    expect(page.locator("#status")).to_have_text("No mail yet")
    assert viewer.store.count == 0


def test_without_javascript_the_list_reloads_itself_and_everything_works(browser: Browser, viewer: Viewer) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        viewer.catch("Yksi")
        page.goto(viewer.url)
        expect(page.locator("noscript meta[http-equiv=refresh]")).to_have_count(1)
        page.get_by_role("link", name="Yksi").click()
        expect(page.get_by_role("heading", name="Yksi")).to_be_visible()
        page.get_by_role("button", name="Delete all").click()
        expect(page.locator("#status")).to_have_text("No mail yet")


@pytest.mark.parametrize(("width", "colours"), [(320, "light"), (1280, "dark")])
def test_it_fits_and_is_accessible(browser: Browser, viewer: Viewer, width: int, colours: str) -> None:
    number = viewer.catch("Pitkäotsikkoinenkirjejokaeimahdukapealleruudulle" * 3)
    with browser.new_context(viewport={"width": width, "height": 700}, color_scheme=colours) as context:  # type: ignore[arg-type]
        page = context.new_page()
        for path in ("/", f"/mail/{number}", f"/mail/{number}?tab=text", f"/mail/{number}?tab=headers"):
            page.goto(viewer.url + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert violations(page) == "", path
