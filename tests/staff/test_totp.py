from __future__ import annotations

from datetime import timedelta

import pyotp
import pytest

from conftest import NOW
from mailinglist.staff import totp

SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # RFC 6238, appendix B
APP = pyotp.TOTP(SECRET)
STEP = int(NOW.timestamp()) // 30


def test_the_rfcs_own_example() -> None:
    from datetime import UTC, datetime

    at = datetime.fromtimestamp(59, UTC)
    assert totp.step_of(SECRET, "287082", after=None, now=at) == 1


@pytest.mark.parametrize(("off", "step"), [(-60, None), (-30, STEP - 1), (0, STEP), (30, STEP + 1), (60, None)])
def test_one_step_either_way(off: int, step: int | None) -> None:
    code = APP.at(NOW + timedelta(seconds=off))
    assert totp.step_of(SECRET, code, after=None, now=NOW) == step


def test_a_step_is_good_once_and_earlier_ones_no_more() -> None:
    assert totp.step_of(SECRET, APP.at(NOW), after=STEP, now=NOW) is None
    assert totp.step_of(SECRET, APP.at(NOW - timedelta(seconds=30)), after=STEP, now=NOW) is None
    assert totp.step_of(SECRET, APP.at(NOW + timedelta(seconds=30)), after=STEP, now=NOW) == STEP + 1


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "１２３４５６", "-12345"])
def test_what_is_no_code(code: str) -> None:
    assert totp.step_of(SECRET, code, after=None, now=NOW) is None


def test_spaces_do_not_matter() -> None:
    code = APP.at(NOW)
    assert totp.step_of(SECRET, f" {code[:3]} {code[3:]} ", after=None, now=NOW) == STEP


def test_what_the_picture_holds() -> None:
    assert totp.uri(SECRET, who="maija@example.fi", where="lists.example.fi") == (
        f"otpauth://totp/lists.example.fi:maija%40example.fi?secret={SECRET}&issuer=lists.example.fi"
    )
    assert len(totp.fresh_secret()) == 32
