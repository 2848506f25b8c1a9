from __future__ import annotations

import re

import pytest

from commanding import Commands
from mailinglist.consent import lists
from mailinglist.settings import Settings


@pytest.fixture
def cli(settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(settings, monkeypatch, capsys)


def test_the_first_list_is_there(cli: Commands):
    (found,) = cli("lists", "show", "--json").json
    assert (found["slug"], found["name"]) == ("tector-tiedottaa", "Tector tiedottaa")
    assert cli("lists", "show", "tector-tiedottaa", "--json").json == found
    assert "Tekninen Toimisto Tektor Oy" in cli("lists", "show").out


def test_add_set_show(cli: Commands):
    assert cli("lists", "add", "news", "--name", "News & more").code == 0
    assert cli("lists", "set", "news", "colour", "#ff0000").code == 0
    assert cli("lists", "set", "news", "postal-address", "Street 1, Town").code == 0
    assert cli("lists", "set", "news", "consent-en", "I want the news.").code == 0
    assert cli("lists", "set", "news", "origins", "https://www.example.fi, https://example.fi").code == 0
    found = cli("lists", "show", "news", "--json").json
    assert found["settings"]["colour"] == "#ff0000"
    assert found["settings"]["postal_address"] == "Street 1, Town"
    assert found["settings"]["origins"] == ["https://www.example.fi", "https://example.fi"]
    assert found["consent"]["en"] == {"version": 2, "body": "I want the news."}
    assert found["consent"]["fi"]["version"] == 1
    told = cli("lists", "show", "news").out
    assert "consent-en (version 2): I want the news." in told
    assert "origins: https://www.example.fi, https://example.fi" in told


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("add", "tector-tiedottaa", "--name", "Again"), 2),
        (("add", "No Good", "--name", "x"), 2),
        (("add", "news", "--name", "two\nlines"), 2),
        (("set", "tector-tiedottaa", "colour", "red"), 2),
        (("set", "tector-tiedottaa", "nonsense", "x"), 2),
        (("set", "nonsense", "colour", "#ffffff"), 1),
        (("show", "nonsense"), 1),
    ],
)
def test_refusals(cli: Commands, arguments: tuple[str, ...], code: int):
    outcome = cli("lists", *arguments)
    assert (outcome.code, outcome.out) == (code, "")
    assert outcome.err.count("\n") == 1
    assert len(cli("lists", "show", "--json").json) == 1


def test_the_help_names_each_setting_as_the_error_does(cli: Commands):
    told = cli("lists", "set", "--help").out
    assert [key for key in lists.KEYS if not re.search(rf"\b{key}\b", told)] == []
