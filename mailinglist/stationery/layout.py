"""The whole mail: a safe fragment in the list's layout, and its text part."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache

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


def composed(*, subject: str, content: str, footer: str, look: Look, show_addresses: bool = False) -> Composed:
    """The mail with `content` and `footer`, two safe fragments, in the list's look.

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
            opening=plaintext.opening(content),
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
    """A safe fragment with buttons, and tables of data marked as such."""

    def button(match: re.Match[str]) -> str:
        address, label = match[2], match[3]
        written = f'<p class="address"><a href="{address}">{address}</a></p>' if show_addresses else ""
        return (
            '<table class="button" role="presentation" cellpadding="0" cellspacing="0" border="0"><tr>'
            f'<td class="face"><a class="press" href="{address}">{label}</a></td></tr></table>{written}'
        )

    return _BUTTON.sub(button, _DATA_TABLE.sub('<table class="data"', fragment))


@cache
def _environment() -> Environment:
    loader = FileSystemLoader(TEMPLATES / "mail")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(text_on=colour.text_on, readable=colour.readable)
    return environment


@lru_cache(maxsize=64)
def _inliner(list_colour: str) -> css_inline.CSSInliner:
    """Writes the rules of layout.css into the elements; the style element of the page, for media queries, stays."""
    rules = _environment().get_template("layout.css").render(colour=list_colour, **_LIGHT)
    return css_inline.CSSInliner(
        inline_style_tags=False, keep_style_tags=True, load_remote_stylesheets=False, extra_css=rules
    )
