"""A list's colour, made readable.

Contrast is that of WCAG 2.2: 4.5 : 1 for text (success criterion 1.4.3).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..errors import BadInput

TEXT_CONTRAST = 4.5

_HEX = re.compile(r"#[0-9a-fA-F]{6}")
_STEPS = 20


def check(colour: str) -> str:
    """`colour` in lower case. Raises BadInput unless it is written #rrggbb."""
    if not _HEX.fullmatch(colour):
        raise BadInput("A colour is written as # and six hexadecimal digits, like #1f5f8b.")
    return colour.lower()


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, from 1 to 21 (WCAG 2.2, "contrast ratio")."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def text_on(background: str) -> str:
    """White where it can be read on `background`, else black. One of the two always can."""
    return "#ffffff" if contrast("#ffffff", background) >= TEXT_CONTRAST else "#000000"


def readable(colour: str, *, on: Iterable[str]) -> str:
    """The nearest shade of `colour` that can be read as text on all of the backgrounds `on`.

    They are taken to be all light or all dark: `colour` is mixed with black on light ones, with white on dark ones.
    """
    backgrounds = tuple(on)
    target = "#000000" if text_on(backgrounds[0]) == "#000000" else "#ffffff"
    shades = (_mixed(colour, target, step / _STEPS) for step in range(_STEPS + 1))
    return next(
        (shade for shade in shades if all(contrast(shade, each) >= TEXT_CONTRAST for each in backgrounds)), target
    )


def _channels(colour: str) -> tuple[int, int, int]:
    number = int(colour[1:], 16)
    return number >> 16, number >> 8 & 255, number & 255


def _luminance(colour: str) -> float:
    red, green, blue = (
        channel / 255 / 12.92 if channel <= 10 else ((channel / 255 + 0.055) / 1.055) ** 2.4
        for channel in _channels(colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _mixed(colour: str, other: str, share: float) -> str:
    return "#" + "".join(
        f"{round(a + (b - a) * share):02x}" for a, b in zip(_channels(colour), _channels(other), strict=True)
    )
