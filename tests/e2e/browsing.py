"""A running site and a real browser, for the tests that look at pages as people do."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, Page, expect
from sqlalchemy import select
from werkzeug.serving import make_server

import making
import servers
from conftest import SECRETS
from mailinglist import db
from mailinglist.app import create_app
from mailinglist.consent import requests
from mailinglist.consent.tables import Request, Subscription
from mailinglist.settings import Settings

expect.set_options(timeout=15_000)  # Playwright's own five seconds are short where two cores drive two browsers

PAGE = "/lists/tector-tiedottaa"


@dataclass
class Site:
    """The pages, answering on loopback; and the worker's part, done when a test says so."""

    app: Flask
    base: str

    def letter(self) -> tuple[str, str]:
        """The worker takes what waits; the (confirm, not-me) tokens of the newest request's letter."""
        with self.app.app_context(), db.transaction() as session:
            now = db.utcnow()
            requests.take(session, now=now)
            newest = session.scalars(select(Request).order_by(Request.id.desc()).limit(1)).one()
            return making.letter(session, newest, now=now)

    def unsubscribe_token(self, mailbox: str) -> str:
        """The token in a bulletin to somebody on the list; put there if they are not."""
        with self.app.app_context(), db.transaction() as session:
            return making.leave_token(session, making.person(session, mailbox, now=db.utcnow()))

    def states(self) -> list[str]:
        """Where everybody stands, oldest first."""
        with self.app.app_context(), db.reading() as session:
            return list(session.scalars(select(Subscription.state).order_by(Subscription.person_id)))

    def newest_request(self) -> Request:
        with self.app.app_context(), db.reading() as session:
            found = session.scalars(select(Request).order_by(Request.id.desc()).limit(1)).one()
            session.expunge(found)
            return found


@pytest.fixture
def site(sqlite_template: Path, tmp_path: Path) -> Iterator[Site]:
    """A site of the test's own, on SQLite."""
    with served(sqlite_template, tmp_path, host="127.0.0.1") as made:
        yield made


@contextmanager
def served(template: Path, folder: Path, *, host: str) -> Iterator[Site]:
    """A running site with a copy of the database, called `host` in its own links."""
    copy(template, folder / "site.db")
    port = servers.free_port()
    base = f"http://{host}:{port}"
    app = create_app(Settings.of(data_dir=folder, database_url=f"sqlite:///{folder}/site.db", base_url=base, **SECRETS))
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Site(app, base)
    server.shutdown()
    thread.join(5)
    server.server_close()


@pytest.fixture
def visitor(browser: Browser) -> Iterator[BrowserContext]:
    """A visitor without JavaScript."""
    context = browser.new_context(java_script_enabled=False, locale="fi-FI", viewport={"width": 1280, "height": 800})
    yield context
    context.close()


@pytest.fixture
def stranger(browser: Browser) -> Iterator[BrowserContext]:
    """Another visitor, in another browser."""
    context = browser.new_context(java_script_enabled=False, locale="fi-FI")
    yield context
    context.close()


def complaints(page: Page) -> list[str]:
    """What the browser complains about from now on: broken policies, errors of scripts."""
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: heard.append(str(error)))
    return heard


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    """A company's own site, of another origin and another site than ours."""
    made = Elsewhere()
    yield made
    made.server.shutdown()
    made.server.server_close()


class Elsewhere:
    """Serves one page of HTML under http://localhost."""

    def __init__(self) -> None:
        self.html = ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(outer.html.encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://localhost:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
