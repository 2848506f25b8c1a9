from __future__ import annotations

import os
import pwd
import tempfile
from pathlib import Path

import pytest

import servers
from mailinglist.cli import opening
from mailinglist.local import broker
from mailinglist.settings import Settings


def test_who_gives_a_command(monkeypatch: pytest.MonkeyPatch):
    me = pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert opening.who() == me
    monkeypatch.setenv("SUDO_USER", "maija")
    assert opening.who() == f"maija as {me}"
    monkeypatch.setattr(os, "getuid", lambda: 987654321)
    monkeypatch.delenv("SUDO_USER")
    assert opening.who() == "uid 987654321"


def test_the_embedded_broker_is_found_where_it_runs_and_nowhere_else():
    with tempfile.TemporaryDirectory(prefix="mlcli-", dir="/tmp") as folder:
        settings = Settings.of(data_dir=folder)
        assert opening.with_broker(settings).broker_url is None
        server = servers.Valkey(Path(folder) / "broker")
        server.folder.mkdir(mode=0o700)
        server.start()
        try:
            found = opening.with_broker(settings).broker_url
            assert found is not None
            assert found.get_secret_value() == broker.url(server.folder)
            other = Settings.of(data_dir=folder, broker_url="redis://elsewhere:6379/0")
            assert opening.with_broker(other) is other
        finally:
            server.kill()
