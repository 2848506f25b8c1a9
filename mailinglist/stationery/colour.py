"""A list's colour, made readable.

Contrast is that of WCAG 2.2: 4.5 : 1 for text (success criterion 1.4.3).
"""

from __future__ import annotations

import colorsys
import re
from collections.abc import Iterable

from ..errors import BadInput

TEXT_CONTRAST = 4.5
NIGHT_CONTRAST = 7.0
"""What a list's colour has on dark grounds (1.4.6): as much as grey text there, so that no link is duller than that."""

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


def readable(colour: str, *, on: Iterable[str], at_least: float = TEXT_CONTRAST) -> str:
    """The nearest shade of `colour` that can be read as text on all of the backgrounds `on`, with this contrast.

    They are taken to be all light or all dark: `colour` is mixed with black on light ones. On dark ones it is made
    lighter and keeps its hue and saturation: mixed with white it would turn grey, and a grey link looks switched off.
    """
    backgrounds = tuple(on)
    light = text_on(backgrounds[0]) == "#000000"
    shades = ((_darker if light else _lighter)(colour, step / _STEPS) for step in range(_STEPS + 1))
    return next(
        (shade for shade in shades if all(contrast(shade, each) >= at_least for each in backgrounds)),
        "#000000" if light else "#ffffff",
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


def _darker(colour: str, share: float) -> str:
    return _written(channel * (1 - share) for channel in _channels(colour))


def _lighter(colour: str, share: float) -> str:
    if not share:
        return colour
    red, green, blue = (channel / 255 for channel in _channels(colour))
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    return _written(255 * each for each in colorsys.hls_to_rgb(hue, lightness + (1 - lightness) * share, saturation))


def _written(channels: Iterable[float]) -> str:
    return "#" + "".join(f"{round(channel):02x}" for channel in channels)
