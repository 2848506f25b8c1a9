"""Incoming mail at home: when `run` opens a listener of its own, and who finds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailinglist.errors import SettingsError
from mailinglist.local import own_listener
from mailinglist.settings import Settings


def test_commands_find_it_while_run_holds_it_and_not_afterwards(tmp_path: Path) -> None:
    here, elsewhere = Settings.of(data_dir=tmp_path, inbound_bind="auto"), Settings.of(data_dir=tmp_path)
    assert own_listener.found(elsewhere) == elsewhere
    with own_listener.opened(here) as opened:
        assert opened.takes_mail
        assert opened.inbound_address is not None
        assert opened.inbound_address.host == "127.0.0.1"
        for settings in (here, elsewhere, opened):
            assert own_listener.found(settings) == opened
        signpost = (tmp_path / "run.inbound").read_text()
    assert own_listener.found(elsewhere) == elsewhere
    (tmp_path / "run.inbound").write_text(signpost)  # left behind by a `kill -9`
    assert own_listener.found(elsewhere) == elsewhere
    with own_listener.opened(here) as opened:
        assert own_listener.found(elsewhere) == opened


@pytest.mark.parametrize(
    "given", [{"inbound_bind": "127.0.0.1:10024"}, {"inbound_imap": "imaps://a:b@c"}, {"inbound_pipe": "true"}]
)
def test_what_was_set_stands(tmp_path: Path, given: dict[str, str]) -> None:
    settings = Settings.of(data_dir=tmp_path, **given)
    with (
        own_listener.opened(Settings.of(data_dir=tmp_path, inbound_bind="auto")),
        own_listener.opened(settings) as opened,
    ):
        assert opened == settings
        assert own_listener.found(settings) == settings


def test_nothing_is_opened_unasked_nor_where_mail_goes_to_real_people(tmp_path: Path) -> None:
    settings = Settings.of(data_dir=tmp_path)
    with own_listener.opened(settings) as opened:
        assert opened == settings
    with pytest.raises(SettingsError, match="INBOUND_BIND: auto is for the mail catcher"):
        own_listener.wanted(Settings.of(data_dir=tmp_path, smtp_url="smtp://mx.example.fi", inbound_bind="auto"))
