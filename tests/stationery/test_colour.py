"""Every colour a list may have stays readable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailinglist.errors import BadInput
from mailinglist.stationery import colour

COLOURS = st.integers(0, 0xFFFFFF).map("#{:06x}".format)


def test_contrast_is_that_of_wcag() -> None:
    assert colour.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert colour.contrast("#ffffff", "#777777") == pytest.approx(4.48, abs=0.01)
    assert colour.contrast("#123456", "#123456") == 1


@given(COLOURS)
def test_text_on_any_colour_can_be_read(background: str) -> None:
    assert colour.contrast(colour.text_on(background), background) >= 4.5


@given(COLOURS, st.sampled_from([("#ffffff", "#f4f2ee"), ("#201f1d", "#141312")]))
def test_any_colour_has_a_readable_shade(shade: str, backgrounds: tuple[str, str]) -> None:
    readable = colour.readable(shade, on=backgrounds)
    assert all(colour.contrast(readable, each) >= 4.5 for each in backgrounds)


@given(COLOURS)
def test_by_night_any_colour_is_as_clear_as_grey_text(shade: str) -> None:
    grounds = ("#201f1d", "#141312")
    readable = colour.readable(shade, on=grounds, at_least=colour.NIGHT_CONTRAST)
    assert all(colour.contrast(readable, each) >= 7 for each in grounds)


def test_on_dark_grounds_a_colour_stays_a_colour() -> None:
    """Mixed with white it would be grey, and look switched off."""
    readable = colour.readable("#1f4e5f", on=["#1b1917", "#242120"], at_least=colour.NIGHT_CONTRAST)
    red, _green, blue = (int(readable[at : at + 2], 16) for at in (1, 3, 5))
    assert blue - red > 0x50


def test_a_readable_colour_stays_itself() -> None:
    assert colour.readable("#1f5f8b", on=["#ffffff"]) == "#1f5f8b"


@pytest.mark.parametrize("wrong", ["", "red", "#fff", "#12345g", "#1234567", "#123456;", " #123456", "#123456\n"])
def test_other_notations_are_refused(wrong: str) -> None:
    with pytest.raises(BadInput, match="six hexadecimal digits"):
        colour.check(wrong)
