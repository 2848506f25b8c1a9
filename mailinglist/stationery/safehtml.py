"""Markdown or HTML that people handed in → an HTML fragment that can do no harm, by allowlist (nh3).

What stays: text and its structure, links by http, https, mailto and tel, images by http and https, and a few style
properties. What goes, silently: scripts, styles, frames, forms, event handlers, comments, classes and ids, other
addresses (relative ones too: a mail has no base), and images of one pixel, which are there to watch. A link that lost
its address leaves its text, an image its alternative text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from html import unescape

import nh3
from markdown_it import MarkdownIt

from ..errors import BadInput
from . import slots

MAX_DEPTH = 200
"""Elements within elements. A page nested 20,000 deep takes css-inline down with a segmentation fault, and nh3's time
grows with the square of the depth; real newsletters of tables within tables stay under 80."""

_TAGS = frozenset({
    "a", "abbr", "b", "blockquote", "br", "caption", "code", "col", "colgroup", "dd", "del", "div", "dl", "dt",
    "em", "figcaption", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "ins", "li", "mark", "ol",
    "p", "pre", "s", "small", "span", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr",
    "u", "ul",
})  # fmt: skip
# Dropped with all they hold; other tags that are not allowed leave their content.
_DROPPED = frozenset({
    "applet", "audio", "base", "button", "canvas", "datalist", "embed", "frameset", "head", "iframe", "link", "map",
    "math", "meta", "noembed", "noframes", "noscript", "object", "script", "select", "style", "svg", "template",
    "textarea", "title", "video",
})  # fmt: skip
_CELL = frozenset({"align", "colspan", "rowspan", "valign", "width"})
_ATTRIBUTES = {
    "*": frozenset({"dir", "lang", "style"}),
    "a": frozenset({"href"}),
    "abbr": frozenset({"title"}),
    "col": frozenset({"span", "width"}),
    "img": frozenset({"alt", "height", "src", "width"}),
    "ol": frozenset({"start"}),
    "p": frozenset({"align"}),
    "table": frozenset({"align", "width"}),
    "td": _CELL,
    "th": _CELL | {"scope"},
}
_VALUES = {
    "align": re.compile("left|right|center|justify", re.I),
    "valign": re.compile("top|middle|bottom|baseline", re.I),
    "scope": re.compile("row|col|rowgroup|colgroup", re.I),
    "dir": re.compile("ltr|rtl|auto", re.I),
    "lang": re.compile("[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*"),
    "src": re.compile(r"\s*https?://[^\s/].*", re.I | re.S),
    **dict.fromkeys(("colspan", "rowspan", "span", "start"), re.compile("[0-9]{1,4}")),
    **dict.fromkeys(("width", "height"), re.compile("[0-9]{1,4}(px|%)?")),
}
_PROPERTIES = frozenset({
    "background-color", "border", "border-bottom", "border-collapse", "border-color", "border-left",
    "border-radius", "border-right", "border-spacing", "border-style", "border-top", "border-width", "color",
    "font-size", "font-style", "font-weight", "height", "letter-spacing", "line-height", "list-style-type",
    "margin", "margin-bottom", "margin-left", "margin-right", "margin-top", "max-width", "min-width", "padding",
    "padding-bottom", "padding-left", "padding-right", "padding-top", "text-align", "text-decoration",
    "text-transform", "vertical-align", "white-space", "width",
})  # fmt: skip
# One declaration whose value is made of words, numbers and colours. No url(), no expression(), no escape by backslash
# that could spell one, no negative length that could move text over ours, no quote.
_DECLARATION = re.compile(
    r"\s*[a-z-]+\s*:(?:rgba?\([\d\s.,%/]+\)|hsla?\([\d\s.,%/deg]+\)|[\w\s#.,%]|-(?![\d.]))+", re.I
)
# An inline "!important" would beat the layout's dark colours.
_IMPORTANT = re.compile(r"\s*!\s*important\s*$", re.I)

_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/<>]*)")
_VOID = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr",
})  # fmt: skip
# These close themselves, so that many in a row without an end tag are no depth.
_SELF_CLOSING = frozenset({"p", "li", "dt", "dd", "tr", "td", "th", "option", "thead", "tbody", "tfoot"})
# What follows reads nh3's output, where a quote or an angle bracket in a value is always written as an entity.
_LOST_LINK = re.compile(r'<a(?=[\s>])(?![^>]*\shref=")[^>]*>(.*?)</a>', re.S)
_IMAGE = re.compile(r"<img((?:\s[^>]*)?)>")
_PIXEL = re.compile(r'\s(?:width|height)="0*[01](?:px)?"|[";](?:width|height):[01](?:px)?[";]')


def from_markdown(source: str) -> str:
    """CommonMark with tables and ~~strikethrough~~ → safe fragment. HTML in it goes through the same allowlist.

    Raises BadInput when it is nested too deeply.
    """
    return sanitised(_markdown().render(source))


def sanitised(html: str) -> str:
    """HTML, a fragment or a whole document → safe fragment, well-formed, with every attribute in double quotes.

    Raises BadInput when it is nested too deeply.
    """
    if _open_elements(html) > MAX_DEPTH:
        raise BadInput("The HTML has too many elements within elements.")
    clean = _IMAGE.sub(_image, _cleaner().clean(html))
    return _LOST_LINK.sub(r"\1", clean).strip()


def visible(fragment: str) -> str:
    """The bare characters of a safe fragment, without its tags."""
    return unescape(re.sub("<[^>]*>", "", fragment))


def tags(fragment: str) -> list[str]:
    """The tags of a safe fragment, as they are written."""
    return re.findall("<[^>]*>", fragment)


def in_text(change: Callable[[str], str], fragment: str) -> str:
    """A safe fragment with `change` made to its text, but not to its tags. `change` gets and gives unescaped text."""
    pieces = re.split("(<[^>]*>)", fragment)
    pieces[::2] = [_escaped(change(unescape(text))) for text in pieces[::2]]
    return "".join(pieces)


def _escaped(text: str) -> str:
    # As nh3 writes text: quotes may stand in it.
    return text.replace("&", "&amp;").replace("\xa0", "&nbsp;").replace("<", "&lt;").replace(">", "&gt;")


def _open_elements(html: str) -> int:
    """The most elements that stand open at once, roughly, in one pass and without a tree."""
    is_open: Counter[str] = Counter()
    deepest = depth = 0
    for end, tag in ((match[1], match[2].lower()) for match in _TAG.finditer(html)):
        if tag in _VOID or tag in _SELF_CLOSING:
            continue
        if not end:
            is_open[tag] += 1
            depth += 1
            deepest = max(deepest, depth)
        elif is_open[tag]:
            is_open[tag] -= 1
            depth -= 1
    return deepest


@cache
def _markdown() -> MarkdownIt:
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    normalised = parser.normalizeLink
    # A slot as an address stays as it is; percent-encoded it would no longer be one.
    parser.normalizeLink = lambda url: url if slots.has_marks(url) else normalised(url)  # type: ignore[method-assign]
    return parser


@cache
def _cleaner() -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=set(_TAGS),
        clean_content_tags=set(_DROPPED),
        attributes={tag: set(allowed) for tag, allowed in _ATTRIBUTES.items()},
        attribute_filter=_attribute,
        filter_style_properties=set(_PROPERTIES),
        url_schemes={"http", "https", "mailto", "tel"},
        url_relative=lambda url: url if slots.SLOT.fullmatch(url) else None,
        link_rel=None,
    )


def _attribute(_tag: str, name: str, value: str) -> str | None:
    """The value an attribute keeps, or None to drop it. Must not raise: nh3 would only print it."""
    if name == "style":
        declarations = (_IMPORTANT.sub("", each) for each in value.split(";"))
        return ";".join(each for each in declarations if _DECLARATION.fullmatch(each)) or None
    pattern = _VALUES.get(name)
    return value if pattern is None or pattern.fullmatch(value) else None


def _image(match: re.Match[str]) -> str:
    if ' src="' in match[1] and not _PIXEL.search(match[1]):
        return match[0]
    alt = re.search(r'\salt="([^"]*)"', match[1])
    return alt[1] if alt and ' src="' not in match[1] else ""
