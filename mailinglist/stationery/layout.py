"""The whole mail: a safe fragment in the list's layout, and its text part."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from html import escape

import css_inline
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..errors import BadInput
from ..i18n import LANGUAGES
from ..places import TEMPLATES
from . import colour, plaintext, slots

# Backgrounds of the page and of the sheet on it; layout.html has the other colours.
_LIGHT = {"page": "#f4f2ee", "sheet": "#ffffff"}
_DARK = {"page": "#141312", "sheet": "#201f1d"}

_BUTTON = re.compile(
    r'<p(?:\s[^>]*)?>\s*<(strong|b)>\s*<a href="([^"]*)"[^>]*>((?:(?!</?a\b).)+)</a>\s*</\1>\s*</p>', re.S
)
# What `columns` and `image` write. The sanitiser leaves no class, so nothing that people handed in looks like these;
# and no table stands within a column before buttons are made of their paragraphs.
_COLUMNS = re.compile(r'<table class="columns"><tr><td>(.*?)</td><td>(.*?)</td></tr></table>', re.S)
_IMAGE = re.compile(r'(<p class="image">.*?<img src="[^"]*") width="(\d+)" height="(\d+)"')
# Keeps the first words of the text from following a preview line that is shorter than its room.
_FILLER = "\u034f\u00a0\u200c" * 60

CONTENT_WIDTH = 520
"""Pixels across which text and images of a mail reach: 600 of the sheet, less its margins."""
COLUMN_WIDTH = 250
"""Of one of two columns: they stand 20 apart."""

_VALUE = re.compile('"[^"]*"')
_START_TAG = re.compile('<[a-zA-Z](?:[^"<>]++|"[^"]*+")*+>')
_DATA_TABLE = re.compile(r"<table(?=[^>]*>\s*(?:<caption(?:(?!</caption>).)*</caption>\s*)?<thead)", re.S)


@dataclass(frozen=True, slots=True)
class Look:
    """How a list presents itself in its mails.

    `colour` is #rrggbb, `logo_url` an http(s) address or None, `language` one of `i18n.LANGUAGES`; raises BadInput when
    they are not. The words are data, and may be anything.
    """

    name: str
    colour: str
    logo_url: str | None
    postal_address: str
    sender_name: str
    language: str

    def __post_init__(self) -> None:
        colour.check(self.colour)
        if self.logo_url is not None and not re.match("https?://", self.logo_url, re.I):
            raise BadInput("The address of a logo begins with https:// or http://.")
        if self.language not in LANGUAGES:
            raise BadInput(f"A list's language is one of {', '.join(LANGUAGES)}.")

    @property
    def signature(self) -> str:
        """Who sends, and from where: on one line, the name once even where the postal address begins with it."""
        sender, postal = (" ".join(text.split()) for text in (self.sender_name, self.postal_address))
        return postal if postal.startswith(sender) else f"{sender}, {postal}".rstrip(", ")


@dataclass(frozen=True, slots=True)
class Composed:
    """A mail without its recipient: each text may hold slots (see `slots`). Lines end with LF."""

    subject: str
    html: str
    text: str


def image(*, address: str, alt: str, width: int, height: int, link: str = "") -> str:
    """A fragment: one image of `width` × `height` pixels, which is also its size in the mail where there is room.

    Outlook obeys the attributes only, so they say the size that fits the column in which the image comes to stand.
    """
    tag = (
        f'<img src="{escape(address)}" width="{width}" height="{height}" alt="{escape(alt, quote=True)}">'
    )  # fmt: skip
    return f'<p class="image"><a href="{escape(link)}">{tag}</a></p>' if link else f'<p class="image">{tag}</p>'


def columns(left: str, right: str) -> str:
    """A fragment: two safe fragments, without tables in them, side by side; on a phone one below the other."""
    return f'<table class="columns"><tr><td>{left}</td><td>{right}</td></tr></table>'


def composed(
    *, subject: str, content: str, footer: str, look: Look, preview: str = "", show_addresses: bool = False
) -> Composed:
    """The mail with `content` and `footer`, two safe fragments, in the list's look. `preview` is what mailboxes show
    beside the subject; empty: the first words of the content.

    A paragraph that is nothing but a link in bold becomes a button. With `show_addresses`, its address is written out
    below it, so that whoever mistrusts buttons can see and copy it. Raises BadInput when nested too deeply.
    """
    # The text comes first: it refuses a depth at which css-inline would take the process down.
    text = f"{plaintext.plain(content)}\n---\n\n{plaintext.plain(footer)}"
    html = (
        _environment()
        .get_template("layout.html")
        .render(
            subject=subject,
            opening=preview + _FILLER if preview else plaintext.opening(content),
            content=Markup(_dressed(content, show_addresses=show_addresses)),  # noqa: S704 (a safe fragment)
            footer=Markup(footer),  # noqa: S704 (a safe fragment)
            name=slots.without_marks(look.name),
            logo=slots.without_marks(look.logo_url or ""),
            colour=look.colour,
            language=look.language,
            light=_LIGHT,
            dark=_DARK,
        )
    )
    return Composed(subject=subject, html=_entities_in_values(_inliner(look.colour).inline(html)), text=text)


def _entities_in_values(html: str) -> str:
    """`html` with angle brackets in attribute values as entities.

    css-inline writes them as they are. HTML permits that, but the filters of webmail have stumbled over less.
    """

    def tag(match: re.Match[str]) -> str:
        return _VALUE.sub(lambda value: value[0].replace("<", "&lt;").replace(">", "&gt;"), match[0])

    return _START_TAG.sub(tag, html)


def _dressed(fragment: str, *, show_addresses: bool) -> str:
    """A safe fragment with columns, images of a size that fits, buttons, and tables of data marked as such."""

    def button(match: re.Match[str]) -> str:
        address, label = match[2], match[3]
        written = f'<p class="address"><a href="{address}">{address}</a></p>' if show_addresses else ""
        return (
            '<table class="button" role="presentation" cellpadding="0" cellspacing="0" border="0"><tr>'
            '<td class="face" align="center" valign="middle">'
            f'<a class="press" href="{address}">{label}</a></td></tr></table>{written}'
        )

    def halves(match: re.Match[str]) -> str:
        left, right = (_fitted(half, COLUMN_WIDTH) for half in match.groups())
        return _HALVES.format(left=left, right=right, half=COLUMN_WIDTH, gap=CONTENT_WIDTH - 2 * COLUMN_WIDTH)

    fragment = _COLUMNS.sub(halves, _DATA_TABLE.sub('<table class="data"', fragment))
    return _BUTTON.sub(button, _fitted(fragment, CONTENT_WIDTH))


# "Hybrid" columns: two blocks that stand side by side where there is room for both, without any media query (Gmail's
# applications drop those of some accounts); and for Outlook on Windows, which knows no inline-block, a table around.
_HALVES = (
    '<table class="columns" role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0"><tr>'
    '<td class="halves">'
    '<!--[if mso]><table role="presentation" width="520" cellpadding="0" cellspacing="0" border="0"><tr>'
    '<td width="{half}" valign="top"><![endif]-->'
    '<div class="half first">{left}</div>'
    '<!--[if mso]></td><td width="{gap}"></td><td width="{half}" valign="top"><![endif]-->'
    '<div class="half">{right}</div>'
    "<!--[if mso]></td></tr></table><![endif]-->"
    "</td></tr></table>"
)


def _fitted(fragment: str, room: int) -> str:
    """`fragment` with its images no wider than `room` pixels."""

    def image(match: re.Match[str]) -> str:
        width, height = int(match[2]), int(match[3])
        if width <= room:
            return match[0]
        return f'{match[1]} width="{room}" height="{max(1, round(height * room / width))}"'

    return _IMAGE.sub(image, fragment)


@cache
def _environment() -> Environment:
    loader = FileSystemLoader(TEMPLATES / "mail")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(text_on=colour.text_on, readable=colour.readable, night_contrast=colour.NIGHT_CONTRAST)
    return environment


@lru_cache(maxsize=64)
def _inliner(list_colour: str) -> css_inline.CSSInliner:
    """Writes the rules of layout.css into the elements; the style element of the page, for media queries, stays."""
    rules = _environment().get_template("layout.css").render(colour=list_colour, **_LIGHT)
    return css_inline.CSSInliner(
        inline_style_tags=False, keep_style_tags=True, load_remote_stylesheets=False, extra_css=rules
    )
