from __future__ import annotations

import json

import pytest

from mailinglist import observe


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("550 5.1.1 <matti@example.fi>: unknown user", "550 5.1.1 <[address]>: unknown user"),
        ("to mätti.m+x@esimerkki.fi, again", "to [address], again"),
        ("line\r\nanother\x00one", "line  another one"),
        (f"/confirm/{'a' * 22}.{'b' * 43} gone", "/confirm/[token] gone"),
        ('550 "Matti Meikäläinen"@example.fi unknown', "550 [address] unknown"),
    ],
)
def test_addresses_and_control_characters_are_left_out(said: str, kept: str):
    assert observe.redact(said) == kept


def test_a_log_line_is_one_object_without_addresses(capsys: pytest.CaptureFixture[str]):
    observe.configure(role="test")
    log = observe.logger("x")
    log.info("said", words='x"}\n{"event": "forged", "to": "matti@example.fi"}', rows=3)
    try:
        raise ValueError("matti@example.fi is broken")
    except ValueError:
        log.exception("failed")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["said", "failed"]
    assert lines[0]["rows"] == 3
    assert lines[0]["role"] == "test"
    assert "matti" not in json.dumps(lines)
